"""The composition root: settings → connections → journeys → routes.

A start that must not happen (a stored credential whose master key is missing) ends with one line before anything is
served.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from common.backbone import Backbone, open_backbone
from common.clock import Clock, SystemClock
from common.errors import Unauthorized
from common.http.app import create_api
from common.http.serve import serve
from common.http.sessions import AUDIENCE, ISSUER
from common.settings import read_or_exit
from common.telemetry.logs import configure_logs
from keyvault.api import audit, auth, credentials, keys, provider_keys, users
from keyvault.api.answers import Services
from keyvault.consumers import usage_handler
from keyvault.domain.encryption import Keyring, UnknownMasterKey
from keyvault.domain.tokens import TokenSigner, read_private_key
from keyvault.flows import Keyvault, Means
from keyvault.jobs import Jobs
from keyvault.metrics import KeyvaultMetrics
from keyvault.probes import Probes
from keyvault.settings import KeyvaultSettings
from keyvault.store import credentials as stored_credentials
from keyvault.store.refusal_marks import RefusalMarks

NAME = "keyvault"


def create_app(settings: KeyvaultSettings, clock: Clock | None = None) -> FastAPI:
    """The service as an ASGI app; its lifespan opens and closes everything."""
    registry = CollectorRegistry()
    metrics = KeyvaultMetrics(registry)
    used_clock = clock or SystemClock()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            backbone = await stack.enter_async_context(
                open_backbone(NAME, settings.database_url, settings, registry)
            )
            means = await _means(settings, used_clock, backbone, stack)
            keyvault = Keyvault(means)
            await _prepare(keyvault, settings)
            tokens = {"gateway": settings.gateway_token, "catalog-sync": settings.catalog_sync_token}
            app.state.services = Services(keyvault, backbone.relay, metrics, tokens)
            backbone.consume_usage(usage_handler(keyvault))
            await backbone.start(app)
            app.state.checks = {**backbone.checks(), "signing_key": _signs(backbone, means)}
            Jobs(keyvault, backbone.bus, metrics).start(backbone.tasks)
            yield

    app = create_api(NAME, lifespan, registry)
    for room in (auth, users, keys, provider_keys, audit, credentials):
        app.include_router(room.router)
    return app


def run() -> None:
    """Read the settings and serve until told to stop."""
    settings = read_or_exit(KeyvaultSettings)
    configure_logs(NAME, settings.log_level)
    asyncio.run(_check_master_keys(settings))
    serve(create_app(settings), host=settings.http_host, port=settings.http_port)
