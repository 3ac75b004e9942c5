"""`/api/v1/tiers` over HTTP: the default rules, changing them, what is refused, and what the gateways make of them."""

from __future__ import annotations

from typing import Any

import pytest
from catalog_sync.domain.tiers import DEFAULTS
from common.contracts.snapshots import AccountTierSnapshot
from gateway.mirrors.tiers import Tiers

PATH = "/api/v1/tiers"


async def test_every_tier_has_a_rule_from_the_start_and_another_one_is_told_and_survives_a_restart(
    run: Any, small_source: Any
) -> None:
    async with run(small_source) as running:
        items = (await running.admin.get(PATH)).json()["items"]
        assert [one["tier"] for one in items] == ["trial", "starter", "professional", "enterprise"]
        assert items[3]["allowed"] == ["*"]
        changed = await running.admin.put(
            f"{PATH}/trial", json={"allowed": ["openai/gpt-4o-mini", "openai/gpt-4o-mini"]}
        )
        assert (changed.status_code, changed.json()["allowed"]) == (200, ["openai/gpt-4o-mini"]), changed.text
        assert (await running.public.get(PATH)).status_code == 401
        assert (await running.user.put(f"{PATH}/trial", json={"allowed": ["*"]})).status_code == 403
    async with run(small_source) as running:
        assert (await running.admin.get(f"{PATH}/trial")).json()["allowed"] == ["openai/gpt-4o-mini"]
        await running.settled()
        told = AccountTierSnapshot.model_validate_json((await running.bucket())["tier.trial"])
        assert told.allowed == ("openai/gpt-4o-mini",)


async def test_a_rule_that_nobody_could_mean_is_refused_with_the_nearest_names(running: Any) -> None:
    wrong = await running.admin.put(f"{PATH}/trial", json={"allowed": ["openroute/*"]})
    assert (wrong.status_code, wrong.json()["detail"]) == (422, "unknown provider: openroute; nearest: openrouter")
    for allowed in (["openai"], ["openai/"], ["open*/gpt"], ["openai/a b"], ["openai/" + "a*" * 5], [""], ["*"] * 201):
        assert (await running.admin.put(f"{PATH}/trial", json={"allowed": allowed})).status_code == 422, allowed
    assert (await running.admin.put(f"{PATH}/gold", json={"allowed": ["*"]})).status_code == 422
    assert (await running.admin.get(f"{PATH}/gold")).status_code == 404


@pytest.mark.parametrize(
    ("tier", "allowed", "refused"),
    [
        (
            "trial",
            ["openrouter/a/b:free", "ollama/llama3", "vllm/any"],
            ["openrouter/a/b", "openai/gpt-4o-mini", "groq/x"],
        ),
        ("starter", ["openrouter/a/b", "openrouter/a/b:free", "groq/x", "together/y/z"], ["openai/gpt-3.5-turbo"]),
        (
            "professional",
            ["openai/gpt-3.5-turbo", "openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "groq/x"],
            ["openai/gpt-4o", "openai/gpt-4", "anthropic/claude-sonnet-4-5", "azure/gpt-4o-mini"],
        ),
        ("enterprise", ["openai/gpt-4", "anthropic/claude-opus-4"], []),
    ],
)
def test_the_default_rules_allow_what_each_tier_is_promised(tier: Any, allowed: list[str], refused: list[str]) -> None:
    tiers = Tiers()
    for name, patterns in DEFAULTS.items():
        tiers.apply(name, AccountTierSnapshot(tier=name, allowed=patterns).model_dump_json().encode())
    found = {one: tiers.allows(tier, *one.split("/", 1)) for one in (*allowed, *refused)}
    assert found == dict.fromkeys(allowed, True) | dict.fromkeys(refused, False)
