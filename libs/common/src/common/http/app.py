"""The FastAPI app around a service's routes: probes, metrics, errors, request ids.

`/livez` says that the process runs, `/readyz` that it can do its work (each check by name), `/metrics` what it counts.
One handler renders every error as `{"detail": …}` with the status that the error names; a database that is away, or would
rather be asked again, is a 503; anything unexpected is a 500 that says nothing, and a log line that says where.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType

import asyncpg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from common.errors import TollgateError
from common.ids import uuid7
from common.outages import ASK_AGAIN

log = structlog.get_logger()

Check = Callable[[], Awaitable[bool]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

REVISION_HEADER = "x-tollgate-revision"
"""On a write's answer: the revisions of snapshots that carry its effect, `keys=17,sessions=4`; the edge waits for them."""

GUARDS: Mapping[str, str] = MappingProxyType(
    {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
)
"""On every management answer that does not say otherwise: it is data for whoever asked and for nobody else, never a page,
a script or a frame, and may hold a secret that is shown once."""

_REQUEST_ID = "x-request-id"
_MAX_REQUEST_ID = 128


def create_api(
    title: str, lifespan: Callable[[FastAPI], AsyncIterator[None]] | Lifespan, registry: CollectorRegistry
) -> FastAPI:
    """An app with probes, metrics and error handling; add the service's routers to it.

    The service sets `app.state.checks` (name → async check) in its lifespan; until then it is not ready.
    """
    app = FastAPI(title=title, version="1", lifespan=lifespan, docs_url=None, redoc_url=None)  # type: ignore[arg-type]
    app.state.checks = None
    _add_probes(app, registry)
    app.add_exception_handler(TollgateError, _render_error)
    app.add_exception_handler(HTTPException, _render_http_error)
    app.add_exception_handler(RequestValidationError, _render_validation)
    app.add_exception_handler(asyncpg.DataError, _render_unstorable)
    for outage in ASK_AGAIN:
        app.add_exception_handler(outage, _render_outage)
    app.add_exception_handler(Exception, _render_bug)
    app.middleware("http")(_with_request_id)
    return app


def revision_header(revisions: Mapping[str, int] | None) -> dict[str, str]:
    """The header of a write's answer; empty when nothing was published."""
    if not revisions:
        return {}
    return {REVISION_HEADER: ",".join(f"{bucket}={revision}" for bucket, revision in sorted(revisions.items()))}


def _add_probes(app: FastAPI, registry: CollectorRegistry) -> None:
    @app.get("/livez", include_in_schema=False)
    async def livez() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        results = await ready_checks(app.state.checks)
        return JSONResponse(results, status_code=200 if results and all(results.values()) else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


async def ready_checks(checks: Mapping[str, Check] | None) -> dict[str, bool]:
    """Each check's answer by name; empty before the service has started."""
    return {name: await check() for name, check in (checks or {}).items()}


async def _with_request_id(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request_id = (request.headers.get(_REQUEST_ID) or uuid7())[:_MAX_REQUEST_ID]
    request.state.request_id = request_id
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await call_next(request)
    for name, value in {_REQUEST_ID: request_id, **GUARDS}.items():
        response.headers.setdefault(name, value)
    return response


async def _render_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TollgateError)
    headers = {"retry-after": str(error.retry_after_seconds)} if error.retry_after_seconds is not None else None
    return JSONResponse({"detail": error.message, "code": error.code}, error.status, headers)


async def _render_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def _render_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without `input` and `ctx`: what was sent may hold a secret.
    detail = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in error.errors()]
    return JSONResponse({"detail": detail}, 422)


async def _render_unstorable(request: Request, error: Exception) -> JSONResponse:
    """What Postgres cannot hold (a zero byte or half a surrogate pair in a text, a number beyond its column) cannot be
    meant, wherever in a request it stands. The error's own words hold the value, and are repeated nowhere."""
    log.warning("value_unstorable", path=request.url.path, method=request.method, error=type(error).__name__)
    return JSONResponse({"detail": "a value cannot be stored", "code": "bad_request"}, 400)


async def _render_outage(request: Request, error: Exception) -> JSONResponse:
    log.warning("request_unavailable", path=request.url.path, method=request.method, error=type(error).__name__)
    return JSONResponse(
        {"detail": "the service cannot answer just now", "code": "unavailable"}, 503, {"retry-after": "1"}
    )


async def _render_bug(request: Request, error: Exception) -> JSONResponse:
    # Rendered outside `_with_request_id`, which a bug passes through.
    request_id: str = request.state.request_id
    log.error("request_failed", path=request.url.path, method=request.method, request_id=request_id, exc_info=error)
    return JSONResponse({"detail": "internal error"}, 500, {_REQUEST_ID: request_id, **GUARDS})
