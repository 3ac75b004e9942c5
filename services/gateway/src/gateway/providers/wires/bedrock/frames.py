"""AWS's event stream: from bytes that may be cut anywhere to whole frames, each with its name and its JSON. Pure.

A frame is its length, its headers' length and a checksum of the two, then headers, payload, and a checksum of it all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

from gateway.providers.framing import MAX_EVENT_BYTES, EventTooLarge

_PRELUDE = struct.Struct(">III")
_CHECKSUM_BYTES = 4
_LEAST_BYTES = _PRELUDE.size + _CHECKSUM_BYTES
_STRING = 7
_FIXED_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_COUNTED = (6, _STRING)


class BrokenFrame(ValueError):
    """Bytes that are no frame, or were changed on their way."""


class FrameSplitter:
    """Collects bytes and gives back whole frames, as (name, payload). An exception's name begins with `!`."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[tuple[bytes, bytes]]:
        """The frames that are complete with this piece. Raises EventTooLarge, BrokenFrame."""
        found: list[tuple[bytes, bytes]] = []
        rest, start = self._rest + piece, 0
        while len(rest) - start >= _PRELUDE.size:
            size, headers_size, checksum = _PRELUDE.unpack_from(rest, start)
            if checksum != crc32(rest[start : start + 8]) or size < _LEAST_BYTES + headers_size:
                raise BrokenFrame("a frame's beginning is damaged")
            if size > MAX_EVENT_BYTES:
                raise EventTooLarge("a frame is longer than 1 MiB")
            if len(rest) - start < size:
                break
            found.append(_frame(rest[start : start + size], headers_size))
            start += size
        self._rest = rest[start:]
        return found

    def finish(self) -> list[tuple[bytes, bytes]]:
        """Nothing: a frame that is not whole is none."""
        return []


def _frame(frame: bytes, headers_size: int) -> tuple[bytes, bytes]:
    end = len(frame) - _CHECKSUM_BYTES
    if int.from_bytes(frame[end:], "big") != crc32(frame[:end]):
        raise BrokenFrame("a frame is damaged")
    begin = _PRELUDE.size + headers_size
    headers = dict(_headers(frame[_PRELUDE.size : begin]))
    payload = frame[begin:end]
    kind = headers.get(b":message-type")
    if kind == b"exception":
        return b"!" + headers.get(b":exception-type", b""), payload
    if kind == b"error":  # as exceptions, but all in headers
        return b"!" + headers.get(b":error-code", b""), b"{}"
    return headers.get(b":event-type", b""), payload


def _headers(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The headers that are texts."""
    place = 0
    try:
        while place < len(block):
            name_end = place + 1 + block[place]
            name, kind = block[place + 1 : name_end], block[name_end]
            place = name_end + 1
            size = _FIXED_SIZES.get(kind, 0)
            if kind in _COUNTED:
                size = int.from_bytes(block[place : place + 2], "big")
                place += 2
            elif kind not in _FIXED_SIZES:
                raise BrokenFrame("a frame has a header of unknown type")
            if kind == _STRING:
                yield name, block[place : place + size]
            place += size
    except IndexError:
        raise BrokenFrame("a frame's headers are damaged") from None
