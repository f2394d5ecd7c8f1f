"""Sessions put together: quantiles, pacings over files, worst cases, and their pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from facts import session, settings, turn, unstamped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import rtkit
from rtkit.audio import open_clip
from rtkit.pooling import pool
from rtkit.session import Session

CALL = Path(__file__).parents[1] / "data" / "library_call.wav"


@pytest.fixture(scope="module")
def sessions() -> dict[str, Session]:
    return {
        f"{pacing} {start} {seed}": rtkit.simulate(
            open_clip(CALL, seconds=10, start=start),
            pacing=pacing,
            work=0.004,
            delay=0.1,
            delay_jitter=0.2,
            seed=seed,
        )
        for pacing in ("fixed_sleep", "wall_clock")
        for start in (0, 10, 20)
        for seed in (0, 1)
    }


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def test_a_pool_holds_every_value_and_whose_it_is(sessions: dict[str, Session]) -> None:
    pools = pool(sessions, "word_latency")
    assert list(pools) == ["fixed_sleep", "wall_clock"]
    one = pools["wall_clock"]
    assert len(one.sessions) == 6
    for name, member in one.sessions.items():
        expected = rtkit.word_latency(member).latency
        np.testing.assert_array_equal(one.values[one.session == name], expected)
    assert list(pool(sessions, "lateness", ("pacing", "chunk"))) == [
        "fixed_sleep, 100 ms",
        "wall_clock, 100 ms",
    ]


def test_what_terminate_ended_is_not_in_it() -> None:
    ended = session(
        [0.0] * 10,
        turn(0.75, ("one", 0.0, 0.15), order=0, final=True, decided=600),
        turn(1.3, ("two", 0.8, 0.95), order=1, final=True, decided=1000, cause="terminate"),
    )
    np.testing.assert_allclose(pool(ended, "turn_latency")["wall_clock"].values, [0.6])
    (case,) = rtkit.worst_cases(ended, "turn_latency")["call.wav"]
    assert case.text == "one"


def test_marked_speech_is_no_word(sessions: dict[str, Session]) -> None:
    heard = next(iter(sessions.values()))
    service = {**heard.settings.service, "hears": "energy"}
    marked = replace(heard, settings=replace(heard.settings, service=service))
    assert len(pool(marked, "word_latency")["fixed_sleep"].values) == 0
    assert len(pool(marked, "turn_latency")["fixed_sleep"].values) > 0


def test_quantiles_stand_in_their_intervals(sessions: dict[str, Session]) -> None:
    table = rtkit.quantile_intervals(sessions, "word_latency")
    assert table.group.tolist() == ["fixed_sleep"] * 3 + ["wall_clock"] * 3
    assert ((table.low <= table.value) & (table.value <= table.high)).all()
    assert (table.sessions == 6).all()
    values = pool(sessions, "word_latency")["wall_clock"].values
    np.testing.assert_allclose(table.value[3:], np.quantile(values, (0.5, 0.95, 0.99)))


@pytest.mark.parametrize(
    ("of", "by", "sentence"),
    [("latency", "pacing", "unknown measure 'latency'"), ("lateness", "rate", "unknown setting")],
)
def test_an_unknown_name_is_loud(
    sessions: dict[str, Session], of: str, by: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        rtkit.quantile_intervals(sessions, of, by=by)


def rows(*figures: tuple[str, float, str, float]) -> pd.DataFrame:
    return pd.DataFrame(figures, columns=["recording", "chunk", "pacing", "word_latency_p50"])


def test_pacings_are_compared_file_by_file() -> None:
    table = rows(
        ("a", 0.1, "wall_clock", 1.0),
        ("a", 0.1, "wall_clock", 2.0),  # a repeat
        ("a", 0.1, "fixed_sleep", 2.0),
        ("a", 0.2, "fixed_sleep", 99.0),  # no such chunk with the other pacing
        ("b", 0.1, "wall_clock", 1.0),
        ("b", 0.1, "fixed_sleep", 2.5),
        ("c", 0.1, "fixed_sleep", 7.0),  # not at all with the other
    )
    found = rtkit.compare_pacings(table, "word_latency_p50")
    assert found.differences == {"a": 0.5, "b": 1.5}
    assert found.left_out == 1
    swapped = rtkit.compare_pacings(
        table, "word_latency_p50", before="fixed_sleep", after="wall_clock"
    )
    assert swapped.differences == {"a": -0.5, "b": -1.5}
    table["clip_start"] = [0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 0.0]
    assert set(rtkit.compare_pacings(table, "word_latency_p50").differences) == {
        "a",
        "b from 5 s",
    }


def test_a_comparison_that_cannot_be_is_refused() -> None:
    table = rows(("a", 0.1, "wall_clock", 1.0), ("a", 0.1, "fixed_sleep", 2.0))
    with pytest.raises(ValueError, match="1 of 1 files were measured both ways"):
        rtkit.compare_pacings(table, "word_latency_p50")
    with pytest.raises(ValueError, match="no figure 'wer'"):
        rtkit.compare_pacings(table, "wer")
    with pytest.raises(ValueError, match="no session with pacing 'unpaced'"):
        rtkit.compare_pacings(table, "word_latency_p50", after="unpaced")


def test_the_worst_cases_are_the_longest_and_add_up(sessions: dict[str, Session]) -> None:
    for of in ("word_latency", "turn_latency", "lateness"):
        cases = rtkit.worst_cases(sessions, of, count=4)["library_call.wav"]
        everything = np.concatenate([one.values for one in pool(sessions, of).values()])
        np.testing.assert_allclose([c.seconds for c in cases], np.sort(everything)[::-1][:4])
        for case in cases:
            assert sum(case.parts.values()) == pytest.approx(case.seconds)
            started = float(case.session.split()[1])
            assert started <= case.at <= started + 10  # in the recording, not in the excerpt


def test_an_undecided_turn_has_one_part_for_two() -> None:
    heard = unstamped(session([0.0] * 10, turn(0.75, ("one", 0.0, 0.15), final=True)))
    (case,) = rtkit.worst_cases(heard)["call.wav"]
    assert set(case.parts) == {"chunk_wait", "lateness", "since_sent"}
    assert "endpoint wait + service time" in str(rtkit.worst_cases(heard))
    assert sum(case.parts.values()) == pytest.approx(case.seconds)


def test_worst_cases_fold_out_and_link_to_the_sessions_file(tmp_path: Path) -> None:
    said = turn(0.75, ("<b>&", 0.0, 0.15), final=True, decided=600)
    mild = session([0.0] * 10, said)
    harsh = replace(mild, settings=settings(recording="a <file>.wav"), messages=(
        turn(0.95, ("x", 0.0, 0.15), final=True, decided=600),
    ))  # fmt: skip
    mild.save(tmp_path / "runs" / "mild #1.jsonl")
    harsh.save(tmp_path / "runs" / "harsh.jsonl")
    worst = rtkit.worst_cases(tmp_path / "runs")
    assert list(worst.cases) == ["a <file>.wav", "call.wav"]  # the worst first
    shown = worst._repr_html_()
    assert shown.count("<details>") == shown.count("</details>") == 2
    assert "<b>&" not in shown
    assert "a <file>" not in shown
    links = [unquote(part.split('"')[0]) for part in shown.split('href="')[1:]]
    assert [Path(link).resolve().is_file() for link in links] == [True, True]
    assert "0:00.2" in shown or "0:00.1" in shown


# Pictures.


def test_a_line_a_pacing_with_all_its_values(sessions: dict[str, Session], ax: Axes) -> None:
    artists = rtkit.plot_distribution(sessions, "word_latency", ax=ax)
    for artist, one in zip(artists, pool(sessions, "word_latency").values(), strict=True):
        assert isinstance(artist, Line2D)
        drawn = np.asarray(artist.get_xdata())[1:]
        np.testing.assert_allclose(drawn, np.sort(one.values) * 1000)
        assert f"n = {len(one.values)}" in str(artist.get_label())
    assert ax.get_xlabel() == "latency, ms"


def test_its_bars_are_the_intervals(sessions: dict[str, Session], ax: Axes) -> None:
    rtkit.plot_distribution(sessions, "turn_latency", ax=ax)
    table = rtkit.quantile_intervals(sessions, "turn_latency", quantiles=(0.5, 0.95), resamples=500)
    bars = [bar.lines[2][0].get_segments()[0] for bar in ax.containers]  # type: ignore[attr-defined]
    np.testing.assert_allclose([bar[:, 0] for bar in bars], table[["low", "high"]] * 1000)
    np.testing.assert_allclose([bar[0, 1] for bar in bars], table["quantile"])


def test_nothing_to_measure_is_said(ax: Axes) -> None:
    assert rtkit.plot_distribution(session([0.0] * 3), "turn_latency", ax=ax) == []
    assert [text.get_text() for text in ax.texts] == ["no turns to measure"]


def test_three_distributions_side_by_side(sessions: dict[str, Session]) -> None:
    figure = rtkit.plot_distributions(sessions, by="recording")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["Word latency", "Turn latency", "Lateness"]
    figure.canvas.draw()
