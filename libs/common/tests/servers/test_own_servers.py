"""Own servers, for real: they start, demand their password, keep what durable means, and never outlive their parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import nats
import nats.errors
import psutil
import pytest
import redis
from common.servers.binaries import POSTGRES, find
from common.servers.child import start_child
from common.servers.errors import ServerError
from common.servers.nats import start_nats
from common.servers.ports import free_port
from common.servers.postgres import start_postgres
from common.servers.redis import start_redis
from common.servers.running import RunningServer
from redis.backoff import NoBackoff
from redis.retry import Retry


@pytest.fixture
def reachable_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder below pytest's private one: PostgreSQL as root has to find another way than the user nobody."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture
def stops() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def own_postgres(folder: Path, stops: ExitStack, password: str = "kept p@ss/word") -> RunningServer:
    server = start_postgres(
        folder / "pg", port=free_port(), password=password, log_path=folder / "pg.log", database="tollgate"
    )
    stops.callback(server.stop)
    return server


async def test_postgres_keeps_its_rows_over_a_restart_and_wants_its_password(
    reachable_path: Path, stops: ExitStack
) -> None:
    first = own_postgres(reachable_path, stops)
    connection = await asyncpg.connect(first.url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)")
    assert await connection.fetchval("SELECT current_database()") == "tollgate"
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(first.url, password="another")
    assert first.stop() == 0

    second = own_postgres(reachable_path, stops)
    connection = await asyncpg.connect(second.url)
    assert await connection.fetchval("SELECT n FROM kept") == 42
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()


async def test_postgres_recovers_when_it_was_killed(reachable_path: Path, stops: ExitStack) -> None:
    first = own_postgres(reachable_path, stops)
    connection = await asyncpg.connect(first.url)
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    orphans = psutil.Process(first.child.pid).children(recursive=True)
    first.child.end()
    await asyncio.to_thread(psutil.wait_procs, orphans, 30)  # a new server does not start beside an old one's

    second = own_postgres(reachable_path, stops)
    assert await (await asyncpg.connect(second.url)).fetchval("SELECT n FROM kept") == 7


def test_a_data_directory_of_another_postgres_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "pg").mkdir()
    (tmp_path / "pg" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match=r"was made by PostgreSQL 9, the server here is .* move the (data|directory)"):
        start_postgres(tmp_path / "pg", port=free_port(), password="x", log_path=tmp_path / "pg.log")


def test_an_interrupted_first_start_leaves_nothing_that_looks_like_data(
    reachable_path: Path, stops: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reachable_path / "pg.making").mkdir()
    (reachable_path / "pg.making" / "PG_VERSION").write_text("18\n")
    own_postgres(reachable_path, stops)
    assert not (reachable_path / "pg.making").exists()


async def test_nats_syncs_each_message_and_wants_its_login(tmp_path: Path, stops: ExitStack) -> None:
    server = start_nats(
        tmp_path / "nats", port=free_port(), user="u", password="pw-1_2", log_path=tmp_path / "nats.log"
    )
    stops.callback(server.stop)
    client = await nats.connect(server.url)
    assert client.max_payload == 8 * 1024 * 1024
    await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
    await client.close()
    config = monitored(server)
    assert config["sync_always"] is True
    assert config["max_storage"] == 128 * 1024**3  # and not three quarters of today's free disk
    with pytest.raises(nats.errors.Error):
        await nats.connect(f"nats://127.0.0.1:{server.port}", allow_reconnect=False)
    assert (tmp_path / "nats" / "nats.conf").stat().st_mode & 0o777 == 0o600
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("persistent", "wanted"),
    [
        (True, {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "save": ""}),
        (False, {"appendonly": "no", "maxmemory": str(256 << 20), "maxmemory-policy": "allkeys-lru", "save": ""}),
    ],
)
def test_the_two_redis_are_set_up_for_what_they_hold(
    tmp_path: Path, stops: ExitStack, persistent: bool, wanted: dict[str, str]
) -> None:
    def start() -> RunningServer:
        server = start_redis(
            tmp_path / "r", port=free_port(), password="pw", log_path=tmp_path / "r.log", persistent=persistent
        )
        stops.callback(server.stop)
        return server

    server = start()
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        client.set("kept", "yes")
    with (
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    server.child.end()  # as a crash would
    with redis.Redis.from_url(start().url, decode_responses=True) as client:
        assert client.get("kept") == ("yes" if persistent else None)


def test_a_server_whose_port_is_taken_says_so_and_is_not_mistaken_for_the_one_that_answers(
    tmp_path: Path, stops: ExitStack
) -> None:
    first = start_redis(tmp_path / "a", port=free_port(), password="pw", log_path=tmp_path / "a.log", persistent=False)
    stops.callback(first.stop)
    with pytest.raises(ServerError, match=rf"cache-redis cannot listen on 127.0.0.1:{first.port}: the port is taken"):
        start_redis(tmp_path / "b", port=first.port, password="pw", log_path=tmp_path / "b.log", persistent=False)


def test_drawn_ports_are_private_and_free() -> None:
    with socket.socket() as listener:
        drawn = {free_port() for _ in range(50)}
        assert min(drawn) >= 20000
        port = drawn.pop()
        listener.bind(("127.0.0.1", port))
        listener.listen()
        assert free_port(drawn) != port


def test_the_wheels_program_is_preferred_to_the_machines() -> None:
    assert find(POSTGRES).path.is_relative_to(sys.prefix)


def test_a_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from common.servers.ports import free_port
from common.servers.redis import start_redis
folder = Path({str(tmp_path)!r})
server = start_redis(folder, port=free_port(), password="x", log_path=folder / "log", persistent=False)
print(server.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_a_child_gets_no_more_of_the_environment_than_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    child = start_child("env", ["/usr/bin/env"], env={"ONLY": "this"}, log_path=tmp_path / "log")
    assert child.popen.wait(5) == 0
    assert (tmp_path / "log").read_text().split() == ["ONLY=this"]


def test_a_child_that_ignores_the_request_is_killed_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & echo $!; wait; wait"
    child = start_child("deaf", ["/bin/sh", "-c", script], env={"PATH": os.defpath}, log_path=tmp_path / "log")
    deadline = time.monotonic() + 5
    while not (tmp_path / "log").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    grandchild = int((tmp_path / "log").read_text())
    assert child.stop(grace_seconds=0.2) == -signal.SIGKILL
    deadline = time.monotonic() + 5
    while is_alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(grandchild)


def monitored(server: RunningServer) -> dict[str, object]:
    """JetStream's configuration as the server has it."""
    with urllib.request.urlopen(f"{server.monitoring_url}/jsz") as answer:
        config: dict[str, object] = json.load(answer)["config"]
        return config


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and waits to be noticed does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_postgres_starts_for_root_where_nobody_may_enter_and_there_are_no_namespaces(
    reachable_path: Path, stops: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.servers.postgres._NAMESPACE", ("false",))
    closed = reachable_path / "closed"
    closed.mkdir(mode=0o700)
    server = own_postgres(closed, stops)
    connection = await asyncpg.connect(server.url)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert psutil.Process(server.pid).uids().effective != 0
    server.stop()
    again = own_postgres(closed, stops)
    assert again.is_running()
