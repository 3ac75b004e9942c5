"""What stands below deploy/ is checked by its own script; here it is run, and shown to find what it is for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .tree import ROOT, committed_files

SCRIPT = Path("deploy/checks/manifests.py")


def findings(root: Path) -> list[str]:
    """What the script says of a checkout, a line each; its exit code must agree."""
    ran = subprocess.run([sys.executable, str(root / SCRIPT)], capture_output=True, text=True)
    assert ran.stderr == ""
    assert ran.returncode == (1 if ran.stdout else 0)
    return ran.stdout.splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository that a test may break."""
    for path in committed_files():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return tmp_path


def test_manifests_and_compose_file_are_in_order() -> None:
    assert findings(ROOT) == []


def test_a_value_that_kubernetes_would_refuse_is_found(checkout: Path) -> None:
    broken = checkout / "deploy" / "k8s" / "base" / "billing.yaml"
    broken.write_text(broken.read_text().replace("kind: Service\n", "kind: Sevrice\n", 1))
    assert any("Sevrice" in said for said in findings(checkout))


def test_a_reference_to_nothing_is_found(checkout: Path) -> None:
    (checkout / "deploy" / "k8s" / "base" / "gateway.yaml").unlink()
    assert any("gateway.yaml" in said for said in findings(checkout))
