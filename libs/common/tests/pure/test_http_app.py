"""Errors of the management APIs: each class renders as it says, nothing that was sent comes back, a bug says nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import common.errors
import httpx2
import pytest
import pytest_asyncio
import structlog
from common.errors import TollgateError, TooManyRequests, Unavailable
from common.http.app import create_api, ready_checks, revision_header
from fastapi import FastAPI, HTTPException
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, ConfigDict, SecretStr
from structlog.testing import capture_logs

SENSITIVE = "hunter2-hunter2"
ERRORS = [kind for kind in vars(common.errors).values() if isinstance(kind, type) and issubclass(kind, TollgateError)]


class Login(BaseModel):
    """What a client sends that must not come back."""

    model_config = ConfigDict(extra="forbid")

    email: str
    password: SecretStr


@pytest.fixture
def app() -> FastAPI:
    """An app with a route for each way to go wrong."""
    registry = CollectorRegistry()
    Counter("tollgate_things", "Things that were counted", registry=registry).inc(3)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    made = create_api("Small", lifespan, registry)

    @made.get("/raise/{name}")
    async def raise_by_name(name: str) -> None:
        [kind] = [kind for kind in ERRORS if kind.__name__ == name]
        raise kind("what happened", retry_after_seconds=7 if kind in (TooManyRequests, Unavailable) else None)

    @made.get("/bug")
    async def bug() -> None:
        raise KeyError(SENSITIVE)

    @made.get("/unstorable")
    async def unstorable() -> None:
        raise asyncpg.CharacterNotInRepertoireError(SENSITIVE)

    @made.get("/outage/{name}")
    async def outage(name: str) -> None:
        raise getattr(asyncpg, name, ConnectionResetError)(SENSITIVE)

    @made.get("/http")
    async def http() -> None:
        raise HTTPException(418, "a teapot", {"x-kind": "tea"})

    @made.post("/login")
    async def login(body: Login) -> str:
        return str(structlog.contextvars.get_contextvars()["request_id"])

    return made


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody who calls the app."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://small") as caller:
        yield caller


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
async def test_every_error_of_the_tree_renders_as_its_status_code_and_message(
    client: httpx2.AsyncClient, kind: type[TollgateError]
) -> None:
    answer = await client.get(f"/raise/{kind.__name__}")
    assert answer.status_code == kind.status
    assert answer.json() == {"detail": "what happened", "code": kind.code}
    assert answer.headers.get("retry-after") == ("7" if kind in (TooManyRequests, Unavailable) else None)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert len({kind.code for kind in ERRORS}) == len({kind.status for kind in ERRORS}) == len(ERRORS) == 9
    for kind in ERRORS:
        assert kind.__name__ in (common.errors.__doc__ or "")
        assert kind.__doc__


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a", "password": {"x": SENSITIVE}},
        {"email": [SENSITIVE], "password": "p"},
        {"email": "a", "password": "p", "more": SENSITIVE},
        {"password": SENSITIVE},
        SENSITIVE,
    ],
)
async def test_what_fails_validation_is_named_and_not_repeated(client: httpx2.AsyncClient, body: Any) -> None:
    answer = await client.post("/login", json=body)
    assert answer.status_code == 422
    assert SENSITIVE not in answer.text
    assert all(set(item) == {"loc", "msg", "type"} for item in answer.json()["detail"])


async def test_malformed_json_is_refused_without_an_echo(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        "/login", content=f'{{"email": "{SENSITIVE}', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert SENSITIVE not in answer.text


async def test_a_bug_says_nothing_to_the_client_and_where_to_the_log(client: httpx2.AsyncClient) -> None:
    with capture_logs() as lines:
        answer = await client.get("/bug")
    assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
    [line] = [line for line in lines if line["event"] == "request_failed"]
    assert (line["path"], line["method"], type(line["exc_info"])) == ("/bug", "GET", KeyError)
    assert line["request_id"] == answer.headers["x-request-id"]


async def test_a_value_that_the_database_cannot_hold_is_the_clients_fault_and_told_nowhere(
    client: httpx2.AsyncClient,
) -> None:
    with capture_logs() as lines:
        answer = await client.get("/unstorable")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert SENSITIVE not in answer.text
    assert [line["event"] for line in lines] == ["value_unstorable"]
    assert SENSITIVE not in str(lines)


@pytest.mark.parametrize(
    "name",
    [
        "ConnectionDoesNotExistError", "AdminShutdownError", "CannotConnectNowError", "TooManyConnectionsError",
        "DeadlockDetectedError", "InternalClientError", "a connection that was reset",
    ],
)  # fmt: skip
async def test_while_the_database_is_away_clients_are_told_to_ask_again(client: httpx2.AsyncClient, name: str) -> None:
    with capture_logs() as logged:
        response = await client.get(f"/outage/{name}")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json() == {"detail": "the service cannot answer just now", "code": "unavailable"}
    assert [line["event"] for line in logged] == ["request_unavailable"]
    assert SENSITIVE not in str(logged)


async def test_a_frameworks_own_errors_keep_status_and_headers(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/http")
    assert (answer.status_code, answer.json(), answer.headers["x-kind"]) == (418, {"detail": "a teapot"}, "tea")
    assert (await client.get("/nowhere")).json() == {"detail": "Not Found"}
    assert (await client.get("/login")).status_code == 405


@pytest.mark.parametrize("path", ["/livez", "/raise/NotFound", "/nowhere", "/bug"])
async def test_every_answer_carries_a_request_id_and_the_clients_own_is_kept(
    client: httpx2.AsyncClient, path: str
) -> None:
    first, second = [(await client.get(path)).headers["x-request-id"] for _ in range(2)]
    assert first != second
    own = await client.get(path, headers={"x-request-id": "mine"})
    assert own.headers["x-request-id"] == "mine"


async def test_a_request_id_is_bounded_and_bound_to_the_log(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/login", json={"email": "a", "password": "b"}, headers={"x-request-id": "r" * 9000})
    assert answer.headers["x-request-id"] == answer.json() == "r" * 128
    assert "request_id" not in structlog.contextvars.get_contextvars()


async def test_probes_say_alive_ready_and_counted(client: httpx2.AsyncClient, app: FastAPI) -> None:
    async def yes() -> bool:
        return True

    async def no() -> bool:
        return False

    assert (await client.get("/livez")).text == "ok\n"
    assert (await client.get("/readyz")).status_code == 503
    app.state.checks = {"postgres": yes, "nats": no}
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"postgres": True, "nats": False})
    app.state.checks = {"postgres": yes}
    assert (await client.get("/readyz")).status_code == 200
    assert "tollgate_things_total 3.0" in (await client.get("/metrics")).text


async def test_a_service_that_has_not_started_has_no_checks_to_pass() -> None:
    assert await ready_checks(None) == {}


def test_a_writes_answer_names_the_revisions_that_carry_its_effect() -> None:
    assert revision_header({"sessions": 4, "keys": 17}) == {"x-tollgate-revision": "keys=17,sessions=4"}
    assert revision_header({}) == revision_header(None) == {}
