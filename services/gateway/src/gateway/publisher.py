"""Publishes events to JetStream and waits for their acknowledgement, many at once.

All publishes of one turn of the loop leave in one write, and all acknowledgements come to one inbox, so waiting for one
costs a future and no subscription. What is not acknowledged in time is not known to be stored; the caller keeps it
elsewhere, under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from common.bus.connect import Bus
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

log = structlog.get_logger()

_MAX_WAITING = 20_000


class NotStored(Exception):
    """JetStream did not acknowledge: away, too slow, or full."""


class _Ack(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    error: dict[str, Any] | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


class Publisher:
    """One inbox and the publishes that wait on it. `start` before use."""

    def __init__(self, bus: Bus, stream: str) -> None:
        self._client = bus.client
        self._stream = stream
        self._inbox = self._client.new_inbox()
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._next = 0
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Listen for acknowledgements."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_ack)

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> int:
        """Publish and wait; the sequence it was stored under. Raises NotStored."""
        if not self._client.is_connected or len(self._waiting) >= _MAX_WAITING:
            raise NotStored("not connected")
        self._next += 1
        token = str(self._next)
        stored: asyncio.Future[int] = self._loop.create_future()
        self._waiting[token] = stored
        timer = self._loop.call_later(timeout_seconds, _give_up, stored)
        try:
            await self._client.publish(subject, body, reply=f"{self._inbox}.{token}", headers=dict(headers))
            return await stored
        except (NatsError, OSError) as error:
            raise NotStored(type(error).__name__) from error
        finally:
            timer.cancel()
            del self._waiting[token]

    async def _on_ack(self, msg: Msg) -> None:
        stored = self._waiting.get(msg.subject.rpartition(".")[2])
        if stored is None or stored.done():
            return
        try:
            ack = _decode_ack(msg.data)
        except ValueError:
            ack = _Ack()
        if ack.stream == self._stream and ack.error is None:
            stored.set_result(ack.seq)
        else:
            stored.set_exception(NotStored("refused"))


def _give_up(stored: asyncio.Future[int]) -> None:
    if not stored.done():
        stored.set_exception(NotStored("not acknowledged in time"))
