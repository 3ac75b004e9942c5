"""Streams whose first byte is long in coming, and providers that are asked once more after a moment."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from common.contracts.snapshots import ProviderSnapshot
from common.providers.registry import PROVIDERS
from gateway.patience import Patience
from gateway.providers.errors import FAILURES, FailureClass, ProviderFailed
from gateway.routing.health import Health
from gateway.routing.plan import Deployment
from gateway.routing.tries import Tries
from gateway_stack import Stack, free_port, model_snapshot


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a fifth of a second."""
    monkeypatch.setattr("gateway.patience.QUIET_SECONDS", 0.2)
    monkeypatch.setattr("gateway.patience.LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("hurried")
async def test_a_client_that_waits_long_gets_comments_until_the_first_event(stack: Stack) -> None:
    answer = await stack.chat("[[simulate tokens=3 first_byte_ms=700]]", stream=True)
    assert answer.status_code == 200
    comments, _, events = answer.text.rpartition(": keep-alive\n\n")
    assert 1 <= comments.count(": keep-alive\n\n") + 1 <= 4
    served, _, events = events.partition("\n\n")
    assert {": x-tollgate-provider: openai", ": x-tollgate-model: gpt-4"} <= set(served.split("\n"))
    assert all(line.startswith(": x-tollgate-") for line in served.split("\n"))
    assert "x-tollgate-provider" not in answer.headers
    assert events.startswith("data: {")
    assert events.endswith("data: [DONE]\n\n")
    [event] = await stack.events()
    assert event.status == "completed"
    assert event.ttft_ms is not None
    assert event.ttft_ms >= 600


@pytest.mark.usefixtures("hurried")
async def test_what_fails_then_is_told_in_the_stream(stack: Stack) -> None:
    answer = await stack.chat("[[simulate first_byte_ms=400 status=400]]", stream=True)
    assert (answer.status_code, "[DONE]" in answer.text) == (200, False)
    comment, error = answer.text.split("\n\n")[0], answer.text.split("\n\n")[-2]
    assert comment == ": keep-alive"
    assert error.startswith('data: {"error":')
    [event] = await stack.events()
    assert (event.status, event.http_status) == ("failed", 400)


@pytest.mark.usefixtures("hurried")
async def test_a_whole_answer_waits_for_its_status(stack: Stack) -> None:
    answer = await stack.chat("[[simulate first_byte_ms=400 status=400]]")
    assert answer.status_code == 400


async def test_the_only_deployment_is_asked_once_more(stack: Stack, simulator: Any) -> None:
    rule = {"provider": "openai", "count": 1, "directives": {"status": 503}}
    made = await stack.http.post(f"{simulator[0]}/control/faults", json=rule)
    assert made.status_code < 300, made.text
    answer = await stack.chat()
    assert answer.status_code == 200, answer.text
    [event] = await stack.events()
    assert [(one.provider, one.status) for one in event.attempts] == [("openai", "failed"), ("openai", "completed")]


async def test_who_cannot_be_reached_is_tried_once_more_and_then_named(stack: Stack) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    place = ProviderSnapshot(id="vllm", name="vllm", provider_type="vllm", display_name="vLLM", base_url=nowhere)
    await stack.put("catalog", "provider.vllm", place)
    await stack.put("catalog", "model.vllm", model_snapshot("vllm", "own", "1", "2"))
    await stack.is_callable("vllm/own")
    answer = await stack.chat(model="vllm/own")
    assert (answer.status_code, answer.json()["error"]["message"]) == (502, "vLLM cannot be reached")
    [event] = await stack.events()
    assert [one.status for one in event.attempts] == ["failed", "failed"]
    assert (await stack.held(), await stack.spent()) == (0, 0)


async def test_calls_of_an_alias_wait_as_long_as_it_says(stack: Stack) -> None:
    await stack.has_hasty_alias()
    slow = "Say hello! [[simulate first_byte_ms=800]]"
    refused = await stack.chat(slow, model="hasty")
    assert (refused.status_code, refused.json()["error"]["message"]) == (504, "OpenAI did not answer within 0.3 s")
    assert (await stack.chat(slow)).status_code == 200


def tries_of(count: int, failure: FailureClass, *, retries: float = 20.0, rests: bool = False) -> int:
    """How many times a plan of so many deployments is asked when each fails so."""
    health = _Tired(lambda: 0.0) if rests else Health(lambda: 0.0)
    health._retries = retries
    places = tuple(_Place(number) for number in range(count))
    tries, asked = Tries(places, health), 0  # type: ignore[arg-type]
    failed: ProviderFailed | None = None
    while tries.following(failed) is not None:
        assert (tries.pause_seconds > 0) == (asked == count)
        asked, failed = asked + 1, ProviderFailed(failure, "no")
    return asked


class _Tired(Health):
    """Says of everybody that they rest."""

    def rests(self, deployment: Deployment) -> bool:
        return True


class _Place:
    def __init__(self, number: int) -> None:
        self.identity = (str(number), "m", "c")
        self.provider = PROVIDERS["openai"]


@pytest.mark.parametrize("failure", FAILURES)
def test_each_is_asked_and_the_last_again_where_a_moment_helps(failure: FailureClass) -> None:
    again = int(FAILURES[failure].passes_soon)
    assert [tries_of(count, failure) for count in (1, 2, 3)] == [1 + again, 2 + again, 3 + again]
    assert tries_of(2, failure, rests=True) == 2
    assert tries_of(3, failure, retries=1.0) == 2


def test_what_could_not_be_asked_costs_no_try() -> None:
    health = Health(lambda: 0.0)
    tries = Tries((_Place(0), _Place(1)), health)  # type: ignore[arg-type]
    assert [tries.following(None) is not None for _ in range(3)] == [True, True, False]


class _Waiting:
    """A call that waits for its first byte, and its client, who reads after so many seconds."""

    def __init__(self, name: str, reads_after: float = 0.0) -> None:
        self.log: Any = SimpleNamespace(request_id=name, http_status=0)
        self.began, self.spoken_at, self.has_started, self.attempts = 0.0, 0.0, False, [1]
        self.client, self.status, self.comments = self, 0, 0
        self._reads_after = reads_after

    def answer_headers(self) -> list[Any]:
        return []

    async def start_stream(self, headers: list[Any]) -> None:
        self.status = 200
        await asyncio.sleep(self._reads_after)

    async def comment(self) -> None:
        assert not self.log.http_status, "a line after the end of the answer"
        self.comments += 1


def patience_of(*calls: _Waiting) -> Patience:
    """With these calls, a minute later."""
    patience = Patience(SimpleNamespace(monotonic=lambda: 60.0))  # type: ignore[arg-type]
    for call in calls:
        patience.begin(call)  # type: ignore[arg-type]
    return patience


async def test_who_does_not_read_keeps_no_other_waiting() -> None:
    calls = [_Waiting(str(at), reads_after=10) for at in range(20)] + [_Waiting("last")]
    looking = asyncio.create_task(patience_of(*calls).look())
    await asyncio.sleep(0.1)
    assert calls[-1].comments == 1
    looking.cancel()


async def test_nothing_is_said_after_an_end_that_came_meanwhile() -> None:
    slow, ended = _Waiting("slow", reads_after=0.1), _Waiting("ended")
    patience = patience_of(slow, ended)
    ended.log.http_status = 502
    looking = asyncio.create_task(patience.look())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    patience.end(slow)  # type: ignore[arg-type]
    await looking
    assert (slow.comments, ended.status, ended.comments) == (0, 0, 0)
