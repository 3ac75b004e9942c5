"""The Responses API as the simulator plays it: what it insists on, what it answers, what it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulator.answers import Writer
from simulator.faults import checked, directives_in
from simulator.refusals import Refusal
from simulator.wires import Wire
from simulator.wires.openai.rows import rows
from simulator.wires.openai.speaker import OpenAISpeaker
from simulator.wires.openai.stream import StreamWriter

WRITER = Writer(0)
ROWS = {row.name: row for row in rows()}
TOOL = {"type": "function", "name": "read_tide", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
def speaker() -> OpenAISpeaker:
    """OpenAI, with nothing stored yet."""
    return OpenAISpeaker(ROWS["openai"], StreamWriter(WRITER.words))


def wire_of(speaker: OpenAISpeaker, rest: str = "/responses") -> Wire:
    """The wire of one call."""
    found = speaker.call(rest, {})
    assert found is not None
    return found


def made(speaker: OpenAISpeaker, given: Any, **members: Any) -> dict[str, Any]:
    """A whole response."""
    wire = wire_of(speaker)
    prompt = wire.prompt(json.dumps({"model": "gpt-5", "input": given, **members}).encode())
    directives = checked(directives_in(prompt.question))
    found: dict[str, Any] = json.loads(wire.whole(WRITER.answer(prompt, directives, []), prompt.model, 7, directives))
    return found


def events(speaker: OpenAISpeaker, given: Any, **members: Any) -> list[dict[str, Any]]:
    """The events of a streamed one."""
    wire = wire_of(speaker)
    prompt = wire.prompt(json.dumps({"model": "gpt-5", "input": given, "stream": True, **members}).encode())
    directives = checked(directives_in(prompt.question))
    script = wire.script(WRITER.answer(prompt, directives, []), prompt.model, 7, True, directives)
    return [json.loads(frame.partition(b"\ndata: ")[2]) for frame in script.frames]


def refused(speaker: OpenAISpeaker, given: Any, **members: Any) -> Refusal:
    """Why a request is not answered."""
    with pytest.raises(Refusal) as raised:
        made(speaker, given, **members)
    return raised.value


def test_a_response_has_items_and_a_report(speaker: OpenAISpeaker) -> None:
    asked = "[[simulate reasoning_tokens=3 tokens=5 cached_tokens=4]]"
    whole = made(speaker, asked, include=["reasoning.encrypted_content"])
    assert [item["type"] for item in whole["output"]] == ["reasoning", "message"]
    assert whole["output"][0]["encrypted_content"].startswith("simenc")
    assert whole["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}
    assert (whole["usage"]["output_tokens"], whole["status"]) == (8, "completed")


def test_events_are_numbered_and_amount_to_the_whole(speaker: OpenAISpeaker) -> None:
    told = events(speaker, "Use read_tide.", tools=[TOOL])
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    [call] = told[-1]["response"]["output"]
    pieces = [event["delta"] for event in told if event["type"] == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call["arguments"]
    assert [told[0]["type"], told[-1]["type"]] == ["response.created", "response.completed"]


def test_an_answer_that_is_cut_short_says_so(speaker: OpenAISpeaker) -> None:
    whole = made(speaker, "[[simulate tokens=40]]", max_output_tokens=16)
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_what_is_stored_is_gone_on_from_listed_and_deleted(speaker: OpenAISpeaker) -> None:
    first = made(speaker, "Use read_tide.", tools=[TOOL])
    result = [{"type": "function_call_output", "call_id": first["output"][0]["call_id"], "output": "2 m"}]
    assert made(speaker, result, previous_response_id=first["id"])["output"][0]["type"] == "message"
    path = f"/responses/{first['id']}"
    assert json.loads(speaker.listed("GET", path, b"")) == first
    assert json.loads(speaker.listed("GET", f"{path}/input_items", b""))["data"][0]["type"] == "message"
    assert json.loads(speaker.listed("DELETE", path, b""))["deleted"] is True
    with pytest.raises(Refusal) as gone:
        speaker.listed("GET", path, b"")
    assert gone.value.status == 404


def test_what_it_insists_on(speaker: OpenAISpeaker) -> None:
    lost = made(speaker, "Hi", store=False)
    assert refused(speaker, "Hi", previous_response_id=lost["id"]).code == "previous_response_not_found"
    assert refused(speaker, [{"type": "function_call_output", "call_id": "c", "output": "x"}]).status == 400
    assert refused(speaker, [{"type": "item_reference", "id": "msg_none"}]).status == 404
    forged = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "forged"}
    assert refused(speaker, [forged]).code == "invalid_encrypted_content"
    assert refused(speaker, [{"type": "reasoning", "id": "rs_1", "summary": []}]).status == 404
    wrong = {"role": "assistant", "content": [{"type": "input_text", "text": "Hi"}]}
    assert refused(speaker, [wrong]).code == "invalid_value"
    assert refused(speaker, "Hi", max_output_tokens=1).param == "max_output_tokens"


def test_a_conversation_is_compacted_and_counted(speaker: OpenAISpeaker) -> None:
    body = json.dumps({"model": "gpt-5", "input": "Say hello!"}).encode()
    wire = wire_of(speaker, "/responses/compact")
    prompt, directives = wire.prompt(body), checked({})
    told = json.loads(wire.whole(WRITER.answer(prompt, directives, []), "gpt-5", 7, directives))
    assert (told["object"], told["output"][0]["type"]) == ("response.compaction", "compaction")
    counted = json.loads(speaker.listed("POST", "/responses/input_tokens", body))
    assert counted["input_tokens"] == prompt.prompt_tokens == told["usage"]["input_tokens"]


def test_some_keep_nothing_and_most_know_nothing_of_it() -> None:
    words = StreamWriter(WRITER.words)
    assert made(OpenAISpeaker(ROWS["deepseek"], words), "Hi")["store"] is False
    assert OpenAISpeaker(ROWS["groq"], words).call("/responses", {}) is None
