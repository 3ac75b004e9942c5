"""`/api/v1/llm/models`: the public catalog, and what admins do to it.

Fixed paths stand before `{model_id}`, which would take them.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal
from urllib.parse import urlencode

from common.errors import BadRequest, Unprocessable
from common.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from catalog_sync.api.answers import Admin, Catalog, Telling, instant_and_id, told
from catalog_sync.api.estimates import ComparedEntry, EstimateEntry, EstimateRequest
from catalog_sync.api.shapes import ModelDraft, ModelEntry, ModelPatch, PriceEntry, SeenEntry, SyncDetail, SyncEntry
from catalog_sync.domain.estimates import estimates
from catalog_sync.domain.models import ListedEntry, ModelFilter

router = APIRouter(prefix="/api/v1/llm/models", tags=["models"])

_DEFAULT_SOURCE = "packaged"
_ENTRIES = TypeAdapter(list[ModelEntry])
_MAX_OFFSET = 1_000_000
_MOST_COMPARED = 10

Text = Annotated[str | None, Query(min_length=1, max_length=256)]
Sort = Literal["name", "-name", "price", "-price", "context_length", "-context_length"]
Offset = Annotated[int, Query(ge=0, le=_MAX_OFFSET, description="models to leave out at the beginning")]


@router.get("", response_model=list[ModelEntry])
async def list_models(
    request: Request,
    catalog: Catalog,
    provider: Text = None,
    search: Text = None,
    capability: Text = None,
    enabled: bool | None = None,
    sort: Sort = "name",
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """The models asked for; `X-Total-Count` says how many there are, `Link` where the other pages are."""
    asked = ModelFilter(provider and provider.lower(), search, capability and capability.lower(), enabled)
    rendered = await catalog.list_models(asked, sort, limit, offset, _render)
    total, _, body = rendered.partition(b"\n")
    headers = {"x-total-count": total.decode(), **_links(request, limit, offset, int(total))}
    return _tagged(request, body, headers)


@router.post("", status_code=201, response_model=ModelEntry)
async def add_model(body: ModelDraft, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Add a model that no source lists."""
    if body.has_half_a_price:
        raise Unprocessable("cost_per_1m_input and cost_per_1m_output go together: give both or neither")
    entry, last = await catalog.add_model(admin.actor, body.provider, body.to_facts(), body.to_rates())
    return _json(ModelEntry.of(entry), 201, await told(relay, last))


@router.post("/sync", response_model=SyncEntry)
async def sync_models(
    catalog: Catalog, relay: Telling, admin: Admin, source: Annotated[str, Query(max_length=128)] = _DEFAULT_SOURCE
) -> Response:
    """Read a source now and take in what it lists."""
    sync, last = await catalog.sync(source, admin.actor)
    return _json(SyncEntry.of(sync), 200, await told(relay, last))


@router.get("/syncs")
async def list_syncs(catalog: Catalog, limit: Limit = 50, cursor: Cursor = None) -> Page[SyncEntry]:
    """Records of syncs, the latest first."""
    found = await catalog.list_syncs(instant_and_id(cursor), limit + 1)
    page, last = [SyncEntry.of(one) for one in found[:limit]], found[limit - 1 : limit]
    more = encode_cursor(last[0].started_at.isoformat(), last[0].id) if len(found) > limit else None
    return Page(items=page, next_cursor=more)


@router.get("/syncs/{sync_id}")
async def show_sync(catalog: Catalog, sync_id: str) -> SyncDetail:
    """One sync, with what it changed: the first 200 of each kind."""
    return SyncDetail.model_validate(await catalog.show_sync(sync_id))


@router.get("/seen")
async def list_seen(catalog: Catalog, admin: Admin, limit: Limit = 50, cursor: Cursor = None) -> Page[SeenEntry]:
    """Models that were called and have no price."""
    position = decode_cursor(cursor, 2)
    found = await catalog.list_seen((str(position[0]), str(position[1])) if position else None, limit + 1)
    more = encode_cursor(found[limit - 1].provider_type, found[limit - 1].name) if len(found) > limit else None
    return Page(items=[SeenEntry.of(one) for one in found[:limit]], next_cursor=more)


@router.get("/compare")
async def compare_models(
    catalog: Catalog,
    ids: Annotated[str, Query(min_length=1, max_length=8192, description="ids or `provider/name`s, with commas")],
) -> list[ComparedEntry]:
    """Up to ten models side by side, each with everything its price says."""
    references = [one.strip() for one in ids.split(",") if one.strip()]
    if not 1 <= len(references) <= _MOST_COMPARED:
        raise Unprocessable(f"ids should name 1 to {_MOST_COMPARED} models")
    return [ComparedEntry.with_price(one) for one in await catalog.price_models(references)]


@router.post("/estimate")
async def estimate_costs(catalog: Catalog, body: EstimateRequest) -> list[EstimateEntry]:
    """What calls would cost at each of some models, the cheapest first."""
    priced = await catalog.price_models(body.models)
    return [EstimateEntry.of(one) for one in estimates(priced, body.to_volume())]


@router.get("/{model_id}", response_model=ModelEntry)
async def show_model(request: Request, catalog: Catalog, model_id: str) -> Response:
    """One model."""
    entry = await catalog.show_model(model_id)
    return _tagged(request, ModelEntry.of(entry).model_dump_json().encode(), {})


@router.patch("/{model_id}", response_model=ModelEntry)
async def change_model(model_id: str, body: ModelPatch, catalog: Catalog, relay: Telling, admin: Admin) -> Response:
    """Allow or forbid calls of a model."""
    entry, last = await catalog.enable_model(admin.actor, model_id, body.enabled)
    return _json(ModelEntry.of(entry), 200, await told(relay, last))


@router.get("/{model_id}/prices")
async def list_prices(catalog: Catalog, model_id: str, limit: Limit = 50, cursor: Cursor = None) -> Page[PriceEntry]:
    """A model's price rows, the latest added first; of rows with one start the later added holds."""
    position = decode_cursor(cursor, 1)
    if position and not isinstance(position[0], int):
        raise BadRequest("unknown cursor")
    found = await catalog.list_prices(model_id, position[0] if position else None, limit + 1)
    more = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return Page(items=[PriceEntry.of(row) for row in found[:limit]], next_cursor=more)


def _render(entries: list[ListedEntry], total: int) -> bytes:
    """How many there are in all, on a line of its own, then the body."""
    return b"%d\n" % total + _ENTRIES.dump_json([ModelEntry.of(entry) for entry in entries])


def _tagged(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """The body with its ETag, or 304 for whoever holds it already."""
    tag = f'"{hashlib.sha256(body + repr(sorted(headers.items())).encode()).hexdigest()[:32]}"'
    headers = {**headers, "etag": tag, "cache-control": "no-cache"}
    if _holds(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _holds(if_none_match: str, tag: str) -> bool:
    known = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in known or "*" in known


def _links(request: Request, limit: int, offset: int, total: int) -> dict[str, str]:
    """The `Link` header: relative, since the front door has another host."""
    offsets = {"first": 0, "last": (total - 1) // limit * limit if total else 0}
    if offset > 0:
        offsets["prev"] = max(0, offset - limit)
    if offset + limit < total:
        offsets["next"] = offset + limit
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("limit", "offset")]
    path = request.url.path
    return {
        "link": ", ".join(
            f'<{path}?{urlencode([*kept, ("limit", limit), ("offset", start)])}>; rel="{relation}"'
            for relation, start in offsets.items()
        )
    }


def _json(shape: ModelEntry | SyncEntry, status: int, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(shape.model_dump(mode="json"), status, headers)
