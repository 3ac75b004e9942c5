"""What the limits' decisions look like to a client. Pure."""

from __future__ import annotations

from common.budgets import is_attempt_scope

from gateway.limits.limiter import Admitted, Refused
from gateway.shapes import Header, Refusal, duration

_WINDOW_MS = 60_000


def is_of_place(refused: Refused) -> bool:
    """Whether only the budget of a provider or model refuses, so that another deployment may still do."""
    return refused.budget is not None and is_attempt_scope(refused.budget.scope)


def refusal_of(refused: Refused) -> Refusal:
    """The refusal that a decision of the limits becomes."""
    match refused.why:
        case "revoked":
            return Refusal("invalid_api_key")
        case "budget":
            waits, period = refused.is_waiting, refused.budget.kind if refused.budget is not None else "monthly"
            return Refusal(
                "budget_exceeded", period, retry_after_ms=1000 if waits else None, should_retry=waits or None
            )
        case "quota":
            return Refusal("quota_exceeded")
        case "rate" | "tokens":
            return Refusal("rate_limit_exceeded", retry_after_ms=refused.retry_ms)
        case "concurrency":
            return Refusal("rate_limit_exceeded", retry_after_ms=1000)
        case "closed":
            return Refusal("service_unavailable", "limits cannot be checked right now", retry_after_ms=1000)


def limit_headers(admitted: Admitted) -> list[Header]:
    """`x-ratelimit-*` of an admitted call, by the limits that have the least left; nothing where there is no limit."""
    headers: list[Header] = []
    if admitted.rate_limit:
        headers += _three(b"requests", admitted.rate_limit, admitted.rate_remaining)
    if admitted.token_limit:
        headers += _three(b"tokens", admitted.token_limit, admitted.token_remaining)
    return headers


def refused_headers(refused: Refused) -> list[Header]:
    """`x-ratelimit-*` of a call that a limit of a minute refused."""
    if refused.why == "rate":
        return _three(b"requests", refused.limit, 0, refused.retry_ms or _WINDOW_MS)
    if refused.why == "tokens":
        return _three(b"tokens", refused.limit, 0, refused.retry_ms or _WINDOW_MS)
    return []


def _three(what: bytes, limit: int, remaining: int, reset_ms: int = _WINDOW_MS) -> list[Header]:
    return [
        (b"x-ratelimit-limit-" + what, b"%d" % limit),
        (b"x-ratelimit-remaining-" + what, b"%d" % max(0, remaining)),
        (b"x-ratelimit-reset-" + what, duration(reset_ms)),
    ]
