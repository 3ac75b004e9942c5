"""Chunks told apart by their bytes mean what reading them would say, and everything else is read."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from gateway.providers.wires.openai import StreamDecoder, streams
from gateway.providers.wires.openai.plain import PlainChunks
from hypothesis import given
from hypothesis import strategies as st
from wire_streams import OPENAI

TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(['"', "\\", 'a"}', "\n", "\x7f", "😀", "}],", '","x":"']))
TAILS = st.sampled_from([{}, {"usage": None}, {"service_tier": "default"}, {"error": None}, {"x": {"content": "Hi"}}])


@st.composite
def chunked(draw: st.DrawFn) -> list[bytes]:
    """Chunks as providers send them, most of them alike, some not."""
    tail: dict[str, Any] = draw(TAILS)
    is_padded, is_spaced = draw(st.booleans()), draw(st.booleans())
    made = []
    for text in draw(st.lists(TEXTS, max_size=8)):
        delta: dict[str, Any] = {"content": text}
        finish = None
        match draw(st.integers(0, 9)):
            case 0:
                delta["role"] = "assistant"
            case 1:
                delta["tool_calls"] = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]
            case 2:
                delta["reasoning_content"] = "hm"
            case 3:
                finish = "stop"
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        whole = {"id": "c-1", "created": 7, "model": "m", "choices": [choice], **tail}
        if is_padded:
            whole["obfuscation"] = draw(st.sampled_from(["", "x", "aB3", 'a"b', "é"]))
        body = json.dumps(whole, ensure_ascii=draw(st.booleans()), separators=None if is_spaced else (",", ":"))
        made.append(b"data: " + body.encode("utf-8", "surrogatepass") + b"\n\n")
    return made


def seen(stream: list[bytes], *, wants_usage: bool, is_read: bool) -> tuple[bytes, Any]:
    """What a client sees of a stream, and what the decoder knows at its end."""
    with pytest.MonkeyPatch.context() as patch:
        if is_read:
            patch.setattr(PlainChunks, "read_run", lambda self, piece: None)
        decoder = StreamDecoder(OPENAI, wants_usage)
        events = b"".join(decoder.feed(piece) for piece in stream) + decoder.finish()
    failure = decoder.failure and decoder.failure.message
    return events, (decoder.content_bytes, decoder.pieces, decoder.finish_reason, decoder.service_tier, failure)


@given(chunked(), st.booleans())
def test_a_chunk_that_is_not_read_means_what_reading_it_says(stream: list[bytes], wants_usage: bool) -> None:
    assert seen(stream, wants_usage=wants_usage, is_read=False) == seen(stream, wants_usage=wants_usage, is_read=True)


TOLD = [b"", b',"usage":null', b',"obfuscation":"%d"', b',"usage":null,"obfuscation":"a%d","x":{}']


def chunk(word: str, tail: bytes, at: int) -> bytes:
    """An event with one text, as padded as `tail` says."""
    choice = b'{"index":0,"delta":{"content":"' + word.encode() + b'"},"finish_reason":null}'
    told = tail % 37**at if b"%d" in tail else tail
    return b'data: {"id":"c","choices":[' + choice + b"]" + told + b"}\n\n"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The chunks that were read as JSON."""
    seen: list[bytes] = []
    decode = streams._decode_chunk
    monkeypatch.setattr(streams, "_decode_chunk", lambda data: seen.append(data) or decode(data))
    return seen


@pytest.mark.parametrize("tail", TOLD)
@pytest.mark.parametrize("wants_usage", [False, True])
def test_of_a_stream_of_texts_only_the_first_is_read(tail: bytes, wants_usage: bool, read: list[bytes]) -> None:
    decoder = StreamDecoder(OPENAI, wants_usage)
    for at, word in enumerate(("one", "two", "drei ß", "")):
        event = chunk(word, tail, at)
        decoder.feed(event[:20])
        decoder.feed(event[20:])
    assert len(read) == 1
    assert (decoder.content_bytes, decoder.pieces) == (12, 3)


@given(chunked(), st.booleans(), st.lists(st.integers(0, 2_000), max_size=6))
def test_chunks_that_come_together_mean_what_reading_each_says(
    stream: list[bytes], wants_usage: bool, cuts: list[int]
) -> None:
    whole = b"".join(stream)
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    pieces = [whole[begins:ends] for begins, ends in itertools.pairwise(places)]
    assert seen(pieces, wants_usage=wants_usage, is_read=False) == seen(pieces, wants_usage=wants_usage, is_read=True)


@pytest.mark.parametrize("tail", TOLD)
@pytest.mark.parametrize("wants_usage", [False, True])
def test_of_a_run_of_texts_none_is_read(tail: bytes, wants_usage: bool, read: list[bytes]) -> None:
    words = ["two", "drei ß", "", "😀"]
    events = [chunk(word, tail, at) for at, word in enumerate(words)]
    alone, together = StreamDecoder(OPENAI, wants_usage), StreamDecoder(OPENAI, wants_usage)
    for decoder in (alone, together):
        decoder.feed(chunk("one", tail, 9))
    read.clear()
    told = together.feed(b"".join(events) + chunk("cut", tail, 0)[:9])
    assert told == b"".join(map(alone.feed, events))
    assert read == []
    assert (together.content_bytes, together.pieces) == (3 + 3 + 6 + 1, 4)


@pytest.mark.parametrize("tail", TOLD)
def test_a_run_ends_where_another_chunk_follows(tail: bytes, read: list[bytes]) -> None:
    """The last piece of nearly every stream."""
    decoder = StreamDecoder(OPENAI, wants_usage=False)
    decoder.feed(chunk("one", tail, 1))
    read.clear()
    last = chunk("", tail, 5).replace(b'{"content":""}', b"{}").replace(b'_reason":null', b'_reason":"stop"')
    told = decoder.feed(chunk("two", tail, 2) + chunk("three", tail, 3) + last + b"data: [DONE]\n\n")
    assert (told.count(b"data: "), len(read)) == (3, 1)
    assert (decoder.content_bytes, decoder.finish_reason, decoder.is_done) == (11, "stop", True)


FIRST = b'{"id":"c","choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}]}'
PADDED = FIRST[:-1] + b',"obfuscation":"aB3"}'


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (FIRST, FIRST.replace(b"one", b"o\x01e")),
        (FIRST, FIRST.replace(b"one", b"o\xffe")),
        (FIRST, FIRST.replace(b"one", b'o\\"e')),
        (FIRST, FIRST.replace(b"one", b"one\\")),
        (FIRST, FIRST.replace(b"null", b'"stop"')),
        (FIRST, FIRST[:-1]),
        (FIRST, FIRST[:-1] + b',"usage":{"prompt_tokens":1,"completion_tokens":2}}'),
        (FIRST, FIRST.replace(b'"one"}', b'"one","tool_calls":[{"index":0,"id":"c"}]}')),
        (FIRST, FIRST.replace(b'"one"}', b'"one"]')),
        (FIRST, FIRST.replace(b'"one"', b'"one","role":"assistant"')),
        (PADDED, PADDED.replace(b"aB3", b'a","usage":{"prompt_tokens":1,"completion_tokens":2},"b":"c')),
        (PADDED, PADDED.replace(b'"aB3"}', b'"aB3","error":{"message":"no"}}')),
        (PADDED, PADDED.replace(b'"aB3"}', b'"aB3"]')),
        (PADDED, FIRST),
        (FIRST, PADDED),
        (FIRST, b'{"id":"c","choices":[]}'),
        (
            FIRST.replace(b'"id"', b'"x":{"content":"one more"},"id"'),
            FIRST.replace(b'"id"', b'"x":{"content":"two"},"id"'),
        ),
        (PADDED.replace(b",", b',"x":{},', 1), FIRST.replace(b",", b',"x":{},', 1)),
        (PADDED.replace(b',"obf', b',"x":{},"obf'), FIRST[:-1] + b',"x":{}'),
    ],
)
@pytest.mark.parametrize("wants_usage", [False, True])
def test_what_only_looks_like_a_known_chunk_is_read(first: bytes, later: bytes, wants_usage: bool) -> None:
    stream = [b"data: " + one + b"\n\n" for one in (first, later, first)]
    for pieces in (stream, [stream[0], b"".join(stream[1:])]):
        read = seen(pieces, wants_usage=wants_usage, is_read=True)
        assert seen(pieces, wants_usage=wants_usage, is_read=False) == read
