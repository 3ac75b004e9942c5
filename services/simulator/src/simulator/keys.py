"""Judges the keys that callers show: by their names, and by what was revoked over the control routes.

`sim-bad-…` was never valid, `sim-revoked-…` no longer is; any other key is good until it is revoked. Revoked keys are
kept as digests, because even a made-up key may turn out to be somebody's real one.
"""

from __future__ import annotations

from hashlib import sha256

from simulator.refusals import Refusal

MOST_REVOKED = 10_000
BAD, REVOKED = "sim-bad-", "sim-revoked-"


class Keys:
    """Which keys are good."""

    def __init__(self) -> None:
        self._revoked: dict[bytes, None] = {}

    def revoke(self, key: str) -> None:
        """Refuses `key` from now on; the oldest revocation is forgotten past the bound."""
        self._revoked[_digest(key)] = None
        if len(self._revoked) > MOST_REVOKED:
            del self._revoked[next(iter(self._revoked))]

    def restore(self) -> None:
        """Forgets all revocations."""
        self._revoked.clear()

    def check(self, key: str, *, is_needed: bool) -> None:
        """Raises Refusal 401 for a key that is not good, or missing where one is needed."""
        if not key:
            if is_needed:
                raise Refusal(401, "No API key came with the request.", code="invalid_api_key")
        elif key.startswith(BAD):
            raise Refusal(401, "The API key is not valid.", code="invalid_api_key")
        elif key.startswith(REVOKED) or (self._revoked and _digest(key) in self._revoked):
            raise Refusal(401, "The API key has been revoked.", code="invalid_api_key")


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
