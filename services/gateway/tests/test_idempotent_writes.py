"""`Idempotency-Key` on writes under `/api/*`: done once for a signed-in user; and what holds when a Redis is away."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
import redis.asyncio as redis
from common.contracts.snapshots import SigningKeySnapshot
from common.contracts.topology import BUCKETS
from common.http.sessions import ALGORITHM, AUDIENCE, ISSUER
from common.ids import uuid7
from common.servers.ports import free_port
from common.servers.redis import start_redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from gateway.idempotency.claims import Claim, Claims
from gateway.limits.redis import RedisLine
from gateway_house import House, open_house, own_servers

KEYS = "/api/v1/keys"


@pytest.fixture
async def signing_key(house: House) -> Ed25519PrivateKey:
    """A key whose signatures the gateway accepts."""
    assert "sessions" in {bucket.name for bucket in BUCKETS}
    private = Ed25519PrivateKey.generate()
    public = base64.urlsafe_b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    await house.put("sessions", "key.tests", SigningKeySnapshot(kid="tests", public_key=public.rstrip("=")))
    await asyncio.sleep(0.2)
    return private


def token(signing_key: Ed25519PrivateKey, user_id: str, **claims: Any) -> str:
    now = datetime.now(UTC)
    told = {"sub": user_id, "jti": uuid7(), "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + timedelta(hours=1)}
    return jwt.encode({**told, **claims}, signing_key, ALGORITHM, headers={"kid": "tests"})


async def write(house: House, shown: str, key: str, method: str = "POST", **body: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {shown}", "idempotency-key": key}
    return await house.http.request(method, KEYS, json={"name": "made", **body}, headers=headers)


async def test_a_write_is_done_once_and_answered_again(house: House, signing_key: Ed25519PrivateKey) -> None:
    shown, key = token(signing_key, "user-1"), uuid7()
    first, again = [await write(house, shown, key) for _ in range(2)]
    assert first.status_code == again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["x-tollgate-replayed"] == "true"
    assert again.headers["x-request-id"] == first.headers["x-request-id"]


async def test_a_new_session_of_the_same_user_finds_the_answer(house: House, signing_key: Ed25519PrivateKey) -> None:
    key = uuid7()
    first = await write(house, token(signing_key, "user-1"), key)
    cookie = {"cookie": f"a=b; session_token={token(signing_key, 'user-1')}", "idempotency-key": key}
    again = await house.http.post(KEYS, json={"name": "made"}, headers=cookie)
    assert again.json() == first.json()
    assert (await write(house, token(signing_key, "user-2"), key)).json() != first.json()


async def test_another_body_or_path_is_refused(house: House, signing_key: Ed25519PrivateKey) -> None:
    shown, key = token(signing_key, "user-1"), uuid7()
    await write(house, shown, key)
    other = await write(house, shown, key, name="other")
    assert (other.status_code, list(other.json())) == (422, ["detail"])
    headers = {"authorization": f"Bearer {shown}", "idempotency-key": key}
    elsewhere = await house.http.post(f"{KEYS}?a=1", json={"name": "made"}, headers=headers)
    assert elsewhere.status_code == 422


async def test_a_write_in_flight_is_not_done_twice(house: House, signing_key: Ed25519PrivateKey) -> None:
    shown, key = token(signing_key, "user-1"), uuid7()
    answers = await asyncio.gather(*[write(house, shown, key, seconds=0.3) for _ in range(10)])
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 409)


async def test_what_the_owner_refuses_may_be_sent_again(house: House, signing_key: Ed25519PrivateKey) -> None:
    shown, key = token(signing_key, "user-1"), uuid7()
    assert (await write(house, shown, key, name="refused")).status_code == 422
    assert (await write(house, shown, key)).status_code == 201


async def test_an_owner_that_is_away_leaves_the_key_free(house: House, signing_key: Ed25519PrivateKey) -> None:
    headers = {"authorization": f"Bearer {token(signing_key, 'user-1')}", "idempotency-key": uuid7()}
    for _ in range(2):
        answer = await house.http.post("/api/v1/providers", json={}, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (503, "the catalog-sync service does not answer")


async def test_a_token_that_nobody_signed_claims_nothing(house: House, signing_key: Ed25519PrivateKey) -> None:
    key = uuid7()
    first = await write(house, token(signing_key, "user-1"), key)
    forged = token(Ed25519PrivateKey.generate(), "user-1")
    answer = await write(house, forged, key)  # the owner sees to it; here nothing is given away
    assert "x-tollgate-replayed" not in answer.headers
    assert answer.json() != first.json()


async def test_reading_is_not_claimed(house: House, signing_key: Ed25519PrivateKey) -> None:
    headers = {"authorization": f"Bearer {token(signing_key, 'user-1')}", "idempotency-key": uuid7()}
    for _ in range(2):
        answer = await house.http.get(KEYS, headers=headers)
        assert answer.status_code == 200
        assert "x-tollgate-replayed" not in answer.headers


async def test_without_the_cache_redis_a_call_with_a_key_is_refused_and_others_go_on(
    simulator: Any, tmp_path: Path
) -> None:
    with own_servers(tmp_path) as (nats_url, redis_url):
        words = {"port": free_port(), "password": "only-in-tests", "persistent": False}
        cache = start_redis(tmp_path / "cache", log_path=tmp_path / "cache.log", **words)
        settings = {"CACHE_REDIS_URL": cache.url}
        async with open_house(nats_url, redis_url, simulator, tmp_path, settings) as house:
            caller = await house.caller()
            headers = {**caller.headers, "idempotency-key": "order-1"}
            body = {"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello!"}]}
            assert (await house.http.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
            cache.stop()
            for key in ("order-1", "order-2"):
                headers["idempotency-key"] = key
                answer = await house.http.post("/v1/chat/completions", json=body, headers=headers)
                assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "service_unavailable")
                assert answer.headers["retry-after"] == "1"
            assert (await house.ask(caller)).status_code == 200
            assert len(await house.told(caller, least=2)) == 2


@pytest.fixture
async def claims(redis_url: str) -> Any:
    """Claims on a Redis of their own."""
    line = RedisLine(redis_url, 1.0)
    task = asyncio.create_task(line.run())
    await line.connected.wait()
    client = redis.from_url(redis_url)
    await client.set("epoch", "tests")
    yield Claims(line), client
    task.cancel()
    await client.aclose()


def claim(request_id: str = "request-1", fingerprint: str = "f") -> Claim:
    return Claim("digest", fingerprint, request_id, None)


async def test_a_running_claim_survives_an_emptied_redis(claims: Any) -> None:
    ours, client = claims
    renewing = asyncio.create_task(ours.run())
    assert await ours.take(claim()) == "mine"
    await client.flushall()
    assert await ours.take(claim("request-2")) == "closed"
    for _ in range(300):
        if await client.exists("idempotency:digest"):
            break
        await asyncio.sleep(0.01)
    await client.set("epoch", "tests")
    assert await ours.take(claim("request-2")) == "running"
    await ours.end(claim(), is_free=False)
    assert await ours.take(claim("request-3")) == "over"
    renewing.cancel()


async def test_a_claim_that_ended_in_an_emptied_redis_stays_ended(claims: Any) -> None:
    ours, client = claims
    await ours.take(claim())
    await client.flushall()
    await ours.end(claim(), is_free=False)
    await client.set("epoch", "tests")
    assert await ours.take(claim("request-2")) == "over"


async def test_nobody_ends_another_request_s_claim(claims: Any) -> None:
    ours, client = claims
    await ours.take(claim())
    await ours.end(claim("request-2"), is_free=True)
    assert await ours.take(claim("request-3")) == "running"
    assert await ours.take(claim("request-3", "another body")) == "other"
    await ours.end(claim(), is_free=True)
    assert await client.keys("idempotency:*") == []
    assert await ours.take(claim("request-3")) == "mine"
    assert await ours.take(claim("request-3")) == "mine"  # asked again, since a reply was lost


async def test_a_lease_that_nobody_renews_runs_out(claims: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = claims
    monkeypatch.setattr("gateway.idempotency.claims.LEASE_SECONDS", 0.1)
    await ours.take(claim())
    assert await ours.take(claim("request-2")) == "running"
    await asyncio.sleep(0.15)
    assert await ours.take(claim("request-2")) == "over"


async def test_a_revoked_key_claims_nothing(claims: Any) -> None:
    ours, client = claims
    await client.set("revoked:key-1", "1")
    assert await ours.take(Claim("digest", "f", "request-1", "key-1")) == "revoked"
    assert await client.keys("idempotency:*") == []


async def test_an_end_that_redis_did_not_hear_is_told_it_later(claims: Any, redis_url: str) -> None:
    ours, client = claims
    await ours.take(claim())
    await client.execute_command("CLIENT", "PAUSE", "1300", "ALL")
    await ours.end(claim(), is_free=True)
    renewing = asyncio.create_task(ours.run())
    for _ in range(600):
        if not await client.exists("idempotency:digest"):
            break
        await asyncio.sleep(0.01)
    assert not await client.exists("idempotency:digest")
    assert len(ours) == 0
    renewing.cancel()
