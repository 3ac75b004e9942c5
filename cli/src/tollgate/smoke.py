"""Does a running stack do its work? One call as a client makes it, whole and streamed, and the bill for both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tollgate.errors import RunnerError
from tollgate.finding import Finding
from tollgate.gateway_client import GatewayClient

_BILLED_SECONDS = 10.0
_POLL_SECONDS = 0.2


def smoke(client: GatewayClient, admin: tuple[str, str], api_key: str, model: str) -> list[Finding]:
    """Try everything a first call needs; a failed step does not keep the later ones from being tried."""
    call = {"model": model, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}
    findings = [_try("login", lambda: _login(client, admin))]
    before = _billed(client)
    findings += [
        _try("health", lambda: _expect(client.send("GET", "/health").text.strip(), "OK")),
        _try("models", lambda: f"{len(client.call('GET', '/v1/models', bearer=api_key)['data'])} models"),
        _try("call", lambda: _whole(client, api_key, call)),
        _try("streamed call", lambda: _streamed(client, api_key, call)),
        _try("billing", lambda: _wait_billed(client, before, 2)),
    ]
    return findings


def _try(name: str, step: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, step())
    except (RunnerError, KeyError, IndexError, TypeError, ValueError) as error:
        return Finding(
            name, False, f"{type(error).__name__}: {error}" if not isinstance(error, RunnerError) else str(error)
        )


def _login(client: GatewayClient, admin: tuple[str, str]) -> str:
    client.login(*admin)
    return admin[0]


def _whole(client: GatewayClient, api_key: str, call: dict[str, Any]) -> str:
    answer = client.call("POST", "/v1/chat/completions", call, bearer=api_key)
    text = answer["choices"][0]["message"]["content"]
    return f"{answer['model']}: {text[:60]!r}, {answer['usage']['total_tokens']} tokens"


def _streamed(client: GatewayClient, api_key: str, call: dict[str, Any]) -> str:
    answer = client.send("POST", "/v1/chat/completions", {**call, "stream": True}, bearer=api_key)
    chunks = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    if answer.status_code != 200 or not chunks or chunks[-1] != "data: [DONE]":
        raise RunnerError(f"status {answer.status_code}, the stream did not end with [DONE]: {answer.text[-200:]}")
    return f"{len(chunks) - 1} chunks"


def _wait_billed(client: GatewayClient, before: int | None, calls: int) -> str:
    deadline = time.monotonic() + _BILLED_SECONDS
    while (now := _billed(client)) is None or before is None or now < before + calls:
        if time.monotonic() > deadline:
            raise RunnerError(f"not billed within {_BILLED_SECONDS:g} s: {before} calls before, {now} now")
        time.sleep(_POLL_SECONDS)
    return f"{now - before} calls billed"


def _billed(client: GatewayClient) -> int | None:
    """How many calls this month's summary counts; None when it cannot be had."""
    try:
        items = client.call("GET", "/api/v1/billing/summary")["items"]
        return sum(int(item["total_requests"]) for item in items)
    except (RunnerError, KeyError, TypeError, ValueError):
        return None


def _expect(seen: str, wanted: str) -> str:
    if seen != wanted:
        raise RunnerError(f"expected {wanted!r}, got {seen[:100]!r}")
    return seen
