"""`/api/v1/llm/providers`: the operator's keys with providers, for admins."""

from __future__ import annotations

from datetime import datetime

from common.providers.registry import PROVIDERS
from common.secret import Secret
from fastapi import APIRouter
from pydantic import BaseModel, Field

from keyvault.api.answers import AnswersWhenTold, Asked, ByAdmin, Journeys
from keyvault.api.shown_secrets import ShownSecret, members_of
from keyvault.api.terms import ApiKey, Instant
from keyvault.domain.credentials import Credential, Source
from keyvault.flows import Keyvault
from keyvault.flows.provider_keys import Given
from keyvault.probes import ProbeResult, ProbeStatus

router = APIRouter(prefix="/api/v1/llm/providers", tags=["provider keys"])


class SaveProviderKey(Asked):
    """A key for a provider, its first or its next."""

    provider_type: str = Field(max_length=64)
    api_key: ApiKey
    base_url: str | None = Field(default=None, max_length=2048)
    name: str = Field(default="", max_length=200, pattern=r"^[^\x00]*$")
    expires_at: Instant | None = None


class ShownProviderKey(ShownSecret):
    """A provider's key, as far as it is ever shown; `source` says where it came from, `reminders` what there is
    to say of it."""

    provider_type: str
    name: str
    enabled: bool
    last_tested_at: datetime | None
    last_test_ok: bool | None
    base_url: str | None
    source: Source


class ProviderKeyTested(BaseModel):
    """How a test ended; `models_found` where the provider listed its models."""

    success: bool
    status: ProbeStatus
    message: str
    latency_ms: int
    models_found: int | None


class ShownProvider(BaseModel):
    """What can be configured; `configured`: somebody gave a key (the simulator's stand-in is none)."""

    provider_type: str
    display_name: str
    base_url: str
    auth: str
    configured: bool
    capabilities: list[str]
    key_url: str


@router.get("/keys")
async def list_provider_keys(by: ByAdmin, keyvault: Journeys) -> list[ShownProviderKey]:
    """The keys in force, one a provider."""
    return [_shown(keyvault, credential) for credential in await keyvault.provider_keys.active()]


@router.post("/keys", status_code=201)
async def save_provider_key(
    body: SaveProviderKey, by: ByAdmin, keyvault: Journeys, told: AnswersWhenTold
) -> ShownProviderKey:
    """Give a provider its key, or its next one."""
    given = Given(Secret(body.api_key), "api", body.name, body.base_url, body.expires_at)
    credential, outbox_id = await keyvault.provider_keys.save(by, body.provider_type, given)
    await told.wait(outbox_id)
    return _shown(keyvault, credential)


@router.delete("/keys/{provider_type}", status_code=204)
async def remove_provider_key(provider_type: str, by: ByAdmin, keyvault: Journeys, told: AnswersWhenTold) -> None:
    """Take a provider's key away and destroy it."""
    await told.wait(await keyvault.provider_keys.remove(by, provider_type))


@router.post("/keys/{provider_type}/test")
async def test_provider_key(provider_type: str, by: ByAdmin, keyvault: Journeys) -> ProviderKeyTested:
    """Call the provider with its key, ten times a minute at most; 200 whether or not the key works."""
    return _tested(await keyvault.provider_keys.test(by, provider_type))


@router.get("/info")
async def list_providers(by: ByAdmin, keyvault: Journeys) -> list[ShownProvider]:
    """Every provider that can be called, and whether it has a key."""
    in_force = {credential.provider_type: credential for credential in await keyvault.provider_keys.active()}
    return [_provider(provider_type, in_force.get(provider_type)) for provider_type in PROVIDERS]


def _shown(keyvault: Keyvault, credential: Credential) -> ShownProviderKey:
    return ShownProviderKey(
        provider_type=credential.provider_type,
        name=credential.name,
        enabled=credential.enabled,
        last_tested_at=credential.last_tested_at,
        last_test_ok=credential.last_test_ok,
        **members_of(keyvault, credential),
        base_url=credential.base_url,
        source=credential.source,
    )


def _tested(result: ProbeResult) -> ProviderKeyTested:
    return ProviderKeyTested(
        success=result.success,
        status=result.status,
        message=result.message,
        latency_ms=result.latency_ms,
        models_found=result.models_found,
    )


def _provider(provider_type: str, credential: Credential | None) -> ShownProvider:
    row = PROVIDERS[provider_type]
    own_url = credential.base_url if credential else None
    return ShownProvider(
        provider_type=row.type,
        display_name=row.display_name,
        base_url=own_url or row.base_url,
        auth=row.auth,
        configured=credential is not None and credential.source != "simulator",
        capabilities=list(row.capabilities),
        key_url=row.key_url,
    )
