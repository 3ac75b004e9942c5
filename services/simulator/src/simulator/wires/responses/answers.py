"""Writes an answer down as one response, or as the named events of a stream. Pure."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from simulator.answers import Answer, Choice, ToolCall
from simulator.faults import Directives
from simulator.wires.responses.requests import ENCRYPTED, Asked

Frame = tuple[bytes, int]
"""An event and the output tokens it carries."""

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_SIGNS = "abcdefghijklmnop"


class ResponseWriter:
    """Writes one response of a provider; `stores`: whether the provider keeps what it is asked to keep."""

    def __init__(self, asked: Asked, answer: Answer, model: str, created: int, *, stores: bool) -> None:
        self._asked = asked
        self._answer = answer
        self._model = model
        self._created = created
        self._is_stored = stores and asked.store is not False
        self._digits = secrets.token_hex(24)
        self._number = 0

    def whole(self, directives: Directives) -> dict[str, Any]:
        """The response at its end."""
        choice = self._answer.choices[0]
        cut = _INCOMPLETE.get(choice.finish)
        told = self._begun() | {
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": cut} if cut else None,
            "completed_at": None if cut else self._created,
            "output": [item for item, _ in self._items(choice)],
            "usage": None if directives.no_usage else self._usage(),
        }
        return told if directives.big_line is None else {**told, "padding": "x" * directives.big_line}

    def frames(self, directives: Directives) -> list[Frame]:
        """The events, the last with the whole response."""
        begun = self._begun()
        told: list[Frame] = [self._frame({"type": kind, "response": begun}) for kind in _BEGINNINGS]
        for index, (item, pieces) in enumerate(self._items(self._answer.choices[0])):
            told += self._item(index, item, pieces, directives)
        whole = self.whole(directives)
        return [*told, self._frame({"type": f"response.{whole['status']}", "response": whole})]

    def error(self, message: str, code: str | None) -> bytes:
        """The event that reports trouble in the middle."""
        return self._frame({"type": "error", "code": code, "message": message, "param": None})[0]

    def _begun(self) -> dict[str, Any]:
        asked = self._asked
        text = {"format": {"type": "text"}, "verbosity": "medium"}
        if asked.text is not None and asked.text.format is not None:
            wanted = msgspec.to_builtins(asked.text.format)
            text["format"] = (
                {"name": "answer", **wanted} if wanted["type"] == "json_schema" else {"type": wanted["type"]}
            )
        return {
            "id": f"resp_{self._digits}",
            "object": "response",
            "created_at": self._created,
            "status": "in_progress",
            "access_programs": None,
            "background": False,
            "completed_at": None,
            "error": None,
            "frequency_penalty": 0.0,
            "incomplete_details": None,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "max_tool_calls": None,
            "model": self._model,
            "output": [],
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "presence_penalty": 0.0,
            "previous_response_id": asked.previous_response_id,
            "reasoning": {"effort": asked.reasoning.effort if asked.reasoning else None, "summary": None},
            "service_tier": "default",
            "store": self._is_stored,
            "temperature": 1.0 if asked.temperature is None else asked.temperature,
            "text": text,
            "tool_choice": asked.tool_choice if asked.tool_choice is not None else "auto",
            "tools": [
                {"type": tool.type, "name": tool.name, "parameters": tool.parameters, "strict": True}
                for tool in asked.tools
            ],
            "top_logprobs": 0,
            "top_p": 1.0 if asked.top_p is None else asked.top_p,
            "truncation": "disabled",
            "usage": None,
            "metadata": asked.metadata or {},
        }

    def _usage(self) -> dict[str, Any]:
        answer = self._answer
        return {
            "input_tokens": answer.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": answer.cached_tokens,
                "cache_write_tokens": answer.cache_write_tokens,
            },
            "output_tokens": answer.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        }

    def _items(self, choice: Choice) -> list[tuple[dict[str, Any], list[str]]]:
        """The items, each with the pieces that it is streamed in."""
        told: list[tuple[dict[str, Any], list[str]]] = []
        if choice.reasoning:
            told.append(self._thought(choice.reasoning))
        if choice.content or not (choice.tool_calls or choice.reasoning):
            text = {"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(choice.content)}
            message = {"id": f"msg_{self._digits}", "type": "message", "status": "completed", "role": "assistant"}
            told.append(({**message, "content": [text]}, choice.content))
        return told + [self._call(number, call) for number, call in enumerate(choice.tool_calls)]

    def _thought(self, pieces: list[str]) -> tuple[dict[str, Any], list[str]]:
        item: dict[str, Any] = {"id": f"rs_{self._digits}", "type": "reasoning", "summary": []}
        if "reasoning.encrypted_content" in (self._asked.include or ()):
            item["encrypted_content"] = ENCRYPTED + self._digits
        if self._asked.reasoning is None or self._asked.reasoning.summary is None:
            return item, []
        return {**item, "summary": [{"type": "summary_text", "text": "".join(pieces)}]}, pieces

    def _call(self, number: int, call: ToolCall) -> tuple[dict[str, Any], list[str]]:
        given = "".join(call.pieces)
        named = {"call_id": f"call_{call.id}", "name": call.name}
        if call.name in self._asked.custom:
            text = str(msgspec.json.decode(given or '{"input":""}')["input"])
            return {"id": f"ctc_{self._digits}{number:02}", "type": "custom_tool_call", **named, "input": text}, [text]
        item = {"id": f"fc_{self._digits}{number:02}", "type": "function_call", "status": "completed", **named}
        return {**item, "arguments": given}, call.pieces

    def _item(self, index: int, item: dict[str, Any], pieces: list[str], directives: Directives) -> list[Frame]:
        """The events of one item: it is there, what it grows by, it is whole."""
        empty = {name: [] if isinstance(value, list) else value for name, value in item.items()}
        empty |= {"status": "in_progress"} if "status" in item else {}
        empty |= {name: "" for name in ("arguments", "input", "encrypted_content") if name in item}
        is_call = item["type"].endswith("call")
        told = [self._frame({"type": "response.output_item.added", "output_index": index, "item": empty}, int(is_call))]
        is_shown = is_call or bool(item.get("content") or item.get("summary"))
        if is_shown:
            told += self._grown({"item_id": item["id"], "output_index": index}, item, pieces, directives)
        hidden = self._answer.reasoning_tokens if item["type"] == "reasoning" and not is_shown else 0
        told.append(self._frame({"type": "response.output_item.done", "output_index": index, "item": item}, hidden))
        return told

    def _grown(
        self, at: dict[str, Any], item: dict[str, Any], pieces: list[str], directives: Directives
    ) -> list[Frame]:
        """The events of an item's inside."""
        what, member, part, place = _GROWING[item["type"]]
        at = {**at, **place}
        told: list[Frame] = []
        if part:
            told.append(self._frame({"type": f"response.{part}.added", **at, "part": {**_part_of(item), "text": ""}}))
        for piece in pieces:
            padding = {"obfuscation": _SIGNS[len(piece) :]} if directives.obfuscation else {}
            told.append(self._frame({"type": f"response.{what}.delta", **at, "delta": piece, **padding}, 1))
        told.append(self._frame({"type": f"response.{what}.done", **at, member: "".join(pieces)}))
        if part:
            told.append(self._frame({"type": f"response.{part}.done", **at, "part": _part_of(item)}))
        return told

    def _frame(self, told: dict[str, Any], tokens: int = 0) -> Frame:
        kind: str = told["type"]
        numbered = msgspec.json.encode({**told, "sequence_number": self._number})
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + numbered + b"\n\n", tokens


_BEGINNINGS = ("response.created", "response.in_progress")
_GROWING: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "message": ("output_text", "text", "content_part", {"content_index": 0, "logprobs": []}),
    "reasoning": ("reasoning_summary_text", "text", "reasoning_summary_part", {"summary_index": 0}),
    "function_call": ("function_call_arguments", "arguments", "", {}),
    "custom_tool_call": ("custom_tool_call_input", "input", "", {}),
}
"""Of each kind of item: what it grows by, the member that holds all of it, the part it is in, and where that is."""


def _part_of(item: dict[str, Any]) -> dict[str, Any]:
    parts: list[dict[str, Any]] = item.get("content") or item["summary"]
    return parts[0]
