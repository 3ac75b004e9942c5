"""Re-rating: the books become what they would be, had the prices been right at first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from billing.domain import ledger
from billing.domain.charges import Charge, Month
from billing.domain.counting import differences
from billing.domain.reading import Reader
from billing.domain.rerating import Tallied, rerated
from billing.flows.known import Known
from billing.flows.rerating import Period, PeriodUnclear, RatesChanged
from common.actors import Actor
from common.contracts.billing import CallsRerated
from common.contracts.envelope import Envelope
from common.contracts.snapshots import ModelSnapshot, PriceSnapshot, TierSnapshot
from common.pricing import Price, cost
from common.usage import TOKEN_BUCKETS
from hypothesis import given
from hypothesis import strategies as st

MakeEvent = Callable[..., Any]
Rebuild = Callable[[], Awaitable[Any]]
OCTOBER = Period(date(2026, 10, 1), date(2026, 10, 31))


def price(version: str, read: str, written: str, **more: Any) -> PriceSnapshot:
    rates = {"input_tokens": Decimal(read), "output_tokens": Decimal(written)}
    return PriceSnapshot(version=version, starts_at=datetime(1970, 1, 1, tzinfo=UTC), rates=rates, **more)


WRONG, RIGHT = price("wrong", "30", "60"), price("right", "2.5", "10.125")


def model(*prices: PriceSnapshot, provider: str = "openai", name: str = "gpt-4") -> ModelSnapshot:
    return ModelSnapshot(id=f"{provider}-{name}", provider_type=provider, name=name, prices=prices)


def told(known: Known, *models: ModelSnapshot) -> None:
    for one in models:
        known.apply_model(f"model.{one.id}", one.model_dump_json().encode())


def priced_call(usage_event: MakeEvent, request: str, at: Price, tokens: tuple[int, int], **members: Any) -> Any:
    event = usage_event(request, tokens=tokens, **members)
    owed = cost(event.data.usage.to_usage(), at, members.get("tier"))
    return usage_event(request, tokens=tokens, cost=f"{owed:f}", price=_used(at), **members)


def _used(at: Price) -> dict[str, Any]:
    return {"version": at.version, "rates": {}, "is_fallback": False}


tokens = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))
rates = st.decimals(min_value=0, max_value=1000, places=6).map(str)


@given(calls=st.lists(st.tuples(st.integers(0, 2), tokens, st.sampled_from(["2026-10", "2026-11"])), max_size=6),
       wrong=st.tuples(rates, rates), right=st.tuples(rates, rates))  # fmt: skip
def test_the_books_after_a_rerating_are_those_of_the_right_price_at_first(
    usage_event: MakeEvent, calls: list[Any], wrong: tuple[str, str], right: tuple[str, str]
) -> None:
    prices = [price("wrong", *wrong).to_price(), price("right", *right).to_price()]
    booked = []
    for at in prices:
        charges: dict[str, Charge] = {}
        sums = _Sums()
        for number, (key, used, period) in enumerate(calls):
            body = priced_call(usage_event, f"r{number}", at, used, api_key_id=f"k{key}", period=period)
            sums.add(ledger.book(charges, [Reader().charge(body.model_dump_json().encode())]))
            charges |= sums.standing
        booked.append(sums)
    was, right_at_first = booked
    for before in [*was.standing.values()]:
        after, _ = rerated(before, lambda *_: prices[1])
        if after is not before:
            was.change(before, after)
    assert was.figures() == right_at_first.figures()


class _Sums:
    def __init__(self) -> None:
        self.standing: dict[str, Charge] = {}
        self.lines: defaultdict[Any, Decimal] = defaultdict(Decimal)
        self.counted: defaultdict[Any, Decimal] = defaultdict(Decimal)
        self.months: dict[Any, ledger.Tally] = {}
        self.days: dict[Any, ledger.Tally] = {}

    def add(self, booking: ledger.Booking) -> None:
        for before, after in booking.changes:
            self.change(before, after)

    def change(self, before: Charge | None, after: Charge) -> None:
        self.standing[after.request_id] = after
        for entry in ledger.entries_between(before, after, after.event_id, "rerating"):
            self.lines[entry.account, entry.month] += entry.amount
        if before is not None:
            ledger.count(self.months, self.days, before, -1)
        ledger.count(self.months, self.days, after, 1)
        for counter, one in differences([(before, after)], {}).items():
            self.counted[counter] += one.total

    def figures(self) -> Any:
        days = {place: tally for place, tally in self.days.items() if tally.requests}
        sums = [{name: amount for name, amount in one.items() if amount} for one in (self.lines, self.counted)]
        return sums, self.months, days


def read(usage_event: MakeEvent, request: str = "r", **members: Any) -> Charge:
    return Reader().charge(usage_event(request, **members).model_dump_json().encode())


def attempt(**members: Any) -> dict[str, Any]:
    used = dict.fromkeys(TOKEN_BUCKETS, 0) | {"input_tokens": 1_000_000, "total_tokens": 1_000_000, "estimated": False}
    made = {"provider": "openai", "model": "gpt-4", "status": "completed", "http_status": 200, "latency_ms": 1}
    return made | {"usage": used, "cost_usd": "30"} | members


def test_a_service_tiers_calls_are_priced_at_its_rates(usage_event: MakeEvent) -> None:
    variants = {"priority": {"input_tokens": Decimal(7), "output_tokens": Decimal(0)}}
    right = price("right", "2.5", "10", variants=variants).to_price()
    charge = read(usage_event, cost="30", attempts=[attempt(service_tier="priority")])
    assert rerated(charge, lambda *_: right)[0].cost == 7


def test_a_tier_of_long_inputs_counts(usage_event: MakeEvent) -> None:
    long = TierSnapshot(above_input_tokens=200_000, rates={"input_tokens": Decimal(5), "output_tokens": Decimal(0)})
    right = price("right", "2.5", "10", tiers=(long,)).to_price()
    assert rerated(read(usage_event, cost="30", attempts=[attempt()]), lambda *_: right)[0].cost == 5


def test_beyond_what_was_held_the_caller_owes_no_more_at_any_price(usage_event: MakeEvent) -> None:
    capped = [attempt(cost_usd="20", unbilled_usd="10")]
    charge = read(usage_event, cost="20", operator_cost="10", attempts=capped)
    dearer, cheaper = price("dearer", "40", "0").to_price(), price("cheaper", "5", "0").to_price()
    now = rerated(charge, lambda *_: dearer)[0]
    assert (now.cost, now.operator_cost) == (20, 20)
    now = rerated(charge, lambda *_: cheaper)[0]
    assert (now.cost, now.operator_cost) == (5, 0)


def test_what_nobody_could_be_charged_for_stays_the_operators(usage_event: MakeEvent) -> None:
    charge = read(usage_event, cost="0", operator_cost="30", attempts=[attempt(cost_usd="0", unbilled_usd="30")])
    now = rerated(charge, lambda *_: RIGHT.to_price())[0]
    assert (now.cost, now.operator_cost) == (0, Decimal("2.5"))


def test_only_what_has_a_price_and_was_used_is_priced_again(usage_event: MakeEvent) -> None:
    failed = attempt(provider="groq", status="failed", usage=None, cost_usd="0")
    charge = read(usage_event, cost="30", attempts=[failed, attempt()])
    assert rerated(charge, lambda *_: None) == (charge, 1)
    now, unpriced = rerated(charge, lambda *_: RIGHT.to_price())
    assert ([str(one.cost) for one in now.attempts], unpriced) == (["0", "2.5"], 0)


def test_an_answer_from_the_cache_stays_free(usage_event: MakeEvent) -> None:
    hit = read(usage_event, cost="0", status="cached", cache="hit", tokens=(100, 100))
    assert rerated(hit, lambda *_: RIGHT.to_price()) == (hit, 0)


def test_an_id_says_what_is_changed(usage_event: MakeEvent) -> None:
    charge = read(usage_event, cost="30", attempts=[attempt()])
    found = []
    for rate in ("2.5", "2.5", "2.6"):
        tallied = Tallied()
        tallied.add([(charge, rerated(charge, lambda *_, r=rate: price("right", r, "1").to_price())[0])])  # type: ignore[misc]
        found.append(tallied.id)
    assert found[0] == found[1] != found[2]


async def calls_of_october(journeys: Any, usage_event: MakeEvent) -> list[Any]:
    wrong = WRONG.to_price()
    events = [
        priced_call(usage_event, f"r{n}", wrong, (1000 * n, 10 * n), api_key_id=f"key-{n % 2}", period="2026-10")
        for n in range(6)
    ]
    events.append(priced_call(usage_event, "other", wrong, (7, 7), period="2026-10", model="gpt-4o"))
    events.append(usage_event("guess", kind="estimated", cost="0.5", period="2026-10"))
    events.append(usage_event("own", billable=False, cost="0.5", period="2026-10"))
    await journeys.publish(*events)
    await journeys.book(events)
    told(journeys.known, model(RIGHT))
    return events


async def owed(journeys: Any) -> dict[str, Decimal]:
    rows = await journeys.pool.fetch(
        "SELECT account, sum(amount) AS sum FROM ledger_entries WHERE request_id LIKE 'r%' GROUP BY account"
    )
    return {row["account"]: row["sum"] for row in rows}


async def test_a_rerating_is_shown_with_nothing_written_and_booked_once(journeys: Any, usage_event: MakeEvent) -> None:
    await calls_of_october(journeys, usage_event)
    before = await owed(journeys)
    shown = await journeys.billing.rerating.show(OCTOBER)
    assert await owed(journeys) == before
    assert (shown.seen, shown.calls, shown.unpriced) == (7, 5, 1)  # r0 used nothing; gpt-4o has no price now
    assert {place.account for place, _ in shown.places} == {"customer:key-0", "customer:key-1"}

    booked = await journeys.billing.rerating.book(Actor("root"), OCTOBER, shown.id)
    now = await owed(journeys)
    expected = (
        sum(Decimal(1000 * n) * Decimal("2.5") + Decimal(10 * n) * Decimal("10.125") for n in (1, 3, 5)) / 1_000_000
    )
    assert now["customer:key-1"] == expected
    assert sum(now.values()) == 0
    assert booked.after - booked.before == -(now["provider:openai"] - before["provider:openai"])
    assert not any((await journeys.billing.audit()).violations.values())
    other = await journeys.pool.fetchval("SELECT total - settled FROM counters WHERE scope = 'key:key-1'")
    assert other == now["customer:key-1"] - before["customer:key-1"], "settlement's part stays; the rest is billing's"

    again = await journeys.billing.rerating.book(Actor("somebody else"), OCTOBER, shown.id)
    assert (again, await owed(journeys)) == (booked, now)
    assert (await journeys.billing.rerating.show(OCTOBER)).calls == 0
    assert [one.id for one in await journeys.billing.rerating.page(None, 10)] == [shown.id]


async def test_what_is_not_what_was_shown_is_not_booked(journeys: Any, usage_event: MakeEvent) -> None:
    await calls_of_october(journeys, usage_event)
    before, shown = await owed(journeys), await journeys.billing.rerating.show(OCTOBER)
    told(journeys.known, model(price("righter", "2", "8")))
    with pytest.raises(RatesChanged):
        await journeys.billing.rerating.book(Actor("root"), OCTOBER, shown.id)
    assert await owed(journeys) == before
    nothing = Period(date(2026, 1, 1), date(2026, 1, 1))
    empty = await journeys.billing.rerating.show(nothing)
    with pytest.raises(RatesChanged):
        await journeys.billing.rerating.book(Actor("root"), nothing, empty.id)
    with pytest.raises(PeriodUnclear):
        await journeys.billing.rerating.show(Period(date(2026, 10, 2), date(2026, 10, 1)))


async def test_a_provider_or_a_model_can_be_meant(journeys: Any, usage_event: MakeEvent) -> None:
    await calls_of_october(journeys, usage_event)
    told(journeys.known, model(RIGHT, name="gpt-4o"))
    days = (OCTOBER.first_day, OCTOBER.last_day)
    show = journeys.billing.rerating.show
    assert (await show(Period(*days, "openai", "gpt-4o"))).calls == 1
    assert (await show(Period(*days, None, "gpt-4"))).calls == 5
    assert (await show(Period(*days, "groq"))).calls == 0
    assert (await show(Period(date(2026, 10, 1), date(2026, 10, 20)))).seen == 0


async def test_a_closed_statement_stays_and_the_next_one_has_the_correction(
    journeys: Any, usage_event: MakeEvent
) -> None:
    await calls_of_october(journeys, usage_event)
    assert await journeys.billing.statements.close_due() == Month(2026, 10)
    closed = await journeys.billing.statements.page(Month(2026, 10), None, None, 50)
    shown = await journeys.billing.rerating.show(OCTOBER)
    await journeys.billing.rerating.book(Actor("root"), OCTOBER, shown.id)
    assert await journeys.billing.statements.page(Month(2026, 10), None, None, 50) == closed
    stated = await journeys.pool.fetch(
        "SELECT DISTINCT kind, year, month, stated_year, stated_month FROM ledger_entries WHERE stated_year IS NOT NULL"
    )
    assert [tuple(row) for row in stated] == [("rerating", 2026, 10, 2026, 11)]
    assert not any((await journeys.billing.audit()).violations.values())


async def test_a_rebuild_keeps_what_was_rerated(journeys: Any, usage_event: MakeEvent, rebuilt: Rebuild) -> None:
    await calls_of_october(journeys, usage_event)
    shown = await journeys.billing.rerating.show(OCTOBER)
    await journeys.billing.rerating.book(Actor("root"), OCTOBER, shown.id)
    before = await owed(journeys)
    await rebuilt()
    assert await owed(journeys) == before
    assert not any((await journeys.billing.audit()).violations.values())
    assert (await journeys.billing.rerating.show(OCTOBER)).calls == 0
    await rebuilt()
    assert await owed(journeys) == before, "a second rebuild knows it, too"


async def test_admins_alone_rerate_over_http(service: Any) -> None:
    body = {"first_day": "2026-10-01", "last_day": "2026-10-31"}
    path, admin = "/api/v1/billing/rerating", service.signed_in("root", "admin")
    assert (await service.client.post(path, json=body, headers=service.signed_in("user-1"))).status_code == 403
    shown = await service.client.post(path, json=body, headers=admin)
    assert (shown.status_code, shown.json()["calls"], shown.json()["difference_usd"]) == (200, 0, "0")
    booked = await service.client.post(f"{path}/{shown.json()['id']}/book", json=body, headers=admin)
    assert booked.status_code == 409, "there is nothing to book"
    for day in ("9999-12-31", "0001-01-01"):
        body = {"first_day": day, "last_day": day}
        assert (await service.client.post(path, json=body, headers=admin)).status_code == 422
    assert (await service.get(path))["items"] == []


async def test_what_changed_of_each_call_is_told_once(
    journeys: Any, usage_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.flows.messages.MOST_RERATED", 2)
    await calls_of_october(journeys, usage_event)
    stood = "SELECT request_id, cost, operator_cost FROM charges ORDER BY request_id"
    before = await journeys.pool.fetch(stood)
    shown = await journeys.billing.rerating.show(OCTOBER)
    for _ in range(2):
        await journeys.billing.rerating.book(Actor("root"), OCTOBER, shown.id)
    after = await journeys.pool.fetch(stood)
    bodies = [row["body"] for row in await journeys.pool.fetch("SELECT body FROM outbox ORDER BY id")]
    events = [Envelope[CallsRerated].model_validate_json(body) for body in bodies if b"billing.rerated" in body]
    assert len({event.id for event in events}) == len(events) == 3
    assert {event.data.rerating_id for event in events} == {shown.id}
    told = {one.request_id: one.cost_change_usd.usd for event in events for one in event.data.calls}
    changed = {a["request_id"]: a["cost"] - b["cost"] for a, b in zip(after, before, strict=True)}
    assert told == {request: change for request, change in changed.items() if change}
    assert sum(told.values()) == shown.total.after - shown.total.before
