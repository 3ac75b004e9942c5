"""Reads the body of a Cohere chat into a prompt, or refuses it as Cohere would. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from simulator.prompts import Prompt, Tool, ToolChoice
from simulator.refusals import Refusal
from simulator.turns import Turn, prompt_of


class _Part(msgspec.Struct):
    type: Literal["text", "image_url", "document", "thinking"]
    text: str | None = None
    thinking: str | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str = ""
    parameters: dict[str, Any] | None = None


class _Called(msgspec.Struct):
    id: str
    type: Literal["function"]
    function: _Function


class _Tool(msgspec.Struct):
    type: Literal["function"]
    function: _Function


class _Message(msgspec.Struct):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[_Part] | None = None
    tool_plan: str | None = None
    tool_calls: list[_Called] | None = None
    tool_call_id: str | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object"]
    json_schema: dict[str, Any] | None = None


_Share = Annotated[float, Meta(ge=0, le=1)]


class ChatBody(msgspec.Struct, forbid_unknown_fields=True):
    """A request; Cohere refuses members that it does not know."""

    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool = False
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=5)] | None = None
    temperature: float | None = None
    seed: int | None = None
    frequency_penalty: _Share | None = None
    presence_penalty: _Share | None = None
    k: int | None = None
    p: _Share | None = None
    tools: list[_Tool] | None = None
    strict_tools: bool | None = None
    tool_choice: Literal["REQUIRED", "NONE"] | None = None
    response_format: _Format | None = None
    thinking: dict[str, Any] | None = None
    documents: list[Any] | None = None
    citation_options: dict[str, Any] | None = None
    safety_mode: str | None = None
    logprobs: bool | None = None
    priority: int | None = None


_DECODER = msgspec.json.Decoder(ChatBody)
_CHOICES: dict[str | None, ToolChoice] = {"REQUIRED": "required", "NONE": "none", None: "auto"}


def read_prompt(body: bytes) -> Prompt:
    """The prompt in `body`. Raises Refusal."""
    try:
        chat = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(422, f"invalid request: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Refusal(400, "invalid request: the body is not JSON") from None
    _check_results(chat.messages)
    schema = chat.response_format
    return prompt_of(
        "cohere",
        chat.model,
        [_turn(message) for message in chat.messages],
        tuple(Tool(tool.function.name, tool.function.parameters or {}) for tool in chat.tools or ()),
        chat.tools,
        token_limit=chat.max_tokens,
        stops=tuple(chat.stop_sequences or ()),
        tool_choice=_CHOICES[chat.tool_choice],
        schema=(schema.json_schema or {}) if schema is not None and schema.type == "json_object" else None,
        is_streamed=chat.stream,
        wants_usage=True,
    )


def _check_results(messages: list[_Message]) -> None:
    """Every result answers a call that was made before it."""
    called: set[str] = set()
    for message in messages:
        called.update(call.id for call in message.tool_calls or ())
        if message.role == "tool" and message.tool_call_id not in called:
            raise Refusal(400, f"invalid request: tool_call_id {message.tool_call_id!r} not found in any tool call")


def _turn(message: _Message) -> Turn:
    parts = message.content if isinstance(message.content, list) else []
    text = message.content if isinstance(message.content, str) else "\n".join(part.text or "" for part in parts)
    calls = tuple(call.function.name + call.function.arguments for call in message.tool_calls or ())
    others = sum(part.type == "image_url" for part in parts)
    return Turn(message.role, text + (message.tool_plan or ""), others, calls, message.role == "tool")
