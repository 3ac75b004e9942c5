"""Settings: defaults, readings, and one clear line for each wrong value."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulator.settings import Settings, SettingsError, read_settings


def test_nothing_set_gives_the_documented_defaults() -> None:
    assert read_settings({}) == Settings("127.0.0.1", 8090, 0, None, False)


def test_every_setting_is_read(tmp_path: Path) -> None:
    given = {
        "SIMULATOR_HTTP_HOST": "::1",
        "SIMULATOR_HTTP_PORT": "9000",
        "SIMULATOR_SEED": "7",
        "SIMULATOR_JOURNAL": str(tmp_path / "calls.jsonl"),
        "SIMULATOR_COALESCE": "1",
    }
    assert read_settings(given) == Settings("::1", 9000, 7, tmp_path / "calls.jsonl", True)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("SIMULATOR_HTTP_PORT", "high"),
        ("SIMULATOR_HTTP_PORT", "0"),
        ("SIMULATOR_HTTP_PORT", "65536"),
        ("SIMULATOR_HTTP_PORT", "²"),
        ("SIMULATOR_SEED", "-1"),
        ("SIMULATOR_SEED", "9" * 30),
        ("SIMULATOR_COALESCE", "yes"),
        ("SIMULATOR_JOURNAL", "/nowhere/at/all/calls.jsonl"),
        ("SIMULATOR_JOURNAL", "/"),
        ("SIMULATOR_RECORDINGS", "/nowhere/at/all/exchanges.jsonl"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(name: str, given: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_settings({name: given})
    assert str(error.value).startswith(f"{name} must be ")
    assert "\n" not in str(error.value)


def test_a_wrong_setting_stops_the_start() -> None:
    environ = {**os.environ, "SIMULATOR_HTTP_PORT": "none"}
    ended = subprocess.run([sys.executable, "-m", "simulator"], env=environ, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert ended.stderr == "simulator: SIMULATOR_HTTP_PORT must be a whole number from 1 to 65535, not 'none'\n"
