"""Sessions as tables: the same figures as everywhere else, in seconds, and nothing left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from facts import call, session, turn, unstamped

import rtkit
from rtkit.analysis.frames import to_frame
from rtkit.analysis.timing.latency import first_word_latency, turn_latency, word_latency
from rtkit.session import Session

TEN = [0.001 * i for i in range(10)]
KINDS = ("chunks", "words", "turns", "sessions")


@pytest.fixture(scope="module")
def calls() -> dict[str, Session]:
    return {
        "today": call(12, pacing="wall_clock", work=0.005),
        "yesterday": call(12, pacing="fixed_sleep", work=0.005),
    }


def misheard() -> Session:
    """Of three words one is heard right, one wrong, one not at all; Terminate ends the turn."""
    return session(
        TEN,
        turn(
            0.9, ("one", 0.0, 0.15), ("too", 0.3, 0.45), final=True, decided=1000, cause="terminate"
        ),
        reference=[("one", 0.0, 0.14), ("two", 0.3, 0.44), ("three", 0.6, 0.74)],
    )


def test_chunks_are_a_row_each_in_seconds(calls: dict[str, Session]) -> None:
    table = to_frame(calls)
    assert list(dict.fromkeys(table.session)) == ["today", "yesterday"]
    for name, one in calls.items():
        rows = table[table.session == name]
        assert rows["index"].tolist() == list(range(len(one.chunks)))
        assert rows.lateness.tolist() == one.lateness.tolist()
        assert rows.end.tolist() == pytest.approx(one.due.tolist())  # the phase "end"
        assert rows.bytes.sum() == one.bytes_sent
    assert table.returned.ge(table.sent).all()


def test_words_have_the_latency_of_word_latency(calls: dict[str, Session]) -> None:
    table = to_frame(calls, "words")
    for name, one in calls.items():
        rows, latency = table[(table.session == name) & table.counted], word_latency(one)
        assert len(rows) > 10
        assert tuple(rows.text) == latency.texts
        assert rows.latency.tolist() == latency.latency.tolist()
        assert rows.service_time.tolist() == latency.service_time.tolist()
        due = np.array(one.due)[rows.chunk.to_numpy()]
        assert (due - rows.end.to_numpy()).tolist() == latency.chunk_wait.tolist()


def test_the_parts_add_up_in_every_row(calls: dict[str, Session]) -> None:
    words, turns = to_frame(calls, "words"), to_frame(calls, "turns")
    together = words.chunk_wait + words.lateness + words.service_time
    assert together.to_numpy() == pytest.approx(words.latency.to_numpy())
    together = turns.chunk_wait + turns.endpoint_wait + turns.lateness + turns.service_time
    assert together.to_numpy() == pytest.approx(turns.latency.to_numpy())


def test_words_that_match_nothing_are_kept_and_marked() -> None:
    table = to_frame(misheard(), "words")
    assert table.text.tolist() == ["one", "too", "two", "three"]
    assert table.match.tolist() == ["matched", "unmatched", "missed", "missed"]
    assert table.counted.tolist() == [True, False, False, False]
    assert table.turn.tolist() == [0, 0, -1, -1]
    assert table.end.tolist() == pytest.approx([0.14, 0.45, 0.44, 0.74])
    assert table.chunk.tolist() == [1, 4, 4, 7]
    assert table.latency.tolist() == pytest.approx([0.76, 0.45, np.nan, np.nan], nan_ok=True)
    assert len(word_latency(misheard())) == 1


def test_without_a_reference_all_words_count() -> None:
    one = session(TEN, turn(0.9, ("one", 0.0, 0.15), final=True))
    table = to_frame(one, "words")
    assert table.match.tolist() == ["unknown"]
    assert table.counted.tolist() == [True]


def test_turns_have_the_latency_of_turn_latency(calls: dict[str, Session]) -> None:
    table = to_frame(calls, "turns")
    for name, one in calls.items():
        rows, latency = table[table.session == name], turn_latency(one)
        assert rows.latency.tolist() == latency.latency.tolist()
        assert rows.endpoint_wait.tolist() == latency.endpoint_wait.tolist()
        assert rows.first_word.tolist() == first_word_latency(one).latency.tolist()
        assert rows.words.tolist() == [len(text.split()) for text in rows.text]
        assert rows.start.lt(rows.end).all()


def test_a_turn_that_terminate_ended_is_kept_and_marked() -> None:
    (row,) = to_frame(misheard(), "turns").itertuples()
    assert row.terminated
    assert not row.counted
    assert row.latency == pytest.approx(0.16)  # the third word, which was missed, ends it


def test_what_the_service_does_not_tell_apart_is_empty_and_its_sum_is_not() -> None:
    (row,) = to_frame(unstamped(misheard()), "turns").itertuples()
    assert not row.decided
    assert np.isnan(row.endpoint_wait)
    assert np.isnan(row.service_time)
    assert row.chunk_wait + row.lateness + row.since_sent == pytest.approx(row.latency)


def test_a_row_a_session_is_the_summary_in_seconds(calls: dict[str, Session]) -> None:
    table, summary = to_frame(calls, "sessions"), rtkit.summarize(calls)
    assert table.session.tolist() == list(calls)
    assert table.pacing.tolist() == ["wall_clock", "fixed_sleep"]
    assert table.valid.tolist() == [True, False]
    assert table.problems.tolist() == ["", "late"]
    assert table[["clip_start", "clip_seconds"]].to_numpy().tolist() == [[0, 12], [0, 12]]
    for column, row, unit in [
        ("chunks_sent", "chunks sent", 1),
        ("lateness_p99", "lateness p99, ms", 1000),
        ("drift", "drift, ms per s of audio", 1000),
        ("turn_latency_p50", "turn latency p50, ms", 1000),
        ("turn_latency_made_by_the_sender", "turn latency caused by the sender, %", 100),
    ]:
        assert (table[column] * unit).tolist() == pytest.approx([*summary[row].values()])


def test_a_sessions_row_says_which_stretch_was_streamed() -> None:
    (row,) = to_frame(
        session([0.0] * 3, first=2500, samples=300, recording="a.wav"), "sessions"
    ).itertuples()
    assert (row.recording, row.clip_start, row.clip_seconds) == ("a.wav", 2.5, 0.3)


@pytest.mark.parametrize("what", KINDS)
def test_sessions_without_anything_make_the_same_columns(what: str) -> None:
    full, empty = to_frame(misheard(), what), to_frame(session(ending=None), what)
    assert list(empty.columns) == list(full.columns)
    assert len(empty) == (what == "sessions")
    both = to_frame([misheard(), session(ending=None), misheard()], what)
    assert list(both.columns) == list(full.columns)
    assert len(both) == 2 * len(full) + len(empty)
    assert both[full.columns[1:]].dtypes.equals(full[full.columns[1:]].dtypes)


def test_sessions_of_one_pacing_are_told_apart() -> None:
    table = to_frame([misheard(), misheard()])
    assert list(dict.fromkeys(table.session)) == ["wall_clock, 100 ms", "wall_clock, 100 ms (2)"]


def test_no_sessions_make_an_empty_table() -> None:
    assert len(to_frame({}, "turns")) == 0


def test_unknown_rows_are_loud() -> None:
    with pytest.raises(ValueError, match=r"unknown rows 'word'; did you mean 'words'"):
        to_frame(misheard(), "word")


@pytest.mark.parametrize("call", ["to_frame", "quantile_intervals"])
def test_pandas_is_met_at_the_first_table_and_missed_in_a_sentence(call: str) -> None:
    script = (
        "import json, sys\n"
        "sys.modules['pandas'] = None\n"  # as if it were not installed
        "from facts import session\n"
        "import rtkit\n"
        f"try:\n    rtkit.{call}(session([0.0]))\n"
        "except ImportError as error:\n    print(json.dumps(str(error)))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    sentence = json.loads(shown.stdout)
    assert sentence.startswith(f"{call} needs pandas, which is not installed")
    assert "pip install 'rtkit[lab]'" in sentence
