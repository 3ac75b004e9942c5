"""Bodies of any size, speed and content: large ones are refused without being kept, good ones reach the provider whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from gateway.api.client import Client, ClientGone
from gateway.api.protocol import LINE, Line
from gateway.shapes import Refusal
from gateway_house import House, add_own_provider
from own_provider import DONE, END, STREAM_HEAD, USAGE, Got, OwnProvider, delta, echo, own_provider, piece, whole

CHAT = "/v1/chat/completions"
MIB = 1 << 20
HUGE = 100 * MIB
LIMIT = 8 * MIB


@pytest_asyncio.fixture(scope="module")
async def provider(house: House) -> AsyncIterator[OwnProvider]:
    """A provider of our own behind model `echo`."""
    async with own_provider(echo) as provider:
        await add_own_provider(house, provider)
        yield provider


async def head(reader: asyncio.StreamReader) -> bytes:
    """The next answer's head."""
    async with asyncio.timeout(20):
        return await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize("framing", [f"content-length: {HUGE}", "transfer-encoding: chunked"])
async def test_a_huge_body_is_refused_without_being_kept(house: House, framing: str) -> None:
    caller = await house.caller(rate_limit=5)
    before = house.memory()
    host, _, port = house.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    line = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {caller.secret}\r\n{framing}\r\n\r\n"
    writer.write(line.encode())
    block, most = b"x" * MIB, 0
    try:
        for _ in range(HUGE // MIB):
            writer.write(piece(block) if "chunked" in framing else block)
            await asyncio.wait_for(writer.drain(), 10)
            most = max(most, house.memory())
        if "chunked" in framing:
            writer.write(END)
        answer = await head(reader)
        assert answer.startswith(b"HTTP/1.1 413 ")
        body = json.loads(await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r")[0])))
        assert body["error"]["reason"] == "request_too_large"
        assert str(LIMIT) in body["error"]["message"]
        writer.write(b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert (await head(reader)).startswith(b"HTTP/1.1 200 OK")
    finally:
        writer.close()
    assert most - before < 4 * LIMIT
    assert await house.open_money(caller) == (0, 0)
    assert await house.redis.zcard(f"rate_limit:{caller.id}") == 0


async def test_who_has_no_key_is_refused_before_its_body_is_read(house: House) -> None:
    host, _, port = house.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n".encode())
    assert (await head(reader)).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_a_body_of_pictures_passes_byte_for_byte(house: House, provider: OwnProvider) -> None:
    caller = await house.caller()
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0K" * (2 * MIB // 8)}}
    messages = [{"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]}]
    body = json.dumps({"model": "echo", "messages": messages, "max_tokens": 5}).encode()
    answer = await house.http.post(CHAT, content=body, headers=caller.headers)
    assert answer.status_code == 200
    assert provider.got[-1].json == json.loads(body)
    [event] = await house.told(caller)
    assert event.cost_usd.usd > 0
    assert "iVBORw0K" not in event.model_dump_json()


async def test_unknown_members_reach_the_provider_as_they_were_written(house: House, provider: OwnProvider) -> None:
    caller = await house.caller()
    extra = rb'"x_tomorrow": {"a" : [1.50, 1E2, 12345678901234567890123]}, "user":"\u00e9\/"'
    body = b'{"model":"echo","messages":[{"role":"user","content":"Hi"}],"max_tokens":5,' + extra + b"}"
    await house.http.post(CHAT, content=body, headers={**caller.headers, "content-type": "text/plain"})
    got = provider.got[-1]
    assert got.body == body.replace(b', "user"', b',"user"').replace(b'"x_tomorrow": {', b'"x_tomorrow":{')
    assert got.headers["authorization"] == "Bearer sim-ok-custom-hidden"
    assert got.headers["content-type"] == "application/json"
    assert caller.secret not in str(got.headers)
    [event] = await house.told(caller)
    assert got.headers["x-client-request-id"] == event.request_id


async def test_a_client_s_headers_do_not_reach_the_provider(house: House, provider: OwnProvider) -> None:
    caller = await house.caller()
    private = {"cookie": "session=1", "x-forwarded-for": "1.2.3.4", "user-agent": "mine", "x-stainless-os": "Linux"}
    await house.http.post(
        CHAT,
        json={"model": "echo", "messages": [{"role": "user", "content": "Hi"}]},
        headers={**caller.headers, **private},
    )
    assert not private.keys() & provider.got[-1].headers.keys()


async def streamed(house: House, provider: OwnProvider, play: Any, **members: Any) -> tuple[httpx2.Response, Any]:
    """A streamed call that the provider answers so, and its event."""
    caller = await house.caller()
    provider.play = play
    try:
        answer = await house.ask(caller, "Hi", model="echo", **{"stream": True, "max_tokens": 50, **members})
    finally:
        provider.play = echo
    [event] = await house.told(caller)
    assert (await house.open_money(caller)) == (0, event.cost_usd.to_nano_ceiling())
    return answer, event


async def test_a_provider_that_does_not_hang_up_after_done_holds_nobody_up(house: House, provider: OwnProvider) -> None:
    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + delta("Hi") + delta("", "stop") + USAGE + DONE)
        await writer.drain()
        await asyncio.sleep(0.9)

    began = asyncio.get_running_loop().time()
    answer, event = await streamed(house, provider, play)
    assert asyncio.get_running_loop().time() - began < 0.85
    assert answer.text.endswith("data: [DONE]\n\n")
    assert (event.status, event.usage.total_tokens) == ("completed", 12)


async def test_a_provider_that_breaks_after_done_has_answered(house: House, provider: OwnProvider) -> None:
    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + delta("Hi") + delta("", "stop") + USAGE + DONE)
        await writer.drain()
        writer.transport.abort()

    answer, event = await streamed(house, provider, play)
    assert answer.text.endswith("data: [DONE]\n\n")
    assert event.status == "completed"


BROKEN = {
    "no UTF-8": piece(b'data: {"choices":[{"index":0,"delta":{"content":"\xff"}}]}\n\n'),
    "a number beyond numbers": piece(b'data: {"choices":[{"index":0}],"usage":{"prompt_tokens":1e999}}\n\n'),
    "nested without end": piece(b'data: {"choices":' + b"[" * 50_000 + b"\n\n"),
    "an event without end": piece(b"data: " + b"x" * (2 * MIB)),
    "a finish that is none": delta("", "error") + DONE,
    "a tool call that is none": piece(b'data: {"choices":[{"delta":{"tool_calls":[7]}}]}\n\n'),
}


@pytest.mark.parametrize("noise", BROKEN.values(), ids=BROKEN)
async def test_a_stream_that_turns_to_noise_ends_with_an_error_and_leaves_its_event(
    house: House, provider: OwnProvider, noise: bytes
) -> None:
    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + delta("Hi"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(noise + END)

    answer, event = await streamed(house, provider, play)
    events = [json.loads(part[6:]) for part in answer.text.split("\n\n") if part]
    assert events[0]["choices"][0]["delta"]["content"] == "Hi"
    assert events[-1]["error"]["reason"] == "provider_error"
    assert "[DONE]" not in answer.text
    assert (event.status, event.cost_usd.usd) == ("failed", 0)
    assert event.operator_cost_usd.usd > 0
    assert "call_crashed" not in house.output


@pytest.mark.parametrize("count", [10**13, 10**30, 1e30])
async def test_a_report_beyond_all_reason_is_charged_at_most_as_held(
    house: House, provider: OwnProvider, count: float
) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": 2 * count}

    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(whole("Hi", usage=usage))

    caller = await house.caller(token_limit=100_000)
    provider.play = play
    try:
        answer = await house.ask(caller, "Hi", model="echo", max_tokens=50)
    finally:
        provider.play = echo
    assert answer.status_code == 200
    [event] = await house.told(caller)
    assert event.decision is not None
    assert event.cost_usd == event.decision.bound_usd
    assert event.operator_cost_usd.usd > 0
    for _ in range(3):
        assert await house.open_money(caller) == (0, event.cost_usd.to_nano_ceiling())
        await asyncio.sleep(0.3)
    assert await house.metric("unsettled") == 0


ASKED: dict[str, dict[str, Any]] = {
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 16},
}
UNSAYABLE: dict[str, dict[str, Any]] = {
    "/v1/messages": {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
    "/v1/responses": {"role": "assistant", "content": "Hi", "annotations": 1},
}


@pytest.mark.parametrize("door", ASKED)
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
async def test_an_answer_that_cannot_be_said_in_another_dialect_is_a_broken_one(
    house: House, provider: OwnProvider, door: str, is_streamed: bool
) -> None:
    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        if is_streamed:
            odd = {"index": 0, "delta": {"content": "Hi", "annotations": 1}, "logprobs": {"content": [{}]}}
            calls = {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": None}}]}}
            chunks = [
                b"data: " + json.dumps({"id": "own-1", "choices": [one]}).encode() + b"\n\n" for one in (odd, calls)
            ]
            writer.write(STREAM_HEAD + b"".join(map(piece, chunks)) + delta("", "stop") + USAGE + DONE + END)
        else:
            writer.write(whole("", choices=[{"index": 0, "message": UNSAYABLE[door], "finish_reason": "stop"}]))

    caller, crashes = await house.caller(), house.output.count("call_crashed")
    provider.play = play
    try:
        body = {"model": "echo", "stream": is_streamed, **ASKED[door]}
        answer = await house.http.post(door, json=body, headers=caller.headers)
    finally:
        provider.play = echo
    [event] = await house.told(caller)
    assert house.output.count("call_crashed") == crashes
    assert await house.open_money(caller) == (0, event.cost_usd.to_nano_ceiling())
    if not is_streamed:
        assert (answer.status_code, event.status, event.http_status) == (502, "failed", 502)
        assert event.error.reason == "provider_error"
    elif door == "/v1/responses":
        assert "response.failed" in answer.text
        assert event.status == "failed"


async def test_an_answer_larger_than_allowed_is_broken_off(house: House, provider: OwnProvider) -> None:
    async def play(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(whole("x" * (5 * MIB)))

    caller = await house.caller()
    provider.play = play
    try:
        answer = await house.ask(caller, "Hi", model="echo")
    finally:
        provider.play = echo
    assert (answer.status_code, answer.json()["error"]["reason"]) == (502, "provider_error")


async def test_a_fallback_s_answer_names_only_who_answered(house: House) -> None:
    caller = await house.caller()
    # A call that works ends the rest that earlier tests' failures may have sent the first deployment to.
    assert (await house.ask(await house.caller())).status_code == 200
    async with httpx2.AsyncClient(base_url=house.environment["SIMULATOR_URL"]) as control:
        fault = {"provider": "openai", "count": 1, "directives": {"malformed_at": 1}}
        await control.post("/control/faults", json=fault)
        answer = await house.ask(caller, model="with-fallback")
        await control.delete("/control/faults")
    assert answer.status_code == 200
    assert answer.headers.get_list("x-tollgate-provider") == ["groq"]
    assert answer.headers.get_list("x-tollgate-model") == ["llama-3.3-70b-versatile"]
    assert len(answer.headers.get_list("x-tollgate-max-tokens")) == 1
    [event] = await house.told(caller)
    assert [attempt.status for attempt in event.attempts] == ["failed", "completed"]
    assert event.operator_cost_usd.usd > 0
    assert (await house.open_money(caller))[0] == 0


class Slow:
    """A client over ASGI that says what it is told to, then nothing."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)

    async def receive(self) -> dict[str, Any]:
        if self.messages:
            return self.messages.pop(0)
        await asyncio.sleep(10)
        raise AssertionError

    async def send(self, message: Any) -> None:
        raise AssertionError

    def client(self) -> Client:
        return Client(
            {"headers": [], "path": CHAT, "query_string": b"", "extensions": {LINE: Line()}},
            self.receive,
            self.send,
            "req-1",
        )


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize("said", [[], [part(b"{")], [part(b"{"), part(b"")]])
async def test_a_body_that_does_not_come_is_given_up(said: list[dict[str, Any]]) -> None:
    with pytest.raises(Refusal) as refusal:
        await Slow(*said).client().body(100, 0.05)
    assert refusal.value.reason == "invalid_request"
    assert "0.05 s" in refusal.value.detail


async def test_a_body_comes_in_any_number_of_parts() -> None:
    assert await Slow(part(b"abc", more=False)).client().body(3, 1) == b"abc"
    assert await Slow(part(b"a"), part(b"b"), part(b"c", more=False)).client().body(3, 1) == b"abc"


@pytest.mark.parametrize("said", [[part(b"abcd", more=False)], [part(b"ab"), part(b"cd")], [part(b"abcd")]])
async def test_a_body_is_bounded_however_it_comes(said: list[dict[str, Any]]) -> None:
    with pytest.raises(Refusal) as refusal:
        await Slow(*said).client().body(3, 1)
    assert (refusal.value.reason, refusal.value.detail) == ("request_too_large", "3")


async def test_a_client_that_leaves_midway_is_gone() -> None:
    with pytest.raises(ClientGone):
        await Slow(part(b"ab"), {"type": "http.disconnect"}).client().body(3, 1)


async def test_work_for_a_client_that_does_not_read_ends() -> None:
    client = Slow().client()
    with pytest.raises(ClientGone), client.watch(0.05):
        await asyncio.sleep(5)
    assert client.is_gone


async def test_a_stop_from_elsewhere_is_no_hangup() -> None:
    async def work() -> None:
        with Slow().client().watch(5):
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
