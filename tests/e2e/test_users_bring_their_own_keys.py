"""Users' own credentials, from giving them to being billed for nothing: the report's twelve scenarios of production and
thirteen of the API, each over HTTP against a whole stack."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx2
import pytest_asyncio
from machine import GPT_4_INPUT, GPT_4_OUTPUT, Machine, eventually

MINE = "/api/v1/users/me/llm-credentials"
GEMINI = "openrouter/google/gemini-2.5-flash"


@dataclass
class User:
    """Somebody with an account and a virtual key of theirs, with a budget of nothing unless told otherwise."""

    machine: Machine
    http: httpx2.AsyncClient
    key_id: str
    key: str

    async def give(self, provider: str = "openai", secret: str = "", **members: Any) -> dict[str, Any]:
        """Keep a credential; one that the simulator takes unless told otherwise."""
        body = {"provider": provider, "api_key": secret or f"sim-ok-{secrets.token_hex(8)}", **members}
        answer = await self.http.post(MINE, json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def change(self, credential_id: str, **members: Any) -> dict[str, Any]:
        answer = await self.http.patch(f"{MINE}/{credential_id}", json=members)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def kept(self) -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in (await self.http.get(MINE)).json()}

    async def chat(self, model: str = "gpt-4", credential: str | None = None, **members: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self.key}"}
        if credential is not None:
            headers["x-tollgate-credential"] = credential
        body = {"model": model, "messages": [{"role": "user", "content": "Say hello!"}], "max_tokens": 50, **members}
        return await self.machine.caller.post("/v1/chat/completions", json=body, headers=headers)

    async def logged(self, answer: httpx2.Response) -> dict[str, Any]:
        """What is in the history about a call."""
        return await self.machine.request(answer.headers["x-request-id"])


MakeUser = Callable[..., Awaitable[User]]


@pytest_asyncio.fixture
async def user_with(machine: Machine) -> AsyncIterator[MakeUser]:
    """Makes users with keys."""
    opened: list[httpx2.AsyncClient] = []

    async def make(monthly_budget: int | None = 0) -> User:
        http = httpx2.AsyncClient(base_url=machine.url, timeout=30)
        opened.append(http)
        known_by = {"email": f"{secrets.token_hex(6)}@example.com", "password": "a long password"}
        begun = await http.post("/api/auth/signup", json=known_by)
        assert begun.status_code == 201, begun.text
        # Of a tier that may call every model; the change ends the session.
        raised = await machine.admin.patch(f"/api/v1/users/{begun.json()['user_id']}", json={"tier": "enterprise"})
        assert raised.status_code == 200, raised.text
        begun = await http.post("/api/auth/login", json=known_by)
        assert begun.status_code == 200, begun.text
        http.headers["authorization"] = f"Bearer {begun.json()['access_token']}"
        made = await http.post("/api/v1/keys", json={"name": "own", "monthly_budget": monthly_budget})
        assert made.status_code == 201, made.text
        return User(machine, http, made.json()["id"], made.json()["key"])

    yield make
    for http in opened:
        await http.aclose()


@pytest_asyncio.fixture
async def user(user_with: MakeUser) -> User:
    """A user whose key has a budget of nothing: what they call by their own credential costs them nothing here."""
    return await user_with()


# --- twelve of production ---------------------------------------------------------------------------------------------


async def test_01_an_openai_credential_makes_the_call_and_is_used_by_default(user: User) -> None:
    made = await user.give("openai")
    answer = await user.chat("gpt-4o-mini")
    assert (answer.status_code, answer.headers["x-tollgate-provider"]) == (200, "openai")
    logged = await user.logged(answer)
    assert (logged["credential"], logged["credential_id"], logged["billable"]) == ("byok", made["id"], False)


async def test_02_a_gemini_model_is_called_with_system_and_user_messages(user: User) -> None:
    made = await user.give("openrouter")
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say hello!"}]
    answer = await user.chat(GEMINI, messages=messages)
    assert answer.status_code == 200, answer.text
    assert (await user.logged(answer))["credential_id"] == made["id"]


async def test_03_an_anthropic_credential_is_shown_in_its_providers_own_way(user: User) -> None:
    made = await user.give("anthropic")
    answer = await user.chat("anthropic/claude-3-haiku")
    assert (answer.status_code, answer.headers["x-tollgate-provider"]) == (200, "anthropic"), answer.text
    assert (await user.logged(answer))["credential_id"] == made["id"]


async def test_04_without_own_credentials_the_system_answers_and_charges(user_with: MakeUser) -> None:
    rich = await user_with(monthly_budget=5)
    answer = await rich.chat()
    assert answer.status_code == 200
    logged = await rich.logged(answer)
    assert (logged["credential"], logged["billable"]) == ("system", True)
    assert (await (await user_with()).chat()).status_code == 402


async def test_05_an_unknown_credential_is_refused_by_name(user: User) -> None:
    answer = await user.chat(credential="no-such-credential")
    assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "credential_not_found")


async def test_06_calls_of_three_providers_answer_in_bounded_time(user: User) -> None:
    for provider in ("openai", "openrouter", "anthropic"):
        await user.give(provider)
    for model in ("gpt-4o-mini", GEMINI, "anthropic/claude-3-haiku"):
        began = time.monotonic()
        answer = await user.chat(model)
        assert answer.status_code == 200, answer.text
        assert time.monotonic() - began < 10
        assert (await user.logged(answer))["latency_ms"] < 10_000


async def test_07_tokens_of_own_calls_are_counted(user: User) -> None:
    await user.give()
    answer = await user.chat()
    usage = answer.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (10, 9, 19)
    counted = (await user.logged(answer))["usage"]
    assert (counted["input_tokens"], counted["output_tokens"], counted["total_tokens"]) == (10, 9, 19)


async def test_08_own_calls_cost_their_list_price_and_are_charged_to_no_budget(user: User) -> None:
    await user.give()
    answers = [await user.chat() for _ in range(3)]
    price = 10 * GPT_4_INPUT + 9 * GPT_4_OUTPUT
    for answer in answers:
        assert Decimal(answer.headers["x-tollgate-cost-usd"]) == price
        assert Decimal(str((await user.logged(answer))["cost_usd"])) == price
    assert (await user.chat()).status_code == 200  # three calls cost nothing of a budget of nothing
    entries = await user.machine.ledger()
    assert not {answer.headers["x-request-id"] for answer in answers} & {entry.get("request_id") for entry in entries}


async def test_09_a_key_that_the_provider_refuses_is_taken_marked_and_told(user: User) -> None:
    made = await user.give(secret="sim-bad-0123456789")
    answer = await user.chat()
    assert (answer.status_code, answer.json()["error"]["reason"]) == (502, "provider_auth_failed")
    assert "sim-bad" not in answer.text

    async def is_marked() -> bool:
        return (await user.kept())[made["id"]]["status"] == "invalid"

    await eventually(is_marked)


async def test_10_an_inactive_credential_is_not_used(user: User) -> None:
    made = await user.give()
    await user.change(made["id"], is_active=False)
    answer = await user.chat(credential=made["id"])
    assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "credential_inactive")
    assert (await user.chat()).status_code == 402  # the system's key, for which there is no money


async def test_11_somebody_elses_credential_is_as_if_it_were_not_there(user: User, user_with: MakeUser) -> None:
    made = await user.give()
    stranger = await user_with(monthly_budget=5)
    answer = await stranger.chat(credential=made["id"])
    assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "credential_not_found")
    for http in (stranger.http, user.machine.admin):
        assert (await http.patch(f"{MINE}/{made['id']}", json={"name": "mine"})).status_code == 404
        assert (await http.delete(f"{MINE}/{made['id']}")).status_code == 404
        assert (await http.post(f"{MINE}/{made['id']}/validate")).status_code == 404


async def test_12_an_unsupported_provider_is_refused(user: User) -> None:
    answer = await user.http.post(MINE, json={"provider": "unheard-of", "api_key": "sk-0123456789"})
    assert (answer.status_code, "unsupported provider" in answer.json()["detail"]) == (400, True)


# --- thirteen of the API ----------------------------------------------------------------------------------------------


async def test_13_create_answers_with_the_masked_key_alone(user: User) -> None:
    made = await user.give(secret="sim-ok-secret-wxyz", name="my own")
    assert (made["masked_key"], made["name"], made["is_active"]) == ("...wxyz", "my own", True)
    assert "sim-ok" not in json.dumps(made)


async def test_14_list_shows_ones_own_and_no_secret(user: User, user_with: MakeUser) -> None:
    ids = {(await user.give(provider))["id"] for provider in ("openai", "groq")}
    await (await user_with()).give()
    answer = await user.http.get(MINE)
    assert {one["id"] for one in answer.json()} == ids
    assert "sim-ok" not in answer.text


async def test_15_another_one_is_set_as_default(user: User) -> None:
    first, second = await user.give("openai"), await user.give("groq")
    assert (await user.change(second["id"], is_default=True))["is_default"] is True
    assert (await user.kept())[first["id"]]["is_default"] is False


async def test_16_a_new_key_is_used_from_the_next_call_on(user: User) -> None:
    made = await user.give(secret="sim-bad-0123456789")
    assert (await user.chat()).status_code == 502
    changed = await user.change(made["id"], api_key="sim-ok-0123456789-abcd")
    assert (changed["masked_key"], changed["status"]) == ("...abcd", "unvalidated")
    assert (await user.chat()).status_code == 200


async def test_17_a_deleted_one_is_gone_and_never_used_again(user: User) -> None:
    made = await user.give()
    assert (await user.chat()).status_code == 200
    assert (await user.http.delete(f"{MINE}/{made['id']}")).status_code == 204
    assert await user.kept() == {}
    assert (await user.chat(credential=made["id"])).json()["error"]["reason"] == "credential_not_found"
    trail = (await user.machine.admin.get("/api/v1/audit?limit=200")).json()["items"]
    assert "credential.removed" in {entry["action"] for entry in trail if entry["subject"] == made["id"]}


async def test_18_a_second_one_for_a_provider_is_a_conflict(user: User) -> None:
    await user.give("openai")
    again = await user.http.post(MINE, json={"provider": "openai", "api_key": "sim-ok-0123456789"})
    assert again.status_code == 409


async def test_19_an_unsupported_provider_cannot_be_validated_either(user: User) -> None:
    body = {"provider": "unheard-of", "api_key": "sk-0123456789"}
    assert (await user.http.post(f"{MINE}/validate", json=body)).status_code == 400


async def test_20_a_streamed_call_uses_the_credential_too(user: User) -> None:
    made = await user.give()
    answer = await user.chat(stream=True)
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert (await user.logged(answer))["credential_id"] == made["id"]


async def test_21_the_default_decides_when_none_is_named(user: User) -> None:
    await user.give("groq")
    made = await user.give("anthropic", is_default=True)
    answer = await user.chat("anthropic/claude-3-haiku")
    assert (await user.logged(answer))["credential_id"] == made["id"]
    assert [one["id"] for one in (await user.kept()).values() if one["is_default"]] == [made["id"]]


async def test_22_calls_switch_between_credentials(user: User) -> None:
    openai, groq = await user.give("openai"), await user.give("groq")
    by_openai = await user.chat("gpt-4", credential=openai["id"])
    by_groq = await user.chat("groq/llama-3.3-70b-versatile", credential=groq["id"])
    used = [(await user.logged(answer))["credential_id"] for answer in (by_openai, by_groq)]
    assert used == [openai["id"], groq["id"]]
    mismatch = await user.chat("gpt-4", credential=groq["id"])
    assert mismatch.json()["error"]["reason"] in ("credential_unusable", "model_not_found")


async def test_23_a_key_is_validated_before_it_is_saved(user: User) -> None:
    good = {"provider": "openai", "api_key": "sim-ok-0123456789"}
    answer = (await user.http.post(f"{MINE}/validate", json=good)).json()
    assert (answer["valid"], answer["provider"]) == (True, "openai")
    assert answer["models_found"] >= 1
    bad = (await user.http.post(f"{MINE}/validate", json={**good, "api_key": "sim-bad-0123456789"})).json()
    assert bad["valid"] is False
    assert "sim-bad" not in json.dumps(bad)
    assert await user.kept() == {}


async def test_24_the_first_call_that_works_validates(user: User) -> None:
    made = await user.give()
    assert made["last_validated_at"] is None
    assert (await user.chat()).status_code == 200

    async def is_validated() -> bool:
        one = (await user.kept())[made["id"]]
        return one["status"] == "valid" and one["last_validated_at"] is not None

    await eventually(is_validated)


async def test_25_credentials_of_two_users_for_one_provider_do_not_mix(user: User, user_with: MakeUser) -> None:
    other = await user_with()
    mine, theirs = await user.give("openai"), await other.give("openai", secret="sim-bad-0123456789")
    assert (await user.chat()).status_code == 200
    assert (await other.chat()).status_code == 502
    assert (await user.kept()).keys() == {mine["id"]}
    assert (await other.kept()).keys() == {theirs["id"]}
