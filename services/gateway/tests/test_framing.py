"""Server-sent events: whatever way the bytes are cut, whatever the standard allows, the same events come out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from gateway.providers.framing import MAX_EVENT_BYTES, EventSplitter, EventTooLarge
from hypothesis import given
from hypothesis import strategies as st

Events = list[tuple[bytes, bytes]]

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=12).map(
    str.encode
)


def split(stream: bytes, cuts: list[int] | None = None) -> Events:
    """The events of a stream that comes in the pieces between the cuts."""
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts or []), len(stream)]
    splitter = EventSplitter()
    events = [event for start, end in pairwise(places) for event in splitter.feed(stream[start:end])]
    return events + splitter.finish()


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, Events]:
    """A stream with one kind of line end, and the events in it."""
    end = draw(LINE_ENDS)
    lines, events = [], []
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            lines += [b": " + draw(TEXT), b""]
        name = draw(st.sampled_from([b"", b"error", b"message"]))
        datas = draw(st.lists(TEXT.filter(lambda text: not text.startswith(b" ")), min_size=1, max_size=3))
        space = draw(st.sampled_from([b"", b" "]))
        lines += [b"event:" + space + name] if name else []
        lines += [b"data:" + space + text for text in datas]
        lines += [b""] * draw(st.integers(1, 3))
        events.append((name, b"\n".join(datas)))
    return end.join([*lines, b""]), events


@given(streams(), st.lists(st.integers(0, 10_000), max_size=12))
def test_every_cut_of_the_bytes_gives_the_same_events(stream: tuple[bytes, Events], cuts: list[int]) -> None:
    assert split(stream[0], cuts) == stream[1]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_pair_of_cuts_in_a_stream_of_all_kinds(end: bytes) -> None:
    lines = [
        b"data: a",
        b"data:b",
        b"",
        b": c",
        b"event: e",
        b"data: d",
        b"",
        b"data: f",
        b":",
        b"",
        b"",
        b"data: g",
        b"",
    ]
    stream = end.join([*lines, b""])
    events = [(b"", b"a\nb"), (b"e", b"d"), (b"", b"f"), (b"", b"g")]
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            assert split(stream, [first, second]) == events, (first, second)


@given(streams())
def test_byte_by_byte_is_as_good_as_at_once(stream: tuple[bytes, Events]) -> None:
    assert split(stream[0], list(range(len(stream[0])))) == split(stream[0]) == stream[1]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a\n\n", [(b"", b" a")]),
        (b"data: a\r\n\r\ndata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b": hello\n\ndata: a\n\n", [(b"", b"a")]),
        (b": hello\ndata: a\n\n", [(b"", b"a")]),
        (b"event: error\ndata: a\n\n", [(b"error", b"a")]),
        (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
        (b"id: 7\nretry: 10\nevent: ping\n\n", []),
        (b"data\n\n", [(b"", b"")]),
        (b"\n\n\ndata: a\n\n\n\n", [(b"", b"a")]),
        (b"data: a\n\ndata: b", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r", [(b"", b"a")]),
        (b"", []),
    ],
)
def test_what_the_standard_allows_is_read(stream: bytes, events: Events) -> None:
    assert split(stream) == events


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: \xc3") == []
    assert splitter.feed(b"\xa9\r\n\r\n") == [(b"", "é".encode())]


def test_an_event_without_end_is_given_up() -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 6))
    with pytest.raises(EventTooLarge):
        splitter.feed(b"xx")
