"""Writes an answer down as a stream of `chat.completion.chunk` events. Pure.

One piece of content is one chunk. What is the same in every chunk is encoded once a call, and the pieces of prose
once a process: a chunk is then three byte strings joined, because benchmarks run this beside what they measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import msgspec

from simulator.answers import Answer, Choice, ToolCall
from simulator.faults import Directives
from simulator.refusals import Refusal
from simulator.streams import StreamScript
from simulator.wires.openai.errors import error_frame
from simulator.wires.openai.rows import Row
from simulator.wires.openai.usage import Counts, usage_object
from simulator.wires.openai.whole import answer_id, call_id, call_member, counts_of, groq_id, outer_members

DONE = b"data: [DONE]\n\n"
COMMENT = b": OPENROUTER PROCESSING\n\n"
OBFUSCATION = b',"obfuscation":"Tq4Xb0Zr"'

_encode = msgspec.json.encode
Delta = tuple[bytes, int]
"""A chunk's encoded `delta` and the output tokens it carries."""


class StreamWriter:
    """Writes streams; holds the encodings of the prose's pieces."""

    def __init__(self, words: Iterable[str]) -> None:
        self._encoded = {word: _encode(word) for word in words}

    def script(
        self, row: Row, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        """The stream of `answer`; `created` in seconds since 1970, `wants_usage` as the caller asked."""
        deltas = [self._deltas(row, choice) for choice in answer.choices]
        return _Chunks(row, answer, model, created, wants_usage, directives).script(deltas)

    def _deltas(self, row: Row, choice: Choice) -> list[Delta]:
        """The chunks of one choice, but for the one with its finish reason."""
        opening = [(_opening(row, choice), 0), *self._reasoning(row, choice.reasoning)]
        head = b'{"role":"assistant","content":' if row.role_in_every_delta else b'{"content":'
        encoded = self._encoded
        content = [(head + (encoded.get(piece) or _encode(piece)) + b"}", 1) for piece in choice.content]
        write_call = _whole_call if row.has_whole_calls else _call_pieces
        calls = [delta for index, call in enumerate(choice.tool_calls) for delta in write_call(row, index, call)]
        return opening + content + calls

    def _reasoning(self, row: Row, pieces: list[str]) -> list[Delta]:
        """Chunks with the text of reasoning; where it is hidden its tokens count with the opening chunk's end."""
        if row.reasoning == "hidden":
            return []
        head, tail = b'{"' + row.reasoning.encode() + b'":', b"}"
        if row.reasoning == "thinking":
            head, tail = b'{"content":[{"type":"thinking","thinking":[{"type":"text","text":', b"}]}]}"
        return [(head + _encode(piece) + tail, 1) for piece in pieces]


class _Chunks:
    """The chunks of one call: what they share, and where usage goes."""

    def __init__(
        self, row: Row, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> None:
        self._row, self._answer, self._directives = row, answer, directives
        self._reports_usage = (wants_usage or row.sends_usage_unasked) and not directives.no_usage
        self._outer = {
            "id": answer_id(row.ids, answer.digest),
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            **outer_members(row),
        }
        self._head = b"data: " + _encode(self._outer)[:-1] + b',"choices":['
        has_null = row.sends_null_usage and wants_usage and not directives.no_usage
        self._rest = (b"]" if not has_null else b'],"usage":null') + (OBFUSCATION if directives.obfuscation else b"")

    def script(self, deltas: list[list[Delta]]) -> StreamScript:
        """All frames: those of `deltas`, one list a choice, and what stands around them."""
        frames, tokens = self._first_frames()
        heads = [self._head + b'{"index":%d,"delta":' % index for index in range(len(deltas))]
        end = self._choice_end(b"null") + self._rest + b"}\n\n"
        if len(deltas) == 1:
            head = heads[0]
            frames += [head + delta + end for delta, _ in deltas[0]]
            tokens += [count for _, count in deltas[0]]
        else:
            for index, (delta, count) in _interleaved(deltas):
                frames.append(heads[index] + delta + end)
                tokens.append(count)
        self._number_hidden_reasoning(tokens)
        finishing, usage_at = self._last_frames()
        usage_index = None if usage_at is None else len(frames) + usage_at
        frames += finishing
        tokens += [0] * len(finishing)
        if self._row.usage == "groq":
            frames[0] = _with_member(frames[0], b',"x_groq":' + _encode({"id": groq_id(self._answer.digest)}))
        if self._directives.usage_in_every_chunk and not self._directives.no_usage:
            frames, usage_index = self._with_running_usage(frames, tokens), 0
        preamble = COMMENT * self._row.comments
        return StreamScript(preamble, frames, tokens, usage_index, DONE, self._error())

    def _first_frames(self) -> tuple[list[bytes], list[int]]:
        if not (self._row.has_filter_chunk or self._directives.empty_choices_first):
            return [], []
        results = {
            name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
        }
        first = {
            **self._outer,
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": results}],
        }
        return [b"data: " + _encode(first) + b"\n\n"], [0]

    def _last_frames(self) -> tuple[list[bytes], int | None]:
        """The finish reasons and the usage, and where among them the usage is."""
        last = len(self._answer.choices) - 1
        frames = [self._finish(index, choice.finish, self._rest) for index, choice in enumerate(self._answer.choices)]
        if not self._reports_usage:
            return frames, None
        usage = b',"usage":' + _encode(usage_object(self._row.usage, counts_of(self._answer)))
        if self._row.usage_place == "own":
            padding = OBFUSCATION if self._directives.obfuscation else b""
            return [*frames, self._head + b"]" + usage + padding + b"}\n\n"], last + 1
        if self._row.usage_place == "after":
            return [*frames, self._finish(last, self._answer.choices[last].finish, b"]" + usage)], last + 1
        if self._row.usage == "groq":
            own = b',"x_groq":{"id":' + _encode(groq_id(self._answer.digest)) + usage + b"}"
            usage = own + usage
        frames[last] = self._finish(last, self._answer.choices[last].finish, b"]" + usage)
        return frames, last

    def _finish(self, index: int, reason: str, rest: bytes) -> bytes:
        delta = b'{"role":"assistant","content":""}' if self._row.role_in_every_delta else b"{}"
        if self._row.usage == "mistral":
            delta = b'{"content":""}'
        end = self._choice_end(_encode(reason))
        return self._head + b'{"index":%d,"delta":' % index + delta + end + rest + b"}\n\n"

    def _choice_end(self, reason: bytes) -> bytes:
        logprobs = b',"logprobs":null' if self._row.has_logprobs else b""
        native = b',"native_finish_reason":' + reason if self._row.has_native_finish else b""
        return logprobs + b',"finish_reason":' + reason + native + b"}"

    def _number_hidden_reasoning(self, tokens: list[int]) -> None:
        """Reasoning that is not shown has been used up before the first piece is sent."""
        if self._row.reasoning == "hidden" and tokens:
            tokens[0] += self._answer.reasoning_tokens

    def _with_running_usage(self, frames: list[bytes], tokens: list[int]) -> list[bytes]:
        """Every chunk with the usage up to it, as some providers report it."""
        counts, so_far, told = counts_of(self._answer), 0, []
        for frame, count in zip(frames, tokens, strict=True):
            so_far += count
            running = usage_object(self._row.usage, _up_to(counts, so_far))
            bare = frame.replace(b',"usage":null', b"")
            has_usage = b'"usage":{' in bare
            told.append(bare if has_usage else _with_member(bare, b',"usage":' + _encode(running)))
        return told

    def _error(self) -> bytes:
        directives = self._directives
        told = Refusal(directives.status or 500, code=directives.code, kind=directives.error_type)
        return error_frame(self._row, told, self._outer)


def _up_to(counts: Counts, completion: int) -> Counts:
    return counts._replace(completion=completion, reasoning=min(counts.reasoning, completion))


def _with_member(frame: bytes, member: bytes) -> bytes:
    """The event with one more member in its object."""
    return frame[: -len(b"}\n\n")] + member + b"}\n\n"


def _opening(row: Row, choice: Choice) -> bytes:
    content = _encode(row.content_beside_calls if choice.tool_calls else "")
    refusal = b',"refusal":null' if row.has_refusal and not row.has_native_finish else b""
    return b'{"role":"assistant","content":' + content + refusal + b"}"


def _call_pieces(row: Row, index: int, call: ToolCall) -> list[Delta]:
    """A call that opens with its name and goes on with fragments of its arguments."""
    opening = {
        "index": index,
        "id": call_id(row, call),
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    head = b'{"tool_calls":[{"index":%d,"function":{"arguments":' % index
    pieces = [(head + _encode(piece) + b"}}]}", 1) for piece in call.pieces]
    return [(_encode({"tool_calls": [opening]}), 1), *pieces]


def _whole_call(row: Row, index: int, call: ToolCall) -> list[Delta]:
    """A call in one chunk."""
    told: dict[str, Any] = {**call_member(row, index, call), "index": index}
    return [(_encode({"tool_calls": [told]}), 1 + len(call.pieces))]


def _interleaved(choices: list[list[Delta]]) -> Iterator[tuple[int, Delta]]:
    """The chunks of several choices by turns, as they come when several are made at once."""
    for turn in zip_longest(*choices):
        for index, delta in enumerate(turn):
            if delta is not None:
                yield index, delta
