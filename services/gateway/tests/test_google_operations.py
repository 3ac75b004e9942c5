"""What Google does beside chat: how it is asked, what is read of its answers, and that it is billed exactly."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from decimal import Decimal
from typing import Any

import msgspec
import openai
import pytest
from common.money import Money
from common.providers.registry import PROVIDERS
from exchange_checks import COUNT, has_no_negative_bucket
from gateway.providers.errors import ProviderFailed
from gateway.providers.operations import EMBEDDINGS, IMAGES, SPEECH, Operation
from gateway.providers.wire import Answer, Outgoing
from gateway_house import House
from hypothesis import given
from hypothesis import strategies as st
from operated import add_model
from published import check
from test_operations import billed, client_of, post

DRAWS, PREDICTS, SPEAKS = "gemini-2.5-flash-image", "imagen-4.0-generate-001", "gemini-2.5-flash-preview-tts"
PICTURE = {"inlineData": {"mimeType": "image/png", "data": b64encode(b"picture").decode()}}
SAMPLES = {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=16000", "data": b64encode(b"\1\0\2\0").decode()}}


def members(**given: Any) -> dict[str, msgspec.Raw]:
    """A request as the doors read it."""
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in given.items()}


def asked(operation: Operation, model: str, provider: str = "google", **given: Any) -> tuple[str, Any, Outgoing]:
    """Path, body and all of what goes to Google."""
    sent = operation.verbs["gemini"].encode(members(**given), PROVIDERS[provider], model)
    return sent.path, json.loads(sent.body), sent


def read(operation: Operation, told: Any, model: str = "m", **given: Any) -> Answer:
    """What is made of an answer."""
    body = json.dumps(told).encode()
    return operation.verbs["gemini"].decode(body, members(**given), PROVIDERS["google"], 1_790_000_000, model)


def generated(part: dict[str, Any], **usage: Any) -> dict[str, Any]:
    """An answer with one part."""
    return {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}], "usageMetadata": usage}


def test_the_platform_embeds_one_text_several_and_by_older_models() -> None:
    content = {"parts": [{"text": "a"}]}
    path, body, _ = asked(EMBEDDINGS, "gemini-embedding-001", "vertex", input="a", dimensions=8, taskType="FACT")
    assert path == "/models/gemini-embedding-001:embedContent"
    assert body == {"content": content, "embedContentConfig": {"outputDimensionality": 8, "taskType": "FACT"}}
    path, body, _ = asked(EMBEDDINGS, "gemini-embedding-001", "vertex", input=["a", "a"])
    assert (path, body) == ("/models/gemini-embedding-001:batchEmbedContents", {"requests": [{"content": content}] * 2})
    path, body, sent = asked(
        EMBEDDINGS,
        "text-embedding-005",
        "vertex",
        input=["a"],
        dimensions=8,
        taskType="FACT",
        autoTruncate=False,
        user="u",
    )
    assert path == "/models/text-embedding-005:predict"
    assert body["instances"] == [{"content": "a", "task_type": "FACT"}]
    assert body["parameters"] == {"outputDimensionality": 8, "autoTruncate": False}
    assert sent.dropped == ("user",)


def test_predicted_vectors_are_counted_text_by_text() -> None:
    one = {"embeddings": {"values": [0.5], "statistics": {"token_count": 3, "truncated": False}}}
    answer = read(EMBEDDINGS, {"predictions": [one, one]}, input=["a", "b"])
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.raw_usage, answer.usage.estimated) == (6, {"token_count": 6}, False)
    check("embeddings", json.loads(answer.body))
    del one["embeddings"]["statistics"]
    estimated = read(EMBEDDINGS, {"predictions": [one]}, input=["a"]).usage
    assert estimated is not None
    assert estimated.estimated


@pytest.mark.parametrize(
    ("size", "drawn", "predicted"),
    [
        ("1024x1024", "1:1", "1:1"),
        ("1536x1024", "3:2", None),
        ("1792x1024", "16:9", "16:9"),
        ("1024x1792", "9:16", "9:16"),
        ("auto", None, None),
        ("100x1000", None, None),
        ("large", None, None),
    ],
)
def test_a_size_is_a_ratio_or_dropped_by_name(size: str, drawn: str | None, predicted: str | None) -> None:
    _, body, sent = asked(IMAGES, DRAWS, prompt="a map", size=size)
    assert body["generationConfig"].get("imageConfig", {}).get("aspectRatio") == drawn
    assert ("size" in sent.dropped) == (drawn is None and size != "auto")
    path, body, sent = asked(IMAGES, PREDICTS, prompt="a map", size=size, n=3, response_format="url")
    assert path == f"/models/{PREDICTS}:predict"
    assert (body["parameters"]["sampleCount"], body["parameters"].get("aspectRatio")) == (3, predicted)
    assert sent.dropped[-1] == ("response_format" if predicted or size == "auto" else "size")


def test_one_picture_a_call_where_pictures_are_generated() -> None:
    with pytest.raises(ProviderFailed) as failed:
        asked(IMAGES, DRAWS, prompt="a map", n=2)
    assert (failed.value.failure, failed.value.param) == ("untranslatable", "n")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, "PROHIBITED_CONTENT"),
        ({"candidates": [{"finishReason": "IMAGE_SAFETY", "finishMessage": "not this"}]}, "not this"),
        ({"predictions": [{"raiFilteredReason": "not that"}]}, "not that"),
        ({"predictions": []}, "nothing was drawn"),
    ],
)
def test_what_may_not_be_drawn_is_a_refusal_with_a_reason(told: Any, words: str) -> None:
    with pytest.raises(ProviderFailed, match=words) as failed:
        read(IMAGES, told, prompt="a map")
    assert (failed.value.client_status, failed.value.code) == (400, "content_policy_violation")
    assert not failed.value.row.falls_back


@pytest.mark.parametrize("operation", [IMAGES, SPEECH, EMBEDDINGS])
@pytest.mark.parametrize("told", [[], 7, {}, {"candidates": 5}, {"predictions": 5}, {"candidates": [{"content": 1}]}])
def test_what_is_no_answer_is_a_failure(operation: Operation, told: Any) -> None:
    with pytest.raises(ProviderFailed):
        read(operation, told, input="a", prompt="a")


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"), COUNT
        ),
    ),
    COUNT,
)
def test_pictures_are_counted_whatever_is_reported(raw: dict[str, Any], pictured: Any) -> None:
    raw["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": pictured}]
    usage = read(IMAGES, generated(PICTURE, **raw), prompt="a").usage
    has_no_negative_bucket(usage)
    assert usage is not None
    assert usage.units["images"] == 1


def test_tokens_of_pictures_thoughts_and_texts_are_told_apart_and_sum_to_the_total() -> None:
    raw = {"promptTokenCount": 9, "candidatesTokenCount": 1300, "thoughtsTokenCount": 50, "totalTokenCount": 1359}
    raw |= {"candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}
    answer = read(IMAGES, generated(PICTURE, **raw), prompt="a")
    usage, body = answer.usage, json.loads(answer.body)
    assert usage is not None
    assert (usage.output_tokens, usage.reasoning_tokens, usage.units) == (
        10, 50, {"images": 1, "output_image_tokens": 1290},
    )  # fmt: skip
    check("images", body)
    assert body["usage"]["total_tokens"] == 1359 == usage.total_tokens + 1290
    assert b64decode(body["data"][0]["b64_json"]) == b"picture"
    assert (body["created"], body["output_format"]) == (1_790_000_000, "png")


@pytest.mark.parametrize(
    ("form", "kind", "start"),
    [("pcm", "audio/pcm", b"\1\0\2\0"), ("wav", "audio/wav", b"RIFF"), (None, "audio/wav", b"RIFF")],
)
def test_samples_are_handed_on_bare_or_with_a_head(form: str | None, kind: str, start: bytes) -> None:
    answer = read(SPEECH, generated(SAMPLES), input="a", **({"response_format": form} if form else {}))
    assert (answer.content_type.decode(), answer.body.startswith(start)) == (kind, True)
    if form != "pcm":
        assert int.from_bytes(answer.body[24:28], "little") == 16_000
        assert answer.body[44:] == b"\1\0\2\0"


def test_a_voice_that_google_has_speaks_and_another_is_dropped_by_name() -> None:
    _, body, sent = asked(SPEECH, SPEAKS, input="a", voice="Kore", response_format="mp3", speed=2, instructions="sing")
    voice = body["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]
    assert (voice, set(sent.dropped)) == ({"voiceName": "Kore"}, {"response_format", "speed", "instructions"})
    _, body, sent = asked(SPEECH, SPEAKS, input="a", voice="alloy", speed=1)
    assert ("speechConfig" in body["generationConfig"], sent.dropped) == (False, ("voice",))


async def test_a_generated_picture_is_billed_by_its_tokens(house: House) -> None:
    rates = {"input_tokens": "0.3", "output_tokens": "2.5", "output_image_tokens": "0.00003"}
    model = await add_model(house, "google", DRAWS, rates)
    caller = await house.caller(monthly_budget=Money.of("1"))
    async with client_of(house, caller) as client:
        answer = await client.images.generate(model=model, prompt="a folded map", size="1024x1024")
    assert answer.data is not None
    assert b64decode(answer.data[0].b64_json or "").startswith(b"\x89PNG")
    operation, cost, usage = await billed(house, caller)
    assert (operation, usage.units) == ("images", {"images": 1, "output_image_tokens": 1290})
    assert cost == usage.input_tokens * Decimal("0.3") / 1_000_000 + 1290 * Decimal("0.00003")
    poor = await house.caller(monthly_budget=Money.of("0.4"))  # less than the most that a picture can be
    assert (await post(house, poor, "images/generations", model=model, prompt="a map")).status_code == 402
    refused = await post(house, await house.caller(), "images/generations", model=model, prompt="a map", n=2)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")


async def test_a_picture_in_a_chat_costs_what_a_picture_does_and_is_held_so(house: House) -> None:
    rates = {"input_tokens": "0.3", "output_tokens": "2.5", "output_image_tokens": "0.00003"}
    model = await add_model(house, "google", DRAWS, rates)
    caller = await house.caller(monthly_budget=Money.of("1"))
    answer = await house.ask(caller, "Draw a map", model=model, modalities=["image"], max_tokens=2000)
    assert answer.json()["choices"][0]["message"]["images"]
    [event] = await house.told(caller)
    assert event.usage.units == {"output_image_tokens": 1290}
    assert Decimal(str(event.cost_usd)) == event.usage.input_tokens * Decimal("0.3") / 1_000_000 + 1290 * Decimal(
        "0.00003"
    )
    told = answer.json()["usage"]
    assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"] == event.usage.total_tokens + 1290
    poor = await house.caller(monthly_budget=Money.of("0.05"))  # 2,000 tokens of a picture are $0.06
    assert (await house.ask(poor, "Draw", model=model, modalities=["image"], max_tokens=2000)).status_code == 402


async def test_predicted_pictures_cost_each(house: House) -> None:
    model = await add_model(house, "vertex", PREDICTS, {"images": "0.04"})
    caller = await house.caller(monthly_budget=Money.of("0.1"))
    answer = await post(house, caller, "images/generations", model=model, prompt="a map", n=2)
    check("images", answer.json())
    assert ((await billed(house, caller))[1], len(answer.json()["data"])) == (Decimal("0.08"), 2)


async def test_speech_is_billed_by_what_is_heard(house: House) -> None:
    model = await add_model(house, "google", SPEAKS, {"input_tokens": "0.5", "output_tokens": "10"})
    caller = await house.caller(monthly_budget=Money.of("1"))
    async with client_of(house, caller) as client:
        answer: openai.HttpxBinaryResponseContent = await client.audio.speech.create(
            model=model, voice="Kore", input="Grüße aus Zürich", response_format="wav"
        )
    assert (answer.response.headers["content-type"], answer.content[:4]) == ("audio/wav", b"RIFF")
    operation, cost, usage = await billed(house, caller)
    assert (operation, usage.audio_output_tokens, usage.estimated) == ("speech", 50, False)
    assert cost == (usage.input_tokens * Decimal("0.5") + 50 * 10) / 1_000_000


async def test_who_wants_all_or_nothing_is_told_what_is_not_known(house: House) -> None:
    model = await add_model(house, "google", SPEAKS, {"input_tokens": "0.5"})
    caller = await house.caller()
    asked_for = {"model": model, "input": "Hi", "voice": "alloy"}
    told = await post(house, caller, "audio/speech", **asked_for)
    assert (told.status_code, told.headers["x-tollgate-dropped-params"]) == (200, "voice")
    refused = await post(house, caller, "audio/speech", **asked_for, drop_params=False)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "voice")
