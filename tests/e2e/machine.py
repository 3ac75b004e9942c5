"""A whole Tollgate on this machine, as a user sees it: started by its own command, spoken to over HTTP.

The stories ask the public API, the provider's own journal and, where they show that nothing was lost, the processes:
which ones there are stands in `run.json`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

PATIENCE_SECONDS = 60.0
GIVEN_HOME = "TOLLGATE_STORIES_HOME"
"""Names the folder of a stack that runs already: stories use it instead of one of their own."""
MASTER_KEYS = "master.keys"
"""The file in that folder which keyvault reads its master keys from, newest first."""
GPT_4_INPUT = Decimal(30) / 1_000_000
GPT_4_OUTPUT = Decimal(60) / 1_000_000


@dataclass(frozen=True)
class Key:
    """A virtual key of a story."""

    id: str
    secret: str


class Machine:
    """One running stack; `admin` speaks as its administrator, `caller` as whoever has a key."""

    def __init__(self, home: Path, admin: httpx2.AsyncClient, caller: httpx2.AsyncClient) -> None:
        self.home = home
        self.admin = admin
        self.caller = caller

    @property
    def run(self) -> dict[str, Any]:
        """`run.json` as it stands now."""
        return read_run(self.home)

    @property
    def url(self) -> str:
        """The gateway."""
        return str(self.run["url"])

    async def sign_in(self, session: dict[str, str]) -> None:
        """Be the administrator: by the session of the story before, while it lasts, else by a new one."""
        self.admin.headers |= session
        if session and (await self.admin.get("/api/auth/me")).status_code == 200:
            return
        run = self.run
        answer = await self.admin.post(
            "/api/auth/login", json={"email": run["admin_email"], "password": run["admin_password"]}
        )
        assert answer.status_code == 200, answer.text
        session["authorization"] = f"Bearer {answer.json()['access_token']}"
        self.admin.headers |= session

    async def make_key(self, **members: Any) -> Key:
        """A fresh virtual key."""
        answer = await self.admin.post("/api/v1/keys", json={"name": "story", **members})
        assert answer.status_code == 201, answer.text
        return Key(answer.json()["id"], answer.json()["key"])

    async def chat(self, key: Key | str, content: str = "Say hello!", **members: Any) -> httpx2.Response:
        """One call of gpt-4."""
        secret = key.secret if isinstance(key, Key) else key
        body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], **members}
        headers = {"authorization": f"Bearer {secret}"}
        return await self.caller.post("/v1/chat/completions", json=body, headers=headers)

    async def summary(self, key: Key) -> dict[str, Any]:
        """What billing says of a key this month; zeros when nothing yet."""
        answer = await self.admin.get("/api/v1/billing/summary", params={"api_key_id": key.id})
        assert answer.status_code == 200, answer.text
        items = answer.json()["items"]
        assert len(items) <= 1
        nothing = {"total_requests": 0, "input_tokens": 0, "output_tokens": 0, "total_cost_usd": "0"}
        return dict(items[0] if items else nothing)

    async def summary_of(self, key: Key, requests: int) -> dict[str, Any]:
        """The summary once it counts so many requests."""

        async def has_them() -> bool:
            try:
                return bool((await self.summary(key))["total_requests"] >= requests)
            except (AssertionError, httpx2.TransportError):
                return False

        await eventually(has_them)
        return await self.summary(key)

    async def request(self, request_id: str) -> dict[str, Any]:
        """What analytics has of a call, once it is there."""
        found: dict[str, Any] = {}

        async def is_there() -> bool:
            answer = await self.admin.get(f"/api/v1/analytics/requests/{request_id}")
            if answer.status_code == 200:
                found.update(answer.json())
            return answer.status_code == 200

        await eventually(is_there)
        return found

    async def ledger(self, **filters: Any) -> list[dict[str, Any]]:
        """Ledger entries, newest first."""
        answer = await self.admin.get("/api/v1/billing/ledger", params={"limit": 1000, **filters})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

    def provider_calls(self) -> dict[str, dict[str, Any]]:
        """The provider's own journal: the last record of each call, by our request id."""
        calls: dict[str, dict[str, Any]] = {}
        for line in (self.home / "simulator.jsonl").read_text().splitlines():
            record = json.loads(line)
            calls[record["client_request_id"]] = record
        return calls

    def pid(self, name: str) -> int:
        """The process that is this service or server now."""
        return int(self.run["pids"][name])

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a process a signal; which one it was."""
        pid = self.pid(name)
        os.kill(pid, how)
        return pid

    async def restarted(self, name: str, old_pid: int) -> None:
        """Wait until a killed process has a successor and the gateway is ready again."""

        async def is_back() -> bool:
            return self.run["pids"].get(name, old_pid) != old_pid and await self.is_ready(name)

        await eventually(is_back)

    async def is_whole(self) -> bool:
        """Whether all services say that they are ready."""
        return all(await asyncio.gather(*map(self.is_ready, self.run["services"])))

    async def is_ready(self, name: str = "gateway") -> bool:
        """Whether a service says so; a server counts as ready when the gateway is."""
        url = self.run["services"].get(name, self.url)
        try:
            async with httpx2.AsyncClient(timeout=2) as client:
                return bool((await client.get(f"{url}/readyz")).status_code == 200)
        except httpx2.TransportError:
            return False


def read_run(home: Path) -> dict[str, Any]:
    """`run.json` of a home."""
    return dict(json.loads((home / "run.json").read_text()))


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.1)


def tollgate(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the `tollgate` command on a home of its own."""
    environment = {**os.environ, "TOLLGATE_HOME": str(home), **variables}
    return subprocess.run(
        [str(Path(sys.executable).parent / "tollgate"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )


def owed(answers: list[httpx2.Response]) -> Decimal:
    """What whole gpt-4 answers cost at price × tokens."""
    usages = [answer.json()["usage"] for answer in answers]
    return sum((u["prompt_tokens"] * GPT_4_INPUT + u["completion_tokens"] * GPT_4_OUTPUT for u in usages), Decimal(0))
