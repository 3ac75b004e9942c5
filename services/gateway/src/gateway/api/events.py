"""Streams of operations, said as they come but for their ends, which wait until the call is recorded. Pure."""

from __future__ import annotations

from gateway.shapes import ErrorAnswer, error_event

_LAST_EVENTS = (b"event: transcript.text.done\n", b"event: image_generation.completed\n")


class _OwnWords:
    """What a provider says of an operation is in the client's words already."""

    __slots__ = ("relays",)

    def __init__(self) -> None:
        self.relays = True

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
        """A part of a stream."""
        return chunks


class CompletionVoice(_OwnWords):
    """What is said as chat would, here only the last chunk with the usage, told as a completion's."""

    __slots__ = ()

    def end(self, last: bytes) -> bytes:
        """The last part of a stream."""
        return last.replace(b'"object":"chat.completion.chunk"', b'"object":"text_completion"', 1)


class EventsVoice(_OwnWords):
    """Keeps the event that ends a stream back until its end is said."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        super().__init__()
        self._last = b""

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
