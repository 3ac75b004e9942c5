"""What the simulated model answers: text, documents, tool calls, and how many tokens they are. Pure.

An answer depends on the seed, the provider, the model and the conversation, and on nothing else: the same call gets
the same answer, streamed or whole. One piece is one token; a tool call's name is one, too. Wires write answers down.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

import msgspec

from simulator.corpus import Corpus, unicode_pieces
from simulator.documents import document_for
from simulator.faults import Directives, without_directives
from simulator.prompts import Prompt, Tool

GREETING = ("Hello", "!", " How", " can", " I", " assist", " you", " today", "?")
PIECE_LENGTH = 4
LONGEST_SHORT_QUESTION = 200
UNICODE_TOKENS = 24

_GREETING = re.compile(r"(?:(?:please )?say )?(?:hello|hi|hey)(?: there| world)?[\s!.?]*", re.IGNORECASE)
_COUNTING = re.compile(r"\bcount (?:from 1 )?to (\d{1,3})\b", re.IGNORECASE)
_TOOL_WISH = re.compile(r"\b(?:use|call) (?:the|a|your) tools?\b", re.IGNORECASE)


class ToolCall(msgspec.Struct, frozen=True):
    """One call of a tool; its arguments are the pieces joined, a JSON text ("" when told to leave them out)."""

    id: str
    name: str
    pieces: list[str]


class Choice(msgspec.Struct, frozen=True):
    """One of the answers a call gets."""

    reasoning: list[str]
    content: list[str]
    tool_calls: list[ToolCall]
    finish: str

    @property
    def tokens(self) -> int:
        """Output tokens without reasoning."""
        return len(self.content) + sum(1 + len(call.pieces) for call in self.tool_calls)


class Answer(msgspec.Struct, frozen=True):
    """Everything a call gets, and what it used. `completion_tokens` includes reasoning."""

    digest: str
    """32 hex digits that ids are made of."""
    choices: list[Choice]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    asked: Any = None
    """What an operation beside chat was asked for."""


class Writer:
    """Answers prompts; holds the seed and the prose made from it."""

    def __init__(self, seed: int) -> None:
        self._key = str(seed).encode()
        self._corpus = Corpus(seed)

    @property
    def words(self) -> set[str]:
        """Every piece of prose, for wires that prepare their encodings."""
        return self._corpus.words

    def answer(self, prompt: Prompt, directives: Directives, header_names: list[str]) -> Answer:
        """The answer to `prompt`; `header_names` are told when the directive asks for them."""
        digest = self._digest(prompt)
        number = int(digest[:12], 16)
        choices = [self._choice(prompt, directives, number + index, header_names) for index in range(prompt.choices)]
        return Answer(
            digest,
            choices,
            prompt.prompt_tokens if directives.prompt_tokens is None else directives.prompt_tokens,
            sum(choice.tokens + len(choice.reasoning) for choice in choices),
            directives.cached_tokens,
            directives.cache_write_tokens,
            sum(len(choice.reasoning) for choice in choices),
            prompt.asked,
        )

    def _digest(self, prompt: Prompt) -> str:
        text = f"{prompt.provider}\0{prompt.model}\0{prompt.conversation}"
        return blake2b(text.encode(), digest_size=16, key=self._key).hexdigest()

    def _choice(self, prompt: Prompt, directives: Directives, number: int, header_names: list[str]) -> Choice:
        limit = prompt.token_limit
        reasoning = self._corpus.pieces(number + 7, directives.reasoning_tokens) if directives.reasoning_tokens else []
        if limit is not None and len(reasoning) >= limit:
            return Choice(reasoning[:limit], [], [], directives.finish or "length")
        left = None if limit is None else limit - len(reasoning)
        called = wanted_tools(prompt, directives)
        if called:
            calls, is_short = _limited_calls(_tool_calls(called, directives, number), left)
            finish = "length" if is_short else "tool_calls"
            return Choice(reasoning, [], calls, directives.finish or finish)
        content = _stopped(self._content(prompt, directives, number, header_names), prompt.stops)
        if left is not None and len(content) > left:
            return Choice(reasoning, content[:left], [], directives.finish or "length")
        return Choice(reasoning, content, [], directives.finish or "stop")

    def _content(self, prompt: Prompt, directives: Directives, number: int, header_names: list[str]) -> list[str]:
        if directives.echo:
            return in_pieces(_json({"headers": header_names}))
        if prompt.schema is not None:
            schema = prompt.schema or {
                "type": "object",
                "properties": {"answer": {"type": "string"}, "count": {"type": "integer"}},
            }
            return in_pieces(_json(document_for(schema, number)))
        if directives.unicode:
            return unicode_pieces(UNICODE_TOKENS if directives.tokens is None else directives.tokens)
        if directives.tokens is not None:
            return self._corpus.pieces(number, directives.tokens)
        return _short_answer(prompt.question) or self._corpus.sentences(number)


def wanted_tools(prompt: Prompt, directives: Directives) -> list[Tool]:
    """The tools to call, in order; none after a tool's result. A directive outranks the caller's choice but `none`."""
    tools = prompt.tools
    if not tools or prompt.tool_choice == "none" or prompt.has_tool_result:
        return []
    if directives.tool_calls is not None:
        wanted = [tools[index % len(tools)] for index in range(directives.tool_calls)]
    elif prompt.named_tool is not None:
        wanted = [tool for tool in tools if tool.name == prompt.named_tool][:1]
    else:
        wanted = _mentioned(prompt) or (list(tools[:1]) if prompt.tool_choice == "required" else [])
    return wanted if prompt.is_parallel else wanted[:1]


def in_pieces(text: str) -> list[str]:
    """`text` cut into tokens of a few characters."""
    return [text[start : start + PIECE_LENGTH] for start in range(0, len(text), PIECE_LENGTH)]


def _mentioned(prompt: Prompt) -> list[Tool]:
    question = prompt.question.lower()
    plain = question.replace("_", " ")
    named = [
        tool for tool in prompt.tools if tool.name.lower() in question or tool.name.lower().replace("_", " ") in plain
    ]
    if named or not _TOOL_WISH.search(prompt.question):
        return named
    return list(prompt.tools[:1])


def _tool_calls(tools: list[Tool], directives: Directives, number: int) -> list[ToolCall]:
    return [_tool_call(tool, directives, number + 1_009 * index) for index, tool in enumerate(tools)]


def _tool_call(tool: Tool, directives: Directives, number: int) -> ToolCall:
    call_id = blake2b(f"{number}\0{tool.name}".encode(), digest_size=12).hexdigest()
    if directives.no_arguments:
        return ToolCall(call_id, tool.name, [])
    arguments = document_for({"type": "object", **tool.parameters}, number)
    if directives.unicode:
        arguments = _in_unicode(arguments)
    return ToolCall(call_id, tool.name, in_pieces(_json(arguments)))


def _in_unicode(document: object) -> object:
    if isinstance(document, dict):
        return {key: _in_unicode(member) for key, member in document.items()}
    if isinstance(document, list):
        return [_in_unicode(member) for member in document]
    return "Zürich 東京 🙂" if isinstance(document, str) else document


def _limited_calls(calls: list[ToolCall], limit: int | None) -> tuple[list[ToolCall], bool]:
    """The calls that `limit` tokens hold, the last perhaps broken off, and whether something is missing."""
    if limit is None:
        return calls, False
    kept: list[ToolCall] = []
    for call in calls:
        if limit < 1:
            return kept, True
        pieces = call.pieces[: limit - 1]
        kept.append(ToolCall(call.id, call.name, pieces))
        if len(pieces) < len(call.pieces):
            return kept, True
        limit -= 1 + len(pieces)
    return kept, False


def _stopped(pieces: list[str], stops: tuple[str, ...]) -> list[str]:
    """The pieces up to the first stop sequence, which is left out."""
    text = "".join(pieces) if stops else ""
    ends = [found for found in (text.find(stop) for stop in stops if stop) if found >= 0]
    if not ends:
        return pieces
    left = min(ends)
    kept: list[str] = []
    for piece in pieces:
        if left <= 0:
            break
        kept.append(piece[:left])
        left -= len(piece)
    return kept


def _short_answer(question: str) -> list[str]:
    """What is said to a greeting or to "count to 5"; [] to anything else."""
    asked = without_directives(question)
    if len(asked) > LONGEST_SHORT_QUESTION:
        return []
    if _GREETING.fullmatch(asked):
        return list(GREETING)
    counting = _COUNTING.search(asked)
    if not counting:
        return []
    pieces = [piece for number in range(1, int(counting[1]) + 1) for piece in (str(number), ", ")]
    return pieces[:-1]


def _json(document: object) -> str:
    return msgspec.json.encode(document).decode()
