"""What providers do beside chat: one request, one answer, in words of no wire.

An operation reads a request into a prompt that carries what was asked, and writes its answer from what is counted and
asked alone, so that the same request gets the same answer. `BesideChat` is a provider's wire with one in chat's place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.prompts import Prompt
from simulator.refusals import Refusal, as_described
from simulator.streams import StreamScript
from simulator.wires import EVENT_STREAM, JSON, Headers, Wire

BYTES_A_TOKEN = 4
MOST_NUMBERS = 4_000_000
"""Of one answer's vectors, however many there are."""
MOST_RANKED = 10_000
MOST_PICTURES = 128
PIXEL = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\x0f\4\0\t\xfb"
    b"\3\xfd\xfb^k+\0\0\0\0IEND\xaeB`\x82"
)
"""The picture that everybody draws here."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as one wire spells it. `read` takes provider, model (where the path names it) and body, and raises
    Refusal; `write` and `stream` take what is counted, and the model."""

    read: Callable[[str, str, bytes], Prompt]
    write: Callable[[Answer, str], bytes]
    content_type: bytes = JSON
    stream: Callable[[Answer, str, Directives], StreamScript] | None = None
    """The events of an answer that is streamed, without the one that reports trouble."""


class BesideChat:
    """A provider's wire that does an operation: who may call, and how it refuses, is as for chat."""

    stream_type = EVENT_STREAM

    def __init__(self, wire: Wire, name: str, operation: Operation, model: str = "") -> None:
        self._wire = wire
        self._operation = operation
        self._model = model
        self.provider = wire.provider
        self.needs_key = wire.needs_key
        self.whole_type = operation.content_type
        self.kept_as = f"{wire.kept_as} {name} {model}"

    def key(self, headers: dict[bytes, bytes]) -> str:
        return self._wire.key(headers)

    def prompt(self, body: bytes) -> Prompt:
        with as_described():
            return self._operation.read(self.provider, self._model, body)

    def missing(self, model: str) -> Refusal:
        return self._wire.missing(model)

    def whole(self, answer: Answer, model: str, created: int, directives: Directives) -> bytes:
        return self._operation.write(answer, model)

    def script(
        self, answer: Answer, model: str, created: int, wants_usage: bool, directives: Directives
    ) -> StreamScript:
        if self._operation.stream is None:
            raise Refusal(400, "this is not streamed")
        told = self.refusal(Refusal(directives.status or 503, kind=directives.error_type))[1]
        script = self._operation.stream(answer, model, directives)
        return msgspec.structs.replace(script, error=b"data: " + told + b"\n\n")

    def refusal(self, refusal: Refusal) -> tuple[int, bytes]:
        return self._wire.refusal(refusal)

    def headers(self, call_id: str, milliseconds: int) -> Headers:
        return self._wire.headers(call_id, milliseconds)

    def refusal_headers(self, headers: Headers, refusal: Refusal) -> Headers:
        return self._wire.refusal_headers(headers, refusal)


def members_of(body: bytes) -> dict[str, Any]:
    """A JSON body. Raises Refusal."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not valid JSON: {error}", kind="invalid_request_error") from None
    if not isinstance(found, dict):
        raise Refusal(400, "the body must be an object", kind="invalid_request_error")
    return found


def asked(provider: str, model: Any, texts: list[str], what: dict[str, Any], tokens: int | None = None) -> Prompt:
    """The prompt of an operation on some texts: its tokens are theirs, unless they were counted already."""
    if not isinstance(model, str) or not model:
        raise Refusal(400, "you must provide a model parameter", kind="invalid_request_error")
    return Prompt(
        provider=provider,
        model=model,
        conversation="\0".join(texts),
        question=texts[-1] if texts else "",
        prompt_tokens=sum(map(tokens_of, texts)) if tokens is None else tokens,
        choices=0,
        asked=what,
    )


def count_in(told: Mapping[str, Any], name: str, usual: int, most: int) -> int:
    """A member that counts something: from 1 to a most, or as usual where it is not given. Raises Refusal."""
    found = usual if told.get(name) is None else told[name]
    if type(found) is not int or not 1 <= found <= most:
        raise Refusal(400, f"{name} must be a number from 1 to {most}", kind="invalid_request_error", param=name)
    return found


def vectors_asked(
    provider: str, model: Any, texts: list[str], told: Mapping[str, Any], name: str, usual: int
) -> Prompt:
    """The prompt of embeddings of some texts, whose length the request names so. Raises Refusal."""
    if not texts or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "there must be texts to embed", kind="invalid_request_error")
    size = count_in(told, name, usual, MOST_NUMBERS // len(texts))
    return asked(provider, model, texts, {"texts": texts, "size": size})


def ranking_asked(provider: str, model: Any, texts: list[str], query: Any, told: dict[str, Any]) -> Prompt:
    """The prompt of a ranking of some texts. Raises Refusal."""
    if not texts or not isinstance(query, str) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "there must be a query, and texts to rank", kind="invalid_request_error")
    most = count_in(told, "top_n", len(texts), MOST_RANKED)
    return asked(provider, model, [*texts, query], {"texts": texts, "query": query, "most": most})


def ranked(answer: Answer) -> list[dict[str, Any]]:
    """Documents by how many of the query's words they have, best first."""
    words = set(answer.asked["query"].lower().split())
    scores = [len(words & set(text.lower().split())) / (len(words) or 1) for text in answer.asked["texts"]]
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    return [{"index": at, "relevance_score": scores[at]} for at in order[: answer.asked["most"]]]


def tokens_of(text: str) -> int:
    """One for every 4 bytes of text begun."""
    return max(1, -(-len(text.encode()) // BYTES_A_TOKEN))


def vector_of(text: str, size: int) -> list[float]:
    """Numbers between -1 and 1 that follow from the text, each exact in 32 bits."""
    numbers: list[float] = []
    block = 0
    while len(numbers) < size:
        digest = blake2b(f"{block}\0{text}".encode(), digest_size=64).digest()
        numbers += [whole / 32768 for whole in struct.unpack("<32h", digest)]
        block += 1
    return numbers[:size]
