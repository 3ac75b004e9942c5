"""What analytics' tests start from: usage events, the journeys over a real Postgres, the whole app, signed-in callers."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import jwt
import pytest
import pytest_asyncio
from analytics.consumers import usage_handler
from analytics.flows import Analytics
from analytics.main import create_app
from analytics.settings import AnalyticsSettings
from common.bus.connect import Bus, connect
from common.bus.consume import Received
from common.contracts.envelope import Envelope, event_headers
from common.contracts.usage import USAGE_RECORDED, UsageRecorded, recorded_subject
from common.ids import UsageKind, usage_event_id, uuid7
from common.postgres.pool import Pool, open_pool
from common.testing.clocks import FixedClock
from common.testing.servers import TestDatabase
from common.testing.serving import eventually, is_ready, serving
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Event = Envelope[UsageRecorded]
MakeEvent = Callable[..., Event]

_BUCKETS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)


def make_usage_event(
    request_id: str | None = None,
    *,
    kind: UsageKind = "final",
    tokens: tuple[int, ...] = (10, 0, 0, 0, 5, 0, 0, 0),
    **members: Any,
) -> Event:
    """A usage event as the gateway makes it; `tokens` by bucket, `members` any others of its data."""
    request_id = request_id or uuid7()
    buckets = dict(zip(_BUCKETS, tokens, strict=True))
    usage = {**buckets, "total_tokens": sum(tokens), "units": {}, "estimated": kind == "estimated"}
    call: dict[str, Any] = {
        "kind": kind,
        "request_id": request_id,
        "trace_id": None,
        "api_key_id": "key-1",
        "user_id": "user-1",
        "team_id": None,
        "tier": None,
        "source": "api",
        "operation": "chat",
        "requested_model": "gpt-4",
        "alias": None,
        "provider_type": "openai",
        "provider_id": None,
        "model": "gpt-4",
        "credential": "system",
        "credential_id": None,
        "billable": True,
        "streamed": False,
        "status": "completed",
        "http_status": 200,
        "error": None,
        "finish_reason": "stop",
        "usage": usage,
        "raw_usage": None,
        "price": {"version": "v1", "rates": {"input_tokens": "30", "output_tokens": "60"}, "is_fallback": False},
        "cost_usd": "0.0006",
        "operator_cost_usd": "0",
        "budgets": [],
        "period": "2026-11",
        "started_at": "2026-11-21T08:30:00.123Z",
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


@pytest.fixture
def usage_event() -> MakeEvent:
    """Makes usage events."""
    return make_usage_event


@dataclass(frozen=True, slots=True)
class Journeys:
    """Analytics over a real Postgres, without HTTP and without the bus."""

    analytics: Analytics
    pool: Pool
    clock: FixedClock

    async def log(self, events: Sequence[Event]) -> None:
        """Have events handled as one batch, as they come off the bus."""
        await self.log_raw([event.model_dump_json().encode() for event in events])

    async def log_raw(self, bodies: Sequence[bytes]) -> None:
        """Have any bytes handled as one batch."""
        received = [Received("usage.recorded.openai.key-1", body, f"e-{at}", at) for at, body in enumerate(bodies)]
        await usage_handler(self.analytics)(received)


@pytest_asyncio.fixture
async def analytics_url(database: TestDatabase) -> str:
    """The database as analytics' own role, migrated."""
    return await database.service_url("analytics")


@pytest_asyncio.fixture
async def journeys(analytics_url: str) -> AsyncIterator[Journeys]:
    """Analytics' journeys over an empty database."""
    clock = FixedClock()
    pool = await open_pool(analytics_url, max_size=10, application="analytics-tests")
    yield Journeys(Analytics(pool, clock), pool, clock)
    await pool.close()


@dataclass(frozen=True, slots=True)
class Service:
    """The whole service, serving on a port of its own; its clock says 21 November 2026."""

    client: httpx2.AsyncClient
    bus: Bus
    signing_key: Ed25519PrivateKey

    async def publish(self, *events: Event) -> None:
        """Put events on the bus as the gateway does, and wait until they are logged."""
        for event in events:
            subject = recorded_subject(event.data.provider_type, event.data.api_key_id)
            await self.publish_raw(subject, event.model_dump_json().encode(), event.id)
        await eventually(self.is_drained)

    async def publish_raw(self, subject: str, body: bytes, event_id: str) -> None:
        """Put any bytes on the bus."""
        await self.bus.jetstream.publish(subject, body, headers=event_headers(event_id))

    async def is_drained(self) -> bool:
        """Whether everything published was handled and acknowledged."""
        found = await self.bus.jetstream.consumer_info("USAGE", "analytics")
        return found.num_pending == 0 and found.num_ack_pending == 0

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
async def service(analytics_url: str, nats_url: str) -> AsyncIterator[Service]:
    """The running service, ready."""
    settings = AnalyticsSettings.model_validate({"ANALYTICS_DATABASE_URL": analytics_url, "NATS_URL": nats_url})
    signing_key = Ed25519PrivateKey.generate()
    bus = await connect(nats_url, "analytics-tests")
    public = base64.urlsafe_b64encode(signing_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    sessions = await bus.jetstream.key_value("sessions")
    await sessions.put("key.tests", b'{"kid": "tests", "public_key": "%s"}' % public.rstrip(b"="))
    app = create_app(settings, FixedClock())
    async with serving(app) as url, httpx2.AsyncClient(base_url=url) as client:
        await eventually(lambda: is_ready(client))
        yield Service(client, bus, signing_key)
    await bus.close()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[Any]]:
    """Waits until something holds."""
    return eventually
