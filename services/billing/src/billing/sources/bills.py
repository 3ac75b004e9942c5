"""Providers' bills, asked for with an admin key of the operator's: a row of a table for each bill that can be had.

An admin key sees everything of an organization, so it is billing's alone, shown to that provider's own address and to
nothing else. Answers come in pages, a bounded number of them, each bounded in time and bytes (`common.http.fetch`) and all
of them in time, since somebody waits for the bill; what they say is `domain.bills`' matter.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from urllib.parse import quote, urlencode

from common.clock import rfc3339
from common.http.fetch import SourceUnreadable
from common.providers.auth import AUTH_SCHEMES
from common.providers.registry import PROVIDERS
from common.secret import Secret

from billing.domain.bills import Format

Fetch = Callable[[str, Mapping[str, str]], Awaitable[bytes]]
"""From a URL and headers to what stands there; SourceUnreadable."""
Query = Sequence[tuple[str, str]]

_MOST_PAGES = 200
_DEADLINE_SECONDS = 300.0
_BUCKETS_A_PAGE = "31"
_VERSION_HEADERS: Mapping[str, Mapping[str, str]] = MappingProxyType({"anthropic": {"anthropic-version": "2023-06-01"}})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a provider is asked, and with which key."""

    base_url: str
    key: Secret
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class BillRow:
    """One bill of one provider: the path below its base URL, and what is asked for days from first to last; several queries
    where the provider tells one day at a time."""

    provider_type: str
    form: Format
    path: str
    queries: Callable[[date, date], Iterator[Query]]


class BillSource:
    """Asks providers for their bills."""

    def __init__(self, fetch: Fetch, places: Mapping[str, Place], deadline_seconds: float = _DEADLINE_SECONDS) -> None:
        self._fetch = fetch
        self._places = places
        self._deadline_seconds = deadline_seconds

    def place_of(self, provider_type: str) -> Place | None:
        """Where a provider is asked; None: it cannot be."""
        return self._places.get(provider_type)

    async def pages(self, row: BillRow, first: date, last: date) -> list[str]:
        """The pages of a bill, as text; SourceUnreadable."""
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await self._pages(row, first, last)
        except TimeoutError as error:
            raise SourceUnreadable(f"it did not give its whole bill within {self._deadline_seconds:g} s") from error

    async def _pages(self, row: BillRow, first: date, last: date) -> list[str]:
        place, found = self._places[row.provider_type], list[str]()
        shown = {n.decode(): v.decode() for n, v in AUTH_SCHEMES[PROVIDERS[row.provider_type].auth](place.key.reveal())}
        headers = {**_VERSION_HEADERS.get(row.provider_type, {}), **shown}
        for query in row.queries(first, last):
            url = f"{place.base_url.rstrip('/')}{row.path}?{urlencode(query)}"
            following: str | None = ""
            while following is not None:
                if len(found) == _MOST_PAGES:
                    raise SourceUnreadable(f"its bill has more than {_MOST_PAGES} pages")
                body = await self._fetch(f"{url}&page={quote(following, safe='')}" if following else url, headers)
                found.append(_text(body))
                following = _following(found[-1])
        return found


def bill_row(provider_type: str, form: Format | None) -> BillRow | None:
    """The row of a provider's bill, the first where no format is named; None when there is none."""
    rows = (row for row in BILLS if row.provider_type == provider_type and form in (None, row.form))
    return next(rows, None)


def simulated_place(simulator_url: str, provider_type: str) -> Place:
    """Where the simulator plays a provider."""
    path = "/" + PROVIDERS[provider_type].base_url.split("/", 3)[3]
    return Place(f"{simulator_url.rstrip('/')}/{provider_type}{path}", Secret("sim-ok-billing"), is_simulated=True)


def _of_openai(group: str) -> Callable[[date, date], Iterator[Query]]:
    def queries(first: date, last: date) -> Iterator[Query]:
        seconds = [str(int(_midnight(day).timestamp())) for day in (first, last + timedelta(days=1))]
        yield (
            ("start_time", seconds[0]), ("end_time", seconds[1]), ("bucket_width", "1d"), ("group_by", group),
            ("limit", _BUCKETS_A_PAGE),
        )  # fmt: skip

    return queries


def _of_anthropic(first: date, last: date) -> Iterator[Query]:
    starts_at, ends_at = rfc3339(_midnight(first)), rfc3339(_midnight(last + timedelta(days=1)))
    yield (
        ("starting_at", starts_at), ("ending_at", ends_at), ("bucket_width", "1d"), ("group_by[]", "description"),
        ("limit", _BUCKETS_A_PAGE),
    )  # fmt: skip


def _by_day(first: date, last: date) -> Iterator[Query]:
    for number in range((last - first).days + 1):
        yield (("date", (first + timedelta(days=number)).isoformat()),)


BILLS: tuple[BillRow, ...] = (
    BillRow("openai", "openai_costs", "/organization/costs", _of_openai("line_item")),
    BillRow("openai", "openai_usage", "/organization/usage/completions", _of_openai("model")),
    BillRow("anthropic", "anthropic_cost", "/organizations/cost_report", _of_anthropic),
    BillRow("openrouter", "openrouter_activity", "/activity", _by_day),
)
"""Every bill that can be fetched; of a provider's several the first is its bill, if nobody says which."""


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise SourceUnreadable("its bill is no text") from error


def _following(page: str) -> str | None:
    """The name of the next page; None after the last."""
    try:
        told = json.loads(page)
    except (ValueError, RecursionError) as error:
        raise SourceUnreadable("its bill is no JSON") from error
    if not isinstance(told, dict) or not told.get("has_more"):
        return None
    following = told.get("next_page")
    if not isinstance(following, str) or not following:
        raise SourceUnreadable("its bill has more pages and does not say which")
    return following


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
