"""What clients get of every exchange of every wire has OpenAI's published shape, as chat and as a response, and a stream of
it amounts to the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from common.providers.registry import PROVIDERS
from common.providers.registry import Wire as WireName
from exchange_checks import answer_of
from gateway.api.responses import ResponsesVoice, parse_responses
from gateway.providers.wire import Answer
from native import decoded
from native_exchanges import native_exchanges
from published import check_chunk, check_completion, check_event, check_response
from recordings import Exchange, exchanges
from test_anthropic_exchanges import streamed as streamed_messages
from test_gemini_exchanges import streamed as streamed_contents
from test_recorded_converse import BEDROCK
from test_recorded_converse import recorded as recorded_converse
from test_responses_exchanges import RUNNING
from test_responses_exchanges import streamed as streamed_responses
from wire_streams import shown

COHERE = Path(__file__).parent / "fixtures" / "providers" / "cohere"
DONE = b"data: [DONE]\n\n"


def _answers(exchange: Exchange) -> bool:
    told = exchange.response
    return exchange.status == 200 and exchange.stream is None and isinstance(told, dict) and not told.get("error")


def _fails(stream: str) -> bool:
    return any(word in stream for word in ('"error"', "insufficient_system_resource"))


WHOLE: dict[WireName, list[Exchange]] = {
    "openai": [one for one in exchanges() if _answers(one)],
    "anthropic": [one for one in native_exchanges("/messages") if _answers(one)],
    "gemini": [one for one in native_exchanges(":generateContent") if _answers(one)],
    "responses": [
        one for one in native_exchanges("/responses") if _answers(one) and one.response["status"] not in RUNNING
    ],
    "cohere": [
        Exchange("by hand", PROVIDERS["cohere"], {}, 200, json.loads((COHERE / "whole.json").read_bytes()), None),
    ],
    "bedrock": [
        Exchange(one["id"], BEDROCK, {}, 200, one["response"], None)
        for one in recorded_converse()
        if one["status"] == 200
    ],
}
STREAMS: dict[WireName, list[bytes]] = {
    "openai": [one.stream.encode() for one in exchanges() if one.stream and not _fails(one.stream)],
    "cohere": [(COHERE / "stream.sse").read_bytes()],
    "anthropic": [streamed_messages(one.response) for one in WHOLE["anthropic"]],
    "gemini": [streamed_contents(one.response) for one in WHOLE["gemini"]],
    "responses": [streamed_responses(one.response) for one in WHOLE["responses"]],
}
each_wire = pytest.mark.parametrize("wire", WHOLE)
each_stream = pytest.mark.parametrize("wire", STREAMS)


def voice() -> ResponsesVoice:
    """A voice for a request of no consequence."""
    asked = parse_responses(b'{"model":"any","input":"Hi","tools":[{"type":"function","name":"read_tide"}]}')
    return ResponsesVoice(asked, "01a1fced-2aae-7e8e-aa1a-d05c77d1b160", lambda: 1_790_000_000, can_keep=True)


def provider_of(wire: WireName) -> Any:
    """Somebody who speaks a wire."""
    return WHOLE[wire][0].provider


def answer(exchange: Exchange, wire: WireName) -> Answer:
    """What the wire makes of an exchange."""
    return answer_of(exchange, wire)


@each_wire
def test_a_whole_answer_is_a_chat_completion(wire: WireName) -> None:
    for exchange in WHOLE[wire]:
        check_completion(json.loads(answer(exchange, wire).body), is_relayed=wire == "openai")


@each_wire
def test_a_whole_answer_is_a_response(wire: WireName) -> None:
    for exchange in WHOLE[wire]:
        told = json.loads(voice().whole(answer(exchange, wire).body))
        check_response(told)
        assert told["status"] in ("completed", "incomplete")


@each_stream
def test_every_chunk_of_a_stream_is_one(wire: WireName) -> None:
    for stream in STREAMS[wire]:
        seen, decoder = decoded(provider_of(wire), stream, wants_usage=True, wire=wire)
        assert decoder.failure is None
        for chunk in shown(seen):
            check_chunk(chunk, is_relayed=wire == "openai")


@each_stream
def test_every_event_of_a_response_is_one_and_they_amount_to_the_whole(wire: WireName) -> None:
    for stream in STREAMS[wire]:
        seen, decoder = decoded(provider_of(wire), stream, wants_usage=True, wire=wire)
        usage = decoder.usage()
        last = {"choices": [], "usage": usage.as_openai() if usage else None, "id": "c", "model": "m"}
        speaker = voice()
        told = speaker.events(seen) + speaker.end(b"data: " + json.dumps(last).encode() + b"\n\n" + DONE)
        events = [json.loads(event.partition(b"\ndata: ")[2]) for event in told.split(b"\n\n")[:-1]]
        for event in events:
            check_event(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert folded(events) == events[-1]["response"]["output"]
        assert all(item.get("status") != "in_progress" for item in events[-1]["response"]["output"])


@pytest.mark.parametrize("wire", ["anthropic", "gemini", "responses"])
def test_a_streamed_response_is_the_whole_response(wire: WireName) -> None:
    for exchange, stream in zip(WHOLE[wire], STREAMS[wire], strict=True):
        seen, _ = decoded(provider_of(wire), stream, wants_usage=True, wire=wire)
        speaker = voice()
        speaker.events(seen)
        streamed = json.loads(speaker.end(DONE).split(b"\n\n")[-2].partition(b"\ndata: ")[2])["response"]["output"]
        whole = json.loads(voice().whole(answer(exchange, wire).body))["output"]
        assert texts(streamed) == texts(whole)
        assert calls(streamed) == calls(whole)


def texts(output: list[dict[str, Any]]) -> str:
    """Everything that was said."""
    parts = [part for item in output for part in item.get("content") or ()]
    return "".join(part.get("text") or part.get("refusal") or "" for part in parts)


def calls(output: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Every call."""
    return [(item["call_id"], item["name"], item["arguments"]) for item in output if item["type"] == "function_call"]


def folded(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output that events amount to: each item begun, grown by its pieces, and said whole as it has grown."""
    output: list[dict[str, Any]] = []
    grown: dict[tuple[Any, ...], str] = {}
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(output)
            output.append(event["item"])
        elif kind.endswith(".delta"):
            assert output[event["output_index"]]["id"] == event["item_id"]
            grown[_place(event)] = grown.get(_place(event), "") + event["delta"]
        elif kind in _WHOLE:
            assert grown.get(_place(event), "") == event[_WHOLE[kind]]
        elif kind == "output_item.done":
            assert output[event["output_index"]]["id"] == event["item"]["id"]
            output[event["output_index"]] = event["item"]
    return output


_WHOLE = {
    "output_text.done": "text",
    "refusal.done": "refusal",
    "reasoning_summary_text.done": "text",
    "function_call_arguments.done": "arguments",
}


def _place(event: dict[str, Any]) -> tuple[Any, ...]:
    kind = event["type"].rpartition(".")[0]
    return kind, event["output_index"], event.get("content_index"), event.get("summary_index")
