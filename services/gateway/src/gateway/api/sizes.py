"""How large a request is before anybody has counted it. Pure.

Bytes bound tokens, but for what is not text: pictures and sound are left out and bounded by themselves, and where the
provider may read what the request does not hold (pages of a document, what a search finds, files that it keeps) nothing in
the request bounds it. Beside the bound stands what is said alone, from which tokens are estimated where nobody reports any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from gateway.providers.wire import Members

ABSENT = msgspec.Raw(b"")

TOOLS_TOKENS = 1_024
"""At least what a provider tells its model of tools in general, beside the tools themselves (seen: up to 400)."""

_OWN_TOOL_TOKENS = 2_048
_TURN_BYTES = 16  # likely: about four tokens around each message
_SOUND_BYTES_PER_TOKEN = 24  # the slowest MP3 has 1,333 characters of base64 a second, the finest ear 32 tokens
_SOUND_TOKENS = 64
_SOUND_FORMATS = (b'"wav"', b'"mp3"')
_NOTHING = (b"null", b"[]", b"false")
_OPEN_MEMBERS = frozenset(
    {"web_search_options", "search_settings", "search_parameters", "plugins", "mcp_servers", "container", "models"}
)
"""Members by which a provider is told to fetch something itself, or to ask another model."""
_CLIENTS_OWN = ("bash_", "text_editor_", "computer_", "memory_", "local_shell", "apply_patch")
"""Tools that the provider describes and the client runs."""


class Size(NamedTuple):
    """A request's text in bytes and its pictures; tokens that are added for tools and sound; whether the provider may read
    more than that; and bytes that tell how much is said."""

    text_bytes: int
    pictures: int = 0
    added_tokens: int = 0
    is_open: bool = False
    said_bytes: int = 0


class _Tool(msgspec.Struct):
    type: str | None = None
    input_schema: msgspec.Raw = ABSENT


class Said:
    """Adds up what a request holds, part by part."""

    def __init__(self) -> None:
        self._said = 0
        self._left_out = 0
        self._pictures = 0
        self._added = 0
        self._is_open = False

    def turn(self, text: str | None = None) -> None:
        """A message, and its text where that is all of it."""
        self._said += _TURN_BYTES
        if text is not None:
            self.text(text)

    def text(self, text: str) -> None:
        """A text; only what is not ASCII is measured byte by byte."""
        self._said += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

    def raw(self, told: msgspec.Raw) -> None:
        """Something that is read as it stands."""
        self._said += len(bytes(told))

    def picture(self, told: msgspec.Raw) -> None:
        """A picture: whatever its bytes, its model makes so many tokens of it."""
        self._pictures += 1
        self._left_out += len(bytes(told))

    def sound(self, told: msgspec.Raw) -> None:
        """Sound of a format whose bytes say how long it can be; another is bounded by its model's context."""
        size = bytes(told)
        self._left_out += len(size)
        self._added += _SOUND_TOKENS + len(size) // _SOUND_BYTES_PER_TOKEN
        self._is_open = self._is_open or not any(known in size for known in _SOUND_FORMATS)

    def document(self) -> None:
        """A document whose pages are pictures, too, or that the provider fetches."""
        self._is_open = True

    def result(self, told: msgspec.Raw) -> None:
        """What a tool of the client's gave: text, or blocks of which some may be pictures and documents."""
        body = bytes(told)
        self._said += len(body)
        self._pictures += body.count(b'"image"')
        self._is_open = self._is_open or b'"document"' in body

    def tools(self, tools: Iterable[msgspec.Raw] | None) -> None:
        """Tools, each as it came."""
        for tool in tools or ():
            self.raw(tool)
            try:
                told = _decode_tool(tool)
            except msgspec.DecodeError:  # no tool that anybody knows
                told = _Tool("unknown")
            self.tool("custom" if bytes(told.input_schema) else told.type)

    def tool(self, kind: str | None) -> None:
        """A tool of a type: those that the provider runs itself read what they like."""
        self._added = max(self._added, TOOLS_TOKENS)
        if kind in (None, "function", "custom"):
            return
        if kind is not None and kind.startswith(_CLIENTS_OWN):
            self._added += _OWN_TOOL_TOKENS
        else:
            self._is_open = True

    def size(self, body: bytes, members: Members) -> Size:
        """Of this body."""
        for name in members.keys() & _OPEN_MEMBERS:
            self._is_open = self._is_open or bytes(members[name]) not in _NOTHING
        return Size(len(body) - self._left_out, self._pictures, self._added, self._is_open, self._said)


_decode_tool = msgspec.json.Decoder(_Tool).decode


def size_of_texts(texts: Iterable[str | None], body: bytes, members: Members) -> Size | None:
    """Of a body whose messages are these texts and nothing else, which nearly all are; None where a provider is told to
    fetch something."""
    if not _OPEN_MEMBERS.isdisjoint(members):
        return None
    said = 0
    for text in texts:
        said += _TURN_BYTES
        if text:
            said += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return Size(len(body), said_bytes=said)


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode


def texts_of(members: Members) -> Iterator[str]:
    """The texts of a chat's messages, each as its model reads it: by itself. None where there are no messages, or of
    another shape."""
    try:
        messages = _decode_messages(members["messages"])
    except (KeyError, msgspec.DecodeError):
        return
    for message in messages:
        parts = [_Part(message.content)] if isinstance(message.content, str) else message.content or ()
        yield from (part.text for part in parts if part.text)
