"""Writes an answer down as Cohere does, whole and as a stream of typed events. Pure.

Before it calls tools the model tells its plan; thinking is a part of the content.
"""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.answers import Answer, Choice, ToolCall
from simulator.faults import Directives
from simulator.refusals import Refusal
from simulator.streams import StreamScript

FINISHES = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR_TOXIC"}
PREAMBLE_TOKENS = 60
"""What the model sees beyond what is billed."""
DONE = b"data: [DONE]\n\n"
PLAN = "I will use the tools."

_encode = msgspec.json.Encoder().encode
Event = tuple[dict[str, Any], int]
"""An event, and the output tokens it carries."""


def answer_id(digest: str) -> str:
    """An id as Cohere makes them."""
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def whole_answer(answer: Answer, directives: Directives) -> bytes:
    """The body of an answer that is not streamed."""
    choice = answer.choices[0]
    message: dict[str, Any] = {"role": "assistant"}
    if choice.tool_calls:
        message |= {"tool_plan": PLAN, "tool_calls": [_call(call, "".join(call.pieces)) for call in choice.tool_calls]}
    content = [{"type": "thinking", "thinking": "".join(choice.reasoning)}] if choice.reasoning else []
    if choice.content:
        content.append({"type": "text", "text": "".join(choice.content)})
    if content:
        message["content"] = content
    told: dict[str, Any] = {
        "id": answer_id(answer.digest),
        "finish_reason": FINISHES.get(choice.finish, choice.finish),
        "message": message,
    }
    if not directives.no_usage:
        told["usage"] = usage_object(answer)
    if directives.big_line is not None:
        told["padding"] = "x" * directives.big_line
    return _encode(told)


def usage_object(answer: Answer) -> dict[str, Any]:
    """What was billed, and what the model saw."""
    tokens: dict[str, Any] = {
        "input_tokens": answer.prompt_tokens + PREAMBLE_TOKENS,
        "output_tokens": answer.completion_tokens,
    }
    if answer.reasoning_tokens:
        tokens["reasoning_tokens"] = answer.reasoning_tokens
    billed = {"input_tokens": answer.prompt_tokens, "output_tokens": answer.completion_tokens}
    return {"billed_units": billed, "tokens": tokens, "cached_tokens": answer.cached_tokens}


def script_of(answer: Answer, directives: Directives, error: Refusal) -> StreamScript:
    """The stream of an answer; `error` is what breaking off in its middle is put down to."""
    choice = answer.choices[0]
    events = [*_opening(answer), *_content(choice), *_calls(choice)]
    usage = {} if directives.no_usage else {"usage": usage_object(answer)}
    finish = FINISHES.get(choice.finish, choice.finish)
    events.append(({"type": "message-end", "delta": {"finish_reason": finish, **usage}}, 0))
    failed = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": str(error)}}
    return StreamScript(
        b"",
        [_frame(event) for event, _ in events],
        [tokens for _, tokens in events],
        None if directives.no_usage else len(events) - 1,
        DONE,
        _frame(failed),
    )


def _opening(answer: Answer) -> list[Event]:
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    return [({"type": "message-start", "id": answer_id(answer.digest), "delta": {"message": empty}}, 0)]


def _content(choice: Choice) -> list[Event]:
    events: list[Event] = []
    parts = [("thinking", choice.reasoning), ("text", choice.content)]
    for index, (kind, pieces) in enumerate((kind, pieces) for kind, pieces in parts if pieces):
        place = {"index": index}
        events.append(({"type": "content-start", **place, "delta": _said({"type": kind, kind: ""})}, 0))
        events += [({"type": "content-delta", **place, "delta": _said({kind: piece})}, 1) for piece in pieces]
        events.append(({"type": "content-end", **place}, 0))
    return events


def _calls(choice: Choice) -> list[Event]:
    events: list[Event] = []
    if choice.tool_calls:
        events.append(({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": PLAN}}}, 0))
    for index, call in enumerate(choice.tool_calls):
        place = {"index": index}
        events.append(({"type": "tool-call-start", **place, "delta": {"message": {"tool_calls": _call(call, "")}}}, 1))
        for piece in call.pieces:
            argued = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            events.append(({"type": "tool-call-delta", **place, "delta": argued}, 1))
        events.append(({"type": "tool-call-end", **place}, 0))
    return events


def _said(content: dict[str, Any]) -> dict[str, Any]:
    return {"message": {"content": content}}


def _call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {
        "id": f"{call.name}_{call.id[:12]}",
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + _encode(event) + b"\n\n"
