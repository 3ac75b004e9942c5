"""The response cache: off unless asked for, exact, bounded in time, free of charge, and told of."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest
import redis.asyncio as redis
from common.contracts.snapshots import CredentialSnapshot
from common.ids import uuid7
from common.money import Money
from gateway_house import SYSTEM_SECRETS, Caller, House

SYSTEM_SECRETS["own-cached"] = "sim-ok-own-cached"
CHAT = "/v1/chat/completions"


async def ask(
    house: House, caller: Caller, content: str, ttl: int | str | None = 60, model: str = "gpt-4", **members: Any
) -> httpx2.Response:
    """One call that takes an answer of this age from the cache."""
    headers = dict(caller.headers) if ttl is None else {**caller.headers, "x-tollgate-cache-ttl": str(ttl)}
    body = {"model": model, "messages": [{"role": "user", "content": content}], **members}
    return await house.http.post(CHAT, json=body, headers=headers)


def told_by(answer: httpx2.Response) -> str | None:
    return answer.headers.get("x-tollgate-cache")


async def test_nothing_is_cached_unless_asked_for(house: House) -> None:
    caller, words = await house.caller(), f"Say hello! {uuid7()}"
    answers = [await ask(house, caller, words, ttl=None) for _ in range(2)]
    assert [told_by(answer) for answer in answers] == [None, None]
    events = await house.told(caller, least=2)
    assert [(event.status, event.cache) for event in events] == [("completed", "off")] * 2


async def test_a_hit_is_free_and_has_an_event_of_its_own(house: House) -> None:
    caller, words = await house.caller(rate_limit=50, monthly_budget=Money.of("10")), f"Say hello! {uuid7()}"
    first, again = await ask(house, caller, words), await ask(house, caller, words)
    assert (told_by(first), told_by(again)) == ("miss", "hit")
    assert again.content == first.content
    assert again.headers["x-tollgate-cost-usd"] == "0"
    assert again.headers["x-tollgate-provider"] == "openai"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert int(again.headers["x-ratelimit-remaining-requests"]) == 48
    miss, hit = await house.told(caller, least=2)
    assert (miss.status, miss.cache) == ("completed", "miss")
    assert (hit.status, hit.cache, str(hit.cost_usd), hit.attempts) == ("cached", "hit", "0", ())
    assert (hit.request_id, hit.http_status) == (again.headers["x-request-id"], 200)
    assert (hit.usage.total_tokens, hit.model, hit.provider_type) == (0, "gpt-4", "openai")
    assert await house.open_money(caller) == (0, miss.cost_usd.to_nano_ceiling())


async def test_a_stream_comes_from_the_cache_as_a_stream(house: House) -> None:
    caller, words = await house.caller(), f"Count to 5 {uuid7()}"
    more = {"stream": True, "stream_options": {"include_usage": True}}
    first, again = [await ask(house, caller, words, **more) for _ in range(2)]
    assert told_by(again) == "hit"
    assert again.headers["content-type"] == first.headers["content-type"] == "text/event-stream; charset=utf-8"
    *before, usage, done = again.content.split(b"\n\n")[:-1]
    assert done == b"data: [DONE]"
    assert before == first.content.split(b"\n\n")[:-3]
    cost = json.loads(usage.removeprefix(b"data: "))["x_tollgate"]["cost_usd"]
    assert cost == "0"
    assert json.loads(first.content.split(b"\n\n")[-3].removeprefix(b"data: "))["x_tollgate"]["cost_usd"] != "0"


async def test_the_official_client_reads_a_stream_from_the_cache(house: House) -> None:
    caller = await house.caller(cache_ttl_s=60)
    asked: Any = {"model": "gpt-4", "messages": [{"role": "user", "content": f"Count to 5 {uuid7()}"}], "stream": True}
    texts = []
    async with openai.AsyncOpenAI(api_key=caller.secret, base_url=f"{house.url}/v1") as client:
        for _ in range(2):
            stream = await client.chat.completions.create(**asked)
            texts.append("".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]))
    assert texts[0] == texts[1] != ""
    assert [event.cache for event in await house.told(caller, least=2)] == ["miss", "hit"]


async def test_a_key_asks_for_all_its_calls_and_a_call_may_decline(house: House) -> None:
    caller, words = await house.caller(cache_ttl_s=60), f"Say hello! {uuid7()}"
    answers = [await ask(house, caller, words, ttl=ttl) for ttl in (None, None, 0)]
    assert [told_by(answer) for answer in answers] == ["miss", "hit", None]


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.5},
        {"max_tokens": 9},
        {"stream": True},
        {"model": "groq/llama-3.3-70b-versatile"},
        {"user": "u"},
    ],
)
async def test_another_request_is_another_answer(house: House, change: dict[str, Any]) -> None:
    caller, words = await house.caller(), f"Say hello! {uuid7()}"
    await ask(house, caller, words)
    assert told_by(await ask(house, caller, words, **change)) == "miss"


async def test_another_name_of_the_same_model_is_the_same_request(house: House) -> None:
    caller, words = await house.caller(), f"Say hello! {uuid7()}"
    await ask(house, caller, words)
    assert told_by(await ask(house, caller, words, model="openai/gpt-4")) == "hit"
    assert told_by(await ask(house, caller, words, model="my-gpt4")) == "hit"


async def test_a_team_shares_its_answers_and_others_see_none(house: House) -> None:
    team, words = f"team-{uuid7()}", f"Say hello! {uuid7()}"
    one, two, other = await house.caller(team_id=team), await house.caller(team_id=team), await house.caller()
    assert [told_by(await ask(house, caller, words)) for caller in (one, two, other)] == ["miss", "hit", "miss"]


async def test_a_response_that_only_its_own_key_can_go_on_from_is_not_shared(house: House) -> None:
    team, body = f"team-{uuid7()}", {"model": "gpt-4", "input": f"Say hello! {uuid7()}"}
    one, two = await house.caller(team_id=team), await house.caller(team_id=team)
    answers = [
        await house.http.post("/v1/responses", json=body, headers={**caller.headers, "x-tollgate-cache-ttl": "60"})
        for caller in (one, one, two)
    ]
    assert [told_by(answer) for answer in answers] == ["miss", "hit", "miss"]
    for caller, answer in zip((one, one, two), answers, strict=True):
        found = await house.http.get(f"/v1/responses/{answer.json()['id']}", headers=caller.headers)
        assert found.status_code == 200


async def test_a_key_without_a_team_has_its_answers_for_itself(house: House) -> None:
    one, two, words = await house.caller(), await house.caller(), f"Say hello! {uuid7()}"
    assert [told_by(await ask(house, caller, words)) for caller in (one, two)] == ["miss", "miss"]


async def test_another_credential_is_another_place(house: House) -> None:
    team, user, words = f"team-{uuid7()}", f"user-{uuid7()}", f"Say hello! {uuid7()}"
    one, two = await house.caller(team_id=team), await house.caller(team_id=team, user_id=user)
    assert told_by(await ask(house, one, words)) == "miss"
    assert told_by(await ask(house, two, words)) == "hit"
    own = CredentialSnapshot(id="own-cached", provider_type="openai", version=1, owner_user_id=user, on_simulator=True)
    await house.put("credentials", own.id, own)
    for _ in range(100):
        if told_by(answer := await ask(house, two, words)) == "miss":
            break
        await asyncio.sleep(0.02)
    assert (told_by(answer), answer.status_code) == ("miss", 200)


async def test_a_hit_needs_no_budget(house: House) -> None:
    team, words = f"team-{uuid7()}", f"Say hello! {uuid7()}"
    rich, poor = [await house.caller(team_id=team, monthly_budget=Money.of(most)) for most in ("10", "0.0000001")]
    assert [told_by(await ask(house, caller, words, max_tokens=9)) for caller in (rich, poor)] == ["miss", "hit"]
    assert (await ask(house, poor, "something else", max_tokens=9)).status_code == 402


async def test_an_answer_is_no_older_than_asked(house: House) -> None:
    caller, words = await house.caller(), f"Say hello! {uuid7()}"
    await ask(house, caller, words, ttl=60)
    await asyncio.sleep(1.1)
    assert told_by(await ask(house, caller, words, ttl=1)) == "miss"
    await asyncio.sleep(1.1)
    assert told_by(await ask(house, caller, words, ttl=60)) == "miss"  # kept for a second only, the last time


async def test_of_many_at_once_one_calls_the_provider(house: House) -> None:
    caller, words = await house.caller(), f"[[simulate first_byte_ms=300]] {uuid7()}"
    answers = await asyncio.gather(*[ask(house, caller, words) for _ in range(20)])
    assert sorted(map(str, map(told_by, answers))) == ["hit"] * 19 + ["miss"]
    assert len({answer.content for answer in answers}) == 1
    events = await house.told(caller, least=20)
    assert sorted(event.status for event in events) == ["cached"] * 19 + ["completed"]
    assert sum(len(event.attempts) for event in events) == 1


async def test_when_the_one_fails_another_calls(house: House) -> None:
    caller, words = await house.caller(), f"[[simulate first_byte_ms=100 status=500]] {uuid7()}"
    answers = await asyncio.gather(*[ask(house, caller, words) for _ in range(3)])
    assert [answer.status_code for answer in answers] == [502] * 3
    assert {told_by(answer) for answer in answers} == {"miss"}


@pytest.mark.parametrize("fault", ["cut_after=3", "usage_in_every_chunk tokens=9 error_at=5"])
async def test_a_broken_stream_is_not_cached(house: House, fault: str) -> None:
    caller, words = await house.caller(), f"[[simulate {fault}]] {uuid7()}"
    answers = [await ask(house, caller, words, stream=True) for _ in range(2)]
    assert [told_by(answer) for answer in answers] == ["miss", "miss"]


async def test_a_hit_passes_the_limits_like_any_call(house: House) -> None:
    caller, words = await house.caller(rate_limit=2), f"Say hello! {uuid7()}"
    statuses = [(await ask(house, caller, words)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    revoked = await house.caller()
    await ask(house, revoked, words)
    await house.redis.set(f"revoked:{revoked.id}", "1")
    assert (await ask(house, revoked, words)).status_code == 401


@pytest.mark.parametrize("ttl", ["-1", "soon", "2592001", "1.5", ""])
async def test_a_time_that_is_none_is_refused(house: House, ttl: str) -> None:
    answer = await ask(house, await house.caller(), "Hi", ttl=ttl)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-tollgate-cache-ttl"


async def test_nothing_of_it_can_be_read_in_redis(house: House) -> None:
    caller, words = await house.caller(), f"Say hello! {uuid7()}"
    answer = await ask(house, caller, words)
    said = answer.json()["choices"][0]["message"]["content"].encode()
    async with redis.from_url(house.environment["CACHE_REDIS_URL"]) as cache:
        entries = [await cache.get(name) for name in await cache.keys("response:*")]
        assert entries
        assert not [entry for entry in entries if said in entry or words.encode() in entry]
        assert await cache.keys("flight:*") == []


async def test_a_replayed_hit_stays_what_it_was(house: House) -> None:
    caller, words, key = await house.caller(), f"Say hello! {uuid7()}", uuid7()
    await ask(house, caller, words)
    headers = {**caller.headers, "x-tollgate-cache-ttl": "60", "idempotency-key": key}
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": words}]}
    hit, again = [await house.http.post(CHAT, json=body, headers=headers) for _ in range(2)]
    assert told_by(hit) == told_by(again) == "hit"
    assert again.headers["x-tollgate-replayed"] == "true"
    assert again.headers["x-request-id"] == hit.headers["x-request-id"]
    assert len(await house.told(caller, least=3, seconds=0.3)) == 2
