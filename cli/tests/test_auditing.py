"""`rotate-encryption` and `audit`: what is asked of keyvault, what is printed, and when it counts as failed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tollgate.commands import auditing
from tollgate.errors import RunnerError


class Answers:
    """A client whose answers a test has written down, one after the other."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *failure: object) -> None:
        return None

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def step(rewrapped: int, remaining: int) -> dict[str, Any]:
    return {"rewrapped": rewrapped, "remaining": remaining, "master_key": "abcd1234"}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "_IDLE_SECONDS", 0)


def answered(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any]) -> Answers:
    client = Answers(*answers)
    monkeypatch.setattr(auditing, "admin_client", lambda: client)
    return client


def test_rotating_goes_on_until_nothing_remains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = answered(monkeypatch, step(200, 7), step(0, 7), step(7, 0))
    auditing.rotate_encryption()
    assert client.asked == ["POST /api/v1/llm/providers/encryption/rotate"] * 3
    assert capsys.readouterr().out == "207 secrets encrypted anew; all are under master key abcd1234\n"


def test_rotating_says_it_as_json_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answered(monkeypatch, step(3, 0))
    auditing.rotate_encryption(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"rewrapped": 3, "remaining": 0, "master_key": "abcd1234"}


def test_rotating_gives_up_when_others_hold_what_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    client = answered(monkeypatch, step(0, 2))
    with pytest.raises(RunnerError, match="2 secrets are being changed by somebody else"):
        auditing.rotate_encryption()
    assert 2 < len(client.asked) < 100


@pytest.mark.parametrize("as_json", [False, True])
def test_an_intact_trail_is_said_and_a_broken_one_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    answered(monkeypatch, {"intact": True, "entries": 12, "last_hash": "ab" * 32, "broken_at": None})
    auditing._verify(as_json=as_json)
    assert "12" in capsys.readouterr().out
    answered(monkeypatch, {"intact": False, "entries": 6, "last_hash": "ab" * 32, "broken_at": "7"})
    with pytest.raises(RunnerError, match="broken at entry 7"):
        auditing._verify(as_json=as_json)


def test_the_latest_entries_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"id": "3", "at": "2026-11-21T08:00:00Z", "action": "key.created", "actor": "u1", "subject": "k1"}
    client = answered(monkeypatch, {"items": [entry]})
    auditing._list(limit=5)
    assert client.asked == ["GET /api/v1/audit?limit=5"]
    assert capsys.readouterr().out.split() == ["3", "2026-11-21T08:00:00Z", "key.created", "u1", "k1"]
