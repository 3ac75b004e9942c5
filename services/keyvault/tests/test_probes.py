"""Asking providers whether a key works, where what is kept is not what is shown, and where answers make no sense."""

from __future__ import annotations

import base64
import gzip
import json
import tracemalloc
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest
from common.providers.registry import PROVIDERS
from common.providers.service_account import TOKEN_URL
from common.secret import Secret
from common.testing.clocks import FixedClock
from common.urls import UrlRules
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from keyvault.probes import ProbeResult, Probes

PLACE = "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu/publishers/google"
PEM = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account(**changes: str) -> Secret:
    file = {"type": "service_account", "client_email": "a@b.example", "private_key_id": "k", "private_key": PEM}
    return Secret(base64.b64encode(json.dumps(file | changes).encode()).decode())


async def asked(
    secret: Secret, *answers: tuple[int, Any], provider_type: str = "vertex"
) -> tuple[ProbeResult, list[httpx2.Request]]:
    """What a trial came to, and what was asked for it."""
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        status, content = answers[len(requests)]
        requests.append(request)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return httpx2.Response(status, stream=httpx2.ByteStream(body))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        return await Probes(client, FixedClock()).ask(PROVIDERS[provider_type], PLACE, secret), requests


async def test_a_service_account_is_exchanged_and_its_private_key_shown_to_nobody() -> None:
    result, [exchange, trial] = await asked(account(), (200, {"access_token": "ya29.short"}), (200, {"models": [1, 2]}))
    assert (result.status, result.models_found) == ("ok", 2)
    assert (exchange.method, str(exchange.url)) == ("POST", TOKEN_URL)
    assert parse_qs(exchange.content.decode())["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert trial.headers["authorization"] == "Bearer ya29.short"
    assert account().reveal() not in str([[*one.headers.values(), one.content] for one in (exchange, trial)])


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((400, {"error": "invalid_grant"}), "refused"),
        ((401, {"error": "invalid_client"}), "refused"),
        ((429, {}), "rate_limited"),
        ((503, b"busy"), "failed"),
        ((200, {"id_token": "x"}), "unreachable"),
        ((200, b"<html>"), "unreachable"),
    ],
)
async def test_an_account_that_gets_no_token_is_judged_by_why(answer: tuple[int, Any], status: str) -> None:
    result, requests = await asked(account(), answer)
    assert (result.status, len(requests)) == (status, 1)


async def test_a_file_that_is_no_service_account_is_refused_without_asking_anybody() -> None:
    result, requests = await asked(account(type="authorized_user"))
    assert (result.success, result.status, requests) == (False, "refused", [])
    assert "not the key file of a service account" in result.message


async def test_a_ready_token_is_shown_as_it_is() -> None:
    result, [trial] = await asked(Secret("ya29.ready"), (200, {"models": []}))
    assert (result.status, trial.headers["authorization"]) == ("ok", "Bearer ya29.ready")


async def test_a_compressed_answer_is_not_blown_up() -> None:
    bomb = gzip.compress(b" " * (64 << 20))

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["accept-encoding"] == "identity"
        return httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=httpx2.ByteStream(bomb))

    async with Probes.client(UrlRules()) as client:
        client._transport = httpx2.MockTransport(answer)
        tracemalloc.start()
        result = await Probes(client, FixedClock()).ask(PROVIDERS["openai"], PLACE, Secret("sk-a-key"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (result.status, peak < 8 << 20) == ("unreachable", True), peak


async def test_an_answer_without_end_lists_nothing() -> None:
    result, _ = await asked(Secret("sk-a-key"), (200, b"[" * 100_000), provider_type="openai")
    assert (result.status, result.models_found) == ("ok", None)
