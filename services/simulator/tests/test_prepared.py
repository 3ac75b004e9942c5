"""What is remembered of requests, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from simulator.faults import checked
from simulator.prepared import LONGEST_ANSWER, LONGEST_REQUEST, MOST_KEPT, Prepared, PreparedRequests
from simulator.prompts import Prompt

PROMPT = Prompt(provider="openai", model="m", conversation="c", question="q", prompt_tokens=1)


def prepared(directives: dict[str, Any] | None = None, **members: Any) -> Prepared:
    return Prepared(PROMPT, checked(directives or {}), **members)


def test_a_request_is_remembered_for_its_own_provider() -> None:
    requests, one = PreparedRequests(), prepared()
    requests.keep("openai", b"{}", one)
    assert requests.get("openai", b"{}") is one
    assert requests.get("groq", b"{}") is None


@pytest.mark.parametrize(
    ("body", "one"),
    [
        (b"x" * (LONGEST_REQUEST + 1), prepared()),
        (b"{}", prepared(body=b"x" * (LONGEST_ANSWER + 1))),
        (b"{}", prepared({"echo": "headers"})),
        (b"{}", prepared(is_ruled=True)),
    ],
)
def test_what_is_long_or_depends_on_more_is_not_remembered(body: bytes, one: Prepared) -> None:
    requests = PreparedRequests()
    requests.keep("openai", body, one)
    assert requests.get("openai", body) is None


def test_no_more_than_the_bound_is_remembered() -> None:
    requests = PreparedRequests()
    bodies = [b"%d" % number for number in range(3 * MOST_KEPT)]
    for body in bodies:
        requests.keep("openai", body, prepared())
    assert sum(requests.get("openai", body) is not None for body in bodies) <= MOST_KEPT
    assert requests.get("openai", bodies[-1]) is not None
