"""The harness in small: a whole stack, one kind of fault, all promises."""

from __future__ import annotations

from .play import play


def test_the_promises_hold_while_postgres_is_killed_twice() -> None:
    outcomes, notes = play(seeds=[1], calls=80, seconds=4.0, names=["postgres killed"])
    assert notes == []
    [outcome] = outcomes
    assert outcome.broken == {}
    assert outcome.calls == 80
    assert outcome.complete > 10
    assert outcome.events >= outcome.complete
