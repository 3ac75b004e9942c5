"""What a started server is to its starter: a URL with its password, a port, a version, and a way to stop it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from common.servers.child import Child

# Servers get nothing of our environment: no credentials, no locale that the machine may not have.
SERVER_ENV = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class RunningServer:
    """A server that answers. The URL holds its password: never log it."""

    child: Child
    url: str
    port: int
    version: str
    monitoring_url: str | None = None  # NATS only

    @property
    def pid(self) -> int:
        return self.child.pid

    def is_running(self) -> bool:
        return self.child.exit_code() is None

    def stop(self, grace_seconds: float = 10.0) -> int:
        """Stop it cleanly, by force after `grace_seconds`; returns its exit code."""
        return self.child.stop(grace_seconds)
