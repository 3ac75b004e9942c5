"""Every write of every service, done by an admin at the front door, has its row in the audit trail: who, what, which, when,
from where."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from acts import ACTS, NO_ACTS
from machine import Machine, eventually

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_DOCUMENTED = ("billing", "catalog-sync", "keyvault", "analytics")
_KINDS = {
    "budget_id": "/api/budgets",
    "provider_id": "/api/v1/providers",
    "alias_id": "/api/v1/aliases",
    "team_id": "/api/v1/teams",
    "model_id": "/api/v1/llm/models",
    "reconciliation_id": "/api/v1/billing/reconciliations",
}


def filled(value: Any, things: dict[str, Any]) -> Any:
    """A body with its placeholders filled: `{name}` is a text nobody has used."""
    if isinstance(value, dict):
        return {name: filled(inner, things) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, things) for inner in value]
    if not isinstance(value, str) or not (found := re.fullmatch(r"\{(\w+)\}", value)):
        return value
    return f"audited-{secrets.token_hex(6)}" if found[1] == "name" else things[found[1]]


async def done(machine: Machine, method: str, url: str, body: Any = None) -> Any:
    answer = await machine.admin.request(method, url, json=body)
    assert answer.status_code in (200, 201, 204), (method, url, answer.text)
    return answer.json() if answer.content else None


async def made(machine: Machine, what: str) -> dict[str, Any]:
    """A fresh thing, by the name that routes have for it."""
    if what in _KINDS:
        made_by = ACTS[f"POST {_KINDS[what]}"]
        things = await made(machine, made_by.needs) if made_by.needs else {}
        return {what: (await done(machine, "POST", _KINDS[what], filled(made_by.body, things)))["id"]}
    if what == "user_id":
        body = {"email": f"{secrets.token_hex(6)}@example.com", "password": "a password of the story", "name": ""}
        return {"user_id": (await machine.caller.post("/api/auth/signup", json=body)).json()["user_id"]}
    if what == "joined_team_id":
        things = {**await made(machine, "team_id"), **await made(machine, "user_id")}
        await done(machine, "POST", f"/api/v1/teams/{things['team_id']}/members", {"user_id": things["user_id"]})
        return things
    if what == "credential_id":
        kept = await done(machine, "GET", "/api/v1/users/me/llm-credentials")
        provider = ACTS["POST /api/v1/users/me/llm-credentials"].body["provider"]
        return {"credential_id": next(one["id"] for one in kept if one["provider"] == provider)}
    if what == "tier":
        return {"tier": "trial", "allowed": (await done(machine, "GET", "/api/v1/tiers/trial"))["allowed"]}
    if what == "provider_type":
        return {"provider_type": "deepseek"}
    if what == "key_id":
        return {"key_id": (await machine.make_key()).id}
    things = await made(machine, what.removeprefix("scheduled_").removeprefix("pinned_"))
    if what == "scheduled_key_id":
        await done(machine, "PUT", f"/api/v1/keys/{things['key_id']}/rotation", {"every_days": 9})
    if what == "pinned_model_id":
        pinned = ACTS["POST /api/v1/llm/models/{model_id}/prices"].body
        await done(machine, "POST", f"/api/v1/llm/models/{things['model_id']}/prices", pinned)
    return things


async def newest(machine: Machine) -> int:
    return int((await done(machine, "GET", "/api/v1/audit?limit=1"))["items"][0]["id"])


async def row_of(machine: Machine, action: str, after: int) -> dict[str, Any]:
    """The row of an act that was done after another row."""
    found: dict[str, Any] = {}

    async def is_there() -> bool:
        entries = (await done(machine, "GET", "/api/v1/audit?limit=50"))["items"]
        found.update(next((one for one in entries if one["action"] == action and int(one["id"]) > after), {}))
        return bool(found)

    await eventually(is_there)
    return found


async def test_every_write_is_known_to_the_table_of_acts(machine: Machine) -> None:
    routes = set()
    async with httpx2.AsyncClient(timeout=10) as client:
        for service in _DOCUMENTED:
            paths = (await client.get(f"{machine.run['services'][service]}/openapi.json")).json()["paths"]
            routes |= {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    writes = {route for route in routes if route.startswith(_WRITES)}
    assert writes - ACTS.keys() - NO_ACTS.keys() == set(), (
        "an act without a row in the table, or a reason for having none"
    )
    assert (ACTS.keys() | NO_ACTS.keys()) - writes == set()


async def test_each_act_has_its_row(machine: Machine) -> None:
    admin_id = (await done(machine, "GET", "/api/auth/me"))["id"]
    for route, act in ACTS.items():
        method, _, path = route.partition(" ")
        things = await made(machine, act.needs) if act.needs else {}
        if act.needs == "team_id" and "member" in act.action:
            things |= await made(machine, "user_id")
        before = await newest(machine)
        url = re.sub(r"\{(\w+)\}", lambda found, things=things: str(things[found[1]]), path)
        await done(machine, method, url, filled(act.body, things))
        row = await row_of(machine, act.action, before)
        assert (row["actor"], row["origin"]) == (admin_id, "127.0.0.1"), (route, row)
        assert row["subject"], route
        assert datetime.now(UTC) - datetime.fromisoformat(row["at"]) < timedelta(seconds=60), route
    assert (await done(machine, "GET", "/api/v1/audit/verify"))["broken_at"] is None
