"""Users' own credentials over HTTP: given, shown, changed, removed; the rules of one active and one default."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from common.contracts.snapshots import CredentialSnapshot
from common.secret import public_key_of, unseal
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .conftest import CATALOG_SYNC_TOKEN

MINE = "/api/v1/users/me/llm-credentials"
SECRET = "sk-own-canary-0001-abcd"
OWN = X25519PrivateKey.generate()
RECIPIENT = public_key_of(OWN)


async def give(vault: Any, user: Any, provider: str = "openai", **members: Any) -> dict[str, Any]:
    answer = await vault.call("POST", MINE, user, {"provider": provider, "api_key": SECRET, **members})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def shown(vault: Any, user: Any) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in (await vault.call("GET", MINE, user)).json()}


async def told_of(vault: Any, credential_id: str) -> CredentialSnapshot | None:
    body = (await vault.bucket("credentials")).get(credential_id)
    return CredentialSnapshot.model_validate_json(body) if body else None


async def test_a_credential_is_kept_encrypted_shown_masked_and_told_without_its_secret(vault: Any) -> None:
    user = await vault.person()
    made = await give(vault, user, name="my own", fallback_to_system=True)
    assert made | {"id": "", "created_at": "", "secret_at": ""} == {
        "id": "",
        "provider": "openai",
        "name": "my own",
        "masked_key": "...abcd",
        "is_default": True,
        "is_active": True,
        "status": "unvalidated",
        "fallback_to_system": True,
        "last_validated_at": None,
        "created_at": "",
        "secret_at": "",
        "expires_at": None,
        "last_used_at": None,
        "reminders": [],
    }
    row = await vault.owner.fetchrow("SELECT * FROM credentials WHERE id = $1", made["id"])
    assert row["ciphertext"].startswith("f1.")
    assert SECRET not in str(dict(row))
    told = await told_of(vault, made["id"])
    assert told is not None
    assert (told.owner_user_id, told.is_default, told.fallback_to_system, told.version) == (user.id, True, True, 1)
    assert await vault.audit_actions(made["id"]) == ["credential.created"]


async def test_the_gateway_gets_the_secret_sealed_and_catalog_sync_does_not(vault: Any) -> None:
    made = await give(vault, await vault.person())
    answer = await vault.open_credential(made["id"], RECIPIENT)
    assert unseal(answer.json()["sealed"], OWN, f"{made['id']}/1").reveal() == SECRET
    assert (await vault.open_credential(made["id"], RECIPIENT, CATALOG_SYNC_TOKEN)).status_code == 404
    assert await vault.audit_actions(made["id"]) == ["credential.created", "credential.opened"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"provider": "nobody", "api_key": SECRET}, 400),
        ({"provider": "openai"}, 422),
        ({"provider": "openai", "api_key": "short"}, 422),
        ({"provider": "openai", "api_key": "has a space in it"}, 422),
        ({"provider": "openai", "api_key": "x" * 8193}, 422),
        ({"provider": "custom", "api_key": SECRET}, 422),
        ({"provider": "custom", "api_key": SECRET, "base_url": "http://api.example.com"}, 422),
        ({"provider": "openai", "api_key": SECRET, "base_url": "https://169.254.169.254/"}, 422),
        ({"provider": "openai", "api_key": SECRET, "base_url": "https://keyvault/"}, 422),
        ({"provider": "openai", "api_key": SECRET, "user_id": "somebody"}, 422),
        ({"provider": "openai", "api_key": SECRET, "name": "nul\x00"}, 422),
    ],
)
async def test_a_wrong_credential_is_refused_without_being_repeated(
    vault: Any, body: dict[str, Any], status: int
) -> None:
    for path in (MINE, f"{MINE}/validate"):
        given = {name: value for name, value in body.items() if path == MINE or name != "name"}
        answer = await vault.call("POST", path, await vault.person(), given)
        assert answer.status_code == status or "name" in body, answer.text
        assert body.get("api_key", SECRET) not in answer.text or len(body.get("api_key", "")) < 8


async def test_a_second_active_one_for_a_provider_is_a_conflict_also_side_by_side(vault: Any) -> None:
    user = await vault.person()
    body = {"provider": "groq", "api_key": SECRET}
    answers = await asyncio.gather(*(vault.call("POST", MINE, user, body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    [first] = await shown(vault, user)
    await vault.call("PATCH", f"{MINE}/{first}", user, {"is_active": False})
    second = await give(vault, user, "groq")
    assert (await vault.call("PATCH", f"{MINE}/{first}", user, {"is_active": True})).status_code == 409
    await vault.call("DELETE", f"{MINE}/{second['id']}", user)
    assert (await vault.call("PATCH", f"{MINE}/{first}", user, {"is_active": True})).json()["is_active"] is True


async def test_the_first_is_the_default_until_another_is_chosen(vault: Any) -> None:
    user = await vault.person()
    first, second = await give(vault, user), await give(vault, user, "groq")
    assert (first["is_default"], second["is_default"]) == (True, False)
    answer = await vault.call("PATCH", f"{MINE}/{second['id']}", user, {"is_default": True})
    assert answer.json()["is_default"] is True
    assert {key: one["is_default"] for key, one in (await shown(vault, user)).items()} == {
        first["id"]: False,
        second["id"]: True,
    }
    for made, is_default in ((first, False), (second, True)):
        told = await told_of(vault, made["id"])
        assert told is not None
        assert told.is_default is is_default
    third = await give(vault, user, "mistral", is_default=True)
    assert [one["id"] for one in (await shown(vault, user)).values() if one["is_default"]] == [third["id"]]


@pytest.mark.parametrize("how", ["removed", "switched off"])
async def test_when_the_default_goes_the_oldest_inherits(vault: Any, how: str) -> None:
    user = await vault.person()
    made = [await give(vault, user, provider) for provider in ("openai", "groq", "mistral")]
    if how == "removed":
        assert (await vault.call("DELETE", f"{MINE}/{made[0]['id']}", user)).status_code == 204
    else:
        switched = await vault.call("PATCH", f"{MINE}/{made[0]['id']}", user, {"is_active": False})
        assert (switched.json()["is_active"], switched.json()["is_default"]) == (False, False)
        both = await vault.call("PATCH", f"{MINE}/{made[0]['id']}", user, {"is_default": True})
        assert both.status_code == 409
    assert [one["id"] for one in (await shown(vault, user)).values() if one["is_default"]] == [made[1]["id"]]
    told = await told_of(vault, made[1]["id"])
    assert told is not None
    assert told.is_default is True


async def test_a_new_key_is_the_next_version_about_which_nothing_is_known(vault: Any) -> None:
    user = await vault.person()
    made = await give(vault, user)
    await vault.owner.execute(
        "UPDATE credentials SET verdict = 'invalid', last_validated_at = now() WHERE id = $1", made["id"]
    )
    answer = await vault.call("PATCH", f"{MINE}/{made['id']}", user, {"api_key": "sk-own-canary-0002-wxyz"})
    assert (answer.json()["masked_key"], answer.json()["status"]) == ("...wxyz", "unvalidated")
    assert answer.json()["last_validated_at"] is None
    told = await told_of(vault, made["id"])
    assert told is not None
    assert told.version == 2
    opened = await vault.open_credential(made["id"], RECIPIENT)
    assert unseal(opened.json()["sealed"], OWN, f"{made['id']}/2").reveal() == "sk-own-canary-0002-wxyz"


async def test_a_removed_one_is_destroyed_and_its_row_kept_for_the_trail(vault: Any) -> None:
    user = await vault.person()
    made = await give(vault, user)
    assert (await vault.call("DELETE", f"{MINE}/{made['id']}", user)).status_code == 204
    assert await shown(vault, user) == {}
    assert await told_of(vault, made["id"]) is None
    assert (await vault.open_credential(made["id"], RECIPIENT)).status_code == 404
    row = await vault.owner.fetchrow("SELECT status, ciphertext FROM credentials WHERE id = $1", made["id"])
    assert (row["status"], row["ciphertext"]) == ("removed", None)
    assert await vault.audit_actions(made["id"]) == ["credential.created", "credential.removed"]
    for method in ("PATCH", "DELETE"):
        body = {"name": "b"} if method == "PATCH" else None
        assert (await vault.call(method, f"{MINE}/{made['id']}", user, body)).status_code == 404


async def test_nobody_reaches_another_users_credential_not_even_an_admin(vault: Any) -> None:
    made = await give(vault, await vault.person())
    for stranger in (await vault.person(), await vault.admin()):
        assert await shown(vault, stranger) == {}
        for method, path, body in (
            ("PATCH", "", {"name": "mine now"}),
            ("DELETE", "", None),
            ("POST", "/validate", None),
        ):
            answer = await vault.call(method, f"{MINE}/{made['id']}{path}", stranger, body)
            assert answer.status_code == 404, (method, path)
    assert await vault.audit_actions(made["id"]) == ["credential.created"]


async def test_a_change_that_changes_nothing_leaves_no_trace(vault: Any) -> None:
    user = await vault.person()
    made = await give(vault, user, name="same")
    answer = await vault.call("PATCH", f"{MINE}/{made['id']}", user, {"name": "same", "is_active": True})
    assert answer.json() == made
    assert await vault.audit_actions(made["id"]) == ["credential.created"]


async def test_inactive_ones_do_not_pile_up_without_end(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyvault.domain.own_credentials.MAX_CREDENTIALS", 2)
    user = await vault.person()
    for provider in ("openai", "groq"):
        await give(vault, user, provider)
    refused = await vault.call("POST", MINE, user, {"provider": "mistral", "api_key": SECRET})
    assert (refused.status_code, "at most 2" in refused.json()["detail"]) == (409, True)
