"""No committed file may name a package registry or a folder of one machine: part of `make lint`.

Lock files written by the package tools carry such addresses unless told otherwise, and a checkout must install from
wherever its owner installs from. The patterns are written so that this file does not match itself.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARGEST_BYTES = 8 * 1024 * 1024
FORBIDDEN = {
    "a Python package registry": r"(?:test\.)?pyp[i]\.(?:org|python\.org)|pythonhoste[d]\.org",
    "a JavaScript package registry": r"registr[y]\.(?:npmjs|yarnpkg)\.|\"resolve[d]\":",
    "an operating system's package server": r"de[b]\.debian\.org|archiv[e]\.ubuntu\.com",
    "a local file": r"fil[e]:///(?:opt|root|home|mnt|srv|Users|work)/",
    "one machine's folder": r"(?<![\w.])/(?:roo[t]|hom[e]/[a-z]+)/\.",
    "a registry setting": r"--(?:extra-)?index-ur[l]|--find-link[s]",
}
UNTRACKED = {".git", ".venv", ".tollgate", "node_modules", "__pycache__", "uv.lock", "pylock.toml", "dist"}


def main() -> int:
    """Print every finding as `path:line: what`; 1 when there is one."""
    pattern = re.compile("|".join(f"(?P<g{number}>{each})" for number, each in enumerate(FORBIDDEN.values())))
    names = list(FORBIDDEN)
    count = 0
    for path in committed_files():
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if found := pattern.search(line):
                print(
                    f"{path.relative_to(ROOT)}:{number}: names {names[int((found.lastgroup or 'g0')[1:])]}: {found[0]}"
                )
                count += 1
    return 1 if count else 0


def committed_files() -> Iterator[Path]:
    """What git has or would take; in an unpacked archive, everything that is not a product of working here."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    else:
        paths = [path for path in ROOT.rglob("*") if UNTRACKED.isdisjoint(path.relative_to(ROOT).parts)]
    yield from sorted(path for path in paths if path.is_file())


def text_of(path: Path) -> str:
    """The text of a file; empty when it is none or too large to be written by hand."""
    if path.stat().st_size > LARGEST_BYTES:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
