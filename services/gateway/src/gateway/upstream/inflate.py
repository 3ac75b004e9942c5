"""Decompresses an answer piece by piece, for a provider that compresses although it was asked not to.

Pure: bytes in, bytes out. A small compressed body can stand for gigabytes, so output is made in steps of bounded size,
only as fast as it is asked for, and a body that grows beyond the allowed ratio is refused. A compressed stream carries
its own end mark; one that stops before it is cut, even where the HTTP framing around it looked complete.
"""

from __future__ import annotations

import zlib

from gateway.upstream.errors import UpstreamCut, UpstreamProtocolError, UpstreamTooLarge

STEP_BYTES = 65_536
_FREE_BYTES = 1_048_576  # below this size no ratio is suspicious: short repetitive answers compress extremely well
_GZIP, _ZLIB, _RAW = 31, 15, -15
_ENCODINGS = {b"gzip": "gzip", b"x-gzip": "gzip", b"deflate": "deflate"}


def inflater_for(encoding: bytes, max_expansion: int) -> Inflater | None:
    """The inflater for a `Content-Encoding` value; None if there is nothing to undo. Unknown encodings raise."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return None
    if name not in _ENCODINGS:
        raise UpstreamProtocolError("the answer has a content encoding that was not asked for and is not known")
    return Inflater(_ENCODINGS[name] == "gzip", max_expansion)


class Inflater:
    """`push` received bytes, `pull` until it gives b"", and `finish` when the body has ended."""

    __slots__ = ("_is_gzip", "_max_expansion", "_pending", "_produced", "_pushed", "_stream")

    def __init__(self, is_gzip: bool, max_expansion: int) -> None:
        self._is_gzip = is_gzip
        self._max_expansion = max_expansion
        self._pending = b""
        self._pushed = 0
        self._produced = 0
        self._stream = zlib.decompressobj(_GZIP) if is_gzip else None

    def push(self, piece: bytes) -> None:
        """More of the compressed body."""
        self._pushed += len(piece)
        self._pending = self._pending + piece if self._pending else piece

    def pull(self) -> bytes:
        """At most STEP_BYTES of the decompressed body; b"" when more input is needed."""
        while (stream := self._current()) is not None:
            piece = self._step(stream)
            if piece or not (stream.eof and self._pending):
                return piece
        return b""

    def finish(self) -> None:
        """Raises UpstreamCut if the compressed stream has not reached its own end. An empty body is complete."""
        if self._pushed and (self._stream is None or not self._stream.eof):
            raise UpstreamCut("the compressed body of the answer ended early")

    def _step(self, stream: zlib._Decompress) -> bytes:
        try:
            piece = stream.decompress(self._pending, STEP_BYTES)
        except zlib.error:
            raise UpstreamProtocolError("the compressed body of the answer is damaged") from None
        self._pending = stream.unused_data if stream.eof else stream.unconsumed_tail
        self._produced += len(piece)
        if self._produced > _FREE_BYTES and self._produced > self._max_expansion * (self._pushed - len(self._pending)):
            raise UpstreamTooLarge(f"the body grows to more than {self._max_expansion} times its compressed size")
        return piece

    def _current(self) -> zlib._Decompress | None:
        """The stream that takes the next input; a gzip body may be several streams one after the other."""
        if self._stream is None:
            self._stream = self._deflate_stream()
        elif self._stream.eof:
            if not self._pending:
                return None
            if not self._is_gzip:
                raise UpstreamProtocolError("the answer goes on after the end of its compressed body")
            self._stream = zlib.decompressobj(_GZIP)
        return self._stream

    def _deflate_stream(self) -> zlib._Decompress | None:
        """`deflate` means zlib by the standard and raw deflate with some servers: the first two bytes tell."""
        if len(self._pending) < 2:
            return None
        first, second = self._pending[0], self._pending[1]
        is_zlib = first & 0x0F == 8 and (first << 8 | second) % 31 == 0
        return zlib.decompressobj(_ZLIB if is_zlib else _RAW)
