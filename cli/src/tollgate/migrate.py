"""Brings the database and the bus to what this release needs: `migrate` and `provision`.

One schema and role a service, each with its own password; then the views of schema `guide`, which look across schemas
and so are nobody's but the owner's. How a migration runs is `common.postgres.migrate`'s, what the bus holds
`common.contracts.topology`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.resources import files

import asyncpg
import nats.errors
from common.bus.provision import provision
from common.contracts.topology import SERVICES
from common.outages import AWAY
from common.postgres.migrate import migrate_service

from tollgate.errors import RunnerError
from tollgate.reach import address_of

_PROVISION_SECONDS = 60.0


async def migrate_all(owner_url: str, passwords: Mapping[str, str]) -> list[str]:
    """Migrate every service's schema (`passwords` by schema) and the guide's views; returns `schema/file` applied."""
    applied: list[str] = []
    for service in (service for service in SERVICES if service.has_schema):
        try:
            names = await migrate_service(
                owner_url, schema=service.package, password=passwords[service.package], package=service.package
            )
        except AWAY as error:
            raise RunnerError(f"migrating {service.package} on {address_of(owner_url)} failed: {error}") from error
        applied += [f"{service.package}/{name}" for name in names]
    await _apply_guide(owner_url)
    return applied


async def provision_all(nats_url: str) -> list[str]:
    """Create or update streams, buckets and consumers; returns what was created."""
    try:
        async with asyncio.timeout(_PROVISION_SECONDS):
            return await provision(nats_url)
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise RunnerError(f"provisioning {address_of(nats_url)} failed: {error or type(error).__name__}") from error


async def _apply_guide(owner_url: str) -> None:
    sql = (files("tollgate") / "guide.sql").read_text(encoding="utf-8")
    if not [line for line in sql.splitlines() if line.strip() and not line.startswith("--")]:
        return  # the driver takes no text without a statement
    try:
        connection = await asyncpg.connect(owner_url, timeout=10)
        try:
            async with connection.transaction():
                await connection.execute(sql)
        finally:
            await connection.close()
    except AWAY as error:
        raise RunnerError(f"the views of schema guide could not be made: {error}") from error
