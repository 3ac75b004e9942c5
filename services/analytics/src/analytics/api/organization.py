"""`/v1/organization/usage/completions` and `/v1/organization/costs`: what everybody used and paid, as OpenAI's admin API
says it, so that what reads that reads this.

A project is a team. For admins alone. Errors have the shape of `/v1`. Costs are what calls were priced at, all operations
together; usage counts those that put out text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from common.errors import TollgateError
from common.http.pages import JsonNumber
from common.http.sessions import current_caller
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from analytics.api.dependencies import Flows
from analytics.domain.buckets import BucketResult, Wanted, page_of
from analytics.flows import TooManyResults

router = APIRouter(prefix="/v1/organization", tags=["organization"])

_HOUR, _DAY = 3_600, 86_400
_GENERATING = ["chat", "completions", "compaction"]
_LAST_SECOND = 32_503_680_000  # the year 3000
_MOST_NAMES = 100


class _Amount(BaseModel):
    value: JsonNumber
    currency: str = "usd"


class _Wrong(Exception):
    """A question that cannot be answered; says which parameter."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the two lists: what it is told by, and by what its buckets may be told apart (OpenAI's name → ours)."""

    widths: Mapping[str, tuple[int, int, int]]
    """By name: seconds, buckets a page, and at most."""
    groups: Mapping[str, str]
    operations: list[str] | None
    tell: Callable[[BucketResult], dict[str, Any]]


def _usage(result: BucketResult) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "input_cached_tokens": result.cached_input_tokens,
        "input_audio_tokens": result.audio_input_tokens,
        "output_audio_tokens": result.audio_output_tokens,
        "num_model_requests": result.requests,
        "project_id": result.project_id,
        "user_id": result.user_id,
        "api_key_id": result.api_key_id,
        "model": result.model,
        "batch": None,
        "service_tier": None,
    }


def _cost(result: BucketResult) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": _Amount(value=Decimal(result.cost)).model_dump(mode="json"),
        "line_item": result.model,
        "project_id": result.project_id,
        "api_key_id": result.api_key_id,
    }


_USAGE = _Kind(
    widths=MappingProxyType({"1d": (_DAY, 7, 31), "1h": (_HOUR, 24, 168)}),
    groups=MappingProxyType({name: name for name in ("project_id", "user_id", "api_key_id", "model")}),
    operations=_GENERATING,
    tell=_usage,
)
_COSTS = _Kind(
    widths=MappingProxyType({"1d": (_DAY, 7, 180)}),
    groups=MappingProxyType({"project_id": "project_id", "api_key_id": "api_key_id", "line_item": "model"}),
    operations=None,
    tell=_cost,
)


@router.get("/usage/completions")
async def list_usage(request: Request, analytics: Flows) -> JSONResponse:
    """Tokens and requests by hour or day: `start_time`, `end_time`, `bucket_width` 1h or 1d, `project_ids`, `user_ids`,
    `api_key_ids`, `models`, `group_by`, `limit`, `page`."""
    return await _answer(request, analytics, _USAGE)


@router.get("/costs")
async def list_costs(request: Request, analytics: Flows) -> JSONResponse:
    """US dollars by day: `start_time`, `end_time`, `project_ids`, `api_key_ids`, `group_by`, `limit`, `page`."""
    return await _answer(request, analytics, _COSTS)


async def _answer(request: Request, analytics: Flows, kind: _Kind) -> JSONResponse:
    try:
        caller = await current_caller(request)
    except TollgateError as error:
        return _error(error.status, error.message, None)
    if not caller.is_admin:
        return _error(403, "for admins only", None)
    try:
        return JSONResponse(await _page(request, analytics, kind))
    except _Wrong as wrong:
        return _error(400, str(wrong), wrong.param)
    except TooManyResults as error:
        return _error(400, error.message, "limit")


async def _page(request: Request, analytics: Flows, kind: _Kind) -> dict[str, Any]:
    width = request.query_params.get("bucket_width") or "1d"
    if width not in kind.widths:
        raise _Wrong("bucket_width", f"bucket_width is one of {', '.join(kind.widths)}")
    seconds, usual, most = kind.widths[width]
    grouped = _names(request, "group_by") or []
    if unknown := [name for name in grouped if name not in kind.groups and name not in ("batch", "service_tier")]:
        raise _Wrong("group_by", f"group_by knows {', '.join(kind.groups)}, and not {unknown[0][:64]}")
    begins = _number(request, "start_time", None)
    ends = _number(request, "end_time", int(analytics.now().timestamp()))
    begins = max(begins, _place(request.query_params.get("page"), begins))
    span, further = page_of(begins, ends, seconds, _number(request, "limit", usual, 1, most))
    wanted = Wanted(
        project_ids=_names(request, "project_ids"),
        user_ids=_names(request, "user_ids"),
        api_key_ids=_names(request, "api_key_ids"),
        models=_names(request, "models"),
        operations=kind.operations,
    )
    buckets = await analytics.buckets(span, wanted, [kind.groups[name] for name in grouped if name in kind.groups])
    data = [_bucket(start, seconds, [kind.tell(one) for one in results]) for start, results in buckets]
    return {
        "object": "page",
        "data": data,
        "has_more": further is not None,
        "next_page": None if further is None else f"page_{further}",
    }


def _bucket(start: datetime, seconds: int, results: list[dict[str, Any]]) -> dict[str, Any]:
    begins = int(start.timestamp())
    return {"object": "bucket", "start_time": begins, "end_time": begins + seconds, "results": results}


def _names(request: Request, name: str) -> list[str] | None:
    """A parameter that may be given several times, as `name=` or `name[]=`, or once with commas."""
    given = [*request.query_params.getlist(name), *request.query_params.getlist(f"{name}[]")]
    found = [part for one in given for part in one.split(",") if part]
    if len(found) > _MOST_NAMES or any("\0" in one for one in found):
        raise _Wrong(name, f"{name}: at most {_MOST_NAMES} names")
    return found or None


def _number(request: Request, name: str, usual: int | None, least: int = 0, most: int = _LAST_SECOND) -> int:
    given = request.query_params.get(name)
    if given is None and usual is not None:
        return usual
    number = int(given) if given and given.isascii() and given.isdigit() and len(given) < 12 else -1
    if not least <= number <= most:
        raise _Wrong(name, f"{name} is a whole number from {least} to {most}")
    return number


def _place(token: str | None, begins: int) -> int:
    """Where a page begins."""
    if not token:
        return begins
    number = token.removeprefix("page_")
    if not (number.isascii() and number.isdigit() and len(number) < 12):
        raise _Wrong("page", "page is a token of an earlier answer")
    return int(number)


def _error(status: int, message: str, param: str | None) -> JSONResponse:
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": param,
        "code": status,
        "reason": _REASONS[status],
    }
    return JSONResponse({"error": error}, status, {"x-should-retry": "false"})


_REASONS = MappingProxyType({400: "invalid_request", 401: "invalid_api_key", 403: "admins_only"})
