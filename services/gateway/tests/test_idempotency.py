"""`Idempotency-Key` on `/v1/*`: a call runs once however often it is sent, and its answer comes again byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import httpx2
import pytest
import redis.asyncio as redis
from common.ids import uuid7
from common.money import Money
from common.testing.serving import eventually
from gateway.idempotency.claims import LIFE_SECONDS
from gateway_house import Caller, House
from gateway_stack import all_but

CHAT = "/v1/chat/completions"


async def ask(house: House, caller: Caller, key: str, content: str = "Say hello!", **members: Any) -> httpx2.Response:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], **members}
    return await house.http.post(CHAT, json=body, headers={**caller.headers, "idempotency-key": key})


async def hang_up(house: House, caller: Caller, key: str, body: dict[str, Any]) -> None:
    """Send a call and leave without its answer, once it is running."""
    text = json.dumps(body).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {caller.secret}\r\nidempotency-key: {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    )
    host, _, port = house.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + text)
    await until_claimed(house, caller, key)
    writer.transport.abort()


async def until_claimed(house: House, caller: Caller, key: str) -> None:
    """Wait until a call with this key is in flight."""
    name = f"idempotency:{digest_of(caller, key)}"
    await eventually(lambda: house.redis.exists(name))


async def until_over(house: House, caller: Caller, key: str, body: dict[str, Any]) -> httpx2.Response:
    """Try again until the first try is no longer in flight."""
    headers = {**caller.headers, "idempotency-key": key, "content-type": "application/json"}
    for _ in range(200):
        answer = await house.http.post(CHAT, content=json.dumps(body), headers=headers)
        if answer.status_code != 409 or answer.json()["error"]["reason"] != "idempotency_in_flight":
            return answer
        assert answer.headers["retry-after"] == "1"
        await asyncio.sleep(0.05)
    raise AssertionError("it never ended")


def digest_of(caller: Caller, key: str) -> str:
    return hashlib.sha256(f"key:{caller.id}\n{key}".encode()).hexdigest()


def reason(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["reason"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_answer_comes_again_byte_for_byte(house: House, streamed: bool) -> None:
    caller, key = await house.caller(rate_limit=50), uuid7()
    options = {"include_usage": True}
    more: dict[str, Any] = {"stream": True, "stream_options": options} if streamed else {}
    first = await ask(house, caller, key, **more)
    again = await ask(house, caller, key, **more)
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers.pop("x-tollgate-replayed") == "true"
    assert {n: v for n, v in again.headers.items() if n != "date"} == {
        n: v for n, v in first.headers.items() if n != "date"
    }
    assert first.headers["content-type"].startswith("text/event-stream" if streamed else "application/json")
    (event,) = await house.told(caller)
    assert event.request_id == first.headers["x-request-id"] == again.headers["x-request-id"]
    assert await house.redis.zcard(f"rate_limit:{caller.id}") == 1


async def test_fifty_at_once_are_one_call(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    gate = uuid7()
    said = f"[[simulate held={gate}]]"
    others, [running] = await all_but(1, [ask(house, caller, key, said) for _ in range(50)])
    await house.let_go(gate)
    first = await running
    assert (first.status_code, "x-tollgate-replayed" in first.headers) == (200, False)
    assert {reason(answer) for answer in others} == {(409, "idempotency_in_flight")}
    assert all(answer.headers["retry-after"] == "1" for answer in others)
    again = await ask(house, caller, key, said)
    assert (again.content, again.headers["x-tollgate-replayed"]) == (first.content, "true")
    assert len(await house.told(caller, least=2, seconds=0.5)) == 1


async def test_a_key_means_one_request(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    await ask(house, caller, key)
    other = await ask(house, caller, key, "Count to 5")
    assert reason(other) == (422, "idempotency_key_reused")
    assert other.headers["x-should-retry"] == "false"
    assert len(await house.told(caller, least=2, seconds=0.3)) == 1


async def test_large_requests_are_told_apart_by_their_last_byte(house: House) -> None:
    caller, key, long = await house.caller(), uuid7(), "x" * 600_000
    first, again, other = [await ask(house, caller, key, f"Say hello! {long}{end}") for end in "aab"]
    assert (first.status_code, again.headers["x-tollgate-replayed"]) == (200, "true")
    assert reason(other) == (422, "idempotency_key_reused")


async def test_a_key_is_its_virtual_key_s_own(house: House) -> None:
    one, two, key = await house.caller(), await house.caller(), uuid7()
    answers = [await ask(house, caller, key) for caller in (one, two)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert "x-tollgate-replayed" not in answers[1].headers
    assert answers[0].headers["x-request-id"] != answers[1].headers["x-request-id"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_call_whose_client_hung_up_goes_on_for_the_retry(house: House, streamed: bool) -> None:
    caller, key = await house.caller(), uuid7()
    gate = uuid7()
    said = f"[[simulate held={gate} chunk_ms=30 tokens=10]]"
    body = {"model": "gpt-4", "stream": streamed, "messages": [{"role": "user", "content": said}]}
    await hang_up(house, caller, key, body)
    await house.let_go(gate)
    answer = await until_over(house, caller, key, body)
    assert answer.status_code == 200
    assert answer.headers["x-tollgate-replayed"] == "true"
    if streamed:
        assert answer.content.endswith(b"data: [DONE]\n\n")
    (event,) = await house.told(caller)
    assert (event.status, event.usage.output_tokens) == ("completed", 10)


async def test_without_a_key_a_hang_up_still_stops_the_call(house: House) -> None:
    caller = await house.caller()
    body = {
        "model": "gpt-4",
        "stream": True,
        "messages": [{"role": "user", "content": "[[simulate chunk_ms=30 tokens=40]]"}],
    }
    with pytest.raises(httpx2.ReadTimeout):
        await house.http.post(CHAT, json=body, headers=caller.headers, timeout=httpx2.Timeout(5, read=0.02))
    (event,) = await house.told(caller)
    assert event.status == "cancelled"


async def test_what_was_refused_before_it_was_sent_leaves_the_key_free(house: House) -> None:
    caller, key = await house.caller(monthly_budget=Money.of("0.0000001")), uuid7()
    assert reason(await ask(house, caller, key)) == (402, "budget_exceeded")
    assert reason(await ask(house, caller, key)) == (402, "budget_exceeded")
    assert reason(await ask(house, caller, key, model="no-such-model")) == (400, "model_not_found")
    assert not await house.redis.exists(f"idempotency:{digest_of(caller, key)}")


async def test_a_failure_that_cost_nothing_may_be_tried_again(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    for _ in range(2):
        answer = await ask(house, caller, key, "[[simulate status=500]]")
        assert reason(answer) == (502, "provider_error")
        assert "x-tollgate-replayed" not in answer.headers
    events = await house.told(caller, least=2)
    assert [(event.status, str(event.cost_usd)) for event in events] == [("failed", "0")] * 2


async def test_a_stream_that_broke_off_and_was_charged_comes_again_as_it_was(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    said = "[[simulate usage_in_every_chunk tokens=9 error_at=5]]"
    first = await ask(house, caller, key, said, stream=True)
    again = await ask(house, caller, key, said, stream=True)
    assert b"[DONE]" not in first.content
    (event,) = await house.told(caller, least=2, seconds=0.5)
    assert event.cost_usd > Money.of(0)
    assert again.content == first.content


async def test_an_answer_that_is_too_large_is_not_held(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    said = "[[simulate big_line=1200000]]"
    assert (await ask(house, caller, key, said)).status_code == 200
    again = await ask(house, caller, key, said)
    assert reason(again) == (409, "idempotency_answer_gone")
    assert again.headers["x-should-retry"] == "false"
    assert len(await house.told(caller, least=2, seconds=0.3)) == 1


async def test_an_answer_that_was_dropped_is_not_run_again(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    await ask(house, caller, key)
    async with cache_of(house) as cache:
        assert await cache.delete(f"answer:{digest_of(caller, key)}") == 1
    assert reason(await ask(house, caller, key)) == (409, "idempotency_answer_gone")


async def test_a_claim_whose_gateway_died_is_not_run_again(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    gate = uuid7()
    said = f"[[simulate held={gate}]]"
    running = asyncio.create_task(ask(house, caller, key, said))
    await until_claimed(house, caller, key)
    name = f"idempotency:{digest_of(caller, key)}"
    dead = f"idempotency:{digest_of(caller, 'dead')}"
    await house.redis.copy(name, dead)
    await house.redis.hset(dead, mapping={"until": 1, "request": "of-a-dead-gateway"})
    # The same request under the other key has another fingerprint; that of the claim itself is what counts.
    assert reason(await ask(house, caller, "dead", said)) == (422, "idempotency_key_reused")
    await house.redis.hset(name, mapping={"until": 1, "request": "of-a-dead-gateway"})
    assert reason(await ask(house, caller, key, said)) == (409, "idempotency_answer_gone")
    await house.let_go(gate)
    assert (await running).status_code == 200
    assert (await ask(house, caller, key, said)).headers["x-tollgate-replayed"] == "true"  # it came to life again


async def test_claims_and_answers_end_after_a_day(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    await ask(house, caller, key)
    left = await house.redis.pttl(f"idempotency:{digest_of(caller, key)}")
    async with cache_of(house) as cache:
        kept = await cache.pttl(f"answer:{digest_of(caller, key)}")
    for milliseconds in (left, kept):
        assert LIFE_SECONDS * 1000 - 20_000 < milliseconds <= LIFE_SECONDS * 1000


async def test_an_answer_outlives_an_emptied_redis(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    first = await ask(house, caller, key)
    await house.redis.delete(f"idempotency:{digest_of(caller, key)}")
    again = await ask(house, caller, key)
    assert (again.content, again.headers["x-tollgate-replayed"]) == (first.content, "true")
    assert reason(await ask(house, caller, key, "Count to 5")) == (422, "idempotency_key_reused")
    assert len(await house.told(caller, least=2, seconds=0.3)) == 1


async def test_nothing_in_redis_can_be_read(house: House) -> None:
    caller, key = await house.caller(), f"order-{uuid7()}"
    said = "Tell me of marzipan"
    answer = await ask(house, caller, key, said)
    words = answer.json()["choices"][0]["message"]["content"].encode()
    held = await house.redis.hgetall(f"idempotency:{digest_of(caller, key)}")
    async with cache_of(house) as cache:
        kept = await cache.get(f"answer:{digest_of(caller, key)}")
    for piece in (words, said.encode(), key.encode(), caller.secret.encode(), answer.headers["x-request-id"].encode()):
        assert piece not in kept
        if piece != answer.headers["x-request-id"].encode():
            assert not any(piece in value for value in held.values())


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "ünïcödé"])
async def test_a_key_is_bounded_and_printable(house: House, key: str) -> None:
    caller = await house.caller()
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hi"}]}
    headers = [*caller.headers.items(), ("idempotency-key", key.encode("latin-1"))]
    answer = await house.http.post(
        CHAT, json=body, headers=[(n.encode(), v if isinstance(v, bytes) else v.encode()) for n, v in headers]
    )
    assert reason(answer) == (400, "invalid_request")
    assert answer.json()["error"]["param"] == "Idempotency-Key"
    assert await house.told(caller, least=1, seconds=0.1) == []


async def test_who_is_not_known_claims_nothing(house: House) -> None:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hi"}]}
    before = await house.redis.dbsize()
    answer = await house.http.post(CHAT, json=body, headers={"idempotency-key": "k", "authorization": "Bearer nobody"})
    assert reason(answer) == (401, "invalid_api_key")
    assert await house.redis.dbsize() <= before


async def test_a_revoked_key_gets_no_answer_again(house: House) -> None:
    caller, key = await house.caller(), uuid7()
    await ask(house, caller, key)
    await house.redis.set(f"revoked:{caller.id}", "1")
    assert reason(await ask(house, caller, key)) == (401, "invalid_api_key")


async def test_a_call_without_a_key_asks_redis_nothing_more(house: House) -> None:
    caller = await house.caller(rate_limit=50)
    await house.redis.config_resetstat()
    for _ in range(5):
        assert (await house.ask(caller)).status_code == 200
    told = await house.redis.info("commandstats")
    assert told["cmdstat_evalsha"]["calls"] >= 10  # admit and settle of each
    assert not {"cmdstat_eval", "cmdstat_getex"} & set(told)
    async with cache_of(house) as cache:
        await house.redis.config_resetstat()
        await ask(house, caller, uuid7())
        assert (await cache.info("commandstats"))["cmdstat_eval"]["calls"] >= 2  # claimed and closed


def cache_of(house: House) -> redis.Redis:
    """The cache Redis of a house."""
    return redis.from_url(house.environment["CACHE_REDIS_URL"])
