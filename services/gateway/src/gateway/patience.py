"""Streams whose first byte is long in coming: their clients, and what stands between, are kept from giving up.

The status line waits for the provider, so that a failure has a true status and another deployment may answer. After a
while it goes out all the same, and then comment lines that no client reads, until the first event; what fails from then on
is told in the stream. Who answers is not known by then, so what headers would say of it stands in a comment before the
first event. One task looks after all calls: a call that is answered in time costs an entry and its end.
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
        """Say something to every client that has heard nothing for long, to all at once: one that does not read must not
        keep the others waiting."""
        now = self._clock.monotonic()
        quiet: list[Running] = []
        for call in list(self._running.values()):
            if now - call.began < QUIET_SECONDS:
                break  # and so are all behind it
            if not self._waits(call):
                self.end(call)
            elif call.attempts and now - max(call.began, call.spoken_at) >= QUIET_SECONDS:
                call.spoken_at = now
                quiet.append(call)
        await asyncio.gather(*map(self._hold_open, quiet))

    async def _hold_open(self, call: Running) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_WRITE_SECONDS):
                if self._waits(call) and not call.client.status:
                    await call.client.start_stream(call.answer_headers())
                if self._waits(call):
                    await call.client.comment()

    def _waits(self, call: Running) -> bool:
        """Whether its client still waits for the first event. What has a status is about to be told, and after its end
        nothing may be said."""
        return call.log.request_id in self._running and not call.has_started and not call.log.http_status
