"""A Responses request in the words of chat, and a chat answer in those of Responses: word by word, and for any order."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from common.providers.registry import PROVIDERS
from gateway.api.responses import ResponsesVoice, as_chat, parse_chat_from_responses, parse_responses
from gateway.api.responses.translation import custom_tools
from gateway.providers.errors import ProviderFailed
from gateway.providers.languages import RELAYED
from gateway.providers.wires.responses import encode_request
from gateway.shapes import ErrorAnswer, Refusal
from hypothesis import given
from hypothesis import strategies as st
from native import encode
from published import check_event, check_response
from test_published_shapes import folded, voice

OPENAI = PROVIDERS["openai"]


def asked(**members: Any) -> bytes:
    """A body."""
    return json.dumps({"model": "m", "input": "Hi", **members}).encode()


def said(**members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a request says in chat, and what is lost."""
    found, lost = as_chat(parse_responses(asked(**members)).members)
    return {name: msgspec.json.decode(value) for name, value in found.items()}, lost


def spoken(chunks: list[dict[str, Any]], **members: Any) -> list[dict[str, Any]]:
    """The events for some deltas."""
    speaker = ResponsesVoice(parse_responses(asked(**members)), "0-1", lambda: 7, can_keep=True)
    told = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in chunks]
    events = speaker.events(b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in told))
    events += speaker.end(b"data: [DONE]\n\n")
    return [json.loads(event.partition(b"\ndata: ")[2]) for event in events.split(b"\n\n")[:-1]]


def test_every_item_that_chat_has_a_word_for_crosses() -> None:
    items: list[Any] = [
        {"type": "message", "role": "developer", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "Look."},
            {"type": "input_image", "image_url": "https://tides.example/a.png", "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
            {"type": "input_file", "file_url": "https://tides.example/b.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA-another-providers"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Two calls."}]},
        {"type": "function_call", "call_id": "c1", "name": "read_tide", "arguments": '{"place":"Husum"}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "run", "input": "ls"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "2 m"}]},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "a.pdf"},
    ]  # fmt: skip
    told, lost = said(input=items, instructions="You know tides.")
    system, developer, user, assistant, first, second = told["messages"]
    assert (system, developer["role"]) == ({"role": "system", "content": "You know tides."}, "developer")
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "file", "file", "input_audio"]
    assert user["content"][1]["image_url"] == {"url": "https://tides.example/a.png", "detail": "low"}
    assert assistant["content"] == "Two calls."
    assert [call["function"] for call in assistant["tool_calls"]] == [
        {"name": "read_tide", "arguments": '{"place":"Husum"}'},
        {"name": "run", "arguments": '{"input":"ls"}'},
    ]
    assert (first["content"], second["content"]) == ([{"type": "text", "text": "2 m"}], "a.pdf")
    assert lost == ()


def test_every_knob_that_chat_has_a_word_for_crosses() -> None:
    schema = {"type": "object", "properties": {}}
    told, lost = said(
        tools=[
            {"type": "function", "name": "read_tide", "parameters": schema, "strict": True},
            {"type": "custom", "name": "run", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}},
            {"type": "function", "name": "read_wind", "parameters": schema},
        ],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [
            {"type": "function", "name": "read_tide"}, {"type": "custom", "name": "run"}]},
        text={"format": {"type": "json_schema", "name": "t", "schema": schema, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        top_logprobs=2, parallel_tool_calls=False, temperature=0.5, metadata={"a": "b"}, store=False,
        truncation="disabled", max_output_tokens=9, prompt_cache_key="k", background=False,
    )  # fmt: skip
    assert [tool["function"]["name"] for tool in told["tools"]] == ["read_tide", "run"]
    assert told["tools"][0]["function"]["strict"] is True
    assert "start: X" in told["tools"][1]["function"]["description"]
    assert (told["tool_choice"], told["parallel_tool_calls"], told["temperature"]) == ("required", False, 0.5)
    assert told["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "t", "schema": schema, "strict": True}
    }  # fmt: skip
    assert (told["verbosity"], told["reasoning_effort"], told["logprobs"], told["top_logprobs"]) == (
        "low",
        "low",
        True,
        2,
    )
    assert (told["prompt_cache_key"], lost) == ("k", ())
    assert not {"metadata", "store", "max_output_tokens"} & told.keys()
    assert said(tool_choice={"type": "custom", "name": "run"}, tools=[{"type": "custom", "name": "run"}])[0][
        "tool_choice"
    ] == {"type": "function", "function": {"name": "run"}}


def test_what_has_no_word_is_named() -> None:
    _, lost = said(truncation="auto", max_tool_calls=3, include=["file_search_call.results"], a_word_of_tomorrow=1)
    assert set(lost) == {"truncation", "max_tool_calls", "include", "a_word_of_tomorrow"}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "a_tool_of_tomorrow"}]}, "tools"),
        ({"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]}, "input"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "a_part_of_tomorrow"}]}]}, "input"),
        ({"input": [{"type": "function_call", "name": "no_call_id"}]}, "input"),
        ({"input": [{"type": "reasoning", "encrypted_content": "tollgate1.!"}]}, "input"),
    ],
)
def test_content_without_a_word_is_refused(members: dict[str, Any], param: str) -> None:
    with pytest.raises(ProviderFailed) as failed:
        said(**members)
    assert (failed.value.client_status, failed.value.param) == (400, param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model":"m"}', "input"), (b'{"input":"Hi"}', "model"), (b'{"model":"m","input":7}', "input"),
        (asked(background=True), "background"), (asked(conversation="conv_1"), "conversation"),
        (asked(prompt={"id": "p"}), "prompt"), (asked(max_output_tokens=0), "max_output_tokens"),
        (asked(previous_response_id=""), "previous_response_id"), (asked(metadata={"a": 1}), "metadata[...]"),
        (asked(stream="yes"), "stream"), (b"[]", None), (b"{", None), (b"\xff", None),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_refused_by_name(body: bytes, param: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        parse_responses(body)
    assert (refused.value.reason, refused.value.param) == ("invalid_request", param)


def test_pictures_count_as_pictures_and_not_as_text() -> None:
    image = "data:image/png;base64," + "A" * 50_000
    content = [{"type": "input_image", "image_url": image}, {"type": "input_text", "text": "What?"}]
    items: list[Any] = [{"role": "user", "content": content}]
    items.append(
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": image}]}
    )
    request = parse_responses(asked(input=items)).request
    assert (request.attachments, request.text_bytes < 1_000) == (2, True)
    earlier = parse_responses(asked(input="And now?")).with_items([json.dumps(item).encode() for item in items])
    assert (earlier.request.attachments, earlier.request.text_bytes < 1_000) == (2, True)


def test_what_was_kept_for_a_provider_comes_back_to_it() -> None:
    details = [{"type": "reasoning.text", "text": "Hm.", "signature": "sig", "format": "anthropic-claude-v1"}]
    signed = {"extra_content": {"google": {"thought_signature": "sig-2"}}}
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, **signed}
    blocks = [{"type": "server_tool_use", "id": "s"}]
    events = spoken([{"reasoning_content": "Hm."}, {"reasoning_details": details}, {"provider_blocks": blocks},
                     {"content": "Now."}, {"tool_calls": [call]}])  # fmt: skip
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", "function_call", "reasoning"]
    assistant = said(input=[{"role": "user", "content": "Hi"}, *output])[0]["messages"][1]
    assert (assistant["reasoning_details"], assistant["provider_blocks"]) == (details, blocks)
    assert assistant["tool_calls"][0]["extra_content"] == signed["extra_content"]
    sent = json.loads(RELAYED["responses"].wire.encode_request(
        parse_responses(asked(input=output)).members, OPENAI, "gpt", 9, False).body)  # fmt: skip
    assert [item["type"] for item in sent["input"]] == ["message", "function_call"]


def test_pieces_of_calls_may_come_in_any_order() -> None:
    def piece(index: int, text: str, **more: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": text, **more}}]}

    begun = [
        {"tool_calls": [{"index": n, "id": f"c{n}", "function": {"name": f"f{n}", "arguments": ""}}]} for n in (0, 1)
    ]
    events = spoken([*begun, piece(0, '{"a"'), piece(1, '{"b":'), piece(0, ":1}"), piece(1, "2}")])
    assert [item["arguments"] for item in events[-1]["response"]["output"]] == ['{"a":1}', '{"b":2}']
    in_turn = spoken([begun[0], piece(0, '{"a":1}'), begun[1], piece(1, "{}")])
    kinds = [event["type"] for event in in_turn]
    assert kinds.index("response.output_item.done") < kinds.index("response.output_item.added", 3)
    assert folded(in_turn) == in_turn[-1]["response"]["output"]


def test_a_failure_is_told_with_what_came_before_it() -> None:
    speaker = voice()
    begun = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hal"}, "finish_reason": None}]}
    speaker.events(b"data: " + json.dumps(begun).encode() + b"\n\n")
    answer = ErrorAnswer(429, (), b'{"error":{"message":"slow down"}}')
    events = [json.loads(one.partition(b"data: ")[2]) for one in speaker.trouble(answer, "r").split(b"\n\n")[:-1]]
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hal"
    assert speaker.body is None
    for event in events:
        check_event(event)


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
def test_the_last_event_of_a_relayed_stream_waits_for_the_end(kind: str) -> None:
    speaker = voice()
    speaker.relays = True
    first = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hi"}\n\n'
    response = b'{"id":"resp_1","output":[],"status":"completed"}'
    last = b'event: %b\ndata: {"type":"%b","response":%b}\n\n' % (kind.encode(), kind.encode(), response)
    assert speaker.events(first + last) == first
    assert speaker.events(b"") == b""
    assert (speaker.end(b"data: [DONE]\n\n"), speaker.body) == (last, response)


def test_a_body_for_the_other_door_is_told_apart() -> None:
    found = parse_chat_from_responses(asked(stream=True, stream_options={"include_usage": True}, truncation="auto"))
    assert found is not None
    assert (found.dialect, found.wants_usage, found.lost) == ("openai", True, ("truncation",))
    assert parse_chat_from_responses(b'{"model":"m"}') is None
    for members in ({"previous_response_id": "resp_1"}, {"tools": [{"type": "web_search"}]}):
        with pytest.raises(Refusal):
            parse_chat_from_responses(asked(**members))


def test_a_chat_request_crosses_to_responses() -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "c2", "type": "custom", "custom": {"name": "run", "input": "ls"}}],
         "reasoning_details": [{"type": "reasoning.encrypted", "id": "rs_1", "data": "enc",
                                "format": "openai-responses-v1"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "2 m"},
        {"role": "tool", "tool_call_id": "c2", "content": "a.pdf"},
    ]  # fmt: skip
    asked_for = {"model": "o3-pro", "messages": messages, "reasoning_effort": "low", "stop": ["x"], "seed": 7,
                 "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required",
                 "response_format": {"type": "json_object"}, "parallel_tool_calls": False}  # fmt: skip
    outgoing = encode_request({name: msgspec.Raw(json.dumps(value).encode()) for name, value in asked_for.items()},
                              OPENAI, "o3-pro", 64, True)  # fmt: skip
    body = json.loads(outgoing.body)
    assert [item["type"] for item in body["input"]] == [
        "message", "message", "reasoning", "function_call", "custom_tool_call", "function_call_output",
        "custom_tool_call_output",
    ]  # fmt: skip
    assert (outgoing.path, outgoing.dropped) == ("/responses", ("stop", "seed"))
    assert (body["store"], body["stream"], body["max_output_tokens"]) == (False, True, 64)
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    assert (body["reasoning"], body["text"]) == ({"effort": "low"}, {"format": {"type": "json_object"}})
    assert body["tools"][0] | {"parameters": None} == {
        "type": "function", "name": "f", "strict": False, "parameters": None
    }  # fmt: skip
    assert json.loads(encode("openai", asked_for, "gpt-4").body)["seed"] == 7
    with pytest.raises(ProviderFailed):
        encode_request({"messages": msgspec.Raw(b"[]"), "n": msgspec.Raw(b"2")}, OPENAI, "o3-pro", 64, False)


TEXT = st.text(max_size=6)
CALL = st.builds(
    lambda index, text: {
        "tool_calls": [{"index": index, "id": f"c{index}", "function": {"name": "f", "arguments": text}}]
    },
    st.integers(0, 2),
    st.sampled_from(['{"a":', "1}", "{}", ""]),
)
DELTA = st.one_of(
    st.fixed_dictionaries({"content": TEXT}),
    st.fixed_dictionaries({"reasoning_content": TEXT}),
    st.fixed_dictionaries({"refusal": TEXT}),
    st.fixed_dictionaries(
        {"reasoning_details": st.just([{"type": "reasoning.encrypted", "data": "x", "format": "f"}])}
    ),
    CALL,
)


@given(st.lists(DELTA, max_size=12))
def test_any_answer_is_told_in_valid_events_that_amount_to_it(deltas: list[dict[str, Any]]) -> None:
    events = spoken(deltas)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        check_event(event)
    last = events[-1]["response"]
    check_response(last)
    assert folded(events) == last["output"]
    said_texts = "".join(delta.get("content", "") for delta in deltas)
    parts = [part for item in last["output"] if item["type"] == "message" for part in item["content"]]
    assert "".join(part.get("text", "") for part in parts) == said_texts
    kinds = [event["type"] for event in events]
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done") == len(last["output"])
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize(
    "members",
    [{"text": "terse"}, {"text": ["terse"]}, {"metadata": {"far": 1}}, {"input": [{"type": "message", "far": "FAR"}]},
     {"user": "FAR"}, {"text": {"format": "FAR"}}, {"tools": [{"type": "custom", "name": "a", "far": "FAR"}]}],
)  # fmt: skip
def test_a_body_that_cannot_be_said_again_is_refused_before_anybody_is_asked(members: dict[str, Any]) -> None:
    body = asked(**members).replace(b'"FAR"', b"1e999")
    with pytest.raises(Refusal) as refused:
        parse_responses(body)
    assert refused.value.reason == "invalid_request"


@pytest.mark.parametrize("tools", [1, "x", [1], [{"type": "custom"}], [{"type": "custom", "name": ["a"]}]])
def test_tools_of_no_known_shape_break_nothing_but_their_call(tools: Any) -> None:
    items = [{"type": "additional_tools", "tools": tools}]
    body = json.dumps({"model": "m", "input": items, "tools": [{"type": "custom", "name": "run"}]}).encode()
    members = parse_responses(body).members
    assert custom_tools(members) == {"run"}
    with suppress(ProviderFailed):
        as_chat(members)


def test_tools_that_come_as_items_may_read_what_is_not_in_the_request() -> None:
    later = [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]
    assert parse_responses(asked(input=later)).request.is_open
    assert not parse_responses(asked()).request.is_open


def test_a_picture_that_never_came_is_not_sent_back() -> None:
    told, _ = said(input=[{"type": "image_generation_call", "id": "ig_1", "status": "failed", "result": None}])
    assert told["messages"] == []


def test_a_stream_that_fails_before_anything_came_begins_all_the_same() -> None:
    speaker = ResponsesVoice(parse_responses(asked()), "0-1", lambda: 7, can_keep=True)
    answer = ErrorAnswer(502, (), b'{"error":{"message":"no"}}')
    told = [json.loads(one.partition(b"\ndata: ")[2]) for one in speaker.trouble(answer, "1").split(b"\n\n")[:-1]]
    assert [one["type"] for one in told] == ["response.created", "response.in_progress", "response.failed"]
    assert [one["sequence_number"] for one in told] == [0, 1, 2]


def test_a_last_event_of_several_lines_under_another_name_still_waits() -> None:
    speaker = ResponsesVoice(parse_responses(asked()), "0-1", lambda: 7, can_keep=True)
    speaker.relays = True
    decoder = RELAYED["responses"].wire.decode_stream(OPENAI, True, 0, "m")
    lines = '{"type":"response.completed",\ndata: "response":{"id":"r","status":"completed","output":[]}}'
    shown = speaker.events(decoder.feed(f"event: done\ndata: {lines}\n\n".encode()))
    assert (shown, decoder.is_done) == (b"", True)
    assert speaker.end(b"").startswith(b"event: response.completed\n")
    assert json.loads(speaker.body or b"")["id"] == "r"
