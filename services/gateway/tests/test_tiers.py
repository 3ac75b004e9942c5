"""Tier rules at the gateway: what a tier's keys may call and see, through aliases too, changed while it runs."""

from __future__ import annotations

from common.contracts.snapshots import AccountTierSnapshot
from common.testing.serving import eventually
from gateway.mirrors.tiers import Tiers
from gateway_stack import KEY, KEY_ID, Stack, key_snapshot


async def put_rule(stack: Stack, *allowed: str, sees: set[str]) -> None:
    """The trial tier's rule; seen once its key sees just these models."""
    await stack.put("catalog", "tier.trial", AccountTierSnapshot(tier="trial", allowed=allowed))

    async def has_it() -> bool:
        models = await stack.http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
        return {row["id"] for row in models.json()["data"]} == sees

    await eventually(has_it)


async def test_a_key_of_a_tier_calls_and_sees_what_the_rule_allows_only(stack: Stack) -> None:
    await stack.put("keys", KEY_ID, key_snapshot(tier="trial"))
    llama = "llama-3.3-70b-versatile"
    await put_rule(stack, "groq/*", sees={llama, "with-fallback"})
    refused = await stack.chat(max_tokens=5)
    assert refused.status_code == 403
    assert refused.json()["error"]["reason"] == "model_not_allowed"
    assert "the trial tier does not allow gpt-4" in refused.json()["error"]["message"]
    assert (await stack.http.get("/v1/models/gpt-4", headers={"authorization": f"Bearer {KEY}"})).status_code == 400
    answer = await stack.chat(model="with-fallback", max_tokens=5)
    assert (answer.status_code, answer.headers["x-tollgate-provider"]) == (200, "groq"), answer.text
    await put_rule(stack, "openai/gpt-4", sees={"gpt-4", "my-gpt4", "with-fallback"})
    assert (await stack.chat(max_tokens=5)).status_code == 200
    await put_rule(stack, sees=set())
    assert (await stack.chat(max_tokens=5)).status_code == 403


def test_a_rule_is_about_whole_names_and_a_key_without_a_tier_or_a_tier_without_a_rule_is_free() -> None:
    tiers = Tiers()
    tiers.apply(
        "trial", AccountTierSnapshot(tier="trial", allowed=("openai/gpt-4", "a/b.c*")).model_dump_json().encode()
    )
    assert tiers.allows("trial", "openai", "gpt-4")
    assert not tiers.allows("trial", "openai", "gpt-4o")
    assert not tiers.allows("trial", "xopenai", "gpt-4")
    assert tiers.allows("trial", "a", "b.cd")
    assert not tiers.allows("trial", "a", "bxc")
    assert tiers.allows(None, "openai", "o1")
    assert tiers.allows("starter", "openai", "o1")
    tiers.apply("trial", None)
    assert tiers.allows("trial", "openai", "o1")
