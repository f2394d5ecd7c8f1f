"""How steady partials are, and whether turns were ended too soon: by hand, where it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import simulate
from doubles import talk
from facts import CALL, said, saying, session, turn

import rtkit
from rtkit.analysis.metrics import METRICS
from rtkit.analysis.summary import notes
from rtkit.analysis.timing.partials import (
    early_cut_offs,
    partial_intervals,
    partial_stability,
    taken_back,
)
from rtkit.audio import open_clip
from rtkit.services.messages import Turn
from rtkit.session import Message, Session


def saw(at: float, text: str, *, order: int = 0, final: bool = False) -> Message:
    """A message with these words, each 0.1 s long."""
    words = [(word, i / 10, i / 10 + 0.1) for i, word in enumerate(text.split())]
    return turn(at, *words, order=order, final=final)


def metric(one: Session, name: str) -> float:
    (found,) = (metric.value(one) for metric in METRICS if metric.name == name)
    return found


@pytest.mark.parametrize(
    ("texts", "unstable", "erased"),
    [
        (["so", "so long", "so long and"], 0, 0),
        # One word is changed, and a display rewrites all from there on.
        (["so", "so lung and", "so long and thanks"], 1, 2),
        # A word is dropped in front: the others stay words, and all are written again.
        (["oh so long", "so long", "so long"], 1, 3),
        # Twice revised is counted twice.
        (["go", "goat", "goats"], 2, 2),
        # Casing and punctuation are no revision.
        (["so long", "So long.", "So, long!"], 0, 0),
    ],
)
def test_what_is_taken_back(texts: list[str], unstable: int, erased: int) -> None:
    *partials, last = [saw(0.2 + i / 10, text) for i, text in enumerate(texts)]
    final = saw(0.9, texts[-1], final=True)
    one = session([0.0] * 8, *partials, last, final)
    found = partial_stability(one)
    words = len(texts[-1].split())
    assert (found.unstable, found.erased, found.words) == (unstable, erased, words)
    assert found.upwr == pytest.approx(unstable / words)
    assert found.erasure == pytest.approx(erased / words)
    assert found.upsr == float(unstable > 0)
    assert metric(one, "unstable_partial_words") == found.upwr
    assert metric(one, "normalized_erasure") == found.erasure


def test_a_service_without_partials_is_not_called_steady() -> None:
    one = session([0.0] * 8, saw(0.5, "so long", final=True))
    found = partial_stability(one)
    assert (found.unstable, found.words, found.partials) == (0, 2, 0)
    assert all(math.isnan(value) for value in (found.upwr, found.upsr, found.erasure))
    assert "UPWR" not in str(rtkit.summarize(one))


def test_intervals_lie_between_messages_with_other_words_of_one_turn() -> None:
    one = session(
        [0.0] * 20,
        saw(0.2, "so"),
        saw(0.3, "so"),  # nothing new
        saw(0.6, "so long"),
        saw(0.7, "So long.", final=True),  # formatted, the same words
        saw(1.5, "bye", order=1),
        saw(1.9, "bye then", order=1, final=True),
    )
    assert partial_intervals(one) == pytest.approx([0.4, 0.4])
    assert metric(one, "partial_interval_p50") == pytest.approx(0.4)


VOID = {"no partials", "cadence", "drifting times"}


def kinds(one: Session) -> set[str]:
    """What voids a metric, as notes and `diagnose` both say."""
    told = {note.kind for note in notes({"one": one})} & VOID
    assert told == set(rtkit.diagnose(one).names) & VOID
    return told


def test_what_voids_a_metric_is_said() -> None:
    clip = open_clip(CALL, seconds=25)
    usual = simulate(talk(clip, "deepgram"))
    assert not kinds(usual)
    assert not rtkit.diagnose(usual)
    silent = simulate(talk(clip, "deepgram", parameters={"interim_results": False}))
    assert kinds(silent) == {"no partials"}
    assert "no word came before its turn was over" in str(rtkit.summarize(silent))


@pytest.mark.parametrize(
    ("gaps", "regular"),
    [([0.48] * 12, True), ([0.48, 0.5] * 6, True), ([0.3, 0.6] * 6, False), ([0.1] * 12, False)],
)
def test_a_cadence_is_told_from_speech(gaps: list[float], regular: bool) -> None:
    at = 0.2 + np.cumsum([0.0, *gaps])
    one = session(
        [0.0] * 80,
        *(saw(float(when), " ".join("abcdefghijklm"[: i + 1])) for i, when in enumerate(at)),
    )
    assert ("cadence" in kinds(one)) is regular


@pytest.mark.parametrize(("rate", "drifts"), [(1.0, False), (1.002, False), (1.05, True)])
def test_word_times_that_drift_from_the_reference_are_told(rate: float, drifts: bool) -> None:
    spoken = [(f"word{i}", i / 2, i / 2 + 0.3) for i in range(18)]
    heard = [(text, start * rate, end * rate) for text, start, end in spoken]
    one = session([0.0] * 100, turn(9.5, *heard, final=True), reference=spoken)
    assert ("drifting times" in kinds(one)) is drifts
    assert "drifting times" not in kinds(session([0.0] * 100, turn(9.5, *heard, final=True)))


FIRST = (("so", 0.0, 0.1), ("long", 0.1, 0.2), ("and", 0.6, 0.7))
SECOND = (("thanks", 1.0, 1.1),)


@pytest.mark.parametrize(
    ("turns", "early"),
    [
        ([FIRST, SECOND], [False, False]),
        ([FIRST[:2], FIRST[2:], SECOND], [True, False, False]),
        # The last word was missed; the turn is over all the same.
        ([FIRST[:1], SECOND], [True, False]),
        ([(*FIRST, *SECOND)], [False]),
    ],
)
def test_a_turn_is_cut_off_where_its_speaker_had_more_to_say(
    turns: list[tuple[tuple[str, float, float], ...]], early: list[bool]
) -> None:
    finals = [
        turn(
            words[-1][2] + 0.3,
            *words,
            order=i,
            final=True,
            decided=round(1000 * words[-1][2]) + 100,
        )
        for i, words in enumerate(turns)
    ]
    one = session([0.0] * 20, *finals, reference=said(FIRST, SECOND))
    assert early_cut_offs(one).tolist() == early
    assert metric(one, "turns_cut_off_early") == pytest.approx(np.mean(early))
    assert len(early_cut_offs(session([0.0] * 20, *finals))) == 0  # without a reference


def test_bare_punctuation_behind_the_last_word_is_no_more_to_say() -> None:
    words = [("so", 0.1, 0.2), ("long", 0.3, 0.5)]
    one = session([0.0] * 20, turn(0.9, *words, final=True), reference=[*words, (".", 0.5, 0.6)])
    assert early_cut_offs(one).tolist() == [False]


def test_whose_last_word_ends_with_another_speakers_was_not_cut_off() -> None:
    words = [("so", 0.1, 0.2), ("long", 0.3, 0.5)]
    meanwhile = [("well", 0.4, 0.5), ("no", 0.6, 0.9)]
    for reference in (said(words, meanwhile), said(meanwhile, words)):
        one = session([0.0] * 20, turn(0.58, *words, final=True), reference=reference)
        assert early_cut_offs(one).tolist() == [False]


def test_a_short_endpoint_wait_is_bought_with_turns_cut_off() -> None:
    """Deepgram's double, as the service is by default, and with half a second of silence."""
    clip = open_clip(CALL, seconds=25)
    hasty, patient = (
        simulate(talk(clip, "deepgram", parameters={"endpointing": wait})) for wait in (10, 500)
    )
    waits = [
        np.median(latency.endpoint_wait[latency.counted])
        for latency in map(rtkit.turn_latency, (hasty, patient))
    ]
    assert waits[0] < 0.2 < 0.4 < waits[1]
    assert early_cut_offs(hasty).mean() > 0.3
    assert not early_cut_offs(patient).any()


def test_of_eager_ends_those_count_that_speech_took_back() -> None:
    messages = [
        saw(0.2, "so"),
        saw(0.4, "so long"),  # eager,
        saw(0.6, "so long and"),  # and taken back
        saw(0.8, "so long and thanks"),  # eager,
        saw(0.9, "so long and thanks", final=True),  # and right
        saw(1.2, "bye", order=1),  # eager, and nobody knows
    ]
    eager = {"so long", "so long and thanks", "bye"}

    def guessed(one: Turn) -> Turn:
        text = " ".join(word.text for word in one.words)
        is_eager = text in eager and not one.end_of_turn
        return Turn(one.order, text, one.words, one.end_of_turn, eager=is_eager)

    one = saying(session([0.0] * 20, *messages), guessed)
    assert taken_back(one).tolist() == [True, False]
    assert metric(one, "eager_ends_taken_back") == 0.5


def test_flux_tells_which_ends_it_took_back() -> None:
    clip = open_clip(CALL, seconds=25)
    parameters = {"eager_eot_threshold": 0.4}
    one = simulate(talk(clip, "deepgram.flux", parameters=parameters))
    assert "TurnResumed" in "".join(message.text for message in one.messages)
    assert 0 < taken_back(one).mean() < 0.5
    assert "eager turn ends taken back" in str(rtkit.summarize(one))
