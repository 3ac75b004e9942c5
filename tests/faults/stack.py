"""A whole Tollgate as own processes, every link of it through a proxy: started, broken and healed from the main thread.

Settings and secrets are made by the runner's own code, so a service here is started as `tollgate run` starts it; only
the addresses it is given are those of its proxies, and there are two gateways.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from common.bus.connect import connect
from common.bus.provision import consumer_config
from common.contracts.topology import SERVICES, Service, consumer_of
from common.servers.child import Child, kill_group, start_child
from common.servers.nats import start_nats
from common.servers.ports import free_port
from common.servers.postgres import start_postgres
from common.servers.redis import start_redis
from common.servers.running import RunningServer
from tollgate.environment import SIMULATOR, Addresses, Environments
from tollgate.gateway_client import GatewayClient, unready_checks
from tollgate.home import Home
from tollgate.kept import load_secrets
from tollgate.migrate import migrate_all, provision_all
from tollgate.settings import RunnerSettings

from .disks import Disks
from .loop import LoopThread
from .proxy import Link

GATEWAYS = ("gateway-a", "gateway-b")
SERVERS = ("postgres", "nats", "redis", "cache-redis")
SIDES = ("catalog-sync", "analytics", "keyvault")
_BACKENDS = ("keyvault", "billing", "catalog-sync", "analytics")
_WITH_USERS = frozenset({"NATS_URL", "REDIS_URL", "CACHE_REDIS_URL"})
_VARIABLES = {"postgres": "database_url", "nats": "nats_url", "redis": "redis_url", "cache-redis": "cache_redis_url"}
_READY_SECONDS = 90.0
_ROWS = {service.name: service for service in SERVICES} | {"simulator": SIMULATOR}


class Stack:
    """Everything that runs. Use as a context manager; all methods from the main thread."""

    def __init__(self, folder: Path, loop: LoopThread, disks: Disks, tree: Path | None = None) -> None:
        self.home = Home(folder)
        self.loop = loop
        self.disks = disks
        self.links: dict[tuple[str, str], Link] = {}
        self.skew: dict[str, float] = {}
        """Seconds by which a process's clock is off; heeded at its next start."""
        self.variables: dict[str, dict[str, str]] = {}
        """Further settings by process; heeded at its next start."""
        self._tree = tree
        self._children: dict[str, Child] = {}
        self._stopped: set[str] = set()
        self._ports: dict[str, int] = {}
        self._urls: dict[str, str] = {}

    # --- start and stop --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Servers, migrations, streams, services; returns when all are ready."""
        self.home.root.mkdir(parents=True, exist_ok=True)
        self.home.root.chmod(0o755)
        self.home.make()
        self.disks.mount(self.home.state)
        self._secrets = load_secrets(self.home.secrets_file)
        for name in (*SERVERS, *GATEWAYS, *_BACKENDS, "simulator", "nats-monitoring"):
            self._ports[name] = free_port(self._ports.values())
        for name in SERVERS:
            self.start_server(name)
        environments = self._environments("billing")
        self.loop.run(migrate_all(self._urls["postgres"], environments.role_passwords()))
        self.loop.run(provision_all(self._urls["nats"]))
        for name in ("simulator", *_BACKENDS, *GATEWAYS):
            self.start_service(name)
        self.wait_ready()

    def close(self) -> None:
        """End everything that was started, then what was mounted."""
        for name in list(self._stopped):
            self.resume(name)
        for name in [*(n for n in self._children if n not in SERVERS), *reversed(SERVERS)]:
            if child := self._children.pop(name, None):
                child.end()
        for link in self.links.values():
            self.loop.run(link.close())
        self.disks.unmount()

    def start_server(self, name: str) -> None:
        """Start a server on what it has on disk; returns when it answers."""
        secrets, folder, log_path = self._secrets, self.home.state / name / "files", self.home.log_of(name)
        port = self._ports[name]
        starts: dict[str, Callable[[], RunningServer]] = {
            "postgres": lambda: start_postgres(
                folder, port=port, password=secrets.postgres_password, log_path=log_path, database="tollgate"
            ),
            "nats": lambda: start_nats(
                folder,
                port=port,
                monitoring_port=self._ports["nats-monitoring"],
                user="tollgate",
                password=secrets.nats_password,
                service_passwords=secrets.nats_passwords,
                log_path=log_path,
                durable="nats" not in self.disks.undurable,
            ),
            "redis": lambda: start_redis(
                folder,
                port=port,
                password=secrets.redis_password,
                service_passwords=secrets.redis_passwords,
                log_path=log_path,
                persistent=True,
                durable="redis" not in self.disks.undurable,
            ),
            "cache-redis": lambda: start_redis(
                folder,
                port=port,
                password=secrets.cache_redis_password,
                service_passwords=secrets.cache_redis_passwords,
                log_path=log_path,
                persistent=False,
            ),
        }
        running = starts[name]()
        self._children[name], self._urls[name] = running.child, running.url

    def start_service(self, name: str) -> None:
        """Start a service process and return at once."""
        service = self._row(name)
        environment = self._environments(name).of(service) | self.variables.get(name, {})
        environment["DB_MAX_OPEN_CONNS"] = "4"
        if self._tree is not None:
            environment["PYTHONPATH"] = os.pathsep.join(map(str, sorted(self._tree.glob("*/*/src"))))
        argv = [sys.executable, "-m", service.package]
        if skew := self.skew.get(name):
            argv = [sys.executable, str(Path(__file__).with_name("skewed.py")), str(skew), service.package]
        self._children[name] = start_child(
            name,
            argv,
            env=environment,
            log_path=self.home.log_of(name),
            cwd=self.home.root,
            death_signal=signal.SIGKILL,
        )

    def wait_ready(self, seconds: float = _READY_SECONDS) -> None:
        """Wait until every service says that it is ready; TimeoutError with what is not."""
        deadline = time.monotonic() + seconds
        while unready := {name: checks for name in self.services() if (checks := unready_checks(self.url_of(name)))}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready: {unready} (logs: {self.home.logs})")
            for name in unready:
                if self._children[name].exit_code() is not None:
                    self.start_service(name)
            time.sleep(0.1)

    # --- breaking and healing --------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """kill -9, the whole group."""
        child = self._children[name]
        self._signal(name, signal.SIGKILL)
        child.popen.wait()
        kill_group(child.pid)
        self._stopped.discard(name)

    def pause(self, name: str) -> None:
        """SIGSTOP, the whole group."""
        self._stopped.add(name)
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._stopped.discard(name)
        self._signal(name, signal.SIGCONT)

    def terminate(self, name: str, seconds: float = 45.0) -> None:
        """SIGTERM, and wait until it has ended by itself; TimeoutError when it does not."""
        child = self._children[name]
        child.request_stop()
        deadline = time.monotonic() + seconds
        while child.exit_code() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not end")
            time.sleep(0.02)

    def restart(self, name: str) -> None:
        """Start again what was killed or has ended."""
        if name in SERVERS:
            self.start_server(name)
        else:
            self.start_service(name)

    def empty_disk_of(self, name: str) -> None:
        """Remove what a killed server has on disk."""
        shutil.rmtree(self.home.state / name / "files")

    def heal(self) -> None:
        """Undo everything: links, paused and dead processes, full disks; returns when all is ready."""
        for link in self.links.values():
            link.set_mode("open")
            link.set_delay(0)
        self.disks.free()
        for name in list(self._stopped):
            self.resume(name)
        for name in [name for name, child in self._children.items() if child.exit_code() is not None]:
            self.restart(name)
        self.wait_ready()

    def is_running(self, name: str) -> bool:
        return self._children[name].exit_code() is None

    def links_of(self, *, by: str = "", to: str = "") -> list[Link]:
        """The links by a process, to a server, or all."""
        return [
            link
            for (name, target), link in self.links.items()
            if (not by or name.startswith(by)) and (not to or target == to)
        ]

    def _signal(self, name: str, how: signal.Signals) -> None:
        try:
            os.killpg(self._children[name].pid, how)
        except ProcessLookupError:
            return

    # --- addresses -------------------------------------------------------------------------------------------------

    def services(self) -> tuple[str, ...]:
        """Every service process."""
        return tuple(name for name in self._children if name not in SERVERS)

    def server_url(self, name: str) -> str:
        """A server without a proxy between: the harness's own way to it."""
        return self._urls[name]

    def url_of(self, name: str) -> str:
        """A service without a proxy between."""
        return f"http://127.0.0.1:{self._ports[name]}"

    def gateways(self) -> list[tuple[str, int]]:
        """The gateways, by name and port, as clients reach them."""
        return [(name, self._ports[name]) for name in GATEWAYS]

    def admin(self) -> tuple[str, str]:
        """The administrator's email and password."""
        return RunnerSettings().admin_email, self._secrets.admin_password

    @contextmanager
    def as_admin(self) -> Iterator[GatewayClient]:
        """The management API, signed in."""
        with GatewayClient(self.url_of(GATEWAYS[0])) as client:
            client.login(*self.admin())
            yield client

    def add_billing(self, name: str) -> None:
        """Start a further billing process."""
        self._ports[name] = free_port(self._ports.values())
        self.start_service(name)

    def remove(self, name: str) -> None:
        """End a process for good."""
        self.kill(name)
        del self._children[name]

    def forget_consumer(self, service: str) -> None:
        """Make a service's durable consumer anew: it begins at the stream's first message."""
        self.loop.run(_make_consumer_anew(self._urls["nats"], service))

    def drop_billing(self) -> None:
        """Billing's tables and position are gone; it is started on empty ones, with the whole stream before it."""
        self.kill("billing")
        self.loop.run(_drop_schema(self._urls["postgres"], "billing"))
        self.loop.run(migrate_all(self._urls["postgres"], self._environments("billing").role_passwords()))
        self.forget_consumer("billing")
        self.restart("billing")
        self.wait_ready()

    def _row(self, name: str) -> Service:
        return _ROWS.get(name) or next(row for row in SERVICES if name.startswith(row.name))

    def _environments(self, name: str) -> Environments:
        """The settings of one process: every server and service at the address of its own proxy."""
        service = self._row(name)
        given = {"PATH": os.environ.get("PATH", os.defpath)}
        settings = RunnerSettings().model_copy(update={"admin_password": None})
        servers: dict[str, Any] = {
            _VARIABLES[server]: self._proxied(name, server, self._urls[server]) for server in SERVERS
        }
        ports = {other: self._ports[other] for other in _BACKENDS}
        if service.name == "gateway":
            ports |= {other: self._link(name, other, self._ports[other]).port for other in ("simulator", "keyvault")}
        ports |= {"simulator": ports.get("simulator", self._ports["simulator"]), service.name: self._ports[name]}
        every = {"gateway": self._ports[GATEWAYS[0]]} | ports
        addresses = Addresses(**servers, ports=every, own=_WITH_USERS)
        home = replace(self.home, root=self.home.root / name) if service.name == "gateway" else self.home
        return Environments(given, settings, self._secrets, addresses, home)

    def _proxied(self, name: str, server: str, url: str) -> str:
        parts = urlsplit(url)
        assert parts.port is not None
        login, _, _ = parts.netloc.rpartition("@")
        link = self._link(name, server, parts.port)
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{link.port}"))

    def _link(self, name: str, target: str, port: int) -> Link:
        link = self.links.get((name, target))
        if link is None:
            link = Link(f"{name} → {target}", free_port([*self._ports.values(), *self._link_ports()]), port)
            self.loop.run(link.serve())
            self.links[name, target] = link
        return link

    def _link_ports(self) -> Iterator[int]:
        return (link.port for link in self.links.values())

    def journals_are_empty(self) -> bool:
        """Whether no gateway has events waiting on its disk."""
        return not any(
            path.stat().st_size for name in GATEWAYS for path in self.home.root.glob(f"{name}/journal/*.jsonl")
        )

    def __enter__(self) -> Stack:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _make_consumer_anew(nats_url: str, service: str) -> None:
    bus = await connect(nats_url, "faults")
    try:
        await bus.jetstream.delete_consumer("USAGE", service)
        await bus.jetstream.add_consumer("USAGE", consumer_config(consumer_of(service)))
    finally:
        await bus.close()


async def _drop_schema(database_url: str, schema: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
    finally:
        await connection.close()
