"""The environment that a container would start with, read by the settings of what runs in it.

A name that the settings do not know is a finding (it would be ignored in silence), one that they need and is missing is,
too, and so is a wrong value: secrets are made up for the occasion, exactly as `tollgate secrets` makes them. Whatever one
machine's runner gives a service must be given here, or the same stack would behave differently in containers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from common.settings import Settings, SettingsError, read, variable_of
from tollgate.commands.secrets import variables_of
from tollgate.environment import STARTED, Addresses, Environments
from tollgate.home import Home
from tollgate.kept import Secrets
from tollgate.settings import RunnerSettings

JOBS = ("migrate", "provision", "seed", "secrets")
SERVERS = ("postgres", "nats", "redis", "cache-redis")
_PACKAGES = {service.name: service.package for service in STARTED}
# Ports are the images' own, and only who must be reached from elsewhere is told where to listen.
_NOT_NEEDED = re.compile(r"^(?:PYTHONUNBUFFERED|[A-Z_]+_HTTP_PORT|TOLLGATE_ADMIN_EMAIL)$")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Given:
    """What the container of `service` (or job, or server) is given openly, and whether its secrets are given, too."""

    service: str
    plain: Mapping[str, str]
    has_secrets: bool

    @property
    def all(self) -> dict[str, str]:
        """Everything, with secrets made up."""
        return {**(secrets_of(self.service) if self.has_secrets else {}), **self.plain}


@cache
def _made_up() -> Secrets:
    return Secrets()


@cache
def _secrets() -> dict[str, dict[str, str]]:
    return variables_of(_made_up())


def secrets_of(name: str) -> dict[str, str]:
    """The secrets of a service, job or server; empty when it has none."""
    return _secrets().get(name, {})


def secret_names() -> set[str]:
    """Who has secrets."""
    return set(_secrets())


def faults(given: Given, *, is_whole: bool) -> Iterator[str]:
    """What is wrong with an environment. `is_whole`: it belongs to a complete stack with simulator."""
    if given.service in SERVERS:
        return
    for name in sorted(given.plain.keys() & secrets_of(given.service).keys()):
        yield f"{name} is a secret and must not stand in the open"
    known = known_to(given.service)
    yield from (f"{name} is no setting of {given.service}" for name in sorted(given.all.keys() - known))
    yield from _unread(given)
    if given.service in _PACKAGES:
        if given.plain.get(f"{_prefix(given.service)}_HTTP_HOST", "127.0.0.1") in _LOOPBACK:
            yield f"{_prefix(given.service)}_HTTP_HOST keeps it from being reached"
        missing = {name for name in by_runner(given.service) & known - given.all.keys() if not _NOT_NEEDED.match(name)}
        unset = missing if is_whole else missing - {"SIMULATOR_URL", "SIGNUP", "SIMULATOR_JOURNAL"}
        yield from (f"{name} is not given, the runner of a single machine gives it" for name in sorted(unset))


def known_to(name: str) -> set[str]:
    """The variables that settings read."""
    if name == "simulator":  # it has no settings class: its one file that reads the environment names them
        source = Path(str(import_module("simulator.settings").__file__)).read_text()
        return set(re.findall(r"SIMULATOR_[A-Z_]+", source))
    kind = _settings_of(name)
    known = {variable_of(kind, field) for field in kind.model_fields}
    return known | {f"{_prefix(each)}_DATABASE_URL" for each in _PACKAGES} if name in JOBS else known


def by_runner(name: str) -> set[str]:
    """The variables that a service is given on a single machine."""
    service = next(each for each in STARTED if each.name == name)
    addresses = Addresses("postgresql://o:p@d/d", "nats://n", "redis://r", "redis://c", dict.fromkeys(_PACKAGES, 1))
    home = Home(Path(".tollgate"))
    return set(Environments({}, RunnerSettings.model_construct(), _made_up(), addresses, home).of(service))


def _unread(given: Given) -> Iterator[str]:
    if given.service == "simulator":
        return
    with patch.dict("os.environ", given.all, clear=True):
        try:
            read(_settings_of(given.service))
        except SettingsError as error:
            yield f"it would not start: {error}"


def _settings_of(name: str) -> type[Settings]:
    if name in JOBS:
        return RunnerSettings
    module = import_module(f"{_PACKAGES[name]}.settings")
    found: type[Settings] = getattr(module, f"{_PACKAGES[name].title().replace('_', '')}Settings")
    return found


def _prefix(name: str) -> str:
    return _PACKAGES[name].upper()
