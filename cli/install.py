"""Make the environment `.venv` from the lock files: the first half of `make run` and `make test` on a bare machine.

Uses the standard library alone, since nothing else is there yet. Every download is pinned with its hash. uv comes from
the lock like the rest, by pip, and does the rest; the workspace's own packages are installed as editable, from source.
A second call with nothing changed does nothing. Which packages is the pyproject files' business, starting them the
runner's (`cli/src/tollgate`).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
TAIL_LINES = 15
# These would make pip and uv install somewhere else, or find another Python's modules.
MISLEADING = (
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
)


class InstallError(Exception):
    """What went wrong, in one line that says what to do."""


def main() -> int:
    """Install what the arguments ask for; 0, or 1 with the reason on stderr."""
    arguments = argparse.ArgumentParser(description="Make .venv from the lock files.")
    arguments.add_argument("--dev", action="store_true", help="also what tests and lint need")
    is_dev = arguments.parse_args().dev
    try:
        require_version()
        with only_one_at_a_time():
            install(is_dev=is_dev)
    except InstallError as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def install(*, is_dev: bool) -> None:
    """Bring `.venv` to what the lock says and leave the stamps that make looks at; nothing when they are right."""
    started = time.monotonic()
    members = workspace_members(ROOT)
    stamps = {VENV / ".installed": fingerprint(ROOT / "requirements.lock", members)}
    lock = ROOT / ("requirements-dev.lock" if is_dev else "requirements.lock")
    if is_dev:  # contains what running needs, so it leaves both stamps
        stamps[VENV / ".installed-dev"] = fingerprint(lock, members)
    if venv_works() and all(read(stamp) == wanted for stamp, wanted in stamps.items()):
        for stamp in stamps:
            stamp.touch()
        return
    if not venv_works():
        require_ensurepip()
        with step(f"making .venv with Python {version_text()}"):
            make_venv()
    with step("installing uv"):
        install_uv(lock.read_text())
    with step(f"installing {lock.name} ({package_count(lock.read_text())} packages, hashes checked)"):
        uv_install("--require-hashes", "--compile-bytecode", "-r", str(lock))
    with step(f"installing the workspace ({len(members)} packages, editable)"):
        editable = [part for member in members for part in ("-e", str(member))]
        uv_install("--no-deps", "--no-build-isolation", *editable)
    for stamp, wanted in stamps.items():
        stamp.write_text(wanted)
    say(f"environment ready in {time.monotonic() - started:.1f} s")


def require_version() -> None:
    """Stop with a line that says so when this Python is too old."""
    if sys.version_info < OLDEST:
        raise InstallError(f"Python {'.'.join(map(str, OLDEST))} or newer is needed, this is {version_text()}")


def workspace_members(root: Path) -> list[Path]:
    """The folders of the workspace's packages, as the root pyproject lists them (it may use `*`)."""
    import tomllib  # here, so that an older Python gets as far as saying that it is too old

    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    return [path.parent for pattern in patterns for path in sorted(root.glob(f"{pattern}/pyproject.toml"))]


def fingerprint(lock: Path, members: Sequence[Path]) -> str:
    """Changes whenever the environment would: lock, the members' pyprojects, where it stands, this file."""
    digest = hashlib.sha256(str(VENV).encode())
    for path in (lock, *(member / "pyproject.toml" for member in members), Path(__file__)):
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def venv_works() -> bool:
    """Whether `.venv` runs, stands where it was made, and is new enough; a moved or half-made one is made again."""
    code = f"import sys; sys.exit(not (sys.prefix == {str(VENV)!r} and sys.version_info >= {OLDEST}))"
    try:
        return (
            subprocess.run([str(PYTHON), "-c", code], env=environment(), capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


def make_venv() -> None:
    """A fresh `.venv` with pip, by the Python that runs this."""
    shutil.rmtree(VENV, ignore_errors=True)
    run([sys.executable, "-m", "venv", str(VENV)])


def has_ensurepip() -> bool:
    """Whether this Python can make environments with pip; asked in a fresh one, since apt may just have added it."""
    return (
        subprocess.run([sys.executable, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
        == 0
    )


def require_ensurepip() -> None:
    """Debian and Ubuntu ship venv as a package of its own: install it as root, else say what to run."""
    if has_ensurepip():
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not shutil.which("apt-get"):
        raise InstallError(f"this Python ({sys.executable}) lacks the venv and ensurepip modules: install them first")
    if os.geteuid() != 0:
        raise InstallError(f"this Python lacks venv; run: sudo apt-get update && sudo apt-get install -y {package}")
    say(f"installing {package} with apt-get")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], **quiet)
    run(["apt-get", "install", "-y", "-q", "--no-install-recommends", package], **quiet)
    if not has_ensurepip():
        raise InstallError(f"{package} is installed, yet {sys.executable} still lacks venv: use Debian's own python3")


def install_uv(lock: str) -> None:
    """The uv that the lock pins, with its hashes, by the environment's pip; skipped when it is there."""
    block = locked_block(lock, "uv")
    pinned = block.split("==", 1)[1].split(maxsplit=1)[0]
    if uv_version() == pinned:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(block)
        requirements.flush()
        pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
        run([*pip, "--require-hashes", "-r", requirements.name])


def uv_version() -> str:
    """The version of the environment's uv; empty when there is none."""
    try:
        said = subprocess.run(
            [str(VENV / "bin" / "uv"), "--version"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return ""
    return said.split()[1] if len(said.split()) > 1 else ""


def locked_block(lock: str, package: str) -> str:
    """One package's lines of a lock: its pin and the hashes below it, which are indented."""
    lines = lock.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(f"{package}==")]
    if len(starts) != 1:
        raise InstallError(f"the lock must pin {package} exactly once, it does {len(starts)} times")
    rest = lines[starts[0] + 1 :]
    length = next((number for number, line in enumerate(rest) if not line.startswith(" ")), len(rest))
    return "\n".join(lines[starts[0] : starts[0] + 1 + length]) + "\n"


def package_count(lock: str) -> int:
    """How many packages a lock pins."""
    return sum("==" in line for line in lock.splitlines() if line[:1].isalnum())


def uv_install(*arguments: str) -> None:
    """`uv pip install` into `.venv`, with the machine's own certificates, never fetching a Python."""
    command = [str(VENV / "bin" / "uv"), "pip", "install", "-q", "--python", str(PYTHON)]
    run([*command, *arguments], UV_SYSTEM_CERTS="1", UV_PYTHON_DOWNLOADS="never", **cache_setting())


def cache_setting() -> dict[str, str]:
    """No cache where the home folder cannot hold one: uv would stop, pip merely warns."""
    home = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME") or "/")
    while not home.exists():
        home = home.parent
    return {} if os.access(home, os.W_OK) else {"UV_NO_CACHE": "1"}


def environment(**more: str) -> dict[str, str]:
    """Ours without what would lead pip and uv astray."""
    return {name: value for name, value in os.environ.items() if name not in MISLEADING} | more


def run(command: list[str], **settings: str) -> None:
    """Run a command silently; when it fails, show the end of what it said and stop."""
    try:
        answer = subprocess.run(
            command,
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise InstallError(f"{command[0]} cannot be run: {error.strerror}") from error
    if answer.returncode:
        tail = [line for line in answer.stdout.splitlines() if line.strip()][-TAIL_LINES:]
        print("\n".join(f"    {line}" for line in tail), file=sys.stderr)
        raise InstallError(
            f"`{' '.join(command[:6])} …` failed with exit code {answer.returncode} (its last lines are above)"
        )


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is done and, when it is, how long it took."""
    started = time.monotonic()
    print(f"install: {what} …", end="", flush=True)
    try:
        yield
    except BaseException:
        print(flush=True)
        raise
    print(f" {time.monotonic() - started:.1f} s", flush=True)


@contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Two makes at once must not write one environment: the second waits, then finds everything done."""
    with Path(__file__).open() as this:
        fcntl.flock(this, fcntl.LOCK_EX)
        yield


def say(what: str) -> None:
    print(f"install: {what}", flush=True)


def read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def version_text() -> str:
    return ".".join(map(str, sys.version_info[:3]))


if __name__ == "__main__":
    sys.exit(main())
