"""A streamed answer as the list of frames that go out, and what directives make of it. Pure.

A wire writes the frames of a sound stream; `planned` deforms them: cuts, stalls, broken chunks, errors in the middle.
Sending is `playback`'s. Frames are server-sent events whose only line ends are their own, so that CRLF is a replace.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from simulator.faults import Directives


class Ending(Enum):
    """How the stream stops after its last frame."""

    DONE = "done"
    """With the wire's last word, and the body's proper end."""
    CLEAN = "clean"
    """With the body's proper end alone."""
    CUT = "cut"
    """The connection is closed in the middle of the body."""
    STALL = "stall"
    """Nothing more comes, then the connection is closed."""


class StreamScript(msgspec.Struct, frozen=True):
    """A sound stream, as its wire would send it."""

    preamble: bytes
    """Comments before the first chunk; no chunk itself."""
    frames: list[bytes]
    tokens: list[int]
    """Output tokens carried by each frame."""
    usage_at: int | None
    """Index of the first frame that reports usage."""
    done: bytes
    error: bytes
    """The frame that an error in the middle of the stream would be."""


class StreamPlan(msgspec.Struct, frozen=True):
    """A stream as it will be sent."""

    preamble: bytes
    frames: list[bytes]
    tokens: list[int]
    usage_at: int | None
    done: bytes
    ending: Ending
    is_whole: bool
    """Whether a client that reads to the end has a complete and sound answer."""


def planned(script: StreamScript, directives: Directives) -> StreamPlan:
    """The stream of `script` with the misbehaviour that `directives` order."""
    frames, tokens, usage_at = script.frames, script.tokens, script.usage_at
    preamble, done, ending = script.preamble, script.done, Ending.DONE
    broken_at = (directives.malformed_at or len(frames) + 1) - 1
    if directives.big_line is not None:
        frames = _with_long_line(frames, directives.big_line)
    if broken_at < len(frames):
        frames = _with_broken_chunk(frames, broken_at)
        usage_at = None if usage_at == broken_at else usage_at
    if directives.no_done:
        ending = Ending.CLEAN
    if directives.error_at is not None:
        failed_at = min(directives.error_at - 1, len(frames))
        frames, tokens, ending = [*frames[:failed_at], script.error], [*tokens[:failed_at], 0], Ending.CLEAN
        usage_at = None if usage_at is None or usage_at >= failed_at else usage_at
    if directives.stall_after is not None:
        frames, ending = frames[: directives.stall_after], Ending.STALL
    if directives.cut_after is not None:
        frames, ending = frames[: directives.cut_after], Ending.CUT
    if directives.crlf:
        frames = [_with_crlf(frame) for frame in frames]
        preamble, done = _with_crlf(preamble), _with_crlf(done)
    is_whole = ending is Ending.DONE and broken_at >= len(script.frames)
    return StreamPlan(preamble, frames, tokens, usage_at, done, ending, is_whole)


def recut(frames: list[bytes], size: int) -> list[bytes]:
    """The same bytes in pieces of `size`, wherever that falls."""
    whole = b"".join(frames)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def frames_within(ends: list[int], length: int, known: int) -> int:
    """How many frames have left completely once `length` bytes have, given where each ends and how many had before."""
    while known < len(ends) and ends[known] <= length:
        known += 1
    return known


def _with_long_line(frames: list[bytes], length: int) -> list[bytes]:
    """The second chunk (or the only one) grown by a member of `length` bytes."""
    index = min(1, len(frames) - 1)
    head, _, tail = frames[index].rpartition(b"}")
    grown = head + b',"padding":"' + b"x" * length + b'"}' + tail
    return [*frames[:index], grown, *frames[index + 1 :]]


def _with_broken_chunk(frames: list[bytes], index: int) -> list[bytes]:
    broken = frames[index][: len(frames[index]) // 2].rstrip() + b"\n\n"
    return [*frames[:index], broken, *frames[index + 1 :]]


def _with_crlf(frame: bytes) -> bytes:
    return frame.replace(b"\n", b"\r\n")
