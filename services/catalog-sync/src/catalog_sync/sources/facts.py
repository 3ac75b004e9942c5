"""What is known of models beside their prices: context, longest output, capabilities, announced end.

`facts.json` is a committed table, made by `python -m catalog_sync.sources.make_facts` from a public price file, so that
a catalog without a network knows more than prices. Where a host's model is not in the table, its capabilities are those
of a model of the same name elsewhere: what a model can do is the model's, how much of it a host allows is the host's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

FILE = "facts.json"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the table says of one model; empty members where it says nothing."""

    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class KnownFacts:
    """The table, by provider type and name, and its capabilities by bare name."""

    by_type: Mapping[str, Mapping[str, ModelFacts]]
    anywhere: Mapping[str, tuple[str, ...]]

    def of(self, provider_type: str, names: Iterable[str]) -> ModelFacts:
        """What is known of a provider's model, by any of its spellings."""
        own, spellings = self.by_type.get(provider_type, {}), list(names)
        for spelling in (*spellings, *map(bare, spellings)):
            if spelling in own:
                return own[spelling]
        return ModelFacts(
            capabilities=next((self.anywhere[bare(one)] for one in spellings if bare(one) in self.anywhere), ())
        )


def bare(name: str) -> str:
    """A name without its maker and variant, in one spelling: `anthropic/claude-3.5-sonnet:beta` → `claude-3-5-sonnet`."""
    return name.rsplit("/", 1)[-1].partition(":")[0].lower().replace(".", "-")


def read_facts() -> KnownFacts:
    """The committed table."""
    content = json.loads((files("catalog_sync.sources") / FILE).read_text())
    by_type: dict[str, dict[str, ModelFacts]] = {}
    anywhere: dict[str, tuple[str, ...]] = {}
    for provider_type, models in content.items():
        own = {name: _facts(row) for name, row in models.items()}
        by_type[provider_type] = {**{bare(name): facts for name, facts in own.items()}, **own}
        for name, facts in own.items():
            anywhere.setdefault(bare(name), facts.capabilities)
    return KnownFacts(by_type, anywhere)


def _facts(row: list[Any]) -> ModelFacts:
    context_length, max_output_tokens, capabilities, end = row
    ends_at = datetime.strptime(end, "%Y-%m-%d").replace(tzinfo=UTC) if end else None
    return ModelFacts(context_length, max_output_tokens, tuple(capabilities.split()), ends_at)
