"""One way to connect to NATS: reconnects for ever, and tells those who must look again afterwards.

While it is away publishes fail after their own timeout; nothing here buffers what must not be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from nats.aio.client import Client

from common.contracts.privileges import inbox_of

log = structlog.get_logger()

_CONNECT_SECONDS = 2
_FIRST_CONNECT_SECONDS = 10
_RECONNECT_SECONDS = 0.25
_PING_SECONDS = 5

OnReconnect = Callable[[], Awaitable[None]]


class Bus:
    """A connection and the things to do when it has come back."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.jetstream = client.jetstream(timeout=5.0)
        self._after_reconnect: list[OnReconnect] = []

    def after_reconnect(self, action: OnReconnect) -> None:
        """Have this done after each reconnect (KV watchers notice one only after some 18 s by themselves)."""
        self._after_reconnect.append(action)

    async def reconnected(self) -> None:
        """Do what was asked for."""
        log.info("nats_reconnected")
        for action in self._after_reconnect:
            await action()

    async def close(self) -> None:
        """Flush what was published and close; a server that is away does not hold this up."""
        try:
            await self.client.flush(timeout=2)
        except Exception as error:  # noqa: BLE001 - closing must not fail whatever state the connection is in
            log.warning("nats_flush_failed", error=type(error).__name__)
        try:
            await self.client.close()
        except (OSError, EOFError):
            log.warning("nats_close_failed")


async def connect(url: str, name: str, **options: Any) -> Bus:
    """Connect; answers go to inboxes of `name`, which no other user may hear.

    Raises TimeoutError, OSError or nats.errors.Error when the server cannot be reached within 10 s.
    """
    client = Client()
    bus = Bus(client)

    async def on_error(error: Exception) -> None:
        log.warning("nats_error", error=type(error).__name__)

    async def on_disconnect() -> None:
        log.warning("nats_disconnected")

    # With unlimited reconnects the library would try for ever already now; a service that cannot start should say so.
    async with asyncio.timeout(_FIRST_CONNECT_SECONDS):
        await client.connect(
            url,
            name=name,
            inbox_prefix=inbox_of(name),
            connect_timeout=_CONNECT_SECONDS,
            reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type]  # a float works and is wanted
            max_reconnect_attempts=-1,
            ping_interval=_PING_SECONDS,
            max_outstanding_pings=2,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=bus.reconnected,
            **options,
        )
    return bus
