"""Reads the body of a response's request into a prompt, or refuses it as the provider would. Pure, but for what is on the
shelf.

Only what an answer depends on, and what the provider is known to insist on, is looked at.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from simulator.prompts import Prompt, Tool, ToolChoice
from simulator.refusals import Refusal
from simulator.turns import Turn, prompt_of
from simulator.wires.responses.shelf import Shelf

ENCRYPTED = "simenc"
"""What encrypted thinking of the simulator's begins with."""

_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_TEXT_PARTS = frozenset({"input_text", "output_text"})
_TEXT_TAKER = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


class _Tool(msgspec.Struct):
    type: str
    name: str = ""
    parameters: dict[str, Any] | None = None


class _Named(msgspec.Struct):
    type: str
    name: str | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    schema: dict[str, Any] | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class Asked(msgspec.Struct):
    """The members of a request that matter here."""

    model: str
    input: str | list[dict[str, Any]] = []
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    tools: list[_Tool] = []
    tool_choice: str | _Named | None = None
    parallel_tool_calls: bool | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    include: list[str] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: float | None = None
    metadata: dict[str, str] | None = None

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input as items."""
        return [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input

    @property
    def custom(self) -> frozenset[str]:
        """The names of tools that take a text."""
        return frozenset(tool.name for tool in self.tools if tool.type == "custom")


class Heard(msgspec.Struct):
    """The conversation so far: its turns, and the calls that wait for a result."""

    turns: list[Turn]
    calls: set[str]


_DECODER = msgspec.json.Decoder(Asked)


def decoded(body: bytes) -> Asked:
    """The request in a body. Raises Refusal."""
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        message = f"Invalid request: {_PLACE.sub('', str(error))}."
        raise invalid(message, place[1] if place else None, "invalid_type") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise invalid("The body of the request could not be read as JSON.", None, None) from None


def heard(asked: Asked, shelf: Shelf) -> Heard:
    """The conversation that a request goes on with. Raises Refusal."""
    told = Heard([], set())
    if asked.previous_response_id is not None:
        kept = shelf.get(asked.previous_response_id)
        if kept is None:
            message = f"Previous response with id '{asked.previous_response_id}' not found."
            raise invalid(message, "previous_response_id", "previous_response_not_found")
        told = Heard(list(kept.turns), set(kept.calls))
    for number, item in enumerate(asked.items):
        _hear(item, f"input[{number}]", told, shelf)
    return told


def prompt_in(asked: Asked, told: Heard, provider: str) -> Prompt:
    """The prompt that a request makes."""
    named = asked.tool_choice.name if isinstance(asked.tool_choice, _Named) else None
    wanted = asked.text.format if asked.text and asked.text.format else _Format()
    system = [Turn("system", asked.instructions)] if asked.instructions else []
    return prompt_of(
        provider,
        asked.model,
        [*system, *told.turns],
        tuple(
            Tool(tool.name, _TEXT_TAKER if tool.type == "custom" else tool.parameters or {})
            for tool in asked.tools
            if tool.type in ("function", "custom")
        ),
        asked.tools,
        token_limit=asked.max_output_tokens,
        tool_choice=_tool_choice(asked.tool_choice),
        named_tool=named,
        is_parallel=asked.parallel_tool_calls is not False,
        schema=(wanted.schema or {}) if wanted.type in ("json_schema", "json_object") else None,
        is_streamed=bool(asked.stream),
        wants_usage=True,
    )


def invalid(message: str, param: str | None, code: str | None) -> Refusal:
    """The refusal of a request that is not as it should be."""
    return Refusal(400, message, kind="invalid_request_error", code=code, param=param)


def turn_of(item: dict[str, Any]) -> Turn:
    """What was said in an item."""
    content = item.get("content") if item.get("type", "message") == "message" else item.get("output")
    if not isinstance(content, list):
        return Turn(item.get("role") or "tool", content or "")
    texts = [part.get("text") or "" for part in content if part.get("type") in _TEXT_PARTS]
    return Turn(item.get("role") or "tool", "\n".join(texts), len(content) - len(texts))


def _hear(item: dict[str, Any], where: str, told: Heard, shelf: Shelf) -> None:
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    if kind == "item_reference":
        found = shelf.item(item.get("id") or "")
        if found is None:
            raise Refusal(
                404, f"Item with id '{item.get('id')}' not found.", kind="invalid_request_error", param="input"
            )
        _hear(found, where, told, shelf)
    elif kind == "message":
        _check_parts(item, where)
        told.turns.append(turn_of(item))
    elif kind in ("function_call", "custom_tool_call"):
        told.calls.add(item["call_id"])
        told.turns.append(Turn("assistant", "", calls=(f"{item['name']}{item.get('arguments') or item.get('input')}",)))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        if item.get("call_id") not in told.calls:
            raise invalid(
                f"No tool call found for function call output with call_id {item.get('call_id')}.", "input", None
            )
        told.turns.append(msgspec.structs.replace(turn_of(item), role="tool", is_tool_result=True))
    elif kind == "reasoning":
        _check_thought(item, where, shelf)
    else:
        told.turns.append(Turn("tool", "", others=1))


def _check_parts(item: dict[str, Any], where: str) -> None:
    content = item.get("content")
    if item.get("role") not in ("user", "assistant", "system", "developer"):
        raise invalid(f"Invalid value: '{item.get('role')}'.", f"{where}.role", "invalid_value")
    wanted = "output_text" if item["role"] == "assistant" else "input_text"
    for part in content if isinstance(content, list) else ():
        if part.get("type") in _TEXT_PARTS and part["type"] != wanted:
            raise invalid(f"Invalid value: '{part['type']}'.", f"{where}.content", "invalid_value")


def _check_thought(item: dict[str, Any], where: str, shelf: Shelf) -> None:
    encrypted = item.get("encrypted_content")
    if encrypted is not None and not encrypted.startswith(ENCRYPTED):
        raise invalid("The encrypted content could not be verified.", where, "invalid_encrypted_content")
    if encrypted is None and shelf.item(item.get("id") or "") is None:
        message = f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
        raise Refusal(404, message, kind="invalid_request_error", param="input")


def _tool_choice(choice: str | _Named | None) -> ToolChoice:
    if isinstance(choice, _Named) or choice == "required":
        return "required"
    return "none" if choice == "none" else "auto"
