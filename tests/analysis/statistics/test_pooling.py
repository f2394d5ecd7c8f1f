"""Sessions put together: quantiles, pacings over files, worst cases, and their pictures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from facts import CALL, saying, session, settings, turn, unstamped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import rtkit
from rtkit.analysis.accuracy.wer_result import WordErrorRate
from rtkit.analysis.naming import service_of
from rtkit.analysis.statistics.bootstrap import bootstrap_quantiles
from rtkit.analysis.statistics.paired import Paired, paired_difference
from rtkit.analysis.statistics.pooling import Pool, pool
from rtkit.analysis.statistics.worst import Case, Worst
from rtkit.audio import open_clip
from rtkit.session import Ending, Session


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
    naive = replace(services["fast"].settings, pacing="fixed_sleep")
    some = {**services, "naive": replace(services["fast"], settings=naive)}
    assert list(pool(some, "lateness")) == [  # also where only one of the groups holds two
        "wall_clock, embedded, delay 150 ms",
        "wall_clock, embedded, delay 400 ms",
        "fixed_sleep, embedded, delay 150 ms",
    ]


@pytest.mark.parametrize(
    "function",
    [
        *(rtkit.quantile_intervals, rtkit.compare_pacings, rtkit.compare_paired, pool),
        *(Pool.intervals, bootstrap_quantiles, paired_difference),
        *(WordErrorRate.bootstrap, WordErrorRate.difference),
    ],
)
def test_what_is_not_said_is_the_same_everywhere(function: Callable[..., object]) -> None:
    usual = {"level": 0.95, "resamples": 5000, "seed": 0, "include_invalid": False}
    taken = inspect.signature(function).parameters
    there = {name: taken[name].default for name in usual if name in taken}
    assert there
    assert there == {name: usual[name] for name in there}


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


def recorded(one: Session, recording: str) -> Session:
    return replace(one, settings=replace(one.settings, recording=recording))


def test_recordings_are_drawn_where_there_are_several(sessions: dict[str, Session]) -> None:
    """Five sessions of each of two files are two units, and not ten."""
    paced = [one for name, one in sessions.items() if name.startswith("wall")]
    ten = [
        recorded(replace(one, started=str(again)), f"{number} of 2.wav")
        for again in range(5)
        for number, one in enumerate(paced[:2])
    ]
    table = rtkit.quantile_intervals(ten, "word_latency")
    assert table.recordings.tolist() == [2] * 3
    assert table.sessions.tolist() == [10] * 3
    assert table.note.tolist() == [
        "no bounds: 2 of 10 recordings",
        "no upper bound: 2 of 72 recordings",
        "no upper bound: 2 of 368 recordings",
    ]
    assert np.isinf(table.high).all()
    each = rtkit.quantile_intervals(ten, "word_latency", by="recording", quantiles=(0.5,))
    assert each.note.tolist() == ["no bounds: 5 of 10 sessions"] * 2
    many = [recorded(one, f"{number}.wav") for number, one in enumerate(ten)]
    (row,) = rtkit.quantile_intervals(many, "word_latency", quantiles=(0.5,)).itertuples()
    assert (row.recordings, row.note) == (10, "")
    assert row.low < row.value < row.high


def stopped(one: Session) -> Session:
    """The same session, which did not end by itself."""
    return replace(one, ending=Ending("stopped"))


def test_sessions_that_are_not_valid_are_left_out_and_counted(
    sessions: dict[str, Session], ax: Axes
) -> None:
    some = {
        "fine": sessions["wall_clock 0 0"],
        "stopped": stopped(sessions["wall_clock 10 0"]),
        "naive": sessions["fixed_sleep 0 0"],
        "naive, stopped": stopped(sessions["fixed_sleep 10 0"]),
    }
    for by, names in (
        ("pacing", [("fine",), ("naive",)]),  # what pacings do is what is compared
        ("chunk", [("fine",)]),
        (("pacing", "chunk"), [("fine",), ("naive",)]),
        ("name", [(name,) for name in some]),  # each for itself
    ):
        pools = [*pool(some, "word_latency", by).values()]
        assert [tuple(one.sessions) for one in pools] == names
        left_out = {name for one in pools for name in one.left_out}
        assert left_out == {*some} - {name for group in names for name in group}
    everything = pool(some, "word_latency", "chunk", include_invalid=True)["100 ms"]
    assert (tuple(everything.sessions), everything.left_out) == ((*some,), ())
    late = pool(some, "lateness", "chunk")["100 ms"]
    assert (tuple(late.sessions), late.left_out) == ((*some,), ())  # lateness is what it is

    table = rtkit.quantile_intervals(some, "word_latency", by="chunk", quantiles=(0.5,))
    assert table[["sessions", "left_out"]].to_numpy().tolist() == [[1, 3]]
    taken = rtkit.quantile_intervals(
        some, "word_latency", by="chunk", quantiles=(0.5,), include_invalid=True
    )
    assert taken[["sessions", "left_out"]].to_numpy().tolist() == [[4, 0]]
    assert taken["count"][0] > table["count"][0]

    rtkit.plot_distribution(some, "word_latency", by="chunk", ax=ax)
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_title().get_text().endswith("sessions left out, not valid: 3")
    (line,) = rtkit.plot_distribution(
        some, "word_latency", by="chunk", include_invalid=True, ax=Figure().subplots()
    )
    assert "4 sessions" in str(line.get_label()).replace("\N{NO-BREAK SPACE}", " ")


def test_where_none_is_valid_that_is_said(sessions: dict[str, Session], ax: Axes) -> None:
    none = {name: stopped(sessions[f"wall_clock {name} 0"]) for name in ("0", "10")}
    (row,) = rtkit.quantile_intervals(none, "word_latency", quantiles=(0.5,)).itertuples()
    assert (row.count, row.sessions, row.left_out, row.note) == (0, 0, 2, "no values")
    assert np.isnan(row.value)
    assert rtkit.plot_distribution(none, "word_latency", ax=ax) == []
    assert [text.get_text() for text in ax.texts] == ["no words to measure in valid sessions"]
    alone = rtkit.quantile_intervals(none["0"], "word_latency", quantiles=(0.5,))
    assert (alone.sessions[0], alone.left_out[0]) == (1, 0)  # it is compared with nothing


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
    before, after = table.service.unique()
    found = rtkit.compare_paired(table, "word_latency_p50", before=before, after=after)
    name = "library_call.wav"
    assert [*found.differences] == [name, f"{name} from 10 s", f"{name} from 20 s"]
    np.testing.assert_allclose([*found.differences.values()], 0.25, atol=1e-6)
    assert found.invalid == 12  # the naive ones, of either service
    delays = rtkit.compare_paired(
        table, "word_latency_p50", by="service_delay", before=0.1, after=0.35
    )
    assert delays == found
    naive = table[table.service.eq(before) | table.pacing.eq("fixed_sleep")]
    only = rtkit.compare_paired(
        naive, "word_latency_p50", before=before, after=after, include_invalid=True
    )
    np.testing.assert_allclose([*only.differences.values()], 0.25, atol=1e-6)  # like with like
    assert only.invalid == 0
    with pytest.raises(ValueError, match=r"no session with service '.* 350 ms' is valid"):
        rtkit.compare_paired(naive, "word_latency_p50", before=before, after=after)
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
        ("regions", "us", "unknown column 'regions'; did you mean 'region'"),
        ("recording", "us", "leaves nothing to pair"),
        ("region", "eu", "before and after are both 'eu'"),
        ("region", "asia", "no session with region 'asia'; it has 'eu', 'us'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            rtkit.compare_paired(table, "word_latency_p50", by=by, before="eu", after=after)


def judged(
    *figures: tuple[str, float, str, float, bool, str],
    by: str = "pacing",
    include_invalid: bool = False,
) -> Paired:
    columns = ["recording", "chunk", "pacing", "word_latency_p50", "valid", "problems"]
    table = pd.DataFrame(figures, columns=columns)
    before, after = table[by].unique()
    return rtkit.compare_paired(
        table,
        "word_latency_p50",
        by=by,
        before=before,
        after=after,
        include_invalid=include_invalid,
    )


def test_rows_that_are_not_valid_are_left_out_and_counted() -> None:
    good = [
        (name, chunk, "wall_clock", seconds, True, "")
        for name in "abc"
        for chunk, seconds in ((0.1, 1.0), (0.2, 1.5))
    ]
    bad = ("c", 0.2, "wall_clock", 9.0, False, "stall")
    found = judged(*good, bad, by="chunk")
    assert found.differences == {"a": 0.5, "b": 0.5, "c": 0.5}
    assert found.invalid == 1
    assert "1 session left out, not valid" in str(found)
    taken = judged(*good, bad, by="chunk", include_invalid=True)
    assert taken.differences["c"] == pytest.approx((1.5 + 9) / 2 - 1)
    assert taken.invalid == 0
    lost = judged(*good[:5], ("c", 0.2, "wall_clock", 9.0, False, "stall"), by="chunk")
    assert (lost.differences, lost.left_out) == ({"a": 0.5, "b": 0.5}, 1)


def test_a_table_need_not_say_how_it_was_paced() -> None:
    rows = [
        (name, service, seconds, name != "c", "late" if name == "c" else "")
        for name in "abc"
        for service, seconds in (("one", 1.0), ("other", 2.0))
    ]
    columns = ["recording", "service", "word_latency_p50", "valid", "problems"]
    found = rtkit.compare_paired(
        pd.DataFrame(rows, columns=columns), "word_latency_p50", before="one", after="other"
    )
    assert (found.differences, found.invalid) == ({"a": 1.0, "b": 1.0}, 2)


@pytest.mark.parametrize(
    ("pacing", "problems", "counts"),
    [
        ("fixed_sleep", "late", True),  # it is what pacings are compared for
        ("unpaced", "unpaced", True),
        ("unpaced", "late, unpaced, backpressure", True),
        ("fixed_sleep", "late, backpressure", False),
        ("fixed_sleep", "late, stall", False),
        ("fixed_sleep", "incomplete", False),
    ],
)
def test_what_a_pacing_does_is_no_reason_to_leave_it_out(
    pacing: str, problems: str, counts: bool
) -> None:
    paced = [(name, 0.1, "wall_clock", 1.0, True, "") for name in "abc"]
    other = [(name, 0.1, pacing, 2.0, False, problems) for name in "abc"]
    if counts:
        assert judged(*paced, *other).differences == {"a": 1, "b": 1, "c": 1}
    else:
        with pytest.raises(ValueError, match=f"no session with pacing '{pacing}' is valid; incl"):
            judged(*paced, *other)
    late = [(name, 0.1, "wall_clock", 1.0, False, "late") for name in "abc"]
    with pytest.raises(ValueError, match="no session with pacing 'wall_clock' is valid"):
        judged(*late, *other)


def test_what_the_sender_did_counts_in_every_session() -> None:
    table = rows(*[(name, 0.1, how, 1.0) for name in "abc" for how in ("wall_clock", "unpaced")])
    table["lateness_p99"], table["valid"], table["problems"] = 0.5, False, "stall"
    assert rtkit.compare_pacings(table, "lateness_p99", after="unpaced").invalid == 0


def test_excerpts_are_paired_by_where_they_begin_and_how_long_they_are() -> None:
    table = rows(
        *[("a", 0.1, how, seconds) for seconds in (1.0, 2.0) for how in ("wall_clock", "unpaced")],
        ("a", 0.1, "wall_clock", 3.0),
        ("a", 0.1, "unpaced", 5.0),
        ("b", 0.1, "wall_clock", 1.0),
        ("b", 0.1, "unpaced", 2.0),
    )
    table["clip_start"] = [0.0, 0.0, 5.0, 5.0, 0.0, 0.0, 0.0, 0.0]
    table["clip_seconds"] = [10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 10.0, 10.0]
    found = rtkit.compare_pacings(table, "word_latency_p50", after="unpaced")
    assert found.differences == {"a, 10 s": 0, "a, 20 s": 2, "a from 5 s": 0, "b": 1}
    lengths = table[table.pacing.eq("unpaced") == table.clip_seconds.eq(20)]
    with pytest.raises(ValueError, match="0 of 4 files were measured both ways"):
        rtkit.compare_pacings(lengths, "word_latency_p50", after="unpaced")


def test_only_files_of_the_two_are_counted_as_left_out() -> None:
    table = rows(
        *[(name, 0.1, how, 1.0) for name in "ab" for how in ("wall_clock", "fixed_sleep")],
        ("c", 0.1, "unpaced", 1.0),
        ("d", 0.1, "wall_clock", 1.0),
    )
    assert rtkit.compare_pacings(table, "word_latency_p50").left_out == 1


@pytest.mark.parametrize(
    ("metric", "shown"),
    [
        ("word_latency_p50", "+250.0 ms ("),
        ("turn_latency_made_by_the_sender", "+25.0 percentage points ("),
        ("drift", "+250.0 ms per s of audio ("),
        ("loop_stalls", "+0.2 ("),
        ("my_own", "+250.0 ms ("),
    ],
)
def test_a_difference_is_printed_in_its_metrics_unit(metric: str, shown: str) -> None:
    table = rows(*[(name, 0.1, how, 1.0) for name in "ab" for how in ("wall_clock", "fixed_sleep")])
    table[metric] = [1.0, 1.25] * 2
    assert str(rtkit.compare_pacings(table, metric)).startswith(shown)


def test_a_comparison_that_cannot_be_is_refused() -> None:
    table = rows(("a", 0.1, "wall_clock", 1.0), ("a", 0.1, "fixed_sleep", 2.0))
    with pytest.raises(ValueError, match="1 of 1 file was measured both ways"):
        rtkit.compare_pacings(table, "word_latency_p50")
    with pytest.raises(ValueError, match="the column 'pacing' holds no numbers"):
        rtkit.compare_pacings(table, "pacing")
    with pytest.raises(ValueError, match="unknown metric 'wer'; one of 'recording', 'chunk'"):
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


def test_an_undecided_turn_has_one_part_for_two_and_says_how_well_it_is_known() -> None:
    heard = unstamped(session([0.0] * 10, turn(0.75, ("one", 0.0, 0.15), final=True)))
    (case,) = rtkit.worst_cases(heard)["call.wav"]
    assert set(case.parts) == {"chunk_wait", "lateness", "since_sent"}
    assert sum(case.parts.values()) == pytest.approx(case.seconds)
    late = replace(
        case, parts={"chunk_wait": 0.05, "lateness": 0.1}, half_widths={"lateness": 0.02}
    )
    assert [late.part(name) for name in ("chunk_wait", "lateness", "since_sent")] == [
        *("50", "100 ± 20", ""),
    ]
    assert replace(late, half_widths={"lateness": 0.0004}).part("lateness") == "100"
    worst = Worst("turn_latency", {"call.wav": (case, late)})
    assert "chunk wait 50 + lateness 100 ± 20 [" in str(worst)
    assert " 600 ms at 0:0" in str(worst)
    assert "at worst 600 ms, at 0:0" in worst._repr_html_()
    sides = re.findall(r"<th style=.text-align: (\w+);[^>]*>(\w+)</th>", worst._repr_html_())
    assert [name for side, name in sides if side == "left"] == ["what", "session"]
    assert len(rtkit.worst_cases([heard, heard], count=1)["call.wav"]) == 1
    assert ">100 ± 20</td>" in worst._repr_html_()


def test_the_parts_that_may_be_off_are_those_that_have_bounds() -> None:
    late = [0.01 * i for i in range(10)]
    one = unstamped(session(late, turn(0.95, ("one", 0.0, 0.15), final=True)))
    one = saying(one, lambda turn: replace(turn, heard=0.65))  # chunks 1 to 6 may have decided
    (case,) = rtkit.worst_cases(one)["call.wav"]
    assert [case.part(name) for name in case.parts] == ["50", "500", "35 ± 25", "215 ± 25"]


def test_cases_of_unlike_parts_share_a_table_and_keep_their_own() -> None:
    decided = session([0.0] * 10, turn(0.75, ("one", 0.0, 0.15), final=True, decided=600))
    heard = {"stamped": decided, "bare": unstamped(decided)}
    worst = rtkit.worst_cases(heard)
    stamped, bare = worst["call.wav"]
    assert [case.session for case in (stamped, bare)] == [*heard]
    page = worst._repr_html_()
    head, *cells = (row.split("</t")[:-2] for row in page.split("<tr>")[1:])
    shown = [[cell.rpartition(">")[2] for cell in row] for row in (head, *cells)]
    chunk, endpoint, late, service, since = (shown[0].index(name) for name in (
        "chunk wait", "endpoint wait", "lateness", "service time", "endpoint wait + service time",
    ))  # fmt: skip
    assert [shown[1][i] == "" for i in (chunk, endpoint, late, service, since)] == [
        *(False, False, False, False, True),
    ]
    assert [shown[2][i] == "" for i in (chunk, endpoint, late, service, since)] == [
        *(False, True, False, True, False),
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0:00.0"), (59.94, "0:59.9"), (59.96, "1:00.0"), (61.25, "1:01.2"), (3671.5, "61:11.5")],
)
def test_where_a_case_is_counts_minutes(seconds: float, shown: str) -> None:
    case = Case("a.wav", "s", seconds, "", 0.1, {"lateness": 0.1})
    assert f" at {shown}: lateness 100 [s]" in str(Worst("lateness", {"a.wav": (case,)}))
    assert f", at {shown}</summary>" in Worst("lateness", {"a.wav": (case,)})._repr_html_()


def test_each_recording_is_named_over_its_cases(sessions: dict[str, Session]) -> None:
    one = sessions["wall_clock 0 0"]
    both = {"a": recorded(one, "a.wav"), "b": recorded(one, "b.wav")}
    worst = rtkit.worst_cases(both, "word_latency", count=2)
    lines = str(worst).splitlines()
    assert [line for line in lines if not line.startswith("  ")] == ["a.wav", "b.wav"]
    assert len(lines) == 6
    assert [len(cases) for cases in worst.cases.values()] == [2, 2]
    assert [case.recording for case in worst["b.wav"]] == ["b.wav"] * 2
    assert worst._repr_html_().count("<b>a.wav</b>") == 1
    with pytest.raises(ValueError, match="count=0 is too small"):
        rtkit.worst_cases(both, count=0)


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
    with pytest.raises(FileNotFoundError, match=r"^No such file or folder: .*nothing. Give one"):
        rtkit.worst_cases(tmp_path / "nothing")
    with pytest.raises(ValueError, match="contains no session that can be read"):
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
    table = rtkit.quantile_intervals(twice, "turn_latency", quantiles=(0.5, 0.95))
    assert table.note.tolist() == ["", "no upper bound: 12 of 72 sessions"] * 2
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
