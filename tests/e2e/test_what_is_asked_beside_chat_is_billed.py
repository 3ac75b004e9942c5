"""Embeddings, rankings, pictures, speech, transcriptions and moderation: each is billed to the last decimal, in the answer,
the summary, the ledger and the request log."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from machine import Machine

TOKENS = Decimal(1_000_000)
PRICES: Mapping[str, Mapping[str, Decimal]] = {
    "text-embedding-3-small": {"input_tokens": Decimal("0.02") / TOKENS},
    "gpt-image-1": {"input_tokens": 5 / TOKENS, "output_image_tokens": 40 / TOKENS},
    "tts-1": {"input_characters": 15 / TOKENS},
    "whisper-1": {"input_audio_seconds": Decimal("0.36") / 3600},
    "omni-moderation-latest": {},
    "cohere/rerank-story": {"rerank_searches": Decimal("0.002")},
}
CAPABILITIES = (
    "openai embeddings",
    "openai image",
    "openai speech",
    "openai transcription",
    "openai moderation",
    "cohere rerank",
)
"""What the models are for, by provider: told on the page of providers."""
ASKED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "text-embedding-3-small": (
        "embeddings",
        {"json": {"input": ["a folded map", "rain"], "encoding_format": "base64"}},
    ),
    "gpt-image-1": ("images/generations", {"json": {"prompt": "the old lighthouse", "n": 2}}),
    "tts-1": ("audio/speech", {"json": {"input": "Grüße aus Zürich", "voice": "alloy"}}),
    "whisper-1": ("audio/transcriptions", {"files": {"file": ("a.mp3", b"x" * 40_000)}, "data": {"language": "en"}}),
    "omni-moderation-latest": ("moderations", {"json": {"input": "a folded map"}}),
    "cohere/rerank-story": ("rerank", {"json": {"query": "map", "documents": ["a folded map", "rain"]}}),
}


async def add_ranking_model(machine: Machine) -> None:
    """A model that no packaged price knows, with a price by the search."""
    made = await machine.admin.post("/api/v1/llm/models", json={"provider": "cohere", "name": "rerank-story"})
    assert made.status_code in (201, 409), made.text
    found = (await machine.admin.get("/api/v1/llm/models", params={"search": "rerank-story"})).json()
    price = {"cost_per_1m_input": 0, "cost_per_1m_output": 0, "units": {"rerank_searches": 0.002}}
    priced = await machine.admin.post(f"/api/v1/llm/models/{found[0]['id']}/prices", json=price)
    assert priced.status_code == 201, priced.text


async def ask(machine: Machine, secret: str, model: str) -> httpx2.Response:
    """One call, as a client makes it."""
    path, body = ASKED[model]
    sent = {**body, "json": {"model": model, **body["json"]}} if "json" in body else body
    if "data" in body:
        sent = {**body, "data": {"model": model, **body["data"]}}
    return await machine.caller.post(f"/v1/{path}", headers={"authorization": f"Bearer {secret}"}, **sent)


@pytest.mark.parametrize("model", ASKED)
async def test_what_is_asked_beside_chat_is_billed(machine: Machine, model: str) -> None:
    if model.startswith("cohere"):
        await add_ranking_model(machine)
    key = await machine.make_key(monthly_budget="10")
    answer = await ask(machine, key.secret, model)
    assert answer.status_code == 200, answer.text
    logged = await machine.request(answer.headers["x-request-id"])
    used = {**logged["usage"], **logged["usage"]["units"]}
    cost = sum((used.get(unit, 0) * rate for unit, rate in PRICES[model].items()), Decimal(0))
    assert (cost > 0) == bool(PRICES[model])
    assert Decimal(answer.headers["x-tollgate-cost-usd"]) == Decimal(logged["cost_usd"]) == cost
    assert Decimal((await machine.summary_of(key, 1))["total_cost_usd"]) == cost
    entries = await machine.ledger(request_id=answer.headers["x-request-id"])
    assert sorted(Decimal(entry["amount_usd"]) for entry in entries) == ([-cost, cost] if cost else [])
    called = machine.provider_calls()[answer.headers["x-request-id"]]
    assert (called["status"], called["complete"]) == (200, True)
