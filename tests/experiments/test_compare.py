"""The same clip under several pacings, and the table of their figures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import MakeClip, simulate
from facts import session, turn

from rtkit.analysis.naming import named
from rtkit.analysis.summary import summarize
from rtkit.audio import Clip
from rtkit.experiments import compare as comparison
from rtkit.experiments.compare import compare
from rtkit.loopback.engines import Energy
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.markup import Table
from rtkit.recording import load_session
from rtkit.sending.stream import stream
from rtkit.session import Session


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has `compare` speak to a service in memory; holds the pacings that were streamed."""
    pacings = []

    async def in_memory(clip: Clip, *, pacing: str, record: Path | None, **how: Any) -> Session:
        pacings.append(pacing)
        connection = InMemoryConnection(Energy, rate=clip.rate)
        return await stream(clip, pacing=pacing, record=record, connection=connection, **how)

    monkeypatch.setattr(comparison, "stream", in_memory)
    return pacings


@pytest.mark.parametrize(
    ("pacings", "expected"),
    [
        (("fixed_sleep", "wall_clock"), ["fixed_sleep", "wall_clock"]),
        (("wall_clock", "unpaced", "fixed_sleep"), ["wall_clock", "unpaced", "fixed_sleep"]),
        ("unpaced", ["unpaced"]),
        (iter(["unpaced"]), ["unpaced"]),
        (("unpaced", "unpaced"), ["unpaced"]),
        ((), []),
    ],
)
def test_compare_streams_each_pacing_once_in_order(
    make_clip: MakeClip, streamed: list[str], pacings: tuple[str, ...], expected: list[str]
) -> None:
    sessions = simulate(compare(make_clip(0.5), pacings=pacings, work=0.01))
    assert list(sessions) == streamed == expected
    for pacing, one in sessions.items():
        assert one.settings.pacing == pacing
        assert one.settings.work == 0.01
        assert one.complete


def test_compare_shows_the_naive_senders_lateness(make_clip: MakeClip, streamed: list[str]) -> None:
    sessions = simulate(compare(make_clip(10.1), chunk=0.1, work=0.003))
    late = summarize(sessions)["lateness of the last chunk, ms"]
    assert late == pytest.approx({"fixed_sleep": 300, "wall_clock": 0}, abs=1e-6)


def test_compare_records_into_a_folder(
    make_clip: MakeClip, streamed: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "runs"
    sessions = simulate(compare(make_clip(0.5), record=folder))
    assert sorted(path.name for path in folder.iterdir()) == [
        "fixed_sleep.jsonl",
        "wall_clock.jsonl",
    ]
    for pacing, one in sessions.items():
        assert load_session(folder / f"{pacing}.jsonl").chunks == one.chunks


def test_compare_keeps_earlier_runs(
    make_clip: MakeClip, streamed: list[str], tmp_path: Path
) -> None:
    runs = [simulate(compare(make_clip(seconds), record=tmp_path)) for seconds in (0.2, 0.3, 0.4)]
    (tmp_path / "wall_clock-4.jsonl").touch()  # then none of the run's files has that number
    runs.append(simulate(compare(make_clip(0.5), record=tmp_path)))
    for number, run in zip(("", "-2", "-3", "-5"), runs, strict=True):
        for pacing, one in run.items():
            assert load_session(tmp_path / f"{pacing}{number}.jsonl").chunks == one.chunks
    assert len(list(tmp_path.glob("*.jsonl"))) == 9


@pytest.mark.parametrize(
    ("pacings", "how", "words"),
    [
        (("wall_clock", "walclock"), {}, "unknown pacing 'walclock'"),
        (("fixed_sleep", "wall_clock"), {"catch_up": 0.5}, "catch_up"),
    ],
)
def test_what_a_pacing_cannot_do_is_said_before_anything_is_sent(
    make_clip: MakeClip,
    streamed: list[str],
    pacings: tuple[str, ...],
    how: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(ValueError, match=words):
        simulate(compare(make_clip(0.5), pacings=pacings, **how))
    assert streamed == []


def test_sessions_are_named_by_their_settings_and_numbered_where_they_repeat() -> None:
    a, b, c, d = session(), session(), session(), session(chunk=0.05)
    assert list(named([a, b, c, d]).items()) == [
        ("wall_clock, 100 ms", a),
        ("wall_clock, 100 ms (2)", b),
        ("wall_clock, 100 ms (3)", c),
        ("wall_clock, 50 ms", d),
    ]
    assert named(a) == {"wall_clock, 100 ms": a}
    assert named({"mine": a}) == {"mine": a}
    assert named([]) == {}


# The table.

LATE = [0.0, 0.01, 0.02, 0.03]


def test_figures_are_in_the_rows_unit() -> None:
    final = turn(0.6, ("so", 0.0, 0.2), final=True, decided=400)
    last = turn(0.9, ("no", 0.2, 0.3), order=1, final=True, decided=400, cause="terminate")
    table = summarize({"a": session(LATE, final, last)})
    expected = {
        "chunks sent": 4,
        "lateness of the last chunk, ms": 30,
        "drift, ms per s of audio": 100,
        "lateness p50, ms": 15,
        "lateness p99, ms": 29.7,
        "lateness max, ms": 30,
        "jitter p99, ms": 0,
        "turns counted": 1,
        "turn latency p50, ms": 400,
        "turn latency p95, ms": 400,
        "turn service time p50, ms": 170,
        "turn service time p95, ms": 170,
        "turn endpoint wait + service time p50, ms": 370,
        "word latency p50, ms": 500,
        "word latency p95, ms": 590,
        "word service time p50, ms": (390 + 580) / 2,
        "word first correct p50 (PR50), ms": 500,
        "word first correct p90 (PR90), ms": 580,
        "first-word latency p50, ms": 500,
        "turn latency caused by the sender, %": 7.5,
        "loop stalls": 0,
    }
    found = {name: table[name]["a"] for name, _, _ in table.rows}
    assert found == pytest.approx(expected, abs=1e-6)


def test_an_unknown_row_is_told_with_the_rows_there_are() -> None:
    with pytest.raises(
        KeyError, match=r"unknown row 'drift'; did you mean 'drift, ms per s of audio'"
    ):
        summarize(session(LATE))["drift"]


def test_text_is_aligned() -> None:
    table = summarize({"a": session(LATE), "a much longer name": session()})
    lines = str(table).splitlines()[: 2 + len(table.rows)]
    assert len({len(line) for line in lines}) == 1
    assert lines[0].endswith("  a much longer name")
    assert set(lines[1]) == {"-"}
    assert lines[2].split() == ["chunks", "sent", "4", "0"]


def test_html_is_escaped_and_well_formed() -> None:
    text = summarize({"<b>&": session(LATE), "b": session()})._repr_html_()
    table = ElementTree.fromstring(text)
    assert [cell.text for cell in table.iter("th")] == [None, "<b>&", "b"]
    rows = [[cell.text for cell in row.iter("td")] for row in table.iter("tr")][1:]
    assert rows[0] == ["chunks sent", "4", "0"]
    assert {len(row) for row in rows} == {3}


@pytest.mark.parametrize(
    ("value", "form", "shown"),
    [
        (math.nan, ".1f", "–"),
        (math.nan, "d", "–"),
        (-0.01, ".1f", "0.0"),
        (-0.0, ".0f", "0"),
        (-1.26, ".1f", "-1.3"),
        (3.0, "d", "3"),
    ],
)
def test_cells(value: float, form: str, shown: str) -> None:
    assert Table(("a",), (("row", (value,), form),)).cells() == [["", "a"], ["row", shown]]


@pytest.mark.parametrize(
    ("one", "numbers"),
    [
        pytest.param(session(), {"chunks sent", "turns counted", "loop stalls"}, id="empty"),
        pytest.param(
            session([0.5], ending=None),
            {
                "chunks sent",
                "turns counted",
                "loop stalls",
                "jitter p99, ms",
                "lateness of the last chunk, ms",
                "lateness p50, ms",
                "lateness p99, ms",
                "lateness max, ms",
            },
            id="cut off after a chunk",
        ),
    ],
)
def test_what_was_not_measured_is_a_dash(one: Session, numbers: set[str]) -> None:
    cells = summarize(one).cells()[1:]
    assert {name for name, cell in cells if cell != "–"} == numbers


def test_no_sessions_make_a_table_without_columns() -> None:
    table = summarize({})
    assert table["chunks sent"] == {}
    assert "chunks sent" in str(table)


def test_what_the_service_does_not_tell_apart_is_a_dash_and_a_note() -> None:
    final = turn(0.6, ("so", 0.0, 0.2), final=True)
    table = summarize({"a": session(LATE, final)})
    assert math.isnan(table["turn service time p50, ms"]["a"])
    # The word's chunk was 10 ms late, the last one before the final 30: between them, 20 +- 10.
    assert table["turn endpoint wait + service time p50, ms"]["a"] == pytest.approx(380)
    assert table["lateness of turns known to ±, max, ms"]["a"] == pytest.approx(10)
    assert any("known only as a sum" in note for note in table.notes)


def test_stretches_of_speech_are_not_measured_as_words() -> None:
    final = turn(0.6, ("[speech 0.0-0.2 s]", 0.0, 0.2), final=True, decided=400)
    table = summarize({"a": session(LATE, final, service={"engine": "energy"})})
    assert math.isnan(table["word latency p50, ms"]["a"])
    assert table["turn latency p50, ms"]["a"] == pytest.approx(400)
    assert any("only marks speech" in note for note in table.notes)


def test_words_that_were_missed_are_counted_in_a_note() -> None:
    final = turn(0.6, ("so", 0.0, 0.2), final=True, decided=400)
    said = [("so", 0.0, 0.2), ("what", 0.2, 0.3)]
    notes = summarize({"a": session(LATE, final, reference=said)}).notes
    assert "a: 1 of the reference's 2 words were recognized and counted." in notes


def test_a_path_in_the_place_of_a_session_is_told() -> None:
    with pytest.raises(TypeError, match=r"load_session\(PATH\)"):
        summarize("runs/a.jsonl")  # type: ignore[arg-type]
