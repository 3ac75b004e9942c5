"""What one machine's Tollgate consists of: which own servers, which services, how each is started.

A server given by URL is used as it is and nothing is started for it. The order of things is `runner`'s.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from common.contracts.privileges import OPERATOR
from common.contracts.topology import Service
from common.servers.child import Child, start_child
from common.servers.nats import start_nats
from common.servers.ports import is_free
from common.servers.postgres import start_postgres
from common.servers.redis import start_redis
from common.servers.running import RunningServer

from tollgate.environment import STARTED, Environments
from tollgate.errors import RunnerError
from tollgate.home import Home
from tollgate.kept import Secrets, load_ports
from tollgate.settings import RunnerSettings
from tollgate.supervisor import Unit

DATABASE = "tollgate"
# A gateway that is told to stop ends its running calls first.
_GRACE_SECONDS = {"gateway": 15.0}
_OTHERS_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class OwnServer:
    """A server of ours: started, it answers at the URL that `variable` would otherwise have given."""

    name: str
    variable: str
    start: Callable[[], RunningServer]


def given_servers(settings: RunnerSettings) -> dict[str, str]:
    """Variable → URL of each server that is given."""
    urls = {
        "DATABASE_URL": settings.given_database_url,
        "NATS_URL": settings.nats_url,
        "REDIS_URL": settings.given_redis_url,
        "CACHE_REDIS_URL": settings.cache_redis_url,
    }
    return {variable: url for variable, url in urls.items() if url}


def choose_ports(settings: RunnerSettings, caller: Mapping[str, str], home: Home) -> dict[str, int]:
    """A port for everything we start. The gateway's is as asked, or RunnerError; the others' are private."""
    gateway_port = settings.gateway_port
    if not is_free(gateway_port):
        raise RunnerError(f"port {gateway_port} is taken: stop what listens there, or set GATEWAY_HTTP_PORT to another")
    asked = {"gateway": gateway_port} | _asked_ports(caller)
    servers = ("postgres", "nats", "nats-monitoring", "redis", "cache-redis")
    return load_ports(home.ports_file, (*servers, *(service.name for service in STARTED)), asked)


def own_servers(given: Mapping[str, str], home: Home, secrets: Secrets, ports: Mapping[str, int]) -> list[OwnServer]:
    """Each server that is not given, in the order in which they start."""
    nats = partial(
        start_nats,
        home.state / "nats",
        port=ports["nats"],
        monitoring_port=ports["nats-monitoring"],
        user=OPERATOR,
        password=secrets.nats_password,
        service_passwords=secrets.nats_passwords,
        log_path=home.log_of("nats"),
    )
    postgres = partial(
        start_postgres,
        home.state / "postgres",
        port=ports["postgres"],
        password=secrets.postgres_password,
        log_path=home.log_of("postgres"),
        database=DATABASE,
    )

    def redis(name: str, password: str, service_passwords: Mapping[str, str]) -> Callable[[], RunningServer]:
        return partial(
            start_redis,
            home.state / name,
            port=ports[name],
            password=password,
            service_passwords=service_passwords,
            log_path=home.log_of(name),
            persistent=name == "redis",
        )

    money = redis("redis", secrets.redis_password, secrets.redis_passwords)
    cache = redis("cache-redis", secrets.cache_redis_password, secrets.cache_redis_passwords)
    every = (
        OwnServer("postgres", "DATABASE_URL", postgres),
        OwnServer("nats", "NATS_URL", nats),
        OwnServer("redis", "REDIS_URL", money),
        OwnServer("cache-redis", "CACHE_REDIS_URL", cache),
    )
    return [server for server in every if server.variable not in given]


def service_unit(service: Service, environments: Environments, home: Home) -> Unit:
    """How a service is started and stopped; its environment is made anew at each start."""

    def start_service() -> Child:
        return start_child(
            service.name,
            [sys.executable, "-m", service.package],
            env=environments.of(service),
            log_path=home.log_of(service.name),
            cwd=home.root.absolute(),
            death_signal=signal.SIGKILL,  # without us its servers go too: there is nothing left to finish
        )

    return Unit(service.name, start_service, _GRACE_SECONDS.get(service.name, _OTHERS_GRACE_SECONDS))


def _asked_ports(caller: Mapping[str, str]) -> dict[str, int]:
    asked = {}
    for service in STARTED:
        variable = f"{service.prefix}_HTTP_PORT"
        if service.name == "gateway" or variable not in caller:
            continue
        if not caller[variable].isdigit() or not 0 < int(caller[variable]) < 65536:
            raise RunnerError(f"{variable} should be a port from 1 to 65535")
        if not is_free(int(caller[variable])):
            raise RunnerError(
                f"port {caller[variable]} is taken: stop what listens there, or set {variable} to another"
            )
        asked[service.name] = int(caller[variable])
    return asked
