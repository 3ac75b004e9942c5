"""What the simulator's tests share: a running simulator, and a caller that speaks plain HTTP to it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

KEY = "sim-ok-tests"


class Caller:
    """Calls one simulator and reads what it answers."""

    def __init__(self, process: subprocess.Popen[str], url: str, journal: Path | None) -> None:
        self.process = process
        self.url = url
        self._journal = journal
        self.http = httpx2.Client(base_url=url, timeout=20, headers={"authorization": f"Bearer {KEY}"})

    def chat(self, content: str, *, prefix: str = "/openai/v1", headers: Any = None, **members: Any) -> httpx2.Response:
        body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], **members}
        return self.http.post(f"{prefix}/chat/completions", json=body, headers=headers)

    def stream(self, content: str, **members: Any) -> httpx2.Response:
        return self.chat(content, stream=True, **members)

    def chunks(self, content: str, **members: Any) -> list[dict[str, Any]]:
        return chunks_of(self.stream(content, **members))

    def raw(self, content: str, **members: Any) -> tuple[bytes, bool]:
        """The body of a stream as far as it came, and whether the connection ended before the body did."""
        body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], "stream": True, **members}
        received = b""
        try:
            with self.http.stream("POST", "/openai/v1/chat/completions", json=body) as response:
                for part in response.iter_raw():
                    received += part
        except httpx2.RemoteProtocolError:
            return received, True
        return received, False

    def records(self, client_request_id: str | None = None) -> list[dict[str, Any]]:
        query = {} if client_request_id is None else {"client_request_id": client_request_id}
        items: list[dict[str, Any]] = self.http.get("/control/journal", params=query).json()["items"]
        return items

    def ended(self, client_request_id: str) -> dict[str, Any]:
        """The record of that call, once it has ended."""
        for _ in range(200):
            found = self.records(client_request_id)
            if found and found[-1]["phase"] == "ended":
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"call {client_request_id} did not end: {found}")

    def journal(self) -> list[dict[str, Any]]:
        """The lines of the journal's file."""
        assert self._journal is not None
        return [json.loads(line) for line in self._journal.read_text().splitlines()]

    def end(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(10)


def chunks_of(response: httpx2.Response) -> list[dict[str, Any]]:
    """The JSON events of a sound stream, which ends with the exact last word."""
    assert response.status_code == 200, response.text
    assert response.content.endswith(b"\n\ndata: [DONE]\n\n")
    lines = [line for line in response.text.split("\n") if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def start(journal: Path | None = None, **settings: str) -> Caller:
    """A simulator in a process of its own, ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: given for name, given in os.environ.items() if not name.startswith("SIMULATOR_")}
    environ = {**kept, "SIMULATOR_HTTP_PORT": str(port), "SIMULATOR_JOURNAL": str(journal or ""), **settings}
    command = [sys.executable, "-m", "simulator"]
    process = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    caller = Caller(process, f"http://127.0.0.1:{port}", journal)
    for _ in range(500):
        try:
            if caller.http.get("/readyz").status_code == 200:
                return caller
        except httpx2.TransportError:
            time.sleep(0.02)
        if process.poll() is not None:
            break
    raise AssertionError(f"the simulator did not start: {process.communicate(timeout=5)[1]}")


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    caller = start(tmp_path_factory.mktemp("simulator") / "journal.jsonl")
    yield caller
    caller.end()


@pytest.fixture
def caller(shared_simulator: Caller) -> Iterator[Caller]:
    """The shared simulator, without rules and revocations of another test."""
    yield shared_simulator
    shared_simulator.http.delete("/control/faults")
    shared_simulator.http.delete("/control/revocations")


@pytest.fixture
def started() -> Iterator[Callable[..., Caller]]:
    """Starts simulators with settings of their own; they end with the test."""
    callers: list[Caller] = []

    def begin(journal: Path | None = None, **settings: str) -> Caller:
        callers.append(start(journal, **settings))
        return callers[-1]

    yield begin
    for caller in callers:
        caller.end()


@pytest.fixture
def read_chunks() -> Callable[[httpx2.Response], list[dict[str, Any]]]:
    return chunks_of
