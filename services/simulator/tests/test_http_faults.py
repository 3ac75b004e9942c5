"""Every directive over real HTTP: the answer misbehaves as ordered, and the record says what really happened."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest


def call(caller: Any, name: str, directives: str, **members: Any) -> httpx2.Response:
    response: httpx2.Response = caller.chat(
        f"[[simulate {directives}]]", headers={"x-client-request-id": name}, **members
    )
    return response


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("streamed", [False, True])
def test_status_is_answered_in_the_providers_shape(caller: Any, status: int, streamed: bool) -> None:
    response = call(caller, f"status-{status}-{streamed}", f"status={status}", stream=streamed)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    record = caller.ended(f"status-{status}-{streamed}")
    assert (record["status"], record["complete"], record["prompt_tokens"]) == (status, False, 0)


def test_retry_after_code_and_type_are_sent(caller: Any) -> None:
    response = call(caller, "429", "status=429 retry_after=1.2 code=insufficient_quota error_type=quota")
    assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("2", "1200")
    assert (response.json()["error"]["code"], response.json()["error"]["type"]) == ("insufficient_quota", "quota")


def test_the_sdk_obeys_retry_after(caller: Any) -> None:
    rule = {"provider": "openai", "model": "retried", "count": 1, "directives": {"status": 429, "retry_after": 0.3}}
    assert caller.http.post("/control/faults", json=rule).status_code == 201
    sdk = openai.OpenAI(api_key="sim-ok-1", base_url=f"{caller.url}/openai/v1", max_retries=1)
    began = time.monotonic()
    sdk.chat.completions.create(model="retried", messages=[{"role": "user", "content": "Hi"}])
    assert time.monotonic() - began >= 0.3


def test_a_missing_model_can_be_named(caller: Any) -> None:
    assert call(caller, "m", "missing_model=gpt-4").json()["error"]["code"] == "model_not_found"
    assert call(caller, "m", "missing_model=gpt-5").status_code == 200


def test_an_unknown_directive_is_refused(caller: Any) -> None:
    response = call(caller, "u", "sttaus=500")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "unknown_directive")
    assert "sttaus" in response.json()["error"]["message"]


def test_more_chunks_than_a_process_should_hold_are_refused(caller: Any) -> None:
    assert call(caller, "many", "tokens=150000", n=2).json()["error"]["code"] == "unknown_directive"
    assert call(caller, "many", "tokens=150000").json()["usage"]["completion_tokens"] == 150_000


@pytest.mark.parametrize("streamed", [False, True])
def test_the_first_byte_waits(caller: Any, streamed: bool) -> None:
    began = time.monotonic()
    assert call(caller, "f", "first_byte_ms=300", stream=streamed).status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("streamed", [False, True])
def test_a_held_call_is_answered_once_it_is_released(caller: Any, streamed: bool) -> None:
    gate = f"gate-{streamed}"
    with ThreadPoolExecutor(2) as threads:
        held = [threads.submit(call, caller, f"{gate}-{number}", f"held={gate}", stream=streamed) for number in "12"]
        with pytest.raises(TimeoutError):
            held[0].result(0.3)
        assert not held[1].done()
        assert caller.http.post("/control/releases", json={"name": gate}).status_code == 201
        assert [answer.result(20).status_code for answer in held] == [200, 200]
    assert call(caller, f"{gate}-3", f"held={gate}", stream=streamed).status_code == 200


def test_a_slow_failure_waits_too(caller: Any) -> None:
    began = time.monotonic()
    assert call(caller, "f", "first_byte_ms=200 status=500").status_code == 500
    assert time.monotonic() - began >= 0.2


def test_chunks_wait_for_each_other(caller: Any) -> None:
    began = time.monotonic()
    chunks = caller.chunks("[[simulate tokens=8 chunk_ms=25]]")
    assert len(chunks) == 10
    assert time.monotonic() - began >= 9 * 0.025


def test_token_counts_are_as_ordered(caller: Any) -> None:
    told = "tokens=7 prompt_tokens=100 cached_tokens=60 cache_write_tokens=30 reasoning_tokens=5"
    usage = call(caller, "t", told).json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (100, 12, 112)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 60, "audio_tokens": 0, "cache_write_tokens": 30}
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 5
    record = caller.ended("t")
    assert (record["prompt_tokens"], record["completion_tokens"]) == (100, 12)
    assert (record["cached_tokens"], record["reasoning_tokens"]) == (60, 5)


@pytest.mark.parametrize("cut", [0, 1, 4])
def test_a_cut_stream_ends_with_its_connection(caller: Any, cut: int) -> None:
    headers_id = f"cut-{cut}"
    caller.http.headers["x-client-request-id"] = headers_id
    received, is_broken = caller.raw(f"[[simulate tokens=9 cut_after={cut}]]")
    del caller.http.headers["x-client-request-id"]
    assert is_broken
    assert received.count(b"data: {") == cut
    assert b"[DONE]" not in received
    record = caller.ended(headers_id)
    assert (record["sent_chunks"], record["complete"], record["disconnected"]) == (cut, False, False)
    assert (record["completion_tokens"], record["reported_usage"]) == (max(0, cut - 1), False)


def test_a_cut_whole_answer_is_shorter_than_it_said(caller: Any) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        call(caller, "cut-whole", "cut_after=20")
    assert caller.ended("cut-whole")["complete"] is False


def test_a_dropped_call_gets_nothing(caller: Any) -> None:
    with pytest.raises(httpx2.TransportError):
        call(caller, "dropped", "drop")
    record = caller.ended("dropped")
    assert (record["status"], record["complete"], record["completion_tokens"]) == (0, False, 0)


def test_a_stalled_stream_keeps_its_connection_and_then_closes_it(caller: Any) -> None:
    began = time.monotonic()
    received, is_broken = caller.raw("[[simulate stall_after=2 stall_ms=400]]")
    assert is_broken
    assert received.count(b"data: {") == 2
    assert time.monotonic() - began >= 0.4


def test_a_malformed_chunk_stands_among_good_ones(caller: Any) -> None:
    received, is_broken = caller.raw("[[simulate tokens=4 malformed_at=3]]")
    assert not is_broken
    events = [event.removeprefix(b"data: ") for event in received.split(b"\n\n") if event]
    with pytest.raises(json.JSONDecodeError):
        json.loads(events[2])
    assert all(json.loads(event) for event in [*events[:2], *events[3:-1]])
    assert events[-1] == b"[DONE]"


def test_a_malformed_whole_answer_is_not_json(caller: Any) -> None:
    response = call(caller, "bad-json", "malformed_at=1")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        response.json()
    assert caller.ended("bad-json")["complete"] is False


def test_usage_can_be_left_out(caller: Any) -> None:
    assert "usage" not in call(caller, "nu", "no_usage").json()
    streamed = call(caller, "nus", "no_usage", stream=True, stream_options={"include_usage": True})
    assert b"usage" not in streamed.content
    assert caller.ended("nu")["reported_usage"] is caller.ended("nus")["reported_usage"] is False
    assert caller.ended("nu")["completion_tokens"] > 0


def test_an_error_in_the_middle_is_raised_by_the_sdk(caller: Any) -> None:
    sdk = openai.OpenAI(api_key="sim-ok-1", base_url=f"{caller.url}/openai/v1", max_retries=0)
    user: Any = [{"role": "user", "content": "[[simulate tokens=9 error_at=4 status=503]]"}]
    stream = iter(sdk.chat.completions.create(model="gpt-4", messages=user, stream=True))
    seen = [next(stream) for _ in range(3)]
    assert all(chunk.choices for chunk in seen)
    with pytest.raises(openai.APIError) as error:
        next(stream)
    assert error.value.code == "slow_down"
    received, is_broken = caller.raw("[[simulate error_at=4]]")
    assert (is_broken, b"[DONE]" in received) == (False, False)


def test_a_stream_may_end_without_its_last_word(caller: Any) -> None:
    received, is_broken = caller.raw("[[simulate no_done tokens=2]]")
    assert not is_broken
    assert received.count(b"data: ") == 4
    assert b"[DONE]" not in received


@pytest.mark.parametrize("streamed", [False, True])
def test_html_is_answered_with_200(caller: Any, streamed: bool) -> None:
    response = call(caller, "html", "html", stream=streamed)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert response.text.startswith("<!DOCTYPE html>")


def test_a_line_may_be_big(caller: Any) -> None:
    chunks = caller.chunks("[[simulate tokens=3 big_line=300000]]")
    assert len(chunks[1]["padding"]) == 300_000
    assert len(call(caller, "big", "big_line=300000").content) > 300_000


def test_tool_calls_are_as_many_as_ordered(caller: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    message = call(caller, "tc", "tool_calls=3", tools=tools).json()["choices"][0]["message"]
    assert len({tool_call["id"] for tool_call in message["tool_calls"]}) == 3
    bare = call(caller, "tc", "tool_calls=1 no_arguments", tools=tools).json()["choices"][0]["message"]
    assert bare["tool_calls"][0]["function"]["arguments"] == ""


def test_the_first_chunk_may_have_no_choices(caller: Any) -> None:
    first, second, *_ = caller.chunks("[[simulate empty_choices_first]]")
    assert (first["choices"], first["id"]) == ([], "")
    assert second["choices"][0]["delta"]["role"] == "assistant"


def test_usage_may_come_with_every_chunk(caller: Any) -> None:
    chunks = caller.chunks("[[simulate tokens=3 usage_in_every_chunk]]", stream_options={"include_usage": True})
    assert [chunk["usage"]["completion_tokens"] for chunk in chunks] == [0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_recut_is_the_same_stream(caller: Any, size: int) -> None:
    plain = caller.chunks("[[simulate unicode tokens=5]]")
    recut = caller.chunks(f"[[simulate unicode tokens=5 split_bytes={size}]]")

    def said(chunks: list[dict[str, Any]]) -> list[Any]:
        return [chunk["choices"][0]["delta"] for chunk in chunks]

    assert said(plain)[1:-1] == [{"content": piece} for piece in ("Grüße", " aus", " Zürich", " —", " 東京")]
    assert said(recut) == said(plain)


def test_a_whole_answer_is_recut_too(caller: Any) -> None:
    assert call(caller, "sw", "split_bytes=5").json()["object"] == "chat.completion"


def test_lines_may_end_in_crlf(caller: Any) -> None:
    received, _ = caller.raw("[[simulate crlf tokens=3]]")
    assert received.count(b"\n") == received.count(b"\r\n") > 8
    assert received.endswith(b"\r\n\r\ndata: [DONE]\r\n\r\n")


def test_headers_are_echoed_by_name_only(caller: Any) -> None:
    response = caller.chat("[[simulate echo=headers]]", headers={"x-marker": "never-shown"})
    names = json.loads(response.json()["choices"][0]["message"]["content"])["headers"]
    assert {"authorization", "x-marker", "host"} <= set(names)
    assert "never-shown" not in response.text
    assert "sim-ok" not in response.text


def test_the_answer_may_name_another_model_and_finish(caller: Any) -> None:
    body = call(caller, "sm", "served_model=gpt-4-0613 finish=content_filter").json()
    assert (body["model"], body["choices"][0]["finish_reason"]) == ("gpt-4-0613", "content_filter")
    assert caller.ended("sm")["model"] == "gpt-4"


def test_coalesced_and_obfuscated_streams_say_the_same(caller: Any, started: Any) -> None:
    plain = [chunk["choices"] for chunk in caller.chunks("Count to 9")]
    assert [chunk["choices"] for chunk in caller.chunks("Count to 9 [[simulate coalesce]]")][1:] == plain[1:]
    obfuscated = caller.chunks("Count to 9 [[simulate obfuscation]]")
    assert all(chunk["obfuscation"] for chunk in obfuscated)
    assert [chunk["choices"] for chunk in started(SIMULATOR_COALESCE="1").chunks("Count to 9")] == plain


@pytest.mark.parametrize(("directive", "sends"), [("", 13), (" coalesce", 2)])
def test_each_chunk_is_a_send_of_its_own_unless_coalesced(caller: Any, directive: str, sends: int) -> None:
    content = f"[[simulate tokens=10{directive}]]"
    body = json.dumps({"model": "gpt-4", "messages": [{"role": "user", "content": content}], "stream": True})
    url = httpx2.URL(caller.url)
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        head = f"authorization: Bearer k\r\nconnection: close\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(f"POST /openai/v1/chat/completions HTTP/1.1\r\n{head}{body}".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    rest, lengths = received.partition(b"\r\n\r\n")[2], []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        lengths.append(int(size, 16))
        rest = rest[lengths[-1] + 2 :]
    assert lengths[-1] == 0
    assert len(lengths) - 1 == sends


def test_a_caller_that_hangs_up_stops_the_stream(caller: Any) -> None:
    content = "[[simulate tokens=500 chunk_ms=10]]"
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], "stream": True}
    headers = {"x-client-request-id": "hung-up"}
    with caller.http.stream("POST", "/openai/v1/chat/completions", json=body, headers=headers) as response:
        parts = response.iter_raw()
        received = b"".join(next(parts) for _ in range(5))
    left_at = time.monotonic()
    record = caller.ended("hung-up")
    assert time.monotonic() - left_at < 1
    assert (record["disconnected"], record["complete"], record["status"]) == (True, False, 200)
    assert received.count(b"data: ") <= record["sent_chunks"] < 60
    assert record["completion_tokens"] == record["sent_chunks"] - 1


@pytest.mark.parametrize("directives", ["first_byte_ms=30000", "held=for-good", "stall_after=2 stall_ms=30000"])
def test_a_caller_that_hangs_up_while_waiting_is_noticed_at_once(caller: Any, directives: str) -> None:
    name = directives.partition("=")[0]
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": f"[[simulate {directives}]]"}], "stream": True}
    with pytest.raises(httpx2.ReadTimeout):
        caller.http.post("/openai/v1/chat/completions", json=body, headers={"x-client-request-id": name}, timeout=0.3)
    left_at = time.monotonic()
    assert caller.ended(name)["disconnected"] is True
    assert time.monotonic() - left_at < 2
