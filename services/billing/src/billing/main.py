"""The composition root of billing: settings → connections → journeys → consumers, jobs and routes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.backbone import open_backbone
from common.bus.connect import connect
from common.bus.mirror import Mirror
from common.clock import Clock, SystemClock
from common.contracts.topology import CATALOG_BUCKET, KEYS_BUCKET
from common.errors import TollgateError
from common.http.app import create_api
from common.http.fetch import Fetcher
from common.http.serve import serve
from common.postgres.pool import open_pool
from common.providers.registry import PROVIDERS
from common.settings import read_or_exit
from common.telemetry.logs import configure_logs
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from billing.api import budgets, dry_runs, ledger, reconciliations, rerating, statements, summary
from billing.consumers import KeyNames, usage_handler
from billing.domain.reading import Reader
from billing.flows import Billing
from billing.flows.known import Known
from billing.flows.rebuilding import Rebuilt, rebuild_books
from billing.jobs import AdmissionKeeper, Auditor, BillFetcher, Closer, JobMetrics, OtherTeller, Resettler
from billing.settings import BillingSettings, RebuildSettings
from billing.sources.bills import BILLS, BillSource, Place, simulated_place
from billing.store.counters import open_counters


def create_app(settings: BillingSettings, clock: Clock | None = None) -> FastAPI:
    """The whole service as an ASGI app; it connects to its servers when it is started."""
    clock = clock or SystemClock()
    registry = CollectorRegistry()
    metrics = JobMetrics(registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_counters(settings.redis_url) as counters,
            open_backbone("billing", settings.database_url, settings, registry) as backbone,
        ):
            known = Known()
            billing = Billing(backbone.pool, backbone.bus.jetstream, counters, clock, known, _bills(settings))
            app.state.billing, app.state.known, app.state.relay = billing, known, backbone.relay
            backbone.consume_usage(usage_handler(billing))
            await backbone.start(app)
            names = KeyNames(billing)

            def apply_key(key: str, body: bytes | None) -> None:
                names.apply(key, body)
                known.apply_key(key, body)

            backbone.tasks.start("keys", Mirror(backbone.bus, KEYS_BUCKET.name, apply_key).run())
            backbone.tasks.start("catalog", Mirror(backbone.bus, CATALOG_BUCKET.name, known.apply_model).run())
            backbone.tasks.start("key_names", names.run())
            backbone.tasks.start("others", OtherTeller(billing, clock).run())
            backbone.tasks.start("resettling", Resettler(billing).run())
            backbone.tasks.start("statements", Closer(billing).run())
            backbone.tasks.start("admission", AdmissionKeeper(billing, metrics, clock).run())
            backbone.tasks.start("audit", Auditor(billing, metrics, clock, settings.audit_seconds).run())
            if settings.bills_after_hours is not None:
                fetcher = BillFetcher(billing, metrics, clock, settings.bills_after_hours)
                backbone.tasks.start("bills", fetcher.run())
            yield

    app = create_api("Tollgate billing", lifespan, registry)
    app.include_router(summary.router)
    app.include_router(ledger.router)
    app.include_router(budgets.router)
    app.include_router(dry_runs.router)
    app.include_router(statements.router)
    app.include_router(reconciliations.router)
    app.include_router(rerating.router)
    return app


def _bills(settings: BillingSettings) -> BillSource:
    """Each provider with its admin key at its own address, else at the simulator where there is one."""
    fetch = Fetcher(settings.bill_rules)
    places = {name: Place(PROVIDERS[name].base_url, key) for name, key in settings.admin_keys.items()}
    if settings.simulator_url is not None:
        simulated = {row.provider_type: simulated_place(settings.simulator_url, row.provider_type) for row in BILLS}
        places = simulated | places
    return BillSource(fetch, places)


def run() -> None:
    """Serve until told to stop."""
    settings = read_or_exit(BillingSettings)
    configure_logs("billing", settings.log_level)
    serve(create_app(settings), host=settings.http_host, port=settings.http_port)


def run_rebuild() -> None:
    """Rebuild the books and print what they say as JSON; one line on standard error and exit code 1 when that cannot be."""
    settings = read_or_exit(RebuildSettings)
    configure_logs("billing-rebuild", "ERROR")
    try:
        rebuilt = asyncio.run(_rebuild(settings))
    except TollgateError as error:
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(1) from None
    tables = {
        name: {"rows": rows, "fingerprint": f"{found:f}"} for name, (rows, found) in sorted(rebuilt.prints.items())
    }
    sys.stdout.write(json.dumps({"events": rebuilt.events, "tables": tables}, indent=2) + "\n")


async def _rebuild(settings: RebuildSettings) -> Rebuilt:
    pool = await open_pool(settings.owner_url, max_size=1, application="billing-rebuild")
    try:
        bus = await connect(settings.nats_url, "billing-rebuild")
        try:
            return await rebuild_books(pool, bus.jetstream, SystemClock(), Reader().charge)
        finally:
            await bus.close()
    finally:
        await pool.close()
