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
    done: bytes
    ending: Ending
    is_whole: bool
    """Whether a client that reads to the end has a complete and sound answer."""


def planned(script: StreamScript, directives: Directives) -> StreamPlan:
    """The stream of `script` with the misbehaviour that `directives` order."""
    frames, ending, is_whole = script.frames, Ending.DONE, True
    if directives.big_line is not None and frames:
        frames = _with_long_line(frames, directives.big_line)
    if directives.malformed_at is not None and directives.malformed_at <= len(frames):
        frames, is_whole = _with_broken_chunk(frames, directives.malformed_at - 1), False
    if directives.no_done:
        ending = Ending.CLEAN
    if directives.error_at is not None:
        frames, ending = [*frames[: directives.error_at - 1], script.error], Ending.CLEAN
    if directives.stall_after is not None:
        frames, ending = frames[: directives.stall_after], Ending.STALL
    if directives.cut_after is not None:
        frames, ending = frames[: directives.cut_after], Ending.CUT
    preamble, done = script.preamble, script.done
    if directives.crlf:
        frames = [_with_crlf(frame) for frame in frames]
        preamble, done = _with_crlf(preamble), _with_crlf(done)
    return StreamPlan(preamble, frames, done, ending, is_whole and ending is Ending.DONE)


def recut(frames: list[bytes], size: int) -> list[bytes]:
    """The same bytes in pieces of `size`, wherever that falls."""
    whole = b"".join(frames)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def frames_within(frames: list[bytes], length: int) -> int:
    """How many of `frames` have left completely once `length` bytes of them have."""
    count = 0
    for frame in frames:
        length -= len(frame)
        if length < 0:
            break
        count += 1
    return count


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
