"""One stack for all stories; each story has keys of its own."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
import redis
from common.servers.ports import free_port
from cryptography.fernet import Fernet
from machine import GIVEN_HOME, MASTER_KEYS, Machine, eventually, read_run, tollgate
from node_clients import NodeProject, install

_REFUSED = re.compile(r"Permissions Violation|Publish Violation|Subscription Violation|NOPERM|permission denied", re.I)
_SERVERS = ("DATABASE_URL", "NATS_URL", "REDIS_URL", "CACHE_REDIS_URL")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running stack: started by `tollgate up`, stopped by `tollgate down`; or one that runs already."""
    if given := os.environ.get(GIVEN_HOME):
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("tollgate")
    # Own servers always: the stories kill them.
    own = dict.fromkeys(_SERVERS, "")
    master_keys = folder / MASTER_KEYS
    master_keys.write_bytes(Fernet.generate_key())
    settings = {"GATEWAY_HTTP_PORT": str(free_port()), "BYOK_ENCRYPTION_KEYS_FILE": str(master_keys)}
    started = tollgate(folder, "up", **settings, **own)
    assert started.returncode == 0, started.stdout + started.stderr
    yield folder
    refused = [
        line for log in (folder / "logs").iterdir() for line in log.read_text().splitlines() if _REFUSED.search(line)
    ]
    for url in ("redis_url", "cache_redis_url"):
        with redis.from_url(read_run(folder)[url], decode_responses=True) as client:
            refused += [f"{entry['username']}: {entry['object']}" for entry in client.acl_log()]
    assert refused == [], "a service asked a server for what the table of privileges does not give it"
    stopped = tollgate(folder, "down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture(scope="session")
def session() -> dict[str, str]:
    """The headers of the administrator's session."""
    return {}


@pytest_asyncio.fixture
async def machine(home: Path, session: dict[str, str]) -> AsyncIterator[Machine]:
    """The stack, whole whatever the story before has done to it, with the administrator signed in."""
    url = read_run(home)["url"]
    everybody = httpx2.Limits(max_connections=None, max_keepalive_connections=50)
    async with (
        httpx2.AsyncClient(base_url=url, timeout=30) as admin,
        httpx2.AsyncClient(base_url=url, timeout=60, limits=everybody) as caller,
    ):
        running = Machine(home, admin, caller)
        await eventually(running.is_whole)
        await running.sign_in(session)
        yield running


@pytest.fixture(scope="session")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> NodeProject:
    """Node with the clients that the stories drive."""
    return install(tmp_path_factory.mktemp("node"))
