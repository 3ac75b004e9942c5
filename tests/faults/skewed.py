"""Starts a service whose clock is off: `python skewed.py SECONDS PACKAGE`.

The wall clock of one process cannot be set, and a preloaded library does not reach every program; but here all instants
come from `common.clock` and all ids from `time` (a lint test holds that), so both are moved before the service begins.
The monotonic clock goes on as it is.
"""

from __future__ import annotations

import runpy
import sys
import time
from datetime import datetime, timedelta


def move_clock(seconds: float) -> None:
    """Let this process believe that it is so much later."""
    from common import clock  # only the service's own process may be changed

    true_now, true_time, true_time_ns = clock.SystemClock.now, time.time, time.time_ns

    def now(self: clock.SystemClock) -> datetime:
        return true_now(self) + timedelta(seconds=seconds)

    clock.SystemClock.now = now  # type: ignore[method-assign]
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + int(seconds * 1_000_000_000)


if __name__ == "__main__":
    move_clock(float(sys.argv[1]))
    package = sys.argv[2]
    sys.argv = [package]
    runpy.run_module(package, run_name="__main__", alter_sys=True)
