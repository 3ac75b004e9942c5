"""OpenAI's published shapes: what a chat completion, a chunk, a response and its events must be.

Read from the types of OpenAI's own client, which are generated from the published document, validated strictly; what the
document requires and the types leave open stands in `_REQUIRED`. Providers of the same wire deviate in ways that clients
live with, and only for what is relayed from them (`is_relayed`): `logprobs` and `refusal` may be missing, lists of calls
empty or null, and what was never promised to be there (`system_fingerprint`, `user`) null.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

_REQUIRED: dict[str, tuple[str, ...]] = {
    "choice": ("index", "message", "finish_reason", "logprobs"),
    "message": ("role", "content", "refusal"),
    "usage": ("prompt_tokens", "completion_tokens", "total_tokens"),
    "chunk choice": ("index", "delta", "finish_reason"),
    "response": (
        "id", "object", "created_at", "error", "incomplete_details", "instructions", "model", "tools", "output",
        "parallel_tool_calls", "metadata", "tool_choice", "temperature", "top_p",
    ),
    "response usage": (
        "input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details", "total_tokens",
    ),
}  # fmt: skip
_NEVER_NULL = ("user", "safety_identifier", "prompt_cache_key", "system_fingerprint")


def check_completion(told: dict[str, Any], *, is_relayed: bool = False) -> None:
    """A whole chat completion."""
    ChatCompletion.model_validate(told, strict=True)
    for choice in told["choices"]:
        required = [name for name in _REQUIRED["choice"] if not (is_relayed and name == "logprobs")]
        assert not [name for name in required if name not in choice]
        if not is_relayed:
            _has(choice["message"], "message")
            assert choice["message"].get("tool_calls", "none") not in ([], None)
    if told.get("usage") is not None:
        _has(told["usage"], "usage")
    _check_nulls(told, is_relayed)


def check_chunk(told: dict[str, Any], *, is_relayed: bool = False) -> None:
    """One chunk of a stream."""
    ChatCompletionChunk.model_validate(told, strict=True)
    for choice in told["choices"]:
        if not is_relayed:
            _has(choice, "chunk choice")
        for call in choice["delta"].get("tool_calls") or ():
            assert isinstance(call["index"], int)
            assert isinstance(call.get("function", {}).get("arguments", ""), str)
    _check_nulls(told, is_relayed)


def check_response(told: dict[str, Any]) -> None:
    """A whole response, or one in progress."""
    Response.model_validate(told, strict=True)
    _has(told, "response")
    if told["status"] in ("completed", "incomplete"):
        _has(told["usage"], "response usage")
    _check_nulls(told, is_relayed=False)


def check_event(told: dict[str, Any]) -> None:
    """One event of a response's stream."""
    _events().validate_python(told, strict=True)
    if "response" in told:
        check_response(told["response"])


@cache
def _events() -> TypeAdapter[Any]:
    return TypeAdapter(ResponseStreamEvent)


def _has(told: dict[str, Any], what: str) -> None:
    missing = [name for name in _REQUIRED[what] if name not in told]
    assert not missing, (what, missing)


def _check_nulls(told: dict[str, Any], is_relayed: bool) -> None:
    nulls = [name for name in _NEVER_NULL if name in told and told[name] is None]
    assert is_relayed or not nulls, nulls
