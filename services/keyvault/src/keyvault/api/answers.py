"""What the routers share: who calls, what they call, and how the answer to a write waits for its effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from common.errors import BadRequest
from common.http.app import revision_header
from common.http.pages import decode_cursor
from common.http.sessions import Caller, current_admin, current_caller
from common.postgres.outbox import Relay
from common.secret import Secret
from fastapi import Depends, Path, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict

from keyvault.domain.actors import Actor
from keyvault.flows import Keyvault
from keyvault.flows.deliveries import RecipientService
from keyvault.metrics import KeyvaultMetrics

PENDING_HEADER = "x-tollgate-pending"
_PUBLISHED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Services:
    """What the app keeps for its routes, in `app.state.services`."""

    keyvault: Keyvault
    relay: Relay
    metrics: KeyvaultMetrics
    service_tokens: Mapping[RecipientService, Secret]


def without_nul(text: str) -> str:
    """A text that Postgres can keep; ValueError for one that has a NUL."""
    if "\x00" in text:
        raise ValueError("should have no NUL characters")
    return text


PathId = Annotated[str, Path(max_length=200), AfterValidator(without_nul)]


class Asked(BaseModel):
    """A request's body: closed, so that a misspelt member is refused and not ignored."""

    model_config = ConfigDict(extra="forbid")


def services_of(request: Request) -> Services:
    """FastAPI dependency: what the app keeps."""
    services: Services = request.app.state.services
    return services


def keyvault_of(request: Request) -> Keyvault:
    """FastAPI dependency: the journeys."""
    return services_of(request).keyvault


def id_position(cursor: str | None) -> str | None:
    """The id at which a page begins; BadRequest for a cursor that is not ours."""
    position = decode_cursor(cursor, 1)
    if position is None:
        return None
    if not isinstance(position[0], str) or "\x00" in position[0]:
        raise BadRequest("unknown cursor")
    return position[0]


def _actor(caller: Caller) -> Actor:
    return Actor(caller.user_id, caller.is_admin, caller.origin)


def user_actor(caller: Annotated[Caller, Depends(current_caller)]) -> Actor:
    """FastAPI dependency: whoever is signed in."""
    return _actor(caller)


def admin_actor(caller: Annotated[Caller, Depends(current_admin)]) -> Actor:
    """FastAPI dependency: an admin who is signed in."""
    return _actor(caller)


Journeys = Annotated[Keyvault, Depends(keyvault_of)]
ByUser = Annotated[Actor, Depends(user_actor)]
ByAdmin = Annotated[Actor, Depends(admin_actor)]


class Told:
    """FastAPI dependency of a write: waits until what it tells is out, and says so in the answer's headers."""

    def __init__(self, request: Request, response: Response) -> None:
        self._relay = services_of(request).relay
        self._response = response

    async def wait(self, outbox_id: int) -> None:
        """Wait, at most a second, for an outbox row and all before it."""
        revisions = await self._relay.published(outbox_id, _PUBLISHED_SECONDS)
        headers = {PENDING_HEADER: "true"} if revisions is None else revision_header(revisions)
        self._response.headers.update(headers)


AnswersWhenTold = Annotated[Told, Depends(Told)]
