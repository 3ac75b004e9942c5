"""A call with an Idempotency-Key is billed once, however often it is sent, to whichever gateway, whatever breaks."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path

import httpx2
import openai
import psutil
import pytest
from common.ids import uuid7
from common.servers.child import Child, start_child
from common.servers.ports import free_port
from machine import Key, Machine, eventually, owed

SLOWLY = "[[simulate first_byte_ms=400 tokens=12]]"


@asynccontextmanager
async def second_gateway(machine: Machine, folder: Path) -> AsyncIterator[tuple[str, Child]]:
    """Another gateway process beside the stack's own: its URL, and the process."""
    port = free_port()
    first = psutil.Process(machine.pid("gateway")).environ()
    own = {"GATEWAY_HTTP_PORT": str(port), "GATEWAY_JOURNAL_DIR": str(folder / "journal")}
    argv = [sys.executable, "-m", "gateway"]
    child = start_child("gateway", argv, env={**first, **own}, log_path=folder / "gateway.log")
    url = f"http://127.0.0.1:{port}"

    async def is_ready() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=2) as client:
                return (await client.get(f"{url}/readyz")).status_code == 200
        except httpx2.TransportError:
            return False

    try:
        await eventually(is_ready)
        yield url, child
    finally:
        await asyncio.to_thread(child.end)


async def test_fifty_clients_of_two_gateways_are_one_call(machine: Machine, tmp_path: Path) -> None:
    key, name, before = await machine.make_key(), uuid7(), set(machine.provider_calls())
    async with second_gateway(machine, tmp_path) as (other, _):
        asked = [ask(machine, (machine.url, other)[n % 2], key, name) for n in range(50)]
        answers = await asyncio.gather(*asked)
        good = [answer for answer in answers if answer.status_code == 200]  # on a slow machine some come late
        (first,) = [answer for answer in good if "x-tollgate-replayed" not in answer.headers]
        again = [await ask(machine, url, key, name) for url in (machine.url, other)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {(answer.status_code, answer.json()["error"]["reason"]) for answer in refused} <= {
        (409, "idempotency_in_flight")
    }
    assert {answer.content for answer in [*good, *again]} == {first.content}
    assert {answer.headers["x-request-id"] for answer in again} == {first.headers["x-request-id"]}
    await was_billed_once(machine, key, first, before)


async def test_the_official_client_s_retry_after_a_broken_connection_is_billed_once(machine: Machine) -> None:
    key, before = await machine.make_key(), set(machine.provider_calls())
    async with (
        cutting(machine.url) as (url, connections),
        openai.AsyncOpenAI(api_key=key.secret, base_url=f"{url}/v1", max_retries=4) as client,
    ):
        answer = await client.chat.completions.with_raw_response.create(
            model="gpt-4",
            messages=[{"role": "user", "content": SLOWLY}],
            extra_headers={"Idempotency-Key": uuid7()},
        )
    assert len(connections) >= 2
    assert answer.headers["x-tollgate-replayed"] == "true"
    assert answer.parse().choices[0].message.content
    await was_billed_once(machine, key, httpx2.Response(200, content=answer.content, headers=answer.headers), before)


@pytest.mark.slow
async def test_a_call_whose_gateway_was_killed_is_not_run_again(machine: Machine, tmp_path: Path) -> None:
    key, name, before = await machine.make_key(), uuid7(), set(machine.provider_calls())
    async with second_gateway(machine, tmp_path) as (other, child):
        lost = asyncio.create_task(ask(machine, other, key, name, "[[simulate first_byte_ms=2000]]"))
        await asyncio.sleep(0.7)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(httpx2.TransportError):
            await lost
    reasons: list[str] = []

    async def is_over() -> bool:
        answer = await ask(machine, machine.url, key, name, "[[simulate first_byte_ms=2000]]")
        assert answer.status_code == 409
        reasons.append(answer.json()["error"]["reason"])
        return reasons[-1] == "idempotency_answer_gone"

    await eventually(is_over)  # the dead gateway's lease runs out after 15 s
    assert reasons[0] == "idempotency_in_flight"
    assert len(set(machine.provider_calls()) - before) == 1


async def test_a_key_that_is_made_twice_is_one(machine: Machine) -> None:
    headers = {"idempotency-key": uuid7()}
    before = await keys_of(machine)
    made = [await machine.admin.post("/api/v1/keys", json={"name": "once"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json() == made[1].json()
    assert await keys_of(machine) - before == {made[0].json()["id"]}
    assert (await machine.chat(made[1].json()["key"])).status_code == 200


async def ask(machine: Machine, url: str, key: Key, name: str, content: str = SLOWLY) -> httpx2.Response:
    """One call at one gateway."""
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}]}
    headers = {"authorization": f"Bearer {key.secret}", "idempotency-key": name}
    return await machine.caller.post(f"{url}/v1/chat/completions", json=body, headers=headers)


async def was_billed_once(machine: Machine, key: Key, answer: httpx2.Response, before: set[str]) -> None:
    """The provider was asked once since `before`, the ledger has that one call, at its price."""
    summary = await machine.summary_of(key, 1)
    await asyncio.sleep(0.5)  # a second booking would be there by now
    assert set(machine.provider_calls()) - before == {answer.headers["x-request-id"]}
    assert {entry["request_id"] for entry in await machine.ledger(api_key_id=key.id)} == {
        answer.headers["x-request-id"]
    }
    assert await machine.summary(key) == summary
    assert (summary["total_requests"], Decimal(summary["total_cost_usd"])) == (1, owed([answer]))


async def keys_of(machine: Machine) -> set[str]:
    """The ids of all virtual keys."""
    answer = await machine.admin.get("/api/v1/keys", params={"limit": 1000})
    return {item["id"] for item in answer.json()["items"]}


@asynccontextmanager
async def cutting(url: str) -> AsyncIterator[tuple[str, list[int]]]:
    """A way to the gateway that breaks off the first connection 200 ms after it was opened: its URL, and a list with an
    entry for each connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    connections: list[int] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        gateway_reader, gateway_writer = await asyncio.open_connection(host, int(port))
        ways = asyncio.gather(_copy(reader, gateway_writer), _copy(gateway_reader, writer))
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(0.2 if len(connections) == 1 else 30):
                await ways
        for end in (writer, gateway_writer):
            end.transport.abort()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
