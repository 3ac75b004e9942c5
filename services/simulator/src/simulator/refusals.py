"""A call that is refused instead of answered, in words that belong to no wire.

Whatever decides that a call fails raises `Refusal`; the wire that the call came in by turns it into the body its
provider would send.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Refusal(Exception):
    """Why a call fails: the HTTP status and what the provider says of it.

    `kind` and `code` are the provider's machine-readable words (None: the wire's usual ones for that status);
    `param` names the member of the request that is at fault; `retry_after` is in seconds.
    """

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        kind: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or f"HTTP {status}")
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after = retry_after


@contextmanager
def as_described() -> Iterator[None]:
    """While inside, a request that is not as its API describes it is refused, as a provider would; never a crash."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Refusal(400, "The request is not as the API describes it.", kind="invalid_request_error") from error
