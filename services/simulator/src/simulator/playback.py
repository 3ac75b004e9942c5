"""Sends a planned stream at its pace, and keeps count of what has left.

How far it came is readable at any moment, because a caller that hangs up, or the process's own end, may stop it
anywhere and the call must still be recorded truly.
"""

from __future__ import annotations

import asyncio
from itertools import accumulate

from simulator.connection import Connection
from simulator.faults import Directives
from simulator.streams import StreamPlan, frames_within, recut

FRAMES_A_TURN = 64
"""After so many undelayed chunks other calls get their turn."""


class Playback:
    """One stream on its way."""

    def __init__(self, plan: StreamPlan, directives: Directives, *, coalesces: bool) -> None:
        self._plan = plan
        self._pause = directives.chunk_ms / 1000
        self._split = directives.split_bytes
        self._coalesces = (coalesces or directives.coalesce) and not self._pause and not self._split
        self.sent = 0
        """Chunks handed to the connection so far."""

    async def run(self, connection: Connection) -> None:
        """Sends all frames but the stream's last word; stops early when the caller is gone."""
        if self._plan.preamble:
            await connection.write(self._plan.preamble)
        if self._coalesces:
            await connection.write(b"".join(self._plan.frames))
            self.sent = len(self._plan.frames)
        elif self._split:
            await self._run_split(connection, self._split)
        elif self._pause:
            await self._run_paced(connection)
        else:
            await self._run_undelayed(connection)

    async def _run_undelayed(self, connection: Connection) -> None:
        send = connection.send
        for frame in self._plan.frames:
            if self.sent % FRAMES_A_TURN == FRAMES_A_TURN - 1:
                await asyncio.sleep(0)
                if connection.is_gone:
                    return
            await send({"type": "http.response.body", "body": frame, "more_body": True})
            self.sent += 1

    async def _run_paced(self, connection: Connection) -> None:
        for frame in self._plan.frames:
            if self.sent:
                await connection.wait(self._pause)
            if connection.is_gone:
                return
            await connection.write(frame)
            self.sent += 1

    async def _run_split(self, connection: Connection, size: int) -> None:
        frames = self._plan.frames
        ends = list(accumulate(map(len, frames)))
        written = 0
        for piece in recut(frames, size):
            if written:
                await connection.wait(self._pause)
            if connection.is_gone:
                return
            await connection.write(piece)
            written += len(piece)
            self.sent = frames_within(ends, written, self.sent)
