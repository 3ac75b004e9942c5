"""`make bench`: starts the whole stack with the simulator at zero delay, measures what calls cost, prints a table.

CPU is the gateway's own process time divided by calls, in several rounds: the least, which other load on the machine
disturbs least, and the median, which says how much it was disturbed. Beside it stands the same job as one ordinarily
writes it (`ordinary.py`), measured in turn with it: machines differ and drift, the ratio stays. Rates and latencies share
the machine with the load, the simulator and the servers, and are indicative; added latency is the difference to the same
calls made to the simulator directly.

What billing books a second is `booking`'s; how long readers wait for the list of models is `catalog`'s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.booking import Booked, measure
from benchmarks.catalog import Waited, lists_table, measure_lists
from benchmarks.load import Callers, Result, Target, callers
from benchmarks.stack import cpu_seconds, running_ordinary, running_stack


@dataclass(frozen=True)
class Scenario:
    """One kind of call: its prompt, how many at once, how many in all (for `scale` 1)."""

    name: str
    content: str
    streamed: bool
    connections: int
    calls: int


ROUNDS = 24
BOOKED_EVENTS = 40_000
SCENARIOS = (
    Scenario("whole, 64 at once", "Say hello!", False, 64, 8_000),
    Scenario("whole, one at a time", "Say hello!", False, 1, 1_000),
    Scenario("stream of 50 chunks, 16 at once", "[[simulate tokens=50]]", True, 16, 2_000),
    Scenario("stream of 50 chunks paced at 10 ms, 64 at once", "[[simulate tokens=50 chunk_ms=10]]", True, 64, 640),
)


@dataclass(frozen=True)
class Measured:
    """One row of the table; µs and ms as named."""

    scenario: str
    cpu_us_per_call: float
    cpu_us_per_call_median: float
    cpu_us_per_chunk: float | None
    ordinary_us_per_call: float
    ordinary_us_per_call_median: float
    times_cheaper: float
    calls_per_second: float
    chunks_per_second: float | None
    p50_ms: float
    p99_ms: float
    added_p50_ms: float
    added_p99_ms: float
    added_first_byte_p50_ms: float
    rss_mib: float


@dataclass(frozen=True)
class Bench:
    """What is measured: the stack, the key, the ordinary proxy beside it."""

    stack: dict[str, Any]
    key: str
    ordinary: str
    ordinary_pid: int
    scale: float

    async def measure(self, scenario: Scenario) -> Measured:
        """The simulator directly, then gateway and ordinary proxy in turn."""
        calls = max(scenario.connections, int(scenario.calls * self.scale) // ROUNDS)
        pid = int(self.stack["pids"]["gateway"])
        async with (
            self._callers(f"{self.stack['simulator_url']}/openai/v1", scenario) as direct,
            self._callers(f"{self.stack['url']}/v1", scenario) as gateway,
            self._callers(f"{self.ordinary}/v1", scenario) as ordinary,
        ):
            alone = await direct.run(calls)
            for warmed in (gateway, ordinary):
                await warmed.run(calls)
            rounds = [
                (await _cpu(gateway, calls, pid), await _cpu(ordinary, calls, self.ordinary_pid)) for _ in range(ROUNDS)
            ]
        result, _ = min((ours for ours, _ in rounds), key=lambda round_: round_[1])
        cpu, theirs = ([cpu_us for _, cpu_us in side] for side in zip(*rounds, strict=True))
        return _row(scenario, result, alone, cpu, theirs, psutil.Process(pid).memory_info().rss)

    def _callers(self, base_url: str, scenario: Scenario) -> AbstractAsyncContextManager[Callers]:
        members = {"stream": True} if scenario.streamed else {}
        message = {"role": "user", "content": scenario.content}
        body = json.dumps({"model": "gpt-4", "messages": [message], "max_tokens": 64, **members}).encode()
        return callers(Target(f"{base_url}/chat/completions", self.key, body), scenario.connections)


async def _cpu(calling: Callers, calls: int, pid: int) -> tuple[Result, float]:
    """One round: what it saw, and the process's CPU µs a call."""
    before = cpu_seconds(pid)
    result = await calling.run(calls)
    return result, 1e6 * (cpu_seconds(pid) - before) / result.calls


def _row(
    scenario: Scenario, result: Result, alone: Result, rounds: list[float], ordinary: list[float], rss: int
) -> Measured:
    """The row of the quietest round, and what the rounds had in the middle."""
    cpu = min(rounds)

    def added(share: float, of: str = "latencies") -> float:
        return 1000 * (result.percentile(share, of) - alone.percentile(share, of))

    return Measured(
        scenario=scenario.name,
        cpu_us_per_call=cpu,
        cpu_us_per_call_median=median(rounds),
        cpu_us_per_chunk=cpu * result.calls / result.chunks if result.chunks else None,
        ordinary_us_per_call=min(ordinary),
        ordinary_us_per_call_median=median(ordinary),
        times_cheaper=min(ordinary) / cpu,
        calls_per_second=result.calls / result.seconds,
        chunks_per_second=result.chunks / result.seconds if result.chunks else None,
        p50_ms=1000 * result.percentile(0.5),
        p99_ms=1000 * result.percentile(0.99),
        added_p50_ms=added(0.5),
        added_p99_ms=added(0.99),
        added_first_byte_p50_ms=added(0.5, "first_bytes"),
        rss_mib=rss / (1 << 20),
    )


async def _key(stack: dict[str, Any]) -> str:
    """A key with every limit switched on, none of them reached."""
    async with httpx2.AsyncClient(base_url=stack["url"]) as client:
        who = {"email": stack["admin_email"], "password": stack["admin_password"]}
        token = (await client.post("/api/auth/login", json=who)).json()["access_token"]
        limits = {
            "name": "bench",
            "rate_limit": 1_000_000,
            "token_limit": 2_000_000_000,
            "max_concurrency": 10_000,
            "monthly_budget": "100000",
        }
        made = await client.post("/api/v1/keys", json=limits, headers={"authorization": f"Bearer {token}"})
        return str(made.json()["key"])


async def bench(scale: float, *, quiet: bool) -> list[Measured]:
    """All scenarios against one stack of its own."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder, running_stack(Path(folder)) as stack:
        key = await _key(stack)
        with (
            running_ordinary(stack, key) as (ordinary, pid),
            Progress(console=Console(stderr=True), disable=quiet) as progress,
        ):
            measured = Bench(stack, key, ordinary, pid, scale)
            bar = progress.add_task("measuring", total=len(SCENARIOS))
            for scenario in SCENARIOS:
                progress.update(bar, description=scenario.name)
                rows.append(await measured.measure(scenario))
                progress.advance(bar)
    return rows


def lists(scale: float) -> list[Waited]:
    """The list of models on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder, running_stack(Path(folder)) as stack:
        return asyncio.run(measure_lists(stack, scale))


def _table(rows: list[Measured]) -> Table:
    table = Table(title="One gateway worker, everything on (keys, limits, budget, durable events, ledger)")
    for column in (
        "scenario",
        "CPU µs/call",
        "median",
        "CPU µs/chunk",
        "ordinary µs/call",
        "median",
        "×",
        "calls/s",
        "chunks/s",
        "p50 ms",
        "p99 ms",
    ):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for column in ("added p50", "added p99", "added first byte", "RSS MiB"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.scenario,
            f"{row.cpu_us_per_call:.0f}",
            f"{row.cpu_us_per_call_median:.0f}",
            f"{row.cpu_us_per_chunk:.1f}" if row.cpu_us_per_chunk else "–",
            f"{row.ordinary_us_per_call:.0f}",
            f"{row.ordinary_us_per_call_median:.0f}",
            f"{row.times_cheaper:.1f}",
            f"{row.calls_per_second:.0f}",
            f"{row.chunks_per_second:.0f}" if row.chunks_per_second else "–",
            *(f"{value:.2f}" for value in (row.p50_ms, row.p99_ms, row.added_p50_ms, row.added_p99_ms)),
            f"{row.added_first_byte_p50_ms:.2f}",
            f"{row.rss_mib:.0f}",
        )
    return table


def _booking_table(rows: list[Booked]) -> Table:
    table = Table(title="Billing, batches of 500 events into a Postgres that syncs each commit")
    for column in ("consumers", "events", "events/s", "CPU µs/event", "Postgres CPU µs/event"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row.consumers),
            str(row.events),
            f"{row.events_per_second:.0f}",
            f"{row.cpu_us_per_event:.0f}",
            f"{row.postgres_cpu_us_per_event:.0f}",
        )
    return table


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the calls to make (0.1 for a quick look)")
    parser.add_argument("--only", choices=("calls", "booking", "lists"), help="measure one of the parts")
    arguments = parser.parse_args()
    only = arguments.only
    rows = asyncio.run(bench(arguments.scale, quiet=arguments.json)) if only in (None, "calls") else []
    booked = measure(int(BOOKED_EVENTS * arguments.scale)) if only in (None, "booking") else []
    waited = lists(arguments.scale) if only in (None, "lists") else []
    if arguments.json:
        json.dump([*map(asdict, rows), *map(asdict, booked), *map(asdict, waited)], sys.stdout, indent=2)
        return
    console = Console(width=220)
    for table in (
        *([_table(rows)] if rows else []),
        *([_booking_table(booked)] if booked else []),
        *([lists_table(waited)] if waited else []),
    ):
        console.print(table)


if __name__ == "__main__":
    main()
