"""Streams of operations that are handed on as they come: only their last event waits until the call is recorded. Pure."""

from __future__ import annotations

from gateway.shapes import ErrorAnswer, error_event

_LAST_EVENTS = (b"event: transcript.text.done\n", b"event: image_generation.completed\n")


class EventsVoice:
    """Speaks to one client of such a stream."""

    __slots__ = ("_last", "relays")

    def __init__(self) -> None:
        self.relays = True
        self._last = b""

    def refusal(self, answer: ErrorAnswer, _request_id: str) -> ErrorAnswer:
        """An error."""
        return answer

    def trouble(self, answer: ErrorAnswer, _request_id: str) -> bytes:
        """An error in a stream that has begun."""
        return error_event(answer)

    def whole(self, body: bytes) -> bytes:
        """A whole answer."""
        return body

    def events(self, chunks: bytes) -> bytes:
        """A part of a stream, without the event that ends it."""
        for name in _LAST_EVENTS:
            start = chunks.find(name)
            if start == 0 or (start > 0 and chunks[start - 1 : start] == b"\n"):
                chunks, self._last = chunks[:start], chunks[start:]
        return chunks

    def end(self, last: bytes) -> bytes:
        """The event that ends it; the last words of chat are not this stream's."""
        return self._last
