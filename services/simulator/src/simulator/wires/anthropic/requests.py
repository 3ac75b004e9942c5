"""Reads the body of a message request into a prompt, or refuses it as the provider would. Pure.

Only what an answer depends on, and what the provider is known to insist on, is looked at. Tokens are counted by the
simulator's own simple rule.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from simulator.prompts import Prompt, Tool, ToolChoice
from simulator.refusals import Refusal

PROVIDER = "anthropic"
OLD_VERSION = b"2023-06-01"
VERSIONS = (OLD_VERSION, b"2026-10-21")
TOKENS_A_CALL = 3
TOKENS_A_MESSAGE = 4
TOKENS_A_PART = 85
BYTES_A_TOKEN = 4

_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: Any = None


class _Turn(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]

    @property
    def blocks(self) -> list[_Block]:
        return [_Block("text", self.content)] if isinstance(self.content, str) else self.content


class _Tool(msgspec.Struct):
    name: str
    type: str | None = None
    input_schema: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class _Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _Output(msgspec.Struct):
    effort: str | None = None
    format: _Format | None = None


class MessageBody(msgspec.Struct):
    """The members of a message request that matter here; `max_tokens` may be absent where tokens are only counted."""

    model: str
    messages: Annotated[list[_Turn], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    system: str | list[_Block] | None = None
    stream: bool = False
    stop_sequences: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    tools: list[_Tool] = []
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None


_DECODER = msgspec.json.Decoder(MessageBody)


def read_prompt(body: bytes, version: bytes = OLD_VERSION) -> Prompt:
    """The prompt in `body`. Raises Refusal 400 for what the provider does not take."""
    asked = _decoded(body)
    if asked.max_tokens is None:
        raise invalid("max_tokens: Field required")
    _check(asked, version)
    question, has_result = _last_words(asked.messages)
    choice = asked.tool_choice or _Choice("auto")
    wanted = asked.output_config.format if asked.output_config else None
    return Prompt(
        provider=PROVIDER,
        model=asked.model,
        conversation="\0".join(f"{turn.role}\1{_text(turn.blocks)}" for turn in asked.messages),
        question=question,
        prompt_tokens=_prompt_tokens(asked),
        has_tool_result=has_result,
        token_limit=asked.max_tokens,
        stops=tuple(asked.stop_sequences),
        tools=tuple(Tool(tool.name, tool.input_schema) for tool in asked.tools if tool.input_schema is not None),
        tool_choice=_tool_choice(choice),
        named_tool=choice.name if choice.type == "tool" else None,
        is_parallel=not choice.disable_parallel_tool_use,
        schema=wanted.schema if wanted else None,
        is_streamed=asked.stream,
        wants_usage=True,
    )


def count_tokens(body: bytes) -> int:
    """The input tokens of a request. Raises Refusal."""
    return _prompt_tokens(_decoded(body))


def invalid(message: str) -> Refusal:
    """The refusal of a request that is not as it should be."""
    return Refusal(400, message, kind="invalid_request_error")


def _decoded(body: bytes) -> MessageBody:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        raise invalid(f"{place[1] if place else 'body'}: {_PLACE.sub('', str(error))}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise invalid("The request body is not valid JSON.") from None


def _check(asked: MessageBody, version: bytes) -> None:
    """What the provider insists on: which turns follow each other, what thinking allows, what a version took away."""
    sampling = [name for name in ("temperature", "top_p", "top_k") if getattr(asked, name) is not None]
    if sampling and version != OLD_VERSION:
        raise invalid(f"{sampling[0]}: Extra inputs are not permitted")
    if asked.temperature is not None and not 0 <= asked.temperature <= 1:
        raise invalid("temperature: Input should be less than or equal to 1")
    thinking = asked.thinking
    if thinking is not None and thinking.type in ("enabled", "adaptive"):
        _check_thinking(asked, thinking)
    calls: set[str] = set()
    for number, turn in enumerate(asked.messages):
        results = [block.tool_use_id or "" for block in turn.blocks if block.type == "tool_result"]
        if set(results) != calls and (results or calls):
            raise invalid(
                f"messages.{number}: each `tool_use` block must have its `tool_result` block in the next message"
            )
        calls = {block.id or "" for block in turn.blocks if block.type == "tool_use"}
        if any(not _CALL_ID.fullmatch(call) for call in calls):
            raise invalid(f"messages.{number}.content: `tool_use.id` should match '^[a-zA-Z0-9_-]+$'")
        if any(block.type == "text" and not block.text for block in turn.blocks):
            raise invalid(f"messages.{number}: text content blocks must be non-empty")


def _check_thinking(asked: MessageBody, thinking: _Thinking) -> None:
    if thinking.type == "enabled" and not 1024 <= (thinking.budget_tokens or 0) < (asked.max_tokens or 0):
        raise invalid("thinking.budget_tokens: should be at least 1024 and less than max_tokens")
    if asked.temperature not in (None, 1):
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
    if asked.tool_choice is not None and asked.tool_choice.type in ("any", "tool"):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    for turn in asked.messages:
        signed = [block.signature for block in turn.blocks if block.type == "thinking"]
        if any(not signature or not signature.startswith("simsig") for signature in signed):
            raise invalid("Invalid `signature` in `thinking` block")


def _tool_choice(choice: _Choice) -> ToolChoice:
    if choice.type in ("any", "tool"):
        return "required"
    return "none" if choice.type == "none" else "auto"


def _text(blocks: list[_Block]) -> str:
    return "\n".join(block.text for block in blocks if block.type == "text" and block.text)


def _last_words(turns: list[_Turn]) -> tuple[str, bool]:
    """The last thing the user said, and whether a tool's result came with it or after it."""
    has_result = any(block.type == "tool_result" for block in turns[-1].blocks)
    said = [_text(turn.blocks) for turn in turns if turn.role == "user"]
    return next((text for text in reversed(said) if text), ""), has_result


def _prompt_tokens(asked: MessageBody) -> int:
    system = asked.system if isinstance(asked.system, str) else _text(asked.system or [])
    tokens = TOKENS_A_CALL + _tokens(system)
    for turn in asked.messages:
        tokens += TOKENS_A_MESSAGE + sum(_block_tokens(block) for block in turn.blocks)
    return tokens + (-(-len(msgspec.json.encode(asked.tools)) // BYTES_A_TOKEN) if asked.tools else 0)


def _block_tokens(block: _Block) -> int:
    if block.type in ("text", "thinking"):
        return _tokens(block.text or block.thinking or "")
    if block.type == "tool_use":
        return _tokens((block.name or "") + msgspec.json.encode(block.input or {}).decode())
    if block.type == "tool_result":
        return _tokens(block.content if isinstance(block.content, str) else "")
    return TOKENS_A_PART


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_A_TOKEN)
