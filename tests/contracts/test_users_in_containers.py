"""The servers of containers, started by their own scripts and files, know every service by the secret that it is given."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis.asyncio as redis
from common.bus.connect import connect
from common.bus.provision import provision
from common.contracts.privileges import PRIVILEGES, redis_users
from common.servers.binaries import NATS, REDIS, find
from common.servers.ports import free_port
from common.testing.serving import eventually
from redis.exceptions import NoPermissionError, RedisError
from tollgate.commands.secrets import variables_of
from tollgate.kept import Secrets

DOCKER = Path(__file__).resolve().parents[2] / "deploy" / "docker"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The files that are mounted, beside programs under the names that the images have."""
    shutil.copytree(DOCKER, tmp_path / "docker")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "nats-server").symlink_to(find(NATS).path)
    (programs / "valkey-server").symlink_to(find(REDIS).path)
    entrypoint = programs / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\nexec "$@"\n')
    entrypoint.chmod(0o755)
    return tmp_path


@contextmanager
def started(house: Path, script: str, config: str, given: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A server as its container starts it, with nothing but its own secrets in the environment."""
    environment = {"PATH": f"{house / 'bin'}:{os.defpath}", **given}
    command = ["sh", str(house / "docker" / script), str(house / "docker" / config)]
    process = subprocess.Popen(
        command, env=environment, cwd=house, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def on_loopback(url: str, port: int) -> str:
    """The URL that a container is given, leading here."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"))


def edit(path: Path, *changes: tuple[str, str]) -> None:
    """Change what must differ outside a container: where a server listens and keeps its data."""
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


async def test_nats_knows_each_service_and_lets_it_do_its_own(house: Path) -> None:
    given, port = variables_of(Secrets(nats_password="12e3-like-a-number")), free_port()
    edit(
        house / "docker" / "nats.conf",
        ("0.0.0.0:4222", f"127.0.0.1:{port}"),
        ("0.0.0.0:8222", f"127.0.0.1:{free_port({port})}"),
        ("store_dir: /data", f'store_dir: "{house}/data"'),
        ("sync_interval: always", "sync_interval: 2m"),
    )
    with started(house, "nats.sh", "nats.conf", given["nats"]):
        assert set(given["nats"]) == {"NATS_PASSWORD", *(_variable(row.service, "NATS") for row in PRIVILEGES)}

        async def is_there() -> bool:
            try:
                bus = await connect(on_loopback(given["provision"]["NATS_URL"], port), "provision")
            except OSError:
                return False
            await bus.close()
            return True

        await eventually(is_there)
        await provision(on_loopback(given["provision"]["NATS_URL"], port))
        for row in PRIVILEGES:
            bus = await connect(on_loopback(given[row.service]["NATS_URL"], port), row.service)
            for bucket in row.reads_buckets:
                await bus.jetstream.key_value(bucket.name)
            with pytest.raises(TimeoutError):
                await bus.client.request("$JS.API.STREAM.INFO.CONTENT", timeout=0.1)
            await bus.close()


@pytest.mark.parametrize(("server", "variable"), [("redis", "REDIS_URL"), ("cache-redis", "CACHE_REDIS_URL")])
async def test_redis_knows_each_service_and_lets_it_do_its_own(house: Path, server: str, variable: str) -> None:
    given, port = variables_of(Secrets()), free_port()
    config = house / "docker" / f"{server}.conf"
    edit(config, ("dir /data", f'dir "{house}"\nbind 127.0.0.1\nport {port}'))
    if server == "redis":
        edit(config, ("appendfsync always", "appendfsync no"))
    users = dict(redis_users(server))  # type: ignore[arg-type]
    with started(house, "valkey.sh", config.name, given[server]):
        operator = redis.Redis(host="127.0.0.1", port=port, password=given[server]["REDIS_PASSWORD"])

        async def is_there() -> bool:
            try:
                return bool(await operator.ping())
            except RedisError:
                return False

        await eventually(is_there)
        assert set(await operator.acl_users()) == {"default", *users}
        for service, access in users.items():
            client = redis.from_url(on_loopback(given[service][variable], port))
            key = access.writes[0]
            await client.set(f"{key}x" if key.endswith(":") else key, 1)
            with pytest.raises(NoPermissionError):
                await client.set("anothers", 1)
            await client.aclose()
        await operator.aclose()


def test_who_needs_no_server_is_given_no_login_to_it() -> None:
    given = variables_of(Secrets())
    for variable, server in (("REDIS_URL", "redis"), ("CACHE_REDIS_URL", "cache-redis")):
        holders = {name for name, variables in given.items() if variable in variables}
        assert holders == {name for name, _ in redis_users(server)}  # type: ignore[arg-type]


def _variable(service: str, server: str) -> str:
    return f"{service.upper().replace('-', '_')}_{server}_PASSWORD"
