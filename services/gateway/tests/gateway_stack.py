"""What the gateway's tests stand on: a gateway with real NATS and Redis, the simulator as provider, snapshots by hand."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
from common.bus.connect import Bus
from common.contracts.envelope import Envelope
from common.contracts.snapshots import (
    AliasSnapshot,
    DeploymentSnapshot,
    KeySecret,
    KeySnapshot,
    ModelSnapshot,
    PriceSnapshot,
    TimeoutsSnapshot,
)
from common.contracts.usage import UsageRecorded
from common.ids import uuid7
from common.money import Money
from common.secret import Secret, seal
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from gateway.mirrors.usable import Credential

KEY_ID = "key-1"
KEY = "test-key-12345"


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def as_it_is(credential: Credential) -> Credential:
    """What nearly every provider takes: the secret that keyvault has."""
    return credential


def fake_keyvault(secrets: dict[str, str]) -> FastAPI:
    """A keyvault that knows these secrets by credential id."""
    app = FastAPI()

    @app.post("/internal/v1/credentials/{credential_id}/open")
    async def open_credential(credential_id: str, body: dict[str, str]) -> dict[str, Any]:
        sealed = seal(Secret(secrets[credential_id]), body["recipient"], f"{credential_id}/1")
        return {"credential_id": credential_id, "version": 1, "sealed": sealed}

    @app.get("/api/v1/keys")
    async def keys() -> dict[str, Any]:
        return {"items": [], "next_cursor": None}

    @app.post("/api/v1/keys", status_code=201)
    async def make_key(body: dict[str, Any]) -> Any:
        if body.get("name") == "refused":
            return JSONResponse({"detail": "no such name"}, 422)
        await asyncio.sleep(float(body.get("seconds", 0)))
        return {"id": uuid7(), "name": body.get("name"), "key": f"tg-{uuid7()}"}

    return app


def key_snapshot(**changes: Any) -> KeySnapshot:
    """The test key: 100 requests a minute, $10 a month."""
    secret = changes.pop("secret", KEY)
    given: dict[str, Any] = {
        "id": KEY_ID,
        "name": "Test Key",
        "secrets": (KeySecret(sha256=hashlib.sha256(secret.encode()).hexdigest()),),
        "user_id": "user-1",
        "rate_limit": 100,
        "monthly_budget": Money.of("10"),
    }
    return KeySnapshot(**{**given, **changes})


def model_snapshot(provider_type: str, name: str, input_usd: str, output_usd: str, **changes: Any) -> ModelSnapshot:
    """A model with one price."""
    price = PriceSnapshot(
        version=f"price-{name}",
        starts_at=datetime(1970, 1, 1, tzinfo=UTC),
        rates={"input_tokens": Decimal(input_usd), "output_tokens": Decimal(output_usd)},
    )
    return ModelSnapshot(
        id=f"{provider_type}-{name}", provider_type=provider_type, name=name, prices=(price,), **changes
    )


HASTY = AliasSnapshot(
    id="hasty",
    alias="hasty",
    deployments=(DeploymentSnapshot(provider="openai", model="gpt-4"),),
    timeouts=TimeoutsSnapshot(first_byte_s=0.3),
)
"""gpt-4, for who does not wait: everybody else waits longer than a slow machine may take."""


async def all_but(
    count: int, asked: Collection[Awaitable[httpx2.Response]]
) -> tuple[list[httpx2.Response], list[asyncio.Future[httpx2.Response]]]:
    """Ask all at once, and wait until all but so many have an answer: the answers, and those who still wait."""
    waiting, answers = {asyncio.ensure_future(one) for one in asked}, []
    while len(waiting) > count:
        over, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        answers += [task.result() for task in over]
    return answers, list(waiting)


@dataclass
class Stack:
    """A running gateway and all that tests ask around it."""

    url: str
    http: httpx2.AsyncClient
    bus: Bus
    redis: Any
    put: Callable[[str, str, Any], Awaitable[int]]
    journal: Path
    simulator_url: str
    simulator_journal: Path
    month: str

    async def chat(self, content: str = "Say hello!", *, key: str = KEY, **members: Any) -> httpx2.Response:
        """One call of gpt-4."""
        body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], **members}
        return await self.http.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})

    async def let_go(self, name: str) -> None:
        """Let the simulator answer the calls that it holds by this name: `[[simulate held=<name>]]`."""
        answer = await self.http.post(f"{self.simulator_url}/control/releases", json={"name": name})
        assert answer.status_code == 201, answer.text

    async def has_hasty_alias(self) -> None:
        """Make the model `hasty` known."""
        await self.put("catalog", f"alias.{HASTY.id}", HASTY)
        await self.is_callable(HASTY.alias)

    async def is_callable(self, model: str) -> None:
        """Wait until the gateway knows a model, and what it is called with."""
        for _ in range(300):
            answer = await self.http.get(f"/v1/models/{model}", headers={"authorization": f"Bearer {KEY}"})
            if answer.status_code == 200:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"the gateway does not hear of {model}")

    async def events(self, least: int = 1, seconds: float = 30.0) -> list[UsageRecorded]:
        """All usage events so far, once there are so many."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self._read_events()
            if len(found) >= least or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(0.05)

    async def spent(self) -> int:
        """Nano-USD settled this month."""
        return int(await self.redis.get(f"cost:{KEY_ID}:{self.month}") or 0)

    async def held(self) -> int:
        """Nano-USD held this month."""
        return int(await self.redis.get(f"held:{KEY_ID}:{self.month}") or 0)

    async def _read_events(self) -> list[UsageRecorded]:
        info = await self.bus.jetstream.stream_info("USAGE")
        found = []
        for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
            message = await self.bus.jetstream.get_msg("USAGE", sequence)
            if str(message.subject).startswith("usage.recorded."):
                found.append(Envelope[UsageRecorded].model_validate_json(message.data or b"").data)
        return found
