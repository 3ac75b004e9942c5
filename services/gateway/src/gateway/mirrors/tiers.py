"""The rules of account tiers: which models a tier's keys may call, each rule as one regular expression."""

from __future__ import annotations

import re

from common.contracts.snapshots import AccountTierSnapshot

_EVERYTHING = "*"


class Tiers:
    """Every tier's rule. A tier without one is not restricted, nor is a key without a tier."""

    def __init__(self) -> None:
        self._allowed: dict[str, re.Pattern[str]] = {}

    def apply(self, tier: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        allowed = AccountTierSnapshot.model_validate_json(body).allowed if body else (_EVERYTHING,)
        if _EVERYTHING in allowed:
            self._allowed.pop(tier, None)
        else:
            self._allowed[tier] = re.compile("|".join(map(_expression, allowed)) or r"(?!)")

    def restricts(self, tier: str | None) -> bool:
        """Whether there is anything that a tier's keys may not call."""
        return tier in self._allowed

    def allows(self, tier: str | None, provider_type: str, model: str) -> bool:
        """Whether a tier's keys may call a provider's model."""
        rule = self._allowed.get(tier) if tier is not None else None
        return rule is None or rule.fullmatch(f"{provider_type}/{model}") is not None


def _expression(pattern: str) -> str:
    return ".*".join(map(re.escape, pattern.split("*")))
