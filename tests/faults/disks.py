"""Where the servers' files lie: a small disk that can be filled, or one that forgets what was not synced.

Mounting needs root on Linux. Where it is not possible the files lie in an ordinary folder, and the faults that need such
a disk say so in the table instead of pretending.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

Kind = Literal["ordinary", "small", "forgetful"]

SMALL_MIB = 192
_BALLAST = "ballast"
_MOUNT_SECONDS = 10.0


class Disks:
    """The disk under the servers' folders of one stack; each of `names` has one of its own."""

    def __init__(self, kind: Kind, names: Iterable[str] = (), undurable: Iterable[str] = ()) -> None:
        self.kind = kind
        self.undurable = frozenset(undurable)
        """Servers that are started without syncing: for showing that the harness notices."""
        self._names = tuple(names)
        self._mounted: list[Path] = []
        self._servers: dict[Path, subprocess.Popen[bytes]] = {}

    def mount(self, state: Path) -> None:
        """Mount below `state`."""
        for name in self._names:
            folder = state / name
            folder.mkdir(parents=True, exist_ok=True)
            if self.kind == "small":
                _run("mount", "-t", "tmpfs", "-o", f"size={SMALL_MIB}m,mode=755", "tollgate-faults", str(folder))
            elif self.kind == "forgetful":
                self._serve(folder)
            self._mounted.append(folder)

    def unmount(self) -> None:
        """Undo `mount`."""
        for server in self._servers.values():
            server.send_signal(signal.SIGTERM)
        for folder in self._mounted:
            with suppress(subprocess.CalledProcessError):
                _run("umount", "-l", str(folder))
        for server in self._servers.values():
            with suppress(subprocess.TimeoutExpired):
                server.wait(5)
            server.kill()
        self._mounted, self._servers = [], {}

    def fill(self, name: str) -> None:
        """Leave no byte free on a small disk."""
        folder = self._of(name)
        with (folder / _BALLAST).open("wb", buffering=0) as ballast, suppress(OSError):
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while True:
                        ballast.write(bytes(size))

    def free(self) -> None:
        """Take away what `fill` wrote."""
        if self.kind == "small":
            for folder in self._mounted:
                (folder / _BALLAST).unlink(missing_ok=True)

    def cut_power(self, name: str) -> None:
        """Forget what was not synced. The server on it must be dead; afterwards it may be started again."""
        folder = self._of(name)
        before = os.stat(folder).st_dev
        deadline = time.monotonic() + _MOUNT_SECONDS
        while subprocess.run(["umount", str(folder)], capture_output=True).returncode:  # its children are still dying
            if time.monotonic() > deadline:
                raise TimeoutError(f"{folder} is still in use")
            time.sleep(0.05)
        self._wait_mounted(folder, unlike=before)

    def _of(self, name: str) -> Path:
        return next(folder for folder in self._mounted if folder.name == name)

    def _serve(self, folder: Path) -> None:
        log = (folder.parent / f"{folder.name}.disk.log").open("ab")
        program = Path(__file__).with_name("forgetful.py")
        self._servers[folder] = subprocess.Popen(
            [sys.executable, str(program), str(folder)], stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        self._wait_mounted(folder)

    def _wait_mounted(self, folder: Path, unlike: int | None = None) -> None:
        deadline = time.monotonic() + _MOUNT_SECONDS
        while not os.path.ismount(folder) or (unlike is not None and not _answers(folder)):
            if time.monotonic() > deadline or self._servers[folder].poll() is not None:
                raise TimeoutError(f"{folder} was not mounted")
            time.sleep(0.02)


def can_mount(kind: Kind) -> str | None:
    """Why a disk of this kind cannot be had here; None when it can."""
    if kind == "ordinary":
        return None
    if sys.platform != "linux" or os.geteuid() != 0:
        return "mounting needs root on Linux"
    if kind == "forgetful" and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    probe = Path("/tmp") / f"tollgate-mount-{os.getpid()}"
    probe.mkdir(exist_ok=True)
    try:
        _run("mount", "-t", "tmpfs", "-o", "size=1m", "tollgate-faults", str(probe))
        _run("umount", str(probe))
    except (OSError, subprocess.CalledProcessError):
        return "mounting is not allowed"
    finally:
        probe.rmdir()
    return None


def _answers(folder: Path) -> bool:
    try:
        os.listdir(folder)
    except OSError:
        return False
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
