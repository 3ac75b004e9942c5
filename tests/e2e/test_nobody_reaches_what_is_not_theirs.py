"""Every route of every service for everybody: nobody, the owner of a thing, another user, an admin, a virtual key.

The routes come from the services' own OpenAPI documents, from the routers that stand in no document, and from the
gateway's own tables, so a route without a row of expected answers fails here. Each is asked at the front door; as nobody
and as the stranger at the service itself, too, where nothing stands before it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gateway.api.app as front_door
import httpx2
import keyvault.api.credentials as internal
import pytest_asyncio
from access import BODIES, ENDING, FRESH, INTERNAL, KEYED, MANAGED, OPEN, ROLES
from cast import Cast, assemble
from common.http.app import GUARDS
from gateway.api.health import PATH as HEALTH
from gateway.edge import OWNERS
from machine import Machine

_DOCUMENTED = ("billing", "catalog-sync", "keyvault", "analytics")
_PARAMETER = re.compile(r"\{(\w+)\}")


@pytest_asyncio.fixture
async def cast(machine: Machine) -> AsyncIterator[Cast]:
    """Everybody, with what they have."""
    yield await assemble(machine)


async def documented(machine: Machine) -> dict[str, str]:
    """`METHOD path` → the service that has it, by the OpenAPI documents."""
    found = {}
    async with httpx2.AsyncClient(timeout=10) as client:
        for service in _DOCUMENTED:
            paths = (await client.get(f"{machine.run['services'][service]}/openapi.json")).json()["paths"]
            found |= {f"{method.upper()} {path}": service for path, methods in paths.items() for method in methods}
    return found


async def asked(cast: Cast, role: str, route: str, at: str = "") -> int:
    """Ask for a route, filled with the owner's things, as somebody; what is answered."""
    method, _, path = route.partition(" ")
    things = dict(cast.things)
    if fresh := FRESH.get(route):
        things[fresh] = await cast.make(fresh)
        if fresh == "team_id":
            await cast.join_team(things[fresh])
    url = at + _PARAMETER.sub(lambda found: things[found[1]], path)
    body: Any = BODIES.get(route, {}) if method in ("POST", "PUT", "PATCH") else None
    answer = await cast.ask(role, method, url, body)
    if route in ENDING:
        await cast.sign_in(role)
    assert answer.status_code != 500, (role, route, answer.text)
    if "/api/" in url and not url.endswith("/api/health") and "openai" not in url:
        assert GUARDS.keys() <= answer.headers.keys(), (role, route, answer.headers)
    if role in ("nobody", "stranger"):
        assert not [one for one in cast.private() if one in answer.text and one not in url], (role, route, answer.text)
    return answer.status_code


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/") and value not in ("/", "/api/") and " " not in value


def differing(route: str, expected: str, seen: dict[str, int]) -> str:
    """What is not as the table says; empty when all is."""
    wanted = dict(zip(ROLES, map(int, expected.split()), strict=True))
    return "" if seen == {role: wanted[role] for role in seen} else f"{route}: {expected} expected, seen {seen}"


async def test_every_route_has_a_row(machine: Machine) -> None:
    assert set(await documented(machine)) | {f"GET {HEALTH}"} == set(MANAGED)
    hidden = {f"{method} {route.path}" for route in internal.router.routes for method in route.methods}
    assert hidden == set(INTERNAL)
    known = {route.partition(" ")[2].removeprefix("/v1") for route in (*KEYED, *OPEN, *MANAGED)}
    assert {*front_door._BARE, *front_door._PROBES} <= known
    # Whatever path the front door's own source speaks of begins a row (a family of paths: several).
    source = ast.parse(Path(front_door.__file__).read_text())
    spoken = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and _is_path(node.value)}
    assert [path for path in spoken - set(front_door._PREFIXES) if not any(row.startswith(path) for row in known)] == []


async def test_the_front_door_lets_in_whom_it_should(cast: Cast) -> None:
    wrong = []
    for route, expected in MANAGED.items():
        seen = {role: await asked(cast, role, route) for role in ROLES}
        wrong.append(differing(route, expected, seen))
    assert [said for said in wrong if said] == []


async def test_each_service_looks_for_itself(cast: Cast) -> None:
    wrong = []
    services = await documented(cast.machine)
    for route in (route for route in MANAGED if route in services):
        at = cast.machine.run["services"][services[route]]
        seen = {role: await asked(cast, role, route, at) for role in ("nobody", "stranger")}
        wrong.append(differing(route, MANAGED[route], seen))
    assert [said for said in wrong if said] == []


async def test_what_is_internal_is_behind_no_front_door_and_opens_to_no_person(cast: Cast) -> None:
    at = cast.machine.run["services"]["keyvault"]
    for route in INTERNAL:
        for role in ROLES:
            assert await asked(cast, role, route, at) == 401, (role, route)
            assert await asked(cast, role, route) == 404, (role, route)
    assert not [prefix for prefix in OWNERS if prefix.startswith("/internal") or prefix in ("/", "/v1", "/api")]


async def test_calls_need_a_virtual_key_by_whatever_name_they_go(cast: Cast) -> None:
    wrong = []
    for route, expected in KEYED.items():
        method, _, path = route.partition(" ")
        for prefix in (*front_door._PREFIXES, ""):
            asked_for = f"{method} {prefix}{path.replace('{id}', 'gpt-4')}"
            seen = {role: await asked(cast, role, asked_for) for role in ROLES}
            wrong.append(differing(asked_for, expected, seen))
    assert [said for said in wrong if said] == []


async def test_probes_answer_everybody(cast: Cast) -> None:
    for route, expected in OPEN.items():
        assert differing(route, expected, {role: await asked(cast, role, route) for role in ROLES}) == ""
