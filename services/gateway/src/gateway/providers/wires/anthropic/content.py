"""What was said, from chat messages to the `anthropic` wire's turns.

System messages become the system prompt; results of tools and what the user says after them become one turn, as do all
neighbours of one role. Blocks that the client got in `reasoning_details` and `provider_blocks` go back as they came.
Content that Messages has no word for is refused, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.providers.chat import arguments_of, inlined, parts_of, text_of
from gateway.providers.errors import untranslatable
from gateway.providers.wires.anthropic.blocks import FORMAT

Block = dict[str, Any]

_OPENAIS = re.compile(r"_call(_output)?$|^mcp_(list|approval)_")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]")
_OWN_PARTS = frozenset({"image", "document", "search_result", "container_upload", "thinking", "redacted_thinking"})
"""Parts in the provider's own words, which clients that know them may use."""
_ROLES = {"user": "user", "assistant": "assistant", "tool": "user"}


def turns(messages: list[dict[str, Any]]) -> tuple[list[Block], list[dict[str, Any]]]:
    """The system prompt's blocks, and the turns. Raises ProviderFailed for content without a word."""
    system: list[Block] = []
    said: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if message["role"] in ("system", "developer"):
            system += _marked(message, [_text(part, where) for part in parts_of(message.get("content"), where)])
            continue
        role, blocks = _ROLES[message["role"]], _marked(message, list(_blocks(message, where)))
        if said and said[-1]["role"] == role:
            said[-1]["content"] += blocks
        elif blocks:
            said.append({"role": role, "content": blocks})
    return system, _without_trailing_space(said)


def thinks_in_last_turn(said: list[dict[str, Any]]) -> bool:
    """Whether a turn that went on with tools brings back the thinking it began with: manual thinking insists on it."""
    if not said or said[-1]["role"] != "user" or not any(one["type"] == "tool_result" for one in said[-1]["content"]):
        return True
    asked = said[-2]["content"] if len(said) > 1 else []
    return bool(asked) and asked[0]["type"] in ("thinking", "redacted_thinking")


def _blocks(message: dict[str, Any], where: str) -> Iterator[Block]:
    if message["role"] == "tool":
        yield _tool_result(message, where)
        return
    if message["role"] == "assistant":
        yield from _brought_back(message)
    for part in parts_of(message.get("content"), where):
        yield _part(part, where)
    if message.get("refusal") and not message.get("content"):
        yield {"type": "text", "text": message["refusal"]}
    if message.get("audio"):
        raise untranslatable("Anthropic has no audio", f"{where}.audio")
    for call in message.get("tool_calls") or ():
        yield _tool_use(call, where)


def _brought_back(message: dict[str, Any]) -> Iterator[Block]:
    """Thinking with its signature, and what Anthropic's own tools did."""
    for detail in message.get("reasoning_details") or ():
        if detail.get("format") != FORMAT:
            continue
        if detail.get("type") == "reasoning.encrypted":
            yield {"type": "redacted_thinking", "data": detail.get("data") or ""}
        elif detail.get("signature"):
            yield {"type": "thinking", "thinking": detail.get("text") or "", "signature": detail["signature"]}
    yield from (block for block in message.get("provider_blocks") or () if _is_own(block.get("type")))


def _is_own(kind: Any) -> bool:
    """Whether a block of this type is Anthropic's: parts of Google's have none, and OpenAI's items are calls and lists."""
    return isinstance(kind, str) and kind != "text" and _OPENAIS.search(kind) is None


def _part(part: dict[str, Any], where: str) -> Block:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        return _text(part, where)
    if kind == "image_url":
        return _cached(part, {"type": "image", "source": _source(part["image_url"]["url"])})
    if kind == "file":
        return _cached(part, _document(part["file"], where))
    if kind in _OWN_PARTS:
        return part
    raise untranslatable(f"Anthropic has no word for content of type {kind}", f"{where}.content")


def _text(part: dict[str, Any], where: str) -> Block:
    text = part.get("text") if part.get("type") == "text" else part.get("refusal")
    if not isinstance(text, str):
        raise untranslatable("the system prompt is text alone", f"{where}.content")
    return _cached(part, {"type": "text", "text": text})


def _cached(part: dict[str, Any], block: Block) -> Block:
    """The block with the part's prompt-cache marker."""
    return {**block, "cache_control": part["cache_control"]} if part.get("cache_control") else block


def _marked(message: dict[str, Any], blocks: list[Block]) -> list[Block]:
    """The blocks of a message; a prompt-cache marker on the whole message goes to its last block."""
    if message.get("cache_control") and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": message["cache_control"]}
    return blocks


def _source(url: str) -> dict[str, str]:
    inline = inlined(url)
    if inline is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": inline[0], "data": inline[1]}


def _document(file: dict[str, Any], where: str) -> Block:
    title = {"title": file["filename"]} if file.get("filename") else {}
    if file.get("file_id"):
        return {"type": "document", "source": {"type": "file", "file_id": file["file_id"]}, **title}
    given = file.get("file_data")
    if not isinstance(given, str) or not given:
        raise untranslatable("a file needs file_data or file_id", f"{where}.content")
    is_address = given.startswith(("data:", "https://", "http://"))
    return {
        "type": "document",
        "source": _source(given if is_address else f"data:application/pdf;base64,{given}"),
        **title,
    }


def _tool_use(call: dict[str, Any], where: str) -> Block:
    if call.get("type", "function") != "function":
        raise untranslatable(f"Anthropic has no word for a call of type {call['type']}", f"{where}.tool_calls")
    name = call["function"]["name"]
    return _cached(call, {"type": "tool_use", "id": _id(call["id"]), "name": name, "input": arguments_of(call)})


def _tool_result(message: dict[str, Any], where: str) -> Block:
    content = message.get("content")
    told: Any = content if isinstance(content, str) else [_part(part, where) for part in parts_of(content, where)]
    result = {"type": "tool_result", "tool_use_id": _id(message["tool_call_id"]), "content": told}
    return {**result, "is_error": True} if message.get("is_error") else result


def _id(call_id: str) -> str:
    """A call's id in the characters that Messages allows; the same for a call and its result."""
    return _NOT_IN_ID.sub("_", call_id)


def _without_trailing_space(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A last turn of the assistant is gone on with, and may not end in space."""
    if said and said[-1]["role"] == "assistant" and said[-1]["content"][-1]["type"] == "text":
        last = said[-1]["content"][-1]
        said[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}
        if not text_of([said[-1]["content"][-1]]):
            said[-1]["content"].pop()
    return [turn for turn in said if turn["content"]]
