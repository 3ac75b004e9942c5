"""Fixtures of the gateway's tests; what they are made of is in `gateway_stack`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
import redis.asyncio as redis
from common.bus.connect import connect
from common.settings import read
from common.testing.serving import serving
from gateway.api.protocol import ClientProtocol
from gateway.main import create_app
from gateway.settings import GatewaySettings
from gateway_house import SYSTEM_SECRETS, House, open_house, own_servers, seed
from gateway_stack import Stack, fake_keyvault, free_port


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The simulator as a process of its own: (URL, journal)."""
    port = free_port()
    journal = tmp_path_factory.mktemp("simulator") / "journal.jsonl"
    environment = {**os.environ, "SIMULATOR_HTTP_PORT": str(port), "SIMULATOR_JOURNAL": str(journal)}
    process = subprocess.Popen([sys.executable, "-m", "simulator"], env=environment)
    url = f"http://127.0.0.1:{port}"
    for _ in range(500):
        with suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/readyz").status_code == 200:
                break
        assert process.poll() is None
        time.sleep(0.02)
    yield url, journal
    process.terminate()
    process.wait(10)


@pytest_asyncio.fixture(scope="session")
async def keyvault_url() -> AsyncIterator[str]:
    """A keyvault that hands out the simulator's keys."""
    async with serving(fake_keyvault(SYSTEM_SECRETS), free_port()) as url:
        yield url


@pytest.fixture
async def stack(
    nats_url: str, redis_url: str, simulator: Any, keyvault_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stack]:
    """A gateway that is ready to be called with the test key."""
    simulator_url, simulator_journal = simulator
    bus = await connect(nats_url, "tests")
    cache = redis.from_url(redis_url)
    await cache.set("epoch", "tests")

    async def put(bucket: str, key: str, snapshot: Any) -> int:
        store = await bus.jetstream.key_value(bucket)
        if snapshot is None:
            await store.delete(key)
            return 0
        return await store.put(key, snapshot.model_dump_json().encode())

    await seed(put)
    monkeypatch.setattr("gateway.reaper._EVERY_SECONDS", 0.3)
    for name, value in {
        "NATS_URL": nats_url,
        "REDIS_URL": redis_url,
        "CACHE_REDIS_URL": redis_url.removesuffix("/0") + "/1",
        "SIMULATOR_URL": simulator_url,
        "KEYVAULT_URL": keyvault_url,
        "GATEWAY_SERVICE_TOKEN": "t" * 32,
        "GATEWAY_JOURNAL_DIR": str(tmp_path / "journal"),
        "PROVIDER_REQUEST_TIMEOUT": "20s",
    }.items():
        monkeypatch.setenv(name, value)
    async with (
        serving(create_app(read(GatewaySettings)), free_port(), http=ClientProtocol) as url,
        httpx2.AsyncClient(base_url=url, timeout=20) as http,
    ):
        for _ in range(400):
            if (await http.get("/readyz")).status_code == 200:
                break
            await asyncio.sleep(0.02)
        month = datetime.now(UTC).strftime("%Y:%m")
        yield Stack(url, http, bus, cache, put, tmp_path / "journal", simulator_url, simulator_journal, month)
    await cache.aclose()
    await bus.close()


@pytest.fixture(scope="session")
def house_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A NATS and a Redis for the gateways of `house`: their URLs."""
    with own_servers(tmp_path_factory.mktemp("servers")) as urls:
        yield urls


@pytest_asyncio.fixture(scope="module")
async def house(
    house_servers: tuple[str, str], simulator: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """A gateway process on servers that are emptied before each module: what one puts there is none of the next one's
    business. The tests of a module share it, and each takes a key of its own."""
    settings = {
        "CORS_ORIGINS": "https://console.example, https://other.example",
        "GATEWAY_MAX_BODY_BYTES": "8388608",
        "GATEWAY_MAX_ANSWER_BYTES": "4194304",
    }
    folder = tmp_path_factory.mktemp("house")
    async with open_house(*house_servers, simulator, folder, settings) as opened:
        yield opened
