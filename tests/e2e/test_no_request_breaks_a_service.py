"""Whatever is sent to a management API, well formed or not, is answered; a server error is a bug.

Requests are made from each service's own OpenAPI document, as an admin, so that nothing stops at the door. They change
whatever they can, so the stack is this file's own. A few for each operation always, many in `make test-slow`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import schemathesis
from common.servers.ports import free_port
from hypothesis import HealthCheck, Phase, given, settings
from machine import read_run, tollgate
from schemathesis import GenerationMode

# keyvault last: afterwards nobody may be able to sign in any more.
SERVICES = ("billing", "catalog-sync", "analytics", "keyvault")
FEW, MANY = 2, 60
_SERVERS = ("DATABASE_URL", "NATS_URL", "REDIS_URL", "CACHE_REDIS_URL")
# They would end the session that all requests are made with; the matrix of routes asks them.
_LEFT_OUT = frozenset({"POST /api/auth/logout", "POST /api/auth/oidc/logout"})
# Its provider, or what it reads from, may be away: that is said, not suffered.
_SAYS_AWAY = frozenset({502, 503, 504})


@dataclass
class Breakable:
    """A stack that anything may be done to."""

    run: dict[str, Any]

    def sign_in(self) -> str:
        """The administrator's session."""
        body = {"email": self.run["admin_email"], "password": self.run["admin_password"]}
        return str(httpx2.post(f"{self.run['url']}/api/auth/login", json=body).json()["access_token"])


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Breakable]:
    """A stack of this file's own."""
    folder = tmp_path_factory.mktemp("breakable")
    started = tollgate(folder, "up", GATEWAY_HTTP_PORT=str(free_port()), **dict.fromkeys(_SERVERS, ""))
    assert started.returncode == 0, started.stdout + started.stderr
    yield Breakable(read_run(folder))
    tollgate(folder, "down")


def server_errors(stack: Breakable, service: str, examples: int) -> tuple[int, set[str]]:
    """Send so many requests of each kind to each operation; how many were answered, and which broke it."""
    token, answered, broken = stack.sign_in(), 0, set()
    schema = schemathesis.openapi.from_url(f"{stack.run['services'][service]}/openapi.json")
    for operation in (result.ok() for result in schema.get_all_operations()):
        if operation.label in _LEFT_OUT:
            continue
        # A path's parameter is any text already: there is nothing wrong to make of it.
        kinds = [GenerationMode.POSITIVE] + [GenerationMode.NEGATIVE] * bool(operation.body or operation.query)
        for kind in kinds:
            for status, case in _sent(operation.as_strategy(generation_mode=kind), token, examples):
                answered += 1
                if status >= 500 and status not in _SAYS_AWAY:
                    broken.add(f"{operation.label} answered {status}: {case}")
    return answered, broken


def _sent(cases: Any, token: str, examples: int) -> list[tuple[int, str]]:
    seen = []

    @given(case=cases)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        answer = case.call(headers={"authorization": f"Bearer {token}"}, timeout=20)
        seen.append((answer.status_code, case.as_curl_command()))

    send()
    return seen


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_breaks_it(breakable: Breakable, service: str) -> None:
    answered, broken = server_errors(breakable, service, FEW)
    assert answered >= 5
    assert broken == set()


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_many_requests_break_it_no_more(breakable: Breakable, service: str) -> None:
    answered, broken = server_errors(breakable, service, MANY)
    assert answered >= MANY
    assert broken == set()
