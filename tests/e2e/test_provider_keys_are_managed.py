"""The provider keys' part of the management API, endpoint by endpoint, for each of its nine providers."""

from __future__ import annotations

from typing import Any

import pytest
from machine import Machine

KEYS = "/api/v1/llm/providers/keys"
PROVIDERS = {
    "openrouter": "OpenRouter",
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "google": "Google",
    "cohere": "Cohere",
    "groq": "Groq",
    "together": "Together",
    "mistral": "Mistral",
    "custom": "Custom",
}
TABLE = (
    ("GET", KEYS),
    ("POST", KEYS),
    ("DELETE", f"{KEYS}/openai"),
    ("POST", f"{KEYS}/openai/test"),
    ("GET", "/api/v1/llm/providers/info"),
)


async def save(machine: Machine, provider: str, secret: str = "") -> dict[str, Any]:
    body = {"provider_type": provider, "api_key": secret or f"sim-ok-{provider}-managed-1234"}
    if provider == "custom":
        body["base_url"] = "https://models.example.com/v1"
    answer = await machine.admin.post(KEYS, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def listed(machine: Machine) -> dict[str, dict[str, Any]]:
    return {one["provider_type"]: one for one in (await machine.admin.get(KEYS)).json()}


@pytest.mark.parametrize(("method", "path"), TABLE)
async def test_each_endpoint_is_for_admins_alone(machine: Machine, method: str, path: str) -> None:
    machine.caller.cookies.clear()
    assert (await machine.caller.request(method, path)).status_code == 401
    run = machine.run
    signed_in = await machine.caller.post(
        "/api/auth/login", json={"email": run["demo_email"], "password": run["demo_password"]}
    )
    machine.caller.cookies.clear()
    headers = {"authorization": f"Bearer {signed_in.json()['access_token']}"}
    assert (await machine.caller.request(method, path, headers=headers)).status_code == 403


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_post_keys_saves_a_key_and_get_keys_lists_it_masked(machine: Machine, provider: str) -> None:
    saved = await save(machine, provider)
    try:
        assert (saved["provider_type"], saved["masked_key"], saved["enabled"]) == (provider, "...1234", True)
        assert (saved["last_tested_at"], saved["last_test_ok"], saved["source"]) == (None, None, "api")
        # Other stories may have called by a key of this provider before.
        assert (await listed(machine))[provider] | {"last_used_at": None} == saved | {"last_used_at": None}
        assert "managed" not in (await machine.admin.get(KEYS)).text
    finally:
        assert (await machine.admin.delete(f"{KEYS}/{provider}")).status_code == 204


async def test_post_keys_updates_a_key_that_is_there(machine: Machine) -> None:
    await save(machine, "mistral")
    updated = await save(machine, "mistral", "sim-ok-mistral-next-9876")
    assert updated["masked_key"] == "...9876"
    assert (await listed(machine))["mistral"] == updated
    await machine.admin.delete(f"{KEYS}/mistral")


async def test_delete_keys_removes_it_and_again_says_that_there_is_none(machine: Machine) -> None:
    await save(machine, "cohere")
    assert (await machine.admin.delete(f"{KEYS}/cohere")).status_code == 204
    assert (await machine.admin.delete(f"{KEYS}/cohere")).status_code == 404
    assert (await listed(machine))["cohere"]["source"] == "simulator"


async def test_post_test_calls_the_provider_and_keeps_how_it_went(machine: Machine) -> None:
    for secret, is_good in (("sim-ok-groq-managed", True), ("sim-bad-groq-managed", False)):
        await save(machine, "groq", secret)
        tested = (await machine.admin.post(f"{KEYS}/groq/test")).json()
        assert tested.keys() == {"success", "status", "message", "latency_ms", "models_found"}
        assert (tested["success"], tested["status"]) == (is_good, "ok" if is_good else "refused")
        assert secret not in tested["message"]
        kept = (await listed(machine))["groq"]
        assert kept["last_test_ok"] is is_good
        assert kept["last_tested_at"] is not None
    await machine.admin.delete(f"{KEYS}/groq")


async def test_get_info_tells_of_every_provider_how_it_is_configured(machine: Machine) -> None:
    await save(machine, "together")
    told = {one["provider_type"]: one for one in (await machine.admin.get("/api/v1/llm/providers/info")).json()}
    assert PROVIDERS.keys() <= told.keys()
    for provider, name in PROVIDERS.items():
        assert name.lower() in told[provider]["display_name"].lower()
        assert told[provider].keys() == {
            "provider_type", "display_name", "base_url", "auth", "configured", "capabilities", "key_url",
        }  # fmt: skip
    assert (told["together"]["configured"], told["anthropic"]["configured"]) == (True, False)
    await machine.admin.delete(f"{KEYS}/together")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"provider_type": "nobody", "api_key": "sim-ok-nobody"}, 400),
        ({"provider_type": "openai"}, 422),
        ({"provider_type": "openai", "api_key": "short"}, 422),
        ({"provider_type": "custom", "api_key": "sk-of-a-neighbour", "base_url": "http://169.254.169.254/"}, 422),
    ],
)
async def test_post_keys_refuses_what_makes_no_sense(machine: Machine, body: dict[str, Any], status: int) -> None:
    assert (await machine.admin.post(KEYS, json=body)).status_code == status
