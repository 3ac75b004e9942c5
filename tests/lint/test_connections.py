"""Few files open connections: one to providers, one to Redis on the hot path; libraries do the rest.

Who wants to know where bytes leave the house reads this list. (`httpx2` and `httptools` are import-linter's.)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .tree import Source, place, shipped

OPENS = {"open_connection", "open_unix_connection", "create_connection", "create_unix_connection", "sock_connect"}
OPENS_BY_IMPORT = {
    "http.client",
    "urllib.request",
    "smtplib",
    "ftplib",
    "xmlrpc.client",
    "requests",
    "aiohttp",
    "httpx",
}

ALLOWED = (
    "services/gateway/src/gateway/upstream/dial.py",
    "services/gateway/src/gateway/limits/redis.py",
    "libs/common/src/common/servers/",
    "cli/",
    "deploy/docker/",
    "benchmarks/",
)


def opened_connections(source: Source) -> Iterator[str]:
    """Where a module opens a connection by itself."""
    if source.name.startswith(ALLOWED):
        return
    yield from (place(source, node) for node in ast.walk(source.tree) if _opens(node))


def _opens(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in OPENS
        case ast.ImportFrom(module=module):
            return module in OPENS_BY_IMPORT
        case ast.Import(names=names):
            return any(name.name in OPENS_BY_IMPORT for name in names)
    return False


def test_only_the_listed_files_open_connections() -> None:
    assert [at for source in shipped() for at in opened_connections(source)] == []


def test_opening_is_found_in_every_form() -> None:
    for text in (
        "asyncio.open_connection('a', 1)",
        "loop.create_connection(x)",
        "import urllib.request",
        "from http.client import X",
    ):
        assert list(opened_connections(Source("a/flows.py", text)))
    assert not list(opened_connections(Source("a/flows.py", "from urllib.parse import urlsplit\nimport http")))
