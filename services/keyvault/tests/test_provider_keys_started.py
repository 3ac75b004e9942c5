"""System provider keys from the environment and as the simulator's stand-ins; testing them with a provider."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from common.contracts.snapshots import CredentialSnapshot
from common.providers.registry import PROVIDERS
from common.secret import public_key_of, unseal
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEYS = "/api/v1/llm/providers/keys"
REAL = "sk-proj-canary-1234"
OWN = X25519PrivateKey.generate()
RECIPIENT = public_key_of(OWN)


async def save(alone: Any, admin: Any, **body: Any) -> Any:
    return await alone.call("POST", KEYS, admin, {"provider_type": "openai", "api_key": REAL, **body})


async def snapshots(alone: Any) -> dict[str, CredentialSnapshot]:
    """By provider type."""
    found = [CredentialSnapshot.model_validate_json(body) for body in (await alone.bucket("credentials")).values()]
    assert len({each.provider_type for each in found}) == len(found)
    return {each.provider_type: each for each in found}


async def test_environment_keys_are_taken_replaced_and_removed_with_the_environment(start: Any) -> None:
    async with start(OPENAI_API_KEY="sk-environment-1111", GROQ_API_KEY="gsk-environment-2222") as alone:
        admin = await alone.admin()
        shown = {each["provider_type"]: each for each in (await alone.call("GET", KEYS, admin)).json()}
        assert {name: (each["masked_key"], each["source"]) for name, each in shown.items()} == {
            "openai": ("...1111", "environment"),
            "groq": ("...2222", "environment"),
        }
        first = await snapshots(alone)
    async with start(OPENAI_API_KEY="sk-environment-3333", GROQ_API_KEY="gsk-environment-2222") as alone:
        second = await snapshots(alone)
        assert (second["openai"].id, second["openai"].version) == (first["openai"].id, 2)
        assert second["groq"] == first["groq"]
    async with start() as alone:
        assert await snapshots(alone) == {}
        assert {each["status"] for each in await alone.owner.fetch("SELECT status FROM credentials")} == {"removed"}


async def test_a_key_that_an_admin_gave_outlives_the_environments(start: Any) -> None:
    async with start(OPENAI_API_KEY="sk-environment-1111") as alone:
        admin = await alone.admin()
        assert (await save(alone, admin)).json()["source"] == "api"
    for environment in ({"OPENAI_API_KEY": "sk-environment-1111"}, {}):
        async with start(**environment) as alone:
            [shown] = (await alone.call("GET", KEYS, admin)).json()
            assert (shown["masked_key"], shown["source"]) == ("...1234", "api")


SIMULATOR = "http://127.0.0.1:9"


async def test_with_a_simulator_every_provider_without_a_key_has_a_stand_in(start: Any, eventually: Any) -> None:
    async with start(SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-environment-1111") as alone:
        admin = await alone.admin()
        told = await snapshots(alone)
        assert told.keys() == PROVIDERS.keys()
        assert {name for name, each in told.items() if not each.on_simulator} == {"openai"}
        info = {each["provider_type"]: each for each in (await alone.call("GET", f"{KEYS[:-5]}/info", admin)).json()}
        assert [name for name, each in info.items() if each["configured"]] == ["openai"]
        assert (await alone.call("DELETE", f"{KEYS}/groq", admin)).status_code == 404
        # A real key takes over; when it goes, the stand-in is back.
        assert (await save(alone, admin, provider_type="groq")).status_code == 201
        assert not (await snapshots(alone))["groq"].on_simulator
        assert (await alone.call("DELETE", f"{KEYS}/groq", admin)).status_code == 204
        back = (await snapshots(alone))["groq"]
        assert back.on_simulator
        assert back.id != told["groq"].id
        # A simulator's key that somebody gives keeps the provider there.
        assert (await save(alone, admin, provider_type="mistral", api_key="sim-bad-key-1")).status_code == 201
        assert (await snapshots(alone))["mistral"].on_simulator
    async with start(SIMULATOR_URL=SIMULATOR) as alone:
        assert (await snapshots(alone))["openai"].on_simulator
    async with start() as alone:

        async def is_only_mistral_on_no_simulator() -> bool:
            return {name: each.on_simulator for name, each in (await snapshots(alone)).items()} == {"mistral": False}

        await eventually(is_only_mistral_on_no_simulator)


class TestedProvider:
    """What stands for a provider in the tests of testing."""

    __test__ = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: tuple[int, bytes, list[tuple[bytes, bytes]]] = (200, b'{"data": [{}, {}, {}]}', [])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        self.asked.append((scope["path"], headers.get(b"authorization", b"").decode()))
        status, body, extra = self.answer
        if status == 0:
            await asyncio.sleep(60)
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": body})


async def outcome_of(alone: Any, admin: Any, provider: str = "openai") -> dict[str, Any]:
    answer = await alone.call("POST", f"{KEYS}/{provider}/test", admin)
    assert answer.status_code == 200, answer.text
    assert REAL not in answer.text
    found: dict[str, Any] = answer.json()
    assert found.keys() == {"success", "status", "message", "latency_ms", "models_found"}
    return found


@pytest.fixture
def provider() -> TestedProvider:
    """A provider to test keys with."""
    return TestedProvider()


async def test_testing_calls_the_provider_with_the_key_and_keeps_the_outcome(
    start: Any, serve: Any, provider: TestedProvider
) -> None:
    async with serve(provider) as url, start(SIMULATOR_URL=url) as alone:
        admin = await alone.admin()
        await save(alone, admin, base_url=f"{url}/v1")
        outcome = await outcome_of(alone, admin)
        assert (outcome["success"], outcome["status"], outcome["models_found"]) == (True, "ok", 3)
        assert provider.asked == [("/v1/models", f"Bearer {REAL}")]
        [shown] = [each for each in (await alone.call("GET", KEYS, admin)).json() if each["provider_type"] == "openai"]
        assert shown["last_test_ok"] is True
        assert shown["last_tested_at"] is not None
        provider.answer = (401, f"bad key {REAL}".encode(), [])
        outcome = await outcome_of(alone, admin)
        assert (outcome["success"], outcome["status"], outcome["models_found"]) == (False, "refused", None)
        assert "HTTP 401" in outcome["message"]
        [shown] = [each for each in (await alone.call("GET", KEYS, admin)).json() if each["provider_type"] == "openai"]
        assert shown["last_test_ok"] is False
        assert (await alone.audit_actions()).count("provider_key.tested") == 2


async def test_a_simulators_key_is_tested_at_its_place_on_the_simulator(
    start: Any, serve: Any, provider: TestedProvider
) -> None:
    async with serve(provider) as url, start(SIMULATOR_URL=url) as alone:
        admin = await alone.admin()
        for name in ("groq", "openrouter", "deepseek"):
            assert (await outcome_of(alone, admin, name))["success"]
        assert provider.asked == [
            ("/groq/openai/v1/models", "Bearer sim-ok-groq"),
            ("/openrouter/api/v1/key", "Bearer sim-ok-openrouter"),
            ("/deepseek/models", "Bearer sim-ok-deepseek"),
        ]


OUTCOMES = [
    ((429, b"", []), "rate_limited"),
    ((500, b"oops", []), "failed"),
    ((302, b"", [(b"location", b"http://127.0.0.1:1/stolen")]), "failed"),
    ((200, b"x" * (9 << 20), []), "unreachable"),
    ((200, b"not json", []), "ok"),
]


async def test_whatever_a_provider_answers_is_told_as_an_outcome(
    start: Any, serve: Any, provider: TestedProvider
) -> None:
    async with serve(provider) as url, start(SIMULATOR_URL=url) as alone:
        admin = await alone.admin()
        await save(alone, admin, base_url=url)
        for answer, status in OUTCOMES:
            provider.asked.clear()
            provider.answer = answer
            assert (await outcome_of(alone, admin))["status"] == status
            assert len(provider.asked) == 1


async def test_a_provider_that_is_away_or_silent_is_told_as_an_outcome(
    start: Any, serve: Any, provider: TestedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyvault.probes._DEADLINE_SECONDS", 0.3)
    async with serve(provider) as url, start(SIMULATOR_URL="http://127.0.0.1:9") as alone:
        admin = await alone.admin()
        await save(alone, admin, base_url=url)
        provider.answer = (0, b"", [])
        assert (await outcome_of(alone, admin))["status"] == "timed_out"
        assert (await outcome_of(alone, admin, "groq"))["status"] == "unreachable"


async def test_the_eleventh_test_in_a_minute_is_refused(start: Any, serve: Any, provider: TestedProvider) -> None:
    async with serve(provider) as url, start(SIMULATOR_URL=url) as alone:
        admin, other = await alone.admin(), await alone.admin()
        for _ in range(10):
            await outcome_of(alone, admin)
        refused = await alone.call("POST", f"{KEYS}/openai/test", admin)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert len(provider.asked) == 10
        await outcome_of(alone, other)


async def test_stand_ins_are_delivered_as_the_simulators_keys(start: Any) -> None:
    async with start(SIMULATOR_URL="http://127.0.0.1:9") as alone:
        for body in (await alone.bucket("credentials")).values():
            told = CredentialSnapshot.model_validate_json(body)
            answer = (await alone.open_credential(told.id, RECIPIENT)).json()
            secret = unseal(answer["sealed"], OWN, f"{told.id}/{told.version}")
            assert secret.reveal() == f"sim-ok-{told.provider_type}"
