"""The prose that answers are made of: short sentences from a word list of ours, made once, at start, from the seed.

A piece is a word with its leading blank, or a full stop; one piece is one token and one chunk of a stream.
"""

from __future__ import annotations

import random

_WHO = ("A patient gardener", "The night train", "Our small team", "A curious student", "The old lighthouse")
_WHO_ELSE = ("Every careful reader", "The harbor master", "A quiet engineer", "The morning market", "One steady hand")
_DOES = ("follows", "measures", "remembers", "carries", "repairs", "describes", "compares", "keeps", "finds", "weighs")
_WHAT = ("the shorter road", "a handful of seeds", "every open question", "the simplest answer", "three plain numbers")
_WHAT_ELSE = ("a folded map", "the sound of rain", "yesterday's list", "a clear result", "the last blue stone")
_WHERE = ("before sunrise", "near the river", "without any hurry", "one step at a time", "behind the hill")
_WHERE_ELSE = ("with great care", "until the work is done", "in the right order", "once a week", "and starts again")

SENTENCES = 97
UNICODE_PIECES = ("Grüße", " aus", " Zürich", " —", " 東京", " 🙂", " naïve", " café", " Ωmega", " здесь", " שלום", ".")


class Corpus:
    """A ring of sentences, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - it has to repeat itself, not to surprise
        self._sentences = [_sentence(chance) for _ in range(SENTENCES)]
        self._ring = [piece for sentence in self._sentences for piece in sentence]
        self._starts = [sum(map(len, self._sentences[:index])) for index in range(SENTENCES)]

    @property
    def words(self) -> set[str]:
        """Every piece that prose may hold."""
        return {*self._ring, *UNICODE_PIECES, *(piece.lstrip() for piece in self._ring)}

    def sentences(self, number: int) -> list[str]:
        """Pieces of one to three whole sentences, chosen by `number`."""
        first, count = number % SENTENCES, 1 + number // SENTENCES % 3
        start = self._starts[first]
        length = sum(len(self._sentences[(first + step) % SENTENCES]) for step in range(count))
        return self._cut(start, length)

    def pieces(self, number: int, count: int) -> list[str]:
        """Exactly `count` pieces from a place chosen by `number`."""
        return self._cut(self._starts[number % SENTENCES], count)

    def _cut(self, start: int, count: int) -> list[str]:
        cut = self._ring[start : start + count]
        while len(cut) < count:
            cut += self._ring[: count - len(cut)]
        if cut:
            cut[0] = cut[0].lstrip()
        return cut


def unicode_pieces(count: int) -> list[str]:
    """`count` pieces outside ASCII, of two, three and four bytes a character."""
    return [UNICODE_PIECES[index % len(UNICODE_PIECES)] for index in range(count)]


def _sentence(chance: random.Random) -> list[str]:
    parts = (_WHO + _WHO_ELSE, _DOES, _WHAT + _WHAT_ELSE, _WHERE + _WHERE_ELSE)
    words = " ".join(chance.choice(part) for part in parts).split(" ")
    return [*(f" {word}" for word in words), "."]
