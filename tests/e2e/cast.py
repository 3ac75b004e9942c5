"""The people of the matrix of roles and routes, and the things of theirs that the others try to get at."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx2
from machine import Machine

PASSWORD = "a long password of the cast"
BILL = "day,model,amount_usd\n2026-11-01,gpt-4,1\n"
_PUBLIC = {"model_id", "sync_id", "provider_type", "tier", "item_id", "rerating_id"}


@dataclass
class Cast:
    """`owner` has a key, a budget, a credential, a team and a call; `stranger` is any other user."""

    machine: Machine
    owner_id: str
    emails: dict[str, str]
    tokens: dict[str, str]
    key: str
    things: dict[str, str] = field(default_factory=dict)

    async def ask(self, role: str, method: str, url: str, body: Any = None) -> httpx2.Response:
        """A request as somebody of the cast; `key`: with the owner's virtual key, as a bearer."""
        token = self.key if role == "key" else self.tokens.get(role)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.machine.caller.cookies.clear()  # a login leaves one, which would speak for everybody
        return await self.machine.caller.request(method, url, json=body, headers=headers)

    async def sign_in(self, role: str) -> None:
        """Begin another session, where somebody can sign in."""
        if role in self.emails:
            body = {"email": self.emails[role], "password": PASSWORD}
            answer = await self.machine.caller.post("/api/auth/login", json=body)
            self.tokens[role] = answer.json()["access_token"]
        elif role == "admin":
            await self.machine.sign_in({})
            self.tokens[role] = _token(self.machine)

    def private(self) -> list[str]:
        """Ids that nobody but the owner and admins may be told."""
        return [value for name, value in self.things.items() if name not in _PUBLIC] + [self.key]

    async def make(self, what: str) -> str:
        """A fresh thing of the owner's (or the admin's, where only admins make them): its id."""
        role, url, body = await self._recipe(what)
        answer = await self.ask(role, "POST", url, body)
        assert answer.status_code in (200, 201), (what, answer.text)
        return str(answer.json()["id"])

    async def join_team(self, team_id: str) -> None:
        """Make the owner a member."""
        added = await self.ask("admin", "POST", f"/api/v1/teams/{team_id}/members", {"user_id": self.owner_id})
        assert added.status_code == 201, added.text

    async def _recipe(self, what: str) -> tuple[str, str, dict[str, Any]]:
        name = f"cast-{secrets.token_hex(6)}"
        deployments = [{"provider": "openai", "model": "gpt-4"}]
        recipes: dict[str, tuple[str, str, dict[str, Any]]] = {
            "key_id": ("owner", "/api/v1/keys", {"name": name}),
            "budget_id": ("owner", "/api/budgets", {"limit": 1000}),
            "credential_id": (
                "owner",
                "/api/v1/users/me/llm-credentials",
                {"provider": "groq", "api_key": f"sim-ok-{name}", "is_default": False},
            ),
            "team_id": ("admin", "/api/v1/teams", {"name": name}),
            "provider_id": ("admin", "/api/v1/providers", {"name": name, "provider_type": "openai"}),
            "alias_id": ("admin", "/api/v1/aliases", {"alias": name, "deployments": deployments}),
        }
        role, url, body = recipes[what]
        if what == "credential_id":  # one active a provider and user: those before stand aside
            for kept in (await self.ask("owner", "GET", url)).json():
                await self.ask("owner", "PATCH", f"{url}/{kept['id']}", {"is_active": False})
        if what == "budget_id":  # one a scope and period: each is on a key of its own
            body |= {"scope": "key", "scope_id": await self.make("key_id")}
        return role, url, body


async def assemble(machine: Machine) -> Cast:
    """Sign everybody up and give the owner things."""
    ids, tokens = {}, {"admin": _token(machine)}
    emails = {role: f"{role}-{secrets.token_hex(6)}@example.com" for role in ("owner", "stranger")}
    for role, email in emails.items():
        answer = await machine.caller.post(
            "/api/auth/signup", json={"email": email, "password": PASSWORD, "name": role.title()}
        )
        assert answer.status_code == 201, answer.text
        ids[role], tokens[role] = answer.json()["user_id"], answer.json()["access_token"]
    made = await machine.admin.post(
        "/api/v1/keys", json={"name": "cast", "user_id": ids["owner"], "tier": "enterprise", "monthly_budget": 10}
    )
    assert made.status_code == 201, made.text
    cast = Cast(machine, ids["owner"], emails, tokens, made.json()["key"])
    await _give(cast)
    return cast


def _token(machine: Machine) -> str:
    return str(machine.admin.headers["authorization"].removeprefix("Bearer "))


async def _give(cast: Cast) -> None:
    machine = cast.machine
    answered = await machine.chat(cast.key)
    assert answered.status_code == 200, answered.text
    call = await machine.request(answered.headers["x-request-id"])
    models = (await cast.ask("admin", "GET", "/api/v1/llm/models?search=gpt-4&limit=1")).json()
    syncs = (await cast.ask("admin", "GET", "/api/v1/llm/models/syncs?limit=1")).json()
    cast.things |= {
        "user_id": cast.owner_id,
        "request_id": str(call["request_id"]),
        "model_id": models[0]["id"],
        "sync_id": str(syncs["items"][0]["id"]),
        "provider_type": "perplexity",
        "tier": "trial",
        "item_id": "1",
        "rerating_id": "00000000-0000-7000-8000-000000000000",
        "reconciliation_id": await _reconciliation(cast),
    }
    for what in ("key_id", "budget_id", "credential_id", "team_id", "provider_id", "alias_id"):
        cast.things[what] = await cast.make(what)
    await cast.join_team(cast.things["team_id"])


async def _reconciliation(cast: Cast) -> str:
    body = {"provider_type": "openai", "format": "csv", "content": BILL}
    answer = await cast.ask("admin", "POST", "/api/v1/billing/reconciliations", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
