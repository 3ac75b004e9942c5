"""Writes an answer down as one `chat.completion` object. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.answers import Answer, Choice, ToolCall
from simulator.faults import Directives
from simulator.wires.openai.rows import IdShape, Row
from simulator.wires.openai.usage import Counts, usage_object

FINGERPRINT = "fp_51a0c7e39d"
_encode = msgspec.json.encode


def whole_answer(row: Row, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
    """The body of an answer that is not streamed; `created` in seconds since 1970."""
    body: dict[str, Any] = {
        "id": answer_id(row.ids, answer.digest),
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [_choice(row, index, choice) for index, choice in enumerate(answer.choices)],
    }
    if not directives.no_usage:
        body["usage"] = usage_object(row.usage, counts_of(answer))
    body.update(outer_members(row))
    if row.usage == "groq":
        body["x_groq"] = {"id": groq_id(answer.digest)}
    if directives.big_line is not None:
        body["padding"] = "x" * directives.big_line
    return _encode(body)


def counts_of(answer: Answer) -> Counts:
    """The tokens that the answer used."""
    return Counts(
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.cached_tokens,
        answer.cache_write_tokens,
        answer.reasoning_tokens,
    )


def answer_id(shape: IdShape, digest: str) -> str:
    """The answer's id in its provider's fashion, made of 32 hex digits."""
    if shape == "hex":
        return digest
    if shape == "gen":
        return f"gen-{int(digest[:9], 16) % 10**10:010d}-{digest[12:]}"
    if shape == "chatcmpl":
        return f"chatcmpl-{digest[:29]}"
    dashed = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"
    return f"chatcmpl-{dashed}" if shape == "chatcmpl-uuid" else dashed


def groq_id(digest: str) -> str:
    """Groq's own id of a request, which it repeats in its own member."""
    return f"req_{digest[:26]}"


def outer_members(row: Row) -> dict[str, Any]:
    """Members that stand beside the choices, in whole answers and in chunks."""
    if row.ids in ("hex", "uuid") or row.has_native_finish:
        return row.members
    return {**row.members, "system_fingerprint": FINGERPRINT}


def call_member(row: Row, index: int, call: ToolCall) -> dict[str, Any]:
    """A tool call with all of its arguments."""
    function = {"name": call.name, "arguments": "".join(call.pieces)}
    told: dict[str, Any] = {"id": call_id(row, call), "type": "function", "function": function}
    return {**told, "index": index} if row.has_indexed_calls else told


def call_id(row: Row, call: ToolCall) -> str:
    """A tool call's id in its provider's fashion; Mistral's have nine characters."""
    return call.id[:9] if row.usage == "mistral" else f"call_{call.id}"


def _choice(row: Row, index: int, choice: Choice) -> dict[str, Any]:
    told: dict[str, Any] = {"index": index, "message": _message(row, choice), "finish_reason": choice.finish}
    if row.has_logprobs:
        told["logprobs"] = None
    if row.has_native_finish:
        told["native_finish_reason"] = choice.finish
    return told


def _message(row: Row, choice: Choice) -> dict[str, Any]:
    content: Any = "".join(choice.content)
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if row.has_refusal:
        message["refusal"] = None
    if choice.tool_calls:
        message["content"] = row.content_beside_calls
        message["tool_calls"] = [call_member(row, index, call) for index, call in enumerate(choice.tool_calls)]
    elif row.absent_tool_calls != "left_out":
        message["tool_calls"] = None if row.absent_tool_calls == "null" else []
    if choice.reasoning and row.reasoning != "hidden":
        _show_reasoning(row, message, "".join(choice.reasoning))
    return message


def _show_reasoning(row: Row, message: dict[str, Any], thought: str) -> None:
    if row.reasoning != "thinking":
        message[row.reasoning] = thought
        return
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": thought}], "closed": True}
    message["content"] = [thinking, {"type": "text", "text": message["content"]}]
