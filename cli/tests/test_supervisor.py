"""The supervisor, on tiny real children: crashed ones come back, ever later; all of them go when it says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from common.servers.child import Child, start_child
from common.servers.errors import ServerError
from tollgate.supervisor import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STABLE_SECONDS, Supervisor, Unit


class Watch:
    """A supervisor with what it said and what pids it told."""

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.told: list[dict[str, int]] = []
        self.supervisor = Supervisor(self.said.append, self._told, monotonic)

    def _told(self, pids: Mapping[str, int]) -> None:
        self.told.append(dict(pids))

    def unit(self, name: str, script: str = "exec sleep 60", grace_seconds: float = 5.0) -> Unit:
        def start() -> Child:
            return start_child(
                name, ["/bin/sh", "-c", script], env={"PATH": os.defpath}, log_path=self.folder / f"{name}.log"
            )

        return Unit(name, start, grace_seconds)

    def poll_until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.said
            self.supervisor.poll()
            time.sleep(0.02)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path)
    yield made
    made.supervisor.stop(list(made.supervisor.pids), lambda: True)


def test_a_killed_child_is_replaced_within_a_second_and_its_pid_is_told(watch: Watch) -> None:
    first = watch.supervisor.start(watch.unit("billing")).pid
    os.kill(first, signal.SIGKILL)
    began = time.monotonic()
    watch.poll_until(lambda: watch.supervisor.pids.get("billing", first) != first)
    assert time.monotonic() - began < 1.0
    assert watch.told[0] == {"billing": first}
    assert watch.told[1] == {}
    assert watch.told[-1] == watch.supervisor.pids
    assert "billing ended with signal SIGKILL" in watch.said[0]


def test_what_a_crashed_child_had_started_does_not_live_on(watch: Watch) -> None:
    first = watch.supervisor.start(watch.unit("gateway", "sleep 60 & echo $!; wait"))
    log = watch.folder / "gateway.log"
    watch.poll_until(lambda: bool(log.read_text()))
    grandchild = int(log.read_text().split()[0])
    os.kill(first.pid, signal.SIGKILL)
    watch.poll_until(lambda: watch.supervisor.pids.get("gateway", first.pid) != first.pid)
    watch.poll_until(lambda: not is_alive(grandchild))


def test_one_that_keeps_crashing_comes_back_ever_later_up_to_a_bound(tmp_path: Path) -> None:
    now = [0.0]
    watch = Watch(tmp_path, lambda: now[0])
    watch.supervisor.start(watch.unit("broken", "exit 3"))
    pauses = []
    for _ in range(9):
        watch.poll_until(lambda: "broken" not in watch.supervisor.pids)
        crashed_at = now[0]
        while "broken" not in watch.supervisor.pids:
            now[0] += 0.0625
            watch.supervisor.poll()
        pauses.append(now[0] - crashed_at)
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(FIRST_PAUSE_SECONDS, abs=0.07)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_SECONDS, abs=0.07)
    watch.supervisor.stop(["broken"])


def test_one_that_ran_long_enough_is_restarted_quickly_again(tmp_path: Path) -> None:
    now = [0.0]
    watch = Watch(tmp_path, lambda: now[0])
    watch.supervisor.start(watch.unit("flaky"))
    for _ in range(5):
        os.kill(watch.supervisor.pids["flaky"], signal.SIGKILL)
        watch.poll_until(lambda: "flaky" not in watch.supervisor.pids)
        now[0] += LONGEST_PAUSE_SECONDS
        watch.supervisor.poll()
    now[0] += STABLE_SECONDS + 1
    watch.supervisor.poll()
    os.kill(watch.supervisor.pids["flaky"], signal.SIGKILL)
    watch.poll_until(lambda: "flaky" not in watch.supervisor.pids)
    assert f"in {FIRST_PAUSE_SECONDS:g} s" in watch.said[-1]
    watch.supervisor.stop(["flaky"])


def test_a_restart_that_fails_is_tried_again(watch: Watch) -> None:
    working = watch.unit("nats")
    fails = [False, True, True, False]

    def start() -> Child:
        if fails.pop(0):
            raise ServerError("port taken")
        return working.start()

    watch.supervisor.start(Unit("nats", start))
    os.kill(watch.supervisor.pids["nats"], signal.SIGKILL)
    watch.poll_until(lambda: not fails)
    assert sum("nats does not start: port taken" in line for line in watch.said) == 2
    assert "nats" in watch.supervisor.pids


def test_stopping_asks_all_at_once_and_kills_only_those_that_do_not_go(watch: Watch) -> None:
    polite = watch.supervisor.start(watch.unit("polite"))
    deaf = watch.supervisor.start(watch.unit("deaf", "trap '' TERM; while true; do sleep 0.1; done", grace_seconds=0.5))
    time.sleep(0.2)  # until the trap is set
    watch.supervisor.stop(["polite", "deaf", "never started"])
    assert polite.exit_code() == -signal.SIGTERM
    assert deaf.exit_code() == -signal.SIGKILL
    assert watch.supervisor.pids == {}
    assert [line for line in watch.said if "was killed" in line] == [watch.said[-1]]


def test_a_stopped_one_is_not_restarted(watch: Watch) -> None:
    watch.supervisor.start(watch.unit("gateway"))
    watch.supervisor.stop(["gateway"])
    watch.supervisor.poll()
    assert watch.supervisor.pids == {}
    assert watch.said == []


def test_hurry_does_not_wait_for_the_grace(watch: Watch) -> None:
    watch.supervisor.start(watch.unit("deaf", "trap '' TERM; while true; do sleep 0.1; done", grace_seconds=30))
    time.sleep(0.2)
    began = time.monotonic()
    watch.supervisor.stop(["deaf"], lambda: True)
    assert time.monotonic() - began < 2


def test_no_child_survives_a_killed_supervisor(tmp_path: Path) -> None:
    script = f"""
import os, time
from pathlib import Path
from common.servers.child import start_child
from tollgate.supervisor import Supervisor, Unit
folder = Path({str(tmp_path)!r})
supervisor = Supervisor(print, lambda pids: None)
def start(name):
    return lambda: start_child(name, ["/bin/sleep", "60"], env={{}}, log_path=folder / name)
for name in ("a", "b", "c"):
    supervisor.start(Unit(name, start(name)))
print(*supervisor.pids.values(), flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len([pid for pid in pids if is_alive(pid)]) == 3
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and waits to be noticed does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
