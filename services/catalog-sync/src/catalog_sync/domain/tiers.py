"""Tier rules: which models the keys of an account tier may call, as patterns `<provider type>/<name>`.

`*` stands for anything, within a name or for everything. Each tier's rule stands for itself, so that what a tier may call
is read in one place; the gateways enforce it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from common.contracts.snapshots import AccountTier
from common.errors import Unprocessable

from catalog_sync.domain.provider_types import is_known

_PATTERN = re.compile(r"(\*|[a-z0-9][a-z0-9_-]{0,63})/([!-~]{1,256})")
_MOST_STARS = 4
"""More would make a pattern slow to try."""

_TRIAL = ("openrouter/*:free", "ollama/*", "vllm/*")
_STARTER = (*_TRIAL, "openrouter/*", "groq/*", "together/*")
_PROFESSIONAL = (*_STARTER, "openai/gpt-3.5*", "openai/gpt-4o-mini*", "anthropic/*haiku*")

DEFAULTS: Mapping[AccountTier, tuple[str, ...]] = MappingProxyType(
    {
        "trial": _TRIAL,
        "starter": tuple(one for one in _STARTER if one != "openrouter/*:free"),
        "professional": tuple(one for one in _PROFESSIONAL if one != "openrouter/*:free"),
        "enterprise": ("*",),
    }
)
"""What each tier may call before an admin says otherwise."""


class WrongPattern(Unprocessable):
    """A pattern that allows nothing, or that nobody could read."""

    code = "wrong_pattern"


@dataclass(frozen=True, slots=True)
class TierRule:
    """Which models the keys of a tier may call."""

    tier: AccountTier
    allowed: tuple[str, ...]
    updated_at: datetime


def check_patterns(patterns: Sequence[str], known_types: Collection[str]) -> tuple[str, ...]:
    """The patterns, each once; WrongPattern names the first that is none, with the nearest provider types."""
    for pattern in patterns:
        found = _PATTERN.fullmatch(pattern)
        if pattern != "*" and (found is None or pattern.count("*") > _MOST_STARS):
            raise WrongPattern(f"{pattern[:64]} is no pattern: write *, or provider/name with up to {_MOST_STARS} *")
        if found is not None and found[1] != "*" and not is_known(found[1]):
            close = difflib.get_close_matches(found[1], sorted(known_types), 3)
            nearest = f"; nearest: {', '.join(close)}" if close else ""
            raise WrongPattern(f"unknown provider: {found[1]}{nearest}")
    return tuple(dict.fromkeys(patterns))
