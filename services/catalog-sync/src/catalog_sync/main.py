"""The composition root of catalog-sync: settings → backbone → flows → app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from common.backbone import open_backbone
from common.clock import Clock, SystemClock
from common.http.app import create_api
from common.http.serve import serve
from common.settings import read_or_exit
from common.telemetry.logs import configure_logs
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry

from catalog_sync.api import aliases, models, providers
from catalog_sync.consumers import usage_handler
from catalog_sync.flows import CatalogSync
from catalog_sync.jobs import Upkeep
from catalog_sync.metrics import SyncMetrics
from catalog_sync.settings import CatalogSyncSettings
from catalog_sync.sources.packaged import PackagedSource
from catalog_sync.sources.source import Source
from catalog_sync.store.kept_lists import KeptLists

NAME = "catalog-sync"


def create_app(
    settings: CatalogSyncSettings, clock: Clock | None = None, sources: Sequence[Source] | None = None
) -> FastAPI:
    """The service as an ASGI app; its lifespan opens and closes everything."""
    registry = CollectorRegistry()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_backbone(NAME, settings.database_url, settings, registry) as backbone:
            read_from = sources or [PackagedSource()]
            kept = KeptLists.at(settings.cache_redis_url)
            catalog = CatalogSync(backbone.pool, clock or SystemClock(), read_from, SyncMetrics(registry), kept)
            upkeep = Upkeep(catalog, backbone.bus)
            app.state.catalog = catalog
            app.state.relay = backbone.relay
            backbone.consume_usage(usage_handler(catalog))
            await backbone.start(app)
            app.state.checks = {**backbone.checks(), "first_sync": upkeep.is_synced}
            backbone.tasks.start("upkeep", upkeep.run())
            try:
                yield
            finally:
                await kept.close()

    app = create_api("Tollgate catalog-sync", lifespan, registry)
    app.add_exception_handler(asyncpg.DataError, _render_unstorable)
    for router in (models.router, providers.router, aliases.router):
        app.include_router(router)
    return app


async def _render_unstorable(request: Request, error: Exception) -> JSONResponse:
    """A value that Postgres cannot hold (a NUL in a text, half a surrogate pair) cannot be meant."""
    return JSONResponse({"detail": "a value holds characters that cannot be stored", "code": "bad_request"}, 400)


def run() -> None:
    """Serve until told to stop."""
    settings = read_or_exit(CatalogSyncSettings)
    configure_logs(NAME, settings.log_level)
    serve(create_app(settings), host=settings.http_host, port=settings.http_port)
