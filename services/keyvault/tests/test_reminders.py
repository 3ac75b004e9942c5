"""Reminders of provider keys: what is said of each, told once as an event and shown in the API."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from common.contracts.changes import CredentialReminded
from common.contracts.envelope import Envelope
from keyvault.domain.credentials import Credential
from keyvault.domain.reminders import ReminderRules, reminders_of

from .test_own_credentials_api import give

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
DAY = timedelta(days=1)
FRESH = Credential("c", "groq", None, "Groq", "f1", 1, "2345", None, False, True, "active", "api", NOW, NOW, NOW)
OLD = replace(FRESH, secret_at=NOW - 90 * DAY)


@pytest.mark.parametrize(
    ("credential", "reasons"),
    [
        (FRESH, []),
        (OLD, ["old", "unused"]),
        (replace(OLD, last_used_at=NOW - DAY), ["old"]),
        (replace(FRESH, last_used_at=NOW - 200 * DAY), []),  # the secret before was used then
        (replace(FRESH, expires_at=NOW + 15 * DAY), []),
        (replace(FRESH, expires_at=NOW + 14 * DAY), ["expires"]),
        (replace(FRESH, expires_at=NOW), ["expired"]),
        (replace(OLD, enabled=False), []),
        (replace(OLD, status="removed"), []),
        (replace(OLD, source="simulator"), []),
    ],
)
def test_what_there_is_to_say_of_a_key(credential: Credential, reasons: list[str]) -> None:
    assert reminders_of(credential, ReminderRules(), NOW) == reasons


async def told(vault: Any, credential_id: str) -> list[CredentialReminded]:
    bodies = [body for subject, body in await vault.events("KEYS") if subject == "credentials.reminded"]
    found = [Envelope[CredentialReminded].model_validate_json(body).data for body in bodies]
    return [each for each in found if each.credential_id == credential_id]


async def test_each_reason_is_told_once_and_shown_until_the_key_is_replaced(vault: Any, eventually: Any) -> None:
    user = await vault.person()
    soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    kept = await give(vault, user, expires_at=soon)
    assert (kept["reminders"], kept["last_used_at"]) == (["expires"], None)
    await vault.owner.execute("UPDATE credentials SET secret_at = $2 WHERE id = $1", kept["id"], NOW - 400 * DAY)
    reminders = vault.app.state.services.keyvault.reminders
    await reminders.run()
    await reminders.run()

    async def reasons() -> bool:
        return [each.reason for each in await told(vault, kept["id"])] == ["old", "unused", "expires"]

    await eventually(reasons)
    assert {each.owner_user_id for each in await told(vault, kept["id"])} == {user.id}
    path = "/api/v1/users/me/llm-credentials"
    assert (await vault.call("GET", path, user)).json()[0]["reminders"] == ["old", "unused", "expires"]
    renewed = await vault.call("PATCH", f"{path}/{kept['id']}", user, {"api_key": "sk-own-another-5678"})
    assert (renewed.json()["reminders"], renewed.json()["expires_at"]) == ([], None)


async def test_a_systems_key_says_how_old_it_is_when_it_ends_and_when_it_was_used(vault: Any, eventually: Any) -> None:
    admin = await vault.admin()
    gone = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    body = {"provider_type": "mistral", "api_key": "sk-mistral-0123", "expires_at": gone}
    made = (await vault.call("POST", "/api/v1/llm/providers/keys", admin, body)).json()
    assert made["reminders"] == ["expired"]
    assert datetime.fromisoformat(made["secret_at"]) <= datetime.now(UTC)
    assert made["last_used_at"] is None
    await vault.app.state.services.keyvault.reminders.run()
    credential_id = await vault.owner.fetchval("SELECT id FROM credentials WHERE provider_type = 'mistral' AND enabled")

    async def is_told() -> bool:
        return [(each.reason, each.owner_user_id) for each in await told(vault, credential_id)] == [("expired", None)]

    await eventually(is_told)
    body = {"provider_type": "mistral", "api_key": "sk-mistral-4567"}
    assert (await vault.call("POST", "/api/v1/llm/providers/keys", admin, body)).json()["reminders"] == []
