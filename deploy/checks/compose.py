"""Rules on docker-compose.yml: complete, locked down, no secret in it, and each container sees its own secrets only."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import connections
import variables
import yaml
from common.providers.registry import PROVIDERS
from pods import PORTS
from tollgate.commands.secrets import KEPT

FILE = "docker-compose.yml"
_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
_LIMIT_SECONDS = 60
_SERVER_PORTS = {"postgres": 5432, "nats": 4222, "redis": 6379, "cache-redis": 6379}


def faults(root: Path) -> Iterator[str]:
    """Everything that is wrong with the file."""
    content = yaml.safe_load((root / FILE).read_text())
    services: dict[str, dict[str, Any]] = content["services"]
    expected = {*PORTS, *variables.SERVERS, *variables.JOBS}
    if set(services) != expected:
        yield f"{FILE}: services are missing or unknown: {sorted(set(services) ^ expected)}"
    if "version" in content or content.get("name") != "tollgate":
        yield f"{FILE}: should have `name: tollgate` and no version"
    for name, service in services.items():
        for fault in (*_of_service(name, service, services, root), *_of_environment(name, service, services)):
            yield f"{FILE}: {name}: {fault}"
    declared, used = set(content["volumes"]), {volume for each in services.values() for volume in _named(each)}
    yield from (f"{FILE}: volume {name} is declared or used, not both" for name in sorted(declared ^ used))
    yield from _refused(root)


def _of_service(name: str, service: dict[str, Any], others: Mapping[str, Any], root: Path) -> Iterator[str]:
    yield from _of_image(name, service, root)
    yield from _of_dependencies(service, others)
    for source, _, _ in _mounts(service):
        if source.startswith(".") and not (root / source).is_file():
            yield f"{source} does not exist"
    if name not in variables.SERVERS and not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
        yield "should be read_only and drop all capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "should have no-new-privileges"
    published = [_DEFAULT.sub(r"\1", port) for port in service.get("ports", [])]
    if published != (["127.0.0.1:8080:8080"] if name == "gateway" else []):
        yield f"publishes {published}; the gateway alone does, at 127.0.0.1:8080 by default"
    if name not in variables.JOBS and "healthcheck" not in service:
        yield "has no health check"
    yield from _of_secrets(name, service)


def _of_image(name: str, service: dict[str, Any], root: Path) -> Iterator[str]:
    image = str(service.get("image", ""))
    ours = "cli" if name in variables.JOBS else name
    if name in variables.SERVERS:
        if ":" not in image or image.endswith(":latest"):
            yield f"image {image} has no tag"
        return
    if image != f"tollgate/{ours}:${{TOLLGATE_VERSION:-dev}}" or service["build"].get("args") != {"SERVICE": ours}:
        yield f"should be built as tollgate/{ours} with SERVICE={ours}"
    if not (root / service["build"]["context"] / service["build"]["dockerfile"]).is_file():
        yield "its Dockerfile does not exist"


def _of_dependencies(service: dict[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    for other, how in service.get("depends_on", {}).items():
        if other not in others:
            yield f"waits for {other}, which there is not"
        elif other in variables.JOBS and how["condition"] != "service_completed_successfully":
            yield f"should wait until {other} is done"
        elif other not in variables.JOBS and how["condition"] != "service_healthy":
            yield f"should wait until {other} is healthy"


def _of_secrets(name: str, service: dict[str, Any]) -> Iterator[str]:
    mounted = {(source, target, mode) for source, target, mode in _mounts(service) if source.startswith("secrets-")}
    if name == "secrets":
        wanted = {(f"secrets-{each}", f"/secrets/{each}", "") for each in variables.secret_names() | {KEPT}}
    else:
        wanted = {(f"secrets-{name}", "/secrets", "ro")} if variables.secrets_of(name) else set()
    for source, target, _ in sorted(mounted ^ wanted):
        yield f"{source} at {target} is missing or too much: each sees its own secrets, read-only"


def _of_environment(name: str, service: dict[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    written: dict[str, str | None] = service.get("environment", {})
    plain = {key: _DEFAULT.sub(r"\1", str(value)) for key, value in written.items() if value is not None}
    given = variables.Given(name, plain, has_secrets=True)
    yield from variables.faults(given, is_whole=True)
    if name not in variables.SERVERS:
        unknown = {key for key, value in written.items() if value is None} - variables.known_to(name)
        yield from (f"{key} is no setting of {name}" for key in sorted(unknown))
    if name == "keyvault":
        keys = {row.env for row in PROVIDERS.values() if row.env}
        yield from (f"{key} is not passed on" for key in sorted(keys - written.keys()))
    for key, host, port in connections.addresses(given.all):
        if host not in others or port != {**PORTS, **_SERVER_PORTS}.get(host):
            yield f"{key} leads to {host}:{port}, where nothing listens"


def _mounts(service: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Source, target and mode of each volume."""
    parts = [[*volume.split(":"), ""] for volume in service.get("volumes", [])]
    return [(part[0], part[1], part[2]) for part in parts]


def _named(service: dict[str, Any]) -> list[str]:
    return [source for source, _, _ in _mounts(service) if not source.startswith((".", "/"))]


def _refused(root: Path) -> Iterator[str]:
    """What compose itself says; nothing where it is not installed. It needs no engine for this."""
    if not (docker := shutil.which("docker")):
        return
    command = [docker, "compose"]
    if _run([*command, "version"], root).returncode:
        return
    said = _run([*command, "-f", str(root / FILE), "config", "-q"], root)
    if said.returncode:
        yield f"{FILE}: {said.stderr.strip()}"


def _run(command: list[str], root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - found on PATH, with arguments of ours
        command, cwd=root, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
    )
