"""Turns by rules, on audio time alone; `test_conversation` tells the rest of what they do."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import spoken

from rtkit.loopback.engines import Script
from rtkit.loopback.turns import Turns
from rtkit.reference import Reference
from rtkit.services.messages import Rules, Turn

RATE = 8000
TWO = spoken(("One", 0.1, 0.5), ("two.", 0.9, 1.2))


def told(script: Reference, rules: Rules, seconds: float) -> list[tuple[float, Turn]]:
    """What turns are told, and at which position, in chunks of 10 ms."""
    turns, engine, size = Turns(rules, 1), Script(script, RATE), RATE // 100
    found = []
    for position in range(size, round(seconds * RATE) + 1, size):
        decided = [one for sound in engine.hear(np.zeros(size, "<i2")) for one in turns.hear(sound)]
        decided += turns.reach(position / RATE)
        found += [(position / RATE, reply) for _, reply in decided if isinstance(reply, Turn)]
    return found


@pytest.mark.parametrize("semantic", [False, True])
def test_a_turn_may_be_taken_for_over_and_taken_up_again(semantic: bool) -> None:
    rules = Rules(RATE, "", "", semantic, min_silence=0.9, max_silence=0.9, eager=0.25)
    states = told(TWO, rules, 3.0)
    assert [(at, len(turn.words)) for at, turn in states if turn.eager] == [(0.75, 1), (1.45, 2)]
    assert [(at, turn.eager) for at, turn in states if turn.end_of_turn] == [(2.1, False)]
    assert {turn.order for _, turn in states} == {0}


def test_a_turn_that_silence_ends_first_is_never_eager() -> None:
    rules = Rules(RATE, "", "", min_silence=0.2, max_silence=0.2, eager=0.25)
    states = told(TWO, rules, 3.0)
    assert not any(turn.eager for _, turn in states)
    assert [at for at, turn in states if turn.end_of_turn] == [0.7, 1.4]


def test_without_silences_only_the_client_ends_turns() -> None:
    rules = Rules(RATE, "", "", min_silence=float("inf"), max_silence=float("inf"))
    assert not any(turn.end_of_turn for _, turn in told(TWO, rules, 30.0))
