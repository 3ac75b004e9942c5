"""What was said, in Bedrock's words: messages of two roles by turns, each of them blocks, and system texts apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from gateway.providers.chat import arguments_of, inlined, parts_of
from gateway.providers.errors import untranslatable
from gateway.providers.wires.bedrock.blocks import format_of

_DOCUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "application/pdf": "pdf",
        "text/csv": "csv",
        "application/msword": "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.ms-excel": "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "text/html": "html",
        "text/plain": "txt",
        "text/markdown": "md",
    }
)
_PICTURES: Mapping[str, str] = MappingProxyType(
    {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
)
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")
_SPACES = re.compile(r"\s+")


def conversation(messages: list[dict[str, Any]], model: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """System blocks and turns; messages of one role that follow each other are one turn, so that the results of tools
    called at once come together."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if message["role"] in ("system", "developer"):
            system += _said(message.get("content"), where)
            continue
        role = "assistant" if message["role"] == "assistant" else "user"
        blocks = list(_blocks(message, where, model))
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return system, turns


def cache_point(marked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What stands behind something that is marked to be cached."""
    marker = marked.get("cache_control")
    if not isinstance(marker, dict):
        return []
    kept = {"ttl": marker["ttl"]} if marker.get("ttl") == "1h" else {}
    return [{"cachePoint": {"type": "default", **kept}}]


def _blocks(message: dict[str, Any], where: str, model: str) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if message["role"] == "tool":
        told = list(_said(content, where))
        yield {"toolResult": {"toolUseId": message.get("tool_call_id") or "", "content": told, "status": "success"}}
        return
    if message["role"] == "assistant":
        yield from _thoughts(message.get("reasoning_details"), model)
        if message.get("refusal") and not content:
            content = message["refusal"]
    yield from _said(content, where)
    for call in message.get("tool_calls") or ():
        name = (call.get("function") or {}).get("name")
        if not name:
            raise untranslatable("Bedrock calls functions only", f"{where}.tool_calls")
        yield {"toolUse": {"toolUseId": call.get("id") or "", "name": name, "input": arguments_of(call)}}


def _thoughts(details: Any, model: str) -> Iterator[dict[str, Any]]:
    """Thinking goes back to the maker whose signature it bears, and to nobody else."""
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict) or detail.get("format") != format_of(model):
            continue
        if detail.get("type") == "reasoning.encrypted":
            yield {"reasoningContent": {"redactedContent": detail.get("data") or ""}}
        elif detail.get("type") == "reasoning.text" and detail.get("signature"):
            thought = {"text": detail.get("text") or "", "signature": detail["signature"]}
            yield {"reasoningContent": {"reasoningText": thought}}


def _said(content: Any, where: str) -> Iterator[dict[str, Any]]:
    for number, part in enumerate(parts_of(content, where)):
        yield _block(part, f"{where}.content[{number}]", number)
        yield from cache_point(part)


def _block(part: dict[str, Any], where: str, number: int) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"text": part["text"]}
    if kind == "refusal" and part.get("refusal"):
        return {"text": part["refusal"]}
    if kind == "image_url":
        return _picture(part, where)
    if kind == "file":
        return _document(part.get("file") or {}, where, number)
    raise untranslatable(f"Bedrock takes no content of type {kind}", where)


def _picture(part: dict[str, Any], where: str) -> dict[str, Any]:
    shown = part.get("image_url")
    url = shown.get("url") if isinstance(shown, dict) else shown
    found = inlined(url) if isinstance(url, str) else None
    if found is None:
        raise untranslatable("Bedrock takes pictures as data: URLs only", where)
    if found[0] not in _PICTURES:
        raise untranslatable(f"Bedrock takes no pictures of type {found[0]}", where)
    return {"image": {"format": _PICTURES[found[0]], "source": {"bytes": found[1]}}}


def _document(file: dict[str, Any], where: str, number: int) -> dict[str, Any]:
    data = file.get("file_data")
    found = inlined(data) if isinstance(data, str) else None
    if found is None:
        raise untranslatable("Bedrock takes files as data: URLs only", where)
    if found[0] not in _DOCUMENTS:
        raise untranslatable(f"Bedrock takes no files of type {found[0]}", where)
    stem = str(file.get("filename") or "").rpartition(".")[0] or "document"
    name = _SPACES.sub(" ", _NOT_IN_A_NAME.sub(" ", stem)).strip()[:100] or "document"
    return {"document": {"name": f"{name} {number + 1}", "format": _DOCUMENTS[found[0]], "source": {"bytes": found[1]}}}
