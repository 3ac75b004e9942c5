"""Each provider's own shapes on OpenAI's wire: usage, errors, headers, ids, streams that fold into the whole."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from simulator.answers import Answer, Writer
from simulator.faults import checked
from simulator.prompts import Prompt, Tool
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires.openai.errors import error_body, error_frame
from simulator.wires.openai.headers import call_headers, provider_headers, refusal_headers
from simulator.wires.openai.rows import Row, rows
from simulator.wires.openai.stream import StreamWriter
from simulator.wires.openai.usage import Counts, usage_object
from simulator.wires.openai.whole import whole_answer

ROWS = {row.name: row for row in rows()}
WRITER = Writer(0)
STREAMS = StreamWriter(WRITER.words)
TOOLS = (Tool("f", {"type": "object", "properties": {"x": {"type": "string"}}}), Tool("g", {}))
CASES: list[dict[str, Any]] = [
    {"tokens": 6},
    {"tokens": 3, "reasoning_tokens": 4, "cached_tokens": 2},
    {"tool_calls": 2},
    {"unicode": True},
]


def answered(row: Row, directives: dict[str, Any], choices: int = 1) -> Answer:
    prompt = Prompt(
        provider=row.name, model="m", conversation="c", question="q", prompt_tokens=9, tools=TOOLS, choices=choices
    )
    return WRITER.answer(prompt, checked(directives), [])


def whole(row: Row, directives: dict[str, Any], choices: int = 1) -> dict[str, Any]:
    body = whole_answer(row, answered(row, directives, choices), "m", 1_700_000_000, checked(directives))
    told: dict[str, Any] = json.loads(body)
    return told


def script(row: Row, directives: dict[str, Any], choices: int = 1, *, wants_usage: bool = True) -> StreamScript:
    answer = answered(row, directives, choices)
    return STREAMS.script(row, answer, "m", 1_700_000_000, wants_usage, checked(directives))


def chunks(told: StreamScript) -> list[dict[str, Any]]:
    return [json.loads(frame.decode().split("data: ", 1)[1]) for frame in told.frames]


def folded(stream: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The messages that a stream's deltas add up to, by choice."""
    messages: dict[int, dict[str, Any]] = {}
    for chunk in stream:
        for choice in chunk["choices"]:
            message = messages.setdefault(choice["index"], {"text": "", "calls": {}, "finish": None})
            content = choice["delta"].get("content")
            message["text"] += content if isinstance(content, str) else ""
            message["finish"] = choice["finish_reason"] or message["finish"]
            for piece in choice["delta"].get("tool_calls", []):
                call = message["calls"].setdefault(piece["index"], {"name": "", "arguments": ""})
                call["name"] += piece["function"].get("name", "")
                call["arguments"] += piece["function"]["arguments"]
    return messages


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
@pytest.mark.parametrize("directives", CASES, ids=str)
@pytest.mark.parametrize("choices", [1, 2])
def test_a_folded_stream_is_the_whole_answer(row: Row, directives: dict[str, Any], choices: int) -> None:
    messages = folded(chunks(script(row, directives, choices)))
    for choice in whole(row, directives, choices)["choices"]:
        message, stream = choice["message"], messages[choice["index"]]
        content = message["content"]
        text = content[1]["text"] if isinstance(content, list) else content or ""
        assert stream["text"] == text
        assert stream["finish"] == choice["finish_reason"]
        calls = [call["function"] for call in message.get("tool_calls") or []]
        assert [stream["calls"][index] for index in sorted(stream["calls"])] == calls


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
@pytest.mark.parametrize("directives", CASES, ids=str)
def test_streams_carry_as_many_tokens_as_they_report(row: Row, directives: dict[str, Any]) -> None:
    told = script(row, directives)
    assert sum(told.tokens) == answered(row, directives).completion_tokens
    assert len(told.tokens) == len(told.frames)
    assert told.usage_at is not None
    assert chunks(told)[told.usage_at]["usage"] == whole(row, directives)["usage"]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_the_sdks_types_accept_every_answer_and_chunk(row: Row) -> None:
    for directives in CASES:
        if row.reasoning != "thinking":  # content as a list of parts is Mistral's own, not the SDK's
            ChatCompletion.model_validate(whole(row, directives))
        if not row.has_filter_chunk:
            for chunk in chunks(script(row, directives)):
                if not any(isinstance(choice["delta"].get("content"), list) for choice in chunk["choices"]):
                    ChatCompletionChunk.model_validate(chunk)


def test_openais_usage_comes_only_when_asked_for_and_is_null_before() -> None:
    asked, unasked = (chunks(script(ROWS["openai"], {}, wants_usage=wants)) for wants in (True, False))
    assert [chunk["usage"] for chunk in asked[:-1]] == [None] * (len(asked) - 1)
    assert asked[-1]["choices"] == []
    assert all("usage" not in chunk for chunk in unasked)
    assert len(unasked) == len(asked) - 1


def test_groq_repeats_its_usage_in_its_own_member_beside_the_finish() -> None:
    *_, last = chunks(script(ROWS["groq"], {}, wants_usage=False))
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["x_groq"]["usage"] == last["usage"]


def test_mistrals_usage_comes_with_the_finish() -> None:
    *_, last = chunks(script(ROWS["mistral"], {}, wants_usage=False))
    assert (last["choices"][0]["finish_reason"], last["choices"][0]["delta"]) == ("stop", {"content": ""})
    assert last["usage"]["prompt_tokens"] == 9


def test_openrouters_usage_comes_with_choices_after_the_finish_and_comments_before_all() -> None:
    told = script(ROWS["openrouter"], {}, wants_usage=False)
    assert told.preamble == b": OPENROUTER PROCESSING\n\n" * 2
    finish, last = chunks(told)[-2:]
    assert finish["choices"][0]["finish_reason"] == last["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in finish
    assert last["provider"] == "Simulated"


def test_azures_stream_begins_without_choices() -> None:
    first = chunks(script(ROWS["azure"], {}))[0]
    assert (first["choices"], first["id"], first["model"], first["created"]) == ([], "", "", 0)
    assert "prompt_filter_results" in first


def test_deepseek_splits_the_prompt_into_hits_and_misses() -> None:
    usage = usage_object("deepseek", Counts(10, 5, 4, 0, 2))
    assert (usage["prompt_cache_hit_tokens"], usage["prompt_cache_miss_tokens"]) == (4, 6)


def test_openrouters_cost_is_exact() -> None:
    body = json.loads(
        whole_answer(ROWS["openrouter"], answered(ROWS["openrouter"], {"tokens": 7}), "m", 1, checked({}))
    )
    cost = Decimal(str(body["usage"]["cost"]))
    assert cost == Decimal(9 * 100 + 7 * 400).scaleb(-9)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_totals_are_prompt_and_completion(row: Row) -> None:
    usage = usage_object(row.usage, Counts(10, 7, 4, 0, 3))
    beside = 3 if row.name == "xai" else 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] + beside == 17


@pytest.mark.parametrize(
    ("provider", "status", "expected"),
    [
        ("openai", 401, {"error": {"message": "m", "type": "invalid_request_error", "param": None, "code": "c"}}),
        ("groq", 401, {"error": {"message": "m", "type": "invalid_request_error", "code": "c"}}),
        ("mistral", 401, {"detail": "m"}),
        ("openrouter", 401, {"error": {"message": "m", "code": 401}, "user_id": "user_simulated"}),
        ("xai", 401, {"code": "c", "error": "m"}),
        ("azure", 401, {"error": {"code": "401", "message": "m"}}),
        ("azure", 429, {"error": {"code": "RateLimitReached", "message": "m"}}),
        ("cerebras", 401, {"message": "m", "type": "invalid_request_error", "param": None, "code": "c"}),
        ("perplexity", 401, {"error": {"message": "m", "type": "invalid_request_error", "code": 401}}),
        ("huggingface", 401, {"error": "m"}),
    ],
)
def test_errors_have_their_providers_shape(provider: str, status: int, expected: dict[str, Any]) -> None:
    assert json.loads(error_body(ROWS[provider], Refusal(status, "m", code="c"))) == expected


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 500, 502, 503, 504, 529, 599])
def test_every_status_has_words(row: Row, status: int) -> None:
    assert json.loads(error_body(row, Refusal(status)))


def test_errors_in_the_middle_are_their_providers_events() -> None:
    assert error_frame(ROWS["groq"], Refusal(500), {}).startswith(b"event: error\ndata: {")
    openrouter = json.loads(error_frame(ROWS["openrouter"], Refusal(502), {"id": "x"})[6:])
    assert openrouter["choices"][0]["finish_reason"] == "error"
    assert json.loads(error_frame(ROWS["openai"], Refusal(500), {"id": "x"})[6:])["error"]["type"] == "server_error"


def test_a_429_shows_nothing_remaining_and_when_to_return() -> None:
    headers = dict(refusal_headers(provider_headers(ROWS["openai"]), 429, 1.2))
    assert headers[b"x-ratelimit-remaining-requests"] == b"0"
    assert (headers[b"retry-after"], headers[b"retry-after-ms"]) == (b"2", b"1200")


def test_request_ids_have_their_providers_names() -> None:
    names = {row.name: call_headers(row, "req_1", 5)[0][0] for row in rows()}
    assert (names["openai"], names["deepseek"], names["openrouter"]) == (
        b"x-request-id",
        b"x-ds-trace-id",
        b"x-generation-id",
    )
