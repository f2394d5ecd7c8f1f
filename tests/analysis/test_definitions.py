"""Others' definitions of latency: each gives what its formula says, and hides what it hides."""

from __future__ import annotations

import numpy as np
import pytest
from facts import CALL, said, session, turn

from rtkit.analysis.definitions import DEFINITIONS, rescore
from rtkit.analysis.summary import summarize
from rtkit.audio import open_clip
from rtkit.experiments.simulate import simulate
from rtkit.session import Session

NAMES = [definition.name for definition in DEFINITIONS]
WAITS, TOOK, LEFT, SCHEDULE, VOICE, LAST, CURSORS, TTFT, TTFS, TTCT, LAAL, YAAL, *BY_TURN = NAMES


def medians(one: Session) -> dict[str, float]:
    """In seconds, by name."""
    return {name.partition(":")[0]: float(row[0]) / 1000 for name, row, _ in rescore(one).rows}


# Seven chunks of 100 ms, each 10 ms later than the one before.
LATE = [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
E, K_STOPS, K_DUE, K_SENT = 0.25, 0.3, 0.3, 0.32  # the word's end, and the chunk that holds it
D_SENT, R = 0.65, 0.8  # the chunk that decided the turn, of which 600 samples tell; its final


@pytest.mark.parametrize(
    ("definition", "value"),
    [
        (WAITS, R - E),
        (TOOK, R - D_SENT),
        (LEFT, R - K_SENT),
        (SCHEDULE, R - K_DUE),
        (VOICE, R - (K_SENT - (K_STOPS - E))),
        (LAST, R - 0.7),
        # Two partials: when the first came 300 ms were sent, and 500 ms when the second did.
        (CURSORS, ((0.3 - 0.2) + (0.5 - E)) / 2),
        (TTFT, 0.42 - 0.1),
        (TTFS, R - E),
        (TTCT, R - K_SENT),
        # Two words in 0.7 s ought to come at 0 and at 0.35 s; they came to stay at 0.42 and 0.64.
        (LAAL, ((0.42 - 0) + (0.64 - 0.35)) / 2),
        (YAAL, ((0.42 - 0) + (0.64 - 0.35)) / 2),
    ],
)
def test_each_definition_is_its_formula(definition: str, value: float) -> None:
    one = session(
        LATE,
        turn(0.42, ("so", 0.0, 0.2)),  # chunk 3 left at 0.43
        turn(0.64, ("so", 0.0, 0.2), ("long", 0.2, E)),
        turn(R, ("so", 0.0, 0.2), ("long", 0.2, E), final=True, decided=600),
    )
    assert medians(one)[definition] == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep"])
def test_the_definitions_differ_by_what_their_formulas_differ_by(pacing: str) -> None:
    one = simulate(open_clip(CALL, seconds=25), pacing=pacing, work=0.01, delay=0.15)
    found = {definition.name: definition.values(one) for definition in DEFINITIONS}
    assert len(found[WAITS]) > 5
    lateness = found[SCHEDULE] - found[LEFT]
    if pacing == "wall_clock":
        assert lateness == pytest.approx(0, abs=1e-9)
    else:  # 10 ms a chunk
        assert lateness / 0.01 == pytest.approx(np.rint(lateness / 0.01), abs=1e-6)
        assert min(np.diff(lateness)) > 0
    assert found[TOOK] == pytest.approx(0.15, abs=1e-9)
    assert found[VOICE] == pytest.approx(found[WAITS] - lateness, abs=1e-9)


def test_since_the_chunk_left_hides_the_naive_senders_lateness_and_the_schedule_shows_it() -> None:
    clip = open_clip(CALL, seconds=25)
    naive, wall = (
        medians(simulate(clip, pacing=pacing, work=0.01, delay=0.15))
        for pacing in ("fixed_sleep", "wall_clock")
    )
    for hides in TOOK, LEFT, VOICE:
        assert naive[hides] == pytest.approx(wall[hides], rel=0.15)
    for shows in WAITS, SCHEDULE, LAST:
        assert naive[shows] > 2 * wall[shows]


def test_what_counts_the_last_turn_counts_no_other() -> None:
    finals = [
        turn(end + late, ("so", end - 0.1, end), order=i, final=True)
        for i, (end, late) in enumerate([(0.2, 0.1), (0.4, 0.3), (0.6, 0.15)])
    ]
    found = medians(session([0.0] * 9, *finals))
    assert [found[TTFS], found[TTCT]] == pytest.approx([0.15, 0.15])


def test_a_word_before_any_audio_was_sent_is_that_far_ahead() -> None:
    one = session([0.0] * 3, turn(0.05, ("so", 0.0, 0.2)))
    assert medians(one)[CURSORS] == pytest.approx(0.0 - 0.2)


def test_a_whole_file_is_timed_by_its_last_final() -> None:
    finals = [turn(at, ("so", 0.0, 0.2), order=i, final=True) for i, at in enumerate((0.5, 0.9))]
    assert medians(session([0.0] * 7, *finals))[LAST] == pytest.approx(0.9 - 0.7)


def test_lagging_ends_with_the_first_word_behind_the_audio_or_before_it() -> None:
    """And takes the reference for how many words there ought to be, where it has more."""
    words = [("a", 0.0, 0.1), ("b", 0.1, 0.2), ("c", 0.2, 0.25), ("d", 0.25, 0.3)]
    said = [
        turn(0.2, *words[:1]),
        turn(0.3, *words[:2]),
        turn(0.5, *words[:3]),
        turn(0.6, *words, final=True),
    ]
    one = medians(session([0.0] * 4, *said))  # 0.4 s: the third word came when it was over
    assert one[LAAL] == pytest.approx(((0.2 - 0) + (0.3 - 0.1) + (0.5 - 0.2)) / 3)
    assert one[YAAL] == pytest.approx(((0.2 - 0) + (0.3 - 0.1)) / 2)
    spoken = [*words, *((text, 0.3, 0.31) for text in "efgh")]
    other = medians(session([0.0] * 4, *said, reference=spoken))
    assert other[YAAL] == pytest.approx(((0.2 - 0) + (0.3 - 0.05)) / 2)


def test_lagging_by_turns_counts_from_the_start_of_each() -> None:
    """And gives a word that was made up to the turn of the word before it."""
    one, two, three = ("one", 1.0, 1.4), ("two", 1.6, 2.0), ("three", 3.0, 3.3)
    four, five, made_up = ("four", 3.3, 3.6), ("five", 3.6, 4.0), ("so", 4.1, 4.2)
    first, second = (one, two), (three, four, made_up)
    messages = [
        turn(1.5, one),
        turn(2.6, *first, final=True),
        turn(3.4, *second[:1], order=1),
        turn(3.6, *second[:2], order=1),
        turn(4.7, *second, order=1, final=True),
    ]
    heard = session([0.0] * 45, *messages, reference=said(first, (three, four, five)))
    # Since the starts: 0.5 and 1.6 s, of two words in a second; 0.4, 0.6 and 1.7, of three.
    whole = ((0.5 - 0) + (1.6 - 1 / 2)) / 2
    with_end = ((0.4 - 0) + (0.6 - 1 / 3) + (1.7 - 2 / 3)) / 3
    without_end = ((0.4 - 0) + (0.6 - 1 / 3)) / 2  # the last word came 0.2 s behind the audio
    found = [medians(heard)[name] for name in BY_TURN]
    assert found == pytest.approx([(whole + with_end) / 2, (whole + without_end) / 2])
    late = [turn(2.6, *first, final=True), turn(4.4, *second, order=1, final=True)]
    heard = session([0.0] * 45, *late, reference=said(first, (three, four, five)))
    # Of what came when its turn was over, StreamLAAL takes the first word, and LongYAAL all.
    all_words = ((1.6 - 0) + (1.6 - 1 / 2)) / 2, ((1.4 - 0) + (1.4 - 1 / 3) + (1.4 - 2 / 3)) / 3
    found = [medians(heard)[name] for name in BY_TURN]
    assert found == pytest.approx([(1.6 + 1.4) / 2, sum(all_words) / 2])


ANSWERED = turn(0.3, ("so", 0.0, 0.2), final=True, decided=200, cause="terminate")


@pytest.mark.parametrize(
    ("one", "measured"),
    [
        pytest.param(session(), set(), id="nothing was sent"),
        pytest.param(session([], turn(0.3, ("so", 0.0, 0.2))), set(), id="answers to nothing"),
        pytest.param(session([0.0] * 3), set(), id="nothing was answered"),
        pytest.param(session([], turn(0.3, ("so", 0.0, 0.2), final=True)), {LAST}, id="no audio"),
        pytest.param(session([0.0] * 3, turn(0.3, final=True)), {LAST}, id="no words"),
        pytest.param(
            session([0.0] * 3, ANSWERED), {LAST, TTFT, TTFS, TTCT, LAAL}, id="ended by Terminate"
        ),
    ],
)
def test_what_was_not_measured_is_a_dash(one: Session, measured: set[str]) -> None:
    cells = rescore(one).cells()[1:]
    assert {name.partition(":")[0] for name, cell in cells if cell != "–"} == measured


def test_a_column_a_session_and_a_row_a_definition_with_its_formula() -> None:
    table = rescore({"a": session(LATE), "b": session()})
    assert table.columns == ("a", "b")
    assert [name for name, _, _ in table.rows] == [
        f"{definition.name}: {definition.formula}" for definition in DEFINITIONS
    ]
    assert all(definition.used_by and definition.hides for definition in DEFINITIONS)
    assert len({definition.name for definition in DEFINITIONS}) == len(DEFINITIONS)


def test_our_own_rows_are_those_of_the_summary() -> None:
    one = simulate(open_clip(CALL, seconds=25), pacing="fixed_sleep", work=0.01, delay=0.15)
    summary, (column,) = summarize(one), summarize(one).columns
    assert medians(one)[WAITS] * 1000 == pytest.approx(summary["turn latency p50, ms"][column])
    assert medians(one)[TOOK] * 1000 == pytest.approx(summary["turn service time p50, ms"][column])
