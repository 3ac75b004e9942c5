"""The single-machine runner: `Runner.run` is the whole story, from an empty folder to a ready stack and back.

Servers, then migrations and streams, then services until each is ready, then first accounts and keys; then it watches
until it is told to stop, and stops in reverse, the front door first so that running calls end well. What goes wrong
before the stack is ready stops everything again, with one line that says why.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Protocol

from common.servers.child import Child, describe_exit, log_tail

from tollgate.environment import SIMULATOR, STARTED, Addresses, Environments
from tollgate.errors import RunnerError
from tollgate.gateway_client import GatewayClient, unready_checks
from tollgate.home import Home
from tollgate.kept import load_secrets
from tollgate.leftovers import end_leftovers, record_children
from tollgate.migrate import migrate_all, provision_all
from tollgate.reach import address_of, require_reachable
from tollgate.runfile import RunFile, refuse_second
from tollgate.seed import API_KEY, seed
from tollgate.settings import RunnerSettings
from tollgate.signals import StopSignals
from tollgate.stack import OwnServer, choose_ports, given_servers, own_servers, service_unit
from tollgate.supervisor import Supervisor, Unit

READY_SECONDS = 60.0
_STARTING_POLL_SECONDS = 0.05
_WATCHING_POLL_SECONDS = 0.1
_SHOWN_LOG_LINES = 8


class Report(Protocol):
    """Who is told how it goes."""

    def say(self, line: str) -> None: ...

    def ready(self, run_file: RunFile) -> None: ...


class Runner:
    """Runs one stack on one folder."""

    def __init__(self, settings: RunnerSettings, caller: Mapping[str, str], report: Report) -> None:
        self._settings = settings
        self._caller = caller
        self._report = report
        self._home = Home(settings.home.absolute())
        self._supervisor = Supervisor(report.say, self._remember_pids)
        self._urls = given_servers(settings)
        self._own: list[OwnServer] = []
        self._nats_monitoring_url: str | None = None
        self._run_file: RunFile | None = None

    def run(self) -> None:
        """Start everything, tell when it is ready, watch until told to stop, stop everything.

        Raises TollgateError when it cannot start, or was asked to stop before it was ready.
        """
        refuse_second(self._home)
        with StopSignals() as signals, self._home.held():
            left = end_leftovers(self._home.children_file)
            if left:
                self._report.say(f"ended what a killed runner had left: {', '.join(left)}")
            try:
                self._start(signals)
                self._watch(signals)
            finally:
                self._stop(signals)

    def _start(self, signals: StopSignals) -> None:
        require_reachable(self._urls, self._settings.given_by)
        environments = self._start_servers(signals)
        applied = asyncio.run(migrate_all(self._urls["DATABASE_URL"], environments.role_passwords()))
        self._say_done("migrations applied", applied)
        self._say_done("streams, buckets and consumers made", asyncio.run(provision_all(self._urls["NATS_URL"])))
        self._stop_if_asked(signals)
        self._start_services(environments, signals)
        run_file = self._describe(environments)
        with GatewayClient(run_file.url) as client:
            admin, demo = (run_file.admin_email, run_file.admin_password), (run_file.demo_email, run_file.demo_password)
            self._say_done("seeded", seed(client, admin, demo))
        self._run_file = run_file.with_pids(self._supervisor.pids)
        self._run_file.write(self._home.run_file)
        self._report.ready(self._run_file)

    def _start_servers(self, signals: StopSignals) -> Environments:
        """Start the own servers and say how the services reach everything."""
        locked = [] if "DATABASE_URL" in self._urls else [self._home.state / "postgres" / "PG_VERSION"]
        secrets = load_secrets(self._home.secrets_file, locked)
        ports = choose_ports(self._settings, self._caller, self._home)
        for variable, url in self._urls.items():
            self._report.say(f"{variable}: using {address_of(url)}")
        self._own = own_servers(self._urls, self._home, secrets, ports)
        for server in self._own:
            self._supervisor.start(Unit(server.name, lambda server=server: self._start_server(server)))  # type: ignore[misc]
            self._stop_if_asked(signals)
        addresses = Addresses(
            database_url=self._urls["DATABASE_URL"],
            nats_url=self._urls["NATS_URL"],
            redis_url=self._urls["REDIS_URL"],
            cache_redis_url=self._urls["CACHE_REDIS_URL"],
            ports=ports,
            gateway_host=self._settings.gateway_host,
            own=frozenset(server.variable for server in self._own),
        )
        return Environments(self._caller, self._settings, secrets, addresses, self._home)

    def _start_server(self, server: OwnServer) -> Child:
        running = server.start()
        if server.variable not in self._urls:
            self._report.say(f"{server.name} {running.version} on 127.0.0.1:{running.port}")
        self._urls[server.variable] = running.url
        self._nats_monitoring_url = running.monitoring_url or self._nats_monitoring_url
        return running.child

    def _start_services(self, environments: Environments, signals: StopSignals) -> None:
        """Start all services at once and wait until each says that it is ready."""
        children = {
            service.name: self._supervisor.start(service_unit(service, environments, self._home)) for service in STARTED
        }
        urls = {service.name: environments.addresses.url_of(service) for service in STARTED}
        deadline = time.monotonic() + READY_SECONDS
        waiting = dict(urls)
        while waiting:
            for name, child in children.items():
                if (code := child.exit_code()) is not None:
                    raise self._failure(name, f"ended with {describe_exit(code)} before it was ready")
            unready = {name: unready_checks(url) for name, url in waiting.items()}
            waiting = {name: urls[name] for name, checks in unready.items() if checks}
            if waiting and time.monotonic() > deadline:
                name = next(iter(waiting))
                raise self._failure(name, f"was not ready within {READY_SECONDS:g} s ({', '.join(unready[name])})")
            self._stop_if_asked(signals)
            self._supervisor.poll()
            time.sleep(_STARTING_POLL_SECONDS)
        self._report.say(f"services ready: {', '.join(urls)}")

    def _watch(self, signals: StopSignals) -> None:
        while not signals.is_requested:
            self._supervisor.poll()
            time.sleep(_WATCHING_POLL_SECONDS)

    def _stop(self, signals: StopSignals) -> None:
        """Front door, the other services, servers; each group at once."""
        self._run_file = None
        self._home.run_file.unlink(missing_ok=True)
        is_anything_up = bool(self._supervisor.pids)
        if is_anything_up:
            self._report.say("stopping")
        others = [service.name for service in STARTED if service.name != "gateway"]
        for group in (["gateway"], others, [server.name for server in reversed(self._own)]):
            self._supervisor.stop(group, lambda: signals.is_insisted)
        self._home.children_file.unlink(missing_ok=True)
        if is_anything_up:
            self._report.say(f"stopped; the data stay in {self._home.state}, the logs in {self._home.logs}")

    def _describe(self, environments: Environments) -> RunFile:
        addresses, secrets, settings = environments.addresses, environments.secrets, self._settings
        services = {service.name: addresses.url_of(service) for service in STARTED}
        return RunFile(
            url=services["gateway"],
            api_key=API_KEY,
            admin_email=settings.admin_email,
            admin_password=settings.admin_password or secrets.admin_password,
            demo_email=settings.demo_email,
            demo_password=settings.demo_password or secrets.demo_password,
            database_url=addresses.database_url,
            nats_url=addresses.nats_url,
            redis_url=addresses.redis_url,
            cache_redis_url=addresses.cache_redis_url,
            nats_monitoring_url=self._nats_monitoring_url,
            simulator_url=services[SIMULATOR.name],
            services=services,
            pids=self._supervisor.pids,
            logs=str(self._home.logs),
        )

    def _remember_pids(self, pids: Mapping[str, int]) -> None:
        record_children(self._home.children_file, pids)
        if self._run_file is not None:
            self._run_file = self._run_file.with_pids(pids)
            self._run_file.write(self._home.run_file)

    def _failure(self, name: str, what: str) -> RunnerError:
        log_path = self._home.log_of(name)
        for line in log_tail(log_path, _SHOWN_LOG_LINES):
            self._report.say(f"  {name}: {line[:500]}")
        return RunnerError(f"{name} {what} (log: {log_path})")

    def _say_done(self, what: str, done: list[str]) -> None:
        if done:
            self._report.say(f"{what}: {len(done)}")

    def _stop_if_asked(self, signals: StopSignals) -> None:
        if signals.is_requested:
            raise RunnerError("stopped on request before it was ready")
