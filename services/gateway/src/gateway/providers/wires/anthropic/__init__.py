"""The `anthropic` wire: Messages, in the API versions 2023-06-01 and 2026-10-21.

Requests are translated in `requests` (parameters) and `content` (what was said), answers in `blocks`, which `answers`
and `streams` share, so that a folded stream is the whole. What OpenAI's chat has no word for crosses in members of its
own and is read again when a client sends it back: `reasoning_details` hold thinking with its signatures, `provider_blocks`
what Anthropic's own tools did. Clients that speak Messages themselves are relayed (`relay`).
"""

from __future__ import annotations

from gateway.providers.wires.anthropic.answers import decode_response
from gateway.providers.wires.anthropic.failures import decode_error
from gateway.providers.wires.anthropic.relay import RelayDecoder, relay_request, relay_response
from gateway.providers.wires.anthropic.requests import MESSAGES_PATH, encode_request
from gateway.providers.wires.anthropic.streams import StreamDecoder
from gateway.providers.wires.anthropic.usage import decode_usage

__all__ = [
    "MESSAGES_PATH",
    "RelayDecoder",
    "StreamDecoder",
    "decode_error",
    "decode_response",
    "decode_usage",
    "encode_request",
    "relay_request",
    "relay_response",
]
