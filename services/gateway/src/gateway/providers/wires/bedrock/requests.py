"""Requests of the `bedrock` wire: a chat request as Converse takes it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import Asked, as_described, compact
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Members, Outgoing
from gateway.providers.wires.bedrock.content import cache_point, conversation
from gateway.providers.wires.bedrock.families import thinking_fields

_KNOBS: Mapping[str, str] = MappingProxyType({"temperature": "temperature", "top_p": "topP"})
_OWN = ("guardrailConfig", "performanceConfig", "additionalModelResponseFieldPaths", "promptVariables")
"""Converse's own parameters, for clients that know whom they ask."""
_TIERS = ("default", "flex", "priority")
_ANY_OBJECT = {"json": {"type": "object", "properties": {}}}


def encode_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """The body for Converse. Raises ProviderFailed ("untranslatable") for content that it has no word for."""
    asked = Asked(members)
    with as_described():
        body = _body(asked, provider, model, output_tokens)
    verb = "converse-stream" if streamed else "converse"
    return Outgoing(f"/model/{quote(model, safe='')}/{verb}", msgspec.json.encode(body), asked.dropped())


def _body(asked: Asked, provider: ProviderRow, model: str, output_tokens: int) -> dict[str, Any]:
    asked.single_choice(provider.display_name)
    system, turns = conversation(asked.messages(), model)
    body: dict[str, Any] = {"messages": turns, "inferenceConfig": {"maxTokens": output_tokens}}
    if system:
        body["system"] = system
    _put_thinking(body, asked, model, output_tokens)
    _put_knobs(body, asked)
    _put_tools(body, asked)
    _put_schema(body, asked)
    return body


def _put_thinking(body: dict[str, Any], asked: Asked, model: str, output_tokens: int) -> None:
    own, effort = asked.take("additionalModelRequestFields"), asked.effort()
    fields = dict(own) if isinstance(own, dict) else {}
    if effort is not None:
        thinking = thinking_fields(model, effort, output_tokens)
        if thinking is None:
            asked.put_back("reasoning_effort", effort)
        else:
            fields = {**thinking, **fields}
    if fields:
        body["additionalModelRequestFields"] = fields


def _put_knobs(body: dict[str, Any], asked: Asked) -> None:
    inference = body["inferenceConfig"]
    thinks = (body.get("additionalModelRequestFields") or {}).get("thinking", {}).get("type") in ("enabled", "adaptive")
    for name, named in _KNOBS.items():
        value = asked.take(name)
        if thinks and value not in (None, 1):  # Claude does not let itself be tuned while it thinks
            asked.put_back(name, value)
        elif value is not None:
            inference[named] = value
    if stops := asked.stops():
        inference["stopSequences"] = stops
    body.update({name: value for name in _OWN if (value := asked.take(name)) is not None})
    tier = asked.take("service_tier")
    if tier in _TIERS:
        body["serviceTier"] = {"type": tier}
    else:
        asked.put_back("service_tier", tier)
    if metadata := asked.take("metadata"):
        body["requestMetadata"] = metadata


def _put_tools(body: dict[str, Any], asked: Asked) -> None:
    tools, choice, may_repeat = asked.tools()
    if not may_repeat:
        asked.put_back("parallel_tool_calls", False)
    used = _names_used(body["messages"])
    if choice == "none" and used:  # tools that were used must be shown; they cannot be forbidden
        asked.put_back("tool_choice", choice)
    specs = [] if choice == "none" and not used else [spec for tool in tools for spec in _spec(tool)]
    named = {spec["toolSpec"]["name"] for spec in specs if "toolSpec" in spec}
    specs += [{"toolSpec": {"name": name, "inputSchema": _ANY_OBJECT}} for name in used if name not in named]
    if not specs:
        return
    body["toolConfig"] = {"tools": specs}
    if (told := _choice(choice)) is not None:
        body["toolConfig"]["toolChoice"] = told


def _names_used(turns: list[dict[str, Any]]) -> list[str]:
    used = [block["toolUse"]["name"] for turn in turns for block in turn["content"] if "toolUse" in block]
    return list(dict.fromkeys(used))


def _choice(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        if not name:
            raise untranslatable("Bedrock chooses among functions only", "tool_choice")
        return {"tool": {"name": name}}
    return {"any": {}} if choice in ("required", "any") else None


def _spec(tool: dict[str, Any]) -> list[dict[str, Any]]:
    function = tool.get("function")
    if not isinstance(function, dict) or not function.get("name"):
        raise untranslatable("Bedrock calls functions only", "tools")
    schema = {"json": function["parameters"]} if function.get("parameters") else _ANY_OBJECT
    spec: dict[str, Any] = {"name": function["name"], "inputSchema": schema}
    if function.get("description"):
        spec["description"] = function["description"]
    if function.get("strict"):
        spec["strict"] = True
    return [{"toolSpec": spec}, *cache_point(tool)]


def _put_schema(body: dict[str, Any], asked: Asked) -> None:
    wanted = asked.take("response_format")
    named = wanted.get("json_schema") if isinstance(wanted, dict) else None
    if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
        asked.put_back("response_format", wanted)
        return
    told = {"name": named.get("name") or "answer", "schema": compact(named["schema"])}
    if named.get("description"):
        told["description"] = named["description"]
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": told}}}
