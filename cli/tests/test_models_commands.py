"""The `models` commands: what they ask of the front door, and what they print."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from tollgate.commands import models
from tollgate.gateway_client import GatewayClient
from typer.testing import CliRunner

SYNC = {
    "id": "s1",
    "source": "litellm",
    "added": 1,
    "changed": 1,
    "gone": 1,
    "prices_added": 1,
    "held": 1,
    "error": None,
}
CHANGES = {
    "added": ["openai/gpt-x"],
    "changed": [{"model": "openai/gpt-4", "facts": ["context_length"],
                 "price": {"from": {"input_tokens": "30", "output_tokens": "60"}, "to": {"input_tokens": "20"}}}],
    "gone": ["groq/old"],
    "held": [{"model": "openai/o1", "reason": "jump"}],
}  # fmt: skip
MODEL = {"id": "m1", "provider_name": "OpenAI", "name": "gpt-4", "cost_per_1m_input": 30.0, "cost_per_1m_output": 60.0,
         "enabled": False}  # fmt: skip
PRICE = {
    "starts_at": "1970-01-01T00:00:00Z",
    "rates": {"input_tokens": "30"},
    "source": "packaged",
    "read_at": "2026-11-21",
}
ANSWERS: dict[str, Any] = {
    "/api/v1/llm/models/sync": SYNC,
    "/api/v1/llm/models/syncs": {"items": [SYNC]},
    "/api/v1/llm/models/syncs/s1": {**SYNC, "changes": CHANGES},
    "/api/v1/llm/models/compare": [MODEL],
    "/api/v1/llm/models/m1/prices": {"items": [PRICE], "next_cursor": None},
    "/api/v1/llm/models": [MODEL, {**MODEL, "cost_per_1m_input": None, "enabled": True, "name": "unpriced"}],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the door was asked, in order."""
    found: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        found.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx2.Response(200, json=ANSWERS[request.url.path])

    monkeypatch.setattr(models, "admin_client", lambda: GatewayClient("http://door", httpx2.MockTransport(answer)))
    return found


def printed(*arguments: str) -> str:
    """What a command prints when it succeeds."""
    result = CliRunner().invoke(models.create(), list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_sync_is_asked_for_by_its_source_and_told_in_a_line(asked: list[str]) -> None:
    assert printed("sync", "litellm") == "s1  litellm  1 added, 1 changed, 1 gone, 1 held, 1 prices\n"
    assert asked == ["POST /api/v1/llm/models/sync?source=litellm"]


def test_a_sync_that_failed_says_why(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANSWERS, "/api/v1/llm/models/sync", {**SYNC, "error": "it is not there"})
    result = CliRunner().invoke(models.create(), ["sync", "litellm"])
    assert "litellm changed nothing: it is not there" in str(result.exception)


def test_the_diff_of_the_latest_sync_names_every_change(asked: list[str]) -> None:
    assert printed("diff").splitlines()[1:] == [
        "+ openai/gpt-x",
        "~ openai/gpt-4  context_length; price 30/60 → 20/–",
        "- groq/old",
        "? openai/o1  jump",
    ]
    assert asked == ["GET /api/v1/llm/models/syncs?limit=1", "GET /api/v1/llm/models/syncs/s1"]


def test_a_search_shows_prices_and_what_is_disabled(asked: list[str]) -> None:
    first, second = printed("search", "gpt 4", "--provider", "openai").splitlines()
    assert (first.split()[-1], "$30 / $60 per 1M" in first) == ("disabled", True)
    assert ("no price" in second, second.endswith("unpriced")) == (True, True)
    assert asked == ["GET /api/v1/llm/models?search=gpt+4&limit=50&provider=openai"]


def test_prices_are_shown_with_where_and_when_they_were_read(asked: list[str]) -> None:
    assert printed("price", "openai/gpt-4").splitlines() == [
        "OpenAI  gpt-4  $30 / $60 per 1M",
        "from 1970-01-01T00:00:00Z  input_tokens 30  (packaged, read 2026-11-21)",
    ]
    assert json.loads(printed("price", "openai/gpt-4", "--json")) == [PRICE]
    assert asked[0] == "GET /api/v1/llm/models/compare?ids=openai%2Fgpt-4"
