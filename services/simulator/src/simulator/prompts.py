"""What a caller asked for, as every wire hands it to the answering part: no wire's names, no wire's shapes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ToolChoice = Literal["auto", "none", "required"]


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call; `parameters` is its JSON Schema, {} when it takes none."""

    name: str
    parameters: dict[str, Any]


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One request, reduced to what an answer depends on."""

    provider: str
    model: str
    conversation: str
    """The texts of all messages with their roles: what the answer is derived from, so equal here means equal there."""
    question: str
    """Text of the last message of the user, as sent (a directive in it included); "" when there is none."""
    prompt_tokens: int
    has_tool_result: bool = False
    """Whether a tool's result was the last thing said."""
    token_limit: int | None = None
    choices: int = 1
    stops: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    named_tool: str | None = None
    """The one tool that the caller insists on."""
    is_parallel: bool = True
    """Whether several tools may be called at once."""
    schema: dict[str, Any] | None = None
    """JSON Schema that the answer must satisfy; {} for any JSON object; None for plain text."""
    is_streamed: bool = False
    wants_usage: bool = False
    """Whether a streamed answer must end with its usage."""
    asked: Any = None
    """What else an operation beside chat was asked for, as its writer wants it."""
