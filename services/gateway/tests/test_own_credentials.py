"""Calls by users' own credentials: what they cost whom, what the event says, what a refused one leads to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from common.contracts.snapshots import CredentialSnapshot
from common.ids import uuid7
from common.money import Money
from gateway_house import SYSTEM_SECRETS, Caller

SYSTEM_SECRETS.update(
    {"own-good": "sim-ok-own", "own-bad": "sim-bad-own", "own-bad-2": "sim-bad-own-2", "own-broke": "sim-ok-own-2"}
)


async def caller_with(house: Any, credential_id: str, **members: Any) -> Caller:
    """A user who has a budget of nothing, and this credential with openai."""
    user_id = f"user-{uuid7()}"
    snapshot = CredentialSnapshot(
        id=credential_id, provider_type="openai", version=1, owner_user_id=user_id, on_simulator=True, **members
    )
    await house.put("credentials", credential_id, snapshot)
    caller: Caller = await house.caller(user_id=user_id, monthly_budget=Money.of("0"))
    return caller


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_by_ones_own_credential_costs_the_budget_nothing(house: Any, streamed: bool) -> None:
    caller = await caller_with(house, "own-good")
    answer = await house.ask(caller, stream=streamed)
    assert answer.status_code == 200, answer.text
    [event] = await house.told(caller)
    assert (event.credential, event.credential_id, event.billable) == ("byok", "own-good", False)
    assert event.cost_usd == Money(Decimal(10 * 30 + 9 * 60) / 1_000_000)
    assert event.operator_cost_usd == Money.of(0)
    assert event.budgets == ()
    [attempt] = event.attempts
    assert (attempt.credential, attempt.credential_id, attempt.status) == ("byok", "own-good", "completed")
    assert await house.open_money(caller) == (0, 0)


async def test_a_refused_credential_is_told_and_the_system_does_not_step_in(house: Any) -> None:
    caller = await caller_with(house, "own-bad")
    answer = await house.ask(caller)
    assert (answer.status_code, answer.json()["error"]["reason"]) == (502, "provider_auth_failed")
    [event] = await house.told(caller)
    assert (event.credential, event.billable, event.cost_usd) == ("byok", False, Money.of(0))
    [attempt] = event.attempts
    assert attempt.error is not None
    assert (attempt.credential_id, attempt.error.reason) == ("own-bad", "provider_auth_failed")
    assert "sim-bad" not in answer.text + event.model_dump_json()


async def test_the_system_steps_in_where_the_owner_said_so_and_is_then_charged(house: Any) -> None:
    caller = await caller_with(house, "own-bad-2", fallback_to_system=True)
    refused = await house.ask(caller)
    assert refused.status_code == 502  # its budget is nothing: the failure of the own credential stands
    rich: Caller = await house.caller(user_id=(await house.told(caller))[0].user_id)
    answer = await house.ask(rich)
    assert answer.status_code == 200
    [event] = await house.told(rich)
    assert [attempt.credential for attempt in event.attempts] == ["byok", "system"]
    assert (event.credential, event.billable) == ("system", True)
    assert (await house.open_money(rich))[1] == 840_000


async def test_a_credential_is_chosen_by_header(house: Any) -> None:
    caller = await caller_with(house, "own-broke")
    for chosen, reason in (("nobody", "credential_not_found"), ("cred-openai", "credential_not_found")):
        answer = await house.http.post(
            "/v1/chat/completions",
            json={"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello!"}]},
            headers={**caller.headers, "x-tollgate-credential": chosen},
        )
        assert (answer.status_code, answer.json()["error"]["reason"]) == (400, reason)
    answer = await house.http.post(
        "/v1/chat/completions",
        json={"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello!"}]},
        headers={**caller.headers, "x-tollgate-credential": "own-broke"},
    )
    assert answer.status_code == 200
    [event] = await house.told(caller)
    assert event.credential_id == "own-broke"
