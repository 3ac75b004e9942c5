"""What the simulator bills for the calls that it got, as each provider shows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

TODAY = datetime.now(UTC).date()
MIDNIGHT = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
SECONDS = int(MIDNIGHT.timestamp())


@pytest.fixture(autouse=True)
def _fresh(caller: Any) -> Iterator[None]:
    caller.http.delete("/control/journal")
    yield
    caller.http.delete("/control/journal")


def used(caller: Any, model: str = "gpt-4", cached: int = 0, **more: Any) -> None:
    content = f"[[simulate tokens=10 prompt_tokens=100 cached_tokens={cached}]]"
    assert caller.chat(content, model=model, **more).status_code == 200


def test_costs_are_told_by_day_and_line_item(caller: Any) -> None:
    rates = {"provider": "openai", "model": "gpt-4", "input": "30", "output": "60", "cached": "15"}
    assert caller.http.post("/control/rates", json=rates).status_code == 201
    used(caller)
    used(caller, cached=40)
    query = {"start_time": SECONDS - 86_400, "end_time": SECONDS + 86_400, "limit": 31, "group_by": "line_item"}
    page = caller.http.get("/openai/v1/organization/costs", params=query).json()
    yesterday, today = page["data"]
    assert (page["has_more"], yesterday["results"], today["start_time"]) == (False, [], SECONDS)
    assert {row["line_item"]: Decimal(str(row["amount"]["value"])) for row in today["results"]} == {
        "gpt-4, input": Decimal("0.0048"),
        "gpt-4, cached input": Decimal("0.0006"),
        "gpt-4, output": Decimal("0.0012"),
    }


def test_usage_is_told_by_model_and_in_pages(caller: Any) -> None:
    used(caller)
    used(caller, model="gpt-4o")
    query = {"start_time": SECONDS, "end_time": SECONDS + 2 * 86_400, "limit": 1}
    path = "/openai/v1/organization/usage/completions"
    page = caller.http.get(path, params=query).json()
    assert [(row["model"], row["input_tokens"], row["output_tokens"]) for row in page["data"][0]["results"]] == [
        ("gpt-4", 100, 10),
        ("gpt-4o", 100, 10),
    ]
    assert page["has_more"]
    last = caller.http.get(path, params=query | {"page": page["next_page"]}).json()
    assert (last["data"][0]["results"], last["has_more"], last["next_page"]) == ([], False, None)


def test_anthropic_tells_cents(caller: Any) -> None:
    body = {
        "model": "claude-x",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "[[simulate tokens=10 prompt_tokens=100]]"}],
    }
    headers = {"x-api-key": "sim-ok-t", "anthropic-version": "2023-06-01"}
    assert caller.http.post("/anthropic/v1/messages", json=body, headers=headers).status_code == 200
    query = {"starting_at": f"{TODAY}T00:00:00Z", "ending_at": f"{TODAY + timedelta(days=1)}T00:00:00Z"}
    [day] = caller.http.get("/anthropic/v1/organizations/cost_report", params=query, headers=headers).json()["data"]
    assert {row["token_type"]: Decimal(row["amount"]) for row in day["results"]} == {
        "uncached_input_tokens": Decimal("0.005"),
        "output_tokens": Decimal("0.0015"),
    }


def test_openrouter_tells_one_day(caller: Any) -> None:
    used(caller, model="a/b", prefix="/openrouter/api/v1")
    path = "/openrouter/api/v1/activity"
    [row] = caller.http.get(path, params={"date": TODAY.isoformat()}).json()["data"]
    assert (row["model"], row["prompt_tokens"], row["completion_tokens"], row["usage"]) == ("a/b", 100, 10, 0.000065)
    assert caller.http.get(path, params={"date": "2020-01-01"}).json()["data"] == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/openai/v1/organization/costs", {}),
        ("/openai/v1/organization/costs", {"start_time": 0, "end_time": 10**20}),
        ("/openai/v1/organization/costs", {"start_time": SECONDS, "end_time": SECONDS, "limit": 0}),
        ("/openrouter/api/v1/activity", {"date": "someday"}),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(caller: Any, path: str, query: dict[str, Any]) -> None:
    assert caller.http.get(path, params=query).status_code == 400


def test_a_bill_needs_a_good_key(caller: Any) -> None:
    headers = {"authorization": "Bearer sim-bad-admin"}
    assert caller.http.get("/openai/v1/organization/costs", headers=headers).status_code == 401
