"""Migrations: each runs once, in order, unchanged; and a service's role can do what was granted, in its own schema only."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from common.postgres.migrate import MigrationError, migrate_service, migrations_of
from common.testing.servers import TestDatabase

FIRST = "CREATE TABLE things (name text PRIMARY KEY, kept boolean NOT NULL DEFAULT true);\n"
GRANT = "GRANT SELECT, INSERT ON things TO CURRENT_SCHEMA_ROLE;\n"


class SmallService:
    """A service of this test's own: a package with migrations, and the role that goes with it."""

    def __init__(self, folder: Path, database: TestDatabase) -> None:
        self.package = f"small_{secrets.token_hex(4)}"
        self.database = database
        self._folder = folder / self.package
        (self._folder / "migrations").mkdir(parents=True)
        (self._folder / "__init__.py").touch()

    def write(self, name: str, sql: str) -> None:
        """Put a migration into the release."""
        text = sql.replace("CURRENT_SCHEMA_ROLE", f'"{self.package}"')
        (self._folder / "migrations" / name).write_text(text, encoding="utf-8")

    def remove(self, name: str) -> None:
        """Take a migration out of the release."""
        (self._folder / "migrations" / name).unlink()

    async def migrate(self, password: str = "first") -> list[str]:
        """Bring its schema up to date."""
        return await migrate_service(
            self.database.owner_url, schema=self.package, password=password, package=self.package
        )

    async def connect(self, password: str = "first") -> asyncpg.Connection[asyncpg.Record]:
        """Connect as the service itself."""
        return await asyncpg.connect(self.database.owner_url, user=self.package, password=password)

    async def drop_role(self) -> None:
        """Leave nothing behind on the server."""
        owner = await asyncpg.connect(self.database.owner_url)
        if await owner.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", self.package):
            await owner.execute(f'DROP OWNED BY "{self.package}" CASCADE; DROP ROLE "{self.package}"')
        await owner.close()


@pytest_asyncio.fixture
async def make(
    tmp_path: Path, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[type[SmallService]]:
    """Makes services in this test's database."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[SmallService] = []

    class Made(SmallService):
        def __init__(self) -> None:
            super().__init__(tmp_path, database)
            made.append(self)

    yield Made
    for service in made:
        await service.drop_role()


@pytest_asyncio.fixture
async def small(make: type[SmallService]) -> SmallService:
    """A service with two migrations."""
    service: SmallService = make()  # type: ignore[call-arg]
    service.write("0001_make_things.sql", FIRST + GRANT)
    service.write("0002_add_an_owner.sql", "ALTER TABLE things ADD COLUMN owner text;\n")
    return service


async def test_migrations_run_once_each_in_the_order_of_their_numbers(small: SmallService) -> None:
    assert await small.migrate() == ["0001_make_things.sql", "0002_add_an_owner.sql"]
    assert await small.migrate() == []
    small.write("0010_drop_kept.sql", "ALTER TABLE things DROP COLUMN kept;\n")
    assert await small.migrate() == ["0010_drop_kept.sql"]


async def test_a_migration_that_changed_after_it_ran_is_refused_and_nothing_runs(small: SmallService) -> None:
    await small.migrate()
    small.write("0001_make_things.sql", FIRST + GRANT + "-- a harmless word\n")
    small.write("0003_more.sql", "CREATE TABLE more (a integer);\n")
    with pytest.raises(MigrationError, match=r"0001_make_things\.sql has changed since it was applied"):
        await small.migrate()
    owner = await asyncpg.connect(small.database.owner_url)
    assert await owner.fetchval("SELECT to_regclass($1)", f"{small.package}.more") is None
    await owner.close()


async def test_a_release_without_a_migration_that_ran_is_refused(small: SmallService) -> None:
    await small.migrate()
    small.remove("0002_add_an_owner.sql")
    with pytest.raises(MigrationError, match=r"0002_add_an_owner\.sql was applied but is not in this release"):
        await small.migrate()


async def test_one_that_fails_leaves_no_trace_and_those_before_it_stay(small: SmallService) -> None:
    small.write("0003_half.sql", "CREATE TABLE half (a integer);\nSELECT no_such_function();\n")
    with pytest.raises(asyncpg.UndefinedFunctionError):
        await small.migrate()
    owner = await asyncpg.connect(small.database.owner_url)
    assert await owner.fetchval("SELECT to_regclass($1)", f"{small.package}.half") is None
    await owner.close()
    small.write("0003_half.sql", "CREATE TABLE half (a integer);\n")
    assert await small.migrate() == ["0003_half.sql"]


async def test_what_ran_and_that_it_ran_are_one_transaction(small: SmallService) -> None:
    await small.migrate()
    refuses_its_own_record = "ALTER TABLE applied_migrations ADD CHECK (name < '0003') NOT VALID;\n"
    small.write("0003_unrecorded.sql", f"CREATE TABLE unrecorded (a integer);\n{refuses_its_own_record}")
    with pytest.raises(asyncpg.CheckViolationError):
        await small.migrate()
    small.write("0003_unrecorded.sql", "CREATE TABLE unrecorded (a integer);\n")
    assert await small.migrate() == ["0003_unrecorded.sql"]


async def test_two_runners_at_once_apply_everything_once(small: SmallService) -> None:
    await small.migrate()
    small.write("0003_slow.sql", "SELECT pg_sleep(0.3);\nCREATE TABLE slow (a integer);\n")
    small.write("0004_later.sql", "CREATE TABLE later (a integer);\n")
    done = await asyncio.gather(*[small.migrate() for _ in range(4)])
    assert sorted(done, key=len) == [[], [], [], ["0003_slow.sql", "0004_later.sql"]]


@pytest.mark.parametrize("name", ["1_short.sql", "0001-dashes.sql", "0001_Capitals.sql", "later.sql", "0001_.sql.sql"])
async def test_a_file_that_has_no_place_in_the_order_is_refused(small: SmallService, name: str) -> None:
    small.write(name, FIRST)
    with pytest.raises(MigrationError, match="should be named NNNN_what_it_does"):
        migrations_of(small.package)


@pytest.mark.parametrize("schema", ["", "Small", "1small", 'small"; DROP SCHEMA public; --', "a" * 64, "small-one"])
async def test_what_is_no_plain_name_never_becomes_a_schema(small: SmallService, schema: str) -> None:
    with pytest.raises(MigrationError, match="not a schema name"):
        await migrate_service(small.database.owner_url, schema=schema, password="p", package=small.package)


# --- the role ----------------------------------------------------------------------------------------------------------


async def test_a_role_finds_its_own_tables_by_their_plain_names_and_may_do_what_was_granted(
    small: SmallService,
) -> None:
    await small.migrate()
    role = await small.connect()
    await role.execute("INSERT INTO things (name) VALUES ('a')")
    assert await role.fetchval("SELECT name FROM things") == "a"
    for forbidden in (
        "DELETE FROM things",
        "UPDATE things SET name = 'b'",
        "TRUNCATE things",
        "DROP TABLE things",
        "CREATE TABLE own (a integer)",
        "CREATE TABLE public.own (a integer)",
        "CREATE SCHEMA own",
        "SELECT * FROM applied_migrations",
        "DELETE FROM applied_migrations",
        "CREATE ROLE another",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await role.execute(forbidden)
    await role.close()


async def test_no_role_reads_writes_or_becomes_another(make: type[SmallService]) -> None:
    ours: SmallService = make()  # type: ignore[call-arg]
    theirs: SmallService = make()  # type: ignore[call-arg]
    for service in (ours, theirs):
        service.write("0001_make_things.sql", FIRST + GRANT)
        await service.migrate()
    role = await ours.connect()
    for forbidden in (
        f'SELECT * FROM "{theirs.package}".things',
        f"INSERT INTO \"{theirs.package}\".things (name) VALUES ('a')",
        f'CREATE TABLE "{theirs.package}".own (a integer)',
        f'SET ROLE "{theirs.package}"',
        f"ALTER ROLE \"{theirs.package}\" PASSWORD 'x'",
        f'ALTER ROLE "{ours.package}" SUPERUSER',
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await role.execute(forbidden)
    await role.close()


@pytest.mark.parametrize("password", ["simple", "it's", '"; DROP ROLE x; --', "a\\'b", "pä$$ wörd %s {}"])
async def test_a_password_is_a_password_whatever_it_is_made_of(small: SmallService, password: str) -> None:
    await small.migrate(password)
    role = await small.connect(password)
    assert await role.fetchval("SELECT current_user::text") == small.package
    await role.close()


async def test_the_password_of_the_last_run_counts_and_is_kept_as_a_hash(small: SmallService) -> None:
    await small.migrate("first")
    await small.migrate("second")
    await (await small.connect("second")).close()
    owner = await asyncpg.connect(small.database.owner_url)
    hashed = await owner.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", small.package)
    await owner.close()
    assert hashed.startswith("SCRAM-SHA-256$")
