"""Remembers what recent requests were understood as and what was written for them, byte for byte the same request.

An answer follows from the request alone (and from the second it is dated with), so writing it again would only cost
time; benchmarks send the same request over and over, beside what they measure. Nothing here changes an answer.
"""

from __future__ import annotations

import msgspec

from simulator.answers import Answer
from simulator.faults import Directives
from simulator.prompts import Prompt
from simulator.streams import StreamPlan

MOST_KEPT = 128
LONGEST_REQUEST = 16 * 1024
LONGEST_ANSWER = 128 * 1024


class Prepared(msgspec.Struct):
    """A request understood, and once it has been answered, its answer as written in one second."""

    prompt: Prompt
    directives: Directives
    is_ruled: bool = False
    """Whether a standing rule had a say, which the next such request need not meet."""
    answer: Answer | None = None
    created: int = -1
    """The second, since 1970, for which `body` or `plan` was written."""
    body: bytes = b""
    plan: StreamPlan | None = None


class PreparedRequests:
    """The requests remembered, bounded in number and size; all are forgotten when there are too many."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bytes], Prepared] = {}

    def get(self, kept_as: str, body: bytes) -> Prepared | None:
        """What this body was understood as, if it is remembered."""
        return self._kept.get((kept_as, body))

    def keep(self, kept_as: str, body: bytes, prepared: Prepared) -> None:
        """Remembers it, unless it is long or its answer depends on more than the body."""
        if prepared.is_ruled or prepared.directives.echo or len(body) > LONGEST_REQUEST:
            return
        if len(prepared.body) + sum(map(len, prepared.plan.frames if prepared.plan else ())) > LONGEST_ANSWER:
            return
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[kept_as, body] = prepared
