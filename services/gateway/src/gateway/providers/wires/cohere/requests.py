"""Requests of the `cohere` wire: a chat request in Cohere's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import Asked, as_described, parts_of, text_of
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Members, Outgoing

CHAT_PATH = "/v2/chat"

_SAME = ("temperature", "seed")
_FRACTIONS = ("frequency_penalty", "presence_penalty")
"""OpenAI's go from -2 to 2, Cohere's from 0 to 1."""
_OWN = ("documents", "citation_options", "safety_mode", "k", "thinking", "priority")
"""Cohere's own parameters, for clients that know whom they ask."""
_THINKING_SHARE: Mapping[str, float] = MappingProxyType({"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8})
"""How much of the output each effort may think; more effort than these has no bound of its own."""
_CHOICES: Mapping[str, str] = MappingProxyType({"required": "REQUIRED", "any": "REQUIRED", "none": "NONE"})


def encode_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """The body for Cohere. Raises ProviderFailed ("untranslatable") for content that it has no word for."""
    asked = Asked(members)
    with as_described():
        body = _body(asked, provider, model, output_tokens)
    return Outgoing(CHAT_PATH, msgspec.json.encode({**body, "stream": streamed}), asked.dropped())


def _body(asked: Asked, provider: ProviderRow, model: str, output_tokens: int) -> dict[str, Any]:
    asked.single_choice(provider.display_name)
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(message, number) for number, message in enumerate(asked.messages())],
        "max_tokens": output_tokens,
    }
    _put_knobs(body, asked, output_tokens)
    _put_tools(body, asked)
    wants_json, schema = asked.schema()
    if wants_json:
        body["response_format"] = {"type": "json_object", **({"json_schema": schema} if schema else {})}
    return body


def _put_knobs(body: dict[str, Any], asked: Asked, output_tokens: int) -> None:
    body.update({name: value for name in (*_SAME, *_OWN) if (value := asked.take(name)) is not None})
    for name in _FRACTIONS:
        value = asked.take(name)
        if isinstance(value, int | float) and 0 <= value <= 1:
            body[name] = value
        else:
            asked.put_back(name, value)
    if (share := asked.take("top_p")) is not None:
        body["p"] = share
    if stops := asked.stops():
        body["stop_sequences"] = stops
    effort = asked.effort()
    if effort is not None:
        body.setdefault("thinking", _thinking(effort, output_tokens))


def _thinking(effort: str, output_tokens: int) -> dict[str, Any]:
    if effort == "none":
        return {"type": "disabled"}
    share = _THINKING_SHARE.get(effort)
    return {"type": "enabled", **({"token_budget": max(1, int(output_tokens * share))} if share else {})}


def _put_tools(body: dict[str, Any], asked: Asked) -> None:
    tools, choice, may_repeat = asked.tools()
    if not may_repeat:
        asked.put_back("parallel_tool_calls", False)
    named = (choice.get("function") or {}).get("name") if isinstance(choice, dict) else None
    if named is not None:  # Cohere cannot be told which tool, but it can be shown only that one
        tools = [tool for tool in tools if (tool.get("function") or {}).get("name") == named]
        choice = "required"
    if not tools:
        return
    body["tools"] = [_tool(tool, number) for number, tool in enumerate(tools)]
    if any((tool.get("function") or {}).get("strict") for tool in tools):
        body["strict_tools"] = True
    if isinstance(choice, str) and choice in _CHOICES:
        body["tool_choice"] = _CHOICES[choice]


def _tool(tool: dict[str, Any], number: int) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, dict) or not function.get("name"):
        raise untranslatable("Cohere calls functions only", f"tools[{number}]")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    described = {"description": function["description"]} if function.get("description") else {}
    return {"type": "function", "function": {"name": function["name"], **described, "parameters": parameters}}


def _message(message: dict[str, Any], number: int) -> dict[str, Any]:
    role, content = message["role"], message.get("content")
    where = f"messages[{number}]"
    if role == "tool":
        texts = [{"type": "text", "text": _plain(part, where)} for part in parts_of(content, where)]
        return {"role": "tool", "tool_call_id": message.get("tool_call_id") or "", "content": texts or ""}
    if role == "assistant":
        return _said_before(message, where)
    if role == "developer":
        role = "system"
    parts = list(_parts(content, where))
    is_plain = all(part["type"] == "text" for part in parts)
    return {"role": role, "content": "\n".join(part["text"] for part in parts) if is_plain else parts}


def _said_before(message: dict[str, Any], where: str) -> dict[str, Any]:
    """An earlier answer; beside calls its text was the plan."""
    told: dict[str, Any] = {"role": "assistant"}
    calls, thought = message.get("tool_calls"), message.get("reasoning_content")
    text = "".join(_plain(part, where) for part in parts_of(message.get("content"), where))
    text = text or message.get("refusal") or ""
    if calls:
        told["tool_calls"] = [_call(call) for call in calls]
        if text:
            told["tool_plan"] = text
    parts = [{"type": "thinking", "thinking": thought}] if isinstance(thought, str) and thought else []
    if text and not calls:
        parts.append({"type": "text", "text": text})
    if parts:
        told["content"] = parts
    return told


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    told = {"name": function.get("name") or "", "arguments": function.get("arguments") or "{}"}
    return {"id": call.get("id") or "", "type": "function", "function": told}


def _parts(content: Any, where: str) -> Iterator[dict[str, Any]]:
    for part in parts_of(content, where):
        if part.get("type") == "image_url":
            yield {"type": "image_url", "image_url": part.get("image_url")}
        else:
            yield {"type": "text", "text": _plain(part, where)}


def _plain(part: dict[str, Any], where: str) -> str:
    kind = part.get("type")
    if kind == "text":
        return text_of([part])
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        return str(part["refusal"])
    raise untranslatable(f"Cohere takes no content of type {kind}", f"{where}.content")
