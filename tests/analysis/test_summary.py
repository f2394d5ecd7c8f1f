"""What a reader must know before using the metrics: notes, and rows of what is a bound."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from facts import call, said, saying, session, turn, unstamped

import rtkit
from rtkit.analysis.metrics import METRICS
from rtkit.analysis.summary import notes
from rtkit.analysis.timing.latency import partial_latency, senders_share_bounds, turn_latency
from rtkit.session import Message, Session

LATE = [0.01 * i for i in range(10)]  # ten chunks of 100 ms, each 10 ms later than the last
GOAT = ("goat", 0.1, 0.25)
TERMINATION = Message(
    2.0,
    json.dumps({"type": "Termination", "audio_duration_seconds": 1, "session_duration_seconds": 2}),
)


def told(one: Session, kind: str) -> list[str]:
    return [note.text for note in notes({"a": one}) if note.kind == kind]


def test_bounds_are_told_with_their_width_and_the_senders_share_as_a_range() -> None:
    one = unstamped(session(LATE, turn(0.66, GOAT, final=True), reference=[GOAT]))
    (note,) = told(one, "undecided")  # chunks 2 to 5 may have decided: 20 to 50 ms late
    assert "(1 of 1); endpoint wait and service time are known only as a sum" in note
    assert "they and lateness to ±15.0 ms in the median, ±15.0 ms at most" in note
    assert "the sender caused 5 to 12% of the latency" in note
    assert told(one, "stated") == []
    table = rtkit.summarize(one)
    (name,) = table.columns
    assert table["lateness of turns known to ±, p50, ms"][name] == pytest.approx(15)
    assert table["lateness of turns known to ±, max, ms"][name] == pytest.approx(15)
    assert table["turn latency caused by the sender, at least, %"][name] == pytest.approx(2 / 0.41)
    assert table["turn latency caused by the sender, at most, %"][name] == pytest.approx(5 / 0.41)
    assert table["turn latency caused by the sender, %"][name] == pytest.approx(3.5 / 0.41)


def test_a_punctual_senders_share_is_no_range() -> None:
    one = unstamped(session([0.0] * 10, turn(0.66, GOAT, final=True), reference=[GOAT]))
    (note,) = told(one, "undecided")
    assert "±0.0 ms at most; the sender caused 0% of the latency." in note


def test_what_a_service_states_is_told_apart() -> None:
    one = unstamped(session(LATE, turn(0.65, GOAT, final=True), reference=[GOAT]))
    stated = saying(one, lambda turn: replace(turn, heard=0.4))  # chunks 2 and 3: 20 to 30 ms
    assert told(stated, "undecided") == []
    (note,) = told(stated, "stated")
    assert "(1 of 1); lateness to ±5.0 ms in the median, ±5.0 ms at most" in note
    assert "the sender caused 5 to 8% of the latency" in note


def test_what_is_known_exactly_has_neither_note_nor_row() -> None:
    one = call(10, pacing="fixed_sleep", work=0.003)
    assert not told(one, "undecided") + told(one, "stated") + told(one, "not counted")
    assert [row for row, _, _ in rtkit.summarize(one).rows if "±" in row or "at least" in row] == []
    low, high = senders_share_bounds(turn_latency(one))
    assert low == high


def test_turns_that_do_not_count_are_told_with_the_reason() -> None:
    one = session(
        LATE,
        turn(0.55, GOAT, final=True, decided=400),
        turn(0.95, ("uh", 0.5, 0.6), order=1, final=True, decided=900),
        reference=[GOAT],
    )
    (note,) = told(one, "not counted")
    assert note == "1 of 2 turns with nothing spoken that matches: shown, but not counted."
    halves = session(
        [0.0] * 20,
        turn(0.9, ("a", 0.1, 0.2), final=True, decided=800),
        turn(1.9, ("c", 1.0, 1.1), order=1, final=True, decided=1800),
        reference=[("a", 0.1, 0.2), ("b", 0.3, 0.4), ("c", 1.0, 1.1)],
    )
    (note,) = told(halves, "not counted")
    assert note.startswith("1 of 2 turns where a missed word may or may not be the end")
    early = session([0.0] * 20, turn(0.2, ("a", 1.0, 1.2), final=True), reference=[("a", 1, 1.2)])
    (note,) = told(early, "not counted")
    assert note.startswith("1 of 1 turn with a result before the last word was sent")


OPEN = turn(0.5, ("go", 0.3, 0.4), order=1)
ENDED = turn(0.4, GOAT, final=True), turn(0.9, ("yes", 0.7, 0.8), order=2, final=True)


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        pytest.param(ENDED, None, id="all ended"),
        pytest.param((*ENDED, TERMINATION), None, id="all ended, and so did the session"),
        pytest.param((*ENDED, OPEN), "1 of 3 turns (number 1), with 1 word", id="one between"),
        pytest.param(
            (*ENDED, OPEN, TERMINATION), "1 of 3 turns (number 1), with 1 word", id="at the end"
        ),
        pytest.param(
            (ENDED[0], OPEN, TERMINATION), "1 of 2 turns (number 1), with 1 word", id="the last"
        ),
        pytest.param((ENDED[0], OPEN), None, id="the last of a session that was cut short"),
        pytest.param((*ENDED, turn(0.95, order=3), TERMINATION), None, id="without any word"),
        pytest.param(
            (*ENDED, turn(0.5, ("go", 0.3, 0.4), order=3), turn(0.6, order=3), TERMINATION),
            None,
            id="whose word was taken back",
        ),
    ],
)
def test_a_turn_that_never_ended_is_a_mistake_that_is_named(
    messages: tuple[Message, ...], found: str | None
) -> None:
    one = session(LATE, *messages, terminated=1.5)
    mistakes = [m for m in rtkit.diagnose(one) if m.name == "turn never ended"]
    assert [mistake.evidence for mistake in mistakes] == ([] if found is None else [found])


def test_a_turn_that_never_ended_is_a_note_even_where_the_session_was_cut_short() -> None:
    (note,) = told(session(LATE, ENDED[0], OPEN), "never ended")
    assert note.startswith("1 of the service's turns never ended (number 1)")
    many = [turn(0.5, ("go", 0.3, 0.4), order=i) for i in range(7)]
    (note,) = told(session(LATE, *many), "never ended")
    assert note.startswith("7 of the service's turns never ended (number 0, 1, 2, 3, 4, ...)")
    assert told(session(LATE, *ENDED), "never ended") == []


def test_chunks_that_are_due_at_their_start_are_told_of() -> None:
    assert told(session(LATE, phase="start"), "phase") == [
        "phase='start': each chunk was due before it had been spoken, so every latency is 100 ms "
        "better than live audio can have."
    ]
    assert told(session(LATE), "phase") == []


def test_words_first_right_have_their_median_and_ninetieth_percentile() -> None:
    words = [(f"w{i}", 0.08 * i, 0.08 * i + 0.05) for i in range(11)]
    messages = [turn(end + 0.1 + 0.01 * i, (text, start, end), order=i, final=True)
                for i, (text, start, end) in enumerate(words)]  # fmt: skip
    one = session([0.0] * 12, *messages, reference=said(words))
    assert partial_latency(one).quantiles().count == 11
    values = {metric.name: metric.value(one) for metric in METRICS}
    assert values["partial_latency_p50"] == pytest.approx(0.15)
    assert values["partial_latency_p90"] == pytest.approx(0.19)
    assert math.isnan({m.name: m.value(session(LATE)) for m in METRICS}["partial_latency_p90"])


def test_bounds_and_reasons_are_columns() -> None:
    one = unstamped(
        session(
            LATE,
            turn(0.65, GOAT, ("go", 0.27, 0.3), final=True),
            turn(0.95, ("uh", 0.5, 0.6), order=1, final=True),
            reference=[GOAT],
        )
    )
    turns = rtkit.to_frame(one, "turns")
    assert turns.half_width.tolist() == pytest.approx(turn_latency(one).half_width.tolist())
    assert turns.half_width[0] == pytest.approx(0.015)
    assert turns.known.tolist() == ["bounded", "bounded"]
    assert turns.excluded.tolist() == ["", "unmatched"]
    assert turns.counted.tolist() == [True, False]
    assert turns.start.tolist() == pytest.approx([0.1, 0.5])
    words = rtkit.to_frame(one, "words")
    assert words.excluded.tolist() == ["", "unmatched", "unmatched"]
    assert words.counted.tolist() == [True, False, False]
    together = turns.chunk_wait + turns.lateness + turns.since_sent
    assert np.allclose(together, turns.latency)
    (row,) = rtkit.to_frame(one, "sessions").itertuples()
    assert row.turn_half_width_max == pytest.approx(0.015)
    assert row.turn_latency_made_by_the_sender_low < row.turn_latency_made_by_the_sender_high


def test_names_are_fit_to_be_shown_and_none_is_lost() -> None:
    one = call(3)
    odd = ["\ud800", chr(0xDCE9), "\x1b[31m\u202ea", "x" * 10**6, "same"]
    names = dict.fromkeys(odd, one)
    table = rtkit.summarize(names)
    for text in (str(table), table._repr_html_()):
        assert len(text.encode()) < 50_000
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert len(rtkit.to_frame(names, "sessions")) == len(names)
