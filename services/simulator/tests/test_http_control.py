"""Control routes, probes, and the journal of a running simulator."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest


def test_rules_are_set_listed_used_up_and_deleted(caller: Any) -> None:
    rule = {"provider": "openai", "model": "gpt-4", "count": 1, "directives": {"status": 503}}
    assert caller.http.post("/control/faults", json=rule).status_code == 201
    lasting = {"provider": "groq", "directives": {"tokens": 2}}
    caller.http.post("/control/faults", json=lasting)
    assert caller.http.get("/control/faults").json() == {"items": [rule, lasting]}
    assert [caller.chat("Hi").status_code for _ in range(2)] == [503, 200]
    assert caller.http.get("/control/faults").json() == {"items": [lasting]}
    caller.http.delete("/control/faults")
    assert caller.http.get("/control/faults").json() == {"items": []}


def test_a_calls_own_directives_outrank_a_rule(caller: Any) -> None:
    caller.http.post("/control/faults", json={"provider": "*", "directives": {"tokens": 2, "prompt_tokens": 77}})
    usage = caller.chat("[[simulate tokens=5]]").json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (77, 5)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"provider": "nobody", "directives": {}},
        {"provider": "openai", "directives": {"oops": 1}},
        {"provider": 1},
        [],
    ],
)
def test_a_wrong_rule_is_refused(caller: Any, rule: Any) -> None:
    response = caller.http.post("/control/faults", json=rule)
    assert response.status_code == 400
    assert response.json()["detail"]
    assert caller.http.get("/control/faults").json() == {"items": []}


def test_a_release_names_a_gate(caller: Any) -> None:
    assert caller.http.post("/control/releases", json={}).status_code == 400


def test_a_revoked_key_is_refused_until_it_is_restored(caller: Any) -> None:
    headers = {"authorization": "Bearer sim-ok-leaving"}
    assert caller.chat("Hi", headers=headers).status_code == 200
    assert caller.http.post("/control/revocations", json={"key": "sim-ok-leaving"}).status_code == 201
    assert caller.chat("Hi", headers=headers).status_code == 401
    assert caller.chat("Hi").status_code == 200
    caller.http.delete("/control/revocations")
    assert caller.chat("Hi", headers=headers).status_code == 200


def test_a_call_is_found_by_the_callers_request_id(caller: Any) -> None:
    response = caller.chat("Say hello!", headers={"x-client-request-id": "gateway-1"})
    (record,) = caller.records("gateway-1")
    assert record.pop("at").endswith("Z")
    assert record == {
        "call_id": response.headers["x-request-id"],
        "provider": "openai",
        "model": "gpt-4",
        "client_request_id": "gateway-1",
        "streamed": False,
        "status": 200,
        "phase": "ended",
        "complete": True,
        "sent_chunks": 0,
        "prompt_tokens": 10,
        "completion_tokens": 9,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "reported_usage": True,
        "disconnected": False,
    }


def test_a_streamed_call_says_whether_usage_was_reported(caller: Any) -> None:
    for name, options in (("with", {"include_usage": True}), ("without", None)):
        caller.stream("Say hello!", headers={"x-client-request-id": name}, stream_options=options)
        record = caller.ended(name)
        assert (record["reported_usage"], record["complete"], record["completion_tokens"]) == (name == "with", True, 9)
        assert record["sent_chunks"] == (12 if name == "with" else 11)


def test_the_summary_adds_up_what_was_called(started: Any) -> None:
    caller = started()
    for _ in range(3):
        caller.chat("Say hello!")
    caller.chat("Say hello!", prefix="/groq/openai/v1", model="llama")
    caller.chat("[[simulate status=500]]")
    summary = caller.http.get("/control/summary").json()
    assert summary["started_calls"] == 5
    openai, groq = summary["items"]
    assert (openai["calls"], openai["complete"], openai["failed"]) == (4, 3, 1)
    assert (openai["prompt_tokens"], openai["completion_tokens"]) == (30, 27)
    assert (groq["provider"], groq["model"], groq["calls"]) == ("groq", "llama", 1)
    metrics = caller.http.get("/metrics").text
    assert 'simulator_calls_total{provider="openai"} 4\n' in metrics
    caller.http.delete("/control/journal")
    assert caller.http.get("/control/summary").json() == {"started_calls": 0, "items": []}


def test_probes_answer_without_a_key(caller: Any) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/control/summary"):
        assert httpx2.get(caller.url + path).status_code == 200


def test_the_journal_holds_both_lines_of_every_call_and_no_secret(started: Any, tmp_path: Path) -> None:
    caller = started(tmp_path / "calls.jsonl")
    caller.chat("Say hello! A prompt of mine")
    caller.stream("Say hello!")
    caller.chat("Hi", headers={"authorization": "Bearer sim-bad-1"})
    lines = caller.journal()
    phases: dict[str, list[str]] = {}
    for line in lines:
        phases.setdefault(line["call_id"], []).append(line["phase"])
    assert list(phases.values()) == [["started", "ended"]] * 3
    assert [line["complete"] for line in lines if line["phase"] == "ended"] == [True, True, False]
    written = (tmp_path / "calls.jsonl").read_text()
    assert "sim-" not in written
    assert "prompt of mine" not in written
    assert os.stat(tmp_path / "calls.jsonl").st_mode & 0o077 == 0


def test_a_call_is_in_the_journal_before_its_first_byte_and_its_end_before_its_last(
    started: Any, tmp_path: Path
) -> None:
    caller = started(tmp_path / "calls.jsonl")
    body = {
        "model": "gpt-4",
        "messages": [{"role": "user", "content": "[[simulate tokens=4 chunk_ms=80]]"}],
        "stream": True,
    }
    seen: list[tuple[bytes, list[str]]] = []
    with caller.http.stream("POST", "/openai/v1/chat/completions", json=body) as response:
        at_first_byte = [line["phase"] for line in caller.journal()]
        seen.extend((part, [line["phase"] for line in caller.journal()]) for part in response.iter_raw())
    assert at_first_byte == ["started"]
    assert seen[2][1] == ["started"]
    assert b"[DONE]" in seen[-1][0]
    assert seen[-1][1] == ["started", "ended"]


def test_what_a_caller_saw_survives_a_killed_simulator(started: Any, tmp_path: Path) -> None:
    caller = started(tmp_path / "calls.jsonl")
    for _ in range(5):
        caller.chat("Say hello!")
    caller.process.send_signal(signal.SIGKILL)
    caller.process.wait(10)
    assert [line["complete"] for line in caller.journal() if line["phase"] == "ended"] == [True] * 5


def test_a_call_in_progress_at_the_end_is_recorded_and_the_journal_goes_on(started: Any, tmp_path: Path) -> None:
    caller = started(tmp_path / "calls.jsonl")
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "[[simulate first_byte_ms=60000]]"}]}
    with pytest.raises(httpx2.ReadTimeout):
        caller.http.post("/openai/v1/chat/completions", json=body, timeout=0.3)
    caller.end()
    assert [line["phase"] for line in caller.journal()] == ["started", "ended"]
    again = started(tmp_path / "calls.jsonl")
    again.chat("Hi")
    assert len(again.journal()) == 4


def test_a_journal_that_cannot_be_written_makes_the_simulator_unready(started: Any) -> None:
    caller = started(Path("/dev/full"))
    assert caller.chat("Hi").status_code == 500
    assert caller.http.get("/readyz").status_code == 503
    assert json.loads(caller.http.get("/livez").text) == {"status": "alive"}
