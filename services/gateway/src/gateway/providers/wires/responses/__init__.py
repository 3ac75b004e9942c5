"""The `responses` wire: OpenAI's Responses API, towards providers that have it, and for models that know nothing else.

Requests are translated in `requests` (parameters) and `content` (what was said), answers in `items`, which `answers` and
`streams` share, so that a folded stream is the whole. What chat has no word for crosses in members of its own:
`reasoning_details` hold encrypted thinking, `provider_blocks` what OpenAI's own tools did. Clients that speak Responses
themselves are relayed (`relay`).
"""

from __future__ import annotations

from gateway.providers.wires.responses.answers import decode_response
from gateway.providers.wires.responses.failures import decode_error
from gateway.providers.wires.responses.relay import RelayDecoder, relay_request, relay_response
from gateway.providers.wires.responses.requests import RESPONSES_PATH, encode_request
from gateway.providers.wires.responses.streams import StreamDecoder
from gateway.providers.wires.responses.usage import decode_usage

__all__ = [
    "RESPONSES_PATH",
    "RelayDecoder",
    "StreamDecoder",
    "decode_error",
    "decode_response",
    "decode_usage",
    "encode_request",
    "relay_request",
    "relay_response",
]
