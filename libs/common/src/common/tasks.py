"""Background tasks of a process: owned, named, and never lost in silence.

A task that ends with an error nobody expected takes the process down with it (SIGTERM to itself, so that what runs can
end): half a service that looks alive is worse than one that its supervisor starts anew.

A cancellation can be lost: `asyncio.wait_for` before Python 3.12 swallows the one that arrives with its result, and the
libraries below use it. So a task that goes on is cancelled again, and one that will not end does not keep the process.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

_CANCEL_AGAIN_SECONDS = 2.0
_CANCEL_ROUNDS = 5


class Tasks:
    """The long-lived tasks of one process."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run until it returns, fails, or `cancel` is called."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """End them all and wait until they have ended; who has not within 10 s is named in the log and left."""
        left = set(self._tasks)
        for _ in range(_CANCEL_ROUNDS):
            if not left:
                return
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_CANCEL_AGAIN_SECONDS)
        log.error("tasks_left", tasks=sorted(task.get_name() for task in left))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.critical("task_failed", task=task.get_name(), exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
