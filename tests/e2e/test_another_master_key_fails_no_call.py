"""The master key is changed while calls run, by system keys and by a user's own: none fails, and the old key can go."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest
from cryptography.fernet import Fernet
from machine import GIVEN_HOME, MASTER_KEYS, Key, Machine, eventually, tollgate

CALLERS = 4
MINE = "/api/v1/users/me/llm-credentials"


async def test_another_master_key_fails_no_call(machine: Machine) -> None:
    keys = machine.home / MASTER_KEYS
    if not keys.is_file():
        pytest.fail(f"the stack at {GIVEN_HOME} does not take its master keys from {MASTER_KEYS}")
    own = await machine.admin.post(MINE, json={"provider": "groq", "api_key": "sim-ok-of-the-rotation"})
    assert own.status_code == 201, own.text
    key = await machine.make_key(rate_limit=100_000, monthly_budget="100")
    seen: list[tuple[str, int, str]] = []
    load = [asyncio.create_task(_call(machine, key, model, seen)) for model in _MODELS * (CALLERS // len(_MODELS))]
    await asyncio.sleep(0.5)
    old, fresh = keys.read_text().split()[0], Fernet.generate_key().decode()

    keys.write_text(f"{fresh}\n{old}\n")
    await machine.restarted("keyvault", machine.kill("keyvault", signal.SIGTERM))
    rotated = await asyncio.to_thread(tollgate, machine.home, "rotate-encryption", "--json")
    assert rotated.returncode == 0, rotated.stderr
    assert json.loads(rotated.stdout)["remaining"] == 0  # keyvault's own schedule may have been there first

    keys.write_text(f"{fresh}\n")  # with a row left under the old key, keyvault would not start
    await machine.restarted("keyvault", machine.kill("keyvault", signal.SIGTERM))
    before = len(seen)

    async def went_on() -> bool:
        return len(seen) > before + CALLERS

    await eventually(went_on)
    for task in load:
        task.cancel()
    await asyncio.gather(*load, return_exceptions=True)

    async def is_removed() -> bool:  # the edge may still hold a connection to the keyvault before
        return (await machine.admin.delete(f"{MINE}/{own.json()['id']}")).status_code in (204, 404)

    await eventually(is_removed)
    assert {(model, status) for model, status, _ in seen} == {(model, 200) for model in _MODELS}, seen[-3:]


_MODELS = ("gpt-4", "groq/llama-3.1-8b-instant")


async def _call(machine: Machine, key: Key, model: str, seen: list[tuple[str, int, str]]) -> None:
    while True:
        answer = await machine.chat(key, model=model, max_tokens=1)
        seen.append((model, answer.status_code, "" if answer.status_code == 200 else answer.text))
