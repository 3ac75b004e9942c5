"""The `openai` wire: chat completions as OpenAI and most others speak them.

Clients of the gateway speak it, too, so what they sent goes through: members are not re-encoded, only those that the
gateway must set are put in their place (`requests`), and answers are relayed as they came but for what would mislead a
client (`answers`, `streams`). Five verbs, as in every wire; `StreamDecoder` is the only state.

What cannot be read is caught as ValueError throughout: of bytes that are no UTF-8 msgspec says so with
UnicodeDecodeError, which is none of its own errors.
"""

from __future__ import annotations

from gateway.providers.wires.openai.answers import decode_response
from gateway.providers.wires.openai.failures import decode_error
from gateway.providers.wires.openai.requests import CHAT_PATH, encode_request
from gateway.providers.wires.openai.streams import StreamDecoder
from gateway.providers.wires.openai.usage import decode_usage

__all__ = [
    "CHAT_PATH",
    "StreamDecoder",
    "decode_error",
    "decode_response",
    "decode_usage",
    "encode_request",
]
