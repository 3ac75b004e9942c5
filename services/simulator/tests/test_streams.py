"""What directives make of a stream, on bytes alone."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.faults import checked
from simulator.streams import Ending, StreamPlan, StreamScript, frames_within, planned, recut

FRAMES = [b'data: {"n":%d,"content":"abc"}\n\n' % number for number in range(5)]
SCRIPT = StreamScript(b": hi\n\n", FRAMES, [0, 1, 1, 1, 0], 4, b"data: [DONE]\n\n", b'data: {"error":1}\n\n')


def plan(**directives: Any) -> StreamPlan:
    return planned(SCRIPT, checked(directives))


def test_without_directives_a_stream_is_what_its_wire_wrote() -> None:
    assert plan() == StreamPlan(b": hi\n\n", FRAMES, SCRIPT.tokens, 4, SCRIPT.done, Ending.DONE, True)


@pytest.mark.parametrize(("directive", "ending"), [("cut_after", Ending.CUT), ("stall_after", Ending.STALL)])
def test_a_stream_stops_after_the_ordered_chunk(directive: str, ending: Ending) -> None:
    stopped = plan(**{directive: 2})
    assert (stopped.frames, stopped.ending, stopped.is_whole) == (FRAMES[:2], ending, False)
    assert plan(**{directive: 99}).frames == FRAMES


def test_an_error_takes_the_place_of_the_rest() -> None:
    failed = plan(error_at=3)
    assert failed.frames == [*FRAMES[:2], SCRIPT.error]
    assert (failed.tokens, failed.usage_at, failed.ending, failed.is_whole) == ([0, 1, 0], None, Ending.CLEAN, False)
    assert plan(error_at=99).usage_at == 4


def test_a_malformed_chunk_is_one_event_and_not_json() -> None:
    broken = plan(malformed_at=2)
    assert broken.frames[1] == b'data: {"n":1,"c\n\n'
    assert broken.frames[2:] == FRAMES[2:]
    assert not broken.is_whole
    assert plan(malformed_at=99).is_whole


def test_no_done_ends_cleanly_without_the_last_word() -> None:
    assert (plan(no_done=True).ending, plan(no_done=True).is_whole) == (Ending.CLEAN, False)


def test_a_long_line_is_still_one_json_line() -> None:
    grown = plan(big_line=5000)
    assert len(grown.frames[1]) > 5000
    assert grown.frames[1].endswith(b'"}\n\n')
    assert grown.frames[1].count(b"\n") == 2


def test_crlf_ends_every_line() -> None:
    plain = plan(crlf=True)
    whole = b"".join([plain.preamble, *plain.frames, plain.done])
    assert whole.count(b"\n") == whole.count(b"\r\n") == 2 * 7


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=9), st.integers(1, 12))
def test_recut_pieces_are_the_same_bytes(frames: list[bytes], size: int) -> None:
    pieces = recut(frames, size)
    assert b"".join(pieces) == b"".join(frames)
    assert all(len(piece) == size for piece in pieces[:-1])


@given(st.lists(st.integers(1, 9), max_size=9), st.integers(0, 99))
def test_a_frame_counts_once_its_last_byte_has_left(sizes: list[int], length: int) -> None:
    ends = list(accumulate(sizes))
    assert frames_within(ends, length, 0) == sum(end <= length for end in ends)
