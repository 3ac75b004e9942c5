"""The books can be thrown away: replayed from the stream they say what they said, while calls go on."""

from __future__ import annotations

import json

from machine import Machine, tollgate

CALLS = 5


async def test_a_rebuilt_ledger_is_the_ledger(machine: Machine) -> None:
    key = await machine.make_key(monthly_budget=1)
    for _ in range(CALLS):
        assert (await machine.chat(key)).status_code == 200
    summary = await machine.summary_of(key, CALLS)
    before = {
        (line["account"], line["event_id"]): line["amount_usd"] for line in await machine.ledger(api_key_id=key.id)
    }

    done = tollgate(machine.home, "billing", "rebuild", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] >= CALLS
    after = {
        (line["account"], line["event_id"]): line["amount_usd"] for line in await machine.ledger(api_key_id=key.id)
    }
    assert (after, await machine.summary(key)) == (before, summary)
    assert (await machine.chat(key)).status_code == 200
    assert (await machine.summary_of(key, CALLS + 1))["total_requests"] == CALLS + 1
