"""The disk that forgets: what was synced stays, what was not is as if it had never been."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .disks import Disks, can_mount
from .forgetful import ROOT, Disk, Refused

FILE = stat.S_IFREG | 0o644


def _file(disk: Disk, name: bytes = b"a") -> int:
    return disk.make(ROOT, name, FILE, 0, 0).number


def test_bytes_that_were_synced_survive() -> None:
    disk = Disk()
    number = _file(disk)
    disk.write(number, 0, b"kept")
    disk.sync(number)
    disk.write(number, 4, b" and lost")
    disk.write(number, 0, b"LOST")
    disk.cut_power()
    assert bytes(disk.find(ROOT, b"a").content) == b"kept"


def test_a_name_that_was_not_synced_is_gone() -> None:
    disk = Disk()
    _file(disk)
    disk.cut_power()
    with pytest.raises(Refused):
        disk.find(ROOT, b"a")


def test_any_sync_remembers_names_but_not_other_files_bytes() -> None:
    disk = Disk()
    one, two = _file(disk, b"one"), _file(disk, b"two")
    disk.write(one, 0, b"one")
    disk.write(two, 0, b"two")
    disk.sync(two)
    disk.cut_power()
    assert bytes(disk.node(one).content) == b""
    assert bytes(disk.node(two).content) == b"two"


def test_a_removed_file_comes_back_whole() -> None:
    disk = Disk()
    number = _file(disk)
    disk.write(number, 0, b"kept")
    disk.sync(number)
    disk.unlink(ROOT, b"a")
    disk.cut_power()
    assert bytes(disk.find(ROOT, b"a").content) == b"kept"


def test_a_rename_that_was_not_synced_never_happened() -> None:
    disk = Disk()
    number = _file(disk)
    disk.sync(number)
    disk.rename(ROOT, b"a", ROOT, b"b")
    disk.cut_power()
    assert disk.find(ROOT, b"a").number == number
    with pytest.raises(Refused) as refused:
        disk.find(ROOT, b"b")
    assert refused.value.number == errno.ENOENT


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40), st.binary(min_size=1, max_size=20)),
        st.tuples(st.just("resize"), st.integers(0, 60), st.just(b"")),
    ),
    max_size=12,
)


@given(CHANGES, CHANGES)
def test_whatever_came_after_the_last_sync_is_undone(
    before: list[tuple[str, int, bytes]], after: list[tuple[str, int, bytes]]
) -> None:
    disk = Disk()
    number = _file(disk)
    _apply(disk, number, before)
    disk.sync(number)
    synced = bytes(disk.node(number).content)
    _apply(disk, number, after)
    disk.cut_power()
    assert bytes(disk.node(number).content) == synced


def _apply(disk: Disk, number: int, changes: list[tuple[str, int, bytes]]) -> None:
    for what, at, written in changes:
        if what == "write":
            disk.write(number, at, written)
        else:
            disk.resize(number, at)


def test_the_kernel_sees_such_a_disk(tmp_path: Path) -> None:
    why = can_mount("forgetful")
    if why is not None:  # the disk's own rules are tested above; here is nobody to mount it
        assert why
        return
    disks = Disks("forgetful", ["nats"])
    disks.mount(tmp_path)
    try:
        folder = tmp_path / "nats"
        with (folder / "synced").open("wb") as file:
            file.write(b"kept" * 100_000)
            file.flush()
            os.fsync(file.fileno())
            file.write(b"lost")
        (folder / "lost").write_bytes(b"lost")
        assert sorted(path.name for path in folder.iterdir()) == ["lost", "synced"]
        disks.cut_power("nats")
        assert (folder / "synced").read_bytes() == b"kept" * 100_000
        assert [path.name for path in folder.iterdir()] == ["synced"]
    finally:
        disks.unmount()
