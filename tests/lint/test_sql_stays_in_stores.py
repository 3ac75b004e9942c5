"""SQL stands in stores, and in the two rooms of common that are about Postgres; nowhere else.

Who looks for a statement looks in one folder, and `test_statements` sees every one.
"""

from __future__ import annotations

import re

from .test_statements import statements_of
from .tree import Source, shipped

_IS_SQL = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|GRANT|SET|COPY)\s")

# A path that holds one of these may speak SQL: common's own, the command that migrates and seeds, and tests.
ALLOWED = ("/store/", "common/postgres/", "common/backbone.py", "common/testing/", "cli/src/tollgate/", "benchmarks/")


def sql_outside_stores(source: Source) -> list[str]:
    """Where a module that is no store runs SQL."""
    if any(part in source.name for part in ALLOWED):
        return []
    return [found.at for found in statements_of(source) if found.sql is not None and _IS_SQL.match(found.sql)]


def test_only_stores_speak_sql() -> None:
    assert [at for source in shipped() for at in sql_outside_stores(source)] == []


def test_a_statement_in_a_journey_is_found() -> None:
    assert sql_outside_stores(Source("x/flows.py", 'pool.fetchval("SELECT 1")')) == ["x/flows.py:1"]
    assert sql_outside_stores(Source("x/store/y.py", 'pool.fetchval("SELECT 1")')) == []
    assert sql_outside_stores(Source("x/flows.py", 'redis.execute("PING")')) == []
