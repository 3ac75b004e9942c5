"""The composition root of analytics: settings → connections → journeys → consumer, jobs and routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.backbone import open_backbone
from common.clock import Clock, SystemClock
from common.contracts.topology import BILLING
from common.http.app import create_api
from common.http.serve import serve
from common.settings import read_or_exit
from common.telemetry.logs import configure_logs
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from analytics.api import costs, organization, requests
from analytics.consumers import rerated_handler, usage_handler
from analytics.flows import Analytics
from analytics.jobs import JobMetrics, MonthKeeper
from analytics.settings import AnalyticsSettings


def create_app(settings: AnalyticsSettings, clock: Clock | None = None) -> FastAPI:
    """The whole service as an ASGI app; it connects to its servers when it is started."""
    clock = clock or SystemClock()
    registry = CollectorRegistry()
    metrics = JobMetrics(registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_backbone("analytics", settings.database_url, settings, registry) as backbone:
            analytics = Analytics(backbone.pool, clock)
            app.state.analytics = analytics
            backbone.consume_usage(usage_handler(analytics))
            backbone.consume(BILLING.name, rerated_handler(analytics))
            await backbone.start(app)
            backbone.tasks.start("months", MonthKeeper(analytics, metrics).run())
            yield

    app = create_api("Tollgate analytics", lifespan, registry)
    app.include_router(requests.router)
    app.include_router(costs.router)
    app.include_router(organization.router)
    return app


def run() -> None:
    """Serve until told to stop."""
    settings = read_or_exit(AnalyticsSettings)
    configure_logs("analytics", settings.log_level)
    serve(create_app(settings), host=settings.http_host, port=settings.http_port)
