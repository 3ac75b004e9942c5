"""Only `common.clock` and `common.ids` ask the machine for the time of day; everybody else is given a clock.

Code that makes its own timestamps cannot be tested at the end of a month. Monotonic time, which only measures, is free.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .tree import Source, place, shipped

ASKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}

# common's two; the simulator, which plays a provider with its own clock and shares no code; what runs beside the product.
ALLOWED = (
    "libs/common/src/common/clock.py",
    "libs/common/src/common/ids.py",
    "libs/common/src/common/servers/",
    "services/simulator/",
    "cli/",
    "benchmarks/",
)


def clock_reads(source: Source) -> Iterator[str]:
    """Where a module asks the machine for the time."""
    if source.name.startswith(ALLOWED):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ".".join(ast.unparse(node.func).split(".")[-2:]) in ASKS:
            yield place(source, node)


def test_nothing_makes_its_own_timestamps() -> None:
    assert [at for source in shipped() for at in clock_reads(source)] == []


def test_asking_the_machine_is_found_in_every_form() -> None:
    for text in ("datetime.now(UTC)", "datetime.datetime.utcnow()", "time.time()", "time.time_ns()"):
        assert list(clock_reads(Source("a/flows.py", text)))
    assert not list(clock_reads(Source("a/flows.py", "clock.now(); time.monotonic()")))
