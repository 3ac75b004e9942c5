"""The same seed is the same round; another is another."""

from __future__ import annotations

import json

from .workload import orders_of

KEYS = ["a", "b", "c"]


def test_a_seed_gives_the_same_orders_again() -> None:
    assert orders_of(7, 50, 5.0, KEYS) == orders_of(7, 50, 5.0, KEYS)
    assert orders_of(7, 50, 5.0, KEYS) != orders_of(8, 50, 5.0, KEYS)


def test_the_orders_have_something_of_everything() -> None:
    orders = orders_of(1, 400, 10.0, KEYS)
    assert {order.key for order in orders} == set(KEYS)
    assert {order.gateway for order in orders} == {0, 1}
    assert {order.streamed for order in orders} == {True, False}
    assert any(order.hang_up_after == 0 for order in orders)
    assert any(order.hang_up_after for order in orders)
    assert any(order.max_tokens is None for order in orders)
    assert max(order.at_seconds for order in orders) < 10.0


def test_every_call_asks_for_an_answer_under_its_own_name() -> None:
    orders = orders_of(1, 400, 10.0, KEYS)
    assert len({order.marker for order in orders}) == 400
    for order in orders:
        body = json.loads(order.body())
        assert order.marker in body["messages"][0]["content"]
        assert body.get("max_tokens") == order.max_tokens
