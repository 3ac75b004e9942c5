"""Directives: how they are written, checked and merged; rules: whom they meet and when they are used up."""

from __future__ import annotations

import pytest
from simulator.faults import (
    NO_FAULTS,
    DirectiveError,
    FaultRule,
    FaultRules,
    checked,
    directives_in,
    without_directives,
)


def test_a_text_without_directives_has_none() -> None:
    assert directives_in("simulate [[nothing]]") == {}
    assert checked({}) is NO_FAULTS


def test_directives_are_read_anywhere_in_a_text() -> None:
    text = "before [[simulate status=429 retry_after=1.5 html]] after [[simulate tokens=3]]"
    assert directives_in(text) == {"status": "429", "retry_after": "1.5", "html": "true", "tokens": "3"}
    assert without_directives(text) == "before  after"


def test_values_get_the_types_of_their_directives() -> None:
    directives = checked({"status": "503", "retry_after": "2.5", "crlf": "1", "no_done": "false", "code": "x"})
    assert (directives.status, directives.retry_after, directives.crlf, directives.no_done, directives.code) == (
        503,
        2.5,
        True,
        False,
        "x",
    )


@pytest.mark.parametrize(
    "given",
    [
        {"stauts": "429"},
        {"status": "200"},
        {"tokens": "many"},
        {"chunk_ms": "600001"},
        {"split_bytes": "0"},
        {"echo": "key"},
    ],
)
def test_a_wrong_directive_is_refused_by_name(given: dict[str, str | int | float | bool]) -> None:
    with pytest.raises(DirectiveError, match=next(iter(given))):
        checked(given)


def test_a_rule_is_used_up_by_the_calls_it_meets() -> None:
    rules = FaultRules(frozenset({"openai"}))
    rules.add(FaultRule(provider="openai", model="gpt-4", count=2, directives={"status": 500}))
    assert rules.take("groq", "gpt-4") == {}
    assert rules.take("openai", "gpt-4o") == {}
    assert [rules.take("openai", "gpt-4") for _ in range(3)] == [{"status": 500}, {"status": 500}, {}]
    assert rules.listed() == []


def test_a_rule_for_every_provider_stays_until_it_is_cleared() -> None:
    rules = FaultRules(frozenset({"openai"}))
    rules.add(FaultRule(provider="*", directives={"tokens": 1}))
    assert [rules.take("openai", "a"), rules.take("groq", "b")] == [{"tokens": 1}] * 2
    rules.clear()
    assert rules.take("openai", "a") == {}


def test_a_rule_with_a_wrong_word_is_not_taken_in() -> None:
    rules = FaultRules(frozenset({"openai"}))
    for rule in (FaultRule(provider="opnai", directives={}), FaultRule(provider="openai", directives={"oops": 1})):
        with pytest.raises(DirectiveError):
            rules.add(rule)
    assert rules.listed() == []
