"""What a client may ask for: bad input is refused by the name of its field, everything else passes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from gateway.api.chat import ChatRequest, parse_chat
from gateway.shapes import Refusal, refusal_answer
from hypothesis import given
from hypothesis import strategies as st

GOOD: dict[str, Any] = {"model": "gpt-4", "messages": [{"role": "user", "content": "Hi"}]}
DEEP = 100_000


def asked(**members: Any) -> ChatRequest:
    """A request with these members besides model and messages, as it is read."""
    return parse_chat(json.dumps({**GOOD, **members}).encode())


def refused(body: bytes) -> tuple[str | None, str]:
    """The parameter and the words by which a body is refused."""
    with pytest.raises(Refusal) as refusal:
        parse_chat(body)
    assert refusal.value.reason == "invalid_request"
    answer = refusal_answer(refusal.value)
    assert answer.status == 400
    assert (b"x-should-retry", b"false") in answer.headers
    return refusal.value.param, refusal.value.detail


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"model": "x" * 257}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": 1, "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [GOOD["messages"][0], {"role": "user", "content": 7}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 10**400}, "max_tokens"),
        ({"max_completion_tokens": 10**9}, "max_completion_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": "2"}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": "no"}}, "stream_options.include_usage"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"tools": {"a": 1}}, "tools"),
        ({"metadata": "x"}, "metadata"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_a_wrong_value_is_refused_by_its_name(members: dict[str, Any], param: str) -> None:
    assert refused(json.dumps({**GOOD, **members}).encode())[0] == param


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_member_is_refused_by_its_name(name: str) -> None:
    body = {member: value for member, value in GOOD.items() if member != name}
    param, words = refused(json.dumps(body).encode())
    assert param == name
    assert words.startswith(f"{name}: ")


TEXT = json.dumps(GOOD)[:-1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"Hello", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"null", "Expected `object`"),
        (b"[]", "Expected `object`"),
        (b"7", "Expected `object`"),
        (TEXT.encode(), "not valid JSON"),
        (f"{TEXT}}} and more".encode(), "not valid JSON"),
        (f'{TEXT},"seed":NaN}}'.encode(), "not valid JSON"),
        (f'{TEXT},"temperature":Infinity}}'.encode(), "not valid JSON"),
        (f'{TEXT},"user":"\\ud800"}}'.encode(), "not valid JSON"),
        (f'{TEXT},"user":"'.encode() + b'\xff"}', "not valid UTF-8"),
        (f'{TEXT},"user":"'.encode() + b'\xed\xa0\x80"}', "not valid UTF-8"),
        (f'{TEXT},"\xff":1}}'.encode("latin-1"), "not valid UTF-8"),
        (b"\xef\xbb\xbf" + TEXT.encode() + b"}", "not valid JSON"),
        (f"{TEXT},}}".encode(), "not valid JSON"),
        (f"{TEXT},'a':1}}".encode(), "not valid JSON"),
        (TEXT.encode() + b',"a":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
        (TEXT.encode() + b',"a":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", "nested too deeply"),
        (TEXT.encode() + b',"a":' + b"[" * DEEP, "nested too deeply"),
        (TEXT.encode() + b',"stream_options":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}", "nested too deeply"),
        (TEXT.encode() + b',"tools":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
    ],
    ids=lambda value: repr(value[:20]) + str(len(value)) if isinstance(value, bytes) else "",
)
def test_what_is_no_body_is_refused_with_words(body: bytes, words: str) -> None:
    param, said = refused(body)
    assert words in said
    assert param is None
    assert "Hi" not in said


@given(st.binary(max_size=80))
def test_no_bytes_do_worse_than_a_refusal(noise: bytes) -> None:
    for body in (noise, TEXT.encode() + b',"user":' + noise + b"}", TEXT.encode()[: len(noise)] + noise):
        with suppress(Refusal):
            parse_chat(body)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(st.dictionaries(st.text(min_size=1, max_size=12).map("x_{}".format), JSON, max_size=4))
def test_unknown_members_pass_as_the_bytes_they_came_in(extra: dict[str, Any]) -> None:
    body = json.dumps({**GOOD, **extra}, ensure_ascii=False)
    request = parse_chat(body.encode())
    assert list(request.members) == [*GOOD, *extra]
    for name, value in extra.items():
        assert bytes(request.members[name]) == json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"format": "wav", "data": "AAAA"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f-1"}}], "name": "ann"},
        {"role": "user", "content": [{"type": "of_tomorrow", "anything": [1]}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {}}]},
        {"role": "assistant", "tool_calls": [], "refusal": None},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "tool", "tool_call_id": "a", "content": "3"},
        {"role": "function", "name": "f", "content": "3"},
    ],
)
def test_every_kind_of_message_passes(message: dict[str, Any]) -> None:
    assert asked(messages=[message]).model == "gpt-4"


def test_nulls_are_as_absent() -> None:
    names = ("stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "temperature", "tools", "metadata")
    request = asked(**dict.fromkeys(names))
    assert (request.streamed, request.wants_usage, request.output_tokens, request.choices) == (False, False, None, 1)


def test_what_the_gateway_needs_is_read() -> None:
    request = asked(stream=True, stream_options={"include_usage": True}, max_completion_tokens=9, n=3)
    assert (request.streamed, request.wants_usage, request.output_tokens, request.choices) == (True, True, 9, 3)
    assert asked(max_tokens=5).output_tokens == 5


def test_of_a_member_given_twice_the_last_counts_and_is_the_one_that_is_sent() -> None:
    first = b'{"model":"a","messages":[{"role":"user"}],"mod\\u0065l":"b",'
    request = parse_chat(first + json.dumps(GOOD["messages"]).join(['"messages":', "}"]).encode())
    assert request.model == "b"
    assert json.loads(bytes(request.members["model"])) == "b"
    assert json.loads(bytes(request.members["messages"])) == GOOD["messages"]


def test_pictures_are_counted_by_number_and_not_by_their_bytes() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    document = {"type": "file", "file": {"file_data": "B" * 10_000}}
    request = asked(messages=[{"role": "user", "content": [picture, picture, document]}])
    assert (request.attachments, request.is_open) == (2, True)
    assert 10_000 < request.text_bytes < 10_500


def test_every_byte_of_text_counts() -> None:
    body = json.dumps({**GOOD, "tools": [{"type": "function"}]}).encode()
    assert parse_chat(body).text_bytes == len(body)
    assert parse_chat(body).attachments == 0
