"""What stops the runner: one kind of error, whose text is the one line that a person reads."""

from __future__ import annotations

from common.errors import TollgateError


class RunnerError(TollgateError):
    """Something the runner cannot go on without; the message says what, why, and what to do, without secrets."""

    code = "runner_error"
