"""Migrations: numbered SQL files, forward only, checksummed, one runner at a time.

Run by the `migrate` command with the owner's URL, never by a service's start. For each service it makes the schema and
a role of the same name that may use that schema and nothing else; the tables belong to the owner, so that what a
service may not do to its own tables (rewrite the ledger) is a matter of grants.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from common.errors import TollgateError

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
_LOCK = 0x746F6C6C  # one advisory lock for all services: migrations run one after the other


class MigrationError(TollgateError):
    """A migration was changed after it ran, is missing, or has an impossible name."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name and its text."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_of(package: str) -> list[Migration]:
    """The migrations of a service's package, in order."""
    folder = files(package) / "migrations"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    for entry in found:
        if not _NAME.match(entry.name):
            raise MigrationError(f"{package}: {entry.name} should be named NNNN_what_it_does.sql")
    return [Migration(entry.name, entry.read_text(encoding="utf-8")) for entry in found]


async def migrate_service(owner_url: str, *, schema: str, password: str, package: str) -> list[str]:
    """Bring one service's schema up to date; returns the names of what was applied.

    Raises MigrationError when an applied file has changed, asyncpg.PostgresError when one fails (its transaction is
    rolled back, the earlier ones stay).
    """
    if not _IDENTIFIER.match(schema):
        raise MigrationError(f"not a schema name: {schema!r}")
    connection = await asyncpg.connect(owner_url, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await _make_role(connection, schema, password)
        return await _apply(connection, schema, migrations_of(package))
    finally:
        await connection.close()


async def _make_role(connection: asyncpg.Connection[asyncpg.Record], schema: str, password: str) -> None:
    # Identifiers cannot be parameters: `schema` was checked above; format(%L) quotes the password on the server.
    exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", schema)
    if not exists:
        await connection.execute(f'CREATE ROLE "{schema}" NOINHERIT LOGIN')
    literal = await connection.fetchval("SELECT format('%L', $1::text)", password)
    await connection.execute(f'ALTER ROLE "{schema}" PASSWORD {literal}')
    await connection.execute(f'ALTER ROLE "{schema}" SET search_path = "{schema}"')
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    await connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO "{schema}"')


async def _apply(connection: asyncpg.Connection[asyncpg.Record], schema: str, migrations: list[Migration]) -> list[str]:
    await connection.execute(f'SET search_path = "{schema}"')
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS applied_migrations"
        " (name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT name, checksum FROM applied_migrations")
    applied = {str(row["name"]): str(row["checksum"]) for row in rows}
    known = {migration.name for migration in migrations}
    for name in applied:
        if name not in known:
            raise MigrationError(f"{schema}: {name} was applied but is not in this release")
    done: list[str] = []
    for migration in migrations:
        if migration.name in applied:
            if applied[migration.name] != migration.checksum:
                raise MigrationError(f"{schema}: {migration.name} has changed since it was applied")
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO applied_migrations (name, checksum) VALUES ($1, $2)", migration.name, migration.checksum
            )
        done.append(migration.name)
    return done
