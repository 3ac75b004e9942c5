"""Bills that providers are asked for: which pages, with which key, and what comes of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from billing.flows import Billing
from billing.flows.reconciling import DaysUnclear, NoSuchBill
from billing.jobs import Auditor, BillFetcher, JobMetrics
from billing.settings import BillingSettings
from billing.sources.bills import BillSource, Place, bill_row, simulated_place
from common.actors import Actor
from common.http.fetch import Fetcher, SourceUnreadable
from common.secret import Secret
from common.settings import SettingsError, read
from common.urls import UrlRules
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

ROOT = Actor("root")

MakeEvent = Callable[..., Any]
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 3)
KEY = "sk-admin-secret"


class Provider:
    """Answers pages, and notes what it was asked."""

    def __init__(self, *pages: Any) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self._pages = [json.dumps(page).encode() if not isinstance(page, bytes) else page for page in pages]

    async def __call__(self, url: str, headers: Mapping[str, str]) -> bytes:
        self.asked.append((url, headers))
        return self._pages[min(len(self.asked), len(self._pages)) - 1]


async def pages_of(provider: Provider, provider_type: str, form: Any = None) -> list[str]:
    row = bill_row(provider_type, form)
    assert row is not None
    source = BillSource(provider, {provider_type: Place("https://provider.example/v1/", Secret(KEY))})
    return await source.pages(row, FIRST, LAST)


async def test_pages_are_asked_for_until_the_last(usage_event: MakeEvent) -> None:
    provider = Provider({"data": [1], "has_more": True, "next_page": "p&2"}, {"data": [2], "has_more": False})
    assert [json.loads(page)["data"] for page in await pages_of(provider, "openai")] == [[1], [2]]
    begun = "https://provider.example/v1/organization/costs?start_time=1793491200&end_time=1793750400&bucket_width=1d"
    assert [url for url, _ in provider.asked] == [
        f"{begun}&group_by=line_item&limit=31",
        f"{begun}&group_by=line_item&limit=31&page=p%262",
    ]
    assert [headers for _, headers in provider.asked] == [{"authorization": f"Bearer {KEY}"}] * 2


async def test_anthropic_is_asked_in_its_own_way() -> None:
    provider = Provider({"data": [], "has_more": False, "next_page": None})
    await pages_of(provider, "anthropic")
    [(url, headers)] = provider.asked
    assert "starting_at=2026-11-01T00%3A00%3A00" in url
    assert "ending_at=2026-11-04T00%3A00%3A00" in url
    assert "group_by%5B%5D=description" in url
    assert headers == {"x-api-key": KEY, "anthropic-version": "2023-06-01"}


async def test_openrouter_is_asked_day_by_day() -> None:
    provider = Provider({"data": []})
    await pages_of(provider, "openrouter")
    assert [url.partition("?")[2] for url, _ in provider.asked] == [f"date=2026-11-0{day}" for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ({"has_more": True, "next_page": None}, "does not say which"),
        ({"has_more": True, "next_page": 7}, "does not say which"),
        ({"has_more": True, "next_page": "again"}, "more than 200 pages"),
        (b"\xff\xfe", "no text"),
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
    ],
)
async def test_a_provider_that_makes_no_sense_is_given_up(page: Any, why: str) -> None:
    with pytest.raises(SourceUnreadable, match=why):
        await pages_of(Provider(page), "openai")


async def test_a_provider_that_is_slow_page_by_page_is_given_up_as_a_whole() -> None:
    async def slow(url: str, headers: Mapping[str, str]) -> bytes:
        await asyncio.sleep(0.05)
        return b'{"data": [], "has_more": true, "next_page": "again"}'

    row = bill_row("openai", None)
    assert row is not None
    source = BillSource(slow, {"openai": Place("https://provider.example/v1", Secret(KEY))}, deadline_seconds=0.2)
    with pytest.raises(SourceUnreadable, match=r"did not give its whole bill within 0\.2 s"):
        await source.pages(row, FIRST, LAST)


def test_a_bill_that_nobody_can_ask_for_has_no_row() -> None:
    assert bill_row("groq", None) is None
    assert bill_row("openai", "anthropic_cost") is None
    found = bill_row("openai", "openai_usage")
    assert found is not None
    assert found.path == "/organization/usage/completions"


RATES = {
    "openai": ("gpt-4", "30", "60"),
    "anthropic": ("claude-sonnet-4", "3", "15.125"),
    "openrouter": ("x/y", "1", "2"),
}
PATHS = {"openai": "/openai/v1/chat/completions", "anthropic": "/anthropic/v1/messages",
         "openrouter": "/openrouter/api/v1/chat/completions"}  # fmt: skip


def called(simulator: str, provider: str) -> tuple[int, int]:
    """One call of the simulator: the tokens that it says were used."""
    model, read_rate, written_rate = RATES[provider]
    rates = {"provider": provider, "model": model, "input": read_rate, "output": written_rate}
    assert httpx2.post(f"{simulator}/control/rates", json=rates).status_code == 201
    headers = {"authorization": "Bearer sim-ok-t", "x-api-key": "sim-ok-t", "anthropic-version": "2023-06-01"}
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "Say hello!"}]}
    used = httpx2.post(simulator + PATHS[provider], json=body, headers=headers).json()["usage"]
    return (
        used.get("prompt_tokens", used.get("input_tokens")),
        used.get("completion_tokens", used.get("output_tokens")),
    )


@pytest.fixture
def asking(journeys: Any, simulator: str) -> Billing:
    """Billing, where providers are the simulator."""
    httpx2.delete(f"{simulator}/control/journal")
    places = {name: simulated_place(simulator, name) for name in RATES}
    source = BillSource(Fetcher(UrlRules(frozenset({simulator.removeprefix("http://")}))), places)
    return Billing(journeys.pool, journeys.bus.jetstream, journeys.counters, journeys.clock, journeys.known, source)


@pytest.mark.parametrize(("provider", "form"), [*((name, None) for name in RATES), ("openai", "openai_usage")])
async def test_what_a_provider_bills_is_what_was_booked(
    journeys: Any, asking: Billing, simulator: str, usage_event: MakeEvent, provider: str, form: Any
) -> None:
    model, *rates = RATES[provider]
    now, events = datetime.now(UTC), []
    for number in range(3):
        tokens = called(simulator, provider)
        cost = sum(Decimal(rate) * used for rate, used in zip(rates, tokens, strict=True)) / 1_000_000
        place = {"provider_type": provider, "model": model, "simulated": True, "tokens": tokens, "cost": f"{cost:f}"}
        events.append(usage_event(f"r{number}", period=f"{now:%Y-%m}", started_at=now.isoformat(), **place))
    await journeys.book(events[:2])
    first, last = now.date() - timedelta(days=40), now.date()
    made, rows = await asking.reconciling.fetch(ROOT, provider, form, first, last)
    assert (made.first_day, made.last_day, made.is_alarming, made.rows_off) == (first, last, True, 1)
    assert (await asking.reconciling.known_drifts())[provider] == pytest.approx(0.5)

    await journeys.book(events)
    made, rows = await asking.reconciling.fetch(ROOT, provider, form, first, last)
    assert (made.drift, made.drift_ratio, made.is_alarming, made.rows_off) == (0, 0, False, 0)
    assert [(row.day, row.model) for row in rows] == [(now.date(), model)]
    assert (await asking.reconciling.known_drifts())[provider] == 0


async def test_days_that_are_not_billed_are_held_against_the_ledger_too(
    journeys: Any, asking: Billing, usage_event: MakeEvent
) -> None:
    await journeys.book([usage_event("r", simulated=True, cost="0.5")])
    made, _ = await asking.reconciling.fetch(ROOT, "openai", None, date(2026, 11, 20), date(2026, 11, 22))
    assert (made.billed, made.booked, made.is_alarming) == (0, Decimal("0.5"), True)
    registry = CollectorRegistry()
    auditor, drift = Auditor(asking, JobMetrics(registry), journeys.clock, 30), "tollgate_billing_bill_drift_ratio"
    await auditor.audit_once()
    assert registry.get_sample_value(drift, {"provider": "openai"}) == 1
    accepted = await asking.reconciling.accept(ROOT, made.id)
    assert accepted.drift == Decimal("-0.5")
    await auditor.audit_once()
    assert registry.get_sample_value(drift, {"provider": "openai"}) == 0, "accepted"


async def test_a_key_that_is_refused_changes_nothing_and_is_not_told(journeys: Any, simulator: str) -> None:
    place = Place(f"{simulator}/openai/v1", Secret("sim-bad-admin"))
    source = BillSource(Fetcher(UrlRules(frozenset({simulator.removeprefix("http://")}))), {"openai": place})
    row = bill_row("openai", None)
    assert row is not None
    with pytest.raises(SourceUnreadable, match="HTTP 401") as raised:
        await source.pages(row, FIRST, LAST)
    assert "sim-bad" not in raised.value.message


async def test_who_cannot_be_asked_is_said(journeys: Any) -> None:
    fetch = journeys.billing.reconciling.fetch
    with pytest.raises(NoSuchBill, match="BILLING_OPENAI_ADMIN_KEY"):
        await fetch(ROOT, "openai", None, FIRST, LAST)
    with pytest.raises(NoSuchBill, match="groq cannot"):
        await fetch(ROOT, "groq", None, FIRST, LAST)
    with pytest.raises(DaysUnclear):
        await fetch(ROOT, "openai", None, LAST, FIRST)


async def test_admins_alone_have_bills_fetched(service: Any) -> None:
    body = {"provider_type": "openai", "first_day": "2026-11-01", "last_day": "2026-11-03"}
    path = "/api/v1/billing/reconciliations/fetch"
    assert (await service.client.post(path, json=body, headers=service.signed_in("user-1"))).status_code == 403
    answer = await service.client.post(path, json=body, headers=service.signed_in("root", "admin"))
    assert (answer.status_code, "BILLING_OPENAI_ADMIN_KEY" in answer.text) == (422, True)


def settings_of(monkeypatch: pytest.MonkeyPatch, **given: str) -> BillingSettings:
    needed = {"BILLING_DATABASE_URL": "postgresql://h/d", "NATS_URL": "nats://h", "REDIS_URL": "redis://h"}
    for name, value in (needed | given).items():
        monkeypatch.setenv(name, value)
    return read(BillingSettings)


def test_admin_keys_come_from_variables_or_mounted_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "BILLING_OPENAI_ADMIN_KEY").write_text("sk-admin-of-the-file\n")
    given = {"BILLING_OPENAI_ADMIN_KEY": "sk-admin-variable", "BILLING_ANTHROPIC_ADMIN_KEY": "sk-ant-admin",
             "BILLING_OPENROUTER_ADMIN_KEY": ""}  # fmt: skip
    settings = settings_of(monkeypatch, BILLING_ADMIN_KEYS_DIR=str(tmp_path), **given)
    assert {name: key.reveal() for name, key in settings.admin_keys.items()} == {
        "openai": "sk-admin-of-the-file",
        "anthropic": "sk-ant-admin",
    }
    assert "sk-admin" not in repr(settings)
    assert "sk-ant" not in repr(settings)
    (tmp_path / "BILLING_OPENAI_ADMIN_KEY").write_text("two words")
    with pytest.raises(SettingsError, match="BILLING_ADMIN_KEYS_DIR") as refused:
        settings_of(monkeypatch, BILLING_ADMIN_KEYS_DIR=str(tmp_path))
    assert "two words" not in str(refused.value)


def test_an_admin_key_in_a_file_that_cannot_be_read_stops_the_start_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "BILLING_OPENAI_ADMIN_KEY").write_text("sk-admin-1234")

    def refuse(path: Path, **options: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SettingsError, match=r"BILLING_ADMIN_KEYS_DIR is wrong: .* cannot be read \(PermissionError\)"):
        settings_of(monkeypatch, BILLING_ADMIN_KEYS_DIR=str(tmp_path))


class Day:
    """The simulator's bills of yesterday, fetched by the clock of the tests."""

    def __init__(self, billing: Billing, clock: Any) -> None:
        self.billing, self.clock = billing, clock
        self.registry = CollectorRegistry()
        self.metrics = JobMetrics(self.registry)

    def replica(self, after_hours: int = 6) -> BillFetcher:
        return BillFetcher(self.billing, self.metrics, self.clock, after_hours)

    def fetches(self, outcome: str, provider: str = "openai") -> float:
        told = {"provider": provider, "outcome": outcome}
        return self.registry.get_sample_value("tollgate_billing_bill_fetches_total", told) or 0

    async def made(self) -> list[Any]:
        return list(reversed(await self.billing.reconciling.page(None, None, 100)))


async def test_yesterday_s_bills_are_fetched_once_a_day_by_one_replica(
    journeys: Any, asking: Billing, usage_event: MakeEvent
) -> None:
    day = Day(asking, journeys.clock)  # its clock says the 21st, 8.30
    await journeys.book([usage_event("r", simulated=True, cost="0.5", started_at="2026-11-20T10:00:00Z")])
    replicas = [day.replica(), day.replica()]
    for _ in range(2):
        await asyncio.gather(*(replica.look() for replica in replicas))
        for replica in replicas:
            await replica.look()
    assert [(one.provider_type, one.first_day, one.last_day, one.created_by) for one in await day.made()] == [
        (name, date(2026, 11, 20), date(2026, 11, 20), "schedule") for name in ("anthropic", "openai", "openrouter")
    ]
    assert [one.is_alarming for one in await day.made()] == [False, True, False]
    assert (await asking.reconciling.known_drifts())["openai"] == 1
    assert day.fetches("fetched") == 1
    journeys.clock.advance(21 * 3600)  # 5.30 on the next day: its bills are not whole yet
    await replicas[0].look()
    assert len(await day.made()) == 3
    journeys.clock.advance(3600)
    await replicas[0].look()
    assert {one.first_day for one in (await day.made())[3:]} == {date(2026, 11, 21)}
    assert len(await day.made()) == 6


async def test_a_bill_that_cannot_be_fetched_is_tried_again_a_few_times_and_the_next_day(
    journeys: Any, simulator: str
) -> None:
    asked = 0

    async def refuse(url: str, headers: Mapping[str, str]) -> bytes:
        nonlocal asked
        asked += 1
        raise SourceUnreadable("answered HTTP 503")

    source = BillSource(refuse, {"openai": Place("https://provider.example/v1", Secret(KEY))})
    billing = Billing(journeys.pool, journeys.bus.jetstream, journeys.counters, journeys.clock, journeys.known, source)
    day = Day(billing, journeys.clock)
    fetcher = day.replica()
    with capture_logs() as logs:
        for _ in range(15 * 60):  # to 23.30
            await fetcher.look()
            journeys.clock.advance(60)
    assert (asked, day.fetches("failed"), day.fetches("given_up")) == (5, 4, 1)
    assert [one["event"] for one in logs if one["event"].startswith("bill_")] == ["bill_waits"] * 4 + ["bill_given_up"]
    assert KEY not in str(logs)
    assert await day.made() == []
    journeys.clock.advance(7 * 3600)
    await fetcher.look()
    assert asked == 6


@pytest.mark.parametrize(("given", "hours"), [("", None), ("6", 6)])
def test_bills_are_fetched_by_the_clock_only_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, given: str, hours: int | None
) -> None:
    assert settings_of(monkeypatch, BILLING_FETCH_BILLS_AFTER=given).bills_after_hours == hours
    with pytest.raises(SettingsError, match="BILLING_FETCH_BILLS_AFTER"):
        settings_of(monkeypatch, BILLING_FETCH_BILLS_AFTER="24")
