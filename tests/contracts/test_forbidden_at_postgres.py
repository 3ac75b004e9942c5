"""What PostgreSQL itself refuses each service: schemas of others, its own tables' shape, and history once it is written.

All schemas stand in one database, as in a real stack; every table of every other service is tried.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio
from common.contracts.topology import SERVICES
from common.testing.servers import TestDatabase

SCHEMAS = tuple(service.package for service in SERVICES if service.has_schema)
_NOTHING = "WHERE false"
OF_THE_OWNER = (
    "CREATE TABLE {own}.mine (a int)",
    "CREATE FUNCTION {own}.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE public.mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE EXTENSION dblink",
    "ALTER ROLE {own} SUPERUSER",
    "ALTER SCHEMA {own} OWNER TO {own}",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "SELECT pg_reload_conf()",
    "SET log_statement = 'none'",
    "SELECT * FROM {own}.applied_migrations",
    "UPDATE {own}.applied_migrations SET checksum = ''",
)
HISTORY = (
    ("billing", "UPDATE ledger_entries SET amount = 0"),
    ("billing", "DELETE FROM ledger_entries"),
    ("billing", "TRUNCATE ledger_entries"),
    ("billing", "ALTER TABLE ledger_entries DISABLE TRIGGER ALL"),
    ("billing", "DELETE FROM usage_event_ids"),
    ("billing", "UPDATE statements SET year = 2000"),
    ("billing", "DELETE FROM closed_months"),
    ("billing", "SELECT begin_rebuild()"),
    ("keyvault", "UPDATE audit_entries SET id = id"),
    ("keyvault", "DELETE FROM audit_entries"),
    ("keyvault", "TRUNCATE audit_entries"),
    ("keyvault", "DELETE FROM credentials"),
    ("catalog-sync", "UPDATE prices SET model_id = model_id"),
    ("catalog-sync", "DELETE FROM prices"),
    ("analytics", "UPDATE requests SET request_id = request_id"),
    ("analytics", "TRUNCATE requests"),
)


@dataclass(frozen=True)
class House:
    """One database with the schemas of all services; a login for each."""

    urls: dict[str, str]
    tables: dict[str, list[str]]
    logins: dict[str, asyncpg.Connection[asyncpg.Record]]

    async def said(self, schema: str, statement: str) -> str:
        """What the server says to a statement of a service: empty when it does it."""
        connection = self.logins[schema]
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute(statement)
        except asyncpg.PostgresError as error:
            return str(error)
        else:
            return ""
        finally:
            await transaction.rollback()


@pytest_asyncio.fixture
async def house(database: TestDatabase) -> AsyncIterator[House]:
    """All schemas, migrated."""
    urls = {schema: await database.service_url(schema) for schema in SCHEMAS}
    owner = await asyncpg.connect(database.owner_url)
    rows = await owner.fetch("SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", SCHEMAS)
    tables = {schema: [row["tablename"] for row in rows if row["schemaname"] == schema] for schema in SCHEMAS}
    logins = {schema: await asyncpg.connect(url) for schema, url in urls.items()}
    yield House(urls, tables, logins)
    for connection in (owner, *logins.values()):
        await connection.close()


async def test_no_service_reads_or_writes_anothers_schema(house: House) -> None:
    for own in SCHEMAS:
        for other in (schema for schema in SCHEMAS if schema != own):
            assert len(house.tables[other]) > 3
            for table in house.tables[other]:
                said = await house.said(own, f'SELECT 1 FROM "{other}"."{table}" {_NOTHING}')
                assert said == f"permission denied for schema {other}", (own, other, table)
            written = await house.said(own, f'DELETE FROM "{other}"."outbox" {_NOTHING}')
            assert written == f"permission denied for schema {other}"


async def test_only_the_owner_may_change_shapes_rights_and_the_server(house: House) -> None:
    for own in SCHEMAS:
        for statement in OF_THE_OWNER:
            said = await house.said(own, statement.format(own=own))
            assert any(word in said for word in ("permission denied", "must be", "Must be", "must have")), (own, said)


async def test_history_is_not_rewritten(house: House) -> None:
    for service, statement in HISTORY:
        schema = service.replace("-", "_")
        said = await house.said(schema, statement)
        assert any(word in said for word in ("permission denied", "must be owner")), (statement, said)


async def test_who_has_no_schema_has_no_login(house: House, database: TestDatabase) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database.owner_url, user="gateway", password="only-in-tests")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(house.urls["billing"], password="wrong")
