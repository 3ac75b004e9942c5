"""The repository as the rules see it: what git has or would take, and our own sources with their syntax trees."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARGEST_TEXT_BYTES = 8 * 1024 * 1024

_PRODUCTS = {".git", ".venv", ".tollgate", "node_modules", "__pycache__", "uv.lock", "pylock.toml", "dist"}
_CODE = {".py", ".ts", ".tsx"}


@dataclass(frozen=True)
class Source:
    """One text of ours; `name` is its path from the root, with forward slashes."""

    name: str
    text: str

    @property
    def is_test(self) -> bool:
        """Whether it is part of tests and not of what is shipped."""
        return "tests" in self.name.split("/") or self.name.endswith("conftest.py")

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree; SyntaxError when it has none."""
        return _parsed(self.name, self.text)


@cache
def committed_files() -> tuple[Path, ...]:
    """What git has or would take; in an unpacked archive, everything that is not a product of working here."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if _PRODUCTS.isdisjoint(path.relative_to(ROOT).parts)]
    return tuple(sorted({path for path in paths if path.is_file()}))


def texts() -> Iterator[Source]:
    """Every committed file that is text."""
    for path in committed_files():
        if path.stat().st_size <= LARGEST_TEXT_BYTES and (text := _text(path)) is not None:
            yield Source(path.relative_to(ROOT).as_posix(), text)


def code() -> Iterator[Source]:
    """Our own Python and TypeScript."""
    return (source for source in texts() if Path(source.name).suffix in _CODE)


def python() -> Iterator[Source]:
    """Our own Python."""
    return (source for source in texts() if source.name.endswith(".py"))


def shipped() -> Iterator[Source]:
    """Our own Python without tests."""
    return (source for source in python() if not source.is_test)


def place(source: Source, node: ast.AST) -> str:
    """Where in the tree a node stands: `path:line`."""
    return f"{source.name}:{getattr(node, 'lineno', 1)}"


@cache
def _parsed(name: str, text: str) -> ast.Module:
    return ast.parse(text, name)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
