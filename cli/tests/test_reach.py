"""Servers given by URL: those that answer are taken; for the others one line says which, where and why."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest
from common.servers.ports import free_port
from common.testing.servers import Servers
from tollgate.errors import RunnerError
from tollgate.reach import require_reachable


def with_login(url: str, login: str) -> str:
    """The same server with another login."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Something that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_servers_that_answer_are_taken(servers: Servers) -> None:
    require_reachable(
        {"DATABASE_URL": servers.database_url, "NATS_URL": servers.nats_url, "REDIS_URL": servers.redis_url}
    )


@pytest.mark.parametrize(
    ("variable", "scheme"),
    [("DATABASE_URL", "postgresql"), ("NATS_URL", "nats"), ("REDIS_URL", "redis"), ("CACHE_REDIS_URL", "redis")],
)
def test_where_nothing_listens_the_variable_address_and_cause_are_named(variable: str, scheme: str) -> None:
    port = free_port()
    with pytest.raises(RunnerError) as caught:
        require_reachable({variable: f"{scheme}://someone:s3cret-word@127.0.0.1:{port}"})
    assert str(caught.value).startswith(f"{variable}: 127.0.0.1:{port} cannot be used: connection refused")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "scheme"), [("DATABASE_URL", "postgresql"), ("NATS_URL", "nats"), ("REDIS_URL", "redis")]
)
def test_one_that_never_answers_is_given_up_after_a_while(variable: str, scheme: str, silent_port: int) -> None:
    began = time.monotonic()
    with pytest.raises(RunnerError, match=rf"^{variable}: 127\.0\.0\.1:{silent_port} cannot be used: no answer within"):
        require_reachable({variable: f"{scheme}://127.0.0.1:{silent_port}/0"})
    assert time.monotonic() - began < 20


def test_a_host_that_does_not_exist_is_said_to_not_exist() -> None:
    with pytest.raises(RunnerError, match=r"NATS_URL: nowhere\.invalid:4222 cannot be used: its host name"):
        require_reachable({"NATS_URL": "nats://nowhere.invalid"})


@pytest.mark.parametrize(
    ("variable", "field", "login"),
    [
        ("DATABASE_URL", "database_url", "postgres:s3cret-word"),
        ("NATS_URL", "nats_url", "tests:s3cret-word"),
        ("REDIS_URL", "redis_url", ":s3cret-word"),
    ],
)
def test_a_refused_login_is_told_without_the_password(servers: Servers, variable: str, field: str, login: str) -> None:
    with pytest.raises(RunnerError, match=r"(?i)login|authentication|authorization") as caught:
        require_reachable({variable: with_login(getattr(servers, field), login)})
    assert str(caught.value).startswith(f"{variable}: 127.0.0.1:")
    assert "s3cret" not in str(caught.value)


def test_a_url_given_in_parts_is_told_by_the_name_it_was_given_by() -> None:
    with pytest.raises(RunnerError, match=r"^POSTGRES_SERVER: "):
        require_reachable(
            {"DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/x"}, {"DATABASE_URL": "POSTGRES_SERVER"}
        )
