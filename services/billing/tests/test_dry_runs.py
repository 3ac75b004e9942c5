"""Why a call would be let through or refused: the same rule and counters as the gateway's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest_asyncio
import redis.asyncio as redis
from common.contracts.snapshots import KeySnapshot, ModelSnapshot, PriceSnapshot, UserSnapshot
from common.money import Money

MakeEvent = Callable[..., Any]
Eventually = Callable[..., Awaitable[Any]]
MONTH = datetime.now(UTC).strftime("%Y:%m")


@pytest_asyncio.fixture
async def asking(service: Any, eventually: Eventually) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Asks for a decision as ann, whose key has $1 a month, for gpt-4 at $30 and $60 per million tokens."""
    rates = {"input_tokens": Decimal(30), "output_tokens": Decimal(60)}
    price = PriceSnapshot(version="p1", starts_at=datetime(2020, 1, 1, tzinfo=UTC), rates=rates)
    model = ModelSnapshot(id="m1", provider_type="openai", name="gpt-4", context_length=8192, prices=(price,))
    key = KeySnapshot(
        id="key-a", name="a", secrets=(), user_id="ann", monthly_budget=Money.of(1), allowed_models=("gpt-4",)
    )
    keys, catalog = [await service.bus.jetstream.key_value(name) for name in ("keys", "catalog")]
    await keys.put("key-a", key.model_dump_json().encode())
    await keys.put("user.ann", UserSnapshot(id="ann", monthly_budget=Money.of(5)).model_dump_json().encode())
    await catalog.put("model.m1", model.model_dump_json().encode())

    async def ask(who: str = "ann", **members: Any) -> dict[str, Any]:
        body = {"model": "gpt-4", "api_key_id": "key-a", "input_tokens": 1000, "max_tokens": 1000, **members}
        answer = await service.client.post("/api/v1/billing/dry-run", json=body, headers=service.signed_in(who))
        return {"status": answer.status_code, **answer.json()}

    async def is_known() -> bool:
        decided = await ask()
        return bool(decided["status"] == 200 and decided["reason"] == "allowed")

    await eventually(is_known)
    return ask


async def test_a_call_with_room_is_let_through_and_says_what_it_can_cost(asking: Any) -> None:
    decided = await asking(n=2)
    assert (decided["allowed"], decided["rule"], decided["most_usd"]) == (True, None, "0.15")
    [place] = decided["deployments"]
    assert (place["provider_type"], place["price_version"], place["max_output_tokens"]) == ("openai", "p1", 1000)
    assert {rule["scope"]: rule["limit_usd"] for rule in place["budgets"]} == {"key:key-a": "1", "user:ann": "5"}


async def test_the_budget_without_room_is_the_rule_and_what_is_held_may_come_free(
    asking: Any, service: Any, redis_url: str
) -> None:
    client = redis.from_url(redis_url)
    await client.set(f"cost:key-a:{MONTH}", 400_000_000)
    await client.hset(f"other:key:key-a:{MONTH.replace(':', '-')}", "total", "520000000")
    refused = await asking()
    assert (refused["allowed"], refused["reason"]) == (False, "budget_exceeded")
    assert (refused["rule"]["scope"], refused["rule"]["spent_usd"]) == ("key:key-a", "0.92")
    assert not refused["deployments"][0]["retry_may_help"]
    await client.set(f"cost:key-a:{MONTH}", 0)
    await client.set(f"held:key-a:{MONTH}", 400_000_000)
    waiting = await asking()
    assert (waiting["allowed"], waiting["rule"]["reserved_usd"]) == (False, "0.4")
    assert waiting["deployments"][0]["retry_may_help"]
    await client.aclose()


async def test_a_further_budget_refuses_too_and_a_soft_one_does_not(asking: Any, service: Any) -> None:
    for mode, allowed in (("hard", False), ("soft", True)):
        body = {"limit": 0.01, "scope": "provider", "scope_id": "openai", "period": "daily", "mode": mode}
        made = await service.client.post("/api/budgets", json=body, headers=service.signed_in("ann"))
        decided = await asking()
        assert decided["allowed"] is allowed
        if not allowed:
            assert (decided["rule"]["budget_id"], decided["rule"]["scope"]) == (
                made.json()["id"],
                "user:ann/provider:openai",
            )


async def test_what_needs_no_counter_is_told_first(asking: Any) -> None:
    assert (await asking(model="nobody-knows"))["reason"] == "model_not_found"
    assert (await asking(model="openai/gpt-4"))["reason"] == "model_not_allowed"
    assert (await asking("bob"))["status"] == 404
    assert (await asking(api_key_id=None, messages=[{"role": "user", "content": "hello"}], input_tokens=None))[
        "allowed"
    ]


async def test_an_explanation_says_what_the_figure_is_made_of(
    service: Any, usage_event: MakeEvent, eventually: Eventually
) -> None:
    headers = service.signed_in("ann")
    made = (await service.client.post("/api/budgets", json={"limit": 2, "period": "total"}, headers=headers)).json()
    await service.publish(
        usage_event("small", user_id="ann", cost="0.25"),
        usage_event("large", user_id="ann", cost="0.875", budgets=["user:ann:total"]),
    )

    async def counted() -> dict[str, Any]:
        answer = await service.client.get(f"/api/budgets/{made['id']}/explain", headers=headers)
        found: dict[str, Any] = answer.json()
        return found if found["budget"]["spent"] == 1.125 else {}

    found = await eventually(counted)
    assert (found["counter"], found["settled_usd"], found["other_usd"]) == ("user:ann:total", "0.875", "0.25")
    assert (found["lets_through_usd"], found["ends_at"]) == ("0.875", None)
    assert [one["percent"] for one in found["thresholds"] if one["reached_at"]] == [50]
    assert [call["request_id"] for call in found["largest_calls"]] == ["large", "small"]
    assert "1.125 of 2 US dollars are spent" in found["says"]
    other = await service.client.get(f"/api/budgets/{made['id']}/explain", headers=service.signed_in("bob"))
    assert other.status_code == 404
