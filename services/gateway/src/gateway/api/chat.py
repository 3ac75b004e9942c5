"""`POST /v1/chat/completions`: what a client asks for, read and checked. Pure.

Only what the gateway itself depends on is checked; members it does not know go through, because a gateway must not
refuse what a provider learned yesterday. Members stay the bytes they came in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeVar, cast

import msgspec
from common.providers.registry import Wire
from common.usage import Usage

from gateway.api.sizes import ABSENT, Said, Size, size_of_texts
from gateway.providers.counting import estimate_tokens
from gateway.providers.operations import Operation
from gateway.providers.wire import Members
from gateway.shapes import Refusal

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")
MAX_NAME = 256
_MAX_CHOICES = 128


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: msgspec.Raw = ABSENT
    input_audio: msgspec.Raw = ABSENT
    file: msgspec.Raw = ABSENT


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None
    tool_calls: msgspec.Raw = ABSENT


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
"""A model's, as a client may call it."""

_Tokens = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]


class _Body(msgspec.Struct):
    model: Name
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=_MAX_CHOICES)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[msgspec.Raw] | None = None
    metadata: dict[str, str] | None = None
    drop_params: bool | None = None


Shape = TypeVar("Shape")

_decode_body = msgspec.json.Decoder(_Body).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ChatRequest(msgspec.Struct, frozen=True):
    """A checked request: its members as they came, and what the gateway needs of them.

    `text_bytes` leaves out the bytes of the `attachments` (pictures) and of sound, which are bounded otherwise: sound by
    `added_tokens`, where what is told of tools stands, too. `is_open`: the provider may read more than is in the request.
    `said_bytes` tell how much is said, to estimate by (None: as much as is text).
    `may_drop`: whether a parameter that a provider does not know may be left out.
    `dialect`: the wire whose words `members` are; `headers`: header lines of the client's for a provider of that wire.
    `operation`: what is asked for, where that is not chat; then `inputs` are texts that may each be as long as the model
    allows, `units` the most that is counted otherwise than in tokens, and `likely` what it uses where nobody says.
    `lost`: names of what was asked in other words and is not among the members.
    """

    members: Members
    model: str
    streamed: bool
    wants_usage: bool
    output_tokens: int | None
    choices: int
    text_bytes: int
    attachments: int
    may_drop: bool = True
    dialect: Wire = "openai"
    headers: bytes = b""
    operation: Operation | None = None
    inputs: int = 1
    units: Mapping[str, int] | None = None
    likely: Usage | None = None
    lost: tuple[str, ...] = ()
    added_tokens: int = 0
    is_open: bool = False
    said_bytes: int | None = None


def parse_chat(body: bytes) -> ChatRequest:
    """Read a body; raises Refusal that names the field."""
    read, members = read_json(body, _decode_body)
    if read.max_tokens is not None and read.max_completion_tokens is not None:
        raise Refusal(
            "invalid_request", "max_tokens and max_completion_tokens are the same; give one", param="max_tokens"
        )
    size = _size(read, body, members)
    return ChatRequest(
        members=members,
        model=read.model,
        streamed=bool(read.stream),
        wants_usage=bool(read.stream_options and read.stream_options.include_usage),
        output_tokens=read.max_completion_tokens or read.max_tokens,
        choices=read.n or 1,
        text_bytes=size.text_bytes,
        attachments=size.pictures,
        may_drop=read.drop_params is not False,
        added_tokens=size.added_tokens,
        is_open=size.is_open,
        said_bytes=size.said_bytes,
    )


def one_answer(
    operation: Operation,
    members: Members,
    model: str,
    text_bytes: int,
    *,
    output_tokens: int = 0,
    attachments: int = 0,
    inputs: int = 1,
    units: Mapping[str, int] | None = None,
    likely: Usage | None = None,
    may_drop: bool = True,
    streamed: bool = False,
) -> ChatRequest:
    """The request of an operation beside chat. Where it is not said what it likely uses, that is its text."""
    return ChatRequest(
        members=members,
        model=model,
        streamed=streamed,
        wants_usage=False,
        output_tokens=output_tokens,
        choices=1,
        text_bytes=text_bytes,
        attachments=attachments,
        may_drop=may_drop,
        operation=operation,
        inputs=inputs,
        units=units,
        likely=likely or Usage(input_tokens=estimate_tokens(text_bytes, 0), estimated=True),
    )


def read_json(body: bytes, decode: Callable[[bytes], Shape]) -> tuple[Shape, Members]:
    """A body in its shape and as members; raises Refusal that names the field."""
    try:
        if not body.isascii():
            body.decode()
        return decode(body), _decode_members(body)
    except UnicodeDecodeError:
        raise Refusal("invalid_request", "the body is not valid UTF-8") from None
    except RecursionError:
        raise Refusal("invalid_request", "the body is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except msgspec.DecodeError as error:
        raise Refusal("invalid_request", f"the body is not valid JSON: {error}") from None


def invalid(message: str) -> Refusal:
    """A refusal: `Expected `int`, got `str` - at `$.messages[0].role`` → the words, with the path as `param`."""
    path = _PATH.search(message)
    missing = _MISSING.search(message)
    where = path.group("path") if path else ""
    if missing:
        where = f"{where}.{missing.group('name')}".lstrip(".")
    words = _PATH.sub("", message)
    return Refusal("invalid_request", f"{where}: {words}" if where else words, param=where or None)


def _size(read: _Body, body: bytes, members: Members) -> Size:
    texts = [message.content for message in read.messages if message.tool_calls is ABSENT]
    if not read.tools and len(texts) == len(read.messages) and list not in map(type, texts):
        plain = size_of_texts(cast(list[str | None], texts), body, members)
        if plain is not None:
            return plain
    said = Said()
    for message in read.messages:
        if isinstance(message.content, list):
            said.turn()
            for part in message.content:
                _measure(part, said)
        else:
            said.turn(message.content)
        if message.tool_calls is not ABSENT:
            said.raw(message.tool_calls)
    if read.tools:
        said.tools(read.tools)
    return said.size(body, members)


def _measure(part: _Part, said: Said) -> None:
    if part.text is not None:
        said.text(part.text)
    if part.image_url is not ABSENT:
        said.picture(part.image_url)
    if part.input_audio is not ABSENT:
        said.sound(part.input_audio)
    if part.file is not ABSENT:
        said.document()
