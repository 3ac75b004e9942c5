"""Answers over real HTTP, read by hand and by the official SDK."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

USAGE = {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "get_time"}}
PREFIXES = {
    "openai": "/openai/v1",
    "groq": "/groq/openai/v1",
    "together": "/together/v1",
    "mistral": "/mistral/v1",
    "openrouter": "/openrouter/api/v1",
    "deepseek": "/deepseek",
    "custom": "/custom/v1",
    "azure": "/azure/openai/v1",
    "xai": "/xai/v1",
    "cerebras": "/cerebras/v1",
    "perplexity": "/perplexity",
    "fireworks": "/fireworks/inference/v1",
    "huggingface": "/huggingface/v1",
    "ollama": "/ollama/v1",
    "vllm": "/vllm/v1",
}


@pytest.fixture
def sdk(caller: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key="sim-ok-sdk", base_url=f"{caller.url}/openai/v1", max_retries=0)


def test_the_guides_call_gets_the_guides_answer(caller: Any) -> None:
    body = caller.chat("Say hello!").json()
    assert body["choices"][0]["message"]["content"] == "Hello! How can I assist you today?"
    assert {name: body["usage"][name] for name in USAGE} == USAGE
    assert body["model"] == "gpt-4"
    assert body["id"].startswith("chatcmpl-")


def test_the_headers_are_openais(caller: Any) -> None:
    headers = caller.chat("Hi").headers
    assert headers["x-request-id"].startswith("req_")
    assert int(headers["openai-processing-ms"]) >= 0
    for kind in ("requests", "tokens"):
        assert int(headers[f"x-ratelimit-limit-{kind}"]) >= int(headers[f"x-ratelimit-remaining-{kind}"]) > 0
        assert headers[f"x-ratelimit-reset-{kind}"].endswith("ms")


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES.keys())
def test_every_provider_answers_whole_and_streamed(caller: Any, prefix: str) -> None:
    whole = caller.chat("Count to 5", prefix=prefix).json()
    chunks = caller.chunks("Count to 5", prefix=prefix, stream_options={"include_usage": True})
    text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert whole["choices"][0]["message"]["content"] == text == "1, 2, 3, 4, 5"
    assert chunks[-1]["usage"] == whole["usage"]


def test_the_same_call_gets_the_same_answer_from_every_simulator_of_a_seed(caller: Any, started: Any) -> None:
    def said(caller: Any) -> tuple[str, str]:
        body = caller.chat("Tell me about rivers").json()
        return body["id"], body["choices"][0]["message"]["content"]

    assert said(caller) == said(caller) == said(started())
    assert said(started(SIMULATOR_SEED="1")) != said(caller)


def test_the_same_request_again_is_dated_anew_and_otherwise_the_same(caller: Any) -> None:
    first = caller.chat("Tell me about dates").json()
    time.sleep(1.1)
    again = caller.chat("Tell me about dates").json()
    assert again["created"] > first["created"]
    assert {**again, "created": 0} == {**first, "created": 0}


def test_a_stream_is_framed_byte_by_byte_as_it_should_be(caller: Any) -> None:
    response = caller.stream("Hi")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in response.headers
    *events, rest = response.content.split(b"\n\n")
    assert rest == b""
    assert events[-1] == b"data: [DONE]"
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in events[:-1])


def test_a_streams_chunks_have_the_required_members(caller: Any) -> None:
    chunks = caller.chunks("Hi")
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert chunks[-1]["choices"][0]["delta"] == {}


def test_usage_is_streamed_only_when_asked_for(caller: Any) -> None:
    asked = caller.chunks("Say hello!", stream_options={"include_usage": True})
    assert {name: asked[-1]["usage"][name] for name in USAGE} == USAGE
    assert asked[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in asked[:-1])
    assert b'"usage"' not in caller.stream("Say hello!").content


def test_the_sdk_reads_whole_answers(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hello!"}], n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[1].message.content == "Hello! How can I assist you today?"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 18
    assert answer._request_id is not None


def test_the_sdk_folds_streams_of_several_choices(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(
        model="gpt-4",
        messages=[{"role": "user", "content": "[[simulate tokens=20]]"}],
        n=2,
        stream_options={"include_usage": True},
    ) as stream:
        folded = stream.get_final_completion()
    whole = sdk.chat.completions.create(
        model="gpt-4", messages=[{"role": "user", "content": "[[simulate tokens=20]]"}], n=2
    )
    assert [choice.message.content for choice in folded.choices] == [c.message.content for c in whole.choices]
    assert folded.usage == whole.usage


def test_the_sdk_folds_parallel_tool_calls(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(
        model="gpt-4",
        messages=[{"role": "user", "content": "Please get_weather and get_time [[simulate unicode]]"}],
        tools=[WEATHER, CLOCK],  # type: ignore[list-item]
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.content is None
    assert message.tool_calls is not None
    weather, clock = message.tool_calls
    assert (weather.function.name, json.loads(weather.function.arguments)) == (
        "get_weather",
        {"city": "Zürich 東京 🙂"},
    )
    assert (clock.function.name, clock.function.arguments) == ("get_time", "{}")
    assert weather.id != clock.id


def test_a_conversation_with_tools_ends_in_text(caller: Any) -> None:
    asked = [{"role": "user", "content": "Please get_weather in Rome"}]
    called = caller.chat("", messages=asked, tools=[WEATHER]).json()["choices"][0]
    assert called["finish_reason"] == "tool_calls"
    assert called["message"]["content"] is None
    (call,) = called["message"]["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "rain"}
    answer = caller.chat("", messages=[*asked, called["message"], result], tools=[WEATHER]).json()["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert answer["message"]["content"]
    assert "tool_calls" not in answer["message"]


def test_a_stream_of_a_tool_call_opens_it_and_then_adds_fragments(caller: Any) -> None:
    chunks = caller.chunks("get_weather", tools=[WEATHER])
    pieces = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[1:-1]]
    assert pieces[0]["type"] == "function"
    assert pieces[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert len(pieces) > 2
    assert all(set(piece) == {"index", "function"} and set(piece["function"]) == {"arguments"} for piece in pieces[1:])


def test_a_schema_is_satisfied_streamed_or_not(caller: Any) -> None:
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "place", "schema": WEATHER["function"]["parameters"], "strict": True},
    }
    whole = caller.chat("A place", response_format=wanted).json()["choices"][0]["message"]["content"]
    chunks = caller.chunks("A place", response_format=wanted)
    streamed = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert json.loads(whole) == json.loads(streamed)
    assert set(json.loads(whole)) == {"city"}


@pytest.mark.parametrize("member", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_is_honoured(caller: Any, member: str) -> None:
    body = caller.chat("Tell me something", **{member: 3}).json()
    assert body["usage"]["completion_tokens"] == 3
    assert body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("key", ["", "sim-bad-1", "sim-revoked-1"])
def test_a_bad_key_is_refused(caller: Any, key: str) -> None:
    response = caller.chat("Hi", headers={"authorization": f"Bearer {key}" if key else ""})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert "sim-" not in response.text
    assert response.headers["x-request-id"]


def test_providers_refuse_a_bad_key_each_in_its_way(caller: Any) -> None:
    bad = {"authorization": "Bearer sim-bad-1"}
    mistral, xai = (caller.chat("Hi", prefix=PREFIXES[name], headers=bad) for name in ("mistral", "xai"))
    assert (mistral.status_code, list(mistral.json())) == (401, ["detail"])
    assert (xai.status_code, isinstance(xai.json()["error"], str)) == (400, True)


def test_providers_that_need_no_key_answer_without_one(caller: Any) -> None:
    for name in ("ollama", "vllm", "custom"):
        assert caller.chat("Hi", prefix=PREFIXES[name], headers={"authorization": ""}).status_code == 200


def test_azure_takes_its_own_key_header(caller: Any) -> None:
    headers = {"authorization": "", "api-key": "sim-ok-1"}
    assert caller.chat("Hi", prefix=PREFIXES["azure"], headers=headers).status_code == 200
    assert caller.chat("Hi", headers=headers).status_code == 401


def test_the_sdk_raises_the_right_errors(caller: Any, sdk: openai.OpenAI) -> None:
    user: Any = [{"role": "user", "content": "Hi"}]
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.chat.completions.create(model="gpt-99-missing", messages=user)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="sim-bad-1").chat.completions.create(model="gpt-4", messages=user)
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model="gpt-4", messages=user, max_tokens=1, max_completion_tokens=1)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":"m","messages":"x"}', b"\xff\xfe"])
def test_a_malformed_body_is_refused(caller: Any, body: bytes) -> None:
    response = caller.http.post("/openai/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_the_sdk_lists_models(sdk: openai.OpenAI) -> None:
    assert "gpt-4" in [model.id for model in sdk.models.list()]
    assert sdk.models.retrieve("gpt-4").owned_by == "openai"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("gpt-99-missing")


def test_models_are_listed_each_in_its_way(caller: Any) -> None:
    assert isinstance(caller.http.get("/together/v1/models").json(), list)
    openrouter = caller.http.get("/openrouter/api/v1/models").json()["data"]
    assert isinstance(openrouter[0]["pricing"]["prompt"], str)
    assert caller.http.get("/groq/openai/v1/models/openai/gpt-oss-20b").json()["id"] == "openai/gpt-oss-20b"
    bad = caller.http.get("/openai/v1/models", headers={"authorization": "Bearer sim-bad-1"})
    assert bad.status_code == 401


def test_an_unknown_path_is_answered_by_whom_it_belongs_to(caller: Any) -> None:
    assert caller.http.post("/openai/v1/nothing").json()["error"]["code"] == "unknown_url"
    assert caller.http.get("/openai/v1/chat/completions").status_code == 405
    assert caller.http.get("/nobody/v1/nothing").status_code == 404


def test_a_provider_without_a_row_answers_plainly(caller: Any) -> None:
    assert caller.http.get("/nobody/v1/models").json()["data"] == []
    answer = caller.chat("Say hello!", prefix="/nobody/api/v1", model="some-model").json()
    assert answer["model"] == "some-model"
    assert answer["usage"].keys() == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert caller.chat("Say hello!", prefix="/control/v1").status_code == 404


def test_a_connection_that_is_to_close_still_gets_its_whole_answer(caller: Any) -> None:
    body = json.dumps({"model": "gpt-4", "messages": [{"role": "user", "content": "Hi"}]})
    host = httpx2.URL(caller.url)
    with socket.create_connection((host.host, host.port), timeout=10) as connection:
        head = f"authorization: Bearer k\r\ncontent-length: {len(body)}\r\n\r\n"
        request = f"POST /openai/v1/chat/completions HTTP/1.0\r\n{head}"
        connection.sendall((request + body).encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["object"] == "chat.completion"


def test_large_bodies_are_read(caller: Any, read_chunks: Callable[..., list[dict[str, Any]]]) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 20_000_000}}
    content = [{"type": "text", "text": "Hi"}, image]
    response = caller.stream("", messages=[{"role": "user", "content": content}])
    assert len(read_chunks(response)) > 2
