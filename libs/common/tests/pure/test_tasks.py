"""Background tasks: one that fails takes the process down with it, and none is left when they are cancelled."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from common.tasks import Tasks
from structlog.testing import capture_logs


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The signals that were sent, instead of their effect."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


async def test_a_task_that_fails_is_named_in_the_log_and_ends_the_process(signals: list[tuple[int, int]]) -> None:
    async def work() -> None:
        raise RuntimeError("unexpected")

    with capture_logs() as lines:
        task = Tasks().start("relay", work())
        await asyncio.wait([task])
        await asyncio.sleep(0)
    assert signals == [(os.getpid(), signal.SIGTERM)]
    [line] = lines
    assert (line["event"], line["task"], line["log_level"]) == ("task_failed", "relay", "critical")
    assert isinstance(line["exc_info"], RuntimeError)


async def test_a_task_that_returns_or_is_cancelled_ends_nothing(signals: list[tuple[int, int]]) -> None:
    async def work() -> int:
        return 7

    tasks = Tasks()
    assert await tasks.start("short", work()) == 7
    forever = tasks.start("forever", asyncio.sleep(3600))
    await asyncio.sleep(0)
    forever.cancel()
    await asyncio.wait([forever])
    await asyncio.sleep(0)
    assert signals == []


async def test_cancelling_waits_until_everything_has_tidied_up(signals: list[tuple[int, int]]) -> None:
    tidied: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            tidied.append(name)

    tasks = Tasks()
    for name in ("a", "b"):
        tasks.start(name, work(name))
    await asyncio.sleep(0)
    await tasks.cancel()
    assert sorted(tidied) == ["a", "b"]
    assert signals == []


async def test_a_task_that_loses_its_cancellation_is_cancelled_again(
    signals: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.tasks._CANCEL_AGAIN_SECONDS", 0.01)

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:  # as `asyncio.wait_for` does before Python 3.12
            await asyncio.sleep(3600)

    tasks = Tasks()
    deaf = tasks.start("deaf", work())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await tasks.cancel()
    assert deaf.cancelled()


async def test_a_task_that_will_not_end_is_named_and_does_not_keep_the_process(
    signals: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.tasks._CANCEL_AGAIN_SECONDS", 0.01)
    over = asyncio.Event()

    async def work() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    tasks = Tasks()
    stubborn = tasks.start("stubborn", work())
    await asyncio.sleep(0)
    with capture_logs() as lines:
        async with asyncio.timeout(5):
            await tasks.cancel()
    over.set()
    await stubborn
    assert [(line["event"], line["tasks"]) for line in lines] == [("tasks_left", ["stubborn"])]


async def test_a_task_that_fails_while_it_is_cancelled_is_not_lost_in_silence(signals: list[tuple[int, int]]) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise RuntimeError("while tidying up")

    tasks = Tasks()
    tasks.start("untidy", work())
    await asyncio.sleep(0)
    await tasks.cancel()
    await asyncio.sleep(0)
    assert signals == [(os.getpid(), signal.SIGTERM)]
