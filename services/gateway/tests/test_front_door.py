"""The ways to the front door: URLs, keys, methods and origins that clients use, and requests that no client should send."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from common.http.app import GUARDS
from gateway_house import House

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-4", "messages": [{"role": "user", "content": "Say hello!"}], "max_tokens": 5}


@pytest.mark.parametrize(
    "name", ["Authorization", "authorization", "x-api-key", "X-Api-Key", "api-key", "x-goog-api-key"]
)
async def test_a_key_is_taken_from_every_header_that_clients_use(house: House, name: str) -> None:
    caller = await house.caller()
    value = f"Bearer {caller.secret}" if name.lower() == "authorization" else caller.secret
    assert (await house.http.post(CHAT, json=BODY, headers={name: value})).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_a_scheme_is_read_in_any_spelling(house: House, scheme: str) -> None:
    caller = await house.caller()
    headers = {"authorization": f"{scheme} {caller.secret}"}
    assert (await house.http.post(CHAT, json=BODY, headers=headers)).status_code == 200


async def test_a_key_beside_another_scheme_counts(house: House) -> None:
    caller = await house.caller()
    headers = {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": caller.secret}
    assert (await house.http.post(CHAT, json=BODY, headers=headers)).status_code == 200


PREFIXES = ("", "/openai/v1", "/api/openai/v1")
URLS = [CHAT, f"{CHAT}/", f"{CHAT}?api-version=1", *(f"{prefix}/chat/completions" for prefix in PREFIXES)]


@pytest.mark.parametrize("path", URLS)
async def test_every_form_of_the_url_leads_to_the_same_door(house: House, path: str) -> None:
    caller = await house.caller()
    assert (await house.http.post(path, json=BODY, headers=caller.headers)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "/models", "/openai/v1/models"])
async def test_models_are_listed(house: House, path: str) -> None:
    caller = await house.caller()
    answer = await house.http.get(path, headers=caller.headers)
    assert answer.json()["object"] == "list"
    names = [one["id"] for one in answer.json()["data"]]
    assert names == sorted(names)
    assert {"gpt-4", "llama-3.3-70b-versatile", "mistral-large-latest", "my-gpt4", "with-fallback"} <= set(names)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("gpt-4", "gpt-4"),
        ("my-gpt4", "my-gpt4"),
        ("openai/gpt-4", "openai/gpt-4"),
        ("openai%2Fgpt-4", "openai/gpt-4"),
        ("groq/llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("groq%2fllama-3.3-70b-versatile/", "groq/llama-3.3-70b-versatile"),
    ],
)
async def test_a_model_is_found_by_a_name_with_slashes_raw_or_encoded(house: House, path: str, name: str) -> None:
    caller = await house.caller()
    answer = await house.http.get(f"/v1/models/{path}", headers=caller.headers)
    assert answer.status_code == 200
    assert answer.json()["id"] == name
    assert set(answer.json()) == {"id", "object", "created", "owned_by"}


async def test_models_are_for_those_with_a_key_and_only_what_it_may_use(house: House) -> None:
    assert (await house.http.get("/v1/models")).status_code == 401
    caller = await house.caller(allowed_models=("my-gpt4",))
    listed = await house.http.get("/v1/models", headers=caller.headers)
    assert [one["id"] for one in listed.json()["data"]] == ["my-gpt4"]
    other = await house.http.get("/v1/models/gpt-4", headers=caller.headers)
    assert other.json()["error"]["reason"] == "model_not_found"


async def test_head_is_get_without_a_body(house: House) -> None:
    caller = await house.caller()
    for path in ("/v1/models", "/v1/models/gpt-4", "/health", "/livez"):
        got, head = await asyncio.gather(
            house.http.get(path, headers=caller.headers), house.http.head(path, headers=caller.headers)
        )
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
    assert (await house.http.head("/v1/models")).status_code == 401


async def test_probes_need_no_key(house: House) -> None:
    assert (await house.http.get("/health")).text == "OK"
    assert (await house.http.get("/api/health")).json() == {"status": "ok"}
    assert (await house.http.get("/livez")).status_code == 200
    assert all((await house.http.get("/readyz")).json().values())


async def test_a_preflight_passes_without_a_key(house: House) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, x-stainless-os"}
    answer = await house.http.options(CHAT, headers={"origin": "https://console.example", **asked})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "https://console.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == asked["access-control-request-headers"]
    assert answer.headers["x-request-id"]
    assert "content-length" not in answer.headers


async def test_only_origins_that_were_named_are_allowed(house: House) -> None:
    for origin in ("https://evil.example", "https://console.example.evil.example", "null", "*"):
        for answer in (
            await house.http.options(CHAT, headers={"origin": origin}),
            await house.http.post(CHAT, headers={"origin": origin}),
        ):
            assert "access-control-allow-origin" not in answer.headers
    caller = await house.caller()
    answer = await house.http.post(CHAT, json=BODY, headers={"origin": "https://other.example", **caller.headers})
    assert answer.headers["access-control-allow-origin"] == "https://other.example"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    refused = await house.http.post(CHAT, headers={"origin": "https://other.example"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://other.example")


async def test_tags_reach_the_event(house: House) -> None:
    caller = await house.caller()
    tags = {"x-tollgate-tags": "team = search ,env=prod,broken,=empty," + ",".join(f"t{n}=1" for n in range(30))}
    await house.http.post(CHAT, json=BODY, headers={**caller.headers, **tags})
    [event] = await house.told(caller)
    assert event.tags["team"] == "search"
    assert event.tags["env"] == "prod"
    assert len(event.tags) <= 16


async def test_a_trace_is_carried(house: House) -> None:
    caller = await house.caller()
    for traceparent in (f"00-{'ab' * 16}-{'cd' * 8}-01", "nonsense"):
        await house.http.post(CHAT, json=BODY, headers={**caller.headers, "traceparent": traceparent})
    assert [event.trace_id for event in await house.told(caller, 2)] == ["ab" * 16, None]


async def raw(house: House, request: bytes, seconds: float = 3.0) -> bytes:
    """What comes back for these bytes, until the connection ends or is silent."""
    host, _, port = house.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    got = b""
    try:
        async with asyncio.timeout(seconds):
            while piece := await reader.read(65536):
                got += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return got


@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/models/\xff\xfe HTTP/1.1",
        b"GET /api/v1/keys/\xff HTTP/1.1",
        b"GET /api/v1/keys?q=\xff HTTP/1.1",
        b"GET /api/v1/keys/%ff%00%0d%0a HTTP/1.1",
        b"GET /v1/models/%ff%00 HTTP/1.1",
        b"GET /api/v1/keys HTTP/1.1\r\nx-odd: a\x7fb",
        b"GET /api/v1/keys HTTP/1.1\r\nx-odd: a\x01b",
        b"TRACE /api/v1/keys HTTP/1.1",
        b"PROPFIND /api/v1/keys HTTP/1.1",
        b"GET http://other.example/v1/models HTTP/1.1",
        b"GET //v1/models HTTP/1.1",
        b"GET /v1/../api/v1/keys HTTP/1.1",
        b"NONSENSE",
        b"GET /health HTTP/1.1\r\ncontent-length: -5",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 99999999999999999999999",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked",
        b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6",
    ],
)
async def test_what_no_client_should_send_is_refused_and_crashes_nothing(house: House, line: bytes) -> None:
    answered = await raw(house, line + b"\r\nhost: a\r\nconnection: close\r\n\r\n")
    status = answered[9:12]
    assert status == b"" or status[:1] == b"4" or status == b"503", answered
    assert "call_crashed" not in house.output
    assert (await house.http.get("/health")).status_code == 200


HIDDEN = b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"
CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (b"content-length: 5\r\ntransfer-encoding: chunked", CHUNKED),
        (b"transfer-encoding: chunked\r\ncontent-length: 0", CHUNKED),
        (b"content-length: 0\r\ncontent-length: 5", b"hello"),
        (b"content-length: 5, 0", b"hello"),
        (b"content-length: +5", b"hello"),
        (b"content-length: 0x5", b"hello"),
        (b"content-length: 5 5", b"hello"),
        (b"transfer-encoding: chunked, identity", CHUNKED),
        (b"transfer-encoding: xchunked", CHUNKED),
        (b"transfer-encoding: identity", b""),
        (b"transfer-encoding : chunked", CHUNKED),
        (b"transfer-encoding:\x0bchunked", CHUNKED),
        (b"transfer-encoding: chunked", b"5;\n\r\nhello\r\n0\r\n\r\n"),
        (b"transfer-encoding: chunked", b"0x5\r\nhello\r\n0\r\n\r\n"),
        (b"transfer-encoding: chunked", b"-1\r\n"),
        (b"transfer-encoding: chunked", b"fffffffffffffffff\r\n"),
        (b" content-length: 5", b"hello"),
        (b"content-length\x00: 5", b"hello"),
    ],
)
async def test_a_request_of_unclear_length_hides_no_other(house: House, framing: bytes, body: bytes) -> None:
    """What a proxy before us may read as one request must not be two here: it is refused, and its connection ends."""
    head = b"POST /api/auth/login HTTP/1.1\r\nhost: a\r\n" + framing + b"\r\n\r\n"
    answered = await raw(house, head + body + HIDDEN, 1.0)
    assert b"\r\n\r\nok\n" not in answered, answered
    assert answered[9:10] in (b"4", b"5", b""), answered
    assert (await house.http.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nhost: a\r\nx-long: " + b"a" * 2_000_000,
        b"GET /health?q=" + b"a" * 2_000_000 + b" HTTP/1.1\r\nhost: a",
        b"GET /health HTTP/1.1\r\nhost: a\r\n" + b"x-many: 1\r\n" * 200_000 + b"x: 1",
        b"GET /health HTTP/1.1\r\nhost: a\r\n" + b"x" * 2_000_000 + b": 1",
    ],
    ids=["value", "target", "count", "name"],
)
async def test_a_head_without_measure_is_refused(house: House, head: bytes) -> None:
    answered = await raw(house, head + b"\r\nconnection: close\r\n\r\n")
    assert answered[9:12] in (b"", b"400"), answered[:200]
    assert (await house.http.get("/health")).status_code == 200


async def test_a_head_of_some_size_and_a_body_of_any_pass(house: House) -> None:
    caller = await house.caller()
    body = {**BODY, "metadata": {"long": "x" * 300_000}}
    headers = {**caller.headers, "x-some": "a" * 30_000}
    assert (await house.http.post(CHAT, json=body, headers=headers)).status_code == 200


async def test_management_answers_are_for_the_one_who_asked(house: House) -> None:
    for path in ("/api/v1/providers/health", "/api/nothing"):
        answer = await house.http.get(path, headers={"authorization": "Bearer x"})
        seen = {name: answer.headers.get_list(name) for name in GUARDS}
        assert seen == {name: [value] for name, value in GUARDS.items()}, path
        assert "access-control-allow-origin" not in answer.headers


async def test_two_requests_in_one_write_get_two_answers(house: House) -> None:
    one = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"
    answered = await raw(house, one + one.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert answered.count(b"HTTP/1.1 200 OK") == 2


async def test_a_client_that_asks_before_it_sends_is_told_to(house: House) -> None:
    caller = await house.caller()
    body = json.dumps(BODY).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {caller.secret}\r\nexpect: 100-continue\r\n"
    request = head.encode() + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    assert b"HTTP/1.1 200 OK" in await raw(house, request)


async def call(house: House, **members: Any) -> int:
    return (await house.http.post(CHAT, json={**BODY, **members})).status_code


async def test_nothing_secret_is_ever_written(house: House) -> None:
    """Prompts, answers, keys and the provider's secrets, through every way out, and what was logged of it."""
    caller = await house.caller(log_content=True)
    prompt = "the-prompt-nobody-may-log"
    for members in (
        {},
        {"stream": True},
        {"model": "none"},
        {"n": "wrong"},
        {"messages": [{"role": prompt, "content": prompt}]},
    ):
        await house.ask(caller, **{"content": prompt, **members})
    for directive in ("status=401", "status=500", "drop", "html", "cut_after=3", "malformed_at=1"):
        await house.ask(caller, f"{prompt} [[simulate {directive}]]")
        await house.ask(caller, f"{prompt} [[simulate {directive}]]", stream=True)
    await house.http.post(CHAT, content=f'{{"{prompt}'.encode(), headers=caller.headers)
    await house.http.get(f"/v1/models/{prompt}", headers=caller.headers)
    await house.http.get("/api/v1/llm/models", headers={"authorization": f"Bearer {prompt}", "cookie": prompt})
    await house.told(caller, 14)
    assert '"event":"call"' in house.output
    for secret in (prompt, caller.secret, "test-key-12345", "-hidden", house.environment["GATEWAY_SERVICE_TOKEN"]):
        assert secret not in house.output
    for event in await house.told(caller):
        assert prompt not in event.model_dump_json()
        assert caller.secret not in event.model_dump_json()
    for key in await house.redis.keys("*"):
        assert prompt.encode() not in key
    holds = [await house.redis.hgetall(key) for key in await house.redis.keys("hold:*")]
    assert prompt not in str(holds)
