"""System provider keys over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest_asyncio
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


@pytest_asyncio.fixture(autouse=True)
async def _no_credentials_yet(vault: Any) -> None:
    """Each test begins without credentials."""
    await vault.owner.execute("DELETE FROM credentials")
    for key in await vault.bucket("credentials"):
        await (await vault.bus.jetstream.key_value("credentials")).purge(key)


async def test_a_saved_key_is_shown_masked_and_told_without_its_secret(vault: Any) -> None:
    admin = await vault.admin()
    answer = await save(vault, admin)
    assert answer.status_code == 201
    assert answer.json() | {"created_at": "", "secret_at": ""} == {
        "provider_type": "openai",
        "name": "OpenAI",
        "masked_key": "...1234",
        "enabled": True,
        "last_tested_at": None,
        "last_test_ok": None,
        "created_at": "",
        "secret_at": "",
        "expires_at": None,
        "last_used_at": None,
        "reminders": [],
        "base_url": None,
        "source": "api",
    }
    assert (await vault.call("GET", KEYS, admin)).json() == [answer.json()]
    told = (await snapshots(vault))["openai"]
    assert (told.version, told.owner_user_id, told.enabled, told.on_simulator) == (1, None, True, False)
    row = await vault.owner.fetchrow("SELECT * FROM credentials")
    assert row["ciphertext"].startswith(f"f1.{row['kid']}.")
    assert REAL not in str(dict(row))


async def test_the_next_key_of_a_provider_is_answered_as_the_list_shows_it(vault: Any) -> None:
    admin = await vault.admin()
    await save(vault, admin)
    await vault.owner.execute("UPDATE credentials SET last_used_at = '2026-11-21 08:30Z'")
    answer = await save(vault, admin, api_key=f"{REAL}-next")
    assert answer.json()["last_used_at"] == "2026-11-21T08:30:00Z"
    assert (await vault.call("GET", KEYS, admin)).json() == [answer.json()]


async def test_a_key_saved_again_is_the_next_version_of_the_same_credential(vault: Any) -> None:
    admin = await vault.admin()
    await save(vault, admin)
    first = (await snapshots(vault))["openai"]
    answer = await save(vault, admin, api_key="sk-proj-other-5678", name="Team", base_url="https://proxy.example/v1/")
    assert (answer.status_code, answer.json()["masked_key"], answer.json()["name"]) == (201, "...5678", "Team")
    second = (await snapshots(vault))["openai"]
    assert (second.id, second.version, second.base_url) == (first.id, 2, "https://proxy.example/v1")
    events = [(subject, Envelope[CredentialChanged].model_validate_json(body)) for subject, body in
              await vault.events("KEYS") if subject == "credentials.changed"]  # fmt: skip
    about = [(subject, event) for subject, event in events if event.data.credential_id == first.id]
    assert [(subject, event.data.version) for subject, event in about] == [
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
    row = await vault.owner.fetchrow("SELECT id, status, ciphertext, kid FROM credentials")
    assert tuple(row)[1:] == ("removed", None, None)
    assert (await vault.call("DELETE", f"{KEYS}/openai", admin)).status_code == 404
    assert (await vault.call("GET", KEYS, admin)).json() == []
    assert (await save(vault, admin)).status_code == 201
    assert await vault.audit_actions(row["id"]) == ["provider_key.saved", "provider_key.removed"]


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
        "capabilities": list(PROVIDERS["openai"].capabilities),
        "key_url": "https://platform.openai.com/api-keys",
    }
