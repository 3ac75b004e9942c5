"""Upper bounds of what a call can use, before it is made. Pure.

An upper bound is no guess: a budget is never overspent only if it never lies below the truth. Tokens of a byte-level
vocabulary are at least one byte each, so the bytes of what is sent bound its tokens; a picture is bounded by the most that
its model makes of one, sound by the longest that its bytes can last; what a provider may add itself (pages of a document,
what it searches for, files that it keeps), and everything else, by the model's context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from common.pricing import Price, units_bound_nano, upper_bound_nano
from common.readings import PLAIN, Reading

DEFAULT_OUTPUT_TOKENS = 4_096
"""What a call may produce when it does not say and neither model nor budget allow less."""

OPEN_TOKENS = 1_048_576
"""What is read at most where nobody knows what is read, nor how long the model's context is."""

_LIKELY_BYTES_PER_TOKEN = 3
_LEAST_DEFAULT_TOKENS = 16


class Bound(NamedTuple):
    """The most that an attempt can use and cost."""

    input_tokens: int
    output_tokens: int
    input_nano: int
    nano_per_million_output: int


FREE = Bound(0, 0, 0, 0)
"""The bound of what asks nobody."""


def input_bound(
    text_bytes: int,
    pictures: int,
    context_length: int | None,
    reading: Reading = PLAIN,
    *,
    is_open: bool = False,
) -> int:
    """The most input tokens a body of so many bytes (its pictures' own left out) can be. `is_open`: the provider may read
    what is not in it, so that only the context bounds it. The context is of one reading: who searches reads several
    times, and what that comes to beyond it nobody can know before."""
    if is_open or reading.is_open:
        return context_length or OPEN_TOKENS
    tokens = text_bytes + pictures * reading.picture_tokens + reading.added_tokens
    return min(tokens, context_length) if context_length else tokens


def default_output(
    text_bytes: int, max_output: int | None, context_length: int | None, minute_tokens: int | None = None
) -> int:
    """The output maximum that is sent when the call names none: the least of the model's own and 4,096, what its
    context has left after an input of this size (a provider refuses a maximum that cannot fit), and what the key's
    tokens a minute leave each choice: a call that could never be admitted would be refused for ever."""
    most = min(max_output or DEFAULT_OUTPUT_TOKENS, DEFAULT_OUTPUT_TOKENS)
    if context_length:
        most = min(most, max(_LEAST_DEFAULT_TOKENS, context_length - text_bytes // _LIKELY_BYTES_PER_TOKEN - 64))
    if minute_tokens is not None:
        most = min(most, max(_LEAST_DEFAULT_TOKENS, minute_tokens))
    return most


def bound(
    price: Price, input_tokens: int, output_tokens: int, choices: int, units: Mapping[str, int] | None = None
) -> Bound:
    """The bound of one attempt at a price; every choice may use the whole output maximum. `units`: the most of what is
    counted otherwise (images, seconds), by name; they stand with the input, since no budget can cut them."""
    return Bound(
        input_tokens,
        output_tokens,
        upper_bound_nano(price, input_tokens, 0) + (units_bound_nano(price, units) if units else 0),
        price.ceiling.output_nano * choices,
    )
