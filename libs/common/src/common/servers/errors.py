"""The one error of this package: a server could not be found, configured, started or reached."""

from __future__ import annotations

from common.errors import Unavailable


class ServerError(Unavailable):
    """Says in one line, without secrets, which server failed, why, and what a person can do about it."""

    code = "server_unavailable"
