"""Counting tokens where the bytes are too loose a bound: only for a call that would be refused otherwise.

A token of a text is three or four bytes, so a call may fit although its bytes do not. Where the vocabulary of a model is
public the texts of its messages are counted; all else (names, tools, the JSON around them) stays bounded by its bytes,
which is more than what a model is told around a message. Counting takes some 70 ms a megabyte and holds the
interpreter, so it has a bound, goes one call at a time, and is left alone where no count could help. A vocabulary takes
seconds and a hundred megabytes to load: in a thread, once, when it is needed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib import import_module
from typing import Protocol

import structlog
from common.readings import Reading

from gateway.limits.limiter import Refused

log = structlog.get_logger()

MOST_COUNTED_BYTES = 512 * 1024
"""What is counted of one call; the rest is bounded by its bytes."""

_LEAST_COUNTED_BYTES = 256
_MOST_WAITING = 32


class Vocabulary(Protocol):
    """Counts the tokens of a text."""

    def count(self, text: str) -> int:
        """How many there are."""


class Tokenizers:
    """Vocabularies by name, loaded at first use. `counted`: how many calls were counted."""

    def __init__(self) -> None:
        self._loaded: dict[str, Vocabulary] = {}
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self.counted = 0

    async def count_off(self, refused: Refused, reading: Reading, text_bytes: int, texts: Iterable[str]) -> int:
        """By how much fewer the tokens of a refused call's texts are than their bytes in UTF-8; 0 when no count would
        help, or too many calls wait for theirs. `texts` is asked for only when they are counted."""
        if not _may_help(refused, text_bytes) or reading.vocabulary is None or self._waiting >= _MOST_WAITING:
            return 0
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                self.counted += 1
                return await asyncio.to_thread(self._count, reading.vocabulary, list(texts))
        finally:
            self._waiting -= 1

    def _count(self, name: str, texts: list[str]) -> int:
        vocabulary = self._vocabulary(name)
        saved = left = 0
        for text in texts if vocabulary is not None else ():
            size = len(text.encode("utf-8", "surrogatepass"))
            left += size
            if left > MOST_COUNTED_BYTES:
                break
            try:
                saved += max(0, size - vocabulary.count(text)) if vocabulary is not None else 0
            except UnicodeEncodeError:  # half a pair of surrogates: nobody knows what becomes of it
                continue
        return saved

    def _vocabulary(self, name: str) -> Vocabulary | None:
        if name not in self._loaded:
            try:
                # The package's own layer above it refuses long texts and keeps the vocabulary a second time.
                self._loaded[name] = import_module("bpe_openai._bindings").tokenizer_for_encoding(name)
            except (ImportError, ValueError) as error:
                log.error("vocabulary_missing", vocabulary=name, error=type(error).__name__)
                return None
        return self._loaded[name]


def _may_help(refused: Refused, text_bytes: int) -> bool:
    """Whether a call that was refused by its bytes may be let in by its tokens: not when nothing is left at all."""
    is_about_size = refused.why == "tokens" or (refused.why == "budget" and refused.room_nano > 0)
    return is_about_size and text_bytes >= _LEAST_COUNTED_BYTES
