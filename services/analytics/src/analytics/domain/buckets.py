"""Spans of time cut into buckets, and pages of them. Pure.

A bucket is an hour or a day of UTC, since that is what the rollups keep. A page is a run of buckets; the next one begins
where it ends, and says so in its token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple


class BucketResult(NamedTuple):
    """What one group's calls of a bucket add up to; US dollars exact, tokens as OpenAI counts them. What a bucket is not
    grouped by is None."""

    project_id: str | None
    user_id: str | None
    api_key_id: str | None
    model: str | None
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose calls and which; None: all. A project is a team."""

    project_ids: list[str] | None = None
    user_ids: list[str] | None = None
    api_key_ids: list[str] | None = None
    models: list[str] | None = None
    operations: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Whole buckets from `begins` (inclusive) to `ends` (exclusive)."""

    begins: datetime
    ends: datetime
    width_seconds: int

    def starts(self) -> list[datetime]:
        """When each bucket begins."""
        width = timedelta(seconds=self.width_seconds)
        return [self.begins + number * width for number in range((self.ends - self.begins) // width)]


def page_of(begins: int, ends: int, width_seconds: int, limit: int) -> tuple[Span, int | None]:
    """The buckets that hold the seconds (since 1970) from `begins` to before `ends`, at most `limit` of them, and where
    the next page begins, if there is one."""
    first = begins // width_seconds * width_seconds
    last = -(-max(ends, first + 1) // width_seconds) * width_seconds
    stop = min(last, first + limit * width_seconds)
    span = Span(datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(stop, UTC), width_seconds)
    return span, stop if stop < last else None


def filled(span: Span, found: Iterable[tuple[datetime, BucketResult]]) -> Sequence[tuple[datetime, list[BucketResult]]]:
    """Every bucket of a span with what was counted in it."""
    buckets: dict[datetime, list[BucketResult]] = {start: [] for start in span.starts()}
    for start, result in found:
        buckets[start].append(result)
    return list(buckets.items())
