"""The short way of a stream's chunks: the client gets what it gets on the long way, and nearly every chunk takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx2
import pytest
from gateway.api.protocol import Exchange
from gateway_house import House, add_own_provider
from gateway_stack import KEY, Stack
from own_provider import DONE, END, STREAM_HEAD, USAGE, Got, delta, own_provider, piece

TEXTS = [f"word {number} " for number in range(12)]
TOOL = piece(
    b'data: {"id":"own-1","object":"chat.completion.chunk","created":7,"model":"echo","choices":[{"index":0,"delta":'
    b'{"tool_calls":[{"index":3,"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},'
    b'"finish_reason":null}]}\n\n'
)
ODD = [delta('quoted " and \\ and \u2028'), TOOL, piece(b": nothing\n\n"), delta("")]
ALL = [*map(delta, TEXTS[:5]), *ODD, *map(delta, TEXTS[5:]), delta("", "stop"), USAGE]


def cut(parts: Sequence[bytes], size: int) -> list[bytes]:
    """The same bytes, in pieces of this size."""
    whole = b"".join(parts)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


@pytest.fixture
def shortened(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What went the short way."""
    taken: list[bytes] = []
    write = Exchange.write

    def noted(self: Exchange, body: bytes) -> None:
        taken.append(body)
        write(self, body)

    monkeypatch.setattr(Exchange, "write", noted)
    return taken


async def test_nearly_every_paced_chunk_takes_it(stack: Stack, shortened: list[bytes]) -> None:
    answer = await stack.chat("[[simulate tokens=30 chunk_ms=15]]", stream=True)
    assert len(shortened) > 20
    assert all(events.decode() in answer.text for events in shortened)
    [event] = await stack.events()
    assert (event.status, event.usage.output_tokens) == ("completed", 30)


@pytest.mark.parametrize("path", ["messages", "responses"])
async def test_who_speaks_another_dialect_gets_all_on_the_long_way(
    stack: Stack, shortened: list[bytes], path: str
) -> None:
    words = "[[simulate tokens=8 chunk_ms=15]]"
    asked = {
        "messages": {"messages": [{"role": "user", "content": words}], "max_tokens": 50},
        "responses": {"input": words},
    }[path]
    body = {"model": "gpt-4", "stream": True, **asked}
    headers = {"authorization": f"Bearer {KEY}"}
    answer = await stack.http.post(f"/v1/{path}", json=body, headers=headers)
    assert answer.status_code == 200
    assert shortened == []


async def test_what_is_kept_for_a_retry_misses_nothing(stack: Stack, shortened: list[bytes]) -> None:
    body = {"model": "gpt-4", "stream": True, "messages": [{"role": "user", "content": "[[simulate chunk_ms=15]]"}]}
    headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "once"}
    answers = [await stack.http.post("/v1/chat/completions", json=body, headers=headers) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[0].text.endswith("data: [DONE]\n\n")
    assert shortened == []


@pytest.mark.parametrize("pieces", [ALL, cut(ALL, 61), cut(ALL, 400)], ids=["events", "small cuts", "large cuts"])
async def test_paced_or_at_once_the_client_gets_the_same(house: House, pieces: list[bytes]) -> None:
    pauses = iter([0.0, 0.01])

    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        pause = next(pauses)
        writer.write(STREAM_HEAD)
        for part in [*pieces, DONE + END]:
            writer.write(part)
            if pause:
                await writer.drain()
                await asyncio.sleep(pause)

    async with own_provider(play) as provider:
        await add_own_provider(house, provider)
        caller = await house.caller()
        at_once, paced = [await house.ask(caller, "Hi", model="echo", stream=True) for _ in range(2)]
    assert paced.text == at_once.text
    assert paced.text.endswith("data: [DONE]\n\n")
    events = await house.told(caller, 2)
    assert [event.status for event in events] == ["completed"] * 2
    assert await house.open_money(caller) == (0, sum(event.cost_usd.to_nano_ceiling() for event in events))


async def test_a_client_that_falls_behind_gets_all_in_order(house: House) -> None:
    words = [f"{number:06}" + "x" * 20_000 for number in range(400)]

    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for word in words:
            writer.write(delta(word))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(delta("", "stop") + USAGE + DONE + END)

    async with own_provider(play) as provider:
        await add_own_provider(house, provider)
        caller = await house.caller()
        body = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        seen = b""
        async with house.http.stream(
            "POST", "/v1/chat/completions", json=body, headers=caller.headers, timeout=httpx2.Timeout(60)
        ) as answer:
            async for part in answer.aiter_raw():
                seen += part
                if len(seen) < 1_000_000:
                    await asyncio.sleep(0.02)
    at = -1
    for word in words:
        at = seen.index(word[:7].encode(), at + 1)
    assert seen.endswith(b"data: [DONE]\n\n")
