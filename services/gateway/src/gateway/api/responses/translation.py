"""A Responses request in the words of chat. Pure.

Tools that OpenAI runs itself (search, code, computers) are refused; a custom tool, which takes a text instead of an
object, becomes a function with that text as its only argument, which every provider of tools can call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.api.responses.items import Conversation
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Members

_KEPT = (
    "model", "stream", "stream_options", "temperature", "top_p", "parallel_tool_calls", "user", "safety_identifier",
    "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "service_tier",
)  # fmt: skip
"""Members that chat knows by the same name."""

_OURS = ("drop_params", "store", "previous_response_id", "max_output_tokens", "metadata")
"""What the gateway itself sees to."""

_IDLE: Mapping[str, tuple[Any, ...]] = {
    "truncation": ("disabled",),
    "background": (False,),
    "max_tool_calls": (),
    "include": ([],),
    "context_management": ([],),
}
"""Values that ask for what happens anyway."""

_LOGPROBS, _THOUGHTS = "message.output_text.logprobs", "reasoning.encrypted_content"


def as_chat(members: Members) -> tuple[Members, tuple[str, ...]]:
    """The same request in the words of chat, and the names of what chat has none for. Raises ProviderFailed."""
    try:
        asked = {name: msgspec.json.decode(value) for name, value in members.items()}
        said = _translated(asked)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise untranslatable("the input or tools are not as the API describes them", "input") from error
    encoded = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in said.items() if value is not None}
    left = tuple(name for name, value in asked.items() if value is not None and value not in _IDLE.get(name, ()))
    return encoded, left


def custom_tools(members: Members) -> frozenset[str]:
    """The names of the tools that take a text; what is no tool is passed over."""
    told = [bytes(members.get(name, b"null")) for name in ("tools", "input")]
    if not any(b'"custom"' in given for given in told):
        return frozenset()
    tools, items = (found if isinstance(found := msgspec.json.decode(given), list) else [] for given in told)
    later = (item.get("tools") for item in items if item.get("type") == "additional_tools")
    found = [tool for listed in (tools, *later) if isinstance(listed, list) for tool in listed]
    custom = [tool for tool in found if isinstance(tool, dict) and tool.get("type") == "custom"]
    return frozenset(tool["name"] for tool in custom if isinstance(tool.get("name"), str))


def _translated(asked: dict[str, Any]) -> dict[str, Any]:
    """Takes what has a word out of `asked`."""
    said: dict[str, Any] = {name: asked.pop(name) for name in _KEPT if name in asked}
    for name in _OURS:
        asked.pop(name, None)
    conversation = Conversation()
    if instructions := asked.pop("instructions", None):
        conversation.message({"role": "system", "content": instructions})
    given = asked.pop("input", None) or ()
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        conversation.add(item)
    said["messages"] = conversation.end()
    _tell_tools(said, [*(asked.pop("tools", None) or ()), *conversation.tools], asked.pop("tool_choice", None))
    _tell_text(said, asked.pop("text", None) or {})
    reasoning = asked.pop("reasoning", None) or {}
    said["reasoning_effort"] = reasoning.get("effort")
    _tell_logprobs(said, asked)
    return said


def _tell_tools(said: dict[str, Any], tools: list[dict[str, Any]], choice: Any) -> None:
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = {(tool.get("type"), tool.get("name")) for tool in choice["tools"]}
        tools = [tool for tool in tools if (tool.get("type"), tool.get("name")) in allowed]
        choice = choice.get("mode")
    if not tools:
        return
    said["tools"] = [_tool(tool) for tool in tools]
    if isinstance(choice, dict):
        if choice.get("type") not in ("function", "custom"):
            raise untranslatable(f"only OpenAI itself has the tool {choice.get('type')}", "tool_choice")
        choice = {"type": "function", "function": {"name": choice["name"]}}
    said["tool_choice"] = choice


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    if kind == "custom":
        return {"type": "function", "function": _text_taker(tool)}
    if kind != "function":
        raise untranslatable(f"only OpenAI itself has the tool {kind}", "tools")
    function = {name: tool[name] for name in ("name", "description", "parameters") if tool.get(name) is not None}
    return {"type": "function", "function": {**function, "strict": True} if tool.get("strict") else function}


def _text_taker(tool: dict[str, Any]) -> dict[str, Any]:
    """A function that takes one text, described as far as the tool is."""
    wanted = tool.get("format") or {}
    words = [tool.get("description") or ""]
    if wanted.get("type") == "grammar":
        words.append(f"The input must match this {wanted.get('syntax')} grammar:\n{wanted.get('definition')}")
    told: dict[str, Any] = {"name": tool["name"]}
    if description := "\n\n".join(word for word in words if word):
        told["description"] = description
    text = {"type": "string", "description": "The whole input of the tool, as plain text."}
    told["parameters"] = {"type": "object", "properties": {"input": text}, "required": ["input"]}
    return told


def _tell_text(said: dict[str, Any], text: dict[str, Any]) -> None:
    said["verbosity"] = text.get("verbosity")
    wanted = text.get("format") or {}
    if wanted.get("type") == "json_schema":
        schema = {name: value for name, value in wanted.items() if name != "type" and value is not None}
        said["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted.get("type") == "json_object":
        said["response_format"] = {"type": "json_object"}


def _tell_logprobs(said: dict[str, Any], asked: dict[str, Any]) -> None:
    wanted = asked.pop("include", None) or []
    if rest := [name for name in wanted if name not in (_LOGPROBS, _THOUGHTS)]:
        asked["include"] = rest
    most = asked.pop("top_logprobs", None)
    if most or _LOGPROBS in wanted:
        said["logprobs"], said["top_logprobs"] = True, most or 0
