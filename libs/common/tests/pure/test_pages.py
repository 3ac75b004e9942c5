"""Cursors are opaque, come back as they were, and a foreign one is a bad request and never an error of ours."""

from __future__ import annotations

import base64
import json
from decimal import Decimal

import pytest
from common.errors import BadRequest
from common.http.pages import JsonNumber, Page, decode_cursor, encode_cursor
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel


@given(st.lists(st.text() | st.integers(), max_size=4))
def test_a_cursor_gives_back_its_position(position: list[str | int]) -> None:
    cursor = encode_cursor(*position)
    assert decode_cursor(cursor, len(position)) == position
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_other_text_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest, match="unknown cursor"):
        decode_cursor(text, 17)


def test_a_deeply_nested_cursor_is_a_bad_request() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(BadRequest, match="unknown cursor"):
        decode_cursor(deep, 1)


def test_a_cursor_of_another_list_is_a_bad_request_and_none_is_the_beginning() -> None:
    with pytest.raises(BadRequest):
        decode_cursor(encode_cursor("a", 1), 3)
    assert decode_cursor(None, 3) is None


def test_a_page_is_items_and_the_next_cursor() -> None:
    assert json.loads(Page[int](items=[1]).model_dump_json()) == {"items": [1], "next_cursor": None}


def test_a_number_that_a_public_shape_fixes_is_shown_as_one() -> None:
    class Shown(BaseModel):
        cost: JsonNumber

    assert Shown(cost=Decimal("0.10")).model_dump_json() == '{"cost":0.1}'
