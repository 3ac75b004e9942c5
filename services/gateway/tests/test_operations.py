"""Rankings, moderation, pictures, speech and transcriptions through the whole gateway: answered, and billed exactly."""

from __future__ import annotations

import io
import struct
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from common.contracts.snapshots import AliasSnapshot, DeploymentSnapshot
from common.money import Money
from gateway_house import Caller, House
from operated import add_model


def wav(seconds: float, rate: int = 16_000) -> bytes:
    """A silent WAV file of 16 bits."""
    data = b"\0\0" * int(rate * seconds)
    head = struct.pack(
        "<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVEfmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", len(data)
    )
    return head + data


def client_of(house: House, caller: Caller) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=caller.secret, base_url=f"{house.url}/v1", max_retries=0, _strict_response_validation=True
    )


async def billed(house: House, caller: Caller) -> tuple[str, Decimal, Any]:
    """Operation, cost and usage of a key's one call, which nothing is held for any more."""
    [event] = await house.told(caller)
    assert event.status == "completed"
    held, spent = await house.open_money(caller)
    assert (held, spent) == (0, -(-Decimal(str(event.cost_usd)) * 10**9 // 1))
    return event.operation, Decimal(str(event.cost_usd)), event.usage


async def post(house: House, caller: Caller, path: str, **members: Any) -> httpx2.Response:
    return await house.http.post(f"/v1/{path}", json=members, headers=caller.headers)


async def test_pictures_that_are_counted_in_tokens(house: House) -> None:
    rates = {"input_tokens": "5", "output_tokens": "10", "output_image_tokens": "0.000032"}
    model = await add_model(house, "openai", "gpt-image-1.5", rates)
    caller = await house.caller(monthly_budget=Money.of("5"))
    async with client_of(house, caller) as client:
        answer = await client.images.generate(model=model, prompt="a folded map", n=2)
    assert answer.data is not None
    assert [bool(one.b64_json) for one in answer.data] == [True, True]
    operation, cost, usage = await billed(house, caller)
    assert (operation, usage.units) == ("images", {"images": 2, "output_image_tokens": 544})
    assert cost == usage.input_tokens * Decimal(5) / 1_000_000 + 544 * Decimal("0.000032")


async def test_pictures_that_cost_each(house: House) -> None:
    model = await add_model(house, "openai", "dall-e-3", {"images": "0.04"})
    caller = await house.caller(monthly_budget=Money.of("0.1"))
    assert (await post(house, caller, "images/generations", model=model, prompt="a map", n=2)).status_code == 200
    assert (await billed(house, caller))[1] == Decimal("0.08")
    refused = await post(house, caller, "images/generations", model=model, prompt="a map")
    assert (refused.status_code, refused.json()["error"]["reason"]) == (402, "budget_exceeded")


async def test_speech_is_sound_and_costs_by_the_character(house: House) -> None:
    model = await add_model(house, "openai", "tts-1", {"input_characters": "0.000015"})
    caller = await house.caller(monthly_budget=Money.of("1"))
    async with client_of(house, caller) as client:
        answer = await client.audio.speech.create(model=model, voice="alloy", input="Grüße aus Zürich")
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert answer.content.startswith(b"ID3")
    operation, cost, usage = await billed(house, caller)
    assert (operation, usage.units["input_characters"]) == ("speech", 16)
    assert cost == 16 * Decimal("0.000015")


@pytest.mark.parametrize("kind", ["json", "text", "srt", "vtt", "verbose_json"])
async def test_a_transcription_costs_by_the_second_whatever_its_format(house: House, kind: Any) -> None:
    rates = {"audio_seconds": "0.0001", "input_audio_seconds": "0.0001"}
    model = await add_model(house, "openai", "whisper-1", rates)
    caller = await house.caller(monthly_budget=Money.of("1"))
    sound = ("speech.wav", wav(3), "audio/wav")
    async with client_of(house, caller) as client:
        answer: Any = await client.audio.transcriptions.create(
            model=model, file=sound, response_format=kind, timestamp_granularities=["word", "segment"], language="en"
        )
    text = answer if isinstance(answer, str) else answer.text
    assert "The old lighthouse" in text
    operation, cost, usage = await billed(house, caller)
    seconds = 4  # three, and a head
    assert (operation, usage.units) == ("transcriptions", {"input_audio_seconds": seconds})
    assert cost == seconds * Decimal("0.0001")
    assert usage.estimated == (kind in ("srt", "vtt"))


async def test_a_transcription_that_is_counted_in_tokens(house: House) -> None:
    rates = {"input_tokens": "2.5", "output_tokens": "10", "audio_input_tokens": "6"}
    model = await add_model(house, "openai", "gpt-4o-transcribe", rates, context_length=16_000, max_output_tokens=2_000)
    caller = await house.caller(monthly_budget=Money.of("1"))
    async with client_of(house, caller) as client:
        answer = await client.audio.transcriptions.create(model=model, file=("a.mp3", io.BytesIO(b"x" * 20_000)))
    assert answer.text
    _, cost, usage = await billed(house, caller)
    assert usage.audio_input_tokens > 0
    assert cost == (usage.audio_input_tokens * Decimal(6) + usage.output_tokens * Decimal(10)) / 1_000_000


async def test_a_translation_is_asked_for_at_its_own_path(house: House) -> None:
    model = await add_model(house, "groq", "whisper-large-v3", {"audio_seconds": "0.00003"})
    caller = await house.caller()
    async with client_of(house, caller) as client:
        answer = await client.audio.translations.create(model=model, file=("a.wav", wav(1)))
    assert answer.text
    operation, cost, _ = await billed(house, caller)
    assert (operation, cost) == ("translations", 2 * Decimal("0.00003"))


@pytest.mark.parametrize(
    ("fields", "files", "param"),
    [
        ({}, {"file": ("a.wav", b"x")}, "model"),
        ({"model": "openai/whisper-1"}, {"other": ("a.wav", b"x")}, "file"),
        ({"model": "openai/whisper-1", "response_format": "pdf"}, {"file": ("a.wav", b"x")}, "response_format"),
        ({"model": "openai/whisper-1", "stream": "true"}, {"file": ("a.wav", b"x")}, "stream"),
        ({"model": ["openai/whisper-1", "openai/gpt-4"]}, {"file": ("a.wav", b"x")}, None),
    ],
)
async def test_a_form_that_lacks_something_is_refused_by_name(
    house: House, fields: Any, files: Any, param: str | None
) -> None:
    caller = await house.caller()
    refused = await house.http.post("/v1/audio/transcriptions", data=fields, files=files, headers=caller.headers)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text


async def test_rankings_cost_by_the_search_at_cohere(house: House) -> None:
    model = await add_model(house, "cohere", "rerank-v3.5", {"rerank_searches": "0.002"})
    caller = await house.caller(monthly_budget=Money.of("1"))
    documents = [{"text": "a folded map"}, "the old lighthouse near the river", "yesterday's list"]
    answer = await post(
        house,
        caller,
        "rerank",
        model=model,
        query="old lighthouse",
        documents=documents,
        top_n=2,
        return_documents=True,
    )
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["results"]
    assert (first["index"], first["document"]["text"]) == (1, "the old lighthouse near the river")
    assert first["relevance_score"] > second["relevance_score"]
    operation, cost, usage = await billed(house, caller)
    assert (operation, usage.units, cost) == ("rerank", {"rerank_searches": 1}, Decimal("0.002"))


async def test_rankings_cost_by_the_token_elsewhere(house: House) -> None:
    model = await add_model(house, "together", "Salesforce/Llama-Rank-V1", {"input_tokens": "0.1"})
    caller = await house.caller()
    answer = await post(house, caller, "rerank", model=model, query="map", documents=["a folded map", "rain"])
    assert [one["index"] for one in answer.json()["results"]] == [0, 1]
    _, cost, usage = await billed(house, caller)
    assert usage.input_tokens == answer.json()["usage"]["total_tokens"]
    assert cost == usage.input_tokens * Decimal("0.1") / 1_000_000


async def test_a_ranking_without_any_price_is_charged_by_its_text(house: House) -> None:
    model = await add_model(house, "cohere", "rerank-unheard-of", None)
    caller = await house.caller()
    assert (
        await post(house, caller, "rerank", model=model, query="map", documents=["a folded map"])
    ).status_code == 200
    _, cost, usage = await billed(house, caller)
    assert usage.estimated
    assert cost == usage.input_tokens * Decimal("0.5") / 1_000_000 > 0


async def test_moderation_is_free_and_has_a_model_of_its_own(house: House) -> None:
    await add_model(house, "openai", "omni-moderation-latest", {})
    caller = await house.caller()
    async with client_of(house, caller) as client:  # which takes only what is of the published shape
        answer = await client.moderations.create(input=["violence", "a folded map"])
    assert [one.flagged for one in answer.results] == [True, False]
    operation, cost, _ = await billed(house, caller)
    assert (operation, cost) == ("moderations", Decimal(0))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("rerank", {"query": "a", "documents": ["a"]}),
        ("images/generations", {"prompt": "a"}),
        ("audio/speech", {"input": "a", "voice": "alloy"}),
        ("moderations", {"input": "a"}),
    ],
)
async def test_who_does_not_do_it_says_so(house: House, path: str, body: dict[str, Any]) -> None:
    model = await add_model(house, "anthropic", "claude-sonnet-4-5", {"input_tokens": "3"})
    refused = await post(house, await house.caller(), path, model=model, **body)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (400, "unsupported_by_provider")


async def test_an_alias_falls_back_to_the_next_who_does_it(house: House) -> None:
    first = await add_model(house, "cohere", "rerank-v3.5", {"rerank_searches": "0.002"})
    await add_model(house, "together", "Salesforce/Llama-Rank-V1", {"input_tokens": "0.1"})
    deployments = (
        DeploymentSnapshot(provider="cohere", model=first.partition("/")[2]),
        DeploymentSnapshot(provider="together", model="Salesforce/Llama-Rank-V1", priority=1),
    )
    await house.put("catalog", "alias.ranked", AliasSnapshot(id="ranked", alias="ranked", deployments=deployments))
    await house.is_callable("ranked")
    caller = await house.caller()
    answer = await post(house, caller, "rerank", model="ranked", query="map", documents=[{"title": "map"}, "rain"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-tollgate-provider"] == "together"
