"""What the gateway counts: plain integers on the hot path, written out as Prometheus text when asked.

A metric object with labels costs several microseconds an increment; an integer in a dictionary does not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping

_BUCKETS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000)


class Counts:
    """Counters and a histogram of one process; `gauges` are asked when the text is written."""

    def __init__(self, gauges: Mapping[str, Callable[[], int | float]]) -> None:
        self._gauges = gauges
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_BUCKETS_MS) + 1)
        self._sum_ms = 0
        self.running = 0

    def request(self, route: str, status: int, milliseconds: int) -> None:
        """One answered request."""
        self._requests[route, status] += 1
        self._sum_ms += milliseconds
        self._buckets[bisect_left(_BUCKETS_MS, milliseconds)] += 1

    def text(self) -> str:
        """All of it in Prometheus' text format."""
        lines = ["# TYPE tollgate_gateway_requests_total counter"]
        for (route, status), count in sorted(self._requests.items()):
            lines.append(f'tollgate_gateway_requests_total{{route="{route}",status="{status}"}} {count}')
        lines += ["# TYPE tollgate_gateway_request_seconds histogram", *self._histogram()]
        for name, ask in self._gauges.items():
            lines += [f"# TYPE tollgate_gateway_{name} gauge", f"tollgate_gateway_{name} {ask()}"]
        lines += ["# TYPE tollgate_gateway_running gauge", f"tollgate_gateway_running {self.running}"]
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[str]:
        total, lines = 0, []
        for edge, count in zip((*_BUCKETS_MS, None), self._buckets, strict=True):
            total += count
            upper = "+Inf" if edge is None else f"{edge / 1000:g}"
            lines.append(f'tollgate_gateway_request_seconds_bucket{{le="{upper}"}} {total}')
        lines.append(f"tollgate_gateway_request_seconds_sum {self._sum_ms / 1000}")
        lines.append(f"tollgate_gateway_request_seconds_count {total}")
        return lines
