"""What providers really send, through the wire: all of it is read, counted and shown, or refused for a reason."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from common.usage import TOKEN_BUCKETS, Usage
from gateway.api.chat import parse_chat
from gateway.providers.errors import ProviderFailed
from gateway.providers.wires.openai import decode_error, decode_response, encode_request
from recordings import Exchange, exchanges
from wire_streams import decode, fold, shown

ALL = exchanges()
WHOLE = [one for one in ALL if one.status == 200 and one.stream is None and "choices" in one.response]
STREAMS = [one for one in ALL if one.stream is not None]
REFUSED = [one for one in ALL if one.status != 200]
MISPLACED = [one for one in ALL if one.status == 200 and one.stream is None and "choices" not in one.response]

PROVIDERS_SEEN = {"openai", "groq", "mistral", "openrouter", "deepseek", "together"}


def named(these: list[Exchange]) -> Any:
    """A test for each exchange, under its name."""
    return pytest.mark.parametrize("exchange", [pytest.param(one, id=one.name) for one in these])


def check_usage(usage: Usage | None, raw: dict[str, Any]) -> None:
    """The buckets are disjoint, and their sum is what the provider says."""
    assert usage is not None
    assert all(getattr(usage, bucket) >= 0 for bucket in TOKEN_BUCKETS)
    assert usage.total_tokens == raw["total_tokens"]
    cached = (raw.get("prompt_tokens_details") or {}).get("cached_tokens") or raw.get("cached_tokens") or 0
    assert usage.cached_input_tokens == min(cached, usage.prompt_tokens)


def test_each_provider_is_seen_in_every_way() -> None:
    for these in (WHOLE, STREAMS, REFUSED):
        assert {one.name.split()[0] for one in these} >= PROVIDERS_SEEN - ({"together"} if these is REFUSED else set())


@named(WHOLE)
def test_a_whole_answer_is_read(exchange: Exchange) -> None:
    body = json.dumps(exchange.response).encode()
    answer = decode_response(body, exchange.provider)
    check_usage(answer.usage, exchange.response["usage"])
    read = json.loads(answer.body)
    reasons = {choice.pop("finish_reason") for choice in read["choices"]}
    assert reasons <= {"stop", "length", "tool_calls", "content_filter", "function_call"}
    expected = json.loads(json.dumps(exchange.response))
    for shown_choice, choice in zip(read["choices"], expected["choices"], strict=True):
        choice.pop("finish_reason", None)
        if isinstance(choice["message"].get("content"), list):
            assert isinstance(shown_choice["message"].pop("content"), str)
            assert shown_choice["message"].pop("reasoning_content")
            del choice["message"]["content"]
        for call in choice["message"].get("tool_calls") or ():
            call.setdefault("type", "function")
    tier = read.pop("service_tier", None)
    assert tier == expected.pop("service_tier", None) or tier == "default"
    assert read == expected


def chunks_in(stream: str) -> list[dict[str, Any]]:
    """The objects in a stream, read the plainest way."""
    lines = [line[5:].strip() for line in stream.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@named(STREAMS)
@pytest.mark.parametrize("wants_usage", [False, True])
def test_a_stream_is_shown_whole_or_fails_for_the_reason_in_it(exchange: Exchange, wants_usage: bool) -> None:
    assert exchange.stream is not None
    told = chunks_in(exchange.stream)
    seen, decoder = decode(exchange.stream.encode(), wants_usage=wants_usage, provider=exchange.provider)
    has_failed = any(one.get("error") for one in told) or "insufficient_system_resource" in exchange.stream
    assert (decoder.failure is not None) == has_failed
    reports = [one["usage"] for one in told if one.get("usage")]
    assert decoder.raw_usage == (reports[-1] if reports else None)
    if reports:
        check_usage(decoder.usage(), reports[-1])
    folded = fold(shown(seen))
    if not has_failed:
        texts = [one for one in told if isinstance(_first_delta(one).get("content"), str | None)]
        expected = fold(texts)
        assert [choice["tool_calls"] for choice in folded] == [choice["tool_calls"] for choice in expected]
        assert all(choice["finish_reason"] for choice in folded)
        if len(texts) == len(told):
            assert [choice["content"] for choice in folded] == [choice["content"] for choice in expected]
    assert all(one.get("usage", "absent") == (None if wants_usage else "absent") for one in shown(seen))


def _first_delta(one: dict[str, Any]) -> dict[str, Any]:
    choices = one.get("choices") or [{}]
    return choices[0].get("delta") or {}


@named(STREAMS)
def test_a_stream_is_the_same_however_it_is_cut(exchange: Exchange) -> None:
    assert exchange.stream is not None
    stream = exchange.stream.encode()
    draw = random.Random(exchange.name)
    once, whole = decode(stream, provider=exchange.provider)
    for count in (3, 40):
        cuts = [draw.randrange(len(stream)) for _ in range(count)]
        seen, decoder = decode(stream, cuts=cuts, provider=exchange.provider)
        assert seen == once
        assert (decoder.usage(), decoder.delivered_tokens()) == (whole.usage(), whole.delivered_tokens())


@named(STREAMS)
def test_a_cut_stream_never_looks_complete(exchange: Exchange) -> None:
    assert exchange.stream is not None
    stream = exchange.stream.encode()
    ends = [place for place in range(len(stream)) if b'"finish_reason":"' not in stream[:place].replace(b" ", b"")]
    for place in random.Random(exchange.name).sample(ends, min(8, len(ends))):
        assert decode(stream[:place], provider=exchange.provider)[1].failure is not None


@named(REFUSED)
def test_a_refusal_keeps_its_status_and_words(exchange: Exchange) -> None:
    failed = decode_error(exchange.status, json.dumps(exchange.response).encode(), exchange.provider, None)
    error = exchange.response.get("error", exchange.response)
    assert failed.status == exchange.status
    assert failed.client_status == (502 if exchange.status in (401, 403) else exchange.status)
    if failed.failure != "auth" and isinstance(error.get("message"), str):
        assert failed.message == error["message"]
        assert failed.code == (error["code"] if isinstance(error.get("code"), str) else None)


@named(MISPLACED)
def test_an_error_in_place_of_an_answer_is_one(exchange: Exchange) -> None:
    with pytest.raises(ProviderFailed) as failed:
        decode_response(json.dumps(exchange.response).encode(), exchange.provider)
    assert failed.value.message == exchange.response["error"]["message"]


@named([one for one in ALL if one.request and one.request.get("n") != 0])
def test_what_clients_asked_passes_unchanged(exchange: Exchange) -> None:
    body = json.dumps(exchange.request).encode()
    request = parse_chat(body)
    sent = json.loads(encode_request(request.members, exchange.provider, request.model, 7, True).body)
    ours = {"max_tokens", "max_completion_tokens", "stream_options"}
    assert {name: value for name, value in sent.items() if name not in ours} == {
        name: value for name, value in exchange.request.items() if name not in ours
    }
