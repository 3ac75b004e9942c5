"""Which of a source's prices become ours: pure, over any sequence of syncs of several sources, pins and decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from catalog_sync.domain.listing import ListedModel, ListedPrice, Quote
from catalog_sync.domain.models import Facts, PricedModel
from catalog_sync.domain.normalise import SourcedModel, normalise
from catalog_sync.domain.prices import ALWAYS, dated, effective, price_from, restarted
from catalog_sync.domain.reconcile import reconcile
from catalog_sync.domain.vetting import Held, Known, Reading, Standing, Vetted, agree, held_gone, merged, vet
from common.pricing import Price, in_force
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
STANDINGS: dict[str, Standing] = {"packaged": "vouched", "litellm": "survey", "openrouter": "own"}


def stated(name: str, *rates: str | None) -> SourcedModel:
    """A model with an input and an output rate, or without a price."""
    quotes = {n: Quote(Decimal(r)) for n, r in zip(("input_tokens", "output_tokens"), rates, strict=False) if r}
    [one] = normalise([ListedModel(Facts("openai", name, name), (ListedPrice(None, (quotes,)),))])
    return one


def price(*rates: str) -> Price:
    return dated("m", ALWAYS, dict(zip(("input_tokens", "output_tokens"), map(Decimal, rates), strict=False)))


class Catalog:
    """A catalog in memory, changed as the service changes its tables."""

    def __init__(self) -> None:
        self.models: dict[str, PricedModel] = {}
        self.readings: dict[tuple[str, str], Reading] = {}
        self.pinned: set[str] = set()
        self.now = NOW

    def sync(self, source: str, *models: SourcedModel) -> Vetted:
        self.now += HOUR
        by_model: dict[str, list[Reading]] = {}
        for (_, model_id), reading in self.readings.items():
            by_model.setdefault(model_id, []).append(reading)
        vetted = vet(models, source, STANDINGS[source], Known(self.models, by_model, self.pinned), self.now)
        changes = reconcile(self.models.values(), vetted.models, source, self.now)
        after = [*(change.after for change in (*changes.added, *changes.changed)), *changes.gone]
        self.models |= {one.model.id: one for one in after}
        self.readings |= {(source, reading.model_id): reading for reading in vetted.readings}
        return vetted

    def add(self, model_id: str, new: Price) -> None:
        one = self.models[model_id]
        self.models[model_id] = PricedModel(one.model, (*one.prices, new))

    def accept(self, held: Held) -> None:
        self.now += HOUR
        content: dict[str, Any] = held.proposed
        new = price_from("", ALWAYS, content["rates"], content["tiers"], content["variants"])
        self.add(held.subject, restarted(held.subject, new, self.now if self.models[held.subject].prices else ALWAYS))

    def rate(self, name: str) -> Decimal | None:
        rows = effective(self.models[stated(name).facts.model_id].prices)
        found = in_force(rows, self.now)
        return found.rates["input_tokens"] if found else None


def test_the_package_alone_is_believed_and_a_survey_alone_is_not() -> None:
    catalog = Catalog()
    catalog.sync("packaged", stated("a", "10", "20"))
    assert catalog.rate("a") == 10
    [held] = catalog.sync("litellm", stated("a", "12", "24")).held
    assert (held.reason, held.proposed["rates"]["input_tokens"], catalog.rate("a")) == ("unconfirmed", "12", 10)


def test_a_price_on_which_two_sources_agree_within_one_percent_becomes_current() -> None:
    catalog = Catalog()
    catalog.sync("packaged", stated("a", "10", "20"))
    catalog.sync("litellm", stated("a", "12", "24"))
    vetted = catalog.sync("openrouter", stated("a", "12.1", "24"))
    assert (vetted.held, catalog.rate("a")) == ((), Decimal("12.1"))
    assert catalog.sync("litellm", stated("a", "12", "24")).held == ()


def test_an_old_release_does_not_undo_what_others_have_agreed_on() -> None:
    catalog = Catalog()
    catalog.sync("packaged", stated("a", "10", "20"))
    catalog.sync("litellm", stated("a", "12", "24"))
    catalog.sync("openrouter", stated("a", "12", "24"))
    catalog.sync("packaged", stated("a", "10", "20"))
    assert catalog.rate("a") == 12
    catalog.sync("packaged", stated("a", "11", "20"))
    assert catalog.rate("a") == 11, "but a release that says something new is believed"


def test_a_jump_and_a_fall_to_zero_are_held_whoever_says_so_and_however_many_agree() -> None:
    for rates, reason in ((("31", "20"), "jump"), (("3.3", "20"), "jump"), (("0", "0"), "to_zero")):
        catalog = Catalog()
        catalog.sync("packaged", stated("a", "10", "20"))
        for source in ("litellm", "openrouter", "packaged"):
            assert [held.reason for held in catalog.sync(source, stated("a", *rates)).held] == [reason]
        assert catalog.rate("a") == 10


def test_what_is_accepted_holds_from_then_on_and_is_not_asked_about_again() -> None:
    catalog = Catalog()
    catalog.sync("packaged", stated("a", "10", "20"))
    [held] = catalog.sync("litellm", stated("a", "100", "200")).held
    catalog.accept(held)
    assert catalog.rate("a") == 100
    assert catalog.sync("litellm", stated("a", "100", "200")).held == ()
    assert catalog.sync("packaged", stated("a", "10", "20")).held == ()
    assert catalog.rate("a") == 100


def test_a_model_that_only_a_survey_names_is_no_model_of_ours_until_another_source_agrees() -> None:
    catalog = Catalog()
    assert catalog.sync("litellm", stated("b", "1", "2"), stated("c")).held == ()
    assert catalog.models == {}
    [held] = catalog.sync("openrouter", stated("b", "9", "2")).held
    assert (held.reason, catalog.rate("b")) == ("unconfirmed", None)
    catalog.sync("openrouter", stated("b", "1", "2"))
    assert catalog.rate("b") == 1


def test_a_pinned_price_stays_and_what_was_said_meanwhile_is_news_afterwards() -> None:
    catalog = Catalog()
    catalog.sync("packaged", stated("a", "10", "20"))
    model_id = stated("a").facts.model_id
    catalog.pinned.add(model_id)
    for source in ("litellm", "openrouter", "packaged"):
        assert catalog.sync(source, stated("a", "12", "24")).held == ()
    assert catalog.rate("a") == 10
    catalog.pinned.clear()
    catalog.sync("packaged", stated("a", "12", "24"))
    assert catalog.rate("a") == 12


def test_prices_agree_where_both_say_something() -> None:
    assert agree(price("100", "5"), price("101"))
    assert not agree(price("100", "5"), price("101.1", "5"))
    assert not agree(price("1", "5"), price("1", "6"))
    assert agree(price("0", "0"), price("0", "0"))
    assert not agree(price("1"), dated("m", ALWAYS, {"request": Decimal(1)}))


def test_a_price_that_is_merged_keeps_what_the_newer_one_leaves_open() -> None:
    old = dated("m", ALWAYS, {"input_tokens": Decimal(5), "cached_input_tokens": Decimal(1)})
    assert merged("m", price("6", "7"), None, old).rates == {
        "input_tokens": Decimal(6), "output_tokens": Decimal(7), "cached_input_tokens": Decimal(1)
    }  # fmt: skip


def test_more_than_a_fifth_of_a_sources_models_are_not_gone_before_somebody_says_so() -> None:
    catalog = Catalog()
    catalog.sync("packaged", *(stated(name, "1", "1") for name in "abcdefghij"))
    gone = list(catalog.models.values())
    assert held_gone(gone[:2], 10) is None
    held = held_gone(gone[:3], 10)
    assert held is not None
    assert (held.reason, len(held.proposed["models"])) == ("gone", 3)
    assert held_gone([], 0) is None


_rate = st.sampled_from(["0", "1", "1.005", "2", "7", "100"])
_said = st.dictionaries(
    st.sampled_from(["a", "b:free", "c"]), st.one_of(st.none(), st.tuples(_rate, _rate)), max_size=3
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("sync"), st.sampled_from(sorted(STANDINGS)), _said),
        st.tuples(st.sampled_from(["pin", "unpin", "accept", "correct", "fail"]), st.integers(0, 5), _rate),
    ),
    max_size=12,
)


@given(_steps)
def test_any_sequence_of_syncs_pins_acceptances_and_failures_leaves_one_price_in_force_at_any_instant(
    steps: list[tuple[str, Any, Any]],
) -> None:
    catalog, waiting = Catalog(), list[Held]()
    for what, who, said in steps:
        before = dict(catalog.models)
        present = {model_id: in_force(effective(one.prices), catalog.now) for model_id, one in before.items()}
        ids = sorted(catalog.models)
        if what == "sync":
            vetted = catalog.sync(who, *(stated(name, *(rates or ())) for name, rates in said.items()))
            waiting += vetted.held
            _assert_no_price_moved_wildly(catalog, present, {one.subject for one in vetted.held})
        elif what == "accept" and waiting:
            catalog.accept(waiting.pop(who % len(waiting)))
        elif what == "pin" and ids:
            catalog.pinned.add(ids[who % len(ids)])
        elif what == "unpin":
            catalog.pinned.clear()
        elif what == "correct" and ids:
            rates = {"input_tokens": Decimal(said), "output_tokens": Decimal(said)}
            catalog.add(ids[who % len(ids)], dated(ids[who % len(ids)], catalog.now - who * HOUR, rates))
        for model_id, one in before.items():
            assert catalog.models[model_id].prices[: len(one.prices)] == one.prices, "no row is changed or lost"
        for one in catalog.models.values():
            _assert_one_price_at_any_instant(one, catalog.now)


def _assert_one_price_at_any_instant(one: PricedModel, now: datetime) -> None:
    rows = effective(one.prices)
    starts = [row.starts_at for row in rows]
    assert starts == sorted(set(starts))
    for at in (now + n * HOUR / 2 for n in range(-10, 10)):
        holding = [row for row, end in zip(rows, [*starts[1:], None], strict=False)
                   if row.starts_at <= at and (end is None or at < end)]  # fmt: skip
        assert [in_force(rows, at)] == (holding or [None])
        assert len(holding) == (1 if rows and rows[0].starts_at <= at else 0)
        if holding:
            assert holding[0].rates, "and it says what a unit costs"


def _assert_no_price_moved_wildly(catalog: Catalog, present: dict[str, Price | None], held: set[str]) -> None:
    for model_id, before in present.items():
        after = in_force(effective(catalog.models[model_id].prices), catalog.now)
        if before is None or after is None:
            continue
        for name in before.rates.keys() & after.rates.keys():
            old, new = before.rates[name], after.rates[name]
            assert not (old > 0 and new == 0)
            assert old == 0 or new == 0 or max(old, new) <= 3 * min(old, new)
        if model_id in held or model_id in catalog.pinned:
            assert after == before
