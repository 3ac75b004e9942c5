"""A conversation reduced to turns, as wires other than OpenAI's hand it over, and the prompt that it makes. Pure.

The rule for prompt tokens is the simulator's one: 3 a call, 4 a turn, one for every 4 bytes of text begun, 85 for every
part that is not text, one for every 4 bytes of the tools' definitions.
"""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.prompts import Prompt, Tool

TOKENS_A_CALL = 3
TOKENS_A_TURN = 4
TOKENS_A_PART = 85
BYTES_A_TOKEN = 4


class Turn(msgspec.Struct, frozen=True):
    """One message: who spoke, what they said, how many parts were no text, the tools that were called with what."""

    role: str
    text: str
    others: int = 0
    calls: tuple[str, ...] = ()
    is_tool_result: bool = False


def prompt_of(
    provider: str, model: str, turns: list[Turn], tools: tuple[Tool, ...], definitions: Any, **more: Any
) -> Prompt:
    """The prompt; `definitions` are the tools as they came, `more` are further members of it."""
    return Prompt(
        provider=provider,
        model=model,
        conversation="\0".join(f"{turn.role}\1{turn.text}" for turn in turns),
        question=next((turn.text for turn in reversed(turns) if turn.role == "user" and not turn.is_tool_result), ""),
        prompt_tokens=_tokens_of(turns, definitions),
        has_tool_result=bool(turns) and turns[-1].is_tool_result,
        tools=tools,
        **more,
    )


def _tokens_of(turns: list[Turn], definitions: Any) -> int:
    tokens = TOKENS_A_CALL
    for turn in turns:
        texts = (turn.text, *turn.calls)
        tokens += TOKENS_A_TURN + TOKENS_A_PART * turn.others + sum(_tokens(text) for text in texts)
    if definitions:
        tokens += -(-len(msgspec.json.encode(definitions)) // BYTES_A_TOKEN)
    return tokens


def _tokens(text: str) -> int:
    return -(-len(text.encode()) // BYTES_A_TOKEN)
