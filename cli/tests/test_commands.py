"""The commands at their edges: seeding over HTTP, what is printed, one line and an exit code for what goes wrong."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from tollgate.commands.usage import line_of
from tollgate.errors import RunnerError
from tollgate.gateway_client import GatewayClient, reason_of
from tollgate.reports import BackgroundReport, welcome
from tollgate.runfile import RunFile
from tollgate.seed import seed

RUN_FILE = RunFile(
    url="http://127.0.0.1:8080",
    api_key="test-key-12345",
    admin_email="admin@example.com",
    admin_password="admin-pw",
    demo_email="demo@example.com",
    demo_password="demo-pw",
    database_url="postgresql://d",
    nats_url="nats://n",
    redis_url="redis://r",
    cache_redis_url="redis://c",
    nats_monitoring_url=None,
    simulator_url="http://127.0.0.1:1",
    services={"gateway": "http://127.0.0.1:8080"},
    pids={"gateway": 1},
    logs="/somewhere/logs",
)


class Door:
    """A front door that remembers what it was asked, and where everything but the login can be there already."""

    def __init__(self, status: int = 201) -> None:
        self.status = status
        self.asked: list[tuple[str, dict[str, object], str | None]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        self.asked.append((request.url.path, body, request.headers.get("authorization")))
        if request.url.path == "/api/auth/login":
            return httpx2.Response(200, json={"access_token": "jwt", "token_type": "bearer", "user_id": "u"})
        return httpx2.Response(self.status, json={"detail": "told"})

    def client(self) -> GatewayClient:
        return GatewayClient("http://door", httpx2.MockTransport(self))


def test_seeding_makes_the_guides_key_alias_and_the_demo_user() -> None:
    door = Door()
    made = seed(door.client(), ("admin@example.com", "a"), ("demo@example.com", "d"))
    assert made == ["user demo@example.com", "key test-key-12345", "alias my-gpt4"]
    asked = {path: (body, login) for path, body, login in door.asked}
    assert asked["/api/auth/login"][0] == {"email": "admin@example.com", "password": "a"}
    key, login = asked["/api/v1/keys"]
    assert login == "Bearer jwt"
    assert (key["key"], key["rate_limit"], key["monthly_budget"]) == ("test-key-12345", 100, "10")
    assert asked["/api/v1/aliases"][0] == {
        "alias": "my-gpt4",
        "deployments": [{"provider": "openai", "model": "gpt-4"}],
    }


def test_seeding_again_finds_everything_there() -> None:
    assert seed(Door(status=409).client(), ("a", "b"), ("c", "d")) == []


def test_seeding_stops_with_the_step_and_the_reason() -> None:
    with pytest.raises(RunnerError, match="seeding: POST /api/auth/signup answered 500: told"):
        seed(Door(status=500).client(), ("a", "b"), ("c", "d"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx2.Response(401, json={"error": {"message": "invalid API key"}}), "invalid API key"),
        (httpx2.Response(422, json={"detail": [{"loc": ["x"]}]}), '[{"loc": ["x"]}]'),
        (httpx2.Response(502, text="bad gateway"), "bad gateway"),
        (httpx2.Response(500), "no reason given"),
    ],
)
def test_an_error_answers_reason_is_found_in_any_shape(answer: httpx2.Response, reason: str) -> None:
    assert reason_of(answer) == reason


def test_a_list_is_read_to_its_end() -> None:
    asked: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.raw_path)
        is_last = b"cursor" in request.url.raw_path
        return httpx2.Response(200, json={"items": [len(asked)], "next_cursor": None if is_last else "a/b="})

    client = GatewayClient("http://door", httpx2.MockTransport(answer))
    assert client.items("/api/v1/keys") == [1, 2]
    assert asked == [b"/api/v1/keys?limit=1000", b"/api/v1/keys?limit=1000&cursor=a%2Fb%3D"]


def test_the_welcome_ends_in_a_curl_line_that_a_shell_takes() -> None:
    text = welcome(RUN_FILE)
    words = shlex.split(text.strip().splitlines()[-1])
    assert words[:2] == ["curl", "http://127.0.0.1:8080/v1/chat/completions"]
    assert "Authorization: Bearer test-key-12345" in words
    assert json.loads(words[-1])["model"] == "gpt-4"
    for shown in ("admin-pw", "demo-pw", "/somewhere/logs", "test-key-12345"):
        assert shown in text


def test_the_background_tells_its_waiter_and_does_not_mind_when_nobody_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reading, writing = os.pipe()
    report = BackgroundReport(writing)
    report.say("postgres 18")
    assert json.loads(os.read(reading, 1000)) == {"say": "postgres 18"}
    os.close(reading)
    report.failed("port taken")
    report.close()
    report.say("later")
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "postgres 18",
        "port taken",
        "later",
    ]


def test_a_recorded_call_is_one_readable_line() -> None:
    event = {
        "time": "2026-11-21T08:30:00Z",
        "data": {
            "status": "completed",
            "provider_type": "openai",
            "model": "gpt-4",
            "usage": {"total_tokens": 29},
            "cost_usd": "0.00123",
            "api_key_id": "k1",
        },
    }
    assert line_of(event).split() == [
        "2026-11-21T08:30:00Z", "completed", "openai/gpt-4", "29", "tokens", "$0.00123", "key", "k1",
    ]  # fmt: skip


def tollgate(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as a person runs it, on a folder of its own."""
    environment = {"PATH": os.defpath, "TOLLGATE_HOME": str(home), **variables}
    return subprocess.run(
        [sys.executable, "-m", "tollgate", *arguments], env=environment, capture_output=True, text=True
    )


def test_a_wrong_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    answer = tollgate(tmp_path, "up", GATEWAY_HTTP_PORT="eighty")
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith("tollgate: GATEWAY_HTTP_PORT is wrong")


def test_up_passes_on_why_the_background_gave_up_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = tollgate(tmp_path, "up", GATEWAY_HTTP_PORT=port)
    assert answer.returncode == 1
    assert (
        answer.stderr
        == f"tollgate: port {port} is taken: stop what listens there, or set GATEWAY_HTTP_PORT to another\n"
    )
    assert tollgate(tmp_path, "status", "--json").stdout.startswith('{\n  "is_running": false')
    assert not (tmp_path / "run.json").exists()


def test_down_where_nothing_runs_says_so_and_where_the_logs_would_be(tmp_path: Path) -> None:
    answer = tollgate(tmp_path, "down")
    assert (answer.returncode, answer.stdout) == (0, f"nothing was running (logs: {tmp_path}/logs)\n")


def test_doctor_without_a_stack_still_looks_at_the_programs(tmp_path: Path) -> None:
    answer = tollgate(tmp_path, "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(answer.stdout)}
    assert answer.returncode == 1
    assert findings["program nats-server"]["is_well"] is True
    assert findings["stack"]["is_well"] is False


def test_migrate_without_a_roles_password_names_the_variable(tmp_path: Path, servers: object) -> None:
    answer = tollgate(tmp_path, "migrate", DATABASE_URL=getattr(servers, "database_url"))  # noqa: B009
    assert answer.returncode == 1
    assert "BILLING_DATABASE_URL is not set" in answer.stderr
