"""`python -m tests.faults.comparison --litellm PATH`: the same clients against Tollgate and against LiteLLM's proxy.

LiteLLM is not part of this repository: install it elsewhere (`pip install 'litellm[proxy]'` in an environment of its own)
and give the path of its `litellm` program. It is set up as its own documentation does without a database: one model, and
a budget for the provider kept in Redis. Its virtual keys, and so their revocation, need its database, whose engine no
package registry has; that scenario is left out.

Truth is the simulator's journal: what the provider counted, at GPT-4's price.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import redis
from common.contracts.topology import cost_key
from common.servers.child import start_child, wait_ready
from common.servers.ports import free_port
from common.servers.redis import start_redis

from .clients import Order, place
from .disks import Disks
from .journals import ClientCall
from .loop import LoopThread
from .stack import Stack

PRICE_IN, PRICE_OUT = Decimal("0.00003"), Decimal("0.00006")
BUDGET = Decimal("0.05")
TOKENS, CHUNK_MS = 30, 30
CROWD = 200
LEAVERS = 30
_KEPT_BY_LITELLM = "provider_spend:openai:1d"
_SETTLING_SECONDS = 8.0


@dataclass(frozen=True)
class Gateway:
    """One of the two, ready to be called. `counted` tells what it thinks was spent, in dollars."""

    name: str
    port: int
    secret: str
    journal: Path
    counted: Callable[[], Decimal]
    at_rest: Callable[[], None]


@dataclass(frozen=True)
class Figure:
    """What one scenario showed."""

    served: int
    provider: Decimal
    counted: Decimal


def main() -> int:
    """Play both scenarios against both, print both columns."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.comparison", description=__doc__)
    parser.add_argument("--litellm", type=Path, required=True, help="path of the litellm program")
    chosen = parser.parse_args()
    rows = {"a crowd on a budget": (crowd(), BUDGET), "hang-ups midway": (leavers(), Decimal(100))}
    print(f"{'scenario':<22} {'gateway':<10} {'served':>6} {'provider counted':>17} {'gateway counted':>16}")
    for scenario, (orders, budget) in rows.items():
        for opened in (tollgate(budget), litellm(chosen.litellm, budget)):
            with opened as gateway:
                figure = play(gateway, orders)
            amounts = f"${figure.provider:.5f}".rjust(17) + f"${figure.counted:.5f}".rjust(17)
            print(f"{scenario:<22} {gateway.name:<10} {figure.served:>6} {amounts}   budget ${budget}", flush=True)
    return 0


def crowd() -> list[Order]:
    """Many at once, each for about a twentieth of a cent and more."""
    return [_order(number, streamed=number % 2 == 0, leaves_after=None) for number in range(CROWD)]


def leavers() -> list[Order]:
    """Streams that are left after five of their thirty tokens."""
    return [_order(number, streamed=True, leaves_after=5) for number in range(LEAVERS)]


def play(gateway: Gateway, orders: list[Order]) -> Figure:
    """All orders at once; what the provider counted of them, and what the gateway did."""
    before = spent_at_provider(gateway.journal)
    calls = asyncio.run(_place_all(gateway, orders))
    gateway.at_rest()
    provider = spent_at_provider(gateway.journal) - before
    return Figure(sum(call.status == 200 for call in calls), provider, gateway.counted())


def spent_at_provider(journal: Path) -> Decimal:
    """Dollars of all calls in the simulator's journal, by their last record."""
    last = {record["call_id"]: record for record in map(json.loads, journal.read_text().splitlines())}
    return sum((r["prompt_tokens"] * PRICE_IN + r["completion_tokens"] * PRICE_OUT for r in last.values()), Decimal(0))


@contextmanager
def tollgate(budget: Decimal) -> Iterator[Gateway]:
    """A whole Tollgate, with a key that has this budget."""
    loop = LoopThread()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tollgate-comparison-", ignore_cleanup_errors=True) as folder,
            Stack(Path(folder), loop, Disks("ordinary")) as stack,
        ):
            with stack.as_admin() as admin:
                terms = {"name": "comparison", "rate_limit": 100_000, "monthly_budget": str(budget)}
                made = admin.call("POST", "/api/v1/keys", terms)
                first = admin.call("POST", "/api/v1/keys", {"name": "first"})
            _rule(int(stack.url_of("simulator").rpartition(":")[2]))
            _wait_for_models(dict(stack.gateways())["gateway-a"], first["key"])
            client = redis.from_url(stack.server_url("redis"))
            name = cost_key(made["id"], time.strftime("%Y-%m", time.gmtime()))

            def counted() -> Decimal:
                return Decimal(int(client.get(name) or 0)) / 1_000_000_000

            port = dict(stack.gateways())["gateway-a"]
            journal = stack.home.simulator_journal
            yield Gateway("tollgate", port, made["key"], journal, counted, lambda: time.sleep(_SETTLING_SECONDS))
            client.close()
    finally:
        loop.close()


@contextmanager
def litellm(program: Path, budget: Decimal) -> Iterator[Gateway]:
    """LiteLLM's proxy on a simulator of its own, with this budget for the provider."""
    with tempfile.TemporaryDirectory(prefix="tollgate-comparison-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        ports: dict[str, int] = {}
        for what in ("redis", "simulator", "litellm"):
            ports[what] = free_port(ports.values())
        server = start_redis(
            folder / "redis", port=ports["redis"], password="only-here", log_path=folder / "redis.log", persistent=False
        )
        journal = folder / "simulator.jsonl"
        path = {"PATH": os.environ.get("PATH", os.defpath), "HOME": name}
        simulator = start_child(
            "simulator",
            [sys.executable, "-m", "simulator"],
            env=path | {"SIMULATOR_HTTP_PORT": str(ports["simulator"]), "SIMULATOR_JOURNAL": str(journal)},
            log_path=folder / "simulator.log",
            cwd=folder,
        )
        config = folder / "config.json"  # JSON is YAML
        config.write_text(json.dumps(_config(ports, budget)))
        proxy = start_child(
            "litellm",
            [str(program), "--config", str(config), "--port", str(ports["litellm"]), "--host", "127.0.0.1"],
            env=path | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": "sk-comparison"},
            log_path=folder / "litellm.log",
            cwd=folder,
            death_signal=signal.SIGKILL,
        )
        try:
            wait_ready(proxy, lambda: _is_alive(ports["litellm"]), deadline_seconds=180)
            _rule(ports["simulator"])
            client = redis.from_url(server.url)

            def counted() -> Decimal:
                kept = client.get(_KEPT_BY_LITELLM) or b"0"
                return Decimal(kept.decode() if isinstance(kept, bytes) else kept)

            yield Gateway(
                "litellm",
                ports["litellm"],
                "sk-comparison",
                journal,
                counted,
                lambda: time.sleep(_SETTLING_SECONDS),
            )
            client.close()
        finally:
            for child in (proxy, simulator, server.child):
                child.end()


def _rule(port: int) -> None:
    """Have the simulator answer every call with so many tokens, so slowly."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    rule = {"provider": "*", "directives": {"tokens": TOKENS, "chunk_ms": CHUNK_MS}}
    connection.request("POST", "/control/faults", json.dumps(rule), {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status < 300, answer.read()
    connection.close()


def _wait_for_models(port: int, secret: str) -> None:
    """A fresh catalog may still be on its way to the gateway."""
    order = _order(0, streamed=False, leaves_after=None)
    for _ in range(60):
        if asyncio.run(place(order, secret, "", [("tollgate", port)])).status == 200:
            return
        time.sleep(0.5)
    raise TimeoutError("no model is known to the gateway")


def _config(ports: dict[str, int], budget: Decimal) -> dict[str, object]:
    return {
        "model_list": [
            {
                "model_name": "gpt-4",
                "litellm_params": {
                    "model": "openai/gpt-4",
                    "api_base": f"http://127.0.0.1:{ports['simulator']}/openai/v1",
                    "api_key": "sim-ok-comparison",
                    "input_cost_per_token": float(PRICE_IN),
                    "output_cost_per_token": float(PRICE_OUT),
                },
            }
        ],
        "router_settings": {
            "num_retries": 0,
            "redis_host": "127.0.0.1",
            "redis_port": ports["redis"],
            "redis_password": "only-here",
            "provider_budget_config": {"openai": {"budget_limit": float(budget), "time_period": "1d"}},
        },
        "general_settings": {"master_key": "sk-comparison"},
    }


async def _place_all(gateway: Gateway, orders: list[Order]) -> list[ClientCall]:
    at = [(gateway.name, gateway.port)]
    return list(await asyncio.gather(*(place(order, gateway.secret, "", at) for order in orders)))


def _order(number: int, *, streamed: bool, leaves_after: int | None) -> Order:
    return Order(
        number=number,
        at_seconds=0,
        key="",
        gateway=0,
        streamed=streamed,
        tokens=TOKENS,
        chunk_ms=CHUNK_MS,
        max_tokens=40,
        hang_up_after=leaves_after,
        text=f"call {number} of many: tell me a long story of the sea, and of the ships that never came back from it",
        is_directed=False,
    )


def _is_alive(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/liveliness")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
