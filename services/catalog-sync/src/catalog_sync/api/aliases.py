"""`/api/v1/aliases`: names of ours for deployments, for admins."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from common.errors import Unprocessable
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from common.http.sessions import current_admin
from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog_sync.api.answers import Admin, Catalog, Telling, told
from catalog_sync.api.shapes import ModelName
from catalog_sync.domain.aliases import Alias, Deployment, Strategy

router = APIRouter(prefix="/api/v1/aliases", tags=["aliases"], dependencies=[Depends(current_admin)])

_MAX_DEPLOYMENTS = 32

AliasName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$")]


class DeploymentEntry(BaseModel):
    """One place that an alias leads to; `provider` is a type or an instance's name, the lowest priority goes first."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    provider: str = Field(min_length=1, max_length=64)
    model: ModelName
    weight: int = Field(default=1, ge=0, le=1_000_000)
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)

    def to_deployment(self) -> Deployment:
        """The same as the domain has it."""
        return Deployment(self.provider, self.model, self.weight, self.priority)


Deployments = Annotated[list[DeploymentEntry], Field(min_length=1, max_length=_MAX_DEPLOYMENTS)]


Seconds = Annotated[float, Field(ge=0.01, le=3_600)]


class Timeouts(BaseModel):
    """How long each attempt of an alias's calls waits, in seconds: for a connection, for the first byte of an answer,
    between its pieces, and in all. What is null waits as long as any call."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    connect_s: Seconds | None = None
    first_byte_s: Seconds | None = None
    between_chunks_s: Seconds | None = None
    total_s: Seconds | None = None

    def given(self) -> dict[str, float]:
        """Those that are not null."""
        return self.model_dump(exclude_none=True)


class AliasDraft(BaseModel):
    """An alias to make."""

    model_config = ConfigDict(extra="forbid")

    alias: AliasName
    deployments: Deployments
    strategy: Strategy = "priority"
    timeouts: Timeouts = Timeouts()
    enabled: bool = True

    def fill(self, empty: Alias) -> Alias:
        """The alias that is meant."""
        return replace(
            empty,
            alias=self.alias,
            deployments=tuple(one.to_deployment() for one in self.deployments),
            strategy=self.strategy,
            enabled=self.enabled,
            timeouts=self.timeouts.given(),
        )


class AliasPatch(BaseModel):
    """What to change of an alias; what is left out stays. `deployments` and `timeouts` replace all of theirs."""

    model_config = ConfigDict(extra="forbid")

    alias: AliasName | None = None
    deployments: Deployments | None = None
    strategy: Strategy | None = None
    timeouts: Timeouts | None = None
    enabled: bool | None = None

    def edit(self, alias: Alias) -> Alias:
        """The alias with the changes."""
        changes = {name: getattr(self, name) for name in self.model_fields_set}
        if None in changes.values():
            raise Unprocessable("nothing of an alias can be null")
        if self.deployments is not None:
            changes["deployments"] = tuple(one.to_deployment() for one in self.deployments)
        if self.timeouts is not None:
            changes["timeouts"] = self.timeouts.given()
        return replace(alias, **changes)


class AliasEntry(BaseModel):
    """An alias as it is shown."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    alias: str
    deployments: list[DeploymentEntry]
    strategy: str
    timeouts: Timeouts
    enabled: bool
    created_at: datetime
    updated_at: datetime


@router.get("")
async def list_aliases(catalog: Catalog, limit: Limit = 50, cursor: Cursor = None) -> Page[AliasEntry]:
    """Aliases by name."""
    position = decode_cursor(cursor, 1)
    found = await catalog.list_aliases(str(position[0]) if position else None, limit + 1)
    more = encode_cursor(found[limit - 1].alias) if len(found) > limit else None
    return Page(items=[AliasEntry.model_validate(one) for one in found[:limit]], next_cursor=more)


@router.post("", status_code=201, response_model=AliasEntry)
async def add_alias(body: AliasDraft, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Add an alias."""
    alias, last = await catalog.add_alias(admin.actor, body.fill)
    return _json(alias, 201, await told(relay, last))


@router.get("/{alias_id}")
async def show_alias(alias_id: str, catalog: Catalog) -> AliasEntry:
    """One alias."""
    return AliasEntry.model_validate(await catalog.show_alias(alias_id))


@router.patch("/{alias_id}", response_model=AliasEntry)
async def change_alias(alias_id: str, body: AliasPatch, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Change an alias."""
    alias, last = await catalog.change_alias(admin.actor, alias_id, body.edit)
    return _json(alias, 200, await told(relay, last))


@router.delete("/{alias_id}", status_code=204)
async def remove_alias(alias_id: str, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Remove an alias."""
    last = await catalog.remove_alias(admin.actor, alias_id)
    return Response(status_code=204, headers=await told(relay, last))


def _json(alias: Alias, status: int, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(AliasEntry.model_validate(alias).model_dump(mode="json"), status, headers)
