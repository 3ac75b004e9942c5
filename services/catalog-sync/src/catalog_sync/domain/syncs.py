"""The records of what happened: syncs, and the names that calls used and the catalog lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from catalog_sync.domain.vetting import Reason

SeenKind = Literal["unknown", "unpriced", "dated"]


@dataclass(frozen=True, slots=True)
class Sync:
    """One sync of one source: how much changed, what (`changes`: a bounded part of it), how much is held back; `error` says
    in words why nothing was changed."""

    id: str
    source: str
    started_at: datetime
    ended_at: datetime
    added: int = 0
    changed: int = 0
    gone: int = 0
    prices_added: int = 0
    held: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class HeldItem:
    """Something of a source that waits for a person, or of which one has decided."""

    id: str
    source: str
    subject: str
    reason: Reason
    proposed: dict[str, Any]
    present: dict[str, Any] | None
    state: str
    found_at: datetime
    decided_at: datetime | None
    decided_by: str | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """A call of a model that had no price, or of a name that nobody serves (then `provider_type` may be empty)."""

    provider_type: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SeenModel:
    """A name that was called: `is_listed` when the catalog knows the model and has no price for it; else `like` names the
    model that it seems to be a dated version of, if there is one."""

    provider_type: str
    name: str
    first_seen: datetime
    last_seen: datetime
    calls: int
    is_listed: bool
    like: str | None

    @property
    def kind(self) -> SeenKind:
        """What is wrong with the name."""
        if self.is_listed:
            return "unpriced"
        return "unknown" if self.like is None else "dated"


def by_model(sightings: Iterable[Sighting]) -> Mapping[tuple[str, str], tuple[datetime, ...]]:
    """The instants of the sightings of each (provider type, name), in order of these, so that no two writers wait
    for each other."""
    found: dict[tuple[str, str], list[datetime]] = {}
    for one in sightings:
        found.setdefault((one.provider_type, one.name), []).append(one.at)
    return {key: tuple(sorted(found[key])) for key in sorted(found)}
