"""A source's models against ours, over any sequence of syncs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from catalog_sync.domain.listing import ListedModel, ListedPrice, Quote
from catalog_sync.domain.models import OWN, Facts, Model, PricedModel
from catalog_sync.domain.normalise import SourcedModel, normalise
from catalog_sync.domain.prices import effective, is_same_content
from catalog_sync.domain.reconcile import Changes, reconcile
from common.pricing import in_force
from hypothesis import given
from hypothesis import strategies as st

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SOURCE = "packaged"

_rates = st.integers(0, 3).map(lambda rate: {"input_tokens": Quote(Decimal(rate))})
_quotes = st.one_of(st.just({}), _rates)
_schedules = st.tuples(
    _quotes, st.lists(st.tuples(st.integers(-5, 25), _quotes), max_size=3, unique_by=lambda one: one[0])
)
_sources = st.dictionaries(st.sampled_from(["a", "b", "c:free"]), _schedules)


def sourced(source: dict[str, tuple[dict[str, Quote], list[tuple[int, dict[str, Quote]]]]]) -> tuple[SourcedModel, ...]:
    return normalise(
        ListedModel(
            Facts("openai", name, name),
            (
                ListedPrice(None, (first,)),
                *(ListedPrice(START + day * DAY, (q,)) for day, q in sorted(later, key=_day)),
            ),
        )
        for name, (first, later) in source.items()
    )


def _day(entry: tuple[int, object]) -> int:
    return entry[0]


def applied(ours: dict[str, PricedModel], changes: Changes) -> dict[str, PricedModel]:
    after = [change.after for change in (*changes.added, *changes.changed)]
    return {**ours, **{one.model.id: one for one in (*after, *changes.gone)}}


@given(st.lists(st.tuples(st.integers(0, 4), _sources), max_size=6))
def test_any_sequence_of_syncs_leaves_exactly_one_price_in_force_at_any_instant(
    steps: list[tuple[int, dict[str, tuple[dict[str, Quote], list[tuple[int, dict[str, Quote]]]]]]],
) -> None:
    ours: dict[str, PricedModel] = {}
    now = START
    for days, source in steps:
        now += days * DAY
        theirs = sourced(source)
        before = ours
        ours = applied(ours, reconcile(ours.values(), theirs, SOURCE, now))
        assert not reconcile(ours.values(), theirs, SOURCE, now + timedelta(hours=1)), "a second run finds nothing"
        for model_id, one in before.items():
            assert ours[model_id].prices[: len(one.prices)] == one.prices, "no row is changed or lost"
        for model in theirs:
            rows = effective(ours[model.facts.model_id].prices)
            assert len({row.starts_at for row in rows}) == len(rows)
            for at in (now + n * DAY / 2 for n in range(60)):
                if model.prices:
                    assert is_same_content(in_force(rows, at), in_force(model.prices, at))
            if rows:
                assert in_force(rows, datetime(1970, 1, 1, tzinfo=UTC)) is not None


def test_what_was_already_charged_stays_what_it_was() -> None:
    ours = applied({}, reconcile((), sourced({"a": (_at(1), [])}), SOURCE, START))
    later = START + 10 * DAY
    ours = applied(ours, reconcile(ours.values(), sourced({"a": (_at(2), [])}), SOURCE, later))
    [model] = ours.values()
    rows = effective(model.prices)
    assert in_force(rows, later - DAY).rates == {"input_tokens": Decimal(1)}  # type: ignore[union-attr]
    assert in_force(rows, later).rates == {"input_tokens": Decimal(2)}  # type: ignore[union-attr]


def test_a_date_that_the_source_gives_holds_though_we_heard_of_it_later() -> None:
    ours = applied({}, reconcile((), sourced({"a": (_at(1), [])}), SOURCE, START))
    listing = sourced({"a": (_at(1), [(3, _at(2))])})
    changes = reconcile(ours.values(), listing, SOURCE, START + 10 * DAY)
    assert [price.starts_at for price in changes.changed[0].prices_to_add] == [START + 3 * DAY]


def test_a_model_that_is_gone_stays_callable_and_counts_as_gone_once() -> None:
    ours = applied({}, reconcile((), sourced({"a": (_at(1), []), "b": (_at(1), [])}), SOURCE, START))
    changes = reconcile(ours.values(), sourced({"a": (_at(1), [])}), SOURCE, START + DAY)
    [gone] = changes.gone
    assert (gone.model.facts.name, gone.model.enabled, gone.model.gone_at) == ("b", True, START + DAY)
    ours = applied(ours, changes)
    assert not reconcile(ours.values(), sourced({"a": (_at(1), [])}), SOURCE, START + 2 * DAY)
    back = reconcile(ours.values(), sourced({"a": (_at(1), []), "b": (_at(1), [])}), SOURCE, START + 3 * DAY)
    assert [change.after.model.gone_at for change in back.changed] == [None]


def test_a_source_that_lists_nothing_harms_nothing() -> None:
    ours = applied({}, reconcile((), sourced({"a": (_at(1), [])}), SOURCE, START))
    after = applied(ours, reconcile(ours.values(), (), SOURCE, START + DAY))
    [[before], [now]] = [list(ours.values()), list(after.values())]
    assert now.prices == before.prices
    assert now.model.enabled


def test_whether_a_model_is_enabled_is_ours_to_say() -> None:
    theirs = sourced({"a": (_at(1), [])})
    [change] = reconcile((), theirs, SOURCE, START).added
    disabled = replace(change.after, model=replace(change.after.model, enabled=False))
    [changed] = reconcile([disabled], [_described(theirs[0])], SOURCE, START + DAY).changed
    assert changed.after.model.enabled is False
    assert changed.after.model.facts.description == "new words"


def test_a_model_of_our_own_is_not_touched_by_a_source_that_lists_its_name() -> None:
    own = PricedModel(Model(Facts("openai", "a", "Ours", names=("x",)), OWN, START, START))
    theirs = normalise(
        [ListedModel(Facts("openai", "a", "a")), ListedModel(Facts("openai", "b", "b", names=("x", "y")))]
    )
    changes = reconcile([own], theirs, SOURCE, START)
    assert [(one.after.model.facts.name, one.after.model.facts.names) for one in changes.added] == [("b", ("y",))]
    assert not changes.changed
    assert not changes.gone


def test_a_model_is_deprecated_from_when_we_first_heard_so() -> None:
    listing = [replace(sourced({"a": (_at(1), [])})[0], is_deprecated=True)]
    ours = applied({}, reconcile((), listing, SOURCE, START))
    assert not reconcile(ours.values(), listing, SOURCE, START + DAY)
    [one] = ours.values()
    assert one.model.deprecated_at == START


def _at(rate: int) -> dict[str, Quote]:
    return {"input_tokens": Quote(Decimal(rate))}


def _described(model: SourcedModel) -> SourcedModel:
    return replace(model, facts=replace(model.facts, description="new words"))
