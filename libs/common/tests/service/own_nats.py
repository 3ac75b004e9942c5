"""A NATS that a test may stop and start: outages are what it is for."""

from __future__ import annotations

import shutil
from pathlib import Path

from common.servers.nats import start_nats
from common.servers.ports import free_port
from common.servers.running import RunningServer


class OwnNats:
    """A NATS of this test's own, which it may stop and start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._server: RunningServer | None = None

    def start(self) -> str:
        """Start it, or start it again with what it had; its URL."""
        self._server = start_nats(
            self._folder / "nats",
            port=self._port,
            user="tests",
            password="tests",
            log_path=self._folder / "nats.log",
            durable=False,
        )
        return self._server.url

    def stop(self) -> None:
        """Stop it."""
        if self._server is not None:
            self._server.stop()

    def lose_everything(self) -> None:
        """Forget all streams and buckets; stop it first."""
        shutil.rmtree(self._folder / "nats")
