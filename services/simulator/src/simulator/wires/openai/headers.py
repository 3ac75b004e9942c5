"""Response headers: request id, timings and rate limits, under each provider's names. Pure.

The limits shown do not move: the simulator limits nobody. A call refused with 429 shows them used up.
"""

from __future__ import annotations

import math

from simulator.wires.openai.rows import LimitHeaders, Row

Headers = list[tuple[bytes, bytes]]

REQUESTS, TOKENS, REMAINING_TOKENS = b"10000", b"2000000", b"1999900"

_LIMITS: dict[LimitHeaders, Headers] = {
    "openai": [
        (b"x-ratelimit-limit-requests", REQUESTS),
        (b"x-ratelimit-limit-tokens", TOKENS),
        (b"x-ratelimit-remaining-requests", b"9999"),
        (b"x-ratelimit-remaining-tokens", REMAINING_TOKENS),
        (b"x-ratelimit-reset-requests", b"6ms"),
        (b"x-ratelimit-reset-tokens", b"3ms"),
    ],
    "mistral": [
        (b"x-ratelimit-limit-req-minute", REQUESTS),
        (b"x-ratelimit-remaining-req-minute", b"9999"),
        (b"x-ratelimit-limit-tokens-minute", TOKENS),
        (b"x-ratelimit-remaining-tokens-minute", REMAINING_TOKENS),
        (b"x-ratelimit-tokens-query-cost", b"100"),
    ],
    "together": [
        (b"x-ratelimit-limit", REQUESTS),
        (b"x-ratelimit-remaining", b"9999"),
        (b"x-ratelimit-reset", b"1"),
    ],
    "counts": [
        (b"x-ratelimit-limit-requests", REQUESTS),
        (b"x-ratelimit-remaining-requests", b"9999"),
        (b"x-ratelimit-limit-tokens", TOKENS),
        (b"x-ratelimit-remaining-tokens", REMAINING_TOKENS),
    ],
    "none": [],
}


def provider_headers(row: Row) -> Headers:
    """The headers that every answer of this provider carries, whatever the call."""
    groq = [(b"x-groq-region", b"simulated")] if row.limits == "groq" else []
    openai = (
        [(b"openai-version", b"2020-10-01"), (b"openai-organization", b"simulated")] if row.name == "openai" else []
    )
    return [*_LIMITS["openai" if row.limits == "groq" else row.limits], *groq, *openai]


def call_headers(row: Row, call_id: str, milliseconds: int) -> Headers:
    """The headers that differ from call to call; `milliseconds` is the time spent on this one."""
    request_id = call_id.encode()
    if row.name == "openai":
        return [(b"x-request-id", request_id), (b"openai-processing-ms", b"%d" % milliseconds)]
    if row.name == "deepseek":
        return [(b"x-ds-trace-id", request_id)]
    if row.name == "openrouter":
        return [(b"x-generation-id", request_id), (b"x-provider-name", b"Simulated")]
    return [(b"x-request-id", request_id)]


def refusal_headers(headers: Headers, status: int, retry_after: float | None) -> Headers:
    """`headers` as they are when a call is refused: nothing remains after a 429; `retry_after` is in seconds."""
    if status == 429:
        headers = [(name, b"0" if b"-remaining" in name else value) for name, value in headers]
    if retry_after is None:
        return headers
    seconds, milliseconds = math.ceil(retry_after), round(retry_after * 1000)
    return [*headers, (b"retry-after", b"%d" % seconds), (b"retry-after-ms", b"%d" % milliseconds)]
