"""The journal's promise: `durable` returns only when the lines queued before it are on disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from simulator import journal as journal_module
from simulator.journal import Journal


class Disk:
    """Stands in for the disk: counts syncs, and lets one through only when told."""

    def __init__(self) -> None:
        self.synced: list[bytes] = []
        self.gate = threading.Event()
        self.fails = False

    def write(self, file: int, lines: bytes) -> None:
        assert self.gate.wait(10)
        if self.fails:
            raise OSError("no space")
        self.synced.append(lines)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(journal_module, "_write_synced", disk.write)
    yield disk
    disk.gate.set()


@pytest.fixture
async def journal(tmp_path: Path) -> Journal:
    journal = Journal(tmp_path / "calls.jsonl")
    journal.open()
    return journal


async def is_done_soon(task: asyncio.Task[None]) -> bool:
    await asyncio.wait([task], timeout=0.05)
    return task.done()


async def test_lines_are_in_the_file_in_their_order(journal: Journal, tmp_path: Path) -> None:
    for number in range(100):
        journal.append(b"%d" % number)
    await journal.durable()
    assert (tmp_path / "calls.jsonl").read_bytes() == b"".join(b"%d\n" % number for number in range(100))
    await journal.close()


async def test_nothing_is_durable_before_its_sync(journal: Journal, disk: Disk) -> None:
    journal.append(b"one")
    waiting = asyncio.create_task(journal.durable())
    assert not await is_done_soon(waiting)
    disk.gate.set()
    await waiting
    assert disk.synced == [b"one\n"]


async def test_a_line_whose_sync_has_begun_is_waited_for(journal: Journal, disk: Disk) -> None:
    journal.append(b"one")
    await asyncio.sleep(0.02)  # its sync is running now
    late = asyncio.create_task(journal.durable())
    assert not await is_done_soon(late)
    disk.gate.set()
    await late


async def test_lines_that_come_during_a_sync_share_the_next_one(journal: Journal, disk: Disk) -> None:
    journal.append(b"one")
    await asyncio.sleep(0.02)
    for line in (b"two", b"three"):
        journal.append(line)
        await asyncio.sleep(0)
    disk.gate.set()
    await journal.durable()
    assert disk.synced == [b"one\n", b"two\nthree\n"]


async def test_a_caller_that_gives_up_does_not_disturb_the_others(journal: Journal, disk: Disk) -> None:
    journal.append(b"one")
    first, second = (asyncio.create_task(journal.durable()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    disk.gate.set()
    await second
    assert disk.synced == [b"one\n"]


async def test_a_disk_that_refuses_is_told_to_whoever_waits(journal: Journal, disk: Disk) -> None:
    disk.fails = True
    disk.gate.set()
    assert journal.is_sound
    journal.append(b"one")
    with pytest.raises(OSError, match="no space"):
        await journal.durable()
    assert not journal.is_sound


async def test_without_a_file_nothing_is_kept_and_nothing_waited_for() -> None:
    journal = Journal(None)
    journal.open()
    journal.append(b"one")
    await journal.durable()
    assert (journal.is_kept, journal.is_sound) == (False, True)
    await journal.close()
