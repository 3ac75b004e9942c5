"""The check on registry addresses finds what it is for, and nothing in this repository."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "checks" / "registry_addresses.py"


def check(root: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the check in a tree that holds one file with this text."""
    (root / "cli" / "checks").mkdir(parents=True)
    copy = root / "cli" / "checks" / SCRIPT.name
    copy.write_text(SCRIPT.read_text())
    (root / "file.txt").write_text(f"first line\n{text}\n")
    return subprocess.run([sys.executable, str(copy)], capture_output=True, text=True)


@pytest.mark.parametrize(
    "text",
    [
        "https://files.python" + "hosted.org/packages/x.whl",
        "url = https://py" + "pi.org/simple",
        '"resolved' + '": "https://somewhere/x.tgz"',
        "https://registry." + "npmjs.org/x",
        "file://" + "/opt/x",
        "--extra-index" + "-url https://x",
        "see /root" + "/.cache",
    ],
)
def test_an_address_is_found_with_its_place(tmp_path: Path, text: str) -> None:
    answer = check(tmp_path, text)
    assert answer.returncode == 1
    assert answer.stdout.startswith("file.txt:2: names ")


def test_ordinary_text_is_let_through(tmp_path: Path) -> None:
    answer = check(
        tmp_path, "pip install uv  # from wherever pip is set up to\nhttps://api.openai.com/v1\n/root of the tree"
    )
    assert (answer.returncode, answer.stdout) == (0, "")


def test_this_repository_names_no_registry() -> None:
    answer = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, "")
