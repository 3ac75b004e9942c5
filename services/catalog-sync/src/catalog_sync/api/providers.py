"""`/api/v1/providers`: provider instances, for admins."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from common.errors import Unprocessable
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from common.http.sessions import current_admin
from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from catalog_sync.api.answers import Admin, Catalog, Telling, told
from catalog_sync.domain.providers import Provider

router = APIRouter(prefix="/api/v1/providers", tags=["providers"], dependencies=[Depends(current_admin)])

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Priority = Annotated[int, Field(ge=-1_000_000, le=1_000_000)]


class Configuration(BaseModel):
    """How an instance is reached: `base_url` null is the provider's usual one. Never a credential."""

    model_config = ConfigDict(extra="forbid")

    base_url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)


class ProviderDraft(BaseModel):
    """An instance to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    display_name: DisplayName | None = None
    provider_type: str = Field(max_length=64)
    config: Configuration = Field(default_factory=Configuration)
    enabled: bool = True
    priority: Priority = 0

    def fill(self, empty: Provider) -> Provider:
        """The instance that is meant."""
        return replace(
            empty,
            name=self.name,
            display_name=self.display_name or self.name,
            provider_type=self.provider_type,
            enabled=self.enabled,
            priority=self.priority,
            base_url=self.config.base_url,
            headers=self.config.headers,
            options=self.config.options,
        )


class ProviderPatch(BaseModel):
    """What to change of an instance; what is left out stays, of `config` too."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    display_name: DisplayName | None = None
    config: Configuration | None = None
    enabled: bool | None = None
    priority: Priority | None = None

    def edit(self, provider: Provider) -> Provider:
        """The instance with the changes."""
        changes = self.model_dump(exclude_unset=True, exclude={"config"})
        if None in changes.values():
            raise Unprocessable("only config.base_url can be null")
        config = self.config.model_dump(exclude_unset=True) if self.config else {}
        return replace(provider, **changes, **config)


class ProviderEntry(BaseModel):
    """An instance as it is shown."""

    id: str
    name: str
    display_name: str
    provider_type: str
    config: Configuration
    enabled: bool
    priority: int
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, provider: Provider) -> ProviderEntry:
        """The instance as it is shown."""
        return cls(
            id=provider.id,
            name=provider.name,
            display_name=provider.display_name,
            provider_type=provider.provider_type,
            config=Configuration(
                base_url=provider.base_url, headers=dict(provider.headers), options=dict(provider.options)
            ),
            enabled=provider.enabled,
            priority=provider.priority,
            created_at=provider.created_at,
            updated_at=provider.updated_at,
        )


@router.get("")
async def list_providers(catalog: Catalog, limit: Limit = 50, cursor: Cursor = None) -> Page[ProviderEntry]:
    """Instances by name."""
    position = decode_cursor(cursor, 1)
    found = await catalog.list_providers(str(position[0]) if position else None, limit + 1)
    more = encode_cursor(found[limit - 1].name) if len(found) > limit else None
    return Page(items=[ProviderEntry.of(one) for one in found[:limit]], next_cursor=more)


@router.post("", status_code=201, response_model=ProviderEntry)
async def add_provider(body: ProviderDraft, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Add an instance."""
    provider, last = await catalog.add_provider(admin.actor, body.fill)
    return _json(provider, 201, await told(relay, last))


@router.get("/{provider_id}")
async def show_provider(provider_id: str, catalog: Catalog) -> ProviderEntry:
    """One instance."""
    return ProviderEntry.of(await catalog.show_provider(provider_id))


@router.patch("/{provider_id}", response_model=ProviderEntry)
async def change_provider(
    provider_id: str, body: ProviderPatch, catalog: Catalog, relay: Telling, admin: Admin
) -> Response:
    """Change an instance."""
    provider, last = await catalog.change_provider(admin.actor, provider_id, body.edit)
    return _json(provider, 200, await told(relay, last))


@router.delete("/{provider_id}", status_code=204)
async def remove_provider(provider_id: str, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Remove an instance that is no default and that nothing leads to."""
    last = await catalog.remove_provider(admin.actor, provider_id)
    return Response(status_code=204, headers=await told(relay, last))


def _json(provider: Provider, status: int, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(ProviderEntry.of(provider).model_dump(mode="json"), status, headers)
