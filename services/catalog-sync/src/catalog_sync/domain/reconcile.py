"""What a sync has to change: a source's models against ours. Pure, and idempotent: applied, it finds nothing more.

- Facts follow the source that a model came from; what that one leaves open others fill in, and nothing that is known is
  forgotten. Whether a model is enabled is ours to say, and models of our own are touched by no source.
- Prices follow it from now on, by new rows only. What is already written down stays written down: a price of which the
  source does not say since when it holds is new from the moment we read it. Where the source gives a date that
  we have no row for, a row is added at that date.
- A model that the source lists no more is marked gone and stays as it is: its provider may still serve it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from common.pricing import Price, in_force

from catalog_sync.domain.models import OWN, Facts, Model, PricedModel
from catalog_sync.domain.normalise import SourcedModel
from catalog_sync.domain.prices import ALWAYS, effective, is_same_content, restarted


@dataclass(frozen=True, slots=True)
class Change:
    """A model that is new or has changed: as it is now, with all its price rows, of which the last are new."""

    after: PricedModel
    prices_to_add: tuple[Price, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between a source and ours."""

    added: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()
    gone: tuple[PricedModel, ...] = ()
    unchanged: int = 0

    @property
    def prices_added(self) -> int:
        """How many price rows are new."""
        return sum(len(change.prices_to_add) for change in (*self.added, *self.changed))

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.gone)


def reconcile(ours: Collection[PricedModel], theirs: Iterable[SourcedModel], source: str, now: datetime) -> Changes:
    """What has to change, so that our models of this source are what the source lists."""
    held = {one.model.id: one for one in ours}
    foreign = _names_of(one.model for one in ours if one.model.source != source)
    others = {one.model.id for one in ours if one.model.source not in (source, OWN)}
    listed = {one.facts.model_id: one for one in _apart(theirs, foreign, others)}
    added = tuple(_addition(one, source, now) for model_id, one in listed.items() if model_id not in held)
    compared = [_change(held[model_id], one, source, now) for model_id, one in listed.items() if model_id in held]
    changed = tuple(change for change in compared if change is not None)
    gone = tuple(_gone(one, now) for one in ours if _is_newly_gone(one.model, source, listed))
    return Changes(added, changed, gone, unchanged=len(compared) - len(changed))


def prices_to_add(model_id: str, ours: Sequence[Price], theirs: Sequence[Price], now: datetime) -> tuple[Price, ...]:
    """The rows to add, so that from now on our prices are theirs. `ours` in the order added in, `theirs` by start."""
    if not theirs or not ours:
        return tuple(theirs)  # a price that the source knows no more stays: the last one known
    rows, added = list(ours), []
    for at in _moments(ours, theirs, now):
        wanted = in_force(theirs, at)
        if wanted is not None and not is_same_content(in_force(effective(rows), at), wanted):
            added.append(restarted(model_id, wanted, at))
            rows.append(added[-1])
    return tuple(added)


def _moments(ours: Sequence[Price], theirs: Sequence[Price], now: datetime) -> list[datetime]:
    """Where the two may differ in what we can still say: dates of theirs that we lack, now, and all to come."""
    known = {price.starts_at for price in ours}
    dates = {price.starts_at for price in theirs if price.starts_at > ALWAYS}
    return sorted({now} | {at for at in dates - known if at < now} | {at for at in dates | known if at > now})


def _addition(sourced: SourcedModel, source: str, now: datetime) -> Change:
    model = Model(sourced.facts, source, now, now, deprecated_at=_deprecated_at(sourced, None, now))
    return Change(PricedModel(model, sourced.prices), sourced.prices)


def _change(found: PricedModel, sourced: SourcedModel, source: str, now: datetime) -> Change | None:
    model = found.model
    prices = prices_to_add(model.id, found.prices, sourced.prices, now)
    if model.source == source:
        deprecated_at = _deprecated_at(sourced, model.deprecated_at, now)
        facts = completed(sourced.facts, model.facts)
        after = replace(model, facts=facts, deprecated_at=deprecated_at, gone_at=None)
    else:
        facts = completed(model.facts, sourced.facts)
        after = replace(model, facts=facts, deprecated_at=model.deprecated_at or sourced.ends_at)
    if after == model and not prices:
        return None
    return Change(PricedModel(replace(after, updated_at=now), found.prices + prices), prices)


def completed(facts: Facts, by: Facts) -> Facts:
    """Facts, with what they leave open filled in. Capabilities beyond plain chat are a statement, chat alone is none."""
    says_little = facts.capabilities == ("chat",) and "chat" in by.capabilities
    return replace(
        facts,
        context_length=facts.context_length or by.context_length,
        max_output_tokens=facts.max_output_tokens or by.max_output_tokens,
        capabilities=by.capabilities if says_little else facts.capabilities,
    )


def _deprecated_at(sourced: SourcedModel, before: datetime | None, now: datetime) -> datetime | None:
    """The date that the source gives; without one, since when we have heard it is deprecated."""
    heard = before if before is not None and before > now else None  # an announced end stays announced
    return sourced.ends_at or ((before or now) if sourced.is_deprecated else heard)


def _gone(one: PricedModel, now: datetime) -> PricedModel:
    return replace(one, model=replace(one.model, gone_at=now, updated_at=now))


def _is_newly_gone(model: Model, source: str, listed: Collection[str]) -> bool:
    return model.source == source and model.gone_at is None and model.id not in listed


def _names_of(models: Iterable[Model]) -> set[tuple[str, str]]:
    facts = [model.facts for model in models]
    return {(one.provider_type, name) for one in facts for name in (one.name, *one.names)}


def _apart(
    theirs: Iterable[SourcedModel], foreign: Collection[tuple[str, str]], others: Collection[str]
) -> Iterator[SourcedModel]:
    """Their models, and what they say of other sources' (`others`), without names that belong to another model."""
    for one in theirs:
        facts = one.facts
        if facts.model_id in others:
            yield one
        elif (facts.provider_type, facts.name) not in foreign:
            names = tuple(name for name in facts.names if (facts.provider_type, name) not in foreign)
            yield replace(one, facts=replace(facts, names=names))
