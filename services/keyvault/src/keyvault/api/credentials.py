"""`/internal/v1/credentials`: secrets for the gateway and catalog-sync, each with its own service token.

Not part of the public API; the gateway's edge does not forward here. What comes back is sealed to the key that the
service names, for this credential and version only.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Annotated

from common.errors import Unauthorized
from common.http.sessions import origin_of
from common.secret import Secret
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from keyvault.api.answers import Asked, Journeys, PathId, services_of
from keyvault.flows.deliveries import RecipientService

router = APIRouter(prefix="/internal/v1/credentials", include_in_schema=False)


class OpenFor(Asked):
    """The X25519 public key (base64url of 32 bytes) that the secret is to be sealed to."""

    recipient: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")


class Opened(BaseModel):
    """A sealed secret (`common.secret`), bound to the purpose `<credential_id>/<version>`."""

    credential_id: str
    version: int
    sealed: str


def proven_service(request: Request) -> RecipientService:
    """FastAPI dependency: the service that calls; Unauthorized when it is none."""
    return service_of(request.headers.get("authorization", ""), services_of(request).service_tokens)


@router.post("/{credential_id}/open")
async def open_credential(
    credential_id: PathId,
    body: OpenFor,
    request: Request,
    service: Annotated[RecipientService, Depends(proven_service)],
    keyvault: Journeys,
) -> Opened:
    """A credential's present secret."""
    delivery = await keyvault.deliveries.open(service, credential_id, body.recipient, origin_of(request))
    services_of(request).metrics.deliveries.labels(service).inc()
    return Opened(credential_id=delivery.credential_id, version=delivery.version, sealed=delivery.sealed)


def service_of(authorization: str, tokens: Mapping[RecipientService, Secret]) -> RecipientService:
    """Which service an Authorization header proves; each token is compared in constant time, and always all of them."""
    scheme, _, token = authorization.partition(" ")
    given = token.strip().encode()
    proven = [name for name, known in tokens.items() if hmac.compare_digest(known.reveal().encode(), given)]
    if scheme.lower() != "bearer" or not proven:
        raise Unauthorized("invalid service token")
    return proven[0]
