"""Recorded exchanges are answered again byte for byte; what was never asked is answered as ever."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BESIDE = Path("shared/data/recorded/exchanges.jsonl")
_STREAM = 'data: {"choices": [{"delta": {"content": "Ja"}}]}\n\ndata: [DONE]\n\n'
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is it?"}]}
BY_HAND: list[dict[str, Any]] = [
    {"provider": "openai", "path": "/v1/chat/completions", "request": CHAT, "status": 200,
     "content_type": "application/json", "response": {"id": "a", "choices": [{"weird": " ü"}]}},
    {"provider": "openai", "path": "/v1/chat/completions", "request": {**CHAT, "stream": True}, "status": 200,
     "content_type": "text/event-stream", "stream": _STREAM},
    {"provider": "google", "path": "/v1beta/models/gemini-x:generateContent", "request": {"contents": []},
     "status": 429, "content_type": "application/json", "response": {"error": {"code": 429}}},
    {"provider": "bedrock", "path": "/model/amazon.nova%3A0/converse", "request": {"messages": []}, "status": 200,
     "content_type": "application/json", "response": {"usage": {}}},
    {"provider": "openai", "path": "/v1/responses/compact", "request": {"model": "m", "input": []}, "status": 200,
     "content_type": "application/json", "response": {"object": "response.compaction"}},
]  # fmt: skip
PREFIXES = {"openai": "/openai", "google": "/google", "bedrock": "/bedrock"}
KEYS = {
    "authorization": "Bearer sim-ok-1",
    "x-goog-api-key": "sim-ok-1",
    "x-api-key": "sim-ok-1",
    "api-key": "sim-ok-1",
}


def given(folder: Path) -> Path:
    """A file with these exchanges."""
    path = folder / "exchanges.jsonl"
    path.write_text("\n".join(map(json.dumps, BY_HAND)), "utf-8")
    return path


def test_what_was_recorded_is_answered_again(started: Callable[..., Any], tmp_path: Path) -> None:
    caller = started(SIMULATOR_RECORDINGS=str(given(tmp_path)))
    for one in BY_HAND:
        url = f"{caller.url}{PREFIXES[one['provider']]}{one['path']}"
        answer = caller.http.post(url, json=one["request"], headers=KEYS)
        assert (answer.status_code, answer.headers["content-type"]) == (one["status"], one["content_type"])
        assert (answer.text == one["stream"]) if "stream" in one else (answer.json() == one["response"])


def test_what_a_gateway_sets_on_the_way_does_not_matter(started: Callable[..., Any], tmp_path: Path) -> None:
    caller = started(SIMULATOR_RECORDINGS=str(given(tmp_path)))
    url = f"{caller.url}/openai/v1/chat/completions"
    told = {**CHAT, "stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": 4096}
    assert caller.http.post(url, json=told, headers=KEYS).text == _STREAM
    other = caller.http.post(url, json={**CHAT, "temperature": 0.5}, headers=KEYS)
    assert other.json()["choices"][0]["message"]["content"]
    assert caller.http.post(url, json=CHAT, headers={"authorization": "Bearer sim-bad-1"}).status_code == 401


def test_all_that_somebody_has_is_answered_again(started: Callable[..., Any], tmp_path: Path) -> None:
    places = [folder / _BESIDE for folder in Path(__file__).resolve().parents]
    path = next(
        (Path(one) for one in (os.environ.get("TOLLGATE_RECORDINGS"), *places) if one and Path(one).is_file()), None
    )
    caller = started(SIMULATOR_RECORDINGS=str(path or given(tmp_path)))
    seen: set[str] = set()
    for line in (path or given(tmp_path)).read_text("utf-8").splitlines():
        one = json.loads(line)
        ends = json.dumps([one["provider"], one["path"].rpartition("/models/")[2], one["request"]], sort_keys=True)
        if not isinstance(one["request"], dict) or ends in seen:
            continue
        seen.add(ends)
        real = "/model" + one["path"].partition("/model")[2] if "/model" in one["path"] else one["path"]
        if one["provider"] == "huggingface":  # its router's own paths name who serves
            real = "/v1/chat/completions"
        url = f"{caller.url}/{one['provider']}{real.partition('?')[0]}"
        answer = caller.http.post(url, content=json.dumps(one["request"]), headers=KEYS)
        assert answer.status_code == one["status"], (one["id"], url)
        text = one.get("stream") or one.get("raw")
        assert answer.text == text if text else answer.json() == one["response"], (one["id"], url)
