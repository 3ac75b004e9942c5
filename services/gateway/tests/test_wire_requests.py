"""The `openai` wire's requests: the client's bytes, with what the gateway must set in its place."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from common.providers.registry import MAX_TOKENS_ONLY, NO_STREAM_OPTIONS, PROVIDERS, ProviderRow
from gateway.providers.wires.openai import encode_request
from hypothesis import given
from hypothesis import strategies as st

OPENAI, GROQ, MISTRAL = PROVIDERS["openai"], PROVIDERS["groq"], PROVIDERS["mistral"]
SET = {"model", "max_tokens", "max_completion_tokens", "stream_options", "drop_params"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def members(body: bytes) -> dict[str, msgspec.Raw]:
    """A body as the front door hands it on."""
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


def sent(body: bytes, provider: ProviderRow = OPENAI, *, streamed: bool = False) -> bytes:
    """What a provider gets of a body, with 7 output tokens of model `real-name`."""
    return encode_request(members(body), provider, "real-name", 7, streamed).body


@given(st.dictionaries(st.text(max_size=8).filter(lambda name: name not in SET), JSON, max_size=6), st.booleans())
def test_other_members_keep_their_bytes_and_order(others: dict[str, Any], is_ascii: bool) -> None:
    given = {"model": "alias", **others}
    encoded = {name: json.dumps(value, ensure_ascii=is_ascii) for name, value in given.items()}
    body = "{" + ", ".join(f"{json.dumps(name)} : {value}" for name, value in encoded.items()) + "}"
    got = members(sent(body.encode()))
    assert list(got) == [*given, "max_completion_tokens"]
    for name in others:
        assert bytes(got[name]) == encoded[name].encode()
    assert bytes(got["model"]) == b'"real-name"'
    assert bytes(got["max_completion_tokens"]) == b"7"


def test_spelling_and_numbers_stay_as_the_client_wrote_them() -> None:
    body = rb'{"model":"a","temperature":0.10,"seed":123456789012345678901234567890,"x":"\u00e9\/","e":1E2}'
    assert sent(body) == body.replace(b'"a"', b'"real-name"')[:-1] + b',"max_completion_tokens":7}'


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "nothing"])
def test_each_provider_gets_its_own_name_of_the_output_limit(provider: ProviderRow, name: str) -> None:
    got = json.loads(sent(b'{"model":"a","%b":100}' % name.encode(), provider))
    known = "max_tokens" if MAX_TOKENS_ONLY in provider.flags else "max_completion_tokens"
    assert {key: got.get(key) for key in ("max_tokens", "max_completion_tokens")} == {
        "max_tokens": None,
        "max_completion_tokens": None,
        known: 7,
    }


def test_what_is_set_stays_in_its_place() -> None:
    body = b'{"stream_options":{},"max_completion_tokens":100,"model":"a","seed":1}'
    assert list(json.loads(sent(body, streamed=True))) == ["stream_options", "max_completion_tokens", "model", "seed"]


def test_an_output_limit_of_null_is_replaced() -> None:
    assert json.loads(sent(b'{"model":"a","max_completion_tokens":null}')) == {
        "model": "real-name",
        "max_completion_tokens": 7,
    }


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (b"", {"include_usage": True}),
        (b',"stream_options":null', {"include_usage": True}),
        (b',"stream_options":{"include_usage":false}', {"include_usage": True}),
        (b',"stream_options":{"include_obfuscation":false}', {"include_obfuscation": False, "include_usage": True}),
        (b',"stream_options":[1]', {"include_usage": True}),
    ],
)
def test_usage_is_always_asked_for_in_a_stream(options: bytes, asked: dict[str, bool]) -> None:
    body = b'{"model":"a"%b}' % options
    assert json.loads(sent(body, streamed=True))["stream_options"] == asked
    assert "stream_options" not in json.loads(sent(body, streamed=False))


def test_stream_options_that_cannot_be_read_are_left_out_rather_than_fail_a_call_that_holds_money() -> None:
    deep = msgspec.Raw(b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}")
    body = encode_request({"model": msgspec.Raw(b'"a"'), "stream_options": deep}, OPENAI, "real-name", 7, True).body
    assert json.loads(body)["stream_options"] == {"include_usage": True}


def test_a_provider_that_refuses_stream_options_gets_none() -> None:
    assert NO_STREAM_OPTIONS in MISTRAL.flags
    assert "stream_options" not in json.loads(sent(b'{"model":"a","stream_options":{}}', MISTRAL, streamed=True))


def test_members_that_are_ours_do_not_reach_the_provider() -> None:
    assert "drop_params" not in json.loads(sent(b'{"model":"a","drop_params":false}'))


def test_of_a_member_given_twice_the_one_that_was_checked_is_sent() -> None:
    assert json.loads(sent(b'{"model":"a","seed":1,"seed":2}'))["seed"] == 2


def test_a_model_name_is_escaped() -> None:
    body = encode_request(members(b'{"model":"a"}'), GROQ, 'o"dd\n', 7, False).body
    assert json.loads(body)["model"] == 'o"dd\n'
