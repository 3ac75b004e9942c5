"""What the testing guide shows, in its order: the curl lines, both client snippets, the errors, the monitoring queries."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import openai
import pytest
import redis.asyncio as redis
from machine import Machine, eventually
from node_clients import NodeProject

KEY = "test-key-12345"

Curl = Callable[..., str]


@pytest.fixture
def curl(machine: Machine) -> Curl:
    """The guide's curl lines, with this machine's address."""

    def run(*arguments: str, path: str = "/v1/chat/completions", body: Any = None) -> str:
        given = ["-d", json.dumps(body), "-H", "Content-Type: application/json"] if body is not None else []
        command = ["curl", "-sS", "-X", "POST" if body is not None else "GET", machine.url + path, *arguments, *given]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    return run


def _hello(model: str = "gpt-4", content: str = "Hello", **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **members}


def _authorized(key: str = KEY) -> tuple[str, str]:
    return "-H", f"Authorization: Bearer {key}"


def test_the_basic_call_answers_as_shown(curl: Curl) -> None:
    answer = json.loads(curl(*_authorized(), body=_hello(content="Say hello!", temperature=0.7)))
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "gpt-4"
    [choice] = answer["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "Hello! How can I assist you today?"
    usage = {name: answer["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    assert usage == {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19}


def test_the_stream_answers_as_shown(curl: Curl) -> None:
    text = curl("-N", *_authorized(), body=_hello(content="Count to 5", stream=True))
    events = text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "1, 2, 3, 4, 5"
    assert chunks[0]["choices"][0]["finish_reason"] is None


def test_the_alias_and_the_health_check_answer(curl: Curl) -> None:
    assert json.loads(curl(*_authorized(), body=_hello("my-gpt4", "Hello!")))["model"] == "gpt-4"
    assert curl(path="/health") == "OK"


@pytest.mark.parametrize(
    ("arguments", "model", "message", "code"),
    [
        (_authorized("invalid-key"), "gpt-4", "invalid API key", 401),
        ((), "gpt-4", "missing or invalid Authorization header", 401),
        (_authorized(), "gpt-99", "unknown model: gpt-99", 400),
    ],
)
def test_the_errors_are_as_shown(curl: Curl, arguments: tuple[str, ...], model: str, message: str, code: int) -> None:
    error = json.loads(curl(*arguments, body=_hello(model)))["error"]
    shown = {"message": message, "type": "invalid_request_error", "code": code}
    assert {name: error[name] for name in shown} == shown


async def test_rate_limit_and_budget_errors_are_as_shown(machine: Machine) -> None:
    limited = await machine.make_key(rate_limit=100)
    answers = await asyncio.gather(*[machine.chat(limited, "Test", max_tokens=1) for _ in range(101)])
    [refused] = [answer for answer in answers if answer.status_code != 200]
    spent = await machine.make_key(monthly_budget="0.0001")
    broke = await machine.chat(spent)
    for answer, message, code in ((refused, "rate limit exceeded", 429), (broke, "monthly budget exceeded", 402)):
        assert answer.status_code == code
        error = answer.json()["error"]
        assert (error["message"], error["type"], error["code"]) == (message, "invalid_request_error", code)


async def test_the_redis_keys_are_where_the_guide_looks(machine: Machine) -> None:
    key = await machine.make_key(rate_limit=100, monthly_budget="10")
    assert (await machine.chat(key)).status_code == 200
    client = redis.from_url(machine.run["redis_url"], decode_responses=True)
    assert await client.zcard(f"rate_limit:{key.id}") == 1
    assert len(await client.zrange(f"rate_limit:{key.id}", 0, -1, withscores=True)) == 1
    assert int(await client.get(f"cost:{key.id}:{datetime.now(UTC):%Y:%m}")) == 840_000
    assert await client.llen("gateway:logs") == 0
    await client.aclose()


async def test_the_monitoring_queries_run(machine: Machine) -> None:
    key = await machine.make_key(name="Monitored")
    assert (await machine.chat(key)).status_code == 200
    connection = await asyncpg.connect(machine.run["database_url"])
    usage = (
        "SELECT ak.name, COUNT(ur.*) as total_requests, SUM(ur.total_cost_usd) as total_cost,"
        " MAX(ur.created_at) as last_request FROM api_keys ak LEFT JOIN usage_records ur ON ur.api_key_id = ak.id"
        " GROUP BY ak.id, ak.name"
    )
    summaries = (
        "SELECT ak.name, mus.year, mus.month, mus.total_requests, mus.total_cost_usd"
        " FROM monthly_usage_summary mus JOIN api_keys ak ON ak.id = mus.api_key_id"
        " ORDER BY mus.year DESC, mus.month DESC"
    )

    async def both_count_it() -> bool:
        counted = {row["name"]: row["total_requests"] for row in await connection.fetch(usage)}
        summed = {row["name"]: row["total_requests"] for row in await connection.fetch(summaries)}
        return counted.get("Monitored") == summed.get("Monitored") == 1

    await eventually(both_count_it)
    providers = await connection.fetch("SELECT name, provider_type, enabled, created_at FROM providers")
    assert {"openai", "groq", "mistral"} <= {row["name"] for row in providers}
    await connection.close()


def test_the_python_snippet_works(machine: Machine) -> None:
    client = openai.OpenAI(api_key=KEY, base_url=f"{machine.url}/v1")
    response = client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hello!"}])
    assert response.choices[0].message.content == "Hello! How can I assist you today?"
    assert "gpt-4" in {model.id for model in client.models.list()}
    assert client.models.retrieve("my-gpt4").id == "my-gpt4"


def test_the_node_snippet_works(machine: Machine, node_project: NodeProject) -> None:
    said = node_project.run("guide.mjs", KEY=KEY, BASE_URL=f"{machine.url}/v1")
    assert said["whole"] == "Hello! How can I assist you today?"
    assert said["streamed"] == "1, 2, 3, 4, 5"
    assert said["refused"]["status"] == 400
    assert said["refused"]["name"] == "BadRequestError"
    assert said["refused"]["requestID"]


async def test_the_load_line_is_served_within_the_limit(machine: Machine) -> None:
    """1,000 requests, 10 at a time, one output token each: as many as the key's limit allows, the rest refused."""
    key = await machine.make_key(rate_limit=100)
    free = asyncio.Semaphore(10)

    async def one() -> int:
        async with free:
            return (await machine.chat(key, "Test", max_tokens=1)).status_code

    statuses = await asyncio.gather(*[one() for _ in range(1000)])
    assert set(statuses) == {200, 429}
    # The run may take longer than the window of a minute; then later calls find free places.
    assert statuses.count(200) >= 100
    summary = await machine.summary_of(key, statuses.count(200))
    assert summary["total_requests"] == statuses.count(200)
