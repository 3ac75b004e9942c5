"""Streams whose first byte is long in coming: their clients, and what stands between, are kept from giving up.

The status line waits for the provider, so that a failure has a true status and another deployment may answer. After a
while it goes out all the same, and then comment lines that no client reads, until the first event; what fails from then on
is told in the stream. One task looks after all calls: a call that is answered in time costs an entry and its end.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from common.clock import Clock

from gateway.running import Running

QUIET_SECONDS = 15.0
LOOK_SECONDS = 1.0
_WRITE_SECONDS = 0.5


class Patience:
    """The streams that run, oldest first. `run` is a task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[str, Running] = {}

    def begin(self, call: Running) -> None:
        """A stream was asked for."""
        self._running[call.log.request_id] = call

    def end(self, call: Running) -> None:
        """It is over."""
        self._running.pop(call.log.request_id, None)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Say something to every client that has heard nothing for long."""
        now = self._clock.monotonic()
        for call in list(self._running.values()):
            if now - call.began < QUIET_SECONDS:
                return  # and so are all behind it
            if call.has_started:
                self.end(call)
            elif call.attempts and now - max(call.began, call.spoken_at) >= QUIET_SECONDS:
                call.spoken_at = now
                with suppress(TimeoutError):
                    async with asyncio.timeout(_WRITE_SECONDS):
                        await _hold_open(call)


async def _hold_open(call: Running) -> None:
    if not call.client.status:
        await call.client.start_stream(call.answer_headers())
    await call.client.comment()
