"""The tree of what can go wrong on purpose.

    TollgateError                      has `status`, `code`, `message`; one handler renders it
    ├─ BadRequest        400           ├─ Unauthorized   401
    ├─ Forbidden         403           ├─ NotFound       404
    ├─ Conflict          409           ├─ Unprocessable  422
    ├─ TooManyRequests   429           └─ Unavailable    503   (+ Retry-After)

A service's own errors are small subclasses beside the code that raises them. Whatever is not in this tree is a bug and
becomes a 500 without details. Messages are for people and carry no secret.
"""

from __future__ import annotations

from typing import ClassVar


class TollgateError(Exception):
    """Something expected went wrong; says which HTTP status and stable code it becomes."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class BadRequest(TollgateError):
    """The request cannot be meant."""

    status, code = 400, "bad_request"


class Unauthorized(TollgateError):
    """Who calls is not known."""

    status, code = 401, "unauthorized"


class Forbidden(TollgateError):
    """Who calls may not do this."""

    status, code = 403, "forbidden"


class NotFound(TollgateError):
    """There is no such thing, or not for this caller."""

    status, code = 404, "not_found"


class Conflict(TollgateError):
    """The thing is already there, or no longer as the caller thinks."""

    status, code = 409, "conflict"


class Unprocessable(TollgateError):
    """Well-formed, but a value makes no sense."""

    status, code = 422, "unprocessable"


class TooManyRequests(TollgateError):
    """Too often in too short a time."""

    status, code = 429, "too_many_requests"


class Unavailable(TollgateError):
    """Something that is needed is away; trying again later may work."""

    status, code = 503, "unavailable"
