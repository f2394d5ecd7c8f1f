"""What the pictures show, read from the artists' data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from facts import call, session, turn, unstamped
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from rtkit.comparison import Sessions
from rtkit.latency import drift, turn_latency
from rtkit.plots import (
    describe,
    plot_comparison,
    plot_lateness,
    plot_lateness_distribution,
    plot_timeline,
    plot_turn_latency,
)
from rtkit.session import Session

Plot = Callable[..., list[Artist]]
TEN = [0.001 * i for i in range(10)]


def three_turns() -> Session:
    """Turns that wait 400 ms, that were guessed early, and that Terminate ended."""
    return session(
        TEN,
        turn(0.75, ("one", 0.0, 0.15), order=0, final=True, decided=600),
        turn(0.55, ("two", 0.4, 0.65), order=1, final=True, decided=500),
        turn(1.3, ("three", 0.8, 0.95), order=2, final=True, decided=1000, cause="terminate"),
    )


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def lines(artists: list[Artist]) -> list[Line2D]:
    return [artist for artist in artists if isinstance(artist, Line2D)]


def xs(line: Line2D) -> list[float]:
    return list(map(float, np.asarray(line.get_xdata())))


def ys(line: Line2D) -> list[float]:
    return list(map(float, np.asarray(line.get_ydata())))


def bars(artists: list[Artist]) -> list[Rectangle]:
    return [artist for artist in artists if isinstance(artist, Rectangle)]


def labels(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def stacks(artists: list[Artist]) -> dict[float, list[Rectangle]]:
    """Bars by the middle of where they stand."""
    found: dict[float, list[Rectangle]] = {}
    for bar in bars(artists):
        found.setdefault(round(bar.get_x() + bar.get_width() / 2, 6), []).append(bar)
    return found


def heights(stack: list[Rectangle]) -> list[float]:
    return [bar.get_height() for bar in stack]


# Lateness.


def test_lateness_is_drawn_in_milliseconds_over_audio(ax: Axes) -> None:
    (line,) = lines(plot_lateness(session(TEN), ax=ax))
    assert xs(line) == pytest.approx([0.1 * i for i in range(1, 11)])
    assert ys(line) == pytest.approx(list(range(10)))
    assert labels(ax) == ["wall clock, 100 ms: 9.0 ms at the end, drift +10.0 ms/s"]


def test_the_distribution_is_the_share_of_chunks_so_late(ax: Axes) -> None:
    (line,) = lines(plot_lateness_distribution(session(TEN), ax=ax))
    for late in range(10):
        reached = max(y for x, y in zip(xs(line), ys(line), strict=True) if x <= late + 1e-6)
        assert reached == pytest.approx((late + 1) / 10)
    assert labels(ax) == ["wall clock, 100 ms: p50 4.5 ms, p99 8.9 ms"]


@pytest.mark.parametrize("plot", [plot_lateness, plot_lateness_distribution])
def test_each_session_has_a_look_of_its_own(ax: Axes, plot: Plot) -> None:
    pacings = ("fixed_sleep", "wall_clock", "unpaced", "wall_clock", "wall_clock")
    artists = plot([session(TEN, pacing=pacing) for pacing in pacings], ax=ax)
    looks = {(line.get_color(), line.get_linestyle()) for line in lines(artists)}
    assert len(looks) == len(artists) == 5
    assert len(set(labels(ax))) == 5


# Turns.


def test_the_parts_of_a_turn_add_up_to_its_latency_in_milliseconds(ax: Axes) -> None:
    latency = turn_latency(three_turns())
    found = stacks(plot_turn_latency(three_turns(), ax=ax))
    assert list(found) == [1, 2, 3]
    for stack, whole in zip(found.values(), latency.latency, strict=True):
        assert sum(heights(stack)) == pytest.approx(whole * 1000)


def test_each_part_is_its_own_bar_and_negative_ones_hang_below_zero(ax: Axes) -> None:
    found = stacks(plot_turn_latency(three_turns(), ax=ax))
    assert heights(found[1]) == pytest.approx([50, 400, 5, 145])
    assert heights(found[2]) == pytest.approx([50, -200, 4, 46])
    for stack in found.values():
        above = below = 0.0
        for bar in stack:
            assert bar.get_y() == pytest.approx(above if bar.get_height() >= 0 else below)
            above += max(bar.get_height(), 0)
            below += min(bar.get_height(), 0)
    assert labels(ax)[:4] == [
        "chunk wait", "endpoint wait", "lateness (the sender's)", "service time",
    ]  # fmt: skip


def test_a_turn_that_terminate_ended_is_faint(ax: Axes) -> None:
    found = stacks(plot_turn_latency(three_turns(), ax=ax))
    faint = [{bar.get_alpha() for bar in stack} for stack in found.values()]
    assert faint == [{1.0}, {1.0}, {0.3}]
    assert labels(ax)[-1] == "faint: ended by Terminate"


def test_what_the_service_does_not_tell_apart_is_one_part(ax: Axes) -> None:
    one = unstamped(three_turns())
    latency = turn_latency(one)
    found = stacks(plot_turn_latency(one, ax=ax))
    assert labels(ax) == ["chunk wait", "lateness (the sender's)", "endpoint wait + service time"]
    together = [stack[-1].get_height() for stack in found.values()]
    assert together == pytest.approx((latency.endpoint_wait + latency.service_time) * 1000)
    for stack, whole in zip(found.values(), latency.latency, strict=True):
        assert sum(heights(stack)) == pytest.approx(whole * 1000)


def test_sessions_stand_side_by_side(ax: Axes) -> None:
    artists = plot_turn_latency({"a": three_turns(), "b": three_turns()}, ax=ax)
    places = sorted({(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars(artists)})
    assert len(places) == 6
    assert all(one[1] <= next_one[0] for one, next_one in pairwise(places))
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_title().get_text().replace("\xa0", " ") == "bars, from the left: a | b"


def test_three_hundred_turns_are_drawn_each(ax: Axes) -> None:
    finals = [
        turn(2 * i + 1.9, ("so", 2 * i, 2 * i + 1.2), order=i, final=True, decided=2000 * i + 1700)
        for i in range(300)
    ]
    one = session([0.001] * 6000, *finals)
    found = stacks(plot_turn_latency(one, ax=ax))
    assert list(found) == list(range(1, 301))
    assert sum(sum(heights(stack)) for stack in found.values()) == pytest.approx(300 * 700)
    other = Figure().subplots()
    artists = plot_timeline(one, ax=other)
    assert len(bars(artists)) == 300
    assert len(other.get_yticks()) < 16


# The timeline.


def spans(artist: Artist) -> list[list[tuple[float, float]]]:
    assert isinstance(artist, LineCollection)
    return [[(float(x), float(y)) for x, y in segment] for segment in artist.get_segments()]


def test_the_timeline_shows_chunks_turns_words_and_finals(ax: Axes) -> None:
    one = three_turns()
    chunks, *turns, words, waits, finals = plot_timeline(one, ax=ax)
    assert [span[0][0] for span in spans(chunks)] == pytest.approx(one.sent.tolist())
    assert [bar.get_x() for bar in bars(turns)] == pytest.approx([0, 0.4, 0.8])
    assert [bar.get_width() for bar in bars(turns)] == pytest.approx([0.15, 0.25, 0.15])
    assert [span[0][0] for span in spans(words)] == pytest.approx([0.75, 0.55, 1.3])
    assert [span[0][0] for span in spans(waits)] == pytest.approx([0.15, 0.65, 0.95])
    assert [span[1][0] for span in spans(waits)] == pytest.approx([0.75, 0.55, 1.3])
    (line,) = lines([finals])
    assert ys(line) == [1, 2, 3]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "chunks sent", "turn 1", "turn 2", "turn 3",
    ]  # fmt: skip


def test_a_turn_without_an_end_keeps_its_row(ax: Axes) -> None:
    one = session(
        TEN,
        turn(0.3, ("one", 0.0, 0.1, True), order=0),
        turn(0.9, ("two", 0.4, 0.5), order=1, final=True),
    )
    *_, words, waits, finals = plot_timeline(one, ax=ax)
    assert [np.mean([y for _, y in span]) for span in spans(words)] == pytest.approx([1, 2])
    assert [span[0][1] for span in spans(waits)] == [2]
    (line,) = lines([finals])
    assert ys(line) == [2]


# All of them.


PLOTS = (plot_lateness, plot_lateness_distribution, plot_turn_latency, plot_timeline)


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("one", [three_turns(), session(TEN), session(), session([0.1])])
def test_plots_draw_on_the_given_axes_and_return_what_they_drew(plot: Plot, one: Session) -> None:
    figure = Figure()
    ax, other = figure.subplots(1, 2)
    artists = plot(one, ax=ax)
    assert figure.axes == [ax, other]
    assert not other.has_data()
    assert not other.get_title()
    assert ax.get_title(loc="left")
    drawn = set(ax.get_children())
    assert all(artist in drawn for artist in artists)
    figure.draw_without_rendering()


@pytest.mark.parametrize("plot", PLOTS[:3])
@pytest.mark.parametrize("none", [{}, []])
def test_no_sessions_make_empty_axes(ax: Axes, plot: Plot, none: Sessions) -> None:
    assert plot(none, ax=ax) == []
    assert labels(ax) == []


def test_a_session_without_turns_says_so(ax: Axes) -> None:
    assert plot_turn_latency(session(TEN), ax=ax) == []
    assert [text.get_text() for text in ax.texts] == ["no turn came to its end"]


def whole(ax: Axes) -> Bbox:
    """The axes with their labels, titles and legend, in pixels."""
    box = ax.get_tightbbox()
    assert box is not None
    return box


@pytest.fixture(scope="module")
def calls() -> dict[str, Session]:
    return {
        "naive": call(pacing="fixed_sleep", work=0.005),
        "punctual": call(pacing="wall_clock", work=0.005),
        "unpaced": call(pacing="unpaced"),
        "long chunks": call(pacing="wall_clock", chunk=0.5),
    }


@pytest.mark.parametrize(
    "names",
    [
        ("naive", "punctual"),
        ("unpaced",),
        ("naive", "punctual", "long chunks"),
        ("naive", "punctual", "unpaced"),
    ],
)
def test_a_comparison_is_readable(calls: dict[str, Session], names: tuple[str, ...]) -> None:
    figure = plot_comparison([calls[name] for name in names])
    figure.draw_without_rendering()
    seen = [*(text.get_window_extent() for text in figure.texts), *map(whole, figure.axes)]
    assert all(box.x0 >= -1 and box.x1 <= figure.bbox.width + 1 for box in seen)
    assert all(box.y0 >= -1 and box.y1 <= figure.bbox.height + 1 for box in seen)
    wide = [ax.bbox.width / figure.bbox.width for ax in figure.axes]
    assert min(wide) > 0.38  # legends leave the lines their room
    for ax in figure.axes:
        legend = ax.get_legend()
        if legend is not None:  # below the axis's label, over nobody's lines
            box = legend.get_window_extent()
            assert box.y1 <= ax.xaxis.label.get_window_extent().y0 + 1
            assert not any(box.overlaps(other.bbox) for other in figure.axes)


def test_a_comparison_describes_every_setting_there_is(calls: dict[str, Session]) -> None:
    figure = plot_comparison(calls)
    assert figure.get_suptitle().splitlines() == [
        "library_call.wav, 25 s in chunks of 100 ms, 5 ms of work a chunk; "
        "scripted service, delay 150 ms",
        "library_call.wav, 25 s in chunks of 100 ms; scripted service, delay 150 ms",
        "library_call.wav, 25 s in chunks of 500 ms; scripted service, delay 150 ms",
    ]


@pytest.mark.parametrize("sessions", [{}, session(), session(TEN), [session(), three_turns()]])
def test_a_comparison_of_little_is_drawn(sessions: Sessions) -> None:
    figure = plot_comparison(sessions)
    assert len(figure.axes) == 4
    figure.draw_without_rendering()


def test_a_recordings_name_is_not_read_as_mathematics() -> None:
    plot_comparison(session(TEN, recording=r"$\foo$.wav")).draw_without_rendering()


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (
            {"name": "embedded", "hears": "script", "delay": 0.15},
            "; scripted service, delay 150 ms",
        ),
        (
            {"name": "embedded", "hears": "energy", "delay": 0},
            "; energy-marking service, delay 0 ms",
        ),
        ({"name": "AssemblyAI", "speech_model": "universal"}, "; AssemblyAI universal"),
        ({}, ""),
    ],
)
def test_the_service_is_named(service: dict[str, object], words: str) -> None:
    assert describe(session(TEN, service=service)) == f"call.wav, 1 s in chunks of 100 ms{words}"


def test_the_drawn_drift_is_the_measured_one(calls: dict[str, Session], ax: Axes) -> None:
    plot_lateness(calls["naive"], ax=ax)
    assert drift(calls["naive"]) == pytest.approx(0.05)
    assert labels(ax) == ["fixed sleep, 100 ms: 1245 ms at the end, drift +50.0 ms/s"]


def test_drawing_never_imports_pyplot() -> None:
    code = (
        "import sys; from facts import session; from rtkit.plots import plot_comparison; "
        "plot_comparison(session([0.0, 0.1])).savefig(sys.stderr.buffer); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parent, check=True
    )
    assert done.stderr.startswith(b"\x89PNG")
    assert done.stdout.split() == [b"False"]
