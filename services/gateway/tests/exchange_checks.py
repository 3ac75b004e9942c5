"""What holds of every wire's exchanges, however the wire spells them: the checks that tests of recordings share."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from common.providers.registry import Wire as WireName
from common.usage import TOKEN_BUCKETS, Usage
from gateway.providers.languages import WIRES
from gateway.providers.wire import Answer, StreamDecoder
from hypothesis import strategies as st
from native import CREATED, decoded, folded, told
from recordings import Exchange
from wire_streams import shown

COUNT = st.none() | st.integers(-5, 10**14) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
"""What may stand where a count is expected."""


def named(these: list[Exchange]) -> Any:
    """A test for each exchange, under its name."""
    return pytest.mark.parametrize("exchange", [pytest.param(one, id=one.name) for one in these])


def in_pieces(text: str) -> list[str]:
    """A text, a few characters at a time."""
    return [text[start : start + 7] for start in range(0, len(text), 7)]


def answer_of(exchange: Exchange, wire: WireName | None = None) -> Answer:
    """What a wire makes of a recorded answer."""
    body = json.dumps(exchange.response).encode()
    return WIRES[wire or exchange.provider.wire].decode_response(body, exchange.provider, CREATED, "asked")


def folds_to_the_whole(exchange: Exchange, stream: bytes, wire: WireName | None = None) -> None:
    """A stream of the answer is the answer, wherever its bytes are cut."""
    answer, draw = answer_of(exchange, wire), random.Random(exchange.name)
    for count in (0, 3, 50):
        cuts = [draw.randrange(len(stream)) for _ in range(count)]
        seen, decoder = decoded(exchange.provider, stream, cuts=cuts, wire=wire)
        assert decoder.failure is None
        assert folded(seen) == told(answer.body)
        usage = decoder.usage()
        assert usage is not None
        assert usage == answer.usage


def is_the_same_however_cut(exchange: Exchange, wire: WireName | None = None) -> StreamDecoder:
    """A recorded stream is whole, tells one story under one identity, and the same wherever its bytes are cut."""
    assert exchange.stream is not None
    stream, draw = exchange.stream.encode(), random.Random(exchange.name)
    once, decoder = decoded(exchange.provider, stream, wants_usage=True, wire=wire)
    assert decoder.failure is None
    assert folded(once)["finish_reason"] == decoder.finish_reason
    assert decoder.usage() is not None
    assert len({(one["id"], one["created"], one["model"]) for one in shown(once)}) == 1
    assert all(one["usage"] is None for one in shown(once))
    for count in (3, 40):
        cuts = [draw.randrange(len(stream)) for _ in range(count)]
        assert decoded(exchange.provider, stream, cuts=cuts, wants_usage=True, wire=wire)[0] == once
    return decoder


def never_looks_complete(exchange: Exchange, ending: bytes, wire: WireName | None = None) -> list[StreamDecoder]:
    """A stream that breaks off anywhere before `ending` fails, and no chunk of it says that it has ended."""
    assert exchange.stream is not None
    stream = exchange.stream.encode()
    broken = []
    for place in random.Random(exchange.name).sample(range(stream.index(ending)), 8):
        seen, decoder = decoded(exchange.provider, stream[:place], wire=wire)
        assert decoder.failure is not None
        assert all(choice["finish_reason"] is None for one in shown(seen) for choice in one["choices"])
        broken.append(decoder)
    return broken


def has_no_negative_bucket(usage: Usage | None) -> None:
    """Whatever was reported, nothing is counted below nothing."""
    if usage is not None:
        assert all(getattr(usage, bucket) >= 0 for bucket in TOKEN_BUCKETS)
        assert all(count >= 0 for count in usage.units.values())
