"""Test servers from Docker, through testcontainers, for those who ask for them (`TEST_SERVERS=containers`)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from docker.client import DockerClient
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

from common.servers.errors import ServerError

_ROWS = {
    "DATABASE_URL": ("postgres:18", 5432, {"POSTGRES_PASSWORD": "tests"}, "", "ready to accept connections"),
    "NATS_URL": ("nats:2.15", 4222, {}, "-js", "Server is ready"),
    "REDIS_URL": ("valkey/valkey:9", 6379, {}, "", "Ready to accept connections"),
}
_URLS = {
    "DATABASE_URL": "postgresql://postgres:tests@{}:{}/postgres",
    "NATS_URL": "nats://{}:{}",
    "REDIS_URL": "redis://{}:{}/0",
}


def start_containers(stack: ExitStack, names: set[str]) -> dict[str, str]:
    """Start a container for each URL that is asked for; ServerError when no engine answers."""
    try:
        engine: Any = DockerClient.from_env(timeout=2)  # type: ignore[no-untyped-call]
        engine.ping()
    except DockerException as error:
        raise ServerError("TEST_SERVERS=containers, but no Docker engine answers") from error
    return {name: _start(stack, name) for name in sorted(names)}


def _start(stack: ExitStack, name: str) -> str:
    image, port, environment, command, ready = _ROWS[name]
    container = DockerContainer(image).with_exposed_ports(port)
    for variable, value in environment.items():
        container.with_env(variable, value)
    if command:
        container.with_command(command)
    stack.enter_context(container)
    wait_for_logs(container, ready, timeout=60)
    return _URLS[name].format(container.get_container_host_ip(), container.get_exposed_port(port))
