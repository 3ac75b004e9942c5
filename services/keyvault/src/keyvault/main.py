"""The composition root: settings → connections → journeys → routes.

A start that must not happen (a stored credential whose master key is missing) ends with one line before anything is
served.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

import asyncpg
from common.backbone import Backbone, open_backbone
from common.clock import Clock, SystemClock
from common.contracts.topology import AUDIT
from common.errors import Unauthorized
from common.http.app import Check, create_api
from common.http.serve import serve
from common.http.sessions import AUDIENCE, ISSUER
from common.secret import Secret
from common.settings import read_or_exit
from common.telemetry.logs import configure_logs
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from keyvault.api import (
    audit,
    auth,
    credentials,
    encryption,
    keys,
    oidc,
    own_credentials,
    provider_keys,
    teams,
    users,
)
from keyvault.api.answers import Services
from keyvault.consumers import audit_handler, usage_handler
from keyvault.domain.accounts import User
from keyvault.domain.encryption import Keyring, UnknownMasterKey
from keyvault.domain.tokens import TokenSigner, read_private_key
from keyvault.flows import Keyvault, Means
from keyvault.flows.deliveries import RecipientService
from keyvault.flows.single_sign_on import Trusted
from keyvault.jobs import Jobs
from keyvault.metrics import KeyvaultMetrics
from keyvault.probes import Probes
from keyvault.settings import KeyvaultSettings
from keyvault.sources.issuer import Issuer
from keyvault.sources.shelf import Shelf
from keyvault.store import credentials as stored_credentials
from keyvault.store.refusal_marks import RefusalMarks

NAME = "keyvault"
_TOLD_SECONDS = 5.0


def create_app(settings: KeyvaultSettings, clock: Clock | None = None) -> FastAPI:
    """The service as an ASGI app; its lifespan opens and closes everything."""
    registry = CollectorRegistry()
    metrics = KeyvaultMetrics(registry)
    used_clock = clock or SystemClock()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            backbone = await stack.enter_async_context(open_backbone(NAME, settings.database_url, settings, registry))
            means = await _means(settings, used_clock, backbone, stack)
            keyvault = Keyvault(means)
            told_id = await _prepare(keyvault, settings)
            app.state.services = Services(keyvault, backbone.relay, metrics, _service_tokens(settings))
            backbone.consume_usage(usage_handler(keyvault))
            backbone.consume(AUDIT.name, audit_handler(keyvault))
            await backbone.start(app)
            await backbone.relay.published(told_id, _TOLD_SECONDS)  # who is ready after us finds it there
            app.state.checks = {**backbone.checks(), "signing_key": _signs(backbone, means)}
            Jobs(keyvault, backbone.bus, metrics).start(backbone.tasks)
            yield

    app = create_api(NAME, lifespan, registry)
    for room in (auth, oidc, own_credentials, users, teams, keys, provider_keys, encryption, audit, credentials):
        app.include_router(room.router)
    return app


def run() -> None:
    """Read the settings and serve until told to stop."""
    settings = read_or_exit(KeyvaultSettings)
    configure_logs(NAME, settings.log_level)
    asyncio.run(_check_master_keys(settings))
    serve(create_app(settings), host=settings.http_host, port=settings.http_port)


async def _means(settings: KeyvaultSettings, clock: Clock, backbone: Backbone, stack: AsyncExitStack) -> Means:
    marks = RefusalMarks.at(settings.redis_url)
    stack.push_async_callback(marks.close)
    client = await stack.enter_async_context(Probes.client(settings.probe_rules))
    return Means(
        pool=backbone.pool,
        clock=clock,
        signer=TokenSigner(read_private_key(settings.jwt_private_key.reveal()), ISSUER, AUDIENCE),
        keyring=Keyring(settings.master_keys),
        marks=marks,
        probes=Probes(client, clock),
        is_signup_open=settings.signup == "open",
        rules=settings.url_rules,
        simulator_url=settings.simulator_url,
        single_sign_on=await _single_sign_on(settings, clock, stack),
        reminders=settings.reminders,
        shelf=await _shelf(settings, clock, stack),
        provider_keys=settings.provider_keys,
    )


async def _single_sign_on(settings: KeyvaultSettings, clock: Clock, stack: AsyncExitStack) -> Trusted | None:
    """The issuer that people may sign in with. It is asked when somebody does: it may be away when we start."""
    who = settings.oidc_client
    if who is None:
        return None
    client = await stack.enter_async_context(Issuer.client(settings.oidc_rules))
    issuer = Issuer(client, clock, who, settings.oidc_client_secret)
    return Trusted(issuer, who, settings.oidc_claims, is_signup_open=settings.oidc_signup == "open")


async def _shelf(settings: KeyvaultSettings, clock: Clock, stack: AsyncExitStack) -> Shelf | None:
    """Where an operator keeps provider keys."""
    shelf = settings.shelf
    if shelf is None:
        return None
    return Shelf(await stack.enter_async_context(Shelf.client(shelf)), clock, shelf)


def _service_tokens(settings: KeyvaultSettings) -> dict[RecipientService, Secret]:
    return {"gateway": settings.gateway_token, "catalog-sync": settings.catalog_sync_token}


async def _prepare(keyvault: Keyvault, settings: KeyvaultSettings) -> int:
    """What must hold before the first request; the last outbox row that tells of it."""
    await keyvault.provider_keys.check_master_keys()
    await keyvault.rewrapping.encrypt_plain()
    signing_id = await keyvault.sessions.publish_signing_key()
    if settings.admin_email is not None and settings.admin_password is not None:
        await keyvault.accounts.ensure_admin(settings.admin_email, settings.admin_password.reveal())
    return max(signing_id, await keyvault.kept_secrets.take())


def _signs(backbone: Backbone, means: Means) -> Check:
    """Whether a session that we begin would be known: our key has come back to us through the bus."""

    async def check() -> bool:
        now = means.clock.now()
        nobody = User("readiness", "", "", "", "user", "trial", False, now, now)
        try:
            backbone.sessions.verify(means.signer.sign(nobody, "readiness", now).token.reveal())
        except Unauthorized:
            return False
        return True

    return check


async def _check_master_keys(settings: KeyvaultSettings) -> None:
    """End the process, with one line, when stored credentials could not be opened."""
    try:
        connection = await asyncpg.connect(settings.database_url, timeout=10)
        try:
            Keyring(settings.master_keys).check(await stored_credentials.kids(connection))
        finally:
            await connection.close()
    except UnknownMasterKey as error:
        _refuse(str(error))
    except asyncpg.UndefinedTableError:
        _refuse("keyvault's schema is missing: run `tollgate migrate` first")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        _refuse(f"KEYVAULT_DATABASE_URL: Postgres cannot be used ({type(error).__name__})")


def _refuse(line: str) -> NoReturn:
    sys.stderr.write(f"{line}\n")
    raise SystemExit(2)
