"""The providers' wires: each reads its provider's requests and writes its answers, and knows no other.

`Wire` is what a call needs of one; an object of it stands for one provider, or for one of its models where that is said by
the path. `Speaker` is a provider as the application sees it: which paths are calls, and what it answers to others.
"""

from __future__ import annotations

from typing import Protocol

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.streams import StreamScript

Headers = list[tuple[bytes, bytes]]


class Wire(Protocol):
    """How one provider speaks."""

    @property
    def provider(self) -> str:
        """The provider's name."""

    @property
    def kept_as(self) -> str:
        """What a request's meaning depends on beside its body; "" where the same body is never answered alike."""

    @property
    def stream_type(self) -> bytes:
        """The content type of its streams."""

    @property
    def whole_type(self) -> bytes:
        """The content type of its whole answers."""

    @property
    def needs_key(self) -> bool:
        """Whether a call without a key is refused."""

    def key(self, headers: dict[bytes, bytes]) -> str:
        """The key in a request's headers (names in lower case); "" when there is none."""

    def prompt(self, body: bytes) -> Prompt:
        """Reads a request. Raises Refusal."""

    def missing(self, model: str) -> Refusal:
        """The refusal of a model that does not exist."""

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        """Writes an answer as one body."""

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        """Writes an answer as a stream."""

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        """Status and body of a refusal."""

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        """Headers of an answer, without content type and length."""

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        """The same of a refusal."""


JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"


class Speaker(Protocol):
    """One provider: its paths, and its wire for them."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """`/<provider>` and the path of its real base URL, each spelling of it."""

    @property
    def wire(self) -> Wire:
        """How it speaks beside calls."""

    def call(self, rest: str, headers: dict[bytes, bytes]) -> Wire | None:
        """The wire of a call to a prefix and this rest of a path, with these headers (names in lower case); None when
        that is no call."""

    def listed(self, method: str, rest: str, sent: bytes) -> bytes:
        """The body of an answer beside calls. Raises Refusal."""
