"""Answers that do not depend on who provides them are as OpenAI publishes them: lists of models, completions in pieces,
vectors in base64, long transcriptions, compacted conversations, and every refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway.providers.errors import FAILURES, ProviderFailed
from gateway.shapes import REFUSALS, Refusal, failure_answer, refusal_answer
from gateway_house import House
from operated import add_model
from published import DOCUMENT, check, check_error, check_list
from test_operations import wav
from wire_streams import shown

RATES = {"input_tokens": "1", "output_tokens": "2", "input_audio_seconds": "0.0001"}
SAY = [{"role": "user", "content": "Say hello!"}]
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "no such model": ("chat/completions", {"model": "no-such-model", "messages": SAY}),
    "nothing is said": ("chat/completions", {"model": "gpt-4"}),
    "an empty conversation": ("chat/completions", {"model": "gpt-4", "messages": []}),
    "a number that is none": ("chat/completions", {"model": "gpt-4", "messages": SAY, "max_tokens": "many"}),
    "no such input": ("embeddings", {"model": "gpt-4"}),
    "no such path": ("no-such-path", {}),
}
PLAYED = [400, 401, 403, 404, 408, 409, 422, 429, 500, 503]


async def test_models_are_listed_and_shown(house: House) -> None:
    caller = await house.caller()
    listed = (await house.http.get("/v1/models", headers=caller.headers)).json()
    check_list("model", listed)
    one = await house.http.get(f"/v1/models/{listed['data'][0]['id']}", headers=caller.headers)
    check("model", one.json())


@pytest.mark.parametrize("model", [("openai", "gpt-3.5-turbo-instruct"), ("anthropic", "claude-sonnet-4-5")])
async def test_completions_whole_and_in_pieces(house: House, model: tuple[str, str]) -> None:
    name = await add_model(house, *model, RATES)
    caller = await house.caller()
    asked = {"model": name, "prompt": "Say hello!"}
    whole = await house.http.post("/v1/completions", headers=caller.headers, json=asked)
    check("completion", whole.json())
    streamed = await house.http.post(
        "/v1/completions",
        headers=caller.headers,
        json={**asked, "stream": True, "stream_options": {"include_usage": True}},
    )
    *chunks, usage = shown(streamed.content.removesuffix(b"data: [DONE]\n\n"))
    for chunk in chunks:  # its type is that of a whole one, which has ended and was counted
        ended = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in chunk["choices"]]
        check("completion", {**chunk, "choices": ended, "usage": usage["usage"]})
    check("completion", usage)


@pytest.mark.parametrize("provider", ["openai", "google", "cohere"])
@pytest.mark.parametrize("form", ["float", "base64"])
async def test_vectors_in_numbers_and_in_base64(house: House, provider: str, form: str) -> None:
    model = await add_model(house, provider, "an-embedding", RATES)
    caller = await house.caller()
    asked = {"model": model, "input": ["a folded map", "rain"], "encoding_format": form}
    answer = await house.http.post("/v1/embeddings", headers=caller.headers, json=asked)
    check("embeddings", answer.json())
    assert {type(one["embedding"]) for one in answer.json()["data"]} == {str if form == "base64" else list}


async def test_a_transcription_with_its_times(house: House) -> None:
    model = await add_model(house, "openai", "whisper-1", RATES)
    caller = await house.caller()
    asked = {"model": model, "response_format": "verbose_json"}
    files = {"file": ("a.wav", wav(1))}
    answer = await house.http.post("/v1/audio/transcriptions", headers=caller.headers, data=asked, files=files)
    check("transcription_verbose", answer.json())


@pytest.mark.parametrize("case", REFUSED)
async def test_what_the_gateway_refuses(house: House, case: str) -> None:
    path, body = REFUSED[case]
    caller = await house.caller()
    refused = await house.http.post(f"/v1/{path}", headers=caller.headers, json=body)
    assert refused.status_code in (400, 404)
    check_error(refused.json(), refused.status_code)


async def test_who_is_not_known_or_has_spent_all(house: House) -> None:
    check_error((await house.http.get("/v1/models")).json(), 401)
    caller = await house.caller(rate_limit=1)
    answers = [await house.ask(caller) for _ in range(2)]
    assert answers[1].status_code == 429
    check_error(answers[1].json(), 429)


@pytest.mark.parametrize("status", PLAYED)
async def test_what_a_provider_refuses(house: House, status: int) -> None:
    caller = await house.caller()
    whole = await house.ask(caller, f"[[simulate status={status}]]")
    assert whole.status_code >= 400
    check_error(whole.json(), whole.status_code)


async def test_trouble_in_a_stream(house: House) -> None:
    caller = await house.caller()
    broken = await house.ask(caller, "[[simulate error_at=3 chunk_ms=50]] Count to 9", stream=True)
    *_, last = [json.loads(line[6:]) for line in broken.text.split("\n\n") if line.startswith('data: {"')]
    check_error(last, 502)


@pytest.mark.parametrize("reason", REFUSALS)
def test_every_refusal_of_ours_when_openais_codes_are_wanted(reason: Any) -> None:
    check_error(json.loads(refusal_answer(Refusal(reason, "so"), as_openai=True).body))


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_of_a_provider_when_openais_codes_are_wanted(failure: Any) -> None:
    told = ProviderFailed(failure, "it broke", status=418)
    check_error(json.loads(failure_answer(told, "Somebody", as_openai=True).body))


def test_the_schemas_are_of_the_client_that_stories_drive() -> None:
    told = json.loads(DOCUMENT.read_bytes())["$comment"]
    driven = json.loads((Path(__file__).parents[3] / "tests" / "e2e" / "node" / "package.json").read_bytes())
    assert f"openai {driven['dependencies']['openai']} " in told


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("chat", {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0}]}),
        ("model", {"id": "m", "object": "model", "created": "1", "owned_by": "us"}),
        ("error", {"message": "no", "type": None, "param": None, "code": None}),
        ("costs", {"object": "page", "data": [], "has_more": False}),
    ],
)
def test_what_is_not_as_published_is_noticed(kind: str, told: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=kind):
        check(kind, told)
