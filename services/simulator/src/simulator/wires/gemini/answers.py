"""Writes an answer down whole, or as the chunks of a stream, each of which has a whole answer's shape. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.answers import Answer, Choice
from simulator.faults import Directives
from simulator.streams import StreamScript
from simulator.wires.gemini.requests import SIGNATURE

_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_encode = msgspec.json.encode


def whole_answer(answer: Answer, model: str, directives: Directives) -> bytes:
    """The body of an answer that is not streamed."""
    choice = answer.choices[0]
    parts: list[dict[str, Any]] = []
    if choice.reasoning:
        parts.append({"text": "".join(choice.reasoning), "thought": True})
    if choice.content:
        parts.append({"text": "".join(choice.content), **_signature(answer, is_first=True)})
    parts += _calls(answer, choice)
    told = _answer(answer, model, parts, choice.finish)
    if not directives.no_usage:
        told["usageMetadata"] = _usage(answer, answer.completion_tokens)
    if directives.big_line is not None:
        told["padding"] = "x" * directives.big_line
    return _encode(told)


def script_of(answer: Answer, model: str, directives: Directives, error: bytes) -> StreamScript:
    """The stream of an answer; `error` is the event that reports trouble in the middle of it."""
    choice = answer.choices[0]
    parts: list[tuple[dict[str, Any], int]] = [({"text": piece, "thought": True}, 1) for piece in choice.reasoning]
    parts += [({"text": piece}, 1) for piece in choice.content]
    parts += [
        (part, 1 + len(call.pieces)) for part, call in zip(_calls(answer, choice), choice.tool_calls, strict=True)
    ]
    frames, tokens, sofar = [], [], 0
    for place, (part, count) in enumerate([*parts, ({"text": "", **_signature(answer, is_first=True)}, 0)]):
        sofar += count
        told = _answer(answer, model, [part], choice.finish if place == len(parts) else None)
        if not directives.no_usage:
            told["usageMetadata"] = _usage(answer, sofar)
        frames.append(b"data: " + _encode(told) + b"\n\n")
        tokens.append(count)
    usage_at = None if directives.no_usage else len(frames) - 1
    return StreamScript(b"", frames, tokens, usage_at, b"", error)


def _answer(answer: Answer, model: str, parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = _FINISHES.get(finish, finish)
    return {"candidates": [candidate], "modelVersion": model, "responseId": answer.digest[:22]}


def _usage(answer: Answer, produced: int) -> dict[str, Any]:
    """The report so far: thoughts beside the answer, cached tokens inside the prompt."""
    thought = min(answer.reasoning_tokens, produced)
    told: dict[str, Any] = {
        "promptTokenCount": answer.prompt_tokens,
        "candidatesTokenCount": produced - thought,
        "totalTokenCount": answer.prompt_tokens + produced,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.prompt_tokens}],
    }
    if thought:
        told["thoughtsTokenCount"] = thought
    if answer.cached_tokens:
        told["cachedContentTokenCount"] = answer.cached_tokens
    return told


def _signature(answer: Answer, *, is_first: bool) -> dict[str, str]:
    return {"thoughtSignature": f"{SIGNATURE}{answer.digest}"} if answer.reasoning_tokens and is_first else {}


def _calls(answer: Answer, choice: Choice) -> list[dict[str, Any]]:
    return [
        {
            "functionCall": {"name": call.name, "args": msgspec.json.decode("".join(call.pieces) or "{}")},
            **_signature(answer, is_first=not place),
        }
        for place, call in enumerate(choice.tool_calls)
    ]
