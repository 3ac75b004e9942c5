"""Writes an answer down as Converse does, whole and as frames about numbered content blocks. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.answers import Answer, Choice, ToolCall
from simulator.faults import Directives
from simulator.streams import StreamScript
from simulator.wires.bedrock.frames import event, exception

FINISHES = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "guardrail_intervened",
}
EXCEPTIONS = {
    400: "validationException",
    408: "modelTimeoutException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}
"""What an error in the middle of a stream is called, by the status it would have had."""
_encode = msgspec.json.Encoder().encode
Event = tuple[str, dict[str, Any], int]
"""An event's name and members, and the output tokens it carries."""


def whole_answer(answer: Answer, directives: Directives) -> bytes:
    """The body of an answer that is not streamed."""
    choice = answer.choices[0]
    told: dict[str, Any] = {
        "metrics": {"latencyMs": 5},
        "output": {"message": {"role": "assistant", "content": _blocks(choice)}},
        "stopReason": FINISHES.get(choice.finish, choice.finish),
    }
    if not directives.no_usage:
        told["usage"] = usage_object(answer)
    if directives.big_line is not None:
        told["padding"] = "x" * directives.big_line
    return _encode(told)


def usage_object(answer: Answer) -> dict[str, Any]:
    """Input without what was read from or written to the cache; the total is the sum of all four."""
    cached = min(answer.cached_tokens, answer.prompt_tokens)
    written = min(answer.cache_write_tokens, answer.prompt_tokens - cached)
    usage: dict[str, Any] = {
        "inputTokens": answer.prompt_tokens - cached - written,
        "outputTokens": answer.completion_tokens,
        "totalTokens": answer.prompt_tokens + answer.completion_tokens,
        "cacheReadInputTokens": cached,
        "cacheWriteInputTokens": written,
        "serverToolUsage": {},
    }
    if written:
        usage["cacheDetails"] = [{"inputTokens": written, "ttl": "5m"}]
    return usage


def script_of(answer: Answer, directives: Directives) -> StreamScript:
    """The stream of an answer; its last word is an empty one, since frames need none."""
    choice = answer.choices[0]
    events: list[Event] = [("messageStart", {"role": "assistant"}, 0)]
    index = 0
    for kind, pieces in (("reasoning", choice.reasoning), ("text", choice.content)):
        if pieces:
            events += _texts(kind, pieces, index, answer.digest)
            index += 1
    for call in choice.tool_calls:
        events += _call(call, index)
        index += 1
    events.append(("messageStop", {"stopReason": FINISHES.get(choice.finish, choice.finish)}, 0))
    metadata = (
        {"metrics": {"latencyMs": 5}}
        if directives.no_usage
        else {"metrics": {"latencyMs": 5}, "usage": usage_object(answer)}
    )
    events.append(("metadata", metadata, 0))
    name = EXCEPTIONS.get(directives.status or 500, "internalServerException")
    return StreamScript(
        b"",
        [event(name, members, number) for number, (name, members, _) in enumerate(events)],
        [tokens for _, _, tokens in events],
        None if directives.no_usage else len(events) - 1,
        b"",
        exception(name, "The model broke off."),
    )


def tool_use_id(call: ToolCall) -> str:
    """An id as Bedrock makes them."""
    return f"tooluse_{call.id[:22]}"


def _blocks(choice: Choice) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if choice.reasoning:
        thought = {"text": "".join(choice.reasoning), "signature": signature_of(choice.reasoning)}
        blocks.append({"reasoningContent": {"reasoningText": thought}})
    if choice.content:
        blocks.append({"text": "".join(choice.content)})
    for call in choice.tool_calls:
        arguments = msgspec.json.decode("".join(call.pieces) or "{}")
        blocks.append({"toolUse": {"toolUseId": tool_use_id(call), "name": call.name, "input": arguments}})
    return blocks


def signature_of(pieces: list[str]) -> str:
    """What thinking is signed with: its length, so that a test can see whether it came back whole."""
    return f"c2ln{len(''.join(pieces)):06d}"


def _texts(kind: str, pieces: list[str], index: int, digest: str) -> list[Event]:
    place = {"contentBlockIndex": index}
    events: list[Event] = []
    for piece in pieces:
        delta: dict[str, Any] = {"text": piece} if kind == "text" else {"reasoningContent": {"text": piece}}
        events.append(("contentBlockDelta", {**place, "delta": delta}, 1))
    if kind == "reasoning":
        signed = {"reasoningContent": {"signature": signature_of(pieces)}}
        events.append(("contentBlockDelta", {**place, "delta": signed}, 0))
    return [*events, ("contentBlockStop", place, 0)]


def _call(call: ToolCall, index: int) -> list[Event]:
    place = {"contentBlockIndex": index}
    start = {"toolUse": {"toolUseId": tool_use_id(call), "name": call.name}}
    pieces: list[Event] = [
        ("contentBlockDelta", {**place, "delta": {"toolUse": {"input": piece}}}, 1) for piece in call.pieces
    ]
    return [("contentBlockStart", {**place, "start": start}, 1), *pieces, ("contentBlockStop", place, 0)]
