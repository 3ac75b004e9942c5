"""`…/compare` and `…/estimate` over HTTP, and what an estimate is made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from catalog_sync.domain.estimates import tokens_of

PATH = "/api/v1/llm/models"


async def test_models_are_compared_in_the_order_asked_for_by_id_or_by_name(running: Any) -> None:
    gpt_4 = await running.model_id("gpt-4")
    answer = await running.public.get(
        f"{PATH}/compare", params={"ids": f"groq/llama-3.1-8b-instant, {gpt_4},openai/unpriced-1"}
    )
    assert answer.status_code == 200, answer.text
    llama, gpt, unpriced = answer.json()
    assert [one["name"] for one in (llama, gpt, unpriced)] == ["llama-3.1-8b-instant", "gpt-4", "unpriced-1"]
    assert gpt["price"]["rates"] == {"input_tokens": "30", "output_tokens": "60"}
    assert gpt["price"]["source"] == "packaged"
    assert (gpt["cost_per_1m_input"], unpriced["price"]) == (30.0, None)


async def test_a_comparison_of_nothing_of_too_much_or_of_the_unknown_is_refused(running: Any) -> None:
    assert (await running.public.get(f"{PATH}/compare", params={"ids": " , "})).status_code == 422
    assert (await running.public.get(f"{PATH}/compare", params={"ids": ",".join("abcdefghijk")})).status_code == 422
    unknown = await running.public.get(f"{PATH}/compare", params={"ids": "openai/gpt-4,openai/gpt-nothing"})
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "no such model: openai/gpt-nothing")


async def test_an_estimate_says_what_a_call_and_a_month_cost_the_cheapest_first(running: Any) -> None:
    asked = {
        "models": ["openai/gpt-4", "openai/gpt-4o-mini", "openai/unpriced-1", "openrouter/tongyi/deepresearch:free"],
        "input_tokens": 1000,
        "output_tokens": 500,
        "calls_per_month": 10_000,
    }
    answer = await running.public.post(f"{PATH}/estimate", json=asked)
    assert answer.status_code == 200, answer.text
    found = {one["name"]: one for one in answer.json()}
    assert list(found) == ["tongyi/deepresearch:free", "gpt-4o-mini", "unpriced-1", "gpt-4"]
    assert (found["gpt-4"]["cost_usd"], Decimal(found["gpt-4"]["monthly_cost_usd"])) == ("0.06", 600)
    assert Decimal(found["gpt-4o-mini"]["cost_usd"]) == Decimal("0.00045")
    assert (found["unpriced-1"]["is_fallback"], Decimal(found["unpriced-1"]["cost_usd"])) == (True, Decimal("0.00125"))
    assert found["tongyi/deepresearch:free"]["cost_usd"] == "0"
    assert not found["gpt-4"]["tokens_estimated"]


async def test_an_estimate_of_a_text_counts_its_tokens_and_says_so(running: Any) -> None:
    answer = await running.public.post(f"{PATH}/estimate", json={"models": ["openai/gpt-4"], "text": "Say hello!"})
    [one] = answer.json()
    assert (one["input_tokens"], one["tokens_estimated"], one["monthly_cost_usd"]) == (3, True, None)
    assert (tokens_of(""), tokens_of("a"), tokens_of("äöüß")) == (0, 1, 2)


async def test_an_estimate_without_models_or_with_two_inputs_or_none_is_refused(running: Any) -> None:
    for body in (
        {"models": [], "input_tokens": 1},
        {"models": ["openai/gpt-4"]},
        {"models": ["openai/gpt-4"], "input_tokens": 1, "text": "a"},
        {"models": ["openai/gpt-4"], "input_tokens": -1},
        {"models": ["openai/gpt-4"], "input_tokens": 1, "surprise": 1},
    ):
        assert (await running.public.post(f"{PATH}/estimate", json=body)).status_code == 422, body
