"""The `billing` commands that go over the front door: what they ask of it, and what they print."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from tollgate.commands import billing
from tollgate.gateway_client import GatewayClient
from typer.testing import CliRunner

ROW = {"account": "customer:k", "provider_type": "openai", "model": "gpt-4", "day": "2026-10-21", "attempts": 2,
       "before_usd": "3", "after_usd": "2", "difference_usd": "-1"}  # fmt: skip
SHOWN = {"id": "id-1", "calls": 2, "seen_calls": 9, "unpriced_attempts": 1, "before_usd": "3", "after_usd": "2",
         "difference_usd": "-1", "booked_at": None, "rows": [ROW]}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "/api/v1/billing/rerating": SHOWN,
    "/api/v1/billing/rerating/id-1/book": {**SHOWN, "booked_at": "2026-11-21T08:00:00Z"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What the door was asked, in order."""
    found: list[tuple[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        found.append((f"{request.method} {request.url.path}", json.loads(request.content)))
        return httpx2.Response(200, json=ANSWERS[request.url.path])

    monkeypatch.setattr(billing, "admin_client", lambda: GatewayClient("http://door", httpx2.MockTransport(answer)))
    return found


def ran(*argv: str) -> str:
    result = CliRunner().invoke(billing.create(), argv)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_rerating_is_shown_and_says_how_to_book_it(asked: list[tuple[str, Any]]) -> None:
    told = ran("rerate", "--from", "2026-10-01", "--to", "2026-10-31", "--provider", "openai")
    assert asked == [
        (
            "POST /api/v1/billing/rerating",
            {"first_day": "2026-10-01", "last_day": "2026-10-31", "provider_type": "openai", "model": None},
        )
    ]
    assert "2026-10-21  customer:k  openai/gpt-4  2 attempts  $3 -> $2" in told
    assert "--book id-1" in told


def test_a_rerating_is_booked_under_the_id_that_was_shown(asked: list[tuple[str, Any]]) -> None:
    told = ran("rerate", "--from", "2026-10-01", "--to", "2026-10-31", "--book", "id-1")
    assert [path for path, _ in asked] == ["POST /api/v1/billing/rerating/id-1/book"]
    assert "booked 2026-11-21T08:00:00Z: 2 calls  $3 -> $2  ($-1)" in told


def test_programs_get_the_whole_answer(asked: list[tuple[str, Any]]) -> None:
    assert json.loads(ran("rerate", "--from", "2026-10-01", "--to", "2026-10-31", "--json")) == SHOWN
