"""`POST /v1/messages`: what a client of Anthropic's API asks for, read, checked, and put into the words of chat. Pure.

A provider that speaks Anthropic's wire gets the client's own members (`ChatRequest.members`); for every other one
`as_chat` says the same in chat's words, and names what it has none for. What was thought is left out then: signatures mean
nothing to another provider. Other content without a word is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from gateway.api.chat import ChatRequest, invalid, read_json
from gateway.api.sizes import ABSENT, Said, Size
from gateway.providers.errors import untranslatable
from gateway.providers.wire import Members

_KEPT = ("temperature", "top_p")
_SERVICE_TIERS = {"auto": "auto", "standard_only": "default"}
_MODES = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS = ((2048, "low"), (8192, "medium"))
"""Up to how many tokens of thinking is which effort; more is high."""
_THOUGHT = ("thinking", "redacted_thinking")


class _Block(msgspec.Struct):
    type: str
    text: msgspec.Raw = ABSENT
    source: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT


class _Source(msgspec.Struct):
    type: str | None = None


class _Turn(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Body(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    messages: Annotated[list[_Turn], msgspec.Meta(min_length=1)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] | None = None
    stream: bool | None = None
    drop_params: bool | None = None
    system: msgspec.Raw = ABSENT
    tools: list[msgspec.Raw] | None = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_source = msgspec.json.Decoder(_Source).decode


def parse_messages(body: bytes, headers: bytes = b"", *, is_counted_only: bool = False) -> ChatRequest:
    """Read a body; raises Refusal that names the field. `headers`: header lines of the client's that go to a provider
    of the same wire. Where tokens are only counted, `max_tokens` may be absent."""
    read, members = read_json(body, _decode_body)
    if read.max_tokens is None and not is_counted_only:
        raise invalid("Object missing required field `max_tokens`")
    size = _size(read, body, members)
    return ChatRequest(
        members=members,
        model=read.model,
        streamed=bool(read.stream),
        wants_usage=True,
        output_tokens=read.max_tokens,
        choices=1,
        text_bytes=size.text_bytes,
        attachments=size.pictures,
        may_drop=read.drop_params is not False,
        dialect="anthropic",
        headers=headers,
        added_tokens=size.added_tokens,
        is_open=size.is_open,
        said_bytes=size.said_bytes,
    )


def _size(read: _Body, body: bytes, members: Members) -> Size:
    said = Said()
    said.raw(read.system)
    for turn in read.messages:
        if isinstance(turn.content, str):
            said.turn(turn.content)
            continue
        said.turn()
        for block in turn.content:
            _measure(block, said)
    said.tools(read.tools)
    return said.size(body, members)


def _measure(block: _Block, said: Said) -> None:
    said.raw(block.text)
    said.raw(block.input)
    if block.type == "image":
        said.picture(block.source)
    elif block.source is not ABSENT and not _is_text(block.source):
        said.document()
    if block.content is not ABSENT:
        said.result(block.content)


def _is_text(source: msgspec.Raw) -> bool:
    """Whether a document is plain text: then it is as long as it is."""
    try:
        return _decode_source(source).type == "text"
    except msgspec.DecodeError:
        return False


def as_chat(members: Members) -> tuple[Members, tuple[str, ...]]:
    """The same request in the words of chat, and the names of what chat has none for. Raises ProviderFailed."""
    try:
        asked = {name: msgspec.json.decode(value) for name, value in members.items()}
        said = _translated(asked)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise untranslatable("the messages or tools are not as the API describes them", "messages") from error
    encoded = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in said.items() if value is not None}
    left = tuple(name for name, value in asked.items() if value is not None and name not in ("drop_params",))
    return encoded, left


def _translated(asked: dict[str, Any]) -> dict[str, Any]:
    """Takes what has a word out of `asked`."""
    said: dict[str, Any] = {name: asked.pop(name) for name in ("model", "stream", *_KEPT) if name in asked}
    asked.pop("max_tokens", None)
    said["messages"] = [*_system(asked.pop("system", None)), *_messages(asked.pop("messages"))]
    said["stop"] = asked.pop("stop_sequences", None) or None
    said["service_tier"] = _SERVICE_TIERS.get(asked.pop("service_tier", None) or "")
    caller = (asked.pop("metadata", None) or {}).get("user_id")
    said["safety_identifier"] = caller
    if asked.get("mcp_servers") or asked.get("container"):
        raise untranslatable("only Anthropic itself can reach its servers and containers", "mcp_servers")
    _tell_tools(said, asked)
    _tell_effort(said, asked.pop("thinking", None) or {}, asked.pop("output_config", None) or {})
    return said


def _system(system: Any) -> list[dict[str, Any]]:
    if not system:
        return []
    return [{"role": "system", "content": system if isinstance(system, str) else [_text(block) for block in system]}]


def _messages(turns: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for turn in turns:
        content = turn["content"]
        if isinstance(content, str):
            yield {"role": turn["role"], "content": content}
        elif turn["role"] == "assistant":
            yield _answered(content)
        else:
            yield from _said(turn["role"], content)


def _said(role: str, blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Results of tools, each a message of its own, and then what was said."""
    for block in blocks:
        if block["type"] == "tool_result":
            yield _result(block)
    if parts := [_part(block) for block in blocks if block["type"] != "tool_result"]:
        yield {"role": role, "content": parts}


def _answered(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    others = [block for block in blocks if block["type"] not in ("tool_use", *_THOUGHT)]
    if others:
        message["content"] = [_text(block) for block in others]
    if calls := [_call(block) for block in blocks if block["type"] == "tool_use"]:
        message["tool_calls"] = calls
    return message


def _call(block: dict[str, Any]) -> dict[str, Any]:
    arguments = msgspec.json.encode(block["input"]).decode()
    return {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}


def _result(block: dict[str, Any]) -> dict[str, Any]:
    content = block.get("content") or ""
    told = content if isinstance(content, str) else [_part(part) for part in content]
    return {"role": "tool", "tool_call_id": block["tool_use_id"], "content": told}


def _text(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] != "text":
        raise untranslatable(f"only Anthropic itself has a word for a block of type {block['type']}", "messages")
    return {"type": "text", "text": block["text"]}


def _part(block: dict[str, Any]) -> dict[str, Any]:
    kind, source = block["type"], block.get("source") or {}
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": _address(source)}}
    if kind == "document" and source.get("type") == "text":
        return {"type": "text", "text": source["data"]}
    if kind == "document":
        title = block.get("title") or "document.pdf"
        return {"type": "file", "file": {"filename": title, "file_data": _address(source)}}
    return _text(block)


def _address(source: dict[str, Any]) -> str:
    if source["type"] == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    if source["type"] == "url":
        return str(source["url"])
    raise untranslatable("files that are kept at Anthropic are known there alone", "messages")


def _tell_tools(said: dict[str, Any], asked: dict[str, Any]) -> None:
    tools, choice = asked.pop("tools", None), asked.pop("tool_choice", None) or {}
    if not tools:
        return
    said["tools"] = [_tool(tool) for tool in tools]
    if choice.get("type") == "tool":
        said["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif choice:
        said["tool_choice"] = _MODES[choice["type"]]
    if choice.get("disable_parallel_tool_use"):
        said["parallel_tool_calls"] = False


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if "input_schema" not in tool:
        raise untranslatable(f"only Anthropic itself has the tool {tool.get('type')}", "tools")
    function: dict[str, Any] = {"name": tool["name"], "parameters": tool["input_schema"]}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": {**function, "strict": True} if tool.get("strict") else function}


def _tell_effort(said: dict[str, Any], thinking: dict[str, Any], output: dict[str, Any]) -> None:
    if thinking.get("type") == "enabled":
        budget = thinking["budget_tokens"]
        said["reasoning_effort"] = next((effort for most, effort in _EFFORTS if budget <= most), "high")
    elif output.get("effort") and thinking.get("type") != "disabled":
        said["reasoning_effort"] = output["effort"]
    wanted = output.get("format")
    if wanted:
        said["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": wanted["schema"], "strict": True},
        }
