"""Requests of the `responses` wire: a chat request in the words of Responses. Nothing is stored at the provider, so
thinking comes back encrypted."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import Asked, as_described
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Members, Outgoing
from gateway.providers.wires.responses.content import items_of

RESPONSES_PATH = "/responses"

_SAME = (
    "temperature", "top_p", "metadata", "user", "safety_identifier", "service_tier", "prompt_cache_key",
    "prompt_cache_retention", "prompt_cache_options",
)  # fmt: skip
"""Members that both know by the same name."""


def encode_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """From a chat request to a response's. Raises ProviderFailed for content that it has no word for."""
    asked = Asked(members)
    with as_described():
        body = _body(asked, provider, model, output_tokens)
    if streamed:
        body["stream"] = True
    return Outgoing(RESPONSES_PATH, msgspec.json.encode(body), asked.dropped())


def _body(asked: Asked, provider: ProviderRow, model: str, output_tokens: int) -> dict[str, Any]:
    asked.single_choice(provider.display_name)
    body: dict[str, Any] = {"model": model, "input": items_of(asked.messages()), "max_output_tokens": output_tokens}
    body |= {"store": False, "include": ["reasoning.encrypted_content"]}
    _set_tools(body, asked)
    _set_text(body, asked)
    _set_reasoning(body, asked)
    body.update({name: value for name in _SAME if (value := asked.take(name)) is not None})
    if asked.take("logprobs"):
        body["include"].append("message.output_text.logprobs")
        body["top_logprobs"] = asked.take("top_logprobs") or 0
    return body


def _set_tools(body: dict[str, Any], asked: Asked) -> None:
    tools, choice, may_repeat = asked.tools()
    if not tools:
        return
    body["tools"] = [_tool(tool) for tool in tools]
    if choice is not None:
        body["tool_choice"] = _choice(choice)
    if not may_repeat:
        body["parallel_tool_calls"] = False


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function or custom tool; chat's own wrap it once more. A function is strict by itself here, so it says."""
    kind = tool.get("type")
    if kind == "custom":
        custom = dict(tool["custom"])
        wanted = custom.get("format") or {}
        if "grammar" in wanted:
            custom["format"] = {"type": "grammar", **wanted["grammar"]}
        return {"type": "custom", **custom}
    if kind != "function":
        return tool
    function = tool["function"]
    told = {"parameters": {"type": "object", "properties": {}}, **function, "strict": bool(function.get("strict"))}
    return {"type": "function", **told}


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools":
        allowed = choice["allowed_tools"]
        return {"type": kind, "mode": allowed["mode"], "tools": [_named(tool) for tool in allowed["tools"]]}
    return _named(choice)


def _named(choice: dict[str, Any]) -> dict[str, Any]:
    kind = choice.get("type")
    if kind not in ("function", "custom"):
        raise untranslatable(f"Responses has no word for a choice of type {kind}", "tool_choice")
    return {"type": kind, "name": choice[kind]["name"]}


def _set_text(body: dict[str, Any], asked: Asked) -> None:
    text: dict[str, Any] = {}
    wanted = asked.take("response_format") or {}
    if wanted.get("type") == "json_schema":
        text["format"] = {"type": "json_schema", **wanted["json_schema"]}
    elif wanted.get("type") == "json_object":
        text["format"] = {"type": "json_object"}
    if verbosity := asked.take("verbosity"):
        text["verbosity"] = verbosity
    if text:
        body["text"] = text


def _set_reasoning(body: dict[str, Any], asked: Asked) -> None:
    own = asked.take("reasoning")
    reasoning = dict(own) if isinstance(own, dict) else {}
    if effort := asked.effort():
        reasoning["effort"] = effort
    if reasoning:
        body["reasoning"] = reasoning
