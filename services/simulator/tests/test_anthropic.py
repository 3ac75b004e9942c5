"""Anthropic as the simulator plays it: what it insists on, what it answers, in both versions of the API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulator.answers import Writer
from simulator.faults import checked, directives_in
from simulator.refusals import Refusal
from simulator.wires.anthropic.wire import AnthropicSpeaker, AnthropicWire

SPEAKER = AnthropicSpeaker()
NEWER = {b"anthropic-version": b"2026-10-21"}
OLDER = {b"anthropic-version": b"2023-06-01"}
TOOL = {"name": "read_tide", "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}}}


def body(*said: Any, **members: Any) -> bytes:
    """A request in which the user says these things."""
    turns = [one if isinstance(one, dict) else {"role": "user", "content": one} for one in said]
    return json.dumps({"model": "claude-sonnet-4-5", "max_tokens": 2000, "messages": turns, **members}).encode()


def answered(question: str, **members: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An answer as one message and as the events of a stream."""
    wire = AnthropicWire()
    prompt = wire.prompt(body(question, **members))
    directives = checked(directives_in(prompt.question))
    answer = Writer(0).answer(prompt, directives, [])
    frames = wire.script(answer, prompt.model, 7, True, directives).frames
    events = [json.loads(frame.partition(b"data: ")[2]) for frame in frames]
    return json.loads(wire.whole(answer, prompt.model, 7, directives)), events


def test_an_answer_has_blocks_and_a_report_that_leaves_the_cache_out() -> None:
    whole, events = answered("[[simulate prompt_tokens=90 cached_tokens=50 reasoning_tokens=3 tokens=5]]")
    assert [block["type"] for block in whole["content"]] == ["thinking", "text"]
    assert (whole["usage"]["input_tokens"], whole["usage"]["cache_read_input_tokens"]) == (40, 50)
    assert (whole["usage"]["output_tokens"], whole["stop_reason"]) == (8, "end_turn")
    assert events[0]["message"]["usage"]["output_tokens"] == 1
    assert events[-1]["usage"]["output_tokens"] == 8
    text = [one["delta"]["text"] for one in events if one.get("delta", {}).get("type") == "text_delta"]
    assert "".join(text) == whole["content"][1]["text"]


def test_a_call_is_streamed_as_pieces_of_its_arguments() -> None:
    whole, events = answered("Use read_tide.", tools=[TOOL])
    [call] = whole["content"]
    pieces = [one["delta"]["partial_json"] for one in events if one["type"] == "content_block_delta"]
    assert json.loads("".join(pieces)) == call["input"]
    assert (call["type"], whole["stop_reason"]) == ("tool_use", "tool_use")


CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read_tide", "input": {}}]}
THOUGHT = {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "forged"}]}
THINKS = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.mark.parametrize(
    ("request_body", "headers", "said"),
    [
        (body("Hi", temperature=0.5), NEWER, "temperature"),
        (body("Hi", temperature=1.5), OLDER, "temperature"),
        (body("Hi"), {}, "anthropic-version"),
        (body("Hi", CALL, "And?"), OLDER, "tool_result"),
        (body("Hi", THOUGHT, "And?", **THINKS), OLDER, "signature"),
        (body("Hi", thinking={"type": "enabled", "budget_tokens": 5000}), OLDER, "budget_tokens"),
        (body("Hi", tools=[TOOL], tool_choice={"type": "any"}, **THINKS), OLDER, "tool_choice"),
        (body(""), OLDER, "non-empty"),
        (b'{"model":"m","messages":[]}', OLDER, "messages"),
        (b"{", OLDER, "JSON"),
    ],
    ids=["newer", "range", "version", "result", "forged", "budget", "forced", "empty", "none", "no JSON"],
)
def test_what_the_provider_refuses_is_refused(request_body: bytes, headers: dict[bytes, bytes], said: str) -> None:
    wire = SPEAKER.call("/messages", headers)
    assert wire is not None
    with pytest.raises(Refusal) as refused:
        wire.prompt(request_body)
    status, told = wire.refusal(refused.value)
    assert status == 400
    assert said in json.loads(told)["error"]["message"]


def test_lists_and_counts_need_no_model() -> None:
    assert json.loads(SPEAKER.listed("GET", "/models", b""))["data"][0]["type"] == "model"
    assert json.loads(SPEAKER.listed("POST", "/messages/count_tokens", body("Count to 5"))) == {"input_tokens": 10}
    with pytest.raises(Refusal):
        SPEAKER.listed("GET", "/messages", b"")
