"""`POST /v1/responses`: what a client asks for, read and checked. Pure.

As at every door only what the gateway itself depends on is checked. What would outlive the call, or cost something after
it, is refused: background work, and conversations and prompts that are kept in an account at OpenAI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec

from gateway.api.chat import ChatRequest, invalid, read_json
from gateway.api.responses.translation import as_chat
from gateway.api.sizes import Said, Size
from gateway.providers.errors import ProviderFailed
from gateway.providers.operations import COMPACTION
from gateway.providers.wire import Members
from gateway.shapes import Refusal

_ABSENT = msgspec.Raw(b"")
_NULL = (b"", b"null")
_PICTURE, _FILE, _REFERENCE, _MORE_TOOLS = "input_image", "input_file", "item_reference", "additional_tools"
_ELSEWHERE = ("background", "conversation", "prompt")
_MOST_ITEMS = 4096
_COMPACTED_TOKENS = 32_768
"""More than a conversation is compacted to."""


class _Part(msgspec.Struct):
    type: str = ""
    image_url: msgspec.Raw = _ABSENT
    file_data: msgspec.Raw = _ABSENT


class _Item(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: str | list[_Part] | None = None
    output: msgspec.Raw = _ABSENT


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None


class _Body(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    input: str | Annotated[list[_Item], msgspec.Meta(max_length=_MOST_ITEMS)] | None = None
    stream: bool | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] | None = None
    previous_response_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    store: bool | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None
    tools: list[_Tool] | None = None
    text: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    parallel_tool_calls: bool | None = None
    drop_params: bool | None = None


_decode_shape = msgspec.json.Decoder(_Body).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _decode_body(body: bytes) -> _Body:
    """All of it can be read, too, since most of it is said again: in the response, and where that is stored."""
    msgspec.json.decode(body)
    return _decode_shape(body)


@dataclass(frozen=True, slots=True)
class ResponsesAsked:
    """A checked request. `previous` is the response that it goes on from, `references` the ids of items that it names
    instead of sending them, `is_stored` whether its answer is to be kept for a next turn."""

    request: ChatRequest
    previous: str | None
    references: tuple[str, ...]
    is_stored: bool

    @property
    def members(self) -> Members:
        """The members of the body, as they came."""
        return self.request.members

    def items(self) -> list[msgspec.Raw]:
        """The input as items, each in its bytes."""
        given = self.members.get("input", _ABSENT)
        if bytes(given) in _NULL:
            return []
        if bytes(given)[:1] == b'"':
            return [msgspec.Raw(b'{"type":"message","role":"user","content":%b}' % bytes(given))]
        return _decode_items(given)

    def with_items(self, items: Sequence[bytes]) -> ResponsesAsked:
        """The same request with all of its input written out: nothing kept is named any more."""
        told = b"[" + b",".join(items) + b"]"
        members = {name: value for name, value in self.members.items() if name != "previous_response_id"}
        members["input"] = msgspec.Raw(told)
        count, size = attached(_read_items(members["input"]))
        before = self.members.get("input", _ABSENT)
        told_before = len(bytes(before)) - attached(_read_items(before))[1]
        length = self.request.text_bytes - told_before + len(told) - size
        is_open = self.request.is_open or _has_files(_read_items(members["input"]))
        request = msgspec.structs.replace(
            self.request, members=members, text_bytes=length, attachments=count, is_open=is_open
        )
        return replace(self, request=request, previous=None, references=())

    def to_compact(self) -> ResponsesAsked:
        """The same request, asking for its conversation made short."""
        request = msgspec.structs.replace(
            self.request, operation=COMPACTION, dialect="openai", streamed=False, output_tokens=_COMPACTED_TOKENS
        )
        return replace(self, request=request)

    def after(self, tokens: int | None) -> ResponsesAsked:
        """The same request after conversations of so many tokens (None: nobody knows) that their provider keeps."""
        if tokens is None:
            return replace(self, request=msgspec.structs.replace(self.request, is_open=True))
        added = self.request.added_tokens + tokens
        return replace(self, request=msgspec.structs.replace(self.request, added_tokens=added))


def parse_responses(body: bytes, *, is_counted_only: bool = False) -> ResponsesAsked:
    """Read a body; raises Refusal that names the field. Where tokens are only counted there may be no input."""
    read, members = read_json(body, _decode_body)
    for name in _ELSEWHERE:
        if getattr(read, name):
            raise Refusal("invalid_request", f"{name} is not supported here: send the whole input", param=name)
    if read.input is None and read.previous_response_id is None and not is_counted_only:
        raise invalid("Object missing required field `input`")
    items = read.input if isinstance(read.input, list) else []
    count, size = attached(items)
    added = _size(read, items, body, members)
    request = ChatRequest(
        members=members,
        model=read.model,
        streamed=bool(read.stream),
        wants_usage=True,
        output_tokens=read.max_output_tokens,
        choices=1,
        text_bytes=len(body) - size,
        attachments=count,
        may_drop=read.drop_params is not False,
        dialect="responses",
        added_tokens=added.added_tokens,
        is_open=added.is_open,
    )
    references = tuple(item.id for item in items if item.id and (item.type == _REFERENCE or _is_reference(item)))
    return ResponsesAsked(request, read.previous_response_id, references, read.store is not False)


def parse_chat_from_responses(body: bytes) -> ChatRequest | None:
    """A Responses body that was sent to the door of chat, as Cursor does, in the words of chat; None when it is none.
    Raises Refusal for one that chat has no word for."""
    try:
        asked = parse_responses(body)
    except Refusal as refusal:
        if refusal.param == "input":
            return None
        raise
    if asked.previous is not None or asked.references:
        raise Refusal("invalid_request", "nothing is kept between calls of this URL", param="previous_response_id")
    try:
        members, lost = as_chat(asked.members)
    except ProviderFailed as failed:
        raise Refusal("invalid_request", failed.message, param=failed.param) from None
    options = members.get("stream_options")
    shown = msgspec.json.decode(options) if options is not None else {}
    wants_usage = bool(isinstance(shown, dict) and shown.get("include_usage"))
    return msgspec.structs.replace(asked.request, members=members, lost=lost, dialect="openai", wants_usage=wants_usage)


def attached(items: Sequence[_Item]) -> tuple[int, int]:
    """How many pictures and files there are, and the bytes of the pictures (a file's own bytes bound its text)."""
    count = size = 0
    for part in _parts(items):
        if part.type in (_PICTURE, _FILE):
            count += 1
            size += len(bytes(part.image_url))
    return count, size


def _size(read: _Body, items: Sequence[_Item], body: bytes, members: Members) -> Size:
    """What the provider adds: for tools, and what it reads of files. Tools that come as items may be any."""
    said = Said()
    for tool in read.tools or ():
        said.tool(tool.type)
    if _has_files(items) or any(item.type == _MORE_TOOLS for item in items):
        said.document()
    return said.size(body, members)


def _has_files(items: Sequence[_Item]) -> bool:
    return any(part.type == _FILE for part in _parts(items))


def _parts(items: Sequence[_Item]) -> Iterator[_Part]:
    for item in items:
        if isinstance(item.content, list):
            yield from item.content
        if bytes(item.output)[:1] == b"[":
            try:
                yield from _decode_parts(item.output)
            except (ValueError, RecursionError):
                continue  # the output of a tool that the gateway does not know: its bytes count as text


def _read_items(given: msgspec.Raw) -> list[_Item]:
    return msgspec.json.decode(given, type=list[_Item]) if bytes(given)[:1] == b"[" else []


def _is_reference(item: _Item) -> bool:
    """`{"id": …}` and nothing else means the same."""
    return item.type is None and item.role is None and item.content is None
