"""The `cohere` wire: Cohere's chat, in its second version.

Requests are translated in `requests`; answers in `parts`, which `answers` and `streams` share, so that a folded stream is
the whole. What the model plans before it calls tools is the answer's text to a chat client, and goes back as the plan.
Citations have no place in OpenAI's chat: they cross in a member of their own, `citations`.
"""

from __future__ import annotations

from gateway.providers.wires.cohere.answers import decode_response
from gateway.providers.wires.cohere.failures import decode_error
from gateway.providers.wires.cohere.requests import CHAT_PATH, encode_request
from gateway.providers.wires.cohere.streams import StreamDecoder
from gateway.providers.wires.cohere.usage import decode_usage

__all__ = ["CHAT_PATH", "StreamDecoder", "decode_error", "decode_response", "decode_usage", "encode_request"]
