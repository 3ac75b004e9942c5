"""The journal: what was acknowledged is there after any end, what was not does no harm, and it never grows without end."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from gateway.journal import Journal, JournalFull


def line(number: int, size: int = 10) -> bytes:
    return json.dumps({"id": number, "event": "x" * size}).encode()


class Bus:
    """Where a journal is drained to; away when told so."""

    def __init__(self, *, accepts: int | None = None) -> None:
        self.got: list[bytes] = []
        self.accepts = accepts

    async def publish(self, event: bytes) -> None:
        if self.accepts is not None and len(self.got) >= self.accepts:
            raise ConnectionError
        self.got.append(event)


async def drained(folder: Path) -> list[bytes]:
    """What another process finds in a folder."""
    bus = Bus()
    await Journal(folder, 1 << 20).drain(bus.publish)
    return bus.got


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def closed(journal: Journal) -> None:
    """What the end of its process does to a journal."""
    journal._close()


async def test_what_was_appended_is_drained_in_order_and_removed(folder: Path) -> None:
    journal, bus = Journal(folder, 1 << 20), Bus()
    assert not journal.has_events()
    for number in range(3):
        await journal.append(line(number))
    assert journal.has_events()
    assert await journal.drain(bus.publish) == 3
    assert bus.got == [line(number) for number in range(3)]
    assert not journal.has_events()
    await journal.append(line(4))
    assert await journal.drain(bus.publish) == 1
    assert await journal.drain(bus.publish) == 0


async def test_appended_at_once_all_are_there(folder: Path) -> None:
    journal = Journal(folder, 1 << 20)
    await asyncio.gather(*[journal.append(line(number)) for number in range(50)])
    closed(journal)
    assert sorted(await drained(folder)) == sorted(line(number) for number in range(50))


async def test_files_are_for_nobody_else_to_read(folder: Path) -> None:
    await Journal(folder, 1 << 20).append(line(1))
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


@pytest.mark.parametrize("cut", [1, 5, 20, 33])
async def test_a_line_that_a_crash_cut_is_left_out(folder: Path, cut: int) -> None:
    journal = Journal(folder, 1 << 20)
    for number in range(3):
        await journal.append(line(number))
    closed(journal)
    [path] = folder.iterdir()
    os.truncate(path, path.stat().st_size - cut)
    whole = [line(number) for number in range(3)]
    assert await drained(folder) == (whole if cut == 1 else whole[:2])


async def test_noise_in_a_file_harms_nothing(folder: Path) -> None:
    journal = Journal(folder, 1 << 20)
    await journal.append(line(1))
    closed(journal)
    [path] = folder.iterdir()
    path.write_bytes(b"\x00\x00\n\n\xff\xfe\n" + path.read_bytes() + b"\n")
    assert await drained(folder) == [line(1)]
    assert not list(folder.iterdir())


async def test_with_the_bus_away_everything_stays_and_nothing_piles_up(folder: Path) -> None:
    journal, away = Journal(folder, 1 << 20), Bus(accepts=0)
    for number in range(20):
        await journal.append(line(number))
        with pytest.raises(ConnectionError):
            await journal.drain(away.publish)
    assert len(list(folder.iterdir())) <= 2
    bus = Bus()
    assert await journal.drain(bus.publish) == 20
    assert bus.got == [line(number) for number in range(20)]


async def test_a_drain_that_ends_midway_loses_nothing(folder: Path) -> None:
    journal, bus = Journal(folder, 1 << 20), Bus(accepts=2)
    for number in range(5):
        await journal.append(line(number))
    with pytest.raises(ConnectionError):
        await journal.drain(bus.publish)
    bus.accepts = None
    await journal.drain(bus.publish)
    assert set(bus.got) == {line(number) for number in range(5)}


async def test_the_bound_holds_for_all_that_waits_however_often_it_is_drained_in_vain(folder: Path) -> None:
    journal, away = Journal(folder, 4000), Bus(accepts=0)
    kept = 0
    for number in range(100):
        with suppress(JournalFull):
            await journal.append(line(number, 100))
            kept += 1
        with pytest.raises(ConnectionError):
            await journal.drain(away.publish)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4000
    assert 20 < kept < 100
    with pytest.raises(JournalFull):
        await Journal(folder, 4000).append(line(0, 100))
    bus = Bus()
    assert await journal.drain(bus.publish) == kept
    await journal.append(line(1))


async def test_a_full_disk_refuses_and_spoils_nothing_that_was_acknowledged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder, 1 << 20)
    await journal.append(line(1))
    real = os.write
    monkeypatch.setattr("gateway.journal.os.write", lambda to, text: real(to, text[:7]))
    with pytest.raises(JournalFull):
        await journal.append(line(2))
    monkeypatch.undo()
    await journal.append(line(3))
    closed(journal)
    assert await drained(folder) == [line(1), line(3)]


async def test_a_folder_that_cannot_be_written_is_as_full(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalFull):
        await Journal(tmp_path / "file" / "journal", 1 << 20).append(line(1))


async def test_a_file_that_another_process_still_writes_is_left_to_it(folder: Path) -> None:
    writer, other = Journal(folder, 1 << 20), Bus()
    await writer.append(line(1))
    assert await Journal(folder, 1 << 20).drain(other.publish) == 0
    await writer.append(line(2))
    closed(writer)
    assert await drained(folder) == [line(1), line(2)]


async def test_two_that_drain_at_once_publish_once(folder: Path) -> None:
    journal = Journal(folder, 1 << 20)
    for number in range(10):
        await journal.append(line(number))
    closed(journal)
    bus = Bus()

    async def slowly(event: bytes) -> None:
        await asyncio.sleep(0.01)
        await bus.publish(event)

    counts = await asyncio.gather(*[Journal(folder, 1 << 20).drain(slowly) for _ in range(3)])
    assert sorted(counts) == [0, 0, 10]
    assert len(bus.got) == 10
