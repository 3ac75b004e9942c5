"""How the stack on this machine is: which processes run, and whether each service says that it is ready."""

from __future__ import annotations

from dataclasses import dataclass, field

from tollgate.gateway_client import unready_checks
from tollgate.home import Home
from tollgate.runfile import read_run_file


@dataclass(frozen=True)
class Part:
    """One service or server. `unready`: what its readiness lacks; empty for a server, which the services speak for."""

    name: str
    pid: int | None
    url: str | None = None
    unready: list[str] = field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return self.pid is not None and not self.unready


@dataclass(frozen=True)
class Health:
    """The whole stack. Not running at all is not ready."""

    is_running: bool
    is_ready: bool
    url: str | None
    logs: str
    parts: list[Part]

    def lines(self) -> list[str]:
        """For people."""
        if not self.is_running:
            return [f"nothing runs here (logs: {self.logs})"]
        head = f"{self.url or 'starting'} (logs: {self.logs})"
        return [head, *(f"  {part.name:<14} {_state(part)}" for part in self.parts)]


def health_of(home: Home) -> Health:
    """Ask now; takes at most two seconds a service that hangs."""
    holder = home.holder()
    if holder is None or not home.run_file.exists():
        return Health(holder is not None, False, None, str(home.logs), [])
    run_file = read_run_file(home.run_file)
    services = [
        Part(name, run_file.pids.get(name), url, unready_checks(url)) for name, url in run_file.services.items()
    ]
    servers = [Part(name, pid) for name, pid in run_file.pids.items() if name not in run_file.services]
    parts = [*services, *servers]
    return Health(True, all(part.is_ready for part in parts), run_file.url, run_file.logs, parts)


def _state(part: Part) -> str:
    if part.pid is None:
        return "down"
    return f"pid {part.pid:<8} {'not ready: ' + ', '.join(part.unready) if part.unready else 'ready'}"
