"""Chunks that differ from an earlier one in their text alone, told apart by their bytes.

Nearly every chunk of a stream is such a one, and reading JSON costs more than all else that is done with it. So the
stream's reader shows here what it has read and what came of it, and a later chunk with the same bytes before and behind a
text without quotes, escapes or control characters must mean the same. Whatever looks different in any way is not known
here, and is read.

OpenAI pads its chunks, so that their lengths do not tell of their texts: a padding differs from chunk to chunk as a text
does, and is handed on as it came.

Chunks that came together are taken together: split where one ends and the next begins, which no JSON holds, they are
their texts.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.providers.framing import event_of

_TEXT = b'"content":"'
_QUOTE = b'"'
_ESCAPE = b"\\"
_PADDING = b',"obfuscation":"'


Run = tuple[bytes, int, int, bytes]
"""Known chunks one after the other: the events for the client, how many characters their texts have and how many of them
are not empty, and what came behind them. A bare tuple: a named one takes as long to make as all else that is done here."""


_Around = tuple[bytes, bytes, bytes]
"""What stands around the text of a chunk: from its event's beginning up to the text; from there up to the padding, empty
where there is none; and up to the event's end."""


class PlainChunks:
    """What stands around the texts of one stream's chunks, as the provider sends and the client gets them."""

    __slots__ = ("_sent", "_told")

    def __init__(self) -> None:
        self._sent: _Around | None = None
        self._told: _Around | None = None

    def learn(self, data: bytes, told: bytes, text: str) -> None:
        """Remember a chunk that brought one text and nothing else: its bytes, and the event that was made of it."""
        here, there = _around(event_of(data), text), _around(told, text)
        if here is not None and there is not None and bool(here[1]) is bool(there[1]):
            self._sent, self._told = here, there

    def read_run(self, piece: bytes) -> Run | None:
        """As many chunks as a piece of the stream begins with; None: not with one that is known, or with others among
        them."""
        if self._sent is None or self._told is None or not piece.startswith(self._sent[0]):
            return None
        (head, mark, tail), (told_head, told_mark, told_tail) = self._sent, self._told
        begins = len(head)
        ends = piece.find(tail, piece.rfind(mark)) if mark else piece.rfind(tail)
        if ends < begins:
            return None
        whole, rest = piece[begins:ends], piece[ends + len(tail) :]
        if whole.find(tail) < 0:
            text = whole
            if mark:
                text, _, padding = whole.partition(mark)
                told_tail = b"%b%b%b" % (told_mark, padding, told_tail)
                if not padding.isalnum():
                    return None
            size = _plain_size(text)
            return (b"%b%b%b" % (told_head, text, told_tail), size, 1 if size else 0, rest) if size >= 0 else None
        # Split by what is short and joined again: to look for all that stands between two texts costs twice as much.
        first, *others = whole.split(tail)
        each = [first, *[event[begins:] for event in others]]
        if (tail + head).join(each) != whole:
            return None
        texts: Sequence[bytes] = each
        if mark:
            texts, marks, paddings = zip(*[one.partition(mark) for one in each], strict=True)
            if not all(marks) or not b"".join(paddings).isalnum():
                return None
            each = [b"%b%b%b" % (text, told_mark, padding) for text, padding in zip(texts, paddings, strict=True)]
        size = _plain_size(b" ".join(texts))  # none of them becomes a character by its neighbour
        if size < 0:
            return None
        events = b"%b%b%b" % (told_head, (told_tail + told_head).join(each), told_tail)
        return events, size - len(texts) + 1, len(texts) - texts.count(b""), rest


def _around(event: bytes, text: str) -> _Around | None:
    """What stands around the text of a chunk; None where it is not found as it is."""
    start = event.find(_TEXT) + len(_TEXT)
    if start < len(_TEXT):
        return None
    stop = start + len(text.encode())
    if event[start:stop] != text.encode() or event[stop : stop + 1] != _QUOTE:
        return None
    padded = event.find(_PADDING, stop) + len(_PADDING)
    if padded < len(_PADDING):
        return event[:start], b"", event[stop:]
    closed = event.index(_QUOTE, padded)
    return (event[:start], event[stop:padded], event[closed:]) if event[padded:closed].isalnum() else None


def _plain_size(texts: bytes) -> int:
    """Characters of texts; -1 where JSON would write some of them otherwise, or they are not UTF-8."""
    if texts.find(_QUOTE) >= 0 or texts.find(_ESCAPE) >= 0:
        return -1
    try:
        read = texts.decode()
    except UnicodeDecodeError:
        return -1
    return len(read) if not read or read.isprintable() else -1
