"""What billing does by the clock: audits its books, tells Redis what it counts there, keeps admission open as long as the
counters are right, and fetches providers' bills of yesterday."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, date, timedelta

import structlog
from common.clock import Clock
from common.errors import TollgateError
from common.money import NANO
from common.outages import AWAY
from nats.errors import Error as NatsError
from prometheus_client import CollectorRegistry, Counter, Gauge
from redis.exceptions import RedisError

from billing.domain.audit import Adrift, Findings
from billing.flows import Billing

log = structlog.get_logger()

_ADMISSION_SECONDS = 1.0
_TELL_SECONDS = 0.1
_SWEEP_SECONDS = 60.0
_ASK_SECONDS = 1.0
_CLOSE_SECONDS = 600.0
_BILLS_SECONDS = 60.0
_AFTER_FAILURE_SECONDS = (300.0, 900.0, 3_600.0, 10_800.0)
"""How long a provider is left alone after each failure of a day; after one more it is given up until the next day."""
_AUDIT_SHARE = 0.05
_MOST_SHOWN = 20
_OUTAGES = (*AWAY, NatsError, RedisError)


class JobMetrics:
    """What the jobs count; one instance a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.violations = Gauge(
            "tollgate_billing_audit_violations", "Violations that the last audit found", ["rule"], registry=registry
        )
        self.audits = Counter("tollgate_billing_audits", "Audits that were made", registry=registry)
        self.audit_seconds = Gauge("tollgate_billing_audit_seconds", "Seconds the last audit took", registry=registry)
        self.adrift = Gauge(
            "tollgate_billing_counters_adrift", "Counters whose cost in Redis stays off the books", registry=registry
        )
        self.drift_usd = Gauge(
            "tollgate_billing_counter_drift_usd",
            "US dollars by which Redis is ahead of the books (negative: behind), of the counters that are off most",
            ["counter"],
            registry=registry,
        )
        self.pending = Gauge("tollgate_billing_pending_events", "Usage events not delivered yet", registry=registry)
        self.unacknowledged = Gauge(
            "tollgate_billing_unacknowledged_events", "Usage events delivered, not booked yet", registry=registry
        )
        self.bill_drift = Gauge(
            "tollgate_billing_bill_drift_ratio",
            "How far a provider's last bill and the ledger are apart, as a share of what is booked; 0 once accepted",
            ["provider"],
            registry=registry,
        )
        self.bill_fetches = Counter(
            "tollgate_billing_bill_fetches",
            "Bills asked for by the clock: fetched, failed (and to be tried again), given_up until the next day",
            ["provider", "outcome"],
            registry=registry,
        )
        self.closed_seconds = Counter(
            "tollgate_billing_admission_closed_seconds", "Seconds that admission was seen closed", registry=registry
        )


class OtherTeller:
    """Tells Redis what billing counts there: soon after a booking, and everything again every so often."""

    def __init__(self, billing: Billing, clock: Clock) -> None:
        self._billing = billing
        self._clock = clock
        self._swept_at: float | None = None

    async def run(self) -> None:
        """Tell until cancelled; an outage is waited out."""
        while True:
            try:
                await self._billing.others.tell()
                if self._swept_at is None or self._clock.monotonic() - self._swept_at >= _SWEEP_SECONDS:
                    await self._billing.others.sweep()
                    self._swept_at = self._clock.monotonic()
            except _OUTAGES as error:
                log.warning("counters_wait", error=type(error).__name__)
                await asyncio.sleep(_ADMISSION_SECONDS)
            await asyncio.sleep(_TELL_SECONDS)


class Resettler:
    """Asks gateways for settlements again, soon after it was seen that they are needed."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def run(self) -> None:
        """Ask until cancelled; an outage is waited out."""
        while True:
            try:
                if asked := await self._billing.resettling.ask():
                    log.info("settlements_asked_again", attempts=asked)
            except _OUTAGES as error:
                log.warning("resettling_waits", error=type(error).__name__)
            await asyncio.sleep(_ASK_SECONDS)


class Closer:
    """Closes months some days after they ended."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def run(self) -> None:
        """Look every now and then until cancelled; an outage is waited out."""
        while True:
            try:
                while await self._billing.statements.close_due() is not None:
                    pass
            except _OUTAGES as error:
                log.warning("closing_waits", error=type(error).__name__)
            await asyncio.sleep(_CLOSE_SECONDS)


class BillFetcher:
    """Fetches yesterday's bill of each provider that there is a key for, once a day, some hours after midnight UTC: bills
    are not whole at once. What fails is tried again later, a few times; one replica does it."""

    def __init__(self, billing: Billing, metrics: JobMetrics, clock: Clock, after_hours: int) -> None:
        self._billing = billing
        self._metrics = metrics
        self._clock = clock
        self._after = timedelta(hours=after_hours)
        self._day: date | None = None
        self._failures: dict[str, int] = {}  # as many as there are providers with bills
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Look every minute until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_BILLS_SECONDS)

    async def look(self) -> None:
        """Fetch what is due."""
        day = (self._clock.now() - self._after).astimezone(UTC).date() - timedelta(days=1)
        if day != self._day:
            self._day, self._failures, self._not_before = day, {}, {}
        for provider_type in self._billing.reconciling.fetchable():
            if self._clock.monotonic() >= self._not_before.get(provider_type, 0.0):
                await self._fetch(provider_type, day)

    async def _fetch(self, provider_type: str, day: date) -> None:
        try:
            made = await self._billing.reconciling.fetch_once(provider_type, day)
        except (TollgateError, *_OUTAGES) as error:
            self._failed(provider_type, day, error)
            return
        if made is not None:
            self._metrics.bill_fetches.labels(provider_type, "fetched").inc()
            log.info("bill_fetched", provider=provider_type, day=day.isoformat(), is_alarming=made.is_alarming)

    def _failed(self, provider_type: str, day: date, error: Exception) -> None:
        failures = self._failures[provider_type] = self._failures.get(provider_type, 0) + 1
        is_last = failures > len(_AFTER_FAILURE_SECONDS)
        pause = math.inf if is_last else _AFTER_FAILURE_SECONDS[failures - 1]
        self._not_before[provider_type] = self._clock.monotonic() + pause
        self._metrics.bill_fetches.labels(provider_type, "given_up" if is_last else "failed").inc()
        why = error.message if isinstance(error, TollgateError) else type(error).__name__
        (log.error if is_last else log.warning)(
            "bill_given_up" if is_last else "bill_waits", provider=provider_type, day=day.isoformat(), error=why
        )


class Auditor:
    """Audits without end. An audit reads whole tables, so it rests longer the longer one takes."""

    def __init__(self, billing: Billing, metrics: JobMetrics, clock: Clock, interval_seconds: float) -> None:
        self._billing = billing
        self._metrics = metrics
        self._clock = clock
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Audit until cancelled; an outage is waited out."""
        while True:
            started = self._clock.monotonic()
            try:
                await self.audit_once()
            except _OUTAGES as error:
                log.warning("audit_waits", error=type(error).__name__)
            took = self._clock.monotonic() - started
            self._metrics.audit_seconds.set(took)
            await asyncio.sleep(max(self._interval_seconds, took / _AUDIT_SHARE))

    async def audit_once(self) -> None:
        """One audit, and what it found into metrics and log."""
        backlog = await self._billing.admission.backlog()
        self._metrics.pending.set(backlog.pending)
        self._metrics.unacknowledged.set(backlog.unacknowledged)
        self._metrics.violations.labels("stream_is_booked").set(await self._billing.gap_audit.look())
        for provider_type, ratio in (await self._billing.reconciling.known_drifts()).items():
            self._metrics.bill_drift.labels(provider_type).set(ratio)
        self._show_drift(await self._billing.drift_audit.look())
        findings = await self._billing.audit()
        self._metrics.audits.inc()
        for rule, count in findings.violations.items():
            self._metrics.violations.labels(rule).set(count)
        if any(findings.violations.values()):
            _report(findings)

    def _show_drift(self, adrift: Sequence[Adrift]) -> None:
        self._metrics.adrift.set(len(adrift))
        self._metrics.drift_usd.clear()
        for one in adrift[:_MOST_SHOWN]:
            self._metrics.drift_usd.labels(one.counter.name).set(one.nano / NANO)
            log.warning("counter_adrift", counter=one.counter.name, nano_usd=one.nano)


class AdmissionKeeper:
    """Looks every second whether admission is open, and opens it when it may be."""

    def __init__(self, billing: Billing, metrics: JobMetrics, clock: Clock) -> None:
        self._billing = billing
        self._metrics = metrics
        self._clock = clock
        self._was_open = True

    async def run(self) -> None:
        """Look until cancelled; while something is away admission stays as it is."""
        looked_at = self._clock.monotonic()
        while True:
            is_open = await self._look()
            now = self._clock.monotonic()
            if not (is_open and self._was_open):
                self._metrics.closed_seconds.inc(max(0.0, now - looked_at))
            if is_open != self._was_open:
                log.warning("admission_changed", is_open=is_open)
            self._was_open, looked_at = is_open, now
            await asyncio.sleep(_ADMISSION_SECONDS)

    async def _look(self) -> bool:
        try:
            return await self._billing.admission.keep_open()
        except _OUTAGES as error:
            log.warning("admission_unknown", error=type(error).__name__)
            return False


def _report(findings: Findings) -> None:
    log.error(
        "audit_violations",
        **findings.violations,
        ledger_total=str(findings.ledger_total),
        transactions=[str(found) for found in findings.unbalanced],
        months=[
            f"{off.api_key_id} {off.month.year}-{off.month.month:02}: booked {off.booked}, counted {off.counted}"
            for off in findings.months_off
        ],
    )
