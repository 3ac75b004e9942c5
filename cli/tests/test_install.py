"""The installer's own rules: what it takes from the locks, when it has work to do, what it says when it cannot."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = """\
urllib3==2.8.0 \\
    --hash=sha256:aa
    # via requests
uv==0.13.8 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via workspace
uvicorn==0.54.0 \\
    --hash=sha256:dd
"""


@pytest.fixture
def installer() -> ModuleType:
    """The installer as a module; it is a script outside every package."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "cli" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_packages_block_is_cut_out_with_all_its_hashes(installer: ModuleType) -> None:
    block = installer.locked_block(LOCK, "uv")
    assert block.startswith("uv==0.13.8 \\\n")
    assert "sha256:bb" in block
    assert "sha256:cc" in block
    assert "uvicorn" not in block
    assert "sha256:aa" not in block
    assert installer.package_count(LOCK) == 3


def test_a_lock_without_uv_is_refused(installer: ModuleType) -> None:
    with pytest.raises(installer.InstallError, match="must pin uv exactly once"):
        installer.locked_block("uvicorn==1 \\\n    --hash=sha256:dd\n", "uv")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_the_committed_locks_pin_everything_with_hashes_and_name_no_address(installer: ModuleType, name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    assert "@ " not in lock
    assert installer.package_count(lock) > 50
    for line in lock.splitlines():
        if line and not line.startswith(" "):
            assert "--hash=sha256:" in installer.locked_block(lock, line.split("==")[0]), line


def test_the_tests_lock_holds_what_the_products_lock_holds(installer: ModuleType) -> None:
    def pins(name: str) -> set[str]:
        return {line.rstrip(" \\") for line in (ROOT / name).read_text().splitlines() if line[:1].isalnum()}

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_every_package_of_the_workspace_is_installed(installer: ModuleType) -> None:
    found = {str(member.relative_to(ROOT)) for member in installer.workspace_members(ROOT)}
    packages = {path for folder in ("libs", "services", "cli") for path in (ROOT / folder).rglob("pyproject.toml")}
    assert found == {str(path.parent.relative_to(ROOT)) for path in packages}


def test_a_changed_pyproject_or_lock_means_work(installer: ModuleType, tmp_path: Path) -> None:
    lock, member = tmp_path / "lock", tmp_path / "member"
    member.mkdir()
    lock.write_text("a")
    (member / "pyproject.toml").write_text("x")
    before = installer.fingerprint(lock, [member])
    assert installer.fingerprint(lock, [member]) == before
    (member / "pyproject.toml").write_text("y")
    changed = installer.fingerprint(lock, [member])
    lock.write_text("b")
    assert len({before, changed, installer.fingerprint(lock, [member])}) == 3


def test_what_would_lead_pip_and_uv_astray_is_left_out(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("SSL_CERT_FILE", "/kept")
    made = installer.environment(UV_SYSTEM_CERTS="1")
    assert {"PYTHONHOME", "PIP_TARGET"}.isdisjoint(made)
    assert (made["SSL_CERT_FILE"], made["UV_SYSTEM_CERTS"]) == ("/kept", "1")


def test_without_a_home_to_write_to_no_cache_is_kept(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr(installer.os, "access", lambda path, mode: not str(path).startswith("/proc"))
    assert installer.cache_setting() == {"UV_NO_CACHE": "1"}
    monkeypatch.setenv("HOME", "/tmp")
    assert installer.cache_setting() == {}


def test_a_failing_command_shows_its_end_and_one_line(
    installer: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "import sys\nfor n in range(100): print('line', n)\nsys.exit(7)"
    with pytest.raises(installer.InstallError, match="failed with exit code 7"):
        installer.run([sys.executable, "-c", script])
    shown = capsys.readouterr().err.split("\n")
    assert "    line 99" in shown
    assert "    line 50" not in shown


@pytest.mark.parametrize(
    ("uid", "apt", "message"),
    [
        (1000, "/usr/bin/apt-get", r"run: sudo apt-get update && sudo apt-get install -y python3\.\d+-venv"),
        (1000, None, "lacks the venv and ensurepip modules: install them first"),
        (0, None, "lacks the venv and ensurepip modules: install them first"),
    ],
)
def test_a_python_without_venv_says_in_one_line_what_to_run(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, uid: int, apt: str | None, message: str
) -> None:
    monkeypatch.setattr(installer, "has_ensurepip", lambda: False)
    monkeypatch.setattr(installer.shutil, "which", lambda name: apt)
    monkeypatch.setattr(installer.os, "geteuid", lambda: uid)
    with pytest.raises(installer.InstallError, match=message):
        installer.require_ensurepip()


def test_as_root_on_debian_venv_is_installed_by_apt(installer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(installer, "has_ensurepip", lambda: bool(ran))
    monkeypatch.setattr(installer.shutil, "which", lambda name: "/usr/bin/apt-get")
    monkeypatch.setattr(installer.os, "geteuid", lambda: 0)
    monkeypatch.setattr(installer, "run", lambda command, **settings: ran.append(command))
    installer.require_ensurepip()
    assert [command[1] for command in ran] == ["update", "install"]
    assert ran[1][-1] == f"python3.{sys.version_info.minor}-venv"


def test_an_old_python_gets_as_far_as_saying_that_it_is_too_old(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installer.sys, "version_info", (3, 9, 2))
    with pytest.raises(installer.InstallError, match=r"Python 3\.11 or newer is needed, this is 3\.9\.2"):
        installer.require_version()


def test_make_alone_lists_what_it_can_do() -> None:
    said = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    for target in ("run", "up", "down", "test", "test-slow", "lint", "bench", "lock", "clean"):
        assert f"make {target} " in said
