"""Which module speaks which wire: one row for each name in the registry. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from common.providers.registry import Wire as WireName

from gateway.providers.wire import Wire
from gateway.providers.wires import anthropic, bedrock, cohere, gemini, openai

RELAYED: Mapping[WireName, Wire] = MappingProxyType(
    {
        "anthropic": Wire(
            encode_request=anthropic.relay_request,
            decode_response=anthropic.relay_response,
            decode_stream=anthropic.RelayDecoder,
            decode_usage=anthropic.decode_usage,
            decode_error=anthropic.decode_error,
        ),
    }
)
"""How a wire is spoken for clients that speak it themselves, where that is not chat: their own words go through."""

WIRES: Mapping[WireName, Wire] = MappingProxyType(
    {
        "openai": Wire(
            encode_request=openai.encode_request,
            decode_response=openai.decode_response,
            decode_stream=openai.StreamDecoder,
            decode_usage=openai.decode_usage,
            decode_error=openai.decode_error,
            reports_as_openai=True,
        ),
        "anthropic": Wire(
            encode_request=anthropic.encode_request,
            decode_response=anthropic.decode_response,
            decode_stream=anthropic.StreamDecoder,
            decode_usage=anthropic.decode_usage,
            decode_error=anthropic.decode_error,
        ),
        "gemini": Wire(
            encode_request=gemini.encode_request,
            decode_response=gemini.decode_response,
            decode_stream=gemini.StreamDecoder,
            decode_usage=gemini.decode_usage,
            decode_error=gemini.decode_error,
        ),
        "cohere": Wire(
            encode_request=cohere.encode_request,
            decode_response=cohere.decode_response,
            decode_stream=cohere.StreamDecoder,
            decode_usage=cohere.decode_usage,
            decode_error=cohere.decode_error,
        ),
        "bedrock": Wire(
            encode_request=bedrock.encode_request,
            decode_response=bedrock.decode_response,
            decode_stream=bedrock.StreamDecoder,
            decode_usage=bedrock.decode_usage,
            decode_error=bedrock.decode_error,
            stream_type=bedrock.STREAM_TYPE,
        ),
    }
)
