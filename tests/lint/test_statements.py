"""Every SQL statement of a store is one plain literal that Postgres prepares, and that the service's own role may run.

A statement that names a column which no migration made, or a table that no migration granted, fails here and not at the
first call that needs it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

import asyncpg
import pytest
from common.contracts.topology import SERVICES
from common.testing.servers import TestDatabase

from .rooms import package_folder
from .tree import Source, place, python

RUNS_SQL = {"fetch", "fetchrow", "fetchval", "execute", "executemany", "cursor", "prepare"}
SPEAKERS = {"connection", "pool"}
OUTBOX = "libs/common/src/common/postgres/outbox.py"
_PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "MERGE")


class Statement(NamedTuple):
    """One statement and where it stands; `sql` is None when it is not a plain literal."""

    at: str
    sql: str | None


def statements_of(source: Source) -> Iterator[Statement]:
    """What a module gives to its connection, and which tables it copies into."""
    constants = dict(_constants(source.tree))
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        spoken_to = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        sql = _literal(node.args[0], constants)
        if node.func.attr in RUNS_SQL and (sql is not None or spoken_to in SPEAKERS):
            yield Statement(place(source, node), sql)
        elif node.func.attr == "copy_records_to_table":
            yield Statement(place(source, node), _copied(node, sql, source.tree))


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for name, value in _assigned(tree):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield name, value.value


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((target.id, node.value) for target in targets if isinstance(target, ast.Name))


def _literal(node: ast.expr, constants: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _copied(call: ast.Call, table: str | None, tree: ast.Module) -> str | None:
    """What a COPY into a table needs, as a statement that can be prepared: its columns, and the right to insert them."""
    [columns] = [word.value for word in call.keywords if word.arg == "columns"]
    if isinstance(columns, ast.Name):
        columns = dict(_assigned(tree))[columns.id]
    names = ast.literal_eval(columns)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['NULL'] * len(names))})" if table else None


@pytest.mark.parametrize("package", [service.package for service in SERVICES if service.has_schema])
async def test_every_statement_of_a_store_prepares_and_may_be_run_by_the_services_role(
    package: str, database: TestDatabase
) -> None:
    found = [statement for source in _sources(package) for statement in statements_of(source)]
    connection = await asyncpg.connect(await database.service_url(package))
    try:
        wrong = [(at, why) for at, sql in found if (why := await _refused(connection, sql))]
    finally:
        await connection.close()
    assert not wrong
    assert len(found) > 5


def _sources(package: str) -> list[Source]:
    store = f"{package_folder(package)}/store/"
    return [source for source in python() if source.name.startswith(store) or source.name == OUTBOX]


async def _refused(connection: asyncpg.Connection[asyncpg.Record], sql: str | None) -> str | None:
    """Why the server will not have a statement; EXPLAIN checks the role's rights, PREPARE does not."""
    if sql is None:
        return "is not one plain literal"
    try:
        prepared = await connection.prepare(sql)
        if sql.lstrip().upper().startswith(_PLANNED):
            await connection.execute("SET plan_cache_mode = force_generic_plan")
            await prepared.explain(*[None] * len(prepared.get_parameters()))
    except asyncpg.PostgresError as error:
        return f"{type(error).__name__}: {error}"
    return None


async def test_a_statement_with_a_wrong_column_or_without_a_grant_is_found(database: TestDatabase) -> None:
    url = await database.service_url("billing")
    owner, role = await asyncpg.connect(database.owner_url), await asyncpg.connect(url)
    try:
        await owner.execute("CREATE TABLE billing.locked_away (a integer)")
        assert "UndefinedColumn" in (await _refused(role, "SELECT no_such_column FROM charges") or "")
        assert "InsufficientPrivilege" in (await _refused(role, "DELETE FROM locked_away WHERE a = $1") or "")
        assert await _refused(role, "SELECT cost FROM charges WHERE request_id = $1") is None
    finally:
        await owner.close()
        await role.close()


def test_literals_constants_and_copies_are_read_and_assembled_statements_are_not_let_through() -> None:
    source = Source(
        "store/x.py",
        'ALL: str = "SELECT 1"\nC = ("a", "b")\n'
        "connection.fetch(ALL)\n"
        'connection.fetchval("SELECT" " 2", 3)\n'
        'connection.execute(f"SELECT {x}")\n'
        'connection.copy_records_to_table("t", records=[], columns=C)\n'
        "pipeline.execute()\nsubscription.fetch(10)\n",
    )
    assert [sql for _, sql in statements_of(source)] == [
        "SELECT 1",
        "SELECT 2",
        None,
        "INSERT INTO t (a, b) VALUES (NULL, NULL)",
    ]
