"""`/api/v1/users/me/llm-credentials`: one's own credentials with providers. Nobody, admins included, sees another's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from common.secret import Secret
from fastapi import APIRouter
from pydantic import BaseModel, Field

from keyvault.api.answers import AnswersWhenTold, Asked, ByUser, Journeys, PathId
from keyvault.api.shown_secrets import ShownSecret, members_of
from keyvault.api.terms import ApiKey, Instant, Text
from keyvault.domain.credentials import Credential, VerdictWord
from keyvault.domain.own_credentials import OwnGiven
from keyvault.flows import Keyvault
from keyvault.probes import ProbeResult

router = APIRouter(prefix="/api/v1/users/me/llm-credentials", tags=["credentials"])


class TryCredential(Asked):
    """A provider and a key to try before it is kept."""

    provider: str = Field(max_length=64)
    api_key: ApiKey
    base_url: str | None = Field(default=None, max_length=2048)


class CreateCredential(TryCredential):
    """A credential to keep."""

    name: Text | None = None
    is_default: bool | None = None
    fallback_to_system: bool = False
    expires_at: Instant | None = None


class ChangeCredential(Asked):
    """What to set of a credential; what is left out stays."""

    name: Text = "credential"
    api_key: ApiKey = ""
    is_default: bool = False
    is_active: bool = True
    fallback_to_system: bool = False
    expires_at: Instant | None = None

    def given(self) -> dict[str, Any]:
        """The members that the request has, but for the key."""
        return self.model_dump(exclude_unset=True, exclude={"api_key"})


class ShownCredential(ShownSecret):
    """A credential, as far as it is ever shown; `status` is what is known of whether the provider takes it,
    `reminders` what there is to say of it."""

    id: str
    provider: str
    name: str
    is_default: bool
    is_active: bool
    status: VerdictWord
    fallback_to_system: bool
    last_validated_at: datetime | None


class CredentialValidated(BaseModel):
    """How a trial ended; `models_found` where the provider listed its models."""

    valid: bool
    provider: str
    message: str
    models_found: int | None
    latency_ms: int


@router.post("", status_code=201)
async def create_credential(
    body: CreateCredential, by: ByUser, keyvault: Journeys, told: AnswersWhenTold
) -> ShownCredential:
    """Keep a credential. The provider is not called."""
    credential, outbox_id = await keyvault.own_credentials.give(by, _given(body))
    await told.wait(outbox_id)
    return _shown(keyvault, credential)


@router.get("")
async def list_credentials(by: ByUser, keyvault: Journeys) -> list[ShownCredential]:
    """One's credentials, the newest first."""
    return [_shown(keyvault, credential) for credential in await keyvault.own_credentials.mine(by)]


@router.post("/validate")
async def try_credential(body: TryCredential, by: ByUser, keyvault: Journeys) -> CredentialValidated:
    """Call the provider with a key that is not kept, ten times a minute at most; 200 whether or not the key works."""
    return _validated(body.provider, await keyvault.own_credentials.try_out(by, _given(body)))


@router.patch("/{credential_id}")
async def change_credential(
    credential_id: PathId, body: ChangeCredential, by: ByUser, keyvault: Journeys, told: AnswersWhenTold
) -> ShownCredential:
    """Set a credential's name, key, or how it is used."""
    secret = Secret(body.api_key) if "api_key" in body.model_fields_set else None
    credential, outbox_id = await keyvault.own_credentials.change(by, credential_id, body.given(), secret)
    await told.wait(outbox_id)
    return _shown(keyvault, credential)


@router.delete("/{credential_id}", status_code=204)
async def remove_credential(credential_id: PathId, by: ByUser, keyvault: Journeys, told: AnswersWhenTold) -> None:
    """End a credential: it is never used again, and its key destroyed."""
    await told.wait(await keyvault.own_credentials.remove(by, credential_id))


@router.post("/{credential_id}/validate")
async def validate_credential(credential_id: PathId, by: ByUser, keyvault: Journeys) -> CredentialValidated:
    """Call the provider with a credential, ten times a minute at most, and keep whether it works."""
    credential, result = await keyvault.own_credentials.validate(by, credential_id)
    return _validated(credential.provider_type, result)


def _given(body: TryCredential) -> OwnGiven:
    members = body.model_dump(exclude={"api_key"}, exclude_none=True)
    return OwnGiven(secret=Secret(body.api_key), **members)


def _shown(keyvault: Keyvault, credential: Credential) -> ShownCredential:
    return ShownCredential(
        id=credential.id,
        provider=credential.provider_type,
        name=credential.name,
        is_default=credential.is_default,
        is_active=credential.enabled,
        status=credential.verdict,
        fallback_to_system=credential.fallback_to_system,
        last_validated_at=credential.last_validated_at,
        **members_of(keyvault, credential),
    )


def _validated(provider: str, result: ProbeResult) -> CredentialValidated:
    return CredentialValidated(
        valid=result.success,
        provider=provider,
        message=result.message,
        models_found=result.models_found,
        latency_ms=result.latency_ms,
    )
