"""The public shapes of models, prices, syncs and sightings."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from common.http.pages import JsonNumber
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog_sync.domain.models import Facts, ListedEntry
from catalog_sync.domain.prices import PriceRow, content_of
from catalog_sync.domain.syncs import SeenKind, SeenModel, Sync

ModelName = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,256}$")]
"""A name that a provider takes: printable, without spaces."""


class ModelEntry(BaseModel):
    """A model of the public list. An unknown price is null; an explicit zero is 0. Costs are US dollars."""

    id: str
    provider_id: str
    provider_name: str
    name: str
    display_name: str
    description: str
    cost_per_1m_input: JsonNumber | None
    cost_per_1m_output: JsonNumber | None
    context_length: int | None
    enabled: bool
    capabilities: list[str]
    max_output_tokens: int | None
    cost_per_1m_cached_input: JsonNumber | None
    cost_per_1m_cache_write: JsonNumber | None
    deprecated_at: datetime | None
    updated_at: datetime

    @classmethod
    def of(cls, entry: ListedEntry) -> ModelEntry:
        """The entry as it is shown."""
        model, facts, rates = entry.model, entry.model.facts, entry.rates or {}
        return cls(
            id=model.id,
            provider_id=entry.provider_id,
            provider_name=entry.provider_name,
            name=facts.name,
            display_name=facts.display_name,
            description=facts.description,
            cost_per_1m_input=rates.get("input_tokens"),
            cost_per_1m_output=rates.get("output_tokens"),
            context_length=facts.context_length,
            enabled=entry.enabled,
            capabilities=list(facts.capabilities),
            max_output_tokens=facts.max_output_tokens,
            cost_per_1m_cached_input=rates.get("cached_input_tokens"),
            cost_per_1m_cache_write=rates.get("cache_write_5m_tokens"),
            deprecated_at=model.deprecated_at,
            updated_at=model.updated_at,
        )


class PriceEntry(BaseModel):
    """One dated price row: rates are decimal strings, US dollars per million tokens of a bucket or per one of a unit."""

    version: str
    starts_at: datetime
    rates: dict[str, str]
    tiers: list[dict[str, Any]]
    variants: dict[str, dict[str, str]]
    source: str
    read_at: datetime

    @classmethod
    def of(cls, row: PriceRow) -> PriceEntry:
        """The row as it is shown."""
        price = row.price
        return cls(
            version=price.version,
            starts_at=price.starts_at,
            source=row.source,
            read_at=row.read_at,
            **content_of(price),
        )


class SyncEntry(BaseModel):
    """The record of one sync."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    source: str
    started_at: datetime
    ended_at: datetime
    added: int
    changed: int
    gone: int
    prices_added: int
    held: int
    error: str | None

    @classmethod
    def of(cls, sync: Sync) -> SyncEntry:
        """The record as it is shown."""
        return cls.model_validate(sync)


class SyncDetail(SyncEntry):
    """A sync with what it changed: `added`, `changed`, `gone`, `held`, the first 200 of each."""

    changes: dict[str, Any]


class SeenEntry(BaseModel):
    """A name that was called and that the catalog does not know (`unknown`), has no price for (`unpriced`, `is_listed`) or
    knows without its date (`dated`: `like` is the model). `provider_type` is empty where nobody knows. `calls` is
    approximate."""

    model_config = ConfigDict(from_attributes=True)

    provider_type: str
    name: str
    first_seen: datetime
    last_seen: datetime
    calls: int
    is_listed: bool
    kind: SeenKind
    like: str | None

    @classmethod
    def of(cls, seen: SeenModel) -> SeenEntry:
        """The sighting as it is shown."""
        return cls.model_validate(seen)


Cost = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=18, decimal_places=12)]


class ModelDraft(BaseModel):
    """A model of our own: at a provider type or instance, with both costs or neither (US dollars per 1M tokens)."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(min_length=1, max_length=64)
    name: ModelName
    display_name: str | None = Field(default=None, min_length=1, max_length=256)
    context_length: int | None = Field(default=None, ge=1, le=1 << 40)
    max_output_tokens: int | None = Field(default=None, ge=1, le=1 << 40)
    cost_per_1m_input: Cost | None = None
    cost_per_1m_output: Cost | None = None

    def to_facts(self) -> Facts:
        """The facts, whose provider type is still open."""
        return Facts(
            provider_type="",
            name=self.name,
            display_name=self.display_name or self.name,
            context_length=self.context_length,
            max_output_tokens=self.max_output_tokens,
        )

    def to_rates(self) -> dict[str, Decimal] | None:
        """The rates, or None without costs."""
        if self.cost_per_1m_input is None or self.cost_per_1m_output is None:
            return None
        return {"input_tokens": self.cost_per_1m_input, "output_tokens": self.cost_per_1m_output}

    @property
    def has_half_a_price(self) -> bool:
        """Whether one cost is given without the other."""
        return (self.cost_per_1m_input is None) != (self.cost_per_1m_output is None)


class ModelPatch(BaseModel):
    """What an admin may change of any model."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool
