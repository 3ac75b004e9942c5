"""Transcriptions and pictures in pieces: relayed as they come, their last event after the call's own, billed exactly."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import pytest
from common.money import Money
from common.providers.registry import PROVIDERS
from gateway.api.events import EventsVoice
from gateway.providers.operations import IMAGES, TRANSCRIPTIONS, Operation
from gateway.providers.wire import StreamDecoder
from gateway_house import House
from operated import add_model
from published import check
from test_operations import billed, client_of, wav

DELTA = b'data: {"type":"transcript.text.delta","delta":"Good "}\n\n'
ENDED = (
    b'data: {"type":"transcript.text.done","text":"Good \xc3\xbc","usage":{"type":"tokens","input_tokens":9,'
    b'"output_tokens":2,"total_tokens":11,"input_token_details":{"text_tokens":2,"audio_tokens":7}}}\n\n'
)
PARTIAL = (
    b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"AA=="}\n\n'
)
DRAWN = (
    b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"AA==",'
    b'"usage":{"input_tokens":5,"output_tokens":372,"total_tokens":377}}\n\n'
)
STREAMS = {"transcription": (TRANSCRIPTIONS, DELTA, ENDED), "picture": (IMAGES, PARTIAL, DRAWN)}
each_stream = pytest.mark.parametrize("which", STREAMS)


def decoder_of(operation: Operation) -> StreamDecoder:
    """What reads a stream of OpenAI's."""
    return operation.wire({}, PROVIDERS["openai"]).decode_stream(PROVIDERS["openai"], False, 0, "m")


def events_in(told: bytes) -> list[dict[str, Any]]:
    """What a client reads, each event under the name that it says of itself."""
    found = []
    for block in told.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        found.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    return found


@each_stream
def test_a_stream_is_the_same_wherever_it_is_cut_and_its_end_waits(which: str) -> None:
    operation, piece, last = STREAMS[which]
    stream, draw = piece * 3 + last + b"data: [DONE]\n\n", random.Random(which)
    for count in (0, 3, 40):
        cuts = sorted(draw.randrange(len(stream)) for _ in range(count))
        decoder, voice, told = decoder_of(operation), EventsVoice(), b""
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            told += voice.events(decoder.feed(stream[start:end]))
        told += voice.events(decoder.finish())
        assert (decoder.failure, decoder.is_done, len(events_in(told))) == (None, True, 3)
        assert [one["type"] for one in events_in(voice.end(b"data: [DONE]\n\n"))] == [
            json.loads(last[last.index(b"{") :])["type"]
        ]


def test_usage_is_read_of_the_last_event() -> None:
    heard, drawn = decoder_of(TRANSCRIPTIONS), decoder_of(IMAGES)
    heard.feed(DELTA + ENDED)
    drawn.feed(PARTIAL + DRAWN)
    used = heard.usage()
    assert used is not None
    assert (used.input_tokens, used.audio_input_tokens, used.output_tokens, used.total_tokens) == (2, 7, 2, 11)
    used = drawn.usage()
    assert used is not None
    assert (used.input_tokens, used.units) == (5, {"images": 1, "output_image_tokens": 372})
    assert heard.delivered_tokens() == 1


@each_stream
@pytest.mark.parametrize("rest", [b"", b'data: {"error":{"message":"no","code":"x"}}\n\n', b"data: {broken\n\n"])
def test_a_stream_without_its_last_event_has_failed(which: str, rest: bytes) -> None:
    operation, piece, _ = STREAMS[which]
    decoder = decoder_of(operation)
    decoder.feed(piece + rest)
    decoder.finish()
    assert decoder.failure is not None
    assert decoder.usage() is None


def test_a_picture_is_one_event_however_large_and_one_without_end_is_none() -> None:
    decoder, picture = decoder_of(IMAGES), b"A" * 3_000_000
    decoder.feed(PARTIAL.replace(b"AA==", picture))
    assert decoder.failure is None
    for _ in range(17):
        decoder.feed(b"A" * (1 << 20))
    assert decoder.failure is not None


async def test_a_transcription_comes_word_by_word_and_is_billed(house: House) -> None:
    rates = {"input_tokens": "2.5", "output_tokens": "10", "audio_input_tokens": "6"}
    model = await add_model(house, "openai", "gpt-4o-transcribe", rates, context_length=16_000, max_output_tokens=2_000)
    caller = await house.caller(monthly_budget=Money.of("1"))
    async with client_of(house, caller) as client:
        stream = await client.audio.transcriptions.create(model=model, file=("a.wav", wav(3)), stream=True)
        events = [event.model_dump(exclude_unset=True) async for event in stream]
    for event in events:
        check("transcription_event", event)
    assert "".join(event["delta"] for event in events[:-1]) == events[-1]["text"]
    operation, cost, usage = await billed(house, caller)
    assert (operation, usage.audio_input_tokens, usage.estimated) == ("transcriptions", 40, False)
    assert cost == (40 * Decimal(6) + usage.output_tokens * Decimal(10)) / 1_000_000
    [event] = await house.told(caller)
    assert event.streamed


async def test_a_picture_comes_in_stages_and_is_billed(house: House) -> None:
    model = await add_model(house, "openai", "gpt-image-1.5", {"input_tokens": "5", "output_image_tokens": "0.000032"})
    caller = await house.caller(monthly_budget=Money.of("1"))
    async with client_of(house, caller) as client:
        stream = await client.images.generate(model=model, prompt="a folded map", stream=True, partial_images=2)
        events = [event.model_dump(exclude_unset=True) async for event in stream]
    for event in events:
        check("image_event", event)
    assert [event["type"].rpartition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
    operation, cost, usage = await billed(house, caller)
    assert (operation, usage.units) == ("images", {"images": 1, "output_image_tokens": 472})
    assert cost == usage.input_tokens * Decimal(5) / 1_000_000 + 472 * Decimal("0.000032")


async def test_who_hangs_up_on_a_picture_pays_for_a_likely_one(house: House) -> None:
    model = await add_model(house, "openai", "gpt-image-1.5", {"input_tokens": "5", "output_image_tokens": "0.000032"})
    caller = await house.caller(monthly_budget=Money.of("1"))
    asked = {"model": model, "prompt": "[[simulate chunk_ms=2000]] a map", "stream": True, "partial_images": 3}
    async with house.http.stream("POST", "/v1/images/generations", json=asked, headers=caller.headers) as answer:
        async for _ in answer.aiter_bytes():
            break
    [event] = await house.told(caller)
    assert (event.status, event.usage.estimated) == ("cancelled", True)
    assert Decimal("0.03") < Decimal(str(event.cost_usd)) < Decimal("0.04")


async def test_a_stream_that_breaks_is_told_and_costs_nothing(house: House) -> None:
    model = await add_model(house, "openai", "gpt-image-1.5", {"input_tokens": "5", "output_image_tokens": "0.000032"})
    caller = await house.caller(monthly_budget=Money.of("1"))
    asked = {"model": model, "prompt": "[[simulate cut_after=2]] a map", "stream": True, "partial_images": 3}
    answer = await house.http.post("/v1/images/generations", json=asked, headers=caller.headers)
    assert answer.status_code == 200
    assert json.loads(answer.text.split("\n\n")[-2].removeprefix("data: "))["error"]["reason"] == "provider_error"
    [event] = await house.told(caller)
    assert (event.status, Decimal(str(event.cost_usd))) == ("failed", Decimal(0))
    assert await house.open_money(caller) == (0, 0)


@pytest.mark.parametrize(
    ("path", "model", "more", "param"),
    [
        ("images/generations", ("openai", "gpt-image-1.5"), {"n": 2}, "n"),
        ("images/generations", ("google", "gemini-2.5-flash-image"), {}, "stream"),
        ("audio/transcriptions", ("openai", "whisper-1"), {}, "stream"),
        ("audio/translations", ("openai", "whisper-1"), {}, "stream"),
    ],
)
async def test_what_is_not_streamed_says_so(
    house: House, path: str, model: tuple[str, str], more: dict[str, Any], param: str
) -> None:
    name, caller = await add_model(house, *model, {"input_tokens": "1"}), await house.caller()
    if path.startswith("audio"):
        body: dict[str, Any] = {"data": {"model": name, "stream": "true"}, "files": {"file": ("a.wav", wav(0.1))}}
    else:
        body = {"json": {"model": name, "prompt": "a map", "stream": True, **more}}
    refused = await house.http.post(f"/v1/{path}", headers=caller.headers, **body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text
