"""A credential with its secret, ready to be shown to a provider."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.secret import Secret


class KeyvaultAway(Exception):
    """keyvault did not hand out a secret."""


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

    @property
    def is_own(self) -> bool:
        """Whether it is a user's own, whose calls the user pays the provider for."""
        return self.owner_user_id is not None
