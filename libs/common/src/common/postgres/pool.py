"""A pool of connections to one service's schema.

The role's own search path leads to its schema (`migrate` sets it), so SQL names its tables plainly. JSON columns come
and go as Python objects, with exact decimals.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TypeAlias

import asyncpg

# Strings: asyncpg's classes are generic for the type checker only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_CONNECT_SECONDS = 5.0
_COMMAND_SECONDS = 30.0


async def open_pool(url: str, *, max_size: int = 10, application: str) -> Pool:
    """Open a pool; raises OSError or asyncpg.PostgresError when the server cannot be reached."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=max_size,
        timeout=_CONNECT_SECONDS,
        command_timeout=_COMMAND_SECONDS,
        init=_speak_json,
        server_settings={"application_name": application},
    )


async def _speak_json(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_encode, decoder=_decode)


def _encode(value: object) -> str:
    return json.dumps(value, default=str)


def _decode(text: str) -> object:
    return json.loads(text, parse_float=Decimal)
