"""What others have told of keys, users, teams and models: copies in memory, for whoever asks what a call would meet.

`apply_key` and `apply_model` are the mirrors' `on_change`. Nothing that is booked depends on these copies.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.contracts.holders import Holders, put
from common.contracts.snapshots import (
    AliasSnapshot,
    KeySnapshot,
    Limits,
    ModelSnapshot,
)


class Known:
    """Copies of the buckets `keys` and `catalog`; bounded by what these hold."""

    def __init__(self) -> None:
        self.keys: dict[str, KeySnapshot] = {}
        self._holders = Holders()
        self._models: dict[str, ModelSnapshot] = {}
        self._aliases: dict[str, AliasSnapshot] = {}

    def apply_key(self, key: str, body: bytes | None) -> None:
        """Take in one snapshot of bucket `keys`; ValueError when it makes no sense."""
        if not self._holders.apply(key, body):
            put(self.keys, key, KeySnapshot.model_validate_json(body) if body is not None else None)

    def apply_model(self, key: str, body: bytes | None) -> None:
        """Take in one snapshot of bucket `catalog`; ValueError when it makes no sense."""
        kind, _, name = key.partition(".")
        if kind == "model":
            put(self._models, name, ModelSnapshot.model_validate_json(body) if body else None)
        elif kind == "alias":
            put(self._aliases, name, AliasSnapshot.model_validate_json(body) if body else None)

    def owner_of(self, api_key_id: str) -> str | None:
        """The user that a key belongs to; None for a key that is not known or nobody's."""
        key = self.keys.get(api_key_id)
        return key.user_id if key is not None else None

    def monthly_limits(self, user_id: str | None, team_id: str | None) -> list[tuple[str, Limits]]:
        """The limits of a user and a team, by scope, as far as they have any."""
        found: list[tuple[str, Limits | None]] = [
            (f"user:{user_id}", self._holders.user_limits(user_id)),
            (f"team:{team_id}", self._holders.team_limits(team_id)),
        ]
        return [(scope, limits) for scope, limits in found if limits is not None]

    def model(self, provider_type: str, name: str) -> ModelSnapshot | None:
        """A provider's model by its own name or another of its spellings."""
        named = [model for model in self._models.values() if model.provider_type == provider_type]
        own = (model for model in named if model.name == name)
        return next(own, next((model for model in named if name in model.names), None))

    def spellings(self, provider_type: str | None, name: str) -> Sequence[str]:
        """Every name that providers take a model by, or the one provider does that is meant; this one at least."""
        meant = [one for one in self._models.values() if provider_type in (None, one.provider_type)]
        found = {spelling for one in meant if name in (one.name, *one.names) for spelling in (one.name, *one.names)}
        return sorted({name, *found})

    def models_named(self, name: str) -> list[ModelSnapshot]:
        """The models that a name may mean: an alias's, in their order; `provider/name`; else everybody's of that name."""
        alias = next((alias for alias in self._aliases.values() if alias.alias == name and alias.enabled), None)
        if alias is not None:
            ordered = sorted(alias.deployments, key=lambda place: (place.priority, -place.weight))
            return [model for place in ordered if (model := self.model(place.provider, place.model)) is not None]
        provider, slash, rest = name.partition("/")
        qualified = self.model(provider, rest) if slash else None
        if qualified is not None:
            return [qualified]
        return [model for model in self._models.values() if name in (model.name, *model.names) and model.enabled]
