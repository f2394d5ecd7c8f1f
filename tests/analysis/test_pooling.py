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
from rtkit.analysis.naming import service_of
from rtkit.analysis.pooling import pool
from rtkit.audio import open_clip
from rtkit.session import Session

CALL = Path(__file__).parents[2] / "data" / "library_call.wav"


@pytest.fixture(scope="module")
def sessions() -> dict[str, Session]:
    return {
        f"{pacing} {start} {seed}": rtkit.simulate(
            open_clip(CALL, seconds=10, start=start),
            pacing=pacing,
            work=0.004,
            delay=0.1,
            delay_spread=0.2,
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


def served(one: Session, **service: object) -> Session:
    """The same session, from a service that describes itself so."""
    described = {"name": "embedded", "engine": "script", "delay": 0.15, **service}
    return replace(one, settings=replace(one.settings, service=described))


@pytest.fixture
def services(sessions: dict[str, Session]) -> dict[str, Session]:
    """A fast service and a slow one, each with the same two excerpts."""
    one, two = sessions["wall_clock 0 0"], sessions["wall_clock 10 0"]
    return {
        "fast": served(one, seed=1),
        "fast too": served(two, seed=2),
        "slow": served(one, delay=0.4),
        "slow too": served(two, delay=0.4),
    }


def test_services_are_never_put_together(services: dict[str, Session], ax: Axes) -> None:
    pools = pool(services, "word_latency")
    assert {key: [*one.sessions] for key, one in pools.items()} == {
        "wall_clock, embedded, delay 150 ms": ["fast", "fast too"],
        "wall_clock, embedded, delay 400 ms": ["slow", "slow too"],
    }
    lines = rtkit.plot_distribution(services, "word_latency", ax=ax)
    assert [str(line.get_label()).partition("\n")[0] for line in lines] == [
        "wall clock, embedded, delay 150 ms",
        "wall clock, embedded, delay 400 ms",
    ]
    slow = {name: services[name] for name in ("slow", "slow too")}
    assert list(pool(slow, "word_latency")) == ["wall_clock"]  # there is nothing to tell apart


def test_services_models_and_names_are_settings_too(services: dict[str, Session]) -> None:
    by = {
        setting: list(pool(services, "lateness", setting))
        for setting in ("service", "name", "speech_model")
    }
    slow, fast = "embedded, delay 400 ms", "embedded, delay 150 ms"
    assert by["service"] == [fast, slow]
    assert by["name"] == [*services]
    assert by["speech_model"] == [f"unknown model, {fast}", f"unknown model, {slow}"]
    models = {
        model: served(services["fast"], name="AssemblyAI", speech_model=model)
        for model in ("one", "two")
    }
    assert list(pool(models, "lateness", "speech_model")) == ["one", "two"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"parameters": {"min_turn_silence": 160}}, {"parameters": {"min_turn_silence": 400}}),
        ({"speech_model": "universal-streaming-english"}, {"speech_model": "universal-3-5-pro"}),
        ({"simulated": {"network": 0.0}}, {"simulated": {"network": 0.05}}),
        ({"engine": "energy"}, {"engine": "recognizer", "recognizer": "pocketsphinx"}),
        ({"format_turns": True}, {"format_turns": False}),
        ({"faults": ["drop@2"]}, {}),
    ],
)
def test_what_makes_another_service(
    services: dict[str, Session], one: dict[str, object], other: dict[str, object]
) -> None:
    first, second = served(services["fast"], **one), served(services["fast"], **other)
    assert len(pool({"a": first, "b": second}, "lateness")) == 2
    assert len(pool({"a": first, "b": replace(first)}, "lateness")) == 1
    table = rtkit.to_frame({"a": first, "b": second}, "sessions")
    assert table.service.nunique() == 2


def test_no_secret_gets_into_a_services_name(services: dict[str, Session]) -> None:
    hidden = served(
        services["fast"], api_key="hush", parameters={"token": "hush", "min_turn_silence": 100}
    )
    (row,) = rtkit.to_frame(hidden, "sessions").itertuples()
    assert row.service == "embedded, delay 150 ms, min_turn_silence=100"
    assert row.service_parameters == '{"min_turn_silence": 100}'
    assert row.service_delay == 0.15


def test_two_embedded_services_are_told_apart_by_what_they_record() -> None:
    fast, slow = rtkit.Loopback(), rtkit.Loopback(delay=0.4, parameters={"min_turn_silence": 160})
    asked = rtkit.AssemblyAI(key="secretsecret", speech_model="universal-3-5-pro")
    heard = session([0.0] * 3, reference=[("one", 0.0, 0.15)])
    told = [
        service_of(replace(heard, settings=settings(service=service.describe(heard.reference))))
        for service in (fast, slow, asked)
    ]
    assert told == [
        "embedded, delay 150 ms",
        "embedded, delay 400 ms, min_turn_silence=160",
        "AssemblyAI, universal-3-5-pro",
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
    service = {**heard.settings.service, "engine": "energy"}
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


def test_a_single_turn_has_no_interval_and_no_bar(ax: Axes) -> None:
    one = session([0.0] * 10, turn(0.96, ("one", 0.0, 0.15), final=True, decided=600))
    table = rtkit.quantile_intervals(one, "turn_latency")
    np.testing.assert_allclose(table.value, 0.81)
    assert table[["low", "high"]].isna().to_numpy().all()
    assert set(table.note) == {"1 value: there is no interval"}
    (line,) = rtkit.plot_distribution(one, "turn_latency", ax=ax)
    assert line.get_label() == "wall clock (n = 1, 1 session)\np50 810, p95 810 ms"
    assert bars(ax) == [None, None]
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "intervals left out: 2 (too few sessions or turns)"


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


def test_services_are_compared_file_by_file(sessions: dict[str, Session]) -> None:
    """The same 250 ms in every file, whatever was done with it besides."""
    slower = {
        f"slow {name}": served(rtkit.simulate(
            open_clip(CALL, seconds=10, start=int(name.split()[1])),
            pacing=name.split()[0], work=0.004, delay=0.35, delay_spread=0.2,
            seed=int(name.split()[2]),
        ), delay=0.35)
        for name in sessions
    }  # fmt: skip
    fast = {name: served(one, delay=0.1) for name, one in sessions.items()}
    table = rtkit.to_frame({**fast, **slower}, "sessions")
    starts = [int(name.removeprefix("slow ").split()[1]) for name in table.session]
    table["recording"] = [f"call {start}.wav" for start in starts]
    before, after = table.service.unique()
    found = rtkit.compare_paired(table, "word_latency_p50", before=before, after=after)
    assert [*found.differences] == ["call 0.wav", "call 10.wav", "call 20.wav"]
    np.testing.assert_allclose([*found.differences.values()], 0.25, atol=1e-6)
    delays = rtkit.compare_paired(
        table, "word_latency_p50", by="service_delay", before=0.1, after=0.35
    )
    assert delays == found
    naive = table[table.service.eq(before) | table.pacing.eq("fixed_sleep")]
    only = rtkit.compare_paired(naive, "word_latency_p50", before=before, after=after)
    np.testing.assert_allclose([*only.differences.values()], 0.25, atol=1e-6)  # like with like
    halves = table[table.service.eq(before) == table.pacing.eq("fixed_sleep")]
    with pytest.raises(ValueError, match="0 of 3 files were measured both ways"):
        rtkit.compare_pacings(halves, "word_latency_p50")  # each pacing with another service


def test_a_comparison_by_a_column_of_ones_own() -> None:
    table = rows(
        ("a", 0.1, "wall_clock", 1.0),
        ("a", 0.1, "wall_clock", 2.0),
        ("b", 0.1, "wall_clock", 1.0),
        ("b", 0.1, "wall_clock", 4.0),
    )
    table["region"] = ["eu", "us"] * 2
    found = rtkit.compare_paired(table, "word_latency_p50", by="region", before="eu", after="us")
    assert found.differences == {"a": 1.0, "b": 3.0}
    for by, after, sentence in (
        ("regions", "us", "no column 'regions'"),
        ("recording", "us", "leaves nothing to pair"),
        ("region", "eu", "before and after are both 'eu'"),
        ("region", "asia", "no session with region 'asia'; it has 'eu', 'us'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            rtkit.compare_paired(table, "word_latency_p50", by=by, before="eu", after=after)


def test_a_comparison_that_cannot_be_is_refused() -> None:
    table = rows(("a", 0.1, "wall_clock", 1.0), ("a", 0.1, "fixed_sleep", 2.0))
    with pytest.raises(ValueError, match="1 of 1 files were measured both ways"):
        rtkit.compare_pacings(table, "word_latency_p50")
    with pytest.raises(ValueError, match="the column 'pacing' holds no numbers"):
        rtkit.compare_pacings(table, "pacing")
    with pytest.raises(ValueError, match="no metric 'wer'"):
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


def test_a_files_cases_link_to_it(tmp_path: Path) -> None:
    one = session([0.0] * 10, turn(0.75, ("one", 0.0, 0.15), final=True, decided=600))
    path = one.save(tmp_path / "alone.jsonl")
    (case,) = rtkit.worst_cases(path)["call.wav"]
    assert (case.session, case.file) == ("alone", path)


def test_a_folder_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^There is no folder or file .*nothing; give one"):
        rtkit.worst_cases(tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds no session that can be read"):
        rtkit.worst_cases(tmp_path)


def test_no_cases_are_told_in_text_as_in_html() -> None:
    worst = rtkit.worst_cases(session([0.0] * 3))
    assert str(worst) == "No cases."
    assert worst._repr_html_() == "<p>No cases.</p>"


# Pictures.


def test_a_line_a_pacing_with_all_its_values(sessions: dict[str, Session], ax: Axes) -> None:
    artists = rtkit.plot_distribution(sessions, "word_latency", ax=ax)
    for artist, one in zip(artists, pool(sessions, "word_latency").values(), strict=True):
        assert isinstance(artist, Line2D)
        drawn = np.asarray(artist.get_xdata())[1:]
        np.testing.assert_allclose(drawn, np.sort(one.values) * 1000)
        assert f"n = {len(one.values)}" in str(artist.get_label())
    assert ax.get_xlabel() == "latency, ms"


def bars(ax: Axes) -> list[np.ndarray | None]:
    """Each bar's two ends, None for a point without."""
    lines = [bar.lines[2] for bar in ax.containers]  # type: ignore[attr-defined]
    return [one[0].get_segments()[0] if one else None for one in lines]


def test_its_bars_are_the_intervals_that_can_be_trusted(
    sessions: dict[str, Session], ax: Axes
) -> None:
    twice = {**sessions, **{f"{name} again": one for name, one in sessions.items()}}
    rtkit.plot_distribution(twice, "turn_latency", ax=ax)
    table = rtkit.quantile_intervals(twice, "turn_latency", quantiles=(0.5, 0.95), resamples=500)
    assert table.note.str.contains("of 72 values").tolist() == [False, True] * 2
    drawn = bars(ax)
    assert [bar is None for bar in drawn] == [False, True] * 2
    for bar, row in zip(drawn, table.itertuples(), strict=True):
        if bar is not None:
            np.testing.assert_allclose(bar[:, 0], [row.low * 1000, row.high * 1000])
            np.testing.assert_allclose(bar[:, 1], 0.5)


def test_nothing_to_measure_is_said(ax: Axes) -> None:
    assert rtkit.plot_distribution(session([0.0] * 3), "turn_latency", ax=ax) == []
    assert [text.get_text() for text in ax.texts] == ["no turns to measure"]


def test_three_distributions_side_by_side(sessions: dict[str, Session]) -> None:
    figure = rtkit.plot_distributions(sessions, by="recording")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["Word latency", "Turn latency", "Lateness"]
    figure.canvas.draw()
