"""What billing's tests start from: usage events, the journeys over real servers, the whole app, signed-in callers."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2
import jwt
import pytest
import pytest_asyncio
from billing.consumers import usage_handler
from billing.domain.reading import Reader
from billing.flows import Billing
from billing.flows.known import Known
from billing.flows.rebuilding import Rebuilt, rebuild_books
from billing.main import create_app
from billing.settings import BillingSettings
from billing.sources.bills import BillSource
from billing.store.counters import Counters, open_counters
from common.bus.connect import Bus, connect
from common.bus.consume import Received
from common.clock import SystemClock
from common.contracts.envelope import Envelope, event_headers
from common.contracts.usage import USAGE_RECORDED, UsageRecorded, recorded_subject
from common.http.fetch import Fetcher
from common.ids import UsageKind, usage_event_id, uuid7
from common.postgres.pool import Pool, open_pool
from common.servers.ports import free_port
from common.testing.clocks import FixedClock
from common.testing.servers import TestDatabase
from common.testing.serving import eventually, is_ready, serving
from common.urls import UrlRules
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Event = Envelope[UsageRecorded]
MakeEvent = Callable[..., Event]


def make_usage_event(
    request_id: str | None = None,
    *,
    kind: UsageKind = "final",
    cost: str = "0.0006",
    operator_cost: str = "0",
    api_key_id: str | None = "key-1",
    user_id: str | None = "user-1",
    provider_type: str = "openai",
    period: str = "2026-11",
    tokens: tuple[int, int] = (10, 5),
    billable: bool = True,
    **members: Any,
) -> Event:
    """A usage event as the gateway makes it; `tokens` are input and output, `members` take the place of any others."""
    request_id = request_id or uuid7()
    buckets = {
        "input_tokens": tokens[0],
        "cached_input_tokens": 0,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": tokens[1],
        "reasoning_tokens": 0,
        "audio_input_tokens": 0,
        "audio_output_tokens": 0,
    }
    usage = {**buckets, "total_tokens": sum(tokens), "units": {}, "estimated": kind == "estimated"}
    call: dict[str, Any] = {
        "kind": kind,
        "request_id": request_id,
        "trace_id": None,
        "api_key_id": api_key_id,
        "user_id": user_id,
        "team_id": None,
        "tier": None,
        "source": "api",
        "operation": "chat",
        "requested_model": "gpt-4",
        "alias": None,
        "provider_type": provider_type,
        "provider_id": None,
        "model": "gpt-4",
        "credential": "system" if billable else "byok",
        "credential_id": None,
        "billable": billable,
        "streamed": False,
        "status": "completed",
        "http_status": 200,
        "error": None,
        "finish_reason": "stop",
        "usage": usage,
        "raw_usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]},
        "price": {"version": "v1", "rates": {"input_tokens": "30", "output_tokens": "60"}, "is_fallback": False},
        "cost_usd": cost,
        "operator_cost_usd": operator_cost,
        "budgets": [f"key:{api_key_id}:{period}"] if api_key_id else [],
        "period": period,
        "started_at": f"{period}-21T08:30:00.123Z",
        "latency_ms": 12,
        "ttft_ms": None,
        "attempts": [],
        "cache": "off",
        "dropped_params": [],
        "decision": None,
        "simulated": False,
        "tags": {},
        "content_ref": None,
    }
    return Event(
        id=usage_event_id(request_id, kind),
        source="/gateway/test",
        type=USAGE_RECORDED,
        time=datetime(2026, 11, 21, 8, 30, tzinfo=UTC),
        data=UsageRecorded.model_validate(call | members),
    )


@pytest.fixture(scope="session")
def usage_event() -> MakeEvent:
    """Makes usage events."""
    return make_usage_event


@dataclass(frozen=True, slots=True)
class Journeys:
    """Billing over real servers, without HTTP and without a running consumer."""

    billing: Billing
    pool: Pool
    bus: Bus
    counters: Counters
    clock: FixedClock
    known: Known

    async def publish(self, *events: Event) -> None:
        """Put events on the bus as the gateway does."""
        for event in events:
            subject = recorded_subject(event.data.provider_type, event.data.api_key_id)
            body = event.model_dump_json().encode()
            await self.bus.jetstream.publish(subject, body, headers=event_headers(event.id))

    async def book(self, events: Sequence[Event]) -> None:
        """Have events handled as one batch, as they come off the bus."""
        received = [
            Received(recorded_subject(e.data.provider_type, e.data.api_key_id), e.model_dump_json().encode(), e.id, at)
            for at, e in enumerate(events, 1)
        ]
        await usage_handler(self.billing)(received)


@pytest_asyncio.fixture
async def billing_url(database: TestDatabase) -> str:
    """The database as billing's own role, migrated."""
    return await database.service_url("billing")


@pytest_asyncio.fixture
async def journeys(billing_url: str, nats_url: str, redis_url: str) -> AsyncIterator[Journeys]:
    """Billing's journeys over empty servers."""
    clock, known = FixedClock(), Known()
    pool = await open_pool(billing_url, max_size=10, application="billing-tests")
    bus = await connect(nats_url, "billing-tests")
    async with open_counters(redis_url) as counters:
        billing = Billing(pool, bus.jetstream, counters, clock, known, BillSource(Fetcher(UrlRules()), {}))
        yield Journeys(billing, pool, bus, counters, clock, known)
    await bus.close()
    await pool.close()


@pytest_asyncio.fixture
async def rebuilt(journeys: Journeys, database: TestDatabase) -> AsyncIterator[Callable[[], Awaitable[Rebuilt]]]:
    """Rebuilds the books as their owner."""
    pool = await open_pool(database.owner_url, max_size=1, application="rebuild-tests")
    yield lambda: rebuild_books(pool, journeys.bus.jetstream, SystemClock(), Reader().charge)
    await pool.close()


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    """The simulator as a process of its own: its URL."""
    port = free_port()
    kept = {name: given for name, given in os.environ.items() if not name.startswith("SIMULATOR_")}
    process = subprocess.Popen([sys.executable, "-m", "simulator"], env=kept | {"SIMULATOR_HTTP_PORT": str(port)})
    url = f"http://127.0.0.1:{port}"
    for _ in range(500):
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                break
        except httpx2.TransportError:
            time.sleep(0.02)
    yield url
    process.terminate()
    process.wait(10)


@dataclass(frozen=True, slots=True)
class Service:
    """The whole service, serving on a port of its own."""

    client: httpx2.AsyncClient
    bus: Bus
    signing_key: Ed25519PrivateKey

    async def publish(self, *events: Event) -> None:
        """Put events on the bus as the gateway does."""
        for event in events:
            subject = recorded_subject(event.data.provider_type, event.data.api_key_id)
            await self.publish_raw(subject, event.model_dump_json().encode(), event.id)

    async def publish_raw(self, subject: str, body: bytes, event_id: str) -> None:
        """Put any bytes on the bus."""
        await self.bus.jetstream.publish(subject, body, headers=event_headers(event_id))

    def signed_in(self, user_id: str, role: str = "user") -> dict[str, str]:
        """The headers of somebody who is signed in."""
        now = datetime.now(UTC)
        claims = {
            "sub": user_id,
            "role": role,
            "tier": "trial",
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + timedelta(hours=1),
            "iss": "tollgate",
            "aud": "tollgate",
        }
        token = jwt.encode(claims, self.signing_key, algorithm="EdDSA", headers={"kid": "tests"})
        return {"authorization": f"Bearer {token}"}

    async def get(self, path: str, user_id: str = "root", role: str = "admin") -> Any:
        """The JSON that somebody (an admin, if nothing is said) gets."""
        answer = await self.client.get(path, headers=self.signed_in(user_id, role))
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest_asyncio.fixture
async def service(billing_url: str, nats_url: str, redis_url: str) -> AsyncIterator[Service]:
    """The running service, ready."""
    settings = BillingSettings.model_validate(
        {"BILLING_DATABASE_URL": billing_url, "NATS_URL": nats_url, "REDIS_URL": redis_url}
    )
    signing_key = Ed25519PrivateKey.generate()
    bus = await connect(nats_url, "billing-tests")
    public = base64.urlsafe_b64encode(signing_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    sessions = await bus.jetstream.key_value("sessions")
    await sessions.put("key.tests", b'{"kid": "tests", "public_key": "%s"}' % public.rstrip(b"="))
    async with serving(create_app(settings)) as url, httpx2.AsyncClient(base_url=url) as client:
        await eventually(lambda: is_ready(client))
        yield Service(client, bus, signing_key)
    await bus.close()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[Any]]:
    """Waits until something holds."""
    return eventually


@pytest_asyncio.fixture
async def owner(database: TestDatabase, billing_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection of the tables' owner."""
    connection = await asyncpg.connect(database.owner_url)
    await connection.execute("SET search_path = billing")
    yield connection
    await connection.close()
