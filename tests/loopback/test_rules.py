"""Turns by rules, on audio time alone; `test_conversation` tells the rest of what they do."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import spoken

from rtkit.loopback.engines import Guess, Onset, Phrase, Script, Spoken
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


ONE, TWO_WORDS = Guess("one", 0.1, 0.4, 0.8), Guess("two", 0.5, 0.8, 0.7)


@pytest.mark.parametrize(("confidence", "ended"), [(0.41, 1.0), (0.4, 1.8)])
def test_a_phrase_replaces_the_one_before_until_it_is_final(
    confidence: float, ended: float
) -> None:
    """And silence counts from the end of its last word."""
    turns = Turns(Rules(RATE, "", "", threshold=0.4, min_silence=0.2, max_silence=1.0), 1)
    heard = [
        *turns.hear(Onset(0.1)),
        *turns.hear(Phrase(0.5, (Guess("won", 0.1, 0.4, 0.3),))),
        *turns.hear(Phrase(0.9, (ONE, TWO_WORDS))),
        *turns.reach(3.0),  # nothing ends while somebody speaks
        *turns.hear(Phrase(0.95, (ONE, TWO_WORDS), final=True, confidence=confidence)),
    ]
    states = [reply for _, reply in heard if isinstance(reply, Turn)]
    assert [[word.text for word in state.words] for state in states] == [
        *(["won"], ["one", "two"], ["one", "two"]),
    ]
    assert [[word.final for word in state.words] for state in states] == [
        *([False], [False, False], [True, False]),
    ]
    assert [word.confidence for word in states[-1].words] == [0.8, 0.7]
    assert list(turns.reach(ended - 0.001)) == []
    ((cause, final),) = turns.reach(ended)
    assert isinstance(final, Turn)
    assert (cause, final.end_of_turn, final.transcript) == ("silence", True, "one two")


def test_a_final_phrase_is_kept_when_speech_goes_on() -> None:
    turns = Turns(Rules(RATE, "", "", min_silence=0.2, max_silence=1.0), 1)
    heard = [
        *turns.hear(Onset(0.1)),
        *turns.hear(Phrase(0.45, (ONE,), final=True, confidence=0.1)),
        *turns.hear(Onset(0.5)),
        *turns.hear(Phrase(0.9, (), final=False)),
        *turns.hear(Phrase(1.0, (TWO_WORDS,), final=True, confidence=0.1)),
    ]
    (*_, (_, last)) = heard
    assert isinstance(last, Turn)
    assert [word.text for word in last.words] == ["one", "two"]
    assert list(turns.reach(1.79)) == []
    assert [reply.end_of_turn for _, reply in turns.reach(1.8) if isinstance(reply, Turn)] == [True]


@pytest.mark.parametrize(("threshold", "ended"), [(0.39, 0.6), (0.4, 1.4)])
def test_a_turn_is_over_sooner_above_the_threshold(threshold: float, ended: float) -> None:
    turns = Turns(Rules(RATE, "", "", threshold=threshold, min_silence=0.2, max_silence=1.0), 1)
    assert not turns.spoken
    list(turns.hear(Onset(0.1)))
    assert turns.spoken
    list(turns.hear(Spoken(0.4, "one", 0.1, 0.4, confidence=0.4)))
    assert list(turns.reach(ended - 0.001)) == []
    assert len(list(turns.reach(ended))) == 1


def test_without_silences_only_the_client_ends_turns() -> None:
    rules = Rules(RATE, "", "", min_silence=float("inf"), max_silence=float("inf"))
    assert not any(turn.end_of_turn for _, turn in told(TWO, rules, 30.0))
