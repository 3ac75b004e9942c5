"""What keyvault's tests start from: the running service, people who are signed in, and looks behind its back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx2
import pytest
import pytest_asyncio
import redis.asyncio as redis
from common.bus.connect import Bus, connect
from common.bus.provision import provision
from common.contracts.snapshots import AccountTier, Role
from common.http.sessions import AUDIENCE, ISSUER
from common.ids import uuid7
from common.testing.servers import Servers, TestDatabase
from common.testing.serving import eventually, is_ready, serving
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keyvault.domain.accounts import User
from keyvault.domain.passwords import NOBODYS_HASH
from keyvault.domain.tokens import TokenSigner, read_private_key
from keyvault.main import create_app
from keyvault.settings import KeyvaultSettings
from keyvault.store import users
from nats.js.errors import KeyNotFoundError, NoKeysError
from own_issuer import Browser, OwnIssuer
from own_issuer import settings as settings_of_issuer

GATEWAY_TOKEN = "gateway-service-token-for-tests-only"
CATALOG_SYNC_TOKEN = "catalog-sync-service-token-for-tests-only"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account; `headers` sign in."""

    id: str
    email: str
    headers: dict[str, str]


@dataclass(slots=True)
class Vault:
    """The running service. `environment` is what it was started with."""

    client: httpx2.AsyncClient
    url: str
    environment: dict[str, str]
    owner: asyncpg.Connection[asyncpg.Record]
    redis: redis.Redis
    bus: Bus
    app: Any

    async def open_credential(
        self, credential_id: str, recipient: str, token: str | None = GATEWAY_TOKEN
    ) -> httpx2.Response:
        """What a service does to get a secret."""
        headers = {"authorization": f"Bearer {token}"} if token is not None else {}
        path = f"/internal/v1/credentials/{credential_id}/open"
        return await self.client.post(path, json={"recipient": recipient}, headers=headers)

    async def person(self, role: Role = "user", tier: AccountTier = "trial") -> Person:
        """An account, signed in without a password."""
        now = datetime.now(UTC)
        email = f"{uuid7()}@example.com"
        user = User(uuid7(), email, "", NOBODYS_HASH, role, tier, True, now, now)
        assert await users.insert(self.owner, user)
        return Person(user.id, email, {"authorization": f"Bearer {self.token(user)}"})

    def token(self, user: User) -> str:
        """A session token as the service would sign it."""
        key = read_private_key(self.environment["JWT_PRIVATE_KEY"])
        return TokenSigner(key, ISSUER, AUDIENCE).sign(user, uuid7(), datetime.now(UTC)).token.reveal()

    async def admin(self) -> Person:
        """Somebody who may do everything."""
        return await self.person("admin", "enterprise")

    async def call(self, method: str, path: str, by: Person | None = None, body: Any = None) -> httpx2.Response:
        """One request, as somebody."""
        return await self.client.request(method, path, headers=by.headers if by else {}, json=body)

    async def make_key(self, by: Person, **terms: Any) -> dict[str, Any]:
        """A key that somebody makes."""
        answer = await self.call("POST", "/api/v1/keys", by, {"name": "a key", **terms})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def bucket(self, name: str) -> dict[str, bytes]:
        """What a bucket holds."""
        store = await self.bus.jetstream.key_value(name)
        for _ in range(3):  # the client may take a bucket for empty whose entries are still on their way
            try:
                names = await store.keys()
                break
            except NoKeysError:
                await asyncio.sleep(0.05)
        else:
            return {}
        found: dict[str, bytes] = {}
        for key in names:
            with suppress(KeyNotFoundError):  # deleted meanwhile
                found[key] = (await store.get(key)).value or b""
        return found

    async def events(self, stream: str) -> list[tuple[str, bytes]]:
        """What a stream holds: subject and body."""
        state = (await self.bus.jetstream.stream_info(stream)).state
        numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
        found = [await self.bus.jetstream.get_msg(stream, number) for number in numbers]
        return [(message.subject or "", message.data or b"") for message in found]

    async def audit_actions(self, subject: str | None = None) -> list[str]:
        """The actions in the trail (upon one thing), the oldest first."""
        rows = await self.owner.fetch(
            "SELECT action FROM audit_entries WHERE $1::text IS NULL OR subject = $1 ORDER BY id", subject
        )
        return [row["action"] for row in rows]


def environment_of(database_url: str, nats_url: str, redis_url: str) -> dict[str, str]:
    """What the service is started with, if a test does not say otherwise."""
    return {
        "KEYVAULT_DATABASE_URL": database_url,
        "NATS_URL": nats_url,
        "REDIS_URL": redis_url,
        "JWT_PRIVATE_KEY": base64.urlsafe_b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode(),
        "BYOK_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "GATEWAY_SERVICE_TOKEN": GATEWAY_TOKEN,
        "CATALOG_SYNC_SERVICE_TOKEN": CATALOG_SYNC_TOKEN,
        "SIGNUP": "open",
    }


@asynccontextmanager
async def running(environment: dict[str, str], owner_url: str, redis_url: str) -> AsyncIterator[Vault]:
    """The service with an environment, ready."""
    async with AsyncExitStack() as stack:
        marks = redis.Redis.from_url(redis_url)
        stack.push_async_callback(marks.aclose)
        bus = await connect(environment["NATS_URL"], "keyvault-tests")
        stack.push_async_callback(bus.close)
        owner = await asyncpg.connect(owner_url)
        stack.push_async_callback(owner.close)
        await owner.execute("SET search_path = keyvault")
        app = create_app(KeyvaultSettings.model_validate(environment))
        url = await stack.enter_async_context(serving(app))
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=20))
        await eventually(lambda: is_ready(client))
        yield Vault(client, url, environment, owner, marks, bus, app)


@pytest_asyncio.fixture(scope="module")
async def vault(servers: Servers) -> AsyncIterator[Vault]:
    """The running service, shared by the tests of a module: they find each other's people and keys there.

    A module that uses it has no test that uses `start` or `alone`, which empty the servers.
    """
    async with vault_on(servers) as shared:
        yield shared


@asynccontextmanager
async def vault_on(servers: Servers, **settings: str) -> AsyncIterator[Vault]:
    """The service with settings, over a database of its own."""
    database = TestDatabase(servers)
    await provision(servers.nats_url)
    environment = environment_of(await database.service_url("keyvault"), servers.nats_url, servers.redis_url)
    async with running({**environment, **settings}, database.owner_url, servers.redis_url) as shared:
        yield shared
    await database.drop()


@pytest.fixture
def vault_with(servers: Servers) -> Callable[..., Any]:
    """Runs the service over a database of its own within `async with vault_with(SETTING="value") as vault`."""
    return lambda **settings: vault_on(servers, **settings)


@pytest_asyncio.fixture(scope="module")
async def issuer() -> AsyncIterator[OwnIssuer]:
    """An OpenID Connect issuer of our own, running."""
    issuer = OwnIssuer()
    async with serving(issuer.app) as url:
        issuer.url = url
        yield issuer


@pytest_asyncio.fixture(scope="module")
async def joined(servers: Servers, issuer: OwnIssuer) -> AsyncIterator[Vault]:
    """The running service, to which people may sign in with that issuer; shared by the tests of a module."""
    async with vault_on(servers, **dict(settings_of_issuer(issuer))) as shared:
        yield shared


@pytest_asyncio.fixture
async def browser(joined: Vault) -> AsyncIterator[Browser]:
    """A browser that was nowhere yet."""
    async with httpx2.AsyncClient(base_url=joined.url, timeout=20) as client:
        yield Browser(client)


@pytest.fixture
def somebody(issuer: OwnIssuer) -> dict[str, Any]:
    """Whom the issuer takes the next who signs in for: nobody who was ever here."""
    subject = uuid7()
    issuer.claims = {"sub": subject, "email": f"{subject}@example.com", "email_verified": True, "name": "Ada"}
    issuer.userinfo, issuer.forge, issuer.callback_extra = {}, None, {}
    return issuer.claims


@pytest_asyncio.fixture
async def environment(database: TestDatabase, nats_url: str, redis_url: str) -> dict[str, str]:
    """What a service over empty servers is started with, if a test does not say otherwise."""
    return environment_of(await database.service_url("keyvault"), nats_url, redis_url)


@pytest.fixture
def start(environment: dict[str, str], database: TestDatabase, redis_url: str) -> Callable[..., Any]:
    """Runs the service, over servers that are empty at first, within `async with start(SETTING="value") as alone`."""
    return lambda **settings: running({**environment, **settings}, database.owner_url, redis_url)


@pytest_asyncio.fixture
async def alone(start: Callable[..., Any]) -> AsyncIterator[Vault]:
    """The running service over empty servers."""
    async with start() as started:
        yield started


@pytest.fixture
def serve() -> Any:
    """Serves an ASGI app within `async with serve(app) as url`."""
    return serving


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[Any]]:
    """Waits until something holds."""
    return eventually
