"""Publishes events to JetStream and waits for their acknowledgement, many at once.

All acknowledgements come to one inbox, so waiting for one costs a future and no subscription. What is not acknowledged in
time is not known to be stored; the caller keeps it elsewhere, under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from common.contracts.privileges import inbox_of
from common.ids import uuid7

from gateway.nats_line import NatsAway, NatsLine

_MAX_WAITING = 20_000


class NotStored(Exception):
    """JetStream did not acknowledge: away, too slow, or full."""


class _Ack(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    error: dict[str, Any] | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


class Publisher:
    """One inbox and the publishes that wait on it. `line` has to run."""

    def __init__(self, url: str, name: str, stream: str) -> None:
        self._stream = stream
        self._waiting: dict[str, asyncio.Future[int]] = {}
        self._next = 0
        self._loop = asyncio.get_running_loop()
        self.line = NatsLine(url, name, f"{inbox_of(name)}.{uuid7()}", self._on_ack, self._on_lost)

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> int:
        """Publish and wait; the sequence it was stored under. Raises NotStored."""
        if len(self._waiting) >= _MAX_WAITING:
            raise NotStored("too many wait")
        self._next += 1
        token = str(self._next)
        try:
            self.line.publish(subject, token, headers, body)
        except NatsAway as error:
            raise NotStored(str(error)) from error
        stored: asyncio.Future[int] = self._loop.create_future()
        self._waiting[token] = stored
        timer = self._loop.call_later(timeout_seconds, _fail, stored, "not acknowledged in time")
        try:
            return await stored
        finally:
            timer.cancel()
            del self._waiting[token]

    def _on_ack(self, token: str, body: bytes) -> None:
        stored = self._waiting.get(token)
        if stored is None or stored.done():
            return
        try:
            ack = _decode_ack(body)
        except ValueError:
            ack = _Ack()
        if ack.stream == self._stream and ack.error is None:
            stored.set_result(ack.seq)
        else:
            _fail(stored, "refused")

    def _on_lost(self) -> None:
        for stored in self._waiting.values():
            _fail(stored, "the line broke")


def _fail(stored: asyncio.Future[int], why: str) -> None:
    if not stored.done():
        stored.set_exception(NotStored(why))
