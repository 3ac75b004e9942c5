"""The simulator's settings: what they are, what they default to, what is said when one is wrong.

The only file that knows the names of environment variables. Read once, at start; a wrong value stops the start with
one line. It has no settings library because the simulator shares nothing with the services it stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HIGHEST_PORT = 65_535


class SettingsError(Exception):
    """One setting is wrong; the message is one line that names it and says what it should be."""


@dataclass(frozen=True)
class Settings:
    """Everything that can be set from outside."""

    http_host: str = "127.0.0.1"
    """Address to listen on (SIMULATOR_HTTP_HOST)."""
    http_port: int = 8090
    """Port to listen on (SIMULATOR_HTTP_PORT)."""
    seed: int = 0
    """Two simulators with the same seed give the same answers (SIMULATOR_SEED)."""
    journal: Path | None = None
    """File to which each call is appended and synced; none when empty (SIMULATOR_JOURNAL)."""
    coalesces: bool = False
    """Whether undelayed chunks of a stream share one send (SIMULATOR_COALESCE=1)."""
    recordings: Path | None = None
    """File of recorded exchanges that are answered again (SIMULATOR_RECORDINGS); none when empty."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`; an empty value counts as absent. Raises SettingsError."""
    journal = environ.get("SIMULATOR_JOURNAL", "")
    return Settings(
        http_host=environ.get("SIMULATOR_HTTP_HOST") or Settings.http_host,
        http_port=_whole_number(environ, "SIMULATOR_HTTP_PORT", Settings.http_port, 1, HIGHEST_PORT),
        seed=_whole_number(environ, "SIMULATOR_SEED", Settings.seed, 0, 2**63 - 1),
        journal=_journal_path(journal) if journal else None,
        recordings=_recordings_path(environ.get("SIMULATOR_RECORDINGS", "")),
        coalesces=_switch(environ, "SIMULATOR_COALESCE"),
    )


def _whole_number(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    given = environ.get(name, "")
    if not given:
        return default
    # isdigit alone would take '²', which int() then refuses.
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 20 else -1
    if not least <= number <= most:
        raise SettingsError(f"{name} must be a whole number from {least} to {most}, not {given!r}")
    return number


def _switch(environ: Mapping[str, str], name: str) -> bool:
    given = environ.get(name, "") or "0"
    if given not in ("0", "1"):
        raise SettingsError(f"{name} must be 0 or 1, not {given!r}")
    return given == "1"


def _recordings_path(given: str) -> Path | None:
    if given and not Path(given).is_file():
        raise SettingsError(f"SIMULATOR_RECORDINGS must be a file that is there, not {given!r}")
    return Path(given) if given else None


def _journal_path(given: str) -> Path:
    path = Path(given)
    if not path.parent.is_dir():
        raise SettingsError(f"SIMULATOR_JOURNAL must be a file in an existing directory, not {given!r}")
    if path.is_dir():
        raise SettingsError(f"SIMULATOR_JOURNAL must be a file, and {given!r} is a directory")
    return path
