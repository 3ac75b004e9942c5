"""A model of the catalog: what a provider of some type serves under some name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from common.ids import derived_id
from common.pricing import Price

OWN = "own"
"""The source of models that an admin made: no sync changes them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source says of a model, apart from its prices. `names` are other spellings that its provider takes."""

    provider_type: str
    name: str
    display_name: str
    description: str = ""
    names: tuple[str, ...] = ()
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ("chat",)

    @property
    def model_id(self) -> str:
        """The id of the model that is meant: opaque, without slashes, always the same for the same name."""
        return derived_id("model", self.provider_type, self.name)


@dataclass(frozen=True, slots=True)
class Model:
    """One row: the facts, and what we ourselves say of it. `gone_at`: since when its source lacks it."""

    facts: Facts
    source: str
    created_at: datetime
    updated_at: datetime
    enabled: bool = True
    deprecated_at: datetime | None = None
    gone_at: datetime | None = None

    @property
    def id(self) -> str:
        """Opaque, without slashes."""
        return self.facts.model_id


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model with its price rows, in the order they were added in."""

    model: Model
    prices: tuple[Price, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """A model as the public list shows it: with its provider, whether it can be called, and the rates in force
    (None: no price is known)."""

    model: Model
    provider_id: str
    provider_name: str
    enabled: bool
    rates: Mapping[str, Decimal] | None

    @property
    def reference(self) -> str:
        """`provider/name`, as a call may name it."""
        return f"{self.model.facts.provider_type}/{self.model.facts.name}"


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models a reader asks for; None asks for all."""

    provider: str | None = None
    search: str | None = None
    capability: str | None = None
    enabled: bool | None = None
