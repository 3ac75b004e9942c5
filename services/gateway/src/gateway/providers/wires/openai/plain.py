"""Chunks that differ from an earlier one in their text alone, told apart by their bytes.

Nearly every chunk of a stream is such a one, and reading JSON costs more than all else that is done with it. So the
stream's reader shows here what it has read and what came of it, and a later chunk with the same bytes before and behind a
text without quotes, escapes or control characters must mean the same. Whatever looks different in any way is not known
here, and is read.

Chunks that came together are taken together: split where one ends and the next begins, which no JSON holds, they are
their texts.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.providers.framing import EVENT_END

_EVENT = b"data: "
_TEXT = b'"content":"'
_QUOTE = b'"'
_ESCAPE = b"\\"
_PADDING = b',"obfuscation":"'  # OpenAI hides the lengths of texts by a padding of random length


class Run(NamedTuple):
    """Known chunks one after the other: the events for the client, how many characters their texts have and how many of
    them are not empty, and what came behind them."""

    events: bytes
    characters: int
    texts: int
    rest: bytes


class PlainChunks:
    """What stands before and behind the text of one stream's chunks, as the provider sends and the client gets them."""

    __slots__ = ("_after", "_before", "_end", "_head", "_tail", "_told_after", "_told_before", "_told_end")

    def __init__(self) -> None:
        self._before: bytes | None = None
        self._head: bytes | None = None
        self._after = self._end = self._tail = self._told_before = self._told_after = self._told_end = b""

    def learn(self, data: bytes, told: bytes, text: str) -> None:
        """Remember a chunk that brought one text and nothing else: its bytes, and the event that was made of it."""
        here, there = _around(data, text), _around(told, text)
        if here is None or there is None:
            return
        self._before, (self._after, self._end) = here[0], _cut(here[1])
        self._told_before, (self._told_after, self._told_end) = there[0], _cut(there[1])
        self._head = b"%b%b" % (_EVENT, self._before) if not self._end else None
        self._tail = b"%b%b" % (self._after, EVENT_END)

    def read_run(self, piece: bytes) -> Run | None:
        """As many chunks as a piece of the stream begins with; None: not with one that is known, or with others among
        them, or with padding, whose length tells of nothing."""
        head, tail = self._head, self._tail
        if head is None or not piece.startswith(head):
            return None
        begins, ends = len(head), piece.rfind(tail)
        if ends < begins:
            return None
        said, texts, empty = piece[begins:ends], 1, 0
        told = said
        if _QUOTE in said:  # of several chunks
            # Split by what is short and joined again: to look for all that stands between two texts costs twice as much.
            first, *others = said.split(tail)
            each = [first, *[event[begins:] for event in others]]
            if (tail + head).join(each) != said:
                return None
            said = b" ".join(each)  # none of them becomes a character by its neighbour
            told = (self._told_after + self._told_before).join(each)
            texts, empty = len(each), each.count(b"")
            if _QUOTE in said:
                return None
        size = _plain_size(said)
        if size < 0:
            return None
        events = b"%b%b%b" % (self._told_before, told, self._told_after)
        return Run(events, size - texts + 1, texts - empty if size else 0, piece[ends + len(tail) :])

    def read(self, data: bytes) -> tuple[bytes, int] | None:
        """The event for the client and how many characters its text has; None: not a chunk that is known."""
        before = self._before
        if before is None or not data.startswith(before):
            return None
        start = len(before)
        stop = data.find(_QUOTE, start)
        behind = stop + len(self._after)
        end = len(data) - len(self._end)
        if not (data.startswith(self._after, stop) and data.endswith(self._end) and behind <= end):
            return None
        padding = data[behind:end]
        if padding and not _is_padding(padding):
            return None
        text = data[start:stop]
        size = _plain_size(text)
        if size < 0:
            return None
        return b"".join((self._told_before, text, self._told_after, padding, self._told_end)), size


def _around(data: bytes, text: str) -> tuple[bytes, bytes] | None:
    """What stands before and behind the text of a chunk; None where it is not found as it is."""
    start = data.find(_TEXT) + len(_TEXT)
    if start < len(_TEXT):
        return None
    stop = start + len(text.encode())
    if data[start:stop] != text.encode() or data[stop : stop + 1] != _QUOTE:
        return None
    return data[:start], data[stop:]


def _cut(behind: bytes) -> tuple[bytes, bytes]:
    """What stands behind a text, without the padding: up to it, and what follows it."""
    start = behind.find(_PADDING)
    if start < 0:
        return behind, b""
    return behind[:start], behind[behind.find(_QUOTE, start + len(_PADDING)) + 1 :]


def _is_padding(padding: bytes) -> bool:
    return padding.startswith(_PADDING) and padding.endswith(_QUOTE) and padding[len(_PADDING) : -1].isalnum()


def _plain_size(text: bytes) -> int:
    """Characters of a text; -1 where JSON would write some of it otherwise, or it is not UTF-8."""
    if _ESCAPE in text:
        return -1
    try:
        read = text.decode()
    except UnicodeDecodeError:
        return -1
    return len(read) if not read or read.isprintable() else -1
