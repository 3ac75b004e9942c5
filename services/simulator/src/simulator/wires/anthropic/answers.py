"""Writes an answer down as one message, or as the named events of a stream. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.answers import Answer, Choice
from simulator.faults import Directives
from simulator.streams import StreamScript

Frame = tuple[bytes, int]
"""An event and the output tokens it carries."""

DONE = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_FINISHES = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_encode = msgspec.json.encode


def whole_answer(answer: Answer, model: str, directives: Directives) -> bytes:
    """The body of an answer that is not streamed."""
    choice = answer.choices[0]
    told = {
        **_message(answer, model),
        "content": _blocks(answer, choice),
        "stop_reason": _FINISHES.get(choice.finish, choice.finish),
    }
    if not directives.no_usage:
        told["usage"] = _usage(answer, answer.completion_tokens)
    if directives.big_line is not None:
        told["padding"] = "x" * directives.big_line
    return _encode(told)


def script_of(answer: Answer, model: str, directives: Directives, error: bytes) -> StreamScript:
    """The stream of an answer; `error` is the event that reports trouble in the middle of it."""
    choice = answer.choices[0]
    begun = {**_message(answer, model), "content": [], "stop_reason": None}
    if not directives.no_usage:
        begun["usage"] = _usage(answer, 1)
    frames: list[Frame] = [(_event({"type": "message_start", "message": begun}), 0), (PING, 0)]
    for index, pieces in enumerate(_streamed_blocks(answer, choice)):
        frames += [(_event({**told, "index": index}), tokens) for told, tokens in pieces]
    delta = {"stop_reason": _FINISHES.get(choice.finish, choice.finish), "stop_sequence": None}
    last: dict[str, Any] = {"type": "message_delta", "delta": delta}
    if not directives.no_usage:
        last["usage"] = {
            name: count
            for name, count in _usage(answer, answer.completion_tokens).items()
            if name.endswith(("_tokens", "_details"))
        }
    frames.append((_event(last), 0))
    usage_at = None if directives.no_usage else len(frames) - 1
    return StreamScript(b"", [frame for frame, _ in frames], [tokens for _, tokens in frames], usage_at, DONE, error)


def call_id(given: str) -> str:
    """A tool call's id in the provider's fashion."""
    return f"toolu_{given}"


def _message(answer: Answer, model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_sequence": None,
    }


def _usage(answer: Answer, produced: int) -> dict[str, Any]:
    """The report, in which input leaves out what the cache gave or took."""
    read, written = answer.cached_tokens, answer.cache_write_tokens
    return {
        "input_tokens": max(0, answer.prompt_tokens - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": produced,
        "output_tokens_details": {"thinking_tokens": min(answer.reasoning_tokens, produced)},
        "service_tier": "standard",
    }


def _signature(answer: Answer) -> str:
    return f"simsig{answer.digest}"


def _blocks(answer: Answer, choice: Choice) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    if choice.reasoning:
        told.append({"type": "thinking", "thinking": "".join(choice.reasoning), "signature": _signature(answer)})
    if choice.content:
        told.append({"type": "text", "text": "".join(choice.content)})
    for call in choice.tool_calls:
        given = msgspec.json.decode("".join(call.pieces) or "{}")
        told.append({"type": "tool_use", "id": call_id(call.id), "name": call.name, "input": given})
    return told


def _streamed_blocks(answer: Answer, choice: Choice) -> list[list[tuple[dict[str, Any], int]]]:
    told = []
    if choice.reasoning:
        pieces = [({"type": "thinking_delta", "thinking": piece}, 1) for piece in choice.reasoning]
        pieces.append(({"type": "signature_delta", "signature": _signature(answer)}, 0))
        told.append(_block({"type": "thinking", "thinking": "", "signature": ""}, 0, pieces))
    if choice.content:
        pieces = [({"type": "text_delta", "text": piece}, 1) for piece in choice.content]
        told.append(_block({"type": "text", "text": ""}, 0, pieces))
    for call in choice.tool_calls:
        pieces = [({"type": "input_json_delta", "partial_json": ""}, 0)]
        pieces += [({"type": "input_json_delta", "partial_json": piece}, 1) for piece in call.pieces]
        opening = {"type": "tool_use", "id": call_id(call.id), "name": call.name, "input": {}}
        told.append(_block(opening, 1, pieces))
    return told


def _block(
    opening: dict[str, Any], tokens: int, pieces: list[tuple[dict[str, Any], int]]
) -> list[tuple[dict[str, Any], int]]:
    grown = [({"type": "content_block_delta", "delta": delta}, count) for delta, count in pieces]
    return [
        ({"type": "content_block_start", "content_block": opening}, tokens),
        *grown,
        ({"type": "content_block_stop"}, 0),
    ]


def _event(told: dict[str, Any]) -> bytes:
    kind: str = told["type"]
    return b"event: " + kind.encode() + b"\ndata: " + _encode(told) + b"\n\n"
