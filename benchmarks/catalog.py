"""The public list of models at 5,000 models: how long a reader waits, through the gateway, as the console asks for it.

The models are written straight into catalog-sync's tables, since only their number matters. What is asked again comes from
the cache Redis; `asked for the first time` asks for other words each time, which no cache can know.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import count
from typing import Any

import asyncpg
import httpx2
from rich.table import Table

from benchmarks.stack import cpu_seconds

_MODELS = 5_000
_PATH = "/api/v1/llm/models"
_CALLS, _CONNECTIONS = 800, 4

_FILL = """
INSERT INTO catalog_sync.models (id, provider_type, name, display_name, description, names, enabled, context_length,
    capabilities, source, created_at, updated_at)
SELECT 'bench-' || n, 'openrouter', 'bench/model-' || n, 'Bench ' || n, repeat('A model for measuring. ', 10), '{}', true,
    1000 + n, '{chat,tools}', 'own', now(), now()
FROM generate_series(1, $1 - (SELECT count(*) FROM catalog_sync.models)::integer) AS n
"""
_PRICE = """
INSERT INTO catalog_sync.prices (model_id, version, starts_at, rates, tiers, variants, source, read_at)
SELECT id, 'bench', '1970-01-01Z', '{"input_tokens": "1.5", "output_tokens": "6"}', '[]', '{}', 'own', now()
FROM catalog_sync.models WHERE id LIKE 'bench-%'
"""


@dataclass(frozen=True)
class Listed:
    """One kind of question: its name and parameters; `varies` makes each a new one."""

    scenario: str
    asked: dict[str, str]
    varies: bool = False


SCENARIOS = (
    Listed("first page of 100", {}),
    Listed("a page of 1,000", {"limit": "1000", "offset": "2000"}),
    Listed("provider, capability, by price", {"provider": "openrouter", "capability": "tools", "sort": "-price"}),
    Listed("searched, asked for the first time", {}, varies=True),
)


@dataclass(frozen=True)
class Waited:
    """What readers waited for one kind of question, in milliseconds, and what an answer took of the CPU in gateway and
    catalog-sync together, which does not hang on what else the machine does."""

    scenario: str
    models: int
    calls: int
    cpu_ms_per_call: float
    p50_ms: float
    p99_ms: float


async def measure_lists(stack: dict[str, Any], scale: float) -> list[Waited]:
    """Fill the catalog of a running stack, then ask."""
    connection = await asyncpg.connect(stack["database_url"])
    await connection.execute(_FILL.replace("$1", str(_MODELS)))
    await connection.execute(_PRICE)
    await connection.execute("UPDATE catalog_sync.revisions SET number = number + 1")
    await connection.execute("ANALYZE catalog_sync.models, catalog_sync.prices")
    await connection.close()
    pids = [int(stack["pids"][name]) for name in ("gateway", "catalog-sync")]
    return [await _measure(stack["url"], pids, each, max(50, int(_CALLS * scale))) for each in SCENARIOS]


async def _measure(url: str, pids: list[int], listed: Listed, calls: int) -> Waited:
    numbers, waited = count(), list[float]()

    async def reader(client: httpx2.AsyncClient) -> int:
        total = 0
        while (number := next(numbers)) < calls:
            asked = {**listed.asked, "search": f"model-{number}"} if listed.varies else listed.asked
            began = time.perf_counter()
            answer = await client.get(_PATH, params=asked)
            waited.append(1000 * (time.perf_counter() - began))
            answer.raise_for_status()
            total = int(answer.headers["x-total-count"])
        return total

    async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        (await client.get(_PATH, params=listed.asked)).raise_for_status()
        before = cpu_seconds(*pids)
        totals = await asyncio.gather(*(reader(client) for _ in range(_CONNECTIONS)))
        cpu_ms = 1000 * (cpu_seconds(*pids) - before) / calls
    ordered = sorted(waited)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    return Waited(listed.scenario, max(totals), calls, cpu_ms, p50, p99)


def lists_table(rows: list[Waited]) -> Table:
    """The rows as a table for people."""
    table = Table(title=f"The public list of models, {_MODELS:,} models, {_CONNECTIONS} readers at once")
    for column in ("question", "models found", "calls", "CPU ms/call", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "question" else "right")
    for row in rows:
        figures = (f"{value:.1f}" for value in (row.cpu_ms_per_call, row.p50_ms, row.p99_ms))
        table.add_row(row.scenario, str(row.models), str(row.calls), *figures)
    return table
