"""Few files open connections: one to providers, one to Redis and one to NATS on the hot path; libraries do the rest.

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
    "services/gateway/src/gateway/nats_line.py",
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


# Clients for URLs that people or sources give judge every address (`common.http.guarded`); the other leads to keyvault,
# where the operator says that it is.
CLIENTS = (
    "libs/common/src/common/http/guarded.py",
    "services/catalog-sync/src/catalog_sync/sources/keyvault.py",
)


def made_clients(source: Source) -> Iterator[str]:
    """Where a module makes an HTTP client that judges no address."""
    if source.name.startswith((*CLIENTS, *ALLOWED, "libs/common/src/common/testing/")):
        return
    yield from (place(source, node) for node in ast.walk(source.tree) if _makes_client(node))


def _makes_client(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="httpx2"), attr=name)):
            return name in {"AsyncClient", "Client", "AsyncHTTPTransport", "HTTPTransport", "get", "post", "request"}
        case ast.ImportFrom(module="httpx2", names=names):
            return any(name.name in {"AsyncClient", "Client"} for name in names)
    return False


def test_whoever_calls_a_given_url_does_so_by_the_guarded_client() -> None:
    assert [at for source in shipped() for at in made_clients(source)] == []


def test_an_unguarded_client_is_found_in_every_form() -> None:
    for text in ("httpx2.AsyncClient()", "httpx2.get('http://a')", "from httpx2 import AsyncClient"):
        assert list(made_clients(Source("a/sources.py", text)))
    assert not list(made_clients(Source("a/sources.py", "client: httpx2.AsyncClient = guarded_client(rules, 1.0)")))


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
