"""Requests of OpenAI's wire: what is read from them, how their tokens are counted, how wrong ones are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulator.prompts import Prompt
from simulator.refusals import Refusal
from simulator.wires.openai.requests import read_prompt
from simulator.wires.openai.rows import Row, rows

ROWS = {row.name: row for row in rows()}
USER = [{"role": "user", "content": "Say hello!"}]


def read(row: Row | None = None, **members: Any) -> Prompt:
    body = {"model": "gpt-4", "messages": USER, **members}
    return read_prompt(row or ROWS["openai"], json.dumps(body).encode())


def refusal(body: bytes, provider: str = "openai") -> Refusal:
    with pytest.raises(Refusal) as refused:
        read_prompt(ROWS[provider], body)
    return refused.value


def test_the_guides_prompt_is_ten_tokens() -> None:
    assert read().prompt_tokens == 10


@pytest.mark.parametrize(
    ("content", "tokens"),
    [("", 7), ("a", 8), ("abcd", 8), ("abcde", 9), ("ü" * 4, 9), (None, 7), ([{"type": "text", "text": "abcd"}], 8)],
)
def test_tokens_are_counted_by_bytes(content: Any, tokens: int) -> None:
    assert read(messages=[{"role": "user", "content": content}]).prompt_tokens == tokens


def test_an_image_counts_as_eighty_five_tokens() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "abcd"}, image]
    assert read(messages=[{"role": "user", "content": parts}]).prompt_tokens == 8 + 85


def test_tools_and_their_calls_count() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    assert read(tools=[tool]).prompt_tokens > read().prompt_tokens
    assert read(messages=[*USER, called]).prompt_tokens == 10 + 4 + 1


def test_the_question_is_the_users_last_message() -> None:
    messages = [
        *USER,
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "A"}]},
    ]
    prompt = read(messages=messages)
    assert (prompt.question, prompt.has_tool_result) == ("A", False)
    assert read(messages=[*messages, {"role": "tool", "content": "42", "tool_call_id": "x"}]).has_tool_result


def test_streaming_does_not_change_what_the_answer_is_made_from() -> None:
    streamed = read(stream=True, stream_options={"include_usage": True})
    assert streamed.conversation == read().conversation
    assert (streamed.is_streamed, streamed.wants_usage) == (True, True)
    assert read(seed=3).conversation != read().conversation


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"max_tokens": 5}, {"token_limit": 5}),
        ({"max_completion_tokens": 6}, {"token_limit": 6}),
        ({"n": 3}, {"choices": 3}),
        ({"stop": "x"}, {"stops": ("x",)}),
        ({"stop": ["x", "y"]}, {"stops": ("x", "y")}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": "none"}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"named_tool": "f", "tool_choice": "required"},
        ),
        ({"parallel_tool_calls": False}, {"is_parallel": False}),
        ({"response_format": {"type": "json_object"}}, {"schema": {}}),
        ({"response_format": {"type": "text"}}, {"schema": None}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}},
            {"schema": {"type": "object"}},
        ),
        ({"unheard_of": {"a": [1]}, "metadata": {"k": "v"}, "logprobs": True}, {"model": "gpt-4"}),
    ],
)
def test_members_are_read(members: dict[str, Any], expected: dict[str, Any]) -> None:
    prompt = read(**members)
    assert {name: getattr(prompt, name) for name in expected} == expected


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"model":"\xff"}', b"[" * 100_000])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    refused = refusal(body)
    assert (refused.status, refused.kind) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b'{"messages":[{"role":"user","content":"x"}]}', "model", "missing_required_parameter"),
        (b'{"model":"m"}', "messages", "missing_required_parameter"),
        (b'{"model":"m","messages":[]}', "messages", "invalid_type"),
        (b'{"model":"m","messages":[{"content":"x"}]}', "messages[0].role", "missing_required_parameter"),
        (b'{"model":1,"messages":[]}', "model", "invalid_type"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}],"n":"2"}', "n", "invalid_type"),
        (b"[]", None, "invalid_type"),
    ],
)
def test_a_wrong_member_is_named(body: bytes, param: str | None, code: str) -> None:
    refused = refusal(body)
    assert (refused.status, refused.param, refused.code) == (400, param, code)
    assert refusal(body, "mistral").status == 422


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"model": "o3-mini", "max_tokens": 5}, "max_tokens"),
        ({"model": "gpt-5-mini", "max_tokens": 5}, "max_tokens"),
    ],
)
def test_openai_refuses_what_others_let_pass(members: dict[str, Any], param: str) -> None:
    body = json.dumps({"model": "gpt-4", "messages": USER, **members}).encode()
    assert (refusal(body).status, refusal(body).param) == (400, param)
    assert read_prompt(ROWS["groq"], body).choices == 1
