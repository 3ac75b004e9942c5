"""The catalog: providers, models with their dated prices, aliases, tier rules; indexed the ways a call asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from common.contracts.snapshots import AliasSnapshot, ModelSnapshot, ProviderSnapshot
from common.pricing import FALLBACK, Price, in_force
from common.readings import PLAIN, Reading, reading_of

from gateway.mirrors.tiers import Tiers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider type, with its prices ready to be asked."""

    id: str
    provider_type: str
    name: str
    context_length: int | None
    max_output_tokens: int | None
    capabilities: frozenset[str]
    prices: tuple[Price, ...]
    created: int
    reading: Reading = PLAIN

    def price_at(self, at: datetime) -> Price:
        """The price in force, or the fallback."""
        return in_force(self.prices, at) or FALLBACK


class Catalog:
    """Everything that can be called; `apply` is the mirror's `on_change`. `generation` grows with every change."""

    def __init__(self) -> None:
        self._providers: dict[str, ProviderSnapshot] = {}
        self._models: dict[str, Model] = {}
        self._aliases: dict[str, AliasSnapshot] = {}
        self._by_name: dict[str, dict[str, Model]] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self.tiers = Tiers()
        self.generation = 0

    def apply(self, key: str, body: bytes | None) -> None:
        """Take in one snapshot; ValueError when it makes no sense."""
        kind, _, thing_id = key.partition(".")
        if kind == "provider":
            self._put(self._providers, thing_id, ProviderSnapshot.model_validate_json(body) if body else None)
        elif kind == "alias":
            self._put(self._aliases, thing_id, AliasSnapshot.model_validate_json(body) if body else None)
        elif kind == "model":
            self._put_model(thing_id, ModelSnapshot.model_validate_json(body) if body else None)
        elif kind == "tier":
            self.tiers.apply(thing_id, body)
        self.generation += 1

    def alias(self, name: str) -> AliasSnapshot | None:
        """The alias of this name, if it is enabled."""
        return next((alias for alias in self._aliases.values() if alias.alias == name and alias.enabled), None)

    def model(self, provider_type: str, name: str) -> Model | None:
        """A provider's model, by its own or another of its spellings."""
        return self._by_name.get(name, {}).get(provider_type)

    def models_named(self, name: str) -> dict[str, Model]:
        """The models of this name, by provider type."""
        return self._by_name.get(name, {})

    def instances(self, type_or_name: str) -> list[ProviderSnapshot]:
        """The enabled instances of a provider type, or the one of this name; first by priority, then by name."""
        found = [p for p in self._providers.values() if p.enabled and type_or_name in (p.name, p.provider_type)]
        named = [p for p in found if p.name == type_or_name and p.name != p.provider_type]
        return named or sorted(found, key=lambda provider: (-provider.priority, provider.name))

    def models(self) -> Iterator[Model]:
        """All models."""
        return iter(self._models.values())

    def aliases(self) -> Iterator[AliasSnapshot]:
        """All enabled aliases."""
        return (alias for alias in self._aliases.values() if alias.enabled)

    def _put_model(self, model_id: str, snapshot: ModelSnapshot | None) -> None:
        old = self._models.pop(model_id, None)
        for name in self._names.pop(model_id, ()):
            if old is not None and self._by_name.get(name, {}).get(old.provider_type) is old:
                del self._by_name[name][old.provider_type]
        if snapshot is None or not snapshot.enabled:
            return
        model = _compile(snapshot)
        self._models[model_id] = model
        self._names[model_id] = (snapshot.name, *snapshot.names)
        self._by_name.setdefault(snapshot.name, {})[model.provider_type] = model
        for name in snapshot.names:  # another model's own name goes before this one's other spellings
            self._by_name.setdefault(name, {}).setdefault(model.provider_type, model)

    @staticmethod
    def _put(table: dict[str, T], thing_id: str, thing: T | None) -> None:
        if thing is None:
            table.pop(thing_id, None)
        else:
            table[thing_id] = thing


def _compile(snapshot: ModelSnapshot) -> Model:
    return Model(
        id=snapshot.id,
        provider_type=snapshot.provider_type,
        name=snapshot.name,
        context_length=snapshot.context_length,
        max_output_tokens=snapshot.max_output_tokens,
        capabilities=frozenset(snapshot.capabilities),
        prices=tuple(price.to_price() for price in snapshot.prices),
        created=int(snapshot.created_at.timestamp()) if snapshot.created_at else 0,
        reading=reading_of(snapshot.name),
    )
