"""The gateway as a process of its own, as it is deployed, with servers that a test may stop and start again.

`gateway_stack` has the gateway in the test's process, quick to start and to look into; here it is `python -m gateway` under
uvloop, with its output in a file, its memory and its end to be watched.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psutil
import redis.asyncio as redis
from common.bus.connect import connect
from common.bus.provision import provision
from common.contracts.envelope import Envelope
from common.contracts.snapshots import (
    AliasSnapshot,
    CredentialSnapshot,
    DeploymentSnapshot,
    KeySecret,
    ProviderSnapshot,
)
from common.contracts.topology import BUCKETS, STREAMS
from common.contracts.usage import UsageRecorded
from common.ids import uuid7
from common.providers.registry import PROVIDERS
from common.servers.child import Child, start_child
from common.servers.nats import start_nats
from common.servers.ports import free_port as server_port
from common.servers.redis import start_redis
from common.testing.serving import serving
from gateway_stack import KEY_ID, Stack, fake_keyvault, free_port, key_snapshot, model_snapshot
from google_account import account_secret
from own_provider import OwnProvider, echo

SERVICE_TOKEN = "service-token-that-nobody-may-see"
CALLED = tuple(PROVIDERS)
SYSTEM_SECRETS = {
    **{f"cred-{name}": f"sim-ok-{name}-hidden" for name in CALLED},
    "cred-vertex": account_secret(),
    "cred-refused": account_secret("refused@tests.example"),
    "cred-stranger": account_secret("bad-stranger@tests.example"),
}


@dataclass(frozen=True)
class Caller:
    """A virtual key of a test's own."""

    id: str
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        """What it shows."""
        return {"authorization": f"Bearer {self.secret}"}


@dataclass(repr=False)  # the event loop writes down what its handles hold, and this holds a lot
class House(Stack):
    """A running gateway process and all that tests ask around it."""

    child: Child | None = None
    environment: dict[str, str] = field(default_factory=dict)
    _read: int = 0
    _seen: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """Everything that the process has written."""
        assert self.child is not None
        return self.child.log_path.read_text("utf-8", "replace")

    def memory(self) -> int:
        """Resident bytes of the process."""
        assert self.child is not None
        return int(psutil.Process(self.child.pid).memory_info().rss)

    async def caller(self, **changes: Any) -> Caller:
        """A fresh key that the gateway knows: without limits but for these."""
        caller = Caller(f"key-{uuid7()}", f"tg-{uuid7()}")
        known_by = (KeySecret(sha256=hashlib.sha256(caller.secret.encode()).hexdigest()),)
        given = {"rate_limit": None, "monthly_budget": None, "secrets": known_by, **changes}
        await self.put("keys", caller.id, key_snapshot(id=caller.id, **given))
        is_off = changes.get("enabled") is False or "expires_at" in changes
        for _ in range(200):
            if is_off or (await self.http.get("/v1/models", headers=caller.headers)).status_code == 200:
                return caller
            await asyncio.sleep(0.01)
        raise AssertionError("the gateway does not hear of a key")

    async def ask(self, caller: Caller, content: str = "Say hello!", **members: Any) -> httpx2.Response:
        """One call of gpt-4."""
        return await self.chat(content, key=caller.secret, **members)

    async def told(self, caller: Caller, least: int = 1, seconds: float = 30.0) -> list[Any]:
        """The usage events of a key, once there are so many."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            await self._read_on()
            found = self._seen.get(caller.id, [])
            if len(found) >= least or asyncio.get_running_loop().time() > deadline:
                return [Envelope[UsageRecorded].model_validate_json(event).data for event in found]
            await asyncio.sleep(0.05)

    async def open_money(self, caller: Caller) -> tuple[int, int]:
        """Nano-USD of a key that are held, and that are settled."""
        suffix = f"{caller.id}:{self.month}"
        held, spent = await self.redis.get(f"held:{suffix}"), await self.redis.get(f"cost:{suffix}")
        return int(held or 0), int(spent or 0)

    async def metric(self, name: str) -> float:
        """One line of `/metrics`."""
        for line in (await self.http.get("/metrics")).text.splitlines():
            if line.startswith(f"tollgate_gateway_{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    async def start(self) -> None:
        """Start the process and wait until it is ready."""
        log = self.journal.parent / f"gateway-{uuid7()}.log"
        argv = [sys.executable, "-m", "gateway"]
        self.child = start_child("gateway", argv, env={**os.environ, **self.environment}, log_path=log)
        for _ in range(1500):
            with suppress(httpx2.TransportError):
                if (await self.http.get("/readyz")).status_code == 200:
                    return
            assert self.child.exit_code() is None, self.output
            await asyncio.sleep(0.02)
        raise AssertionError(f"the gateway is not ready: {self.output}")

    async def stop(self) -> int:
        """End the process as a supervisor does; its exit code."""
        assert self.child is not None
        return await asyncio.to_thread(self.child.stop)

    async def _read_on(self) -> None:
        """Take in what has been published since the last time: as bytes, so that thousands weigh little."""
        state = (await self.bus.jetstream.stream_info("USAGE")).state
        for sequence in range(max(self._read + 1, state.first_seq), state.last_seq + 1):
            message = await self.bus.jetstream.get_msg("USAGE", sequence)
            subject = str(message.subject)
            if subject.startswith("usage.recorded."):
                self._seen.setdefault(subject.rpartition(".")[2], []).append(message.data or b"")
        self._read = state.last_seq


async def seed(put: Any) -> None:
    """Snapshots that all tests count on: providers, models, aliases, credentials, the test key."""
    await put("keys", KEY_ID, key_snapshot())
    for provider_type in ("openai", "groq", "mistral"):
        name = f"cred-{provider_type}"
        await put(
            "credentials", name, CredentialSnapshot(id=name, provider_type=provider_type, version=1, on_simulator=True)
        )
    for provider_type in ("openai", "groq", "mistral", "deepseek"):
        snapshot = ProviderSnapshot(
            id=provider_type, name=provider_type, provider_type=provider_type, display_name=provider_type.title()
        )
        await put("catalog", f"provider.{provider_type}", snapshot)
    models = (
        model_snapshot("openai", "gpt-4", "30", "60", context_length=8192),
        model_snapshot("groq", "llama-3.3-70b-versatile", "0.59", "0.79"),
        model_snapshot("deepseek", "deepseek-chat", "0.27", "1.10"),
        model_snapshot("mistral", "mistral-large-latest", "2", "6"),
    )
    for number, model in enumerate(models, 1):
        await put("catalog", f"model.{number}", model)
    deployments = (
        DeploymentSnapshot(provider="openai", model="gpt-4"),
        DeploymentSnapshot(provider="groq", model="llama-3.3-70b-versatile", priority=1),
    )
    await put("catalog", "alias.1", AliasSnapshot(id="1", alias="my-gpt4", deployments=deployments[:1]))
    await put("catalog", "alias.2", AliasSnapshot(id="2", alias="with-fallback", deployments=deployments))


async def add_own_provider(house: House, provider: OwnProvider) -> None:
    """Put a provider that a test plays itself behind model `echo` of type `custom`, which the simulator or another
    test's provider may have played before; it is there once a call has reached it."""
    own = ProviderSnapshot(
        id="custom", name="custom", provider_type="custom", display_name="Custom", base_url=provider.url
    )
    await house.put("catalog", "provider.custom", own)
    await house.put("catalog", "model.5", model_snapshot("custom", "echo", "1", "2"))
    await house.put("credentials", "cred-custom", None)  # a snapshot of the same version would change nothing
    await house.put(
        "credentials", "cred-custom", CredentialSnapshot(id="cred-custom", provider_type="custom", version=1)
    )
    caller = await house.caller()
    play, provider.play = provider.play, echo
    for _ in range(100):
        await house.ask(caller, model="echo")
        if provider.got:
            provider.play = play
            provider.got.clear()
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no call reaches a test's own provider")


@contextmanager
def own_servers(folder: Path) -> Iterator[tuple[str, str]]:
    """A NATS and a Redis of our own: their URLs."""
    words = {"password": secrets.token_urlsafe(16), "durable": False}
    with ExitStack() as stack:
        nats = start_nats(folder / "nats", port=server_port(), user="tests", log_path=folder / "nats.log", **words)
        stack.callback(nats.stop)
        cache = start_redis(
            folder / "redis", port=server_port(), persistent=True, log_path=folder / "redis.log", **words
        )
        stack.callback(cache.stop)
        yield nats.url, cache.url


@asynccontextmanager
async def open_house(
    nats_url: str, redis_url: str, simulator: tuple[str, Path], folder: Path, settings: Mapping[str, str] | None = None
) -> AsyncIterator[House]:
    """A gateway process on these servers, which are emptied first."""
    bus = await connect(nats_url, "tests")
    existing = {info.config.name for info in await bus.jetstream.streams_info()}
    for name in [*(stream.name for stream in STREAMS), *(f"KV_{bucket.name}" for bucket in BUCKETS)]:
        if name in existing:
            await bus.jetstream.delete_stream(name)
    await provision(nats_url)
    cache = redis.from_url(redis_url)
    await cache.flushall()
    await cache.set("epoch", "tests")

    async def put(bucket: str, key: str, snapshot: Any) -> int:
        store = await bus.jetstream.key_value(bucket)
        if snapshot is None:
            await store.delete(key)
            return 0
        return int(await store.put(key, snapshot.model_dump_json().encode()))

    await seed(put)
    port, keyvault_port = free_port(), free_port()
    environment = {
        "NATS_URL": nats_url,
        "REDIS_URL": redis_url,
        "CACHE_REDIS_URL": redis_url.removesuffix("/0") + "/1",
        "SIMULATOR_URL": simulator[0],
        "KEYVAULT_URL": f"http://127.0.0.1:{keyvault_port}",
        "CATALOG_SYNC_URL": f"http://127.0.0.1:{free_port()}",
        "GATEWAY_HTTP_PORT": str(port),
        "GATEWAY_SERVICE_TOKEN": SERVICE_TOKEN,
        "GATEWAY_JOURNAL_DIR": str(folder / "journal"),
        "PROVIDER_REQUEST_TIMEOUT": "20s",
        **(settings or {}),
    }
    url = f"http://127.0.0.1:{port}"
    async with (
        serving(fake_keyvault(SYSTEM_SECRETS), keyvault_port),
        httpx2.AsyncClient(base_url=url, timeout=20) as http,
    ):
        month = datetime.now(UTC).strftime("%Y:%m")
        house = House(url, http, bus, cache, put, folder / "journal", *simulator, month, environment=environment)
        try:
            await house.start()
            yield house
        finally:
            if house.child is not None:
                await asyncio.to_thread(house.child.end)
            with suppress(OSError, redis.RedisError):
                await cache.aclose()
            await bus.close()
