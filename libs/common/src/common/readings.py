"""How models read what they are sent, as far as their makers say: a row a family, the first that fits counts. Pure data.

What a picture becomes at most follows from the makers' formulas: OpenAI's tiles of 512 pixels within 768 × 2,048 (eight) or
patches of 32 (1,536 times a factor); Anthropic's pictures are shrunk before they are counted; Gemini 3 has a figure for its
finest resolution. Where no formula is known a picture is as dear as the dearest. A vocabulary is named where it is public.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PICTURE_TOKENS = 65_536
"""At least what one picture costs with any provider known (the dearest: about 48,000)."""


class Reading(NamedTuple):
    """How a model reads: the most that one picture becomes, what it is told besides, whether it may fetch more by itself
    (a search is its own), and by which vocabulary its tokens can be counted (None: not known)."""

    picture_tokens: int = PICTURE_TOKENS
    added_tokens: int = 16
    is_open: bool = False
    vocabulary: str | None = None


PLAIN = Reading()
"""Of a model of which nothing is known."""

_O200K = "o200k_base"
_ROWS = (
    (r"compound|deep-research|search-preview|search-api|:online\b", Reading(is_open=True)),
    (r"\bgrok", Reading(added_tokens=1_024)),
    (r"\bgpt-4o-mini", Reading(48_200, vocabulary=_O200K)),
    (r"\bgpt-4\.1-mini", Reading(2_500, vocabulary=_O200K)),
    (r"\bgpt-4\.1-nano", Reading(3_800, vocabulary=_O200K)),
    (r"\bo4-mini", Reading(2_700, vocabulary=_O200K)),
    (r"\bgpt-5-(mini|nano)", Reading(3_800, vocabulary=_O200K)),
    (r"\b(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5)", Reading(1_500, vocabulary=_O200K)),
    (r"\b(o1|o3|gpt-5)(-mini|-20[\d-]+|-chat-latest)?(?![-.\w])", Reading(1_500, vocabulary=_O200K)),
    (r"\bgpt-oss", Reading(added_tokens=256, vocabulary=_O200K)),
    (r"\bgpt-(4|3\.5)-turbo|\bgpt-4(-\d{4})?(?![-.\w])", Reading(1_500, vocabulary="cl100k_base")),
    (r"\bclaude-", Reading(5_000)),
    (r"\bgemini-3", Reading(2_600)),
)
_COMPILED = tuple((re.compile(pattern), reading) for pattern, reading in _ROWS)


def reading_of(model: str) -> Reading:
    """How a model of this name reads, whatever provider it is called at: `gpt-4o`, `openai/gpt-4o-2024-08-06`."""
    return next((reading for pattern, reading in _COMPILED if pattern.search(model.lower())), PLAIN)
