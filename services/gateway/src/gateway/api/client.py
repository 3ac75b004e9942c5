"""The client of one call, over ASGI: its body in, our answer out, and the moment it hangs up.

uvicorn does not cancel a handler whose client has gone. `watch` has itself told by the client's line, for as long as a
provider is working for this client, and cancels that work, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from gateway.api.protocol import LINE, Exchange, Line
from gateway.providers.errors import ProviderFailed
from gateway.shapes import ErrorAnswer, Header, Refusal, error_event

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Standing = Literal["open", "unsure", "final"]
"""Whether what was asked may be done again: nothing came of it; nobody knows yet; it was done, or has cost something."""

_JSON: Header = (b"content-type", b"application/json")


class Voice(Protocol):
    """How an answer is said in another dialect than chat's. `relays`: what comes is in that dialect already."""

    relays: bool

    def refusal(self, answer: ErrorAnswer, request_id: str) -> ErrorAnswer:
        """An error."""

    def trouble(self, answer: ErrorAnswer, request_id: str) -> bytes:
        """An error in a stream that has begun."""

    def whole(self, body: bytes) -> bytes:
        """A whole answer."""

    def events(self, chunks: bytes) -> bytes:
        """A part of a stream."""

    def end(self, last: bytes) -> bytes:
        """The last part of a stream."""


class ClientGone(Exception):
    """The client hung up."""


class Client:
    """One request's client."""

    __slots__ = (
        "_body",
        "_is_direct",
        "_receive",
        "_send",
        "_voice",
        "extra_headers",
        "headers",
        "is_gone",
        "line",
        "outlives",
        "path",
        "query",
        "request_id",
        "standing",
        "status",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._receive = receive
        self._send = send
        self._body: bytes | None = None
        self._voice: Voice | None = None
        self._is_direct = True
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path: str = scope["path"]
        self.line: Line = scope["extensions"][LINE]
        self.query: bytes = scope["query_string"]
        self.request_id = request_id
        self.extra_headers: list[Header] = [(b"x-request-id", request_id.encode())]
        self.is_gone = False
        self.outlives = False
        """Whether the work goes on when the client hangs up, since its answer is kept."""
        self.standing: Standing = "open"
        self.status = 0

    def put_back(self, body: bytes) -> None:
        """Hand back a body that was read ahead, for the next who asks for it."""
        self._body = body

    def pass_through(self, wrap: Callable[[Send], Send]) -> None:
        """Have all that is sent from now on pass through `wrap(send)`."""
        self._send = wrap(self._send)
        self._is_direct = False

    def direct(self) -> Exchange | None:
        """Where parts of a stream may be written as they come; None: they are to be said in another dialect, or to pass
        through somebody's hands."""
        return self.line.exchange if self._is_direct and self._voice is None else None

    async def body(self, max_bytes: int, seconds: float) -> bytes:
        """The whole body. Raises Refusal when it is too large or too slow, ClientGone when it never comes."""
        if self._body is not None:
            body, self._body = self._body, None
            return _bounded(body, max_bytes)
        announced = self.headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > max_bytes:
            raise Refusal("request_too_large", str(max_bytes))
        if self.line.has_come():  # as nearly always
            return _bounded((await self._receive()).get("body", b""), max_bytes)
        try:
            with _Limit(seconds):
                return await self._rest(max_bytes)
        except TimeoutError:
            raise Refusal("invalid_request", f"the body did not arrive within {seconds:g} s") from None

    async def _rest(self, max_bytes: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            pieces.append(_bounded(message.get("body", b""), max_bytes, size))
            size += len(pieces[-1])
            if not message.get("more_body"):
                return b"".join(pieces)

    def watch(self, longest_seconds: float | None) -> _Watch:
        """While inside, a hang-up cancels the current task's work and comes out as ClientGone, unless the work outlives
        its client. So does taking longer than this: who does not read what it asked for must not hold anything for
        ever. None: nothing is written inside, and the work has bounds of its own."""
        return _Watch(self, longest_seconds)

    def speak(self, voice: Voice) -> None:
        """From now on answer in another dialect than chat's."""
        self._voice = voice

    def is_relayed(self, *, is_so: bool) -> None:
        """Whether what is written now is in the client's own dialect already."""
        if self._voice is not None:
            self._voice.relays = is_so

    def said(self, body: bytes) -> bytes:
        """A whole answer in the client's dialect. Raises ProviderFailed for one that cannot be said in it."""
        return body if self._voice is None else _spoken(self._voice.whole, body)

    async def answer(self, status: int, body: bytes, headers: Sequence[Header] = (), content: Header = _JSON) -> None:
        """Send a whole answer, already in the client's dialect."""
        await self._answer(status, body, headers, content)

    async def fail(self, error: ErrorAnswer) -> None:
        """End a stream that has begun with an error."""
        voice = self._voice
        await self.end_with(error_event(error) if voice is None else voice.trouble(error, self.request_id))

    async def _answer(self, status: int, body: bytes, headers: Sequence[Header], content: Header) -> None:
        self.status = status
        framing = [] if status == 204 else [content, (b"content-length", b"%d" % len(body))]
        sent = [*framing, *headers, *self.extra_headers]
        await self._send({"type": "http.response.start", "status": status, "headers": sent})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, error: ErrorAnswer) -> None:
        """Send an error."""
        if self._voice is not None:
            error = self._voice.refusal(error, self.request_id)
        await self._answer(error.status, error.body, error.headers, _JSON)

    async def begin(self, status: int, headers: Sequence[Header]) -> None:
        """Send the head of an answer that is given again, these headers and no others; `write` and `end` follow. It is
        in the client's dialect already."""
        self.status = status
        self._voice = None
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def start_stream(self, headers: Sequence[Header] = ()) -> None:
        """Begin a stream of events."""
        self.status = 200
        sent = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *headers,
            *self.extra_headers,
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": sent})

    def write(self, events: bytes) -> Awaitable[None]:
        """Send a part of a stream; waits while the client does not keep up. Raises ProviderFailed as `said`."""
        if self._voice is not None:
            events = _spoken(self._voice.events, events)
        return self._send({"type": "http.response.body", "body": events, "more_body": True})

    def comment(self, headers: Sequence[Header] = ()) -> Awaitable[None]:
        """Send lines of a stream that say nothing, in any dialect: headers that came too late for the answer's own."""
        lines = b"".join(b": %b: %b\n" % header for header in headers) or b": keep-alive\n"
        return self._send({"type": "http.response.body", "body": lines + b"\n", "more_body": True})

    async def end(self, events: bytes = b"") -> None:
        """Send the last part of a stream."""
        await self.end_with(events if self._voice is None else self._voice.end(events))

    async def end_with(self, events: bytes) -> None:
        """Send the last part of a stream, already in the client's dialect."""
        await self._send({"type": "http.response.body", "body": events})


def _spoken(say: Callable[[bytes], bytes], given: bytes) -> bytes:
    """What a provider sent, in another dialect. What passes in its own words is read here first."""
    try:
        return say(given)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ProviderFailed("broken", "the provider sent an answer that is not as its API describes it") from error


def bearer_of(headers: Mapping[bytes, bytes]) -> bytes:
    """The bearer token that a request shows; empty when it shows none."""
    scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
    return bearer.strip() if scheme.lower() == b"bearer" else b""


def _bounded(piece: bytes, max_bytes: int, before: int = 0) -> bytes:
    """A piece of a body of which so many bytes came before. Raises Refusal when that is too much."""
    if before + len(piece) > max_bytes:
        raise Refusal("request_too_large", str(max_bytes))
    return piece


class _Limit:
    """While inside, the current task's work ends with TimeoutError after so many seconds; None: only when told to.

    What `asyncio.timeout` does, at a third of its cost: every call passes here twice.
    """

    __slots__ = ("_cancelled_before", "_timer", "_worker", "is_over")

    def __init__(self, seconds: float | None) -> None:
        loop = asyncio.get_running_loop()
        worker = asyncio.current_task(loop)
        assert worker is not None
        self._worker = worker
        self._cancelled_before = worker.cancelling()
        self._timer = loop.call_later(seconds, self.end) if seconds is not None else None
        self.is_over = False

    def end(self) -> None:
        """End the work."""
        if not self.is_over:
            self.is_over = True
            self._worker.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.is_over and self._worker.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from None


class _Watch(_Limit):
    """While inside, a client that hangs up, or takes too long, ends the current task's work with ClientGone."""

    __slots__ = ("_client",)

    def __init__(self, client: Client, longest_seconds: float | None) -> None:
        super().__init__(longest_seconds)
        self._client = client
        if not client.outlives:
            client.line.on_cut = self.end
            if client.line.is_cut:
                self.end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.line.on_cut = None
        self._client.is_gone |= self.is_over
        try:
            super().__exit__(kind, error, trace)
        except TimeoutError:
            raise ClientGone from None
