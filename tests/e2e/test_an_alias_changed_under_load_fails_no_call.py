"""An alias leads elsewhere while calls go through it: none fails, and within a second every new one goes the new way."""

from __future__ import annotations

import asyncio
import time

from machine import Key, Machine

CALLERS = 8
ROUNDS = 3


async def test_an_alias_changed_under_load_fails_no_call(machine: Machine) -> None:
    key = await machine.make_key()
    places = [{"provider": "openai", "model": "gpt-4"}, {"provider": "groq", "model": "llama-3.1-8b-instant"}]
    made = await machine.admin.post("/api/v1/aliases", json={"alias": "under-load", "deployments": places[:1]})
    assert made.status_code == 201, made.text
    seen: list[tuple[float, int, str]] = []
    load = [asyncio.create_task(_call(machine, key, seen)) for _ in range(CALLERS)]
    await asyncio.sleep(0.3)
    changed: list[tuple[float, float, str]] = []
    for number in range(1, ROUNDS + 1):
        place = places[number % 2]
        asked = time.monotonic()
        answer = await machine.admin.patch(f"/api/v1/aliases/{made.json()['id']}", json={"deployments": [place]})
        assert answer.status_code == 200, answer.text
        changed.append((asked, time.monotonic(), place["provider"]))
        await asyncio.sleep(1.6)
    ended = time.monotonic()
    for task in load:
        task.cancel()
    await asyncio.gather(*load, return_exceptions=True)
    assert len(seen) > CALLERS * ROUNDS
    assert {status for _, status, _ in seen} == {200}
    for (_, at, provider), until in zip(changed, [*(asked for asked, _, _ in changed[1:]), ended], strict=True):
        late = [who for began, _, who in seen if at + 1 <= began < until]
        assert late, "calls went on"
        assert set(late) == {provider}, "a second after the answer the change holds everywhere"


async def _call(machine: Machine, key: Key, seen: list[tuple[float, int, str]]) -> None:
    while True:
        began = time.monotonic()
        answer = await machine.chat(key, model="under-load", max_tokens=1)
        seen.append((began, answer.status_code, answer.headers.get("x-tollgate-provider", "")))
