"""What billing books a second: usage events as bytes, in batches of 500, into a durable Postgres of its own.

All of a booking is in it: the event decoded and checked, deduplicated, two lines of the ledger, charge, month, provider's
day, and the counters of key, user and a budget. Postgres syncs each commit (`fsync`, `synchronous_commit`), as in
production; rates share the machine with it, so that CPU µs an event is what can be compared between machines.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

from billing.consumers import usage_handler
from billing.domain.budgets import Setter
from billing.domain.counters import MONTHLY
from billing.flows import Billing
from billing.flows.budgets import Wanted
from billing.flows.known import Known
from billing.sources.bills import BillSource
from billing.store.counters import open_counters
from common.bus.consume import Received
from common.clock import SystemClock, rfc3339
from common.contracts.usage_examples import USAGE_EXAMPLES
from common.http.fetch import Fetcher
from common.ids import usage_event_id, uuid7
from common.postgres.migrate import migrate_service
from common.postgres.pool import Pool, open_pool
from common.servers.ports import free_port
from common.servers.postgres import start_postgres
from common.servers.redis import start_redis
from common.urls import UrlRules

from benchmarks.stack import cpu_seconds

BATCH = 500
_KEYS, _USERS = 100, 50


@dataclass(frozen=True)
class Booked:
    """What was measured with so many consumers at a time."""

    consumers: int
    events: int
    events_per_second: float
    cpu_us_per_event: float
    postgres_cpu_us_per_event: float


def measure(events: int) -> list[Booked]:
    """Book so many events with one consumer, then as many others with two."""
    with tempfile.TemporaryDirectory(prefix="tollgate-booking-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        redis = start_redis(
            folder / "redis", port=free_port(), password="bench", log_path=folder / "redis.log", persistent=False
        )
        postgres = start_postgres(
            folder / "postgres", port=free_port(), password="bench", log_path=folder / "postgres.log", durable=True
        )
        try:
            return [asyncio.run(_round(postgres.url, redis.url, consumers, events)) for consumers in (1, 2)]
        finally:
            postgres.stop()
            redis.stop()


async def _round(owner_url: str, redis_url: str, consumers: int, events: int) -> Booked:
    await migrate_service(owner_url, schema="billing", password="bench", package="billing")
    parts = urlsplit(owner_url)
    url = urlunsplit(parts._replace(netloc=f"billing:bench@{parts.hostname}:{parts.port}"))
    pool = await open_pool(url, max_size=4, application="bench")
    try:
        async with open_counters(redis_url) as counters:
            billing = Billing(
                pool, cast(Any, None), counters, SystemClock(), Known(), BillSource(Fetcher(UrlRules()), {})
            )
            everything = Wanted("global", None, MONTHLY, "hard", Decimal(1_000_000), (50, 80, 100))
            await billing.budgets.set(Setter("bench", is_admin=True), everything, None)
            return await _book(billing, pool, consumers, [_event(number) for number in range(events)])
    finally:
        await pool.close()


async def _book(billing: Billing, pool: Pool, consumers: int, events: list[Received]) -> Booked:
    batches = [events[start : start + BATCH] for start in range(0, len(events), BATCH)]
    handle = usage_handler(billing)

    async def consume() -> None:
        while batches:
            await handle(batches.pop())

    postgres_before, cpu, began = await _postgres_seconds(pool), time.process_time(), time.perf_counter()
    await asyncio.gather(*(consume() for _ in range(consumers)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    postgres_cpu = await _postgres_seconds(pool) - postgres_before
    count = len(events)
    return Booked(consumers, count, count / seconds, 1e6 * cpu / count, 1e6 * postgres_cpu / count)


async def _postgres_seconds(pool: Pool) -> float:
    """CPU seconds of the server's processes that book."""
    rows = await pool.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'bench'")
    return cpu_seconds(*[row["pid"] for row in rows])


def _event(number: int) -> Received:
    """An ordinary call of one of some keys and users."""
    chance = random.Random(number)
    request_id = uuid7()
    event: dict[str, Any] = json.loads(json.dumps(USAGE_EXAMPLES["completed"]))
    key, user = f"key-{chance.randrange(_KEYS)}", f"user-{chance.randrange(_USERS)}"
    event["id"] = usage_event_id(request_id, "final")
    call = event["data"]
    period = call["period"]
    call |= {"request_id": request_id, "api_key_id": key, "user_id": user, "started_at": rfc3339(SystemClock().now())}
    call["budgets"] = [f"key:{key}:{period}", f"user:{user}:{period}", f"global:{period}"]
    return Received(f"usage.recorded.openai.{key}", json.dumps(event).encode(), event["id"], number)
