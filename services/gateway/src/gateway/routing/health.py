"""How the deployments fare that this gateway calls: which of them rest, how fast they answer, and what retries are left.

A deployment rests when its provider says for how long, when its provider says that nothing is left of a limit, or after
several failures in a row; each further failure doubles the rest. One that answers is well again. Resting deployments are
tried last, never left out: better a slow answer than none. All of it is this process's own experience, kept in memory.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.providers.errors import ProviderFailed
from gateway.routing.plan import Deployment

MOST_DEPLOYMENTS = 4096
FAILURES_IN_A_ROW = 3
_FIRST_REST_SECONDS = 2.0
_LONGEST_REST_SECONDS = 60.0
_LONGEST_ORDERED_REST_SECONDS = 300.0
_NEW_LATENCY_WEIGHT = 0.2
_RETRIES_PER_CALL = 0.1
_MOST_RETRIES = 20.0
_RETRIES_A_SECOND = 0.2

Header = Callable[[bytes], bytes | None]
"""A header of a provider's answer, by its name in lower case."""

NOTHING_LEFT = re.compile(rb"remaining[a-z-]{0,40}:[ \t]{0,8}0[ \t]{0,8}\r")
"""How a head looks that may tell that nothing is left of a limit."""

_HEADROOM = (
    (b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    (b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
    (b"anthropic-ratelimit-requests-remaining", b""),
    (b"anthropic-ratelimit-tokens-remaining", b""),
)
"""What is left of a limit, and when it is whole again where that is a span."""
_UNTOLD_RESET_SECONDS = 1.0
_UNITS = ((b"ms", 0.001), (b"s", 1.0), (b"m", 60.0), (b"h", 3600.0))


@dataclass(slots=True)
class Standing:
    """What is known of one deployment. Instants are the monotonic clock's, in seconds."""

    deployment: Deployment
    calls: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    latency_ms: float | None = None
    rests_until: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class Health:
    """The standings of all deployments that were called lately, and the budget for calling a second one."""

    monotonic: Callable[[], float]
    _kept: OrderedDict[tuple[str, str, str], Standing] = field(default_factory=OrderedDict)
    _retries: float = _MOST_RETRIES
    _retries_at: float = 0.0

    def of(self, deployment: Deployment) -> Standing:
        """The standing of a deployment; the one that was longest not asked for is forgotten past the bound."""
        identity = deployment.identity
        found = self._kept.get(identity)
        if found is None:
            found = self._kept[identity] = Standing(deployment)
            if len(self._kept) > MOST_DEPLOYMENTS:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(identity)
        return found

    def all(self) -> list[Standing]:
        """Every standing."""
        return list(self._kept.values())

    def rests(self, deployment: Deployment) -> bool:
        """Whether a deployment should be left alone for now."""
        found = self._kept.get(deployment.identity)
        return found is not None and found.rests_until > self.monotonic()

    def latency_ms(self, deployment: Deployment) -> float | None:
        """How long it takes to begin an answer, lately; None when that is not known."""
        found = self._kept.get(deployment.identity)
        return found.latency_ms if found is not None else None

    def began_to_answer(self, deployment: Deployment, asked_at: float) -> None:
        """A deployment accepts a call that it was asked at an instant of the monotonic clock."""
        standing, latency_ms = self.of(deployment), (self.monotonic() - asked_at) * 1000
        old = standing.latency_ms
        standing.latency_ms = latency_ms if old is None else old + _NEW_LATENCY_WEIGHT * (latency_ms - old)

    def told_limits(self, deployment: Deployment, header: Header) -> None:
        """A deployment's answer may tell that nothing is left of a limit of its provider's."""
        for remaining, reset in _HEADROOM:
            if header(remaining) == b"0":
                self._rest(
                    self.of(deployment), _span(header(reset) if reset else None), "nothing is left of its rate limit"
                )

    def succeeded(self, deployment: Deployment) -> None:
        """A deployment has answered a call."""
        standing = self.of(deployment)
        standing.calls += 1
        if standing.failures_in_a_row:
            standing.failures_in_a_row = 0
            standing.rests_until = 0.0

    def failed(self, deployment: Deployment, failure: ProviderFailed) -> None:
        """A deployment has failed a call; it rests where that is what the class of failure, or its provider, asks for."""
        standing = self.of(deployment)
        standing.calls += 1
        if not failure.row.cools_down:
            return
        standing.failures += 1
        standing.failures_in_a_row += 1
        further = standing.failures_in_a_row - FAILURES_IN_A_ROW
        if failure.retry_after_ms is not None:
            seconds = min(failure.retry_after_ms / 1000, _LONGEST_ORDERED_REST_SECONDS)
            self._rest(standing, seconds, f"{failure.row.reason}: told when to come back")
        elif further >= 0:
            seconds = min(_FIRST_REST_SECONDS * 2.0 ** min(further, 16), _LONGEST_REST_SECONDS)
            self._rest(standing, seconds, f"{failure.row.reason}: {standing.failures_in_a_row} failures in a row")

    def call_began(self) -> None:
        """Ten calls earn one retry."""
        self._retries = min(_MOST_RETRIES, self._retries + _RETRIES_PER_CALL)

    def may_retry(self) -> bool:
        """Whether a call may ask a second deployment, and takes that from the budget: when everything fails, calls must
        not become twice as many. A little grows back by itself, for gateways with few calls."""
        now = self.monotonic()
        self._retries = min(_MOST_RETRIES, self._retries + (now - self._retries_at) * _RETRIES_A_SECOND)
        self._retries_at = now
        if self._retries < 1.0:
            return False
        self._retries -= 1.0
        return True

    def _rest(self, standing: Standing, seconds: float, reason: str) -> None:
        until = self.monotonic() + seconds
        if until > standing.rests_until:
            standing.rests_until, standing.reason = until, reason


def _span(value: bytes | None) -> float:
    """Seconds of `20ms`, `1s`, `6m0s`, `2.5`; a second for what is none of these, and never more than a minute."""
    rest, total = value or b"", 0.0
    while rest:
        digits = len(rest) - len(rest.lstrip(b"0123456789."))
        unit = next((one for one in _UNITS if rest[digits:].startswith(one[0])), (b"", 1.0))
        try:
            total += float(rest[:digits]) * unit[1]
        except ValueError:
            return _UNTOLD_RESET_SECONDS
        if not unit[0] and rest[digits:]:
            return _UNTOLD_RESET_SECONDS
        rest = rest[digits + len(unit[0]) :]
    return min(total, _LONGEST_REST_SECONDS) or _UNTOLD_RESET_SECONDS
