"""The public shapes of comparisons and estimates."""

from __future__ import annotations

from typing import Annotated

from common.money import plain
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from catalog_sync.api.shapes import ModelEntry, PriceEntry
from catalog_sync.domain.estimates import Estimate, PricedEntry, Volume, tokens_of

Tokens = Annotated[int, Field(ge=0, le=1_000_000_000)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class ComparedEntry(ModelEntry):
    """A model beside others: as the list shows it, and its whole price; null when none is known."""

    price: PriceEntry | None

    @classmethod
    def with_price(cls, priced: PricedEntry) -> ComparedEntry:
        """The model as it is shown."""
        price = PriceEntry.of(priced.price) if priced.price else None
        return cls(**ModelEntry.of(priced.entry).model_dump(), price=price)


class EstimateRequest(BaseModel):
    """Models (ids or `provider/name`s) and what one call is like: its input as `input_tokens` or as `text`."""

    model_config = ConfigDict(extra="forbid")

    models: Annotated[list[Reference], Field(min_length=1, max_length=50)]
    input_tokens: Tokens | None = None
    text: Annotated[str, StringConstraints(max_length=1_000_000)] | None = None
    cached_input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    calls_per_month: Annotated[int, Field(ge=0, le=1_000_000_000_000)] | None = None

    @model_validator(mode="after")
    def _has_one_input(self) -> EstimateRequest:
        if (self.input_tokens is None) == (self.text is None):
            raise ValueError("give either input_tokens or text")
        return self

    def to_volume(self) -> Volume:
        """What is asked for, in tokens."""
        return Volume(
            input_tokens=tokens_of(self.text) if self.text is not None else self.input_tokens or 0,
            output_tokens=self.output_tokens,
            cached_input_tokens=self.cached_input_tokens,
            calls_per_month=self.calls_per_month,
            is_counted_from_text=self.text is not None,
        )


class EstimateEntry(BaseModel):
    """What it would cost at one model, in US dollars as decimal strings. `is_fallback`: the model has no price;
    `tokens_estimated`: the input was counted by us, which no model does exactly so."""

    model_id: str
    provider_name: str
    name: str
    input_tokens: int
    output_tokens: int
    cost_usd: str
    monthly_cost_usd: str | None
    price_version: str
    is_fallback: bool
    tokens_estimated: bool

    @classmethod
    def of(cls, estimate: Estimate) -> EstimateEntry:
        """The estimate as it is shown."""
        monthly = estimate.monthly_cost_usd
        return cls(
            model_id=estimate.entry.model.id,
            provider_name=estimate.entry.provider_name,
            name=estimate.entry.model.facts.name,
            input_tokens=estimate.volume.input_tokens,
            output_tokens=estimate.volume.output_tokens,
            cost_usd=plain(estimate.cost_usd),
            monthly_cost_usd=None if monthly is None else plain(monthly),
            price_version=estimate.price_version,
            is_fallback=estimate.is_fallback,
            tokens_estimated=estimate.volume.is_counted_from_text,
        )
