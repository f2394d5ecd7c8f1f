"""What the pictures show, read from the artists' data."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from facts import call, session, turn, unstamped
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from rtkit.analysis.naming import Sessions
from rtkit.analysis.timing.latency import turn_latency
from rtkit.analysis.timing.lateness import drift
from rtkit.session import Session
from rtkit.views.colors import PARTS
from rtkit.views.distributions import plot_lateness_distribution
from rtkit.views.looks import outline
from rtkit.views.plots import (
    describe,
    plot_comparison,
    plot_lateness,
    plot_rescored,
    save_figure,
)
from rtkit.views.timeline import plot_timeline
from rtkit.views.turn_bars import plot_turn_latency

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
    """The boxes of each collection as rectangles, faint ones with their alpha."""
    found = []
    for boxes in artists:
        if isinstance(boxes, PolyCollection):
            colors = np.broadcast_to(np.asarray(boxes.get_facecolor()), (len(boxes.get_paths()), 4))
            for path, color in zip(boxes.get_paths(), colors, strict=True):
                (left, bottom), (_, top), (right, _) = np.asarray(path.vertices)[:3]
                found.append(
                    Rectangle((left, bottom), right - left, top - bottom, alpha=float(color[3]))
                )
    return found


def labels(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def legend_title(ax: Axes) -> str:
    legend = ax.get_legend()
    return "" if legend is None else legend.get_title().get_text().replace("\xa0", " ")


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


def test_what_does_not_count_is_outlined_in_the_colors_of_its_parts(ax: Axes) -> None:
    artists = plot_turn_latency(three_turns(), ax=ax)
    found = stacks(artists)
    filled = [{bar.get_alpha() for bar in stack} for stack in found.values()]
    assert filled == [{1.0}, {1.0}, {0.0}]
    assert labels(ax)[-1] == "outlined: not counted\n(ended by the shutdown)"
    boxes = [one for one in artists if isinstance(one, PolyCollection)]
    edges = {
        to_hex(np.asarray(one.get_edgecolor())[0].tolist())
        for one in boxes
        if np.asarray(one.get_facecolor())[0, 3] == 0
    }
    assert edges <= {to_hex(outline(part.color)) for part in PARTS}
    assert len(edges) == len(found[3])
    assert "nothing is counted" not in legend_title(ax)


def test_where_nothing_counts_it_is_said(ax: Axes) -> None:
    only = session(
        TEN, turn(1.3, ("three", 0.8, 0.95), final=True, decided=1000, cause="terminate")
    )
    plot_turn_latency(only, ax=ax)
    assert legend_title(ax) == "nothing is counted: each turn is outlined"


def test_what_the_service_does_not_tell_apart_is_one_part(ax: Axes) -> None:
    one = unstamped(three_turns())
    latency = turn_latency(one)
    found = stacks(plot_turn_latency(one, ax=ax))
    assert labels(ax) == ["chunk wait", "lateness (the sender's)", "endpoint wait + service time"]
    assert legend_title(ax) == "a line across: between which values lateness ends"
    together = [stack[-1].get_height() for stack in found.values()]
    assert together == pytest.approx((latency.endpoint_wait + latency.service_time) * 1000)
    for stack, whole in zip(found.values(), latency.latency, strict=True):
        assert sum(heights(stack)) == pytest.approx(whole * 1000)


def test_where_lateness_may_end_is_a_line_across(ax: Axes) -> None:
    one = unstamped(three_turns())
    latency = turn_latency(one)
    across = next(one for one in plot_turn_latency(one, ax=ax) if isinstance(one, LineCollection))
    unsure = latency.half_width > 0
    ends = ((latency.chunk_wait + latency.lateness) * 1000)[unsure]
    doubt = (latency.half_width * 1000)[unsure]
    assert [span[0][1] for span in spans(across)] == pytest.approx(ends - doubt)
    assert [span[1][1] for span in spans(across)] == pytest.approx(ends + doubt)


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


def test_of_too_many_turns_the_slowest_and_the_quickest_are_kept(ax: Axes) -> None:
    finals = [
        turn(
            i + 0.9 + 0.5 * (i == 777) - 0.1 * (i == 333),
            ("so", i, i + 0.6), order=i, final=True, decided=1000 * i + 850,
        )
        for i in range(1500)
    ]  # fmt: skip
    one = session([0.0] * 15000, *finals)
    found = stacks(plot_turn_latency(one, ax=ax))
    whole = {place: sum(heights(stack)) for place, stack in found.items()}
    assert 300 < len(whole) <= 600
    assert sorted({round(height) for height in whole.values()}) == [200, 300, 800]
    assert max(whole, key=lambda place: whole[place]) == pytest.approx(778, abs=5)
    assert min(whole, key=lambda place: whole[place]) == pytest.approx(334, abs=5)
    assert ax.get_xlabel() == "turn (the quickest and the slowest of each 5)"


# Three hours.


@pytest.fixture(scope="module")
def long() -> Session:
    """Three hours in which one chunk of 108,000 leaves 100 ms late."""
    lateness = np.full(108_000, 0.001)
    lateness[54_321] = 0.1
    return session(lateness.tolist())


def test_one_late_chunk_of_three_hours_is_drawn_in_full(long: Session) -> None:
    """In the picture, not in the line's data: a renderer simplifies lines of its own accord."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    ax = figure.subplots()
    plot_lateness(long, ax=ax)
    ax.set_ylim(0, 200)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="rgba", dpi=100)
    picture = np.frombuffer(drawn.getvalue(), np.uint8).reshape(400, 900, 4)[:, :, :3]
    seen = np.abs(picture.astype(int) - [0x00, 0x72, 0xB2]).sum(axis=2) < 90
    box = ax.get_window_extent()
    inside = seen[round(400 - box.y1) + 2 : round(400 - box.y0)]
    tip = (len(inside) - int(np.argmax(inside.any(axis=1)))) / len(inside) * 200
    assert tip == pytest.approx(100, abs=4)
    column = float(np.mean(np.nonzero(inside[int(np.argmax(inside.any(axis=1)))])[0]))
    assert column == pytest.approx(ax.transData.transform((5432.2, 0))[0], abs=3)


def test_chunks_of_three_hours_are_ticks_that_still_show_a_gap(ax: Axes, long: Session) -> None:
    gap = replace(long, chunks=long.chunks[:50_000] + long.chunks[51_000:])
    drawn = [span[0][0] for span in spans(plot_timeline(gap, ax=ax)[0])]
    assert len(drawn) <= 4001
    steps = np.diff(drawn)
    assert steps.max() == pytest.approx(100, abs=6)  # a thousand chunks are missing there
    assert np.sort(steps)[-2] < 6


# The timeline.


def spans(artist: Artist) -> list[list[tuple[float, float]]]:
    assert isinstance(artist, LineCollection)
    return [[(float(x), float(y)) for x, y in segment] for segment in artist.get_segments()]


def test_the_timeline_shows_chunks_turns_words_and_finals(ax: Axes) -> None:
    one = three_turns()
    chunks, turns, words, waits, finals = plot_timeline(one, ax=ax)
    assert [span[0][0] for span in spans(chunks)] == pytest.approx(one.sent.tolist())
    assert [bar.get_x() for bar in bars([turns])] == pytest.approx([0, 0.4, 0.8])
    assert [bar.get_width() for bar in bars([turns])] == pytest.approx([0.15, 0.25, 0.15])
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


def test_sessions_have_lanes_of_their_own(ax: Axes) -> None:
    late = replace(three_turns(), chunks=session([0.2] * 10).chunks)
    artists = plot_timeline({"yesterday": three_turns(), "today": late}, ax=ax)
    assert len(artists) == 10
    rows = [[(bar.get_y(), bar.get_y() + bar.get_height()) for bar in bars(artists[i : i + 5])]
            for i in (0, 5)]  # fmt: skip
    for row, (above, below) in enumerate(zip(*rows, strict=True), start=1):
        assert row - 0.5 < above[0] < above[1] <= below[0] < below[1] < row + 0.5
    colors = {tuple(artists[i].get_color()[0]) for i in (0, 5)}  # type: ignore[attr-defined]
    assert len(colors) == 2
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "lanes, from the top: yesterday | today"


# Files.


def test_a_figure_is_saved_as_svg_and_as_png_at_once(tmp_path: Path) -> None:
    figure = plot_comparison({"a <b>": three_turns()})
    svg, png = save_figure(figure, tmp_path / "new" / "at 0.1 s")
    assert (svg.name, png.name) == ("at 0.1 s.svg", "at 0.1 s.png")
    words = [node.text for node in ElementTree.parse(svg).iter() if node.tag.endswith("}text")]
    assert "How late each chunk left" in words
    assert any("a <b>" in str(word) for word in words)
    assert png.read_bytes().startswith(b"\x89PNG")
    width, height = (int.from_bytes(png.read_bytes()[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (1800, 1260)


@pytest.mark.parametrize("name", ["a", "a.svg", "a.PNG"])
def test_either_ending_names_both_files_and_both_are_repeatable(tmp_path: Path, name: str) -> None:
    written = [
        [file.read_bytes() for file in save_figure(plot_comparison(session(TEN)), tmp_path / name)]
        for _ in range(2)
    ]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "a.svg"]
    assert written[0] == written[1]


# All of them.


PLOTS: tuple[Plot, ...] = (
    plot_lateness,
    plot_lateness_distribution,
    plot_turn_latency,
    plot_timeline,
)


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


@pytest.mark.parametrize("plot", [*PLOTS, plot_rescored])
def test_sessions_of_one_pacing_go_by_the_names_that_they_were_given(ax: Axes, plot: Plot) -> None:
    sessions = {f"{day}/wall_clock": three_turns() for day in ("today", "yesterday", "earlier")}
    plot(sessions, ax=ax)
    legend = ax.get_legend()
    assert legend is not None
    words = " ".join([legend.get_title().get_text(), *labels(ax)])
    assert all(f"{day}/wall clock" in words.replace("\xa0", " ") for day in ("today", "yesterday"))


@pytest.mark.parametrize("plot", [plot_lateness, plot_lateness_distribution])
def test_many_sessions_of_one_pacing_have_looks_of_their_own(ax: Axes, plot: Plot) -> None:
    drawn = lines(plot([session(TEN)] * 17, ax=ax))
    looks = {(line.get_color(), line.get_linestyle()) for line in drawn}
    assert len(looks) == 17


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("none", [{}, []])
def test_no_sessions_make_empty_axes(ax: Axes, plot: Plot, none: Sessions) -> None:
    assert plot(none, ax=ax) == []
    assert labels(ax) == []


def test_a_session_without_turns_says_so(ax: Axes) -> None:
    assert plot_turn_latency(session(TEN), ax=ax) == []
    assert [text.get_text() for text in ax.texts] == ["no turn ended"]


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
            {"name": "embedded", "engine": "script", "delay": 0.15},
            "; scripted service, delay 150 ms",
        ),
        (
            {"name": "embedded", "engine": "energy", "delay": 0},
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
        "import sys; from facts import session; from rtkit.views.plots import plot_comparison; "
        "plot_comparison(session([0.0, 0.1])).savefig(sys.stderr.buffer); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[1], check=True
    )
    assert done.stderr.startswith(b"\x89PNG")
    assert done.stdout.split() == [b"False"]
