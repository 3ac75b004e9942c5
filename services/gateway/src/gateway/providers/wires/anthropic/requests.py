"""Requests of the `anthropic` wire: a chat request in the words of Messages."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from common.providers.registry import NO_SAMPLING, ProviderRow

from gateway.providers.chat import Asked, as_described, compact
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Members, Outgoing
from gateway.providers.wires.anthropic.content import thinks_in_last_turn, turns

MESSAGES_PATH = "/messages"

_GENERATION = re.compile(r"claude-(?:[a-z]+-)?(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?:-|@|$)")
_ADAPTIVE, _SCHEMAS, _WITHOUT_SAMPLING = (4, 6), (4, 5), (4, 7)
"""Since which generation thinking is adaptive, answers keep to a schema, and sampling cannot be set."""

_OWN = ("top_k", "cache_control", "container", "context_management", "mcp_servers", "inference_geo", "speed")
"""Parameters of the provider's own that clients which know them may send."""
_TIERS = {"auto": "auto", "default": "standard_only"}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}
"""The part of the output that may be spent on thinking, where thinking has a budget."""
_LEAST_THINKING = 1024
_MOST_TEMPERATURE = 1.0
_AS_JSON = "Answer with one JSON document and nothing else: no prose, no code fence."


def encode_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """The request to Messages. Raises ProviderFailed for content that it has no word for."""
    asked = Asked(members)
    with as_described():
        body = _body(asked, provider, model, output_tokens)
    if streamed:
        body["stream"] = True
    return Outgoing(MESSAGES_PATH, msgspec.json.encode(body), asked.dropped())


def _body(asked: Asked, provider: ProviderRow, model: str, output_tokens: int) -> dict[str, Any]:
    asked.single_choice(provider.display_name)
    system, said = turns(asked.messages())
    body: dict[str, Any] = {"model": model, "max_tokens": output_tokens, "messages": said}
    _set_tools(body, asked)
    _set_format(body, asked, system, model)
    if system:
        body["system"] = system
    _set_thinking(body, asked, model, thinks_in_last_turn(said))
    _set_sampling(
        body, asked, has_sampling=NO_SAMPLING not in provider.flags and _generation(model) < _WITHOUT_SAMPLING
    )
    stops = asked.stops()
    if kept := [stop for stop in stops if stop.strip()]:
        body["stop_sequences"] = kept
    if len(kept) < len(stops):
        asked.put_back("stop", stops)
    _set_caller(body, asked)
    if (tier := asked.take("service_tier")) in _TIERS:
        body["service_tier"] = _TIERS[tier]
    elif tier is not None:
        asked.put_back("service_tier", tier)
    body.update({name: value for name in _OWN if (value := asked.take(name)) is not None})
    return body


def _set_tools(body: dict[str, Any], asked: Asked) -> None:
    tools, choice, may_repeat = asked.tools()
    if not tools:
        return
    body["tools"] = [_tool(tool) for tool in tools]
    told = _choice(choice)
    if not may_repeat and (told or {"type": "auto"})["type"] != "none":
        told = {**(told or {"type": "auto"}), "disable_parallel_tool_use": True}
    if told is not None:
        body["tool_choice"] = told


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function in the words of Messages; a tool of the provider's own goes as it came."""
    kind = tool.get("type")
    if kind != "function":
        if "name" in tool and kind != "custom":
            return tool
        raise untranslatable(f"Anthropic has no word for a tool of type {kind}", "tools")
    function = tool["function"]
    told: dict[str, Any] = {"name": function["name"]}
    if function.get("description"):
        told["description"] = function["description"]
    told["input_schema"] = {"type": "object", "properties": {}, **(function.get("parameters") or {})}
    if function.get("strict"):
        told["strict"] = True
    marker = tool.get("cache_control") or function.get("cache_control")
    return {**told, "cache_control": marker} if marker else told


def _choice(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            raise untranslatable("Anthropic cannot be held to a part of the tools; send those alone", "tool_choice")
        return {"type": "tool", "name": choice["function"]["name"]}
    return {"none": {"type": "none"}, "required": {"type": "any"}, "auto": {"type": "auto"}}.get(choice or "")


def _set_format(body: dict[str, Any], asked: Asked, system: list[dict[str, Any]], model: str) -> None:
    """A schema that the model is held to, or, where it cannot be, told."""
    is_json, schema = asked.schema()
    if schema is not None and _generation(model) >= _SCHEMAS:
        body["output_config"] = {"format": {"type": "json_schema", "schema": _closed(schema)}}
    elif is_json:
        wish = _AS_JSON if schema is None else f"{_AS_JSON} It must satisfy this JSON Schema:\n{compact(schema)}"
        system.append({"type": "text", "text": wish})


def _closed(schema: Any) -> Any:
    """The schema with every object closed, which Messages insists on."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: _closed(value) for name, value in schema.items()}
    if told.get("type") == "object":
        told.setdefault("additionalProperties", False)
    return told


def _set_thinking(body: dict[str, Any], asked: Asked, model: str, may_think_on: bool) -> None:
    own, effort = asked.take("thinking"), asked.effort()
    if isinstance(own, dict):
        body["thinking"] = own
    if effort is None:
        return
    is_adaptive = _generation(model) >= _ADAPTIVE
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    is_forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if effort in _EFFORTS and is_adaptive:
        body.setdefault("output_config", {})["effort"] = _EFFORTS[effort]
        if not is_forced:
            body.setdefault("thinking", {"type": "adaptive"})
        return
    budget = max(_LEAST_THINKING, int(_SHARES.get(effort, 0) * body["max_tokens"]))
    if effort not in _EFFORTS or is_forced or not may_think_on or budget >= body["max_tokens"]:
        asked.put_back("reasoning_effort", effort)
    else:
        body.setdefault("thinking", {"type": "enabled", "budget_tokens": budget})


def _set_sampling(body: dict[str, Any], asked: Asked, *, has_sampling: bool) -> None:
    """Temperature and the like, where they are still known, and not while the model thinks."""
    is_thinking = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if not has_sampling or is_thinking:
        return
    if (temperature := asked.take("temperature")) is not None:
        body["temperature"] = min(temperature, _MOST_TEMPERATURE)
    elif (top_p := asked.take("top_p")) is not None:  # one or the other: newer models refuse both
        body["top_p"] = top_p


def _set_caller(body: dict[str, Any], asked: Asked) -> None:
    metadata, caller = asked.take("metadata"), asked.caller()
    if isinstance(metadata, dict) and (told := {name: value for name, value in metadata.items() if name != "user_id"}):
        asked.put_back("metadata", told)
    caller = caller or (metadata or {}).get("user_id")
    if caller:
        body["metadata"] = {"user_id": caller}


def _generation(model: str) -> tuple[int, int]:
    """The generation that a model's name tells: `claude-sonnet-4-5-20250929` is (4, 5); an unknown name the newest."""
    found = _GENERATION.search(model)
    if found is not None:
        return int(found["major"]), int(found["minor"] or 0)
    return (3, 0) if model.startswith(("claude-2", "claude-instant")) else (99, 0)
