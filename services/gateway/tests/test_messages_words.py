"""A request to `/v1/messages` in the words of chat, and answers in chat's words as Anthropic says them. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from gateway.api.messages import as_chat, parse_messages
from gateway.api.voices import MessagesVoice
from gateway.providers.errors import ProviderFailed
from gateway.shapes import Refusal
from wire_streams import chunk, event

TOOL = {"name": "read_tide", "description": "Height", "input_schema": {"type": "object"}, "strict": True}
CALL = {"type": "tool_use", "id": "t1", "name": "read_tide", "input": {"place": "Husum"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}


def chat(*turns: dict[str, Any], **members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A request in chat's words, and what is lost."""
    body = {"model": "m", "max_tokens": 9, "messages": list(turns), **members}
    said, lost = as_chat(msgspec.json.decode(json.dumps(body).encode(), type=dict[str, msgspec.Raw]))
    return {name: json.loads(bytes(value)) for name, value in said.items()}, lost


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A turn of the user's."""
    return {"role": "user", "content": list(blocks)}


def test_everything_that_chat_has_a_word_for_crosses() -> None:
    thought = {"type": "thinking", "thinking": "x", "signature": "s"}
    said, lost = chat(
        user({"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}}, PICTURE),
        {"role": "assistant", "content": [thought, {"type": "text", "text": "I will"}, CALL]},
        user({"type": "tool_result", "tool_use_id": "t1", "content": "2 m"}, {"type": "text", "text": "And now?"}),
        system=[{"type": "text", "text": "Be brief."}],
        tools=[TOOL],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        temperature=0.5,
        top_k=5,
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 4000},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )
    assert said["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "I will"}],
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "read_tide", "arguments": '{"place":"Husum"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "2 m"},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ]
    function = {"name": "read_tide", "parameters": {"type": "object"}, "description": "Height", "strict": True}
    assert said["tools"] == [{"type": "function", "function": function}]
    assert (said["tool_choice"], said["parallel_tool_calls"]) == ("required", False)
    assert (said["stop"], said["temperature"], said["safety_identifier"]) == (["END"], 0.5, "u")
    assert (said["reasoning_effort"], said["response_format"]["type"]) == ("medium", "json_schema")
    assert lost == ("top_k",)


@pytest.mark.parametrize(
    ("turn", "members"),
    [
        (user({"type": "search_result", "source": "x"}), {}),
        (user({"type": "document", "source": {"type": "file", "file_id": "f"}}), {}),
        (user({"type": "text"}), {}),
        (user({"type": "text", "text": "x"}), {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        (user({"type": "text", "text": "x"}), {"mcp_servers": [{"url": "https://x"}]}),
    ],
    ids=["own block", "own file", "malformed", "own tool", "own servers"],
)
def test_what_only_anthropic_knows_is_refused(turn: dict[str, Any], members: dict[str, Any]) -> None:
    with pytest.raises(ProviderFailed) as refused:
        chat(turn, **members)
    assert (refused.value.client_status, refused.value.row.falls_back) == (400, True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"model":"m","max_tokens":1,"messages":[]}', "messages"),
        (b'{"model":"m","messages":[{"role":"user","content":"x"}]}', "max_tokens"),
        (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":7}]}', "messages[0].content"),
    ],
)
def test_a_body_that_is_no_request_is_refused_by_its_field(body: bytes, param: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        parse_messages(body)
    assert (refused.value.reason, refused.value.param) == ("invalid_request", param)


def test_pictures_are_bounded_as_pictures() -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [user({"type": "text", "text": "x"}, PICTURE)]}
    request = parse_messages(json.dumps(body).encode())
    assert request.attachments == 1
    assert request.text_bytes < len(json.dumps(body))


def events_of(said: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each under its own name."""
    found = []
    for one in said.decode().strip().split("\n\n"):
        name, _, line = one.partition("\n")
        told = json.loads(line.removeprefix("data: "))
        assert name == f"event: {told['type']}"
        found.append(told)
    return found


def test_a_stream_opens_and_closes_each_block_once() -> None:
    voice = MessagesVoice()
    call = {"index": 0, "id": "t1", "type": "function", "function": {"name": "read_tide", "arguments": ""}}
    other = {"index": 1, "id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    said = voice.events(chunk({"role": "assistant", "content": ""}) + chunk({"reasoning_content": "Hm"}))
    said += voice.events(chunk({"content": "Look"}) + chunk({"content": "ing"}))
    said += voice.events(chunk({"tool_calls": [call]}))
    said += voice.events(chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}))
    said += voice.events(chunk({"tool_calls": [other]}) + chunk({}, finish="tool_calls"))
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}}
    said += voice.end(event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
    told = events_of(said)
    assert [(one["type"], one.get("index")) for one in told] == [
        ("message_start", None),
        ("content_block_start", 0), ("content_block_delta", 0), ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_delta", 1), ("content_block_delta", 1), ("content_block_stop", 1),
        ("content_block_start", 2), ("content_block_delta", 2), ("content_block_stop", 2),
        ("content_block_start", 3), ("content_block_delta", 3), ("content_block_stop", 3),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    assert told[-2]["delta"]["stop_reason"] == "tool_use"
    assert told[-2]["usage"] == {
        "input_tokens": 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 5,
        "output_tokens": 4,
    }


def test_an_empty_stream_is_a_message_without_content() -> None:
    kinds = [one["type"] for one in events_of(MessagesVoice().end(b"data: [DONE]\n\n"))]
    assert kinds == ["message_start", "message_delta", "message_stop"]


def test_a_whole_answer_says_the_same() -> None:
    message = {
        "role": "assistant",
        "content": "Looking",
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a'}}],
    }
    choice = {"index": 0, "message": message, "finish_reason": "content_filter"}
    told = json.loads(MessagesVoice().whole(json.dumps({"id": "1", "model": "m", "choices": [choice]}).encode()))
    assert told["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": ""},
        {"type": "text", "text": "Looking"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"arguments": '{"a'}},
    ]
    assert (told["id"], told["stop_reason"]) == ("msg_1", "refusal")
