"""Errors that time cures: what Postgres' driver raises while the database is away, or would rather be asked again.

Whoever waits an outage out, and whoever tells a client to try again, must mean the same errors.
"""

from __future__ import annotations

import asyncpg

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""For who tries the same again in any case. The last is raised when a query is sent in the moment between the server's
farewell on a connection and its end: the driver takes that for a mistake of its own."""

ASK_AGAIN = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # it is starting, or being stopped
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TransactionRollbackError,  # a deadlock, whose other half went through
    asyncpg.InternalClientError,
)
"""For who would not: none of these can be the question's fault."""
