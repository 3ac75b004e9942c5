"""The composition root of catalog-sync: settings → backbone → flows → app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from common.backbone import open_backbone
from common.bus.mirror import Mirror
from common.clock import Clock, SystemClock
from common.contracts.topology import CREDENTIALS_BUCKET
from common.http.app import create_api
from common.http.fetch import Fetcher
from common.http.serve import serve
from common.settings import read_or_exit
from common.telemetry.logs import configure_logs
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from catalog_sync.api import aliases, models, providers, quarantine, tiers
from catalog_sync.consumers import usage_handler
from catalog_sync.flows import CatalogSync
from catalog_sync.jobs import Schedule, Upkeep
from catalog_sync.metrics import SyncMetrics
from catalog_sync.settings import CatalogSyncSettings
from catalog_sync.sources import litellm, openrouter
from catalog_sync.sources.keyvault import KeyvaultDoor
from catalog_sync.sources.own_list import OwnLists, SystemCredentials
from catalog_sync.sources.packaged import PackagedSource
from catalog_sync.sources.published import Published
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
            kept = KeptLists.at(settings.cache_redis_url)
            now, credentials = clock or SystemClock(), SystemCredentials()
            catalog = CatalogSync(
                backbone.pool,
                now,
                sources or sources_of(settings),
                SyncMetrics(registry),
                kept,
                own_lists_of(settings, credentials),
            )
            upkeep = Upkeep(catalog, backbone.bus)
            schedule = Schedule(catalog, now, settings.interval_seconds)
            app.state.catalog = catalog
            app.state.relay = backbone.relay
            backbone.consume_usage(usage_handler(catalog))
            await backbone.start(app)
            app.state.checks = {**backbone.checks(), "first_sync": upkeep.is_synced}
            backbone.tasks.start("upkeep", upkeep.run())
            backbone.tasks.start("credentials", Mirror(backbone.bus, CREDENTIALS_BUCKET.name, credentials.apply).run())
            backbone.tasks.start("schedule", schedule.run())
            try:
                yield
            finally:
                await kept.close()

    app = create_api("Tollgate catalog-sync", lifespan, registry)
    for router in (quarantine.router, models.router, providers.router, aliases.router, tiers.router):
        app.include_router(router)
    return app


def sources_of(settings: CatalogSyncSettings) -> list[Source]:
    """The sources that everybody can read."""
    fetch = Fetcher(settings.feed_rules)
    published = (
        Published("litellm", "survey", fetch, settings.litellm_url, litellm.parse),
        Published("openrouter", "own", fetch, settings.openrouter_url, openrouter.parse),
    )
    return [PackagedSource(), *(source for source in published if source.url)]


def own_lists_of(settings: CatalogSyncSettings, credentials: SystemCredentials) -> OwnLists | None:
    """The providers' own lists; None without the token by which keyvault knows us."""
    if settings.token is None:
        return None
    door = KeyvaultDoor(settings.keyvault_url, settings.token)
    return OwnLists(Fetcher(settings.provider_rules), credentials, door.open)


def run() -> None:
    """Serve until told to stop."""
    settings = read_or_exit(CatalogSyncSettings)
    configure_logs(NAME, settings.log_level)
    serve(create_app(settings), host=settings.http_host, port=settings.http_port)
