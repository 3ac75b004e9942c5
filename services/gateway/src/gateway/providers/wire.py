"""What a wire is: five verbs, and the shapes that go in and out of them. Pure.

The inside speaks OpenAI's chat completions. A wire turns such a request into its provider's, and the provider's answers,
whole or in pieces, back into the same; `languages` says which module does it for which name in the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
from common.providers.registry import ProviderRow
from common.usage import Usage

from gateway.providers.errors import ProviderFailed

Members = Mapping[str, msgspec.Raw]
"""The members of a JSON object by name, each value as the bytes it came in."""

Identity = tuple[str | None, int | None, str | None]
"""Id, creation (seconds since 1970) and model that all chunks of a stream carry."""


class Outgoing(NamedTuple):
    """A request as it goes to a provider: `path` follows its base URL, `headers` is a block of whole header lines,
    `dropped` names the parameters that the provider has no word for."""

    path: str
    body: bytes
    dropped: tuple[str, ...] = ()
    headers: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """A whole answer: the body for the client, and what it says of itself."""

    body: bytes
    usage: Usage | None
    raw_usage: dict[str, Any] | None
    finish_reason: str | None
    model: str | None
    service_tier: str | None
    content_type: bytes = b"application/json"


class StreamDecoder(Protocol):
    """From a provider's bytes to the client's, piece by piece, and what the whole amounts to."""

    is_done: bool
    failure: ProviderFailed | None
    raw_usage: dict[str, Any] | None
    service_tier: str | None

    @property
    def read_plain(self) -> Callable[[bytes], bytes] | None:
        """`feed` for a piece in which nothing but further text comes, as in nearly every one: its events; b"", with
        nothing done, for any other. None where no piece can be told to be such a one."""

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, as clients know it."""

    @property
    def identity(self) -> Identity:
        """What all chunks of the stream carry."""

    def feed(self, piece: bytes) -> bytes:
        """Events for the client. Where the stream breaks or holds an error, those before it; `failure` then says so."""

    def finish(self) -> bytes:
        """The last events; `failure` is set when the stream ended before the answer did."""

    def delivered_tokens(self) -> int:
        """Output tokens seen so far, estimated."""

    def usage(self) -> Usage | None:
        """What the provider reported."""


@dataclass(frozen=True, slots=True)
class Wire:
    """One language of providers.

    `encode_request` takes the client's members, the provider, its name of the model, the output maximum in tokens and
    whether to stream; it raises ProviderFailed ("untranslatable") for content that the provider has no word for.
    `decode_response` takes a body, the provider, and for providers whose answers do not say so when the answer was made
    (seconds since 1970) and the name of the model that was asked. `decode_error` takes status, body, provider and the
    delay that its headers ask for (milliseconds). `reports_as_openai`: its raw usage is what OpenAI's clients know, and
    may be shown to them. `stream_type` begins the content type of its streams.
    """

    encode_request: Callable[[Members, ProviderRow, str, int, bool], Outgoing]
    decode_response: Callable[[bytes, ProviderRow, int, str], Answer]
    decode_stream: Callable[[ProviderRow, bool, int, str], StreamDecoder]
    decode_usage: Callable[[Mapping[str, Any]], Usage | None]
    decode_error: Callable[[int, bytes, ProviderRow, int | None], ProviderFailed]
    reports_as_openai: bool = False
    stream_type: bytes = b"text/event-stream"


@dataclass(frozen=True, slots=True)
class Verb:
    """How a wire does one operation beside chat: one request, one answer, and a stream of it where there is a reader.

    `encode` takes the client's members, the provider and its name of the model; it raises ProviderFailed
    ("untranslatable") for what the provider has no word for. `decode` takes the answer's body, the same members, the
    provider, when the answer was made (seconds since 1970) and the model; it raises ProviderFailed for what is no such
    answer.
    """

    encode: Callable[[Members, ProviderRow, str], Outgoing]
    decode: Callable[[bytes, Members, ProviderRow, int, str], Answer]
    decode_stream: Callable[[ProviderRow], StreamDecoder] | None = None
