"""The runner's folder: one runner at a time, its run.json, and what a killed one leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import psutil
import pytest
from tollgate.detached import stop_detached
from tollgate.errors import RunnerError
from tollgate.home import Home
from tollgate.leftovers import end_leftovers, record_children
from tollgate.runfile import RunFile, read_run_file, refuse_second
from tollgate.signals import StopSignals

HOLD = """
import sys, time
from pathlib import Path
from tollgate.home import Home
from tollgate.signals import StopSignals
with StopSignals() as signals, Home(Path(sys.argv[1])).held():
    print("held", flush=True)
    while not signals.is_requested:
        time.sleep(0.02)
"""


def run_file(**changed: object) -> RunFile:
    """A run.json with something in every field."""
    made: dict[str, object] = {field.name: field.name for field in fields(RunFile)}
    return RunFile(**made | {"services": {}, "pids": {"gateway": 1}} | changed)  # type: ignore[arg-type]


@pytest.fixture
def other_runner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    yield holder
    holder.kill()
    holder.wait()


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_a_second_runner_is_refused_with_the_firsts_pid_and_url(
    tmp_path: Path, other_runner: subprocess.Popen[str]
) -> None:
    home = Home(tmp_path)
    run_file(url="http://127.0.0.1:8080").write(home.run_file)
    assert home.holder() == other_runner.pid
    with pytest.raises(RunnerError, match=rf"already running .*pid {other_runner.pid}, http://127.0.0.1:8080"):
        refuse_second(home)
    with pytest.raises(RunnerError, match="another runner"), home.held():
        pass


def test_a_killed_runner_leaves_no_lock(tmp_path: Path, other_runner: subprocess.Popen[str]) -> None:
    other_runner.kill()
    other_runner.wait()
    assert Home(tmp_path).holder() is None
    with Home(tmp_path).held():
        assert Home(tmp_path).holder() is not None


def test_down_ends_the_runner_and_returns_when_it_is_gone(tmp_path: Path, other_runner: subprocess.Popen[str]) -> None:
    assert stop_detached(Home(tmp_path)) is True
    assert other_runner.wait(timeout=1) == 0
    assert stop_detached(Home(tmp_path)) is False


def test_down_clears_what_a_killed_runner_left(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    home = Home(tmp_path)
    home.make()
    run_file().write(home.run_file)
    record_children(home.children_file, {"nats": sleeper.pid})
    assert stop_detached(home) is False
    assert sleeper.wait(timeout=1) != 0
    assert not home.run_file.exists()


def test_run_json_holds_what_was_written_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run_file(api_key="test-key-12345").write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_run_file(path) == run_file(api_key="test-key-12345")
    public = {"url", "api_key", "admin_email", "admin_password", "demo_email", "demo_password", "database_url"}
    assert public | {"nats_url", "redis_url", "pids", "logs"} <= set(json.loads(path.read_text()))


def test_run_json_is_rewritten_with_the_pids_that_serve_now(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run_file().with_pids({"gateway": 77}).write(path)
    assert read_run_file(path).pids == {"gateway": 77}


@pytest.mark.parametrize("content", ["", "[]", '{"url": "x"}'])
def test_a_damaged_run_json_says_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunnerError, match="damaged: stop the stack"):
        read_run_file(tmp_path / "run.json")


def test_without_run_json_it_says_that_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="nothing runs here"):
        read_run_file(tmp_path / "run.json")


def test_leftovers_are_ended_once_and_forgotten(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "children.json"
    record_children(path, {"redis": sleeper.pid, "gone": 2**22 + 1})
    assert end_leftovers(path) == ["redis"]
    assert sleeper.wait(timeout=1) == -15
    assert end_leftovers(path) == []


def test_a_pid_that_is_another_programs_by_now_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    path = tmp_path / "children.json"
    began = psutil.Process(sleeper.pid).create_time()
    path.write_text(json.dumps({"redis": [sleeper.pid, began - 100]}))
    assert end_leftovers(path) == []
    assert sleeper.poll() is None


def test_a_leftover_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = subprocess.Popen(
        ["/bin/sh", "-c", "trap '' TERM; echo set; while true; do sleep 0.1; done"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert deaf.stdout is not None
    deaf.stdout.readline()
    record_children(tmp_path / "children.json", {"deaf": deaf.pid})
    began = time.monotonic()
    assert end_leftovers(tmp_path / "children.json", grace_seconds=0.3) == ["deaf"]
    assert deaf.wait(timeout=1) == -9
    assert time.monotonic() - began < 3


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunnerError, match=r"file/home cannot be used as the runner's folder: Not a directory"):
        Home(tmp_path / "file" / "home").make()


def test_a_request_to_stop_is_noted_and_only_a_later_one_is_insisting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("tollgate.signals.time.monotonic", lambda: now[0])
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as signals:
        assert not signals.is_requested
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # make passes the same Ctrl-C on
        assert signals.is_requested
        assert not signals.is_insisted
        now[0] = 1.0
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.is_insisted
    assert signal.getsignal(signal.SIGINT) == before


def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.is_requested
    finally:
        signal.signal(signal.SIGHUP, before)
