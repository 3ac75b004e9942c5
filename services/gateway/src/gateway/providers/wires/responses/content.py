"""What was said, from chat messages to the input items of the `responses` wire.

Items that the client got in `reasoning_details` and `provider_blocks` go back as they came. Content that Responses has
no word for is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.providers.chat import parts_of
from gateway.providers.errors import untranslatable
from gateway.providers.wires.responses.items import FORMAT, is_item

Item = dict[str, Any]


def items_of(messages: list[dict[str, Any]]) -> list[Item]:
    """The input items. Raises ProviderFailed for content without a word."""
    custom: set[str] = set()
    return [item for number, one in enumerate(messages) for item in _items(one, f"messages[{number}]", custom)]


def _items(message: dict[str, Any], where: str, custom: set[str]) -> Iterator[Item]:
    role = message["role"]
    if role == "tool":
        yield _result(message, where, custom)
    elif role == "assistant":
        yield from _turn(message, where, custom)
    else:
        told = [_part(part, where) for part in parts_of(message.get("content"), where)]
        yield {"type": "message", "role": role, "content": told}


def _turn(message: dict[str, Any], where: str, custom: set[str]) -> Iterator[Item]:
    """What the assistant did: thinking that only OpenAI can read, its own tools' items, text, calls."""
    for detail in message.get("reasoning_details") or ():
        if detail.get("format") == FORMAT and detail.get("data"):
            known = {"id": detail["id"]} if detail.get("id") else {}
            yield {"type": "reasoning", **known, "summary": [], "encrypted_content": detail["data"]}
    yield from (block for block in message.get("provider_blocks") or () if is_item(block))
    if message.get("audio") or message.get("images"):
        raise untranslatable("what the assistant drew or spoke cannot be sent back to OpenAI", where)
    told = [_said(part, where) for part in parts_of(message.get("content"), where)]
    if message.get("refusal") and not told:
        told = [{"type": "refusal", "refusal": message["refusal"]}]
    if told:
        yield {"type": "message", "role": "assistant", "content": told}
    for call in message.get("tool_calls") or ():
        yield _call(call, custom)


def _call(call: dict[str, Any], custom: set[str]) -> Item:
    if call.get("type") == "custom":
        custom.add(call["id"])
        return {"type": "custom_tool_call", "call_id": call["id"], **call["custom"]}
    function = call["function"]
    arguments = function.get("arguments") or "{}"
    return {"type": "function_call", "call_id": call["id"], "name": function["name"], "arguments": arguments}


def _result(message: dict[str, Any], where: str, custom: set[str]) -> Item:
    call_id, content = message["tool_call_id"], message.get("content")
    told = content if isinstance(content, str) else [_part(part, where) for part in parts_of(content, where)]
    kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": told}


def _said(part: dict[str, Any], where: str) -> dict[str, Any]:
    if part.get("type") == "refusal":
        return part
    if part.get("type") != "text":
        raise untranslatable(f"the assistant says no {part.get('type')} to OpenAI", f"{where}.content")
    return {"type": "output_text", "text": part["text"], "annotations": []}


def _part(part: dict[str, Any], where: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part["text"]}
    if kind == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
    if kind == "file":
        return {"type": "input_file", **_file(part["file"])}
    raise untranslatable(f"Responses has no word for content of type {kind}", f"{where}.content")


def _file(file: dict[str, Any]) -> dict[str, Any]:
    if file.get("file_id"):
        return {"file_id": file["file_id"]}
    given = file["file_data"]
    if given.startswith(("https://", "http://")):
        return {"file_url": given}
    return {"filename": file.get("filename") or "document.pdf", "file_data": given}
