"""What a provider's failure means: one row a class, with its consequences. Pure.

Each class says whether another deployment may be tried, whether this one should rest, and which status, type and reason
the client sees. The client is never told that *our* credential was refused with a 401, since its own is fine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

FailureClass = Literal[
    "bad_request",
    "untranslatable",
    "not_found",
    "auth",
    "rate_limited",
    "unavailable",
    "timeout",
    "unreachable",
    "broken",
]


@dataclass(frozen=True, slots=True)
class FailureRow:
    """The consequences of a class of failure. `client_status` None: the provider's own status goes through. `passes_soon`:
    the same deployment may answer a moment later."""

    falls_back: bool
    cools_down: bool
    client_status: int | None
    reason: str
    may_have_cost: bool = False
    passes_soon: bool = False


FAILURES: Mapping[FailureClass, FailureRow] = MappingProxyType(
    {
        "bad_request": FailureRow(False, False, None, "provider_rejected"),
        "untranslatable": FailureRow(True, False, None, "unsupported_by_provider"),
        "not_found": FailureRow(True, False, None, "provider_rejected"),
        "auth": FailureRow(True, True, 502, "provider_auth_failed"),
        "rate_limited": FailureRow(True, True, 429, "provider_rate_limited"),
        "unavailable": FailureRow(True, True, 502, "provider_error", passes_soon=True),
        "timeout": FailureRow(True, True, 504, "provider_timeout", may_have_cost=True),
        "unreachable": FailureRow(True, True, 502, "provider_error", passes_soon=True),
        "broken": FailureRow(True, True, 502, "provider_error", may_have_cost=True),
    }
)


def class_of_status(status: int) -> FailureClass:
    """The class of an HTTP status that a provider answered with."""
    if status in (401, 403):
        return "auth"
    if status == 404:
        return "not_found"
    if status == 429:
        return "rate_limited"
    if status in (408, 504):
        return "timeout"
    return "bad_request" if 400 <= status < 500 else "unavailable"


def untranslatable(message: str, param: str | None = None) -> ProviderFailed:
    """A request that a provider's language has no word for: nothing was sent, and another deployment may know one."""
    return ProviderFailed(
        "untranslatable",
        message,
        status=400,
        error_type="invalid_request_error",
        param=param,
        code="unsupported_parameter",
        was_sent=False,
    )


class ProviderFailed(Exception):
    """An attempt failed. `message`, `type`, `param` and `code` are the provider's own where it gave any."""

    def __init__(
        self,
        failure: FailureClass,
        message: str,
        *,
        status: int | None = None,
        error_type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after_ms: int | None = None,
        was_sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.failure: FailureClass = failure
        self.message = message
        self.status = status
        self.error_type = error_type
        self.param = param
        self.code = code
        self.retry_after_ms = retry_after_ms
        self.was_sent = was_sent

    @property
    def row(self) -> FailureRow:
        """Its consequences."""
        return FAILURES[self.failure]

    @property
    def client_status(self) -> int:
        """The status that the client sees."""
        return self.row.client_status or self.status or 502
