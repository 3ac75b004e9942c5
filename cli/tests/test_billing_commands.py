"""The `billing` commands that go over the front door: what they ask of it, and what they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tollgate.commands import billing
from tollgate.errors import RunnerError
from tollgate.gateway_client import GatewayClient
from typer.testing import CliRunner

ROW = {"account": "customer:k", "provider_type": "openai", "model": "gpt-4", "day": "2026-10-21", "attempts": 2,
       "before_usd": "3", "after_usd": "2", "difference_usd": "-1"}  # fmt: skip
SHOWN = {"id": "id-1", "calls": 2, "seen_calls": 9, "unpriced_attempts": 1, "before_usd": "3", "after_usd": "2",
         "difference_usd": "-1", "booked_at": None, "rows": [ROW]}  # fmt: skip
DAY = {"day": "2026-10-21", "model": "gpt-4", "billed_usd": "3", "booked_usd": "2", "is_off": True}
BILL = {"id": "bill-1", "provider_type": "openai", "first_day": "2026-10-01", "last_day": "2026-10-31", "drift_usd": "1",
        "drift_percent": "50.0000", "is_alarming": True, "accepted_at": None,
        "rows": [DAY, DAY | {"is_off": False}]}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "/api/v1/billing/rerating": SHOWN,
    "/api/v1/billing/reconciliations": BILL,
    "/api/v1/billing/reconciliations/fetch": BILL,
    "/api/v1/billing/reconciliations/bill-1/accept": {**BILL, "accepted_at": "2026-11-21T08:00:00Z", "rows": None},
    "/api/v1/billing/rerating/id-1/book": {**SHOWN, "booked_at": "2026-11-21T08:00:00Z"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What the door was asked, in order."""
    found: list[tuple[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        found.append((f"{request.method} {request.url.path}", json.loads(request.content or b"null")))
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


def test_a_provider_is_asked_for_its_bill(asked: list[tuple[str, Any]]) -> None:
    told = ran("reconcile", "openai", "--from", "2026-10-01", "--to", "2026-10-31")
    body = {"provider_type": "openai", "format": None, "first_day": "2026-10-01", "last_day": "2026-10-31"}
    assert asked == [("POST /api/v1/billing/reconciliations/fetch", body)]
    assert told.count("billed $3  booked $2") == 1, "what agrees is not told"
    assert "$1 apart (50.0000 %): ALARMING" in told


def test_a_bill_is_taken_from_a_file(asked: list[tuple[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_text("day,model,amount_usd\n")
    ran("reconcile", "openai", "--file", str(tmp_path / "bill.csv"), "--format", "csv")
    body = {"provider_type": "openai", "format": "csv", "content": "day,model,amount_usd\n"}
    assert asked == [("POST /api/v1/billing/reconciliations", body)]


def test_a_drift_is_accepted(asked: list[tuple[str, Any]]) -> None:
    assert "accepted" in ran("accept", "bill-1")
    assert [path for path, _ in asked] == ["POST /api/v1/billing/reconciliations/bill-1/accept"]


@pytest.mark.parametrize(
    "said",
    [
        [],
        ["--from", "2026-10-01"],
        ["--file", "bill.csv"],
        ["--file", "bill.csv", "--format", "csv", "--from", "2026-10-01", "--to", "2026-10-31"],
    ],
)
def test_it_must_be_said_where_the_bill_is(asked: list[tuple[str, Any]], said: list[str]) -> None:
    result = CliRunner().invoke(billing.create(), ["reconcile", "openai", *said])
    assert str(result.exception) == "either --from and --to, or --file with --format"
    assert asked == []


def test_a_file_that_cannot_be_read_is_named_in_a_line(asked: list[tuple[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "bill.csv").write_bytes(b"\xff")
    for name, why in (("bill.csv", "UnicodeDecodeError"), ("none.csv", "FileNotFoundError")):
        argv = ["reconcile", "openai", "--file", str(tmp_path / name), "--format", "csv"]
        result = CliRunner().invoke(billing.create(), argv)
        assert isinstance(result.exception, RunnerError)
        assert str(result.exception) == f"{tmp_path / name} cannot be read ({why})"
    assert asked == []


def test_an_id_is_one_part_of_the_path_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path)
        return httpx2.Response(404, json={"detail": "no such reconciliation"})

    monkeypatch.setattr(billing, "admin_client", lambda: GatewayClient("http://door", httpx2.MockTransport(answer)))
    CliRunner().invoke(billing.create(), ["accept", "../rerating?x"])
    assert paths == [b"/api/v1/billing/reconciliations/..%2Frerating%3Fx/accept"]
