"""The `bedrock` wire: AWS's Converse, and its stream of binary frames.

Requests are translated in `requests` (parameters), `content` (what was said) and `families` (what is said differently to
the models of different makers); answers in `blocks`, which `answers` and `streams` share, so that a folded stream is
the whole. `frames` takes AWS's event stream apart. Thinking crosses with its signatures in `reasoning_details`.
"""

from __future__ import annotations

from gateway.providers.wires.bedrock.answers import decode_response
from gateway.providers.wires.bedrock.failures import decode_error
from gateway.providers.wires.bedrock.requests import encode_request
from gateway.providers.wires.bedrock.streams import StreamDecoder
from gateway.providers.wires.bedrock.usage import decode_usage

__all__ = ["STREAM_TYPE", "StreamDecoder", "decode_error", "decode_response", "decode_usage", "encode_request"]

STREAM_TYPE = b"application/vnd.amazon.eventstream"
