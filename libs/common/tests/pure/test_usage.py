"""Usage is disjoint buckets: their sum is the total, and OpenAI's way of counting comes back from them."""

from __future__ import annotations

import pytest
from common.contracts.usage import UsageCounts
from common.usage import NOTHING, TOKEN_BUCKETS, Usage
from hypothesis import given
from hypothesis import strategies as st

TOKENS = st.integers(0, 10**8)
USAGES = st.builds(
    Usage, *[TOKENS] * 8, st.dictionaries(st.text(min_size=1), st.integers(0, 1000), max_size=3), st.booleans()
)


@given(USAGES)
def test_every_token_is_counted_once(usage: Usage) -> None:
    total = sum(getattr(usage, bucket) for bucket in TOKEN_BUCKETS)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens == total


@given(USAGES)
def test_openai_is_shown_totals_that_include_their_details(usage: Usage) -> None:
    shown = usage.as_openai()
    assert shown["total_tokens"] == shown["prompt_tokens"] + shown["completion_tokens"] == usage.total_tokens
    assert sum(shown["prompt_tokens_details"].values()) <= shown["prompt_tokens"]
    assert sum(shown["completion_tokens_details"].values()) <= shown["completion_tokens"]
    assert shown["prompt_tokens_details"]["cached_tokens"] == usage.cached_input_tokens
    assert shown["completion_tokens_details"]["reasoning_tokens"] == usage.reasoning_tokens


@given(USAGES)
def test_an_event_carries_the_whole_record(usage: Usage) -> None:
    assert UsageCounts.model_validate(usage.as_event()).to_usage() == usage
    assert usage.as_event()["total_tokens"] == usage.total_tokens


def test_the_buckets_are_all_the_token_fields_of_the_record() -> None:
    assert set(TOKEN_BUCKETS) == set(Usage.__struct_fields__) - {"units", "estimated", "anomalous"}
    assert set(TOKEN_BUCKETS) | {"total_tokens", "units", "estimated", "anomalous"} == set(UsageCounts.model_fields)


def test_nothing_is_nothing_and_cannot_be_added_to() -> None:
    assert NOTHING.total_tokens == 0
    with pytest.raises(TypeError):
        NOTHING.units["images"] = 1  # type: ignore[index]
