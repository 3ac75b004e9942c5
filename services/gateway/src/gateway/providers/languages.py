"""Which module speaks which wire: one row for each name in the registry. Pure.

A wire's package holds the five verbs under the names that `Package` gives them; rows are made of packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from common.providers.registry import HAS_RESPONSES, ProviderRow
from common.providers.registry import Wire as WireName
from common.usage import Usage

from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer, Members, Outgoing, StreamDecoder, Wire
from gateway.providers.wires import anthropic, bedrock, cohere, gemini, openai, responses


class Package(Protocol):
    """What the package of a wire has; the verbs are explained at `Wire`."""

    def encode_request(
        self, members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool, /
    ) -> Outgoing:
        """A request in the provider's language."""

    def decode_response(self, body: bytes, provider: ProviderRow, created: int, model: str, /) -> Answer:
        """A whole answer."""

    def StreamDecoder(self, provider: ProviderRow, wants_usage: bool, created: int, model: str, /) -> StreamDecoder:
        """A reader of one stream."""

    def decode_usage(self, raw: Mapping[str, Any], /) -> Usage | None:
        """A usage report."""

    def decode_error(
        self, status: int, body: bytes, provider: ProviderRow, retry_after_ms: int | None, /
    ) -> ProviderFailed:
        """A refusal."""


class RelayingPackage(Package, Protocol):
    """The package of a wire that clients speak, too: how their own words go through."""

    def relay_request(
        self, members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool, /
    ) -> Outgoing:
        """The client's request, but for what the gateway must set."""

    def relay_response(self, body: bytes, provider: ProviderRow, created: int, model: str, /) -> Answer:
        """A whole answer as it came."""

    def RelayDecoder(self, provider: ProviderRow, wants_usage: bool, created: int, model: str, /) -> StreamDecoder:
        """A reader of one stream that hands it on as it comes."""


def _spoken(package: Package) -> Wire:
    return Wire(
        encode_request=package.encode_request,
        decode_response=package.decode_response,
        decode_stream=package.StreamDecoder,
        decode_usage=package.decode_usage,
        decode_error=package.decode_error,
        reports_as_openai=package is openai,
        stream_type=getattr(package, "STREAM_TYPE", b"text/event-stream"),
    )


def _relayed(package: RelayingPackage) -> Wire:
    return Wire(
        encode_request=package.relay_request,
        decode_response=package.relay_response,
        decode_stream=package.RelayDecoder,
        decode_usage=package.decode_usage,
        decode_error=package.decode_error,
    )


class Relay(NamedTuple):
    """How clients of another API than chat are relayed, and to which providers: those of a wire, or with a flag."""

    wire: Wire
    spoken_as: WireName | None = None
    flag: str | None = None

    def leads_to(self, provider: ProviderRow) -> bool:
        """Whether a provider speaks the client's own language."""
        return provider.wire == self.spoken_as or self.flag in provider.flags


RELAYED: Mapping[WireName, Relay] = MappingProxyType(
    {
        "anthropic": Relay(_relayed(anthropic), spoken_as="anthropic"),
        "responses": Relay(_relayed(responses), flag=HAS_RESPONSES),
    }
)
"""How a wire is spoken for clients that speak it themselves, where that is not chat: their own words go through."""

WIRES: Mapping[WireName, Wire] = MappingProxyType(
    {
        "openai": _spoken(openai),
        "anthropic": _spoken(anthropic),
        "gemini": _spoken(gemini),
        "cohere": _spoken(cohere),
        "bedrock": _spoken(bedrock),
        "responses": _spoken(responses),
    }
)
