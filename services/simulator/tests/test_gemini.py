"""Google as the simulator plays it: what it insists on, what it answers, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulator.answers import Writer
from simulator.faults import checked, directives_in
from simulator.refusals import Refusal
from simulator.wires.gemini.wire import GeminiWire, google_speakers

GOOGLE, VERTEX = google_speakers()
TOOLS = [{"functionDeclarations": [{"name": "read_tide", "parametersJsonSchema": {"type": "object"}}]}]
CALLED = {"role": "model", "parts": [{"functionCall": {"name": "read_tide", "args": {}}}]}
RESULT = {"role": "user", "parts": [{"functionResponse": {"name": "read_tide", "response": {}}}]}


def body(*said: Any, **members: Any) -> bytes:
    """A request in which the user says these things."""
    contents = [one if isinstance(one, dict) else {"role": "user", "parts": [{"text": one}]} for one in said]
    return json.dumps({"contents": contents, **members}).encode()


def answered(question: str, **members: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """An answer as one object and as the chunks of a stream."""
    wire = GeminiWire("google", "gemini-3-flash-preview")
    prompt = wire.prompt(body(question, **members))
    directives = checked(directives_in(prompt.question))
    answer = Writer(0).answer(prompt, directives, [])
    frames = wire.script(answer, prompt.model, 7, True, directives).frames
    return json.loads(wire.whole(answer, prompt.model, 7, directives)), [json.loads(one[6:]) for one in frames]


def parts(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of an answer or chunk."""
    found: list[dict[str, Any]] = told["candidates"][0]["content"]["parts"]
    return found


def test_an_answer_counts_thoughts_beside_and_cached_tokens_inside() -> None:
    whole, chunks = answered("[[simulate prompt_tokens=90 cached_tokens=50 reasoning_tokens=3 tokens=5]]")
    usage = whole["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"], usage["thoughtsTokenCount"]) == (90, 50, 3)
    assert (usage["candidatesTokenCount"], usage["totalTokenCount"]) == (5, 98)
    assert [part.get("thought", False) for part in parts(whole)] == [True, False]
    assert chunks[-1]["usageMetadata"] == usage
    assert chunks[0]["usageMetadata"]["totalTokenCount"] == 91
    assert "".join(part["text"] for one in chunks for part in parts(one)) == "".join(
        part["text"] for part in parts(whole)
    )


def test_a_call_comes_in_one_piece_and_the_answer_just_stops() -> None:
    whole, chunks = answered("Use read_tide.", tools=TOOLS)
    assert parts(whole) == [{"functionCall": {"name": "read_tide", "args": {}}}]
    assert whole["candidates"][0]["finishReason"] == chunks[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize(
    ("model", "request_body", "said"),
    [
        ("gemini-3-pro-preview", body("Hi", CALLED, RESULT), "thought_signature"),
        ("gemini-2.5-pro", body("Hi", CALLED, "And?"), "number of function response"),
        ("gemini-2.5-pro", body("Hi", generationConfig={"stopSequences": list("abcdef")}), "stopSequences"),
        ("gemini-2.5-pro", b'{"contents":[]}', "contents"),
        ("gemini-2.5-pro", b"{", "JSON"),
    ],
    ids=["unsigned", "results", "stops", "none", "no JSON"],
)
def test_what_the_provider_refuses_is_refused(model: str, request_body: bytes, said: str) -> None:
    wire = GOOGLE.call(f"/models/{model}:generateContent", {})
    assert wire is not None
    with pytest.raises(Refusal) as refused:
        wire.prompt(request_body)
    status, told = wire.refusal(refused.value)
    assert (status, json.loads(told)["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert said in json.loads(told)["error"]["message"]


def test_a_bad_key_is_an_invalid_argument_to_one_and_unauthenticated_to_the_other() -> None:
    status, told = GOOGLE.wire.refusal(Refusal(401))
    assert (status, json.loads(told)["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert VERTEX.wire.refusal(Refusal(401))[0] == 401
    assert VERTEX.wire.key({b"authorization": b"Bearer t", b"x-goog-api-key": b"k"}) == "t"
    assert GOOGLE.wire.key({b"authorization": b"Bearer t", b"x-goog-api-key": b"k"}) == "k"


def test_lists_and_counts_need_no_model() -> None:
    assert json.loads(GOOGLE.listed("GET", "/models", b""))["models"][0]["name"] == "models/gemini-2.5-flash"
    assert json.loads(GOOGLE.listed("POST", "/models/m:countTokens", body("Count to 5"))) == {"totalTokens": 10}
    with pytest.raises(Refusal):
        GOOGLE.listed("GET", "/nowhere", b"")
