"""The `gemini` wire: generateContent and streamGenerateContent, of the Gemini API and of Vertex alike.

Every chunk of a stream has the shape of a whole answer, so one reader (`parts`) serves both. Signatures of thoughts go
where Google's own OpenAI-compatible surface has them: `extra_content.google.thought_signature` of a tool call; those of
texts in `reasoning_details`. What Google's own tools did crosses in `provider_blocks`.
"""

from __future__ import annotations

from gateway.providers.wires.gemini.answers import StreamDecoder, decode_response
from gateway.providers.wires.gemini.failures import decode_error
from gateway.providers.wires.gemini.requests import encode_request
from gateway.providers.wires.gemini.usage import decode_usage

__all__ = ["StreamDecoder", "decode_error", "decode_response", "decode_usage", "encode_request"]
