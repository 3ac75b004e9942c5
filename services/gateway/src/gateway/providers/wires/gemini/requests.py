"""Requests of the `gemini` wire: a chat request in the words of generateContent."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import Asked, as_described
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Members, Outgoing
from gateway.providers.wires.gemini.content import Contents

_GENERATION = re.compile(r"gemini-(?P<major>\d+)(?:\.(?P<minor>\d+))?")
_SETTINGS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_OWN = ("safetySettings", "cachedContent", "labels")
"""Parameters of the provider's own that clients which know them may send."""
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_LEAST_BUDGET_OF_PRO = 128
_BY_BUDGET, _BY_LEVEL = (2, 5), (3, 0)
"""Since which generation thinking has a budget, and since which a level."""
_MOST_STOPS = 5


def encode_request(members: Members, provider: ProviderRow, model: str, output_tokens: int, streamed: bool) -> Outgoing:
    """The request to generateContent. Raises ProviderFailed for content that it has no word for."""
    asked = Asked(members)
    with as_described():
        body = _body(asked, provider, model, output_tokens)
    verb = "streamGenerateContent?alt=sse" if streamed else "generateContent"
    return Outgoing(f"/models/{quote(model, safe='@')}:{verb}", msgspec.json.encode(body), asked.dropped())


def _body(asked: Asked, provider: ProviderRow, model: str, output_tokens: int) -> dict[str, Any]:
    asked.single_choice(provider.display_name)
    contents = Contents(asked.messages(), needs_signatures=_generation(model) >= _BY_LEVEL)
    if contents.has_markers:
        asked.put_back("cache_control", True)
    body: dict[str, Any] = {"contents": contents.said}
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    _set_tools(body, asked)
    body["generationConfig"] = _configured(asked, model, output_tokens)
    body.update({name: value for name in _OWN if (value := asked.take(name)) is not None})
    return body


def _configured(asked: Asked, model: str, output_tokens: int) -> dict[str, Any]:
    config: dict[str, Any] = {"maxOutputTokens": output_tokens}
    for name, ours in _SETTINGS.items():
        if (value := asked.take(name)) is not None:
            config[ours] = value
    stops = asked.stops()
    if stops:
        config["stopSequences"] = stops[:_MOST_STOPS]
    if len(stops) > _MOST_STOPS:
        asked.put_back("stop", stops)
    is_json, schema = asked.schema()
    if is_json:
        config["responseMimeType"] = "application/json"
    if schema is not None:
        config["responseJsonSchema"] = schema
    if asked.take("logprobs"):
        config["responseLogprobs"] = True
        if (most := asked.take("top_logprobs")) is not None:
            config["logprobs"] = most
    _set_modalities(config, asked)
    _set_thinking(config, asked, model, output_tokens)
    return config


def _set_modalities(config: dict[str, Any], asked: Asked) -> None:
    modalities = asked.take("modalities")
    if modalities in (None, ["text"]):
        return
    if "audio" in modalities:
        raise untranslatable("Gemini's chat answers in text and pictures", "modalities")
    config["responseModalities"] = [name.upper() for name in modalities]


def _set_thinking(config: dict[str, Any], asked: Asked, model: str, output_tokens: int) -> None:
    effort, generation, is_pro = asked.effort(), _generation(model), "pro" in model
    if effort is None:
        return
    if generation < _BY_BUDGET or effort not in _BUDGETS:
        asked.put_back("reasoning_effort", effort)
    elif generation >= _BY_LEVEL:
        quiet = "low" if is_pro else "minimal"  # it cannot be told not to think at all
        level = quiet if effort in ("none", "minimal") else _LEVELS[effort]
        config["thinkingConfig"] = {"thinkingLevel": level, "includeThoughts": effort != "none"}
    else:
        budget = min(_BUDGETS[effort], output_tokens * 4 // 5)
        if is_pro:
            budget = max(budget, _LEAST_BUDGET_OF_PRO)
        config["thinkingConfig"] = {"thinkingBudget": budget, "includeThoughts": budget > 0}


def _set_tools(body: dict[str, Any], asked: Asked) -> None:
    tools, choice, may_repeat = asked.tools()
    told = [tool for tool in tools if "type" not in tool]  # Google's own, in its own words
    declared = [_declared(tool) for tool in tools if "type" in tool]
    if declared:
        told.append({"functionDeclarations": declared})
    if asked.take("web_search_options") is not None:
        told.append({"googleSearch": {}})
    if told:
        body["tools"] = told
    if tools and not may_repeat:
        asked.put_back("parallel_tool_calls", False)
    if choice is not None:
        body["toolConfig"] = {"functionCallingConfig": _choice(choice)}


def _declared(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        raise untranslatable(f"Gemini has no word for a tool of type {tool['type']}", "tools")
    function = tool["function"]
    told: dict[str, Any] = {"name": function["name"], "description": function.get("description") or ""}
    if function.get("parameters"):
        told["parametersJsonSchema"] = function["parameters"]
    return told


def _choice(choice: Any) -> dict[str, Any]:
    if not isinstance(choice, dict):
        return {"mode": _MODES.get(choice, "AUTO")}
    if choice.get("type") == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = [tool["function"]["name"] for tool in allowed["tools"]]
        return {"mode": "ANY" if allowed.get("mode") == "required" else "VALIDATED", "allowedFunctionNames": names}
    return {"mode": "ANY", "allowedFunctionNames": [choice["function"]["name"]]}


def _generation(model: str) -> tuple[int, int]:
    """The generation that a model's name tells; of one that tells none, the newest."""
    found = _GENERATION.search(model)
    return (int(found["major"]), int(found["minor"] or 0)) if found else (99, 0)
