"""The `openai` wire's streams: what a client sees of them, however they are cut and whatever a provider makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from common.providers.registry import PROVIDERS
from common.usage import Usage
from gateway.providers.wires.openai import StreamDecoder, decode_response
from hypothesis import given
from hypothesis import strategies as st
from wire_streams import OPENAI, chunk, decode, event, fold, shown

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
GOOD = (
    chunk({"role": "assistant", "content": ""})
    + chunk({"content": "Grüße "})
    + chunk({"content": "😀"})
    + chunk(finish="stop")
    + event({"id": "c-1", "created": 7, "model": "m", "choices": [], "usage": USAGE})
    + DONE
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """A whole answer, and a stream of the same."""
    choices: list[dict[str, Any]] = []
    pieces: list[bytes] = []
    for index in range(draw(st.integers(1, 2))):
        words = draw(st.lists(TEXT, max_size=4))
        calls = draw(st.lists(st.lists(TEXT, max_size=3), max_size=3))
        finish = "tool_calls" if calls else draw(st.sampled_from(["stop", "length", "content_filter", "eos"]))
        told = [
            {"id": f"call-{place}", "type": "function", "function": {"name": "f", "arguments": "".join(arguments)}}
            for place, arguments in enumerate(calls)
        ]
        message = {"role": "assistant", "content": "".join(words), **({"tool_calls": told} if told else {})}
        choices.append({"index": index, "message": message, "finish_reason": finish})
        pieces.append(chunk({"role": "assistant", "content": ""}, index=index))
        pieces += [chunk({"content": word}, index=index) for word in words]
        for place, arguments in enumerate(calls):
            head = {**told[place], "index": place, "function": {"name": "f", "arguments": ""}}
            pieces.append(chunk({"tool_calls": [head]}, index=index))
            rest = [{"tool_calls": [{"index": place, "function": {"arguments": part}}]} for part in arguments]
            pieces += [chunk(delta, index=index) for delta in rest]
        pieces.append(chunk(index=index, finish=finish))
    pieces.append(event({"choices": [], "usage": USAGE}))
    return {"choices": choices, "usage": USAGE}, b"".join(pieces) + DONE


@given(answers(), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_the_folded_stream_is_the_whole_answer_wherever_it_is_cut(
    answer: tuple[dict[str, Any], bytes], cuts: list[int], wants_usage: bool
) -> None:
    whole = decode_response(json.dumps(answer[0]).encode(), OPENAI)
    seen, decoder = decode(answer[1], cuts=cuts, wants_usage=wants_usage)
    assert decoder.failure is None
    for choice, folded in zip(json.loads(whole.body)["choices"], fold(shown(seen)), strict=True):
        calls = choice["message"].get("tool_calls", [])
        assert folded["content"] == choice["message"]["content"]
        assert folded["finish_reason"] == choice["finish_reason"]
        assert folded["tool_calls"] == [{"id": call["id"], **call["function"]} for call in calls]
    assert (decoder.usage(), decoder.finish_reason) == (whole.usage, whole.finish_reason)


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_every_cut_shows_the_same_bytes(cuts: list[int]) -> None:
    assert decode(GOOD, cuts=cuts)[0] == decode(GOOD)[0]
    assert decode(GOOD.replace(b"\n", b"\r\n"), cuts=cuts)[0] == decode(GOOD)[0]


def test_a_stream_is_relayed_byte_for_byte_but_for_its_end() -> None:
    seen, decoder = decode(GOOD)
    assert seen == GOOD[: GOOD.index(b'data: {"id":"c-1","created"')]
    assert decoder.usage() == Usage(input_tokens=9, output_tokens=4)
    assert decoder.first is not None
    assert (decoder.first.id, decoder.first.created, decoder.first.model) == ("c-1", 7, "m")


@pytest.mark.parametrize("done", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE] \n\n", b"data: [DONE]", b""])
def test_the_end_is_kept_back_and_what_follows_it_does_not_count(done: bytes) -> None:
    seen, decoder = decode(GOOD[: -len(DONE)] + done)
    assert decoder.failure is None
    assert b"DONE" not in seen
    seen, decoder = decode(GOOD + event({"error": {"message": "late"}}) + chunk({"content": "more"}))
    assert decoder.failure is None
    assert decoder.is_done
    assert b"more" not in seen


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": comment\n\n",
        DONE,
        GOOD[:40],
        chunk({"content": "a"}),
        chunk({"content": "a"}) + event({"choices": [], "usage": USAGE}),
        chunk({"content": "a"}, index=0) + chunk({"content": "b"}, index=1) + chunk(finish="stop", index=1),
        chunk({"content": "a"}) + chunk(finish="error") + DONE,
        chunk({"content": "a"}) + chunk(finish="insufficient_system_resource") + DONE,
        chunk({"content": "a"}) + b"data: {\n\n",
        chunk({"content": "a"}) + b"data: []\n\n",
        chunk({"content": "a"}) + b"data: null\n\n",
        chunk({"content": "a"}) + b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
        chunk({"content": "a"}) + b'data: {"choices":[{"index":0}],"usage":{"prompt_tokens":1e999}}\n\n',
        chunk({"content": "a"}) + b'data: {"choices":[{"index":0}],"usage":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}\n\n",
        chunk({"content": "a"}) + b"data: " + b"x" * (1 << 21),
        chunk({"content": "a"}) + b"data: " + b"[" * 100_000 + b"\n\n",
    ],
    ids=lambda stream: repr(stream[:60]) + str(len(stream)),
)  # fmt: skip
def test_a_stream_that_breaks_off_does_not_look_complete(stream: bytes) -> None:
    seen, decoder = decode(stream)
    assert decoder.failure is not None
    assert decoder.failure.failure == "broken"
    assert all("error" not in one for one in shown(seen))


def test_what_came_before_the_break_is_shown() -> None:
    seen, decoder = decode(chunk({"content": "a"}) + chunk({"content": "b"}) + b"data: {\n\n" + chunk({"content": "c"}))
    assert [one["choices"][0]["delta"]["content"] for one in shown(seen)] == ["a", "b"]
    assert decoder.failure is not None


@pytest.mark.parametrize(
    ("error", "failure", "status", "message"),
    [
        (b'data: {"error":{"message":"busy","type":"server_error","code":null}}\n\n', "unavailable", 502, "busy"),
        (b'data: {"error":{"message":"slow","code":429},"choices":[]}\n\n', "rate_limited", 429, "slow"),
        (b'data: {"error":"broken","id":"c-1"}\n\n', "unavailable", 502, "broken"),
        (b'event: error\ndata: {"message":"gone"}\n\n', "unavailable", 502, "gone"),
        (b'event: error\ndata: {"error":{"message":"no","status_code":400}}\n\n', "bad_request", 400, "no"),
        (chunk(error={"code": 400, "message": "Too long"}, usage=USAGE), "bad_request", 400, "Too long"),
    ],
)  # fmt: skip
def test_an_error_in_a_stream_is_the_call_s_failure(error: bytes, failure: str, status: int, message: str) -> None:
    seen, decoder = decode(chunk({"content": "a"}) + error + DONE)
    assert len(shown(seen)) == 1
    assert decoder.failure is not None
    assert (decoder.failure.failure, decoder.failure.client_status) == (failure, status)
    assert decoder.failure.message == message
    assert decoder.raw_usage == (USAGE if b"usage" in error else None)


@pytest.mark.parametrize("nothing", [None, {}, False, ""])
def test_an_empty_error_is_none(nothing: Any) -> None:
    _, decoder = decode(chunk({"content": "a"}, error=nothing) + chunk(finish="stop", error=nothing) + DONE)
    assert decoder.failure is None


def test_azure_s_first_chunk_without_choices_is_swallowed() -> None:
    first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": []}
    seen, decoder = decode(event(first) + GOOD)
    assert seen == decode(GOOD)[0]
    assert decoder.first is not None
    assert decoder.first.id == "c-1"


USAGES = {
    "own chunk": [chunk(finish="stop", usage=None), event({"choices": [], "usage": USAGE})],
    "with the finish": [chunk(finish="stop", usage=USAGE)],
    "after the finish": [chunk(finish="stop"), chunk({"content": ""}, usage=USAGE)],
    "spaced": [chunk(finish="stop").replace(b"}\n", b', "usage": null}\n'), event({"choices": [], "usage": USAGE})],
    "first of all": [b'data: {"usage": null,' + chunk(finish="stop")[7:], event({"choices": [], "usage": USAGE})],
}


@pytest.mark.parametrize("end", USAGES.values(), ids=USAGES)
def test_usage_is_hidden_from_those_who_did_not_ask_and_null_until_the_end_for_those_who_did(end: list[bytes]) -> None:
    stream = chunk({"content": "a"}) + b"".join(end) + DONE
    seen, decoder = decode(stream)
    assert all(one["choices"] and "usage" not in one for one in shown(seen))
    assert decoder.raw_usage == USAGE
    seen, decoder = decode(stream, wants_usage=True)
    assert all(one["choices"] and one["usage"] is None for one in shown(seen))
    assert fold(shown(seen)) == [{"content": "a", "reasoning": "", "tool_calls": [], "finish_reason": "stop"}]
    assert decoder.raw_usage == USAGE


def test_of_running_usage_the_last_counts() -> None:
    running = [chunk({"content": "a"}, usage={**USAGE, "completion_tokens": count}) for count in (1, 2, 3)]
    _, decoder = decode(b"".join(running) + chunk(finish="stop") + DONE)
    assert decoder.usage() == Usage(input_tokens=9, output_tokens=3, reasoning_tokens=1)


def test_the_word_usage_in_an_answer_is_content() -> None:
    words = '","usage":null,"'
    seen, _ = decode(chunk({"content": words}) + chunk(finish="stop") + DONE)
    assert fold(shown(seen))[0]["content"] == words
    seen, _ = decode(chunk({"content": words}) + chunk(finish="stop") + DONE, wants_usage=True)
    assert fold(shown(seen))[0]["content"] == words


def call(index: int | None, call_id: str | None, name: str | None, arguments: str = "") -> dict[str, Any]:
    """A piece of a tool call."""
    function = {**({"name": name} if name else {}), "arguments": arguments}
    place = {} if index is None else {"index": index}
    return {**place, **({"id": call_id, "type": "function"} if call_id else {}), "function": function}


CALLS = {
    "dense": [call(0, "a", "f"), call(0, None, None, "1"), call(1, "b", "g"), call(1, None, None, "2")],
    "gaps": [call(3, "a", "f"), call(3, None, None, "1"), call(7, "b", "g"), call(7, None, None, "2")],
    "from one": [call(1, "a", "f"), call(1, None, None, "1"), call(2, "b", "g"), call(2, None, None, "2")],
    "all zero": [call(0, "a", "f"), call(0, None, None, "1"), call(0, "b", "g"), call(0, None, None, "2")],
    "whole, all zero": [call(0, "a", "f", "1"), call(0, "b", "g", "2")],
    "no index": [call(None, "a", "f"), call(None, None, None, "1"), call(None, "b", "g"), call(None, None, None, "2")],
    "id in each piece": [call(0, "a", "f"), call(0, "a", None, "1"), call(1, "b", "g"), call(1, "b", None, "2")],
    "interleaved": [call(5, "a", "f"), call(2, "b", "g"), call(5, None, None, "1"), call(2, None, None, "2")],
    "no ids": [call(4, None, "f", "1"), call(6, None, "g", "2")],
}


@pytest.mark.parametrize("pieces", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("together", [False, True])
def test_tool_calls_have_dense_indexes_whatever_the_provider_numbers_them(
    pieces: list[dict[str, Any]], together: bool
) -> None:
    deltas = [{"tool_calls": pieces}] if together else [{"tool_calls": [piece]} for piece in pieces]
    stream = b"".join(map(chunk, deltas)) + chunk(finish="tool_calls") + DONE
    [answer] = fold(shown(decode(stream)[0]))
    assert [(one["name"], one["arguments"]) for one in answer["tool_calls"]] == [("f", "1"), ("g", "2")]
    assert answer["finish_reason"] == "tool_calls"


def test_each_choice_has_tool_calls_of_its_own() -> None:
    deltas = [
        (0, call(0, "a", "f")),
        (1, call(0, "b", "g")),
        (0, call(0, None, None, "1")),
        (1, call(0, None, None, "2")),
    ]
    stream = b"".join(chunk({"tool_calls": [piece]}, index=index) for index, piece in deltas)
    stream += chunk(finish="tool_calls", index=0) + chunk(finish="tool_calls", index=1) + DONE
    folded = fold(shown(decode(stream)[0]))
    assert [[one["arguments"] for one in choice["tool_calls"]] for choice in folded] == [["1"], ["2"]]


@pytest.mark.parametrize(("given", "shown_as"), [("eos", "stop"), ("model_length", "length"), ("COMPLETE", "stop")])
def test_finish_reasons_that_clients_do_not_know_do_not_reach_them(given: str, shown_as: str) -> None:
    seen, decoder = decode(chunk({"content": "a"}, big=10**30) + chunk(finish=given, big=10**30) + DONE)
    assert shown(seen)[-1]["choices"][0]["finish_reason"] == shown_as == decoder.finish_reason
    assert shown(seen)[-1]["big"] == 10**30


def test_an_event_of_several_lines_is_shown_as_one() -> None:
    pretty = json.dumps(json.loads(chunk({"content": "a\nb"})[6:]), indent=2)
    stream = "".join(f"data: {line}\n" for line in pretty.splitlines()).encode() + b"\n"
    [one] = shown(decode(stream + DONE)[0])
    assert one["choices"][0]["delta"]["content"] == "a\nb"


def test_content_in_parts_is_shown_as_one_text() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "ha"}]
    seen, _ = decode(chunk({"content": parts}) + chunk({"content": "!"}) + chunk(finish="stop") + DONE)
    assert fold(shown(seen)) == [{"content": "ha!", "reasoning": "hm", "tool_calls": [], "finish_reason": "stop"}]
    message = {"role": "assistant", "content": parts}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    [choice] = json.loads(decode_response(json.dumps(whole).encode(), OPENAI).body)["choices"]
    assert choice["message"] == {"role": "assistant", "content": "ha", "reasoning_content": "hm"}


def test_members_that_nobody_knows_pass() -> None:
    seen, _ = decode(
        chunk({"content": "a", "annotations": []}, obfuscation="x7", created=7.5) + chunk(finish="stop") + DONE
    )
    assert shown(seen)[0]["obfuscation"] == "x7"


@pytest.mark.parametrize(
    ("delta", "size"),
    [
        ({"content": "four"}, 4),
        ({"reasoning_content": "four"}, 4),
        ({"reasoning": "four"}, 4),
        ({"reasoning": "four", "reasoning_content": "four", "content": ""}, 4),
        ({"refusal": "four"}, 4),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "four"}]}]}, 4),
        ({"content": [{"type": "text", "text": "four"}]}, 4),
        ({"tool_calls": [call(0, "a", "name", "{}")]}, 6),
        ({"content": None, "reasoning": {"odd": 1}}, 0),
        ({"role": "assistant", "content": ""}, 0),
    ],
)
def test_what_was_delivered_is_measured_whatever_it_is(delta: dict[str, Any], size: int) -> None:
    decoder = StreamDecoder(PROVIDERS["groq"], wants_usage=False)
    decoder.feed(chunk(delta))
    assert (decoder.content_bytes, decoder.pieces) == (size, 1 if size else 0)
    assert decoder.delivered_tokens() == (1 if size else 0)


def test_a_comment_is_no_chunk() -> None:
    seen, decoder = decode(b": OPENROUTER PROCESSING\n\n" * 3 + GOOD)
    assert seen == decode(GOOD)[0]
    assert decoder.failure is None
