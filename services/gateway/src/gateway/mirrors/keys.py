"""The virtual keys, found by the SHA-256 of what a client shows; and the users and teams that they belong to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from common.budgets import nano_floor
from common.contracts.holders import Holders
from common.contracts.snapshots import KeySnapshot


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A virtual key as the hot path needs it: limits as integers, 0 or -1 for none."""

    id: str
    user_id: str | None
    team_id: str | None
    tier: str | None
    enabled: bool
    rate_limit: int
    token_limit: int
    max_concurrency: int
    budget_nano: int
    allowed_models: frozenset[str] | None
    expires_at: datetime | None
    cache_seconds: int = 0
    """How old an answer from the response cache may be; 0: it is not used."""

    def is_valid(self, at: datetime, secret_expires_at: datetime | None) -> bool:
        """Whether the key, shown by a secret that expires then, counts at an instant."""
        ends = (self.expires_at, secret_expires_at)
        return self.enabled and all(end is None or at < end for end in ends)


class Keys:
    """All keys, and whom they belong to; `apply` is the mirror's `on_change`. `generation` grows with every change."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, tuple[ApiKey, datetime | None]] = {}
        self._digests: dict[str, tuple[bytes, ...]] = {}
        self._holders = Holders()
        self.user_limits, self.team_limits = self._holders.user_limits, self._holders.team_limits
        self.generation = 0

    def __len__(self) -> int:
        return len(self._digests)

    def apply(self, name: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        self.generation += 1
        if not self._holders.apply(name, body):
            self._apply_key(name, body)

    def _apply_key(self, key_id: str, body: bytes | None) -> None:
        snapshot = KeySnapshot.model_validate_json(body) if body is not None else None
        for digest in self._digests.pop(key_id, ()):
            self._by_digest.pop(digest, None)
        if snapshot is None:
            return
        key = _compile(snapshot)
        for secret in snapshot.secrets:
            self._by_digest[bytes.fromhex(secret.sha256)] = (key, secret.expires_at)
        self._digests[key_id] = tuple(bytes.fromhex(secret.sha256) for secret in snapshot.secrets)

    def find(self, secret: bytes, at: datetime) -> ApiKey | None:
        """The key that a secret belongs to, if it counts at an instant."""
        found = self._by_digest.get(hashlib.sha256(secret).digest())
        if found is None:
            return None
        key, expires_at = found
        return key if key.is_valid(at, expires_at) and self._may_call(key) else None

    def _may_call(self, key: ApiKey) -> bool:
        user = self._holders.users.get(key.user_id) if key.user_id is not None else None
        team = self._holders.teams.get(key.team_id) if key.team_id is not None else None
        return (user is None or user.enabled) and (team is None or team.enabled)


def _compile(snapshot: KeySnapshot) -> ApiKey:
    budget = snapshot.monthly_budget
    return ApiKey(
        id=snapshot.id,
        user_id=snapshot.user_id,
        team_id=snapshot.team_id,
        tier=snapshot.tier,
        enabled=snapshot.enabled,
        rate_limit=snapshot.rate_limit or 0,
        token_limit=snapshot.token_limit or 0,
        max_concurrency=snapshot.max_concurrency or 0,
        budget_nano=-1 if budget is None else nano_floor(budget),
        allowed_models=None if snapshot.allowed_models is None else frozenset(snapshot.allowed_models),
        expires_at=snapshot.expires_at,
        cache_seconds=snapshot.cache_ttl_s or 0,
    )
