"""What the simulator bills: providers' own reports of costs and usage, over the calls that are in the records.

Tokens are those of the records, by UTC day, provider and model, at rates in US dollars per million that tests set (`POST
/control/rates`); whatever has none costs 0.50 and 1.50. Amounts are exact decimals. Pages are as long as the caller wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec

from simulator.records import CallRecords, Total
from simulator.refusals import Refusal

MOST_RATES = 1_000
_encode = msgspec.json.Encoder(decimal_format="number").encode
_MILLION = Decimal(1_000_000)
_DAY = timedelta(days=1)
_MOST_DAYS = 400


class Rates(msgspec.Struct, frozen=True):
    """What a provider's model costs from now on, for all calls: US dollars per million tokens."""

    provider: str
    model: str
    input: Decimal = Decimal("0.50")
    output: Decimal = Decimal("1.50")
    cached: Decimal | None = None


Query = Mapping[str, list[str]]


class Bills:
    """Answers the paths at which providers show what they bill."""

    def __init__(self, records: CallRecords) -> None:
        self._records = records
        self._rates: dict[tuple[str, str], Rates] = {}
        self._answers: Mapping[str, tuple[str, Callable[[str, Query], bytes]]] = {
            "/openai/v1/organization/costs": ("openai", self._openai_costs),
            "/openai/v1/organization/usage/completions": ("openai", self._openai_usage),
            "/anthropic/v1/organizations/cost_report": ("anthropic", self._anthropic_cost),
            "/openrouter/api/v1/activity": ("openrouter", self._openrouter_activity),
        }

    def set_rates(self, rates: Rates) -> None:
        """Bill a model at these rates. Raises Refusal for those that are none, or too many."""
        given = (rates.input, rates.output, rates.cached or Decimal(0))
        if not all(rate.is_finite() and rate >= 0 for rate in given):
            raise Refusal(400, "a rate is an amount of US dollars per million tokens")
        if len(self._rates) >= MOST_RATES and (rates.provider, rates.model) not in self._rates:
            raise Refusal(400, f"there are rates of {MOST_RATES} models already")
        self._rates[rates.provider, rates.model] = rates

    def find(self, method: str, path: str, query: bytes) -> bytes | None:
        """The body of a report; None when the path is no report's. Raises Refusal for a query that makes no sense."""
        if method != "GET" or path not in self._answers:
            return None
        provider, answer = self._answers[path]
        try:
            return answer(provider, parse_qs(query.decode("latin-1")))
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            raise Refusal(400, "The query of this report makes no sense.", kind="invalid_request_error") from error

    def _openai_costs(self, provider: str, query: Query) -> bytes:
        def results(total: Total) -> Iterator[dict[str, Any]]:
            for item, _, _, amount in self._items(total):
                cost = {"value": amount, "currency": "usd"}
                name = f"{total.model}, {item}"
                yield {"object": "organization.costs.result", "amount": cost, "line_item": name, "project_id": None}

        return self._openai(provider, query, results)

    def _openai_usage(self, provider: str, query: Query) -> bytes:
        def results(total: Total) -> Iterator[dict[str, Any]]:
            yield {
                "object": "organization.usage.completions.result",
                "input_tokens": total.prompt_tokens,
                "output_tokens": total.completion_tokens,
                "input_cached_tokens": total.cached_tokens,
                "num_model_requests": total.calls,
                "model": total.model,
            }

        return self._openai(provider, query, results)

    def _openai(self, provider: str, query: Query, results: Callable[[Total], Iterator[dict[str, Any]]]) -> bytes:
        days, following = _page(_day(query["start_time"][0]), _day(query["end_time"][0]), query)
        data = [
            {
                "object": "bucket",
                "start_time": _seconds(day),
                "end_time": _seconds(day + _DAY),
                "results": [row for total in self._records.of_day(day, provider) for row in results(total)],
            }
            for day in days
        ]
        return _encode({"object": "page", "data": data, "has_more": following is not None, "next_page": following})

    def _anthropic_cost(self, provider: str, query: Query) -> bytes:
        first, end = (datetime.fromisoformat(query[name][0]).date() for name in ("starting_at", "ending_at"))
        days, following = _page(first, end, query)
        data = [
            {
                "starting_at": f"{day.isoformat()}T00:00:00Z",
                "ending_at": f"{(day + _DAY).isoformat()}T00:00:00Z",
                "results": [row for total in self._records.of_day(day, provider) for row in self._of_anthropic(total)],
            }
            for day in days
        ]
        return _encode({"data": data, "has_more": following is not None, "next_page": following})

    def _of_anthropic(self, total: Total) -> Iterator[dict[str, Any]]:
        """Amounts are cents, as text."""
        for _, token_type, words, amount in self._items(total):
            yield {
                "currency": "USD",
                "amount": f"{amount * 100:f}",
                "workspace_id": None,
                "description": f"{total.model} Usage - {words}",
                "cost_type": "tokens",
                "context_window": "0-200k",
                "model": total.model,
                "service_tier": "standard",
                "token_type": token_type,
            }

    def _openrouter_activity(self, provider: str, query: Query) -> bytes:
        day = date.fromisoformat(query["date"][0])
        data = [
            {
                "date": day.isoformat(),
                "model": total.model,
                "model_permaslug": total.model,
                "endpoint_id": "00000000-0000-0000-0000-000000000000",
                "provider_name": "Simulated",
                "usage": sum((amount for _, _, _, amount in self._items(total)), Decimal(0)),
                "byok_usage_inference": 0,
                "requests": total.calls,
                "prompt_tokens": total.prompt_tokens,
                "completion_tokens": total.completion_tokens,
                "reasoning_tokens": total.reasoning_tokens,
            }
            for total in self._records.of_day(day, provider)
        ]
        return _encode({"data": data})

    def _items(self, total: Total) -> Iterator[tuple[str, str, str, Decimal]]:
        """What was used, as OpenAI, Anthropic and people call it, and US dollars for it; nothing that costs nothing."""
        rates = self._rates.get((total.provider, total.model)) or Rates(total.provider, total.model)
        cached = rates.input if rates.cached is None else rates.cached
        for item, token_type, words, tokens, rate in (
            ("input", "uncached_input_tokens", "Input Tokens", total.prompt_tokens - total.cached_tokens, rates.input),
            ("cached input", "cache_read_input_tokens", "Cache Read Tokens", total.cached_tokens, cached),
            ("output", "output_tokens", "Output Tokens", total.completion_tokens, rates.output),
        ):
            if tokens and rate:
                yield item, token_type, words, tokens * rate / _MILLION


def _page(first: date, end: date, query: Query) -> tuple[list[date], str | None]:
    """The days of a page, up to and without `end`, and the name of the next page: the day it begins with."""
    begin = date.fromisoformat(query["page"][0]) if "page" in query else first
    limit = int(query.get("limit", ["7"])[0])
    if not first <= begin <= end or not 1 <= limit <= _MOST_DAYS or (end - first).days > _MOST_DAYS:
        raise ValueError("no such page")
    days = [begin + number * _DAY for number in range(min(limit, (end - begin).days))]
    following = begin + limit * _DAY
    return days, following.isoformat() if following < end else None


def _day(seconds: str) -> date:
    return datetime.fromtimestamp(int(seconds), UTC).date()


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
