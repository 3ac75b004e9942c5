"""System provider keys over HTTP, from the environment, and as the simulator's stand-ins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from common.contracts.changes import CredentialChanged
from common.contracts.envelope import Envelope
from common.contracts.snapshots import CredentialSnapshot
from common.providers.registry import PROVIDERS

KEYS = "/api/v1/llm/providers/keys"
REAL = "sk-proj-canary-1234"


async def save(vault: Any, admin: Any, **body: Any) -> Any:
    return await vault.call("POST", KEYS, admin, {"provider_type": "openai", "api_key": REAL, **body})


async def snapshots(vault: Any) -> dict[str, CredentialSnapshot]:
    """By provider type."""
    found = [CredentialSnapshot.model_validate_json(body) for body in (await vault.bucket("credentials")).values()]
    assert len({each.provider_type for each in found}) == len(found)
    return {each.provider_type: each for each in found}


async def test_a_saved_key_is_shown_masked_and_told_without_its_secret(vault: Any) -> None:
    admin = await vault.admin()
    answer = await save(vault, admin)
    assert answer.status_code == 201
    assert answer.json() | {"created_at": ""} == {
        "provider_type": "openai",
        "name": "OpenAI",
        "masked_key": "...1234",
        "enabled": True,
        "last_tested_at": None,
        "last_test_ok": None,
        "created_at": "",
        "base_url": None,
        "source": "api",
    }
    assert (await vault.call("GET", KEYS, admin)).json() == [answer.json()]
    told = (await snapshots(vault))["openai"]
    assert (told.version, told.owner_user_id, told.enabled, told.on_simulator) == (1, None, True, False)
    row = await vault.owner.fetchrow("SELECT * FROM credentials")
    assert row["ciphertext"].startswith(f"f1.{row['kid']}.")
    assert REAL not in str(dict(row))


async def test_a_key_saved_again_is_the_next_version_of_the_same_credential(vault: Any) -> None:
    admin = await vault.admin()
    await save(vault, admin)
    first = (await snapshots(vault))["openai"]
    answer = await save(vault, admin, api_key="sk-proj-other-5678", name="Team", base_url="https://proxy.example/v1/")
    assert (answer.status_code, answer.json()["masked_key"], answer.json()["name"]) == (201, "...5678", "Team")
    second = (await snapshots(vault))["openai"]
    assert (second.id, second.version, second.base_url) == (first.id, 2, "https://proxy.example/v1")
    events = [(subject, Envelope[CredentialChanged].model_validate_json(body)) for subject, body in
              await vault.events("KEYS")]  # fmt: skip
    assert [(subject, event.data.version) for subject, event in events] == [
        ("credentials.changed", 1),
        ("credentials.changed", 2),
    ]


async def test_saves_side_by_side_leave_one_credential(vault: Any) -> None:
    admin = await vault.admin()
    answers = await asyncio.gather(*(save(vault, admin, api_key=f"sk-number-{number:04}") for number in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert (await snapshots(vault))["openai"].version == 6
    assert len((await vault.call("GET", KEYS, admin)).json()) == 1


async def test_a_removed_key_is_destroyed_and_gone(vault: Any) -> None:
    admin = await vault.admin()
    await save(vault, admin)
    assert (await vault.call("DELETE", f"{KEYS}/openai", admin)).status_code == 204
    assert await vault.bucket("credentials") == {}
    row = await vault.owner.fetchrow("SELECT status, ciphertext, kid FROM credentials")
    assert tuple(row) == ("removed", None, None)
    assert (await vault.call("DELETE", f"{KEYS}/openai", admin)).status_code == 404
    assert (await vault.call("GET", KEYS, admin)).json() == []
    assert (await save(vault, admin)).status_code == 201
    assert await vault.audit_actions() == ["provider_key.saved", "provider_key.removed", "provider_key.saved"]


WRONG: list[tuple[int, dict[str, Any]]] = [
    (400, {"provider_type": "nobody"}),
    (422, {"api_key": "has a space"}),
    (422, {"api_key": "line\nbreak"}),
    (422, {"api_key": "naïve-key-1"}),
    (422, {"api_key": ""}),
    (422, {"api_key": None}),
    (422, {"base_url": "http://api.example.com"}),
    (422, {"base_url": "https://169.254.169.254"}),
    (422, {"provider_type": "custom"}),
    (422, {"name": "nul\x00"}),
    (422, {"surprise": 1}),
]


async def test_a_wrong_key_is_refused_without_repeating_it(vault: Any) -> None:
    admin = await vault.admin()
    for status, change in WRONG:
        answer = await save(vault, admin, **change)
        assert answer.status_code == status, (change, answer.text)
        assert REAL not in answer.text
        assert not change.get("api_key") or change["api_key"] not in answer.text
    assert (await vault.call("GET", KEYS, admin)).json() == []
    assert (await vault.call("DELETE", f"{KEYS}/nobody", admin)).status_code == 400
    assert (await vault.call("POST", f"{KEYS}/nobody/test", admin)).status_code == 400
    assert (await vault.call("POST", f"{KEYS}/openai/test", admin)).status_code == 404


async def test_info_says_of_every_provider_whether_it_has_a_key(vault: Any) -> None:
    admin = await vault.admin()
    await save(vault, admin, provider_type="custom", base_url="https://llm.example/v1")
    shown = {item["provider_type"]: item for item in (await vault.call("GET", f"{KEYS[:-5]}/info", admin)).json()}
    assert shown.keys() == PROVIDERS.keys()
    assert shown["custom"]["configured"]
    assert shown["custom"]["base_url"] == "https://llm.example/v1"
    assert shown["openai"] == {
        "provider_type": "openai",
        "display_name": "OpenAI",
        "base_url": "https://api.openai.com/v1",
        "auth": "bearer",
        "configured": False,
        "capabilities": ["chat"],
        "key_url": "https://platform.openai.com/api-keys",
    }


async def test_environment_keys_are_taken_replaced_and_removed_with_the_environment(start: Any) -> None:
    async with start(OPENAI_API_KEY="sk-environment-1111", GROQ_API_KEY="gsk-environment-2222") as vault:
        admin = await vault.admin()
        shown = {each["provider_type"]: each for each in (await vault.call("GET", KEYS, admin)).json()}
        assert {name: (each["masked_key"], each["source"]) for name, each in shown.items()} == {
            "openai": ("...1111", "environment"),
            "groq": ("...2222", "environment"),
        }
        first = await snapshots(vault)
    async with start(OPENAI_API_KEY="sk-environment-3333", GROQ_API_KEY="gsk-environment-2222") as vault:
        second = await snapshots(vault)
        assert (second["openai"].id, second["openai"].version) == (first["openai"].id, 2)
        assert second["groq"] == first["groq"]
    async with start() as vault:
        assert await snapshots(vault) == {}
        assert {each["status"] for each in await vault.owner.fetch("SELECT status FROM credentials")} == {"removed"}


async def test_a_key_that_an_admin_gave_outlives_the_environments(start: Any) -> None:
    async with start(OPENAI_API_KEY="sk-environment-1111") as vault:
        admin = await vault.admin()
        assert (await save(vault, admin)).json()["source"] == "api"
    for environment in ({"OPENAI_API_KEY": "sk-environment-1111"}, {}):
        async with start(**environment) as vault:
            [shown] = (await vault.call("GET", KEYS, admin)).json()
            assert (shown["masked_key"], shown["source"]) == ("...1234", "api")


SIMULATOR = "http://127.0.0.1:9"


async def test_with_a_simulator_every_provider_without_a_key_has_a_stand_in(start: Any, eventually: Any) -> None:
    async with start(SIMULATOR_URL=SIMULATOR, OPENAI_API_KEY="sk-environment-1111") as vault:
        admin = await vault.admin()
        told = await snapshots(vault)
        assert told.keys() == PROVIDERS.keys()
        assert {name for name, each in told.items() if not each.on_simulator} == {"openai"}
        info = {each["provider_type"]: each for each in (await vault.call("GET", f"{KEYS[:-5]}/info", admin)).json()}
        assert [name for name, each in info.items() if each["configured"]] == ["openai"]
        assert (await vault.call("DELETE", f"{KEYS}/groq", admin)).status_code == 404
        # A real key takes over; when it goes, the stand-in is back.
        assert (await save(vault, admin, provider_type="groq")).status_code == 201
        assert not (await snapshots(vault))["groq"].on_simulator
        assert (await vault.call("DELETE", f"{KEYS}/groq", admin)).status_code == 204
        back = (await snapshots(vault))["groq"]
        assert back.on_simulator
        assert back.id != told["groq"].id
        # A simulator's key that somebody gives keeps the provider there.
        assert (await save(vault, admin, provider_type="mistral", api_key="sim-bad-key-1")).status_code == 201
        assert (await snapshots(vault))["mistral"].on_simulator
    async with start(SIMULATOR_URL=SIMULATOR) as vault:
        assert (await snapshots(vault))["openai"].on_simulator
    async with start() as vault:

        async def is_only_mistral_on_no_simulator() -> bool:
            return {name: each.on_simulator for name, each in (await snapshots(vault)).items()} == {"mistral": False}

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


async def outcome_of(vault: Any, admin: Any, provider: str = "openai") -> dict[str, Any]:
    answer = await vault.call("POST", f"{KEYS}/{provider}/test", admin)
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
    async with serve(provider) as url, start(SIMULATOR_URL=url) as vault:
        admin = await vault.admin()
        await save(vault, admin, base_url=f"{url}/v1")
        outcome = await outcome_of(vault, admin)
        assert (outcome["success"], outcome["status"], outcome["models_found"]) == (True, "ok", 3)
        assert provider.asked == [("/v1/models", f"Bearer {REAL}")]
        [shown] = [each for each in (await vault.call("GET", KEYS, admin)).json() if each["provider_type"] == "openai"]
        assert shown["last_test_ok"] is True
        assert shown["last_tested_at"] is not None
        provider.answer = (401, f"bad key {REAL}".encode(), [])
        outcome = await outcome_of(vault, admin)
        assert (outcome["success"], outcome["status"], outcome["models_found"]) == (False, "refused", None)
        assert "HTTP 401" in outcome["message"]
        [shown] = [each for each in (await vault.call("GET", KEYS, admin)).json() if each["provider_type"] == "openai"]
        assert shown["last_test_ok"] is False
        assert (await vault.audit_actions()).count("provider_key.tested") == 2


async def test_a_simulators_key_is_tested_at_its_place_on_the_simulator(
    start: Any, serve: Any, provider: TestedProvider
) -> None:
    async with serve(provider) as url, start(SIMULATOR_URL=url) as vault:
        admin = await vault.admin()
        for name in ("groq", "openrouter", "deepseek"):
            assert (await outcome_of(vault, admin, name))["success"]
        assert provider.asked == [
            ("/groq/openai/v1/models", "Bearer sim-ok-groq"),
            ("/openrouter/api/v1/key", "Bearer sim-ok-openrouter"),
            ("/deepseek/models", "Bearer sim-ok-deepseek"),
        ]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((429, b"", []), "rate_limited"),
        ((500, b"oops", []), "failed"),
        ((302, b"", [(b"location", b"http://127.0.0.1:1/stolen")]), "failed"),
        ((200, b"x" * (9 << 20), []), "unreachable"),
        ((200, b"not json", []), "ok"),
    ],
)
async def test_whatever_a_provider_answers_is_told_as_an_outcome(
    start: Any, serve: Any, provider: TestedProvider, answer: Any, status: str
) -> None:
    async with serve(provider) as url, start(SIMULATOR_URL=url) as vault:
        admin = await vault.admin()
        await save(vault, admin, base_url=url)
        provider.answer = answer
        assert (await outcome_of(vault, admin))["status"] == status
        assert len(provider.asked) == 1


async def test_a_provider_that_is_away_or_silent_is_told_as_an_outcome(
    start: Any, serve: Any, provider: TestedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyvault.probes._DEADLINE_SECONDS", 0.3)
    async with serve(provider) as url, start(SIMULATOR_URL="http://127.0.0.1:9") as vault:
        admin = await vault.admin()
        await save(vault, admin, base_url=url)
        provider.answer = (0, b"", [])
        assert (await outcome_of(vault, admin))["status"] == "timed_out"
        assert (await outcome_of(vault, admin, "groq"))["status"] == "unreachable"


async def test_the_eleventh_test_in_a_minute_is_refused(start: Any, serve: Any, provider: TestedProvider) -> None:
    async with serve(provider) as url, start(SIMULATOR_URL=url) as vault:
        admin, other = await vault.admin(), await vault.admin()
        for _ in range(10):
            await outcome_of(vault, admin)
        refused = await vault.call("POST", f"{KEYS}/openai/test", admin)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert len(provider.asked) == 10
        await outcome_of(vault, other)
