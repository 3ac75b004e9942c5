"""Items of a response as what a chat message holds: the same mapping for whole answers and for streams.

`spoken` is the part of an item that a stream brings piece by piece, `closing` what can only be said once it is whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.providers.chat import tool_call
from gateway.providers.counting import word_of

FORMAT = "openai-responses-v1"
"""What marks reasoning details as this wire's."""

KEEPSAKE = "tollgate1."
"""What `encrypted_content` begins with that the gateway made for another provider's thinking: OpenAI cannot read it."""

BETWEEN = "\n\n"
"""What stands between the parts of a summary."""

_SPOKEN = frozenset({"message", "reasoning", "function_call", "custom_tool_call", "image_generation_call"})
_CUT = {"max_output_tokens": "length", "content_filter": "content_filter"}


def spoken(item: Mapping[str, Any], calls: int) -> dict[str, Any]:
    """Text, thinking, or a call, of which there were so many before."""
    kind = item.get("type")
    if kind == "message":
        return {"content": text_in(item, "output_text", "text"), "refusal": text_in(item, "refusal", "refusal") or None}
    if kind == "reasoning":
        thought = BETWEEN.join(part["text"] for part in (*(item.get("summary") or ()), *(item.get("content") or ())))
        return {"reasoning_content": thought} if thought else {}
    if kind in ("function_call", "custom_tool_call"):
        return {"tool_calls": [call_of(item, calls)]}
    return {}


def call_of(item: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A call, as chat knows it."""
    if item["type"] == "function_call":
        return tool_call(number, item["call_id"], item["name"], item.get("arguments") or "")
    custom = {"name": item["name"], "input": item.get("input") or ""}
    return {"index": number, "id": item["call_id"], "type": "custom", "custom": custom}


def closing(item: Mapping[str, Any], text_before: int) -> dict[str, Any]:
    """Encrypted thinking, citations, pictures, and what OpenAI's own tools did; `text_before`: the length of the text
    before the item."""
    kind = item.get("type")
    if kind == "reasoning" and item.get("encrypted_content"):
        detail = {"type": "reasoning.encrypted", "id": item.get("id"), "data": item["encrypted_content"]}
        return {"reasoning_details": [{**detail, "format": FORMAT}]}
    if kind == "image_generation_call" and item.get("result"):
        url = f"data:image/{item.get('output_format') or 'png'};base64,{item['result']}"
        return {"images": [{"type": "image_url", "image_url": {"url": url}}]}
    if kind == "message":
        return _cited(item, text_before)
    return {} if kind in _SPOKEN else {"provider_blocks": [dict(item)]}


def is_item(block: Mapping[str, Any]) -> bool:
    """Whether a block that a client brings back is an item of this wire's: what other wires' own tools did has no id of
    its shape, or is called otherwise."""
    kind = str(block.get("type") or "")
    return "_" in str(block.get("id") or "") and not kind.endswith(("tool_use", "tool_result"))


def text_in(item: Mapping[str, Any], kind: str, member: str) -> str:
    """The text of an item's parts of one kind."""
    parts = item.get("content") or ()
    return "".join(part.get(member) or "" for part in parts if part.get("type") == kind)


def logprobs_in(item: Mapping[str, Any]) -> list[Any]:
    """The log probabilities of an item's text."""
    return [one for part in item.get("content") or () for one in part.get("logprobs") or ()]


def finish_of(response: Mapping[str, Any], *, has_calls: bool) -> str:
    """Why a response ended, as clients know it."""
    if response.get("status") == "incomplete":
        return _CUT.get((response.get("incomplete_details") or {}).get("reason") or "", "length")
    return "tool_calls" if has_calls else "stop"


def tier_of(response: Mapping[str, Any]) -> str | None:
    """The service tier that a response was made in."""
    return word_of(response.get("service_tier"))


def _cited(item: Mapping[str, Any], before: int) -> dict[str, Any]:
    told = []
    for part in item.get("content") or ():
        for one in part.get("annotations") or ():
            if one.get("type") == "url_citation":
                place = {name: (one.get(name) or 0) + before for name in ("start_index", "end_index")}
                cited = {**place, "url": one.get("url") or "", "title": one.get("title") or ""}
                told.append({"type": "url_citation", "url_citation": cited})
        before += len(part.get("text") or "")
    return {"annotations": told} if told else {}
