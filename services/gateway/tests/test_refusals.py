"""Every refusal over HTTP: its status, words, reason and headers; and that nothing of it is counted."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from common.money import Money
from gateway_house import Caller, House
from gateway_stack import HASTY

CHAT = "/v1/chat/completions"
NO = {"x-should-retry": "false"}


def error_of(answer: httpx2.Response, status: int, reason: str) -> dict[str, Any]:
    """The error of an answer that is refused so."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert uuid.UUID(answer.headers["x-request-id"]).version == 7
    assert list(answer.json()) == ["error"]
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "reason"}
    assert (error["type"], error["code"], error["reason"]) == ("invalid_request_error", status, reason)
    return error


async def counted_nothing(house: House, caller: Caller) -> None:
    """No usage event, no slot, no hold, no spend."""
    assert await house.told(caller, least=0) == []
    assert await house.redis.zcard(f"rate_limit:{caller.id}") == 0
    assert await house.open_money(caller) == (0, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"authorization": "tg-key-without-scheme"},
        {"x-api-key": ""},
    ],
)
async def test_without_a_key_the_header_is_missing(house: House, headers: dict[str, str]) -> None:
    answer = await house.http.post(CHAT, json={}, headers=headers)
    error = error_of(answer, 401, "missing_api_key")
    assert error["message"] == "missing or invalid Authorization header"
    assert answer.headers["x-should-retry"] == "false"
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


async def test_an_unknown_disabled_or_expired_key_is_invalid(house: House) -> None:
    disabled = await house.caller(enabled=False)
    expired = await house.caller(expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    for secret in ("tg-nobody-has-this", disabled.secret, expired.secret, "x" * 10_000, "\u00e9"):
        headers = {b"authorization": b"Bearer " + secret.encode()}
        answer = await house.http.post(CHAT, json={}, headers=headers)
        assert error_of(answer, 401, "invalid_api_key")["message"] == "invalid API key"


async def test_an_unknown_model_is_named(house: House) -> None:
    caller = await house.caller(rate_limit=5)
    answer = await house.ask(caller, model="gpt-99")
    error = error_of(answer, 400, "model_not_found")
    assert (error["message"], error["param"]) == ("unknown model: gpt-99", "model")
    assert answer.headers["x-should-retry"] == "false"
    await counted_nothing(house, caller)


async def test_a_model_that_the_key_does_not_allow_is_forbidden(house: House) -> None:
    caller = await house.caller(allowed_models=("my-gpt4",))
    error = error_of(await house.ask(caller), 403, "model_not_allowed")
    assert "gpt-4" in error["message"]
    assert error["param"] == "model"
    await counted_nothing(house, caller)
    assert (await house.ask(caller, model="my-gpt4")).status_code == 200


async def test_a_provider_without_a_credential_is_named(house: House) -> None:
    caller = await house.caller()
    answer = await house.ask(caller, model="deepseek-chat")
    error = error_of(answer, 503, "provider_not_configured")
    assert error["message"].startswith("DeepSeek API key not configured. ")
    assert answer.headers["x-should-retry"] == "false"
    await counted_nothing(house, caller)


async def test_a_rate_limit_tells_when_to_come_back(house: House) -> None:
    caller = await house.caller(rate_limit=1)
    first = await house.ask(caller)
    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    second = await house.ask(caller)
    assert error_of(second, 429, "rate_limit_exceeded")["message"] == "rate limit exceeded"
    assert 50 <= int(second.headers["retry-after"]) <= 60
    assert int(second.headers["retry-after"]) * 1000 - int(second.headers["retry-after-ms"]) in range(1000)
    assert "x-should-retry" not in second.headers
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    assert second.headers["x-ratelimit-reset-requests"].endswith("s")
    assert await house.redis.zcard(f"rate_limit:{caller.id}") == 1


async def test_a_token_limit_does_not_shut_out_calls_that_leave_their_output_open(house: House) -> None:
    caller = await house.caller(token_limit=1000)
    answer = await house.ask(caller, "Hi")
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["x-tollgate-max-tokens"]) < 1000
    assert answer.headers["x-ratelimit-limit-tokens"] == "1000"


async def test_a_spent_budget_is_payment_required(house: House) -> None:
    caller = await house.caller(monthly_budget=Money.of("0.0000001"), rate_limit=5)
    answer = await house.ask(caller)
    assert error_of(answer, 402, "budget_exceeded")["message"] == "monthly budget exceeded"
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    await counted_nothing(house, caller)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1", 404),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/embeddings/else", 404),
        ("GET", "/favicon.ico", 404),
        ("GET", "/internal/v1/credentials/cred-openai/open", 404),
        ("GET", "/", 404),
        ("GET", CHAT, 405),
        ("DELETE", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("PUT", "/v1/models/gpt-4", 405),
    ],
)
async def test_an_unknown_url_or_method_is_said_in_the_same_shape(
    house: House, method: str, path: str, status: int
) -> None:
    error = error_of(await house.http.request(method, path), status, "unknown_url")
    assert path in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/api/v1/nothing", 404), ("TRACE", "/api/v1/keys", 405)]
)
async def test_the_management_apis_refuse_with_a_detail(house: House, method: str, path: str, status: int) -> None:
    answer = await house.http.request(method, path)
    assert answer.status_code == status
    assert list(answer.json()) == ["detail"]
    assert answer.headers["x-request-id"]


async def test_an_owner_that_is_away_is_unavailable(house: House) -> None:
    answer = await house.http.get("/api/v1/llm/models")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"detail": "the catalog-sync service does not answer"}
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("directive", "status", "reason", "words"),
    [
        ("status=500", 502, "provider_error", ""),
        ("status=503 retry_after=7", 502, "provider_error", ""),
        ("drop", 502, "provider_error", "OpenAI broke off the answer"),
        ("html", 502, "provider_error", "OpenAI sent an answer that is no chat completion"),
        ("cut_after=20", 502, "provider_error", "OpenAI broke off the answer"),
        ("malformed_at=1", 502, "provider_error", "OpenAI sent an answer that is no chat completion"),
        ("status=401", 502, "provider_auth_failed", "OpenAI refused our credential"),
        ("status=403", 502, "provider_auth_failed", "OpenAI refused our credential"),
        ("held=for-good", 504, "provider_timeout", "OpenAI did not answer within 0.3 s"),
    ],
)
async def test_a_provider_s_failure_has_a_true_status_and_costs_nothing(
    house: House, directive: str, status: int, reason: str, words: str
) -> None:
    caller = await house.caller()
    await house.has_hasty_alias()
    model = HASTY.alias if "held" in directive else "gpt-4"
    answer = await house.ask(caller, f"[[simulate {directive}]]", model=model)
    error = error_of(answer, status, reason)
    assert words in error["message"]
    assert "hidden" not in answer.text
    assert answer.headers.get("x-should-retry") == ("false" if reason == "provider_auth_failed" else None)
    assert answer.headers.get("retry-after") == ("7" if "retry_after" in directive else None)
    [event] = await house.told(caller)
    assert (event.status, event.http_status, event.error.reason) == ("failed", status, reason)
    assert await house.open_money(caller) == (0, 0)


async def test_a_provider_s_own_refusal_keeps_its_words(house: House) -> None:
    caller = await house.caller()
    answer = await house.ask(caller, "[[simulate status=400 code=context_length_exceeded error_type=their_type]]")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("their_type", "context_length_exceeded")
    assert error["message"]
    assert answer.headers["x-should-retry"] == "false"


async def test_a_provider_s_rate_limit_is_handed_on(house: House) -> None:
    answer = await house.ask(await house.caller(), "[[simulate status=429 retry_after=3]]")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


BAD_BODIES = [
    b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"{}", b'{"model":"gpt-4"}', b'{"model":"gpt-4","messages":[]}',
    b'{"model":"gpt-4","messages":[{"role":"user","content":"\xff"}]}',
    b'{"model":"gpt-4","messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"model":"gpt-4","messages":[{"role":"user","content":"a"}],"seed":NaN}',
    b'{"model":"gpt-4","messages":[{"role":"user","content":"a"}],"x":' + b"[" * 100_000,
    b'{"model":"gpt-4","messages":[{"role":"user","content":"a"}],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"model":"gpt-4","messages":[{"role":"user","content":"a"}],"max_tokens":' + b"9" * 5000 + b"}",
]  # fmt: skip


async def test_malformed_bodies_are_refused_counted_nowhere_and_harm_nobody(house: House) -> None:
    caller = await house.caller(rate_limit=5)
    for body in BAD_BODIES:
        answer = await house.http.post(CHAT, content=body, headers=caller.headers)
        error_of(answer, 400, "invalid_request")
        assert answer.headers["x-should-retry"] == "false"
    await counted_nothing(house, caller)
    assert (await house.ask(caller)).status_code == 200


async def test_deep_nesting_at_the_very_limit_holds_nothing(house: House) -> None:
    """Just below the parser's limit a body may be read here and not where stream options are read again."""
    caller = await house.caller()
    for depth in range(160, 1100, 20):
        options = b'{"include_usage":true,"x":' + b"[" * depth + b"]" * depth + b"}"
        body = (
            b'{"model":"gpt-4","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":%b}' % options
        )
        assert (await house.http.post(CHAT, content=body, headers=caller.headers)).status_code in (200, 400)
    assert (await house.open_money(caller))[0] == 0


async def test_every_answer_has_an_id_of_its_own(house: House) -> None:
    caller = await house.caller()
    asked = [
        house.http.get("/health"), house.http.get("/livez"), house.http.get("/readyz"), house.http.get("/metrics"),
        house.http.get("/nothing"), house.http.get(CHAT), house.http.options(CHAT), house.http.post(CHAT),
        house.http.head("/v1/models", headers=caller.headers), house.http.get("/v1/models", headers=caller.headers),
        house.ask(caller), house.ask(caller, stream=True), house.ask(caller, model="none"),
        house.ask(caller, "[[simulate status=500]]"), house.ask(caller, "[[simulate tokens=5 cut_after=2]]", stream=True),
    ]  # fmt: skip
    ids = [answer.headers.get_list("x-request-id") for answer in await asyncio.gather(*asked)]
    assert all(len(one) == 1 and uuid.UUID(one[0]).version == 7 for one in ids)
    assert len({one[0] for one in ids}) == len(asked)


async def test_a_refusal_is_told_without_its_words(house: House) -> None:
    caller = await house.caller()
    answer = await house.ask(caller, model="no-such-model")
    state = (await house.bus.jetstream.stream_info("USAGE")).state
    last = None
    for _ in range(100):
        message = await house.bus.jetstream.get_last_msg("USAGE", "usage.rejected.model_not_found")
        last = json.loads(message.data or b"")["data"]
        if last["request_id"] == answer.headers["x-request-id"]:
            break
        await asyncio.sleep(0.02)
    assert state.messages > 0
    assert last is not None
    assert (last["api_key_id"], last["requested_model"], last["http_status"]) == (caller.id, "no-such-model", 400)
