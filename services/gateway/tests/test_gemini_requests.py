"""Chat requests in the words of Google's generateContent: all content crosses, and what is left out has a name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway.providers.errors import ProviderFailed
from native import asked, encode

OLD, BUDGETED, LEVELLED = "gemini-2.0-flash", "gemini-2.5-flash", "gemini-3-flash-preview"
USER = {"role": "user", "content": "How high is the tide?"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "read_tide", "arguments": '{"place": "Husum"}'}}
OTHER = {"id": "call_2", "type": "function", "function": {"name": "read_wind", "arguments": ""}}
TOOL = {
    "type": "function",
    "function": {"name": "read_tide", "description": "Height", "parameters": {"type": "object", "properties": {}}},
}
SKIP = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="


def config(model: str = BUDGETED, **members: Any) -> dict[str, Any]:
    """What generation is told."""
    found: dict[str, Any] = asked("google", [USER], model, **members)["generationConfig"]
    return found


def test_system_messages_become_the_instruction_and_the_rest_contents() -> None:
    body = asked("google", [{"role": "system", "content": "Be brief."}, USER], BUDGETED)
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": USER["content"]}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 4000},
    }


def test_parallel_calls_and_their_results_become_one_content_each() -> None:
    said = asked(
        "google",
        [
            USER,
            {"role": "assistant", "content": "Look:", "tool_calls": [CALL, OTHER]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"metres": 2}'},
            {"role": "tool", "tool_call_id": "call_2", "content": "calm"},
        ],
        BUDGETED,
    )["contents"]
    assert said[1] == {
        "role": "model",
        "parts": [
            {"text": "Look:"},
            {"functionCall": {"id": "call_1", "name": "read_tide", "args": {"place": "Husum"}}},
            {"functionCall": {"id": "call_2", "name": "read_wind", "args": {}}},
        ],
    }
    assert said[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "call_1", "name": "read_tide", "response": {"metres": 2}}},
            {"functionResponse": {"id": "call_2", "name": "read_wind", "response": {"result": "calm"}}},
        ],
    }


def test_signatures_go_back_and_lost_ones_are_stood_in_for() -> None:
    signed = {**CALL, "extra_content": {"google": {"thought_signature": "sig"}}}
    details = [{"type": "reasoning.encrypted", "data": "text-sig", "format": "google-gemini-v1"}]
    message = {"role": "assistant", "content": "Look:", "reasoning_details": details, "tool_calls": [signed, OTHER]}
    parts = asked("google", [USER, message], LEVELLED)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["text-sig", "sig", None]
    lost = {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER]}
    parts = asked("google", [USER, lost], LEVELLED)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [SKIP, None]
    assert "thoughtSignature" not in json.dumps(asked("google", [USER, lost], BUDGETED))


def test_what_googles_own_tools_did_goes_back() -> None:
    own = {"executableCode": {"language": "PYTHON", "code": "1"}}
    message = {"role": "assistant", "content": "1", "provider_blocks": [own, {"type": "server_tool_use", "id": "s"}]}
    assert asked("google", [USER, message], BUDGETED)["contents"][1]["parts"] == [own, {"text": "1"}]


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
            {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png?x=1"}},
            {"fileData": {"fileUri": "https://example.com/a.png?x=1", "mimeType": "image/png"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"format": "mp3", "data": "SUQz"}},
            {"inlineData": {"mimeType": "audio/mpeg", "data": "SUQz"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1"}},
        ),
    ],
    ids=["picture", "picture by address", "audio", "file", "file by id"],
)
def test_parts_cross(part: dict[str, Any], told: dict[str, Any]) -> None:
    assert asked("google", [{"role": "user", "content": [part]}], BUDGETED)["contents"][0]["parts"] == [told]


def test_tools_cross_with_the_choice_among_them() -> None:
    body = asked("google", [USER], BUDGETED, tools=[TOOL, {"urlContext": {}}], web_search_options={})
    assert body["tools"] == [
        {"urlContext": {}},
        {
            "functionDeclarations": [
                {
                    "name": "read_tide",
                    "description": "Height",
                    "parametersJsonSchema": TOOL["function"]["parameters"],
                }
            ]
        },
        {"googleSearch": {}},
    ]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
    ],
    ids=["auto", "none", "required", "named", "allowed"],
)
def test_the_choice_among_tools_crosses(choice: Any, told: Any) -> None:
    body = asked("google", [USER], BUDGETED, tools=[TOOL], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": told}


def test_settings_and_schemas_cross() -> None:
    schema = {"type": "object", "properties": {"m": {"type": "number"}}}
    told = config(
        temperature=1.3,
        top_p=0.5,
        seed=7,
        presence_penalty=0.5,
        stop=["END"],
        logprobs=True,
        top_logprobs=3,
        modalities=["text", "image"],
        response_format={"type": "json_schema", "json_schema": {"name": "t", "schema": schema}},
    )
    assert told == {
        "maxOutputTokens": 4000,
        "temperature": 1.3,
        "topP": 0.5,
        "seed": 7,
        "presencePenalty": 0.5,
        "stopSequences": ["END"],
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseModalities": ["TEXT", "IMAGE"],
    }
    assert config(response_format={"type": "json_object"})["responseMimeType"] == "application/json"


@pytest.mark.parametrize(
    ("model", "effort", "told"),
    [
        (OLD, "high", None),
        (BUDGETED, "none", {"thinkingBudget": 0, "includeThoughts": False}),
        (BUDGETED, "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        (BUDGETED, "high", {"thinkingBudget": 3200, "includeThoughts": True}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128, "includeThoughts": True}),
        (LEVELLED, "high", {"thinkingLevel": "high", "includeThoughts": True}),
        (LEVELLED, "none", {"thinkingLevel": "minimal", "includeThoughts": False}),
        ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "low", "includeThoughts": True}),
    ],
)
def test_effort_becomes_thinking(model: str, effort: str, told: Any) -> None:
    outgoing = encode("google", {"messages": [USER], "reasoning_effort": effort}, model)
    assert json.loads(outgoing.body)["generationConfig"].get("thinkingConfig") == told
    assert outgoing.dropped == (() if told else ("reasoning_effort",))


def test_what_is_dropped_has_a_name() -> None:
    marked = {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}
    lost = {"logit_bias": {"5": 1}, "user": "u", "stop": list("abcdef")}
    members = {"messages": [marked], "tools": [TOOL], "parallel_tool_calls": False, **lost}
    assert sorted(encode("google", members, BUDGETED).dropped) == sorted(
        ["cache_control", "parallel_tool_calls", *lost]
    )


@pytest.mark.parametrize(
    ("messages", "members", "param"),
    [
        ([{"role": "user", "content": [{"type": "hologram"}]}], {}, "messages[0].content"),
        ([USER, {"role": "tool", "tool_call_id": "nobody's", "content": "x"}], {}, "messages[1].tool_call_id"),
        ([USER], {"n": 2}, "n"),
        ([USER], {"modalities": ["audio"]}, "modalities"),
        ([USER], {"tools": [{"type": "custom", "name": "x"}]}, "tools"),
    ],
    ids=["unknown", "result", "choices", "audio", "custom tool"],
)
def test_content_without_a_word_is_refused(messages: Any, members: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderFailed) as refused:
        asked("google", messages, BUDGETED, **members)
    assert (refused.value.client_status, refused.value.param) == (400, param)


def test_the_model_and_the_way_of_answering_stand_in_the_path() -> None:
    assert encode("google", {"messages": [USER]}, BUDGETED).path == "/models/gemini-2.5-flash:generateContent"
    streamed = encode("vertex", {"messages": [USER]}, "a/../b?c", streamed=True)
    assert streamed.path == "/models/a%2F..%2Fb%3Fc:streamGenerateContent?alt=sse"
