"""A credential with its secret, ready to be shown to a provider."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.secret import Secret

DAY_SECONDS = 24 * 3600.0
"""How long a secret is used without hearing from keyvault, at most."""


class NoSecret(Exception):
    """What a provider would be shown is not to be had: from keyvault, or from whoever exchanges it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """One usable credential; `owner_user_id` None: the system's."""

    id: str
    provider_type: str
    version: int
    secret: Secret = field(repr=False)
    base_url: str | None
    on_simulator: bool
    owner_user_id: str | None = None
    lasts_seconds: float = DAY_SECONDS
    """How long it may be used from when it was made; by half of that a system's is renewed."""

    @property
    def is_own(self) -> bool:
        """Whether it is a user's own, whose calls the user pays the provider for."""
        return self.owner_user_id is not None
