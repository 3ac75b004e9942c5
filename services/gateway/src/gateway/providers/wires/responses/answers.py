"""Whole answers of the `responses` wire."""

from __future__ import annotations

from typing import Any

import msgspec
from common.providers.registry import ProviderRow

from gateway.providers.chat import completion, message_of
from gateway.providers.errors import ProviderFailed
from gateway.providers.wire import Answer
from gateway.providers.wires.responses.failures import failure_of
from gateway.providers.wires.responses.items import closing, finish_of, logprobs_in, spoken, text_in, tier_of
from gateway.providers.wires.responses.usage import usage_of

_NOT_WHOLE = frozenset({"queued", "in_progress", "cancelled", "failed"})
"""States of a response that is no answer, or not yet."""


def decode_response(body: bytes, provider: ProviderRow, created: int, model: str) -> Answer:
    """Read a 200 answer. Raises ProviderFailed for what is no response, or an error in one's place."""
    try:
        return _read(response_in(body, provider), created, model)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ProviderFailed("broken", f"{provider.display_name} sent an answer that is no response") from error


def response_in(body: bytes, provider: ProviderRow) -> dict[str, Any]:
    """The response in a body, which has ended well. Raises ProviderFailed."""
    told: dict[str, Any] = msgspec.json.decode(body)
    if isinstance(told.get("error"), dict):
        raise failure_of(told["error"], provider)
    if told["status"] in _NOT_WHOLE:
        raise ProviderFailed("broken", f"{provider.display_name} sent an incomplete answer")
    return told


def has_calls(output: list[dict[str, Any]]) -> bool:
    """Whether an output calls tools of the client's."""
    return any(item.get("type") in ("function_call", "custom_tool_call") for item in output)


def _message(output: list[dict[str, Any]]) -> dict[str, Any]:
    """The chat message that items amount to."""
    deltas: list[dict[str, Any]] = []
    text, calls = 0, 0
    for item in output:
        deltas += [_present(spoken(item, calls)), closing(item, text)]
        text += len(text_in(item, "output_text", "text"))
        calls += item.get("type") in ("function_call", "custom_tool_call")
    return message_of(deltas)


def _present(delta: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in delta.items() if value is not None}


def _read(told: dict[str, Any], created: int, model: str) -> Answer:
    output = told["output"]
    message = _message(output)
    if not message.get("content") and (message.get("tool_calls") or message.get("refusal")):
        message["content"] = None
    logprobs = [one for item in output for one in logprobs_in(item)]
    usage, raw = usage_of(told)
    return completion(
        (told.get("id") or "", int(told.get("created_at") or created), told.get("model") or model),
        message,
        finish_of(told, has_calls=has_calls(output)),
        usage,
        raw,
        tier_of(told),
        {"content": logprobs, "refusal": None} if logprobs else None,
    )
