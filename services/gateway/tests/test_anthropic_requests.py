"""Chat requests in the words of Anthropic's Messages: all content crosses, and what is left out has a name."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from common.providers.registry import NO_SAMPLING, PROVIDERS
from gateway.providers.errors import ProviderFailed
from native import asked, encode

OLD, NOW, NEXT = "claude-3-5-haiku-20241022", "claude-sonnet-4-5", "claude-opus-4-7"
USER = {"role": "user", "content": "How high is the tide?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "read_tide", "arguments": '{"place": "Husum"}'}}
OTHER = {"id": "call/2", "type": "function", "function": {"name": "read_wind", "arguments": ""}}
BROKEN = {**CALL, "function": {"name": "f", "arguments": "{"}}
TOOL = {
    "type": "function",
    "function": {
        "name": "read_tide",
        "description": "Height of the tide",
        "strict": True,
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
SCHEMA = {"type": "object", "properties": {"tide": {"type": "object", "properties": {"m": {"type": "number"}}}}}
CLOSED = {
    "type": "object",
    "properties": {
        "tide": {"type": "object", "properties": {"m": {"type": "number"}}, "additionalProperties": False},
    },
    "additionalProperties": False,
}


def test_system_messages_become_the_system_prompt_and_the_rest_turns() -> None:
    body = asked(
        "anthropic",
        [{"role": "system", "content": "Be brief."}, USER, {"role": "developer", "content": "Be kind."}],
        NOW,
    )
    assert body == {
        "model": NOW,
        "max_tokens": 4000,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": USER["content"]}]}],
    }


def test_parallel_calls_and_their_results_become_one_turn_each() -> None:
    body = asked(
        "anthropic",
        [
            USER,
            {"role": "assistant", "content": "I will look.", "tool_calls": [CALL, OTHER]},
            {"role": "tool", "tool_call_id": "call_1", "content": "2 m"},
            {"role": "tool", "tool_call_id": "call/2", "content": [{"type": "text", "text": "calm"}]},
            {"role": "user", "content": "And now?"},
        ],
        NOW,
        tools=[TOOL],
    )
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I will look."},
                {"type": "tool_use", "id": "call_1", "name": "read_tide", "input": {"place": "Husum"}},
                {"type": "tool_use", "id": "call_2", "name": "read_wind", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "2 m"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "calm"}]},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    assert body["tools"] == [
        {
            "name": "read_tide",
            "description": "Height of the tide",
            "input_schema": TOOL["function"]["parameters"],
            "strict": True,
        }
    ]


def test_a_tool_that_does_not_say_what_it_is_is_a_function() -> None:
    assert asked("anthropic", [USER], NOW, tools=[{"function": TOOL["function"]}])["tools"][0]["name"] == "read_tide"


def test_functions_of_the_old_shape_are_tools() -> None:
    called = {"name": "read_tide", "arguments": "{}"}
    body = asked(
        "anthropic",
        [
            USER,
            {"role": "assistant", "content": None, "function_call": called},
            {"role": "function", "name": "read_tide", "content": "2 m"},
        ],
        NOW,
        functions=[TOOL["function"]],
        function_call={"name": "read_tide"},
    )
    assert body["messages"][1]["content"][0]["id"] == body["messages"][2]["content"][0]["tool_use_id"]
    assert body["tool_choice"] == {"type": "tool", "name": "read_tide"}


@pytest.mark.parametrize(
    ("choice", "parallel", "told"),
    [
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, None, None),
    ],
    ids=str,
)
def test_the_choice_among_tools_crosses(choice: Any, parallel: bool | None, told: Any) -> None:
    body = asked("anthropic", [USER], NOW, tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == told


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_id": "file_1"}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
        (
            {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}},
        ),
        ({"type": "search_result", "source": "x"}, {"type": "search_result", "source": "x"}),
    ],
    ids=["picture", "picture by address", "file", "file by id", "cache marker", "its own"],
)
def test_parts_cross(part: dict[str, Any], block: dict[str, Any]) -> None:
    assert asked("anthropic", [{"role": "user", "content": [part]}], NOW)["messages"][0]["content"] == [block]


def test_a_cache_marker_on_a_message_marks_its_last_block() -> None:
    marked = {**USER, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert asked("anthropic", [marked], NOW)["messages"][0]["content"][0]["cache_control"] == marked["cache_control"]


@pytest.mark.parametrize(
    ("messages", "members", "param"),
    [
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], {}, "messages[0].content"),
        ([{"role": "user", "content": [{"type": "video", "video": 1}]}], {}, "messages[0].content"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], {}, "messages"),
        ([USER, {"role": "assistant", "tool_calls": [BROKEN]}], {}, "messages"),
        ([USER], {"n": 2}, "n"),
        ([USER], {"tools": [{"type": "custom", "name": "x"}]}, "tools"),
    ],
    ids=["audio", "unknown", "malformed", "arguments", "choices", "custom tool"],
)  # fmt: skip
def test_content_without_a_word_is_refused(messages: Any, members: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderFailed) as refused:
        asked("anthropic", messages, NOW, **members)
    assert (refused.value.client_status, refused.value.param) == (400, param)
    assert refused.value.row.falls_back
    assert not refused.value.was_sent


def test_a_schema_is_kept_to_where_the_model_can_and_told_where_it_cannot() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "tide", "schema": SCHEMA}}
    kept = asked("anthropic", [USER], NOW, response_format=wanted)
    assert kept["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    shown = asked("anthropic", [USER], OLD, response_format=wanted)
    assert "output_config" not in shown
    assert json.dumps(SCHEMA, separators=(",", ":")) in shown["system"][-1]["text"]
    assert "JSON" in asked("anthropic", [USER], NOW, response_format={"type": "json_object"})["system"][0]["text"]


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "output_config"),
    [
        (NOW, "low", {"type": "enabled", "budget_tokens": 1024}, None),
        (NOW, "high", {"type": "enabled", "budget_tokens": 3200}, None),
        (NOW, "none", {"type": "disabled"}, None),
        (NEXT, "high", {"type": "adaptive"}, {"effort": "high"}),
        (NEXT, "minimal", {"type": "adaptive"}, {"effort": "low"}),
    ],
)
def test_effort_becomes_thinking(model: str, effort: str, thinking: Any, output_config: Any) -> None:
    body = asked("anthropic", [USER], model, reasoning_effort=effort, temperature=0.2)
    assert (body["thinking"], body.get("output_config")) == (thinking, output_config)
    assert "temperature" not in body or effort == "none"


def test_thinking_comes_back_with_its_signature_before_everything_else() -> None:
    details = [
        {"type": "reasoning.text", "text": "Tides…", "signature": "sig", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1"},
        {"type": "reasoning.text", "text": "of another provider", "format": "google-gemini-v1"},
    ]
    own = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "text", "text": "again"}]
    assistant = {"role": "assistant", "content": "Look:", "reasoning_details": details, "provider_blocks": own}
    said = asked("anthropic", [USER, {**assistant, "tool_calls": [CALL]}], NOW)["messages"][1]["content"]
    assert said[:3] == [
        {"type": "thinking", "thinking": "Tides…", "signature": "sig"},
        {"type": "redacted_thinking", "data": "x"},
        own[0],
    ]
    assert [one["type"] for one in said[3:]] == ["text", "tool_use"]


@pytest.mark.parametrize("has_thought", [True, False])
def test_manual_thinking_goes_on_only_from_thinking_that_came_back(has_thought: bool) -> None:
    detail = {"type": "reasoning.text", "text": "T", "signature": "s", "format": "anthropic-claude-v1"}
    assistant = {"role": "assistant", "tool_calls": [CALL], "reasoning_details": [detail] if has_thought else []}
    messages = [USER, assistant, {"role": "tool", "tool_call_id": "call_1", "content": "2 m"}]
    outgoing = encode("anthropic", {"messages": messages, "reasoning_effort": "low", "tools": [TOOL]}, NOW)
    assert ("thinking" in json.loads(outgoing.body)) == has_thought
    assert outgoing.dropped == (() if has_thought else ("reasoning_effort",))


def test_what_is_dropped_has_a_name_and_what_asks_for_nothing_has_none() -> None:
    idle = {"n": 1, "frequency_penalty": 0, "logprobs": False, "user": "u", "store": False, "seed": None}
    lost = {"seed": 7, "logit_bias": {"5": 1}, "metadata": {"team": "x"}, "verbosity": "low", "stop": [" ", "END"]}
    outgoing = encode("anthropic", {"messages": [USER], **idle, **lost}, NOW)
    assert sorted(outgoing.dropped) == sorted(lost)
    body = json.loads(outgoing.body)
    assert (body["stop_sequences"], body["metadata"]) == (["END"], {"user_id": "u"})


def test_sampling_is_left_out_where_the_version_or_the_model_took_it_away() -> None:
    asks = {"messages": [USER], "temperature": 1.7}
    assert json.loads(encode("anthropic", asks, NOW).body)["temperature"] == 1.0
    newer = dataclasses.replace(PROVIDERS["anthropic"], flags=frozenset({NO_SAMPLING}))
    for outgoing in (encode(newer, asks, NOW), encode("anthropic", asks, NEXT)):
        assert "temperature" not in json.loads(outgoing.body)
        assert outgoing.dropped == ("temperature",)


def test_a_stream_is_asked_for_and_a_last_turn_of_the_assistant_ends_without_space() -> None:
    outgoing = encode("anthropic", {"messages": [USER, {"role": "assistant", "content": "It is "}]}, NOW, streamed=True)
    body = json.loads(outgoing.body)
    assert (outgoing.path, body["stream"]) == ("/messages", True)
    assert body["messages"][1]["content"][0]["text"] == "It is"
