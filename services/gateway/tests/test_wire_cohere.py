"""What Cohere is asked, for what a chat client asked: every word of it, or a refusal that names what has none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from common.providers.registry import PROVIDERS
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Outgoing
from gateway.providers.wires.cohere import StreamDecoder, decode_error, decode_response, decode_usage, encode_request

COHERE = PROVIDERS["cohere"]
HELLO = [{"role": "user", "content": "Hello"}]
TIDE = {
    "type": "function",
    "function": {"name": "read_tide", "description": "The tide", "parameters": {"type": "object"}},
}
WIND = {"type": "function", "function": {"name": "read_wind", "strict": True}}


def encoded(messages: Any = HELLO, *, streamed: bool = False, **members: Any) -> Outgoing:
    """A chat request, translated."""
    raw = msgspec.json.decode(json.dumps({"messages": messages, **members}).encode(), type=dict[str, msgspec.Raw])
    return encode_request(raw, COHERE, "command-a", 900, streamed)


def sent(messages: Any = HELLO, **members: Any) -> dict[str, Any]:
    """The body that goes to Cohere."""
    return dict(json.loads(encoded(messages, **members).body))


def test_a_plain_question_is_four_members() -> None:
    assert encoded().path == "/v2/chat"
    assert sent() == {"model": "command-a", "messages": HELLO, "max_tokens": 900, "stream": False}


def test_knobs_have_their_own_names() -> None:
    told = sent(temperature=0.3, seed=7, top_p=0.8, stop="END", frequency_penalty=0.5, presence_penalty=0.0)
    assert {name: told[name] for name in ("temperature", "seed", "p", "stop_sequences")} == {
        "temperature": 0.3,
        "seed": 7,
        "p": 0.8,
        "stop_sequences": ["END"],
    }
    assert (told["frequency_penalty"], told["presence_penalty"]) == (0.5, 0.0)


def test_what_cohere_has_no_word_for_is_dropped_by_name() -> None:
    outgoing = encoded(logit_bias={"5": 1}, presence_penalty=-1.5, user="u", logprobs=True, metadata={"a": "b"})
    assert set(outgoing.dropped) == {"logit_bias", "presence_penalty", "user", "logprobs", "metadata"}
    assert encoded(n=1, logprobs=False, parallel_tool_calls=True, presence_penalty=None).dropped == ()
    assert encoded(tools=[TIDE], parallel_tool_calls=False).dropped == ("parallel_tool_calls",)


def test_coheres_own_parameters_pass() -> None:
    told = sent(documents=["a"], citation_options={"mode": "FAST"}, safety_mode="NONE", k=5)
    assert (told["documents"], told["safety_mode"], told["k"]) == (["a"], "NONE", 5)


@pytest.mark.parametrize(
    ("choice", "names", "expected"),
    [
        ("auto", ["read_tide", "read_wind"], None),
        ("required", ["read_tide", "read_wind"], "REQUIRED"),
        ("none", ["read_tide", "read_wind"], "NONE"),
        ({"type": "function", "function": {"name": "read_wind"}}, ["read_wind"], "REQUIRED"),
    ],
)
def test_a_tool_choice_is_said_or_shown(choice: Any, names: list[str], expected: str | None) -> None:
    told = sent(tools=[TIDE, WIND], tool_choice=choice)
    assert [tool["function"]["name"] for tool in told["tools"]] == names
    assert told.get("tool_choice") == expected
    assert told["strict_tools"] is True


def test_a_tool_conversation_goes_back_as_it_came() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "read_tide", "arguments": '{"at":"Sund"}'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Tide?"}]},
        {"role": "assistant", "content": "I will look.", "reasoning_content": "Hm.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2 m"},
        {"role": "assistant", "content": "2 m."},
    ]
    assert sent(messages)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Tide?"},
        {
            "role": "assistant",
            "tool_calls": [call],
            "tool_plan": "I will look.",
            "content": [{"type": "thinking", "thinking": "Hm."}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "2 m"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "2 m."}]},
    ]


def test_pictures_pass_and_what_cohere_cannot_take_is_refused() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "What is it?"}, picture]
    assert sent([{"role": "user", "content": content}])["messages"][0]["content"] == content
    for part in ({"type": "input_audio", "input_audio": {}}, {"type": "file", "file": {}}):
        with pytest.raises(ProviderFailed) as refused:
            encoded([{"role": "user", "content": [part]}])
        assert (refused.value.client_status, refused.value.was_sent) == (400, False)
    with pytest.raises(ProviderFailed) as refused:
        encoded(n=2)
    assert refused.value.param == "n"


def test_a_schema_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    assert sent(response_format=wanted)["response_format"] == {"type": "json_object", "json_schema": schema}
    assert sent(response_format={"type": "json_object"})["response_format"] == {"type": "json_object"}
    assert "response_format" not in sent(response_format={"type": "text"})


@pytest.mark.parametrize(
    ("effort", "thinking"),
    [
        ("none", {"type": "disabled"}),
        ("low", {"type": "enabled", "token_budget": 180}),
        ("high", {"type": "enabled", "token_budget": 720}),
        ("max", {"type": "enabled"}),
    ],
)
def test_effort_is_a_share_of_the_output(effort: str, thinking: dict[str, Any]) -> None:
    assert sent(reasoning_effort=effort)["thinking"] == thinking


def test_what_is_billed_counts() -> None:
    raw = {
        "billed_units": {"input_tokens": 267, "output_tokens": 41, "search_units": 1},
        "tokens": {"input_tokens": 34, "image_tokens": 259, "output_tokens": 41, "reasoning_tokens": 11},
        "cached_tokens": 20,
    }
    usage = decode_usage(raw)
    assert usage is not None
    assert (usage.prompt_tokens, usage.cached_input_tokens, usage.completion_tokens) == (267, 20, 41)
    assert (usage.reasoning_tokens, dict(usage.units)) == (11, {"search_units": 1})
    assert decode_usage({}) is None
    contradictory = decode_usage(
        {"tokens": {"input_tokens": 3, "output_tokens": 2, "reasoning_tokens": 9}, "cached_tokens": 9}
    )
    assert contradictory is not None
    assert contradictory.total_tokens == 5


def test_an_answer_that_says_it_failed_is_a_failure() -> None:
    body = json.dumps({"id": "x", "finish_reason": "ERROR", "message": {"role": "assistant"}}).encode()
    with pytest.raises(ProviderFailed) as failed:
        decode_response(body, COHERE, 0, "m")
    assert failed.value.failure == "broken"
    decoder = StreamDecoder(COHERE, False, 0, "m")
    end = {"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}
    decoder.feed(b"data: " + json.dumps(end).encode() + b"\n\n")
    assert decoder.failure is not None


def test_citations_cross() -> None:
    citation = {"start": 0, "end": 4, "text": "Tide", "sources": [{"type": "document", "id": "d1"}]}
    told = {"role": "assistant", "content": [{"type": "text", "text": "Tide."}], "citations": [citation]}
    body = json.dumps({"id": "x", "finish_reason": "COMPLETE", "message": told}).encode()
    message = json.loads(decode_response(body, COHERE, 0, "m").body)["choices"][0]["message"]
    assert message["citations"] == [citation]


def test_a_prompt_that_is_too_long_has_openais_code() -> None:
    body = b'{"id":"x","message":"too many tokens: size limit exceeded","error_type":"TOO_MANY_TOKENS"}'
    failed = decode_error(400, body, COHERE, None)
    assert (failed.code, failed.client_status) == ("context_length_exceeded", 400)
