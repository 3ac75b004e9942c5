"""Gates: calls and orders in either order, and never more gates than a process should hold."""

from __future__ import annotations

from simulator.gates import MOST_GATES, Gates


def test_a_release_holds_for_who_waits_and_who_comes_later() -> None:
    gates = Gates()
    waiting = gates.gate("one")
    assert not waiting.is_set()
    gates.release("one")
    assert waiting.is_set()
    assert gates.gate("one").is_set()
    assert not gates.gate("two").is_set()


def test_the_oldest_gate_is_forgotten_past_the_most() -> None:
    gates = Gates()
    for number in range(MOST_GATES + 1):
        gates.release(str(number))
    assert gates.gate("1").is_set()
    assert not gates.gate("0").is_set()
