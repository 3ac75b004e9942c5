"""Server-sent events: from bytes that may be cut anywhere to whole events. Pure.

Accepts what the standard allows: lines ended by LF, CRLF or CR, a field with or without a space after its colon, comments,
several `data` lines. JSON never holds a bare line break, so splitting bytes before decoding them is safe.

On the hot path bytes are searched by `find`: `in` tries first whether it looks for a number, and the error that says no,
which nobody sees, costs more than the search.
"""

from __future__ import annotations

EVENT_END = b"\n\n"
MAX_EVENT_BYTES = 1 << 20


class EventTooLarge(ValueError):
    """An event, or what should become one, is longer than any provider's."""


class EventSplitter:
    """Collects bytes and gives back whole events, as (name, data); comments and empty events are left out."""

    __slots__ = ("_most", "_rest")

    def __init__(self, most_bytes: int = MAX_EVENT_BYTES) -> None:
        self._most = most_bytes
        self._rest = b""

    def has_begun(self) -> bool:
        """Whether a part of an event is here that waits for the rest."""
        return bool(self._rest)

    def feed(self, piece: bytes) -> list[tuple[bytes, bytes]]:
        """The events that are complete with this piece. Raises EventTooLarge."""
        if (
            not self._rest
            and piece.startswith(b"data: ")
            and piece.endswith(b"\n\n")
            and piece.find(b"\n") == len(piece) - 2
            and piece.find(b"\r") < 0
        ):
            return [(b"", piece[6:-2])]  # one whole event: how most providers send most of them
        text = self._rest + piece if self._rest else piece
        held = b""
        if text.find(b"\r") >= 0:
            if text.endswith(b"\r"):  # the LF that belongs to it may come with the next piece
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        blocks = text.split(b"\n\n")
        self._rest = blocks.pop() + held
        if len(self._rest) > self._most:
            raise EventTooLarge(f"an event is longer than {self._most} bytes")
        return [event for block in blocks if (event := _event(block)) is not None]

    def finish(self) -> list[tuple[bytes, bytes]]:
        """The last event, when the stream ended without the blank line that should follow it."""
        return self.feed(b"\n\n")


def event_of(data: bytes) -> bytes:
    """Data of one line as an event."""
    return b"data: %b\n\n" % data


def _event(block: bytes) -> tuple[bytes, bytes] | None:
    if block.startswith(b"data: ") and block.find(b"\n") < 0:  # what nearly every event of every provider looks like
        return b"", block[6:]
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return (name, b"\n".join(data)) if data else None
