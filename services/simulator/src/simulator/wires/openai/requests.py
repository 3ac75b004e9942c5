"""Reads the body of a chat completion into a prompt, or refuses it as the provider would. Pure.

Only what an answer depends on is looked at and checked; every other member is accepted unread. The rule for prompt
tokens is ours and simple: 3 a call, 4 a message, one for every 4 bytes of text (begun ones count), 85 for every part
that is not text, and one for every 4 bytes of the tools' definitions.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from simulator.prompts import Prompt, Tool, ToolChoice
from simulator.refusals import Refusal
from simulator.wires.openai.rows import Row

TOKENS_A_CALL = 3
TOKENS_A_MESSAGE = 4
TOKENS_A_PART = 85
BYTES_A_TOKEN = 4

_REASONING_MODEL = re.compile(r"(?:o\d|gpt-5)")
_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_ABSENT = re.compile(r"missing required field `(\w+)`")


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str | None = None


class _Called(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Called] | None = None


class _Definition(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    type: str = "function"
    function: _Definition | None = None


class _Named(msgspec.Struct):
    type: str = "function"
    function: _Function | None = None


class _Schema(msgspec.Struct):
    name: str = ""
    schema: dict[str, Any] | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_Limit = Annotated[int, Meta(ge=1)]


class ChatBody(msgspec.Struct):
    """The members of a chat completion request that matter here."""

    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Named | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None


_DECODER = msgspec.json.Decoder(ChatBody)


def read_prompt(row: Row, body: bytes) -> Prompt:
    """The prompt in `body`. Raises Refusal 400 (of Mistral 422 where a member is wrong) as the provider says it."""
    chat = _decoded(row, body)
    if row.is_strict:
        _check_strictly(chat)
    question, has_tool_result = _last_words(chat.messages)
    named = (
        chat.tool_choice.function.name if isinstance(chat.tool_choice, _Named) and chat.tool_choice.function else None
    )
    return Prompt(
        provider=row.name,
        model=chat.model,
        conversation=_conversation(chat),
        question=question,
        prompt_tokens=_prompt_tokens(chat),
        has_tool_result=has_tool_result,
        token_limit=chat.max_completion_tokens or chat.max_tokens,
        choices=chat.n or 1,
        stops=(chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop or ()),
        tools=_tools(chat),
        tool_choice=_tool_choice(chat, named),
        named_tool=named,
        is_parallel=chat.parallel_tool_calls is not False,
        schema=_schema(chat.response_format),
        is_streamed=bool(chat.stream),
        wants_usage=bool(chat.stream and chat.stream_options and chat.stream_options.include_usage),
    )


def model_missing(model: str) -> Refusal:
    """What is said of a model that the provider does not have."""
    return Refusal(
        404,
        f"The model `{model}` does not exist, or this key has no access to it.",
        kind="invalid_request_error",
        code="model_not_found",
    )


def _decoded(row: Row, body: bytes) -> ChatBody:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(row, str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        message = "The body of the request could not be read as JSON."
        raise Refusal(400, message, kind="invalid_request_error") from None


def _invalid(row: Row, complaint: str) -> Refusal:
    """The refusal of a body that is JSON but not a chat completion request."""
    absent, place = _ABSENT.search(complaint), _PLACE.search(complaint)
    path = [part for part in (place[1] if place else "", absent[1] if absent else "") if part]
    param = ".".join(path) or None
    code = "missing_required_parameter" if absent else "invalid_type"
    message = f"Invalid request{f', at {param!r}' if param else ''}: {_PLACE.sub('', complaint)}."
    return Refusal(
        422 if row.errors == "mistral" else 400, message, kind="invalid_request_error", code=code, param=param
    )


def _check_strictly(chat: ChatBody) -> None:
    if chat.stream_options is not None and not chat.stream:
        raise _refused("'stream_options' is only allowed with 'stream'.", "stream_options", None)
    if chat.max_tokens is None:
        return
    if chat.max_completion_tokens is not None:
        message = "'max_tokens' and 'max_completion_tokens' cannot both be set."
        raise _refused(message, "max_tokens", "invalid_parameter_combination")
    if _REASONING_MODEL.match(chat.model):
        message = "Unsupported parameter: 'max_tokens' with this model; 'max_completion_tokens' takes its place."
        raise _refused(message, "max_tokens", "unsupported_parameter")


def _refused(message: str, param: str, code: str | None) -> Refusal:
    return Refusal(400, message, kind="invalid_request_error", code=code, param=param)


def _text(content: str | list[_Part] | None) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if part.text is not None) if content else ""


def _last_words(messages: list[_Message]) -> tuple[str, bool]:
    """The user's last message, and whether a tool's result came after everything."""
    for message in reversed(messages):
        if message.role == "user":
            return _text(message.content), messages[-1].role == "tool"
    return "", messages[-1].role == "tool"


def _conversation(chat: ChatBody) -> str:
    said = [f"{message.role}\1{_text(message.content)}" for message in chat.messages]
    return "\0".join([str(chat.seed or ""), *said])


def _prompt_tokens(chat: ChatBody) -> int:
    tokens = TOKENS_A_CALL
    for message in chat.messages:
        tokens += TOKENS_A_MESSAGE + _tokens(_text(message.content))
        if isinstance(message.content, list):
            tokens += TOKENS_A_PART * sum(part.text is None for part in message.content)
        for call in message.tool_calls or ():
            if call.function is not None:
                tokens += _tokens(call.function.name + (call.function.arguments or ""))
    if chat.tools:
        tokens += -(-len(msgspec.json.encode(chat.tools)) // BYTES_A_TOKEN)
    return tokens


def _tokens(text: str) -> int:
    length = len(text) if text.isascii() else len(text.encode())
    return -(-length // BYTES_A_TOKEN)


def _tools(chat: ChatBody) -> tuple[Tool, ...]:
    if not chat.tools:
        return ()
    return tuple(Tool(tool.function.name, tool.function.parameters or {}) for tool in chat.tools if tool.function)


def _tool_choice(chat: ChatBody, named: str | None) -> ToolChoice:
    if named is not None or chat.tool_choice in ("required", "any"):
        return "required"
    return "none" if chat.tool_choice == "none" else "auto"


def _schema(wanted: _Format | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type not in ("json_object", "json_schema"):
        return None
    return (wanted.json_schema.schema if wanted.json_schema else None) or {}
