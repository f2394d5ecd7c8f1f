"""One meaning a color, units that can be read, and figures that say what is wrong with them."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import matplotlib.style
import numpy as np
import pytest
from facts import call, session, turn
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

import rtkit
from rtkit.analysis.naming import Sessions
from rtkit.session import Session, Stall
from rtkit.views.colors import EVERY_PART, OTHERS, PACINGS, PARTS, STYLES, TINTED, looks_for
from rtkit.views.figure import ThemedFigure
from rtkit.views.looks import OFF, WIDE
from rtkit.views.units import duration, unit_of

Plot = Callable[..., list[Artist]]
TEN = [0.001 * i for i in range(10)]
PLOTS: tuple[Plot, ...] = (
    rtkit.plot_lateness,
    rtkit.plot_lateness_distribution,
    rtkit.plot_turn_latency,
    rtkit.plot_timeline,
    rtkit.plot_rescored,
)


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


@pytest.fixture(scope="module")
def calls() -> dict[str, Session]:
    """Names that tell no pacing."""
    return {
        "yesterday": call(12, pacing="fixed_sleep", work=0.005),
        "today": call(12, pacing="wall_clock", work=0.005),
        "hurried": call(12, pacing="unpaced"),
    }


def drawn(plot: Plot, sessions: Sessions, **how: Any) -> Axes:
    ax = Figure(figsize=(9, 4), layout="constrained").subplots()
    plot(sessions, ax=ax, **how)
    return ax


def texts(ax: Axes) -> str:
    """All that is written on and around the axes."""
    return "\n".join(one.get_text() for one in ax.findobj(Text) if isinstance(one, Text))


# Colors.


def test_no_color_has_two_meanings() -> None:
    sessions = [*(look.color for look in PACINGS.values()), *OTHERS]
    parts = [*(part.color for part in EVERY_PART), TINTED["latency"]]
    assert len({*sessions, *parts}) == len(sessions) + len(parts)
    for one, other in combinations([*sessions, *parts], 2):
        apart = np.abs(np.array(to_rgb(one)) - to_rgb(other)).max()
        assert apart > 0.1, (one, other)


def test_many_sessions_look_different_and_first_ones_like_their_pacing() -> None:
    pacings = ["wall_clock", "wall_clock", "fixed_sleep", "unpaced", "bursts"] * 4
    looks = looks_for(pacings)
    assert looks[0] == PACINGS["wall_clock"]
    assert looks[2] == PACINGS["fixed_sleep"]
    assert len(set(looks[:16])) == 16
    assert len(looks) == len(pacings)
    assert len({*STYLES}) == len(STYLES)


def test_a_session_looks_the_same_in_every_picture(calls: dict[str, Session]) -> None:
    expected = [PACINGS[pacing].color for pacing in ("fixed_sleep", "wall_clock", "unpaced")]
    for plot in (rtkit.plot_lateness, rtkit.plot_lateness_distribution):
        lines = plot(calls, ax=Figure().subplots())
        assert [line.get_color() for line in lines] == expected  # type: ignore[attr-defined]
    bars = rtkit.plot_rescored(calls, ax=Figure().subplots())
    legend = bars[0].axes.get_legend()  # type: ignore[union-attr]
    assert legend is not None
    handles = [handle.get_facecolor() for handle in legend.legend_handles]  # type: ignore[union-attr]
    assert [to_hex(color).upper() for color in handles] == expected
    lanes = rtkit.plot_timeline(calls, ax=Figure().subplots())
    for lane, color in zip(range(0, 15, 5), expected, strict=True):
        chunks, _, words, waits, finals = lanes[lane : lane + 5]
        for one in (chunks, words, waits):
            assert isinstance(one, LineCollection)
            assert to_hex(np.asarray(one.get_color())[0].tolist()).upper() == color
        assert finals.get_color() == color  # type: ignore[attr-defined]
    feet = rtkit.plot_turn_latency(calls, ax=Figure().subplots())[-3:]
    for foot, color in zip(feet, expected, strict=True):
        assert isinstance(foot, LineCollection)
        assert to_hex(np.asarray(foot.get_color())[0].tolist()).upper() == color
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=12)
    assert [one["color"] for one in rtkit.play(clip, calls).data["sessions"]] == expected


def test_the_parts_of_latency_have_colors_of_their_own(calls: dict[str, Session], ax: Axes) -> None:
    artists = rtkit.plot_turn_latency(calls, ax=ax)
    boxes = [one for one in artists if isinstance(one, PolyCollection)]
    filled = {
        to_hex(np.asarray(one.get_facecolor())[0].tolist()).upper()
        for one in boxes
        if np.asarray(one.get_facecolor())[0, 3] == 1
    }
    assert filled == {part.color for part in PARTS}
    hatched = {one.get_hatch() for one in boxes} - {"", None}
    assert hatched == {part.hatch for part in PARTS if part.hatch}


def test_words_are_tinted_in_the_color_of_the_part_that_is_shown(
    calls: dict[str, Session],
) -> None:
    for part in PARTS:
        if part.name == "endpoint_wait":  # words have none
            continue
        shown = rtkit.show_transcript(calls["yesterday"], part=part.name)._repr_html_()
        red, green, blue = (round(255 * value) for value in to_rgb(part.color))
        assert f"rgba({red}, {green}, {blue}, 0.5)" in shown
        assert "rgba(213, 94, 0" not in shown


# Units.


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0 ms"),
        (-0.00001, "0.0 ms"),
        (0.005, "5.0 ms"),
        (-0.005, "−5.0 ms"),
        (1.2452, "1245 ms"),
        (9.999, "9999 ms"),
        (107.999, "107.999 s"),
        (-24.9, "−24.900 s"),
        (float("nan"), "–"),
    ],
)
def test_durations_are_written_in_few_digits(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_unit_is_one_for_all_values_and_what_is_not_known_has_none() -> None:
    assert unit_of(np.array([0.1, np.nan]), np.array([])).name == "ms"
    assert unit_of(np.array([0.1]), np.array([-12.0])).name == "s"
    assert unit_of().name == "ms"


def test_long_lateness_is_in_seconds(ax: Axes) -> None:
    late = np.linspace(0, 107.999, 1000)
    (line,) = rtkit.plot_lateness({"naive": session(late.tolist())}, ax=ax)
    assert np.asarray(line.get_ydata()).max() == pytest.approx(107.999)  # type: ignore[attr-defined]
    assert ax.get_ylabel() == "lateness (sent − due), s"
    assert str(line.get_label()).startswith("naive: 107.999 s at the end, drift +")
    (line,) = rtkit.plot_lateness_distribution(session(late.tolist()), ax=Figure().subplots())
    assert "p99 106.919 s" in str(line.get_label())


def test_long_latencies_are_in_seconds() -> None:
    late = session(
        [30.0] * 10,
        turn(31.0, ("one", 0.0, 0.15), final=True, decided=600),
        turn(45.0, ("two", 0.4, 0.65), order=1, final=True, decided=800),
    )
    bars = drawn(rtkit.plot_turn_latency, late)
    assert bars.get_ylabel() == "from the turn's end to its final, s"
    assert 44 < bars.get_ylim()[1] < 48
    assert drawn(rtkit.plot_distribution, late, of="turn_latency").get_xlabel() == "latency, s"
    rescored = drawn(rtkit.plot_rescored, late)
    assert rescored.get_xlabel() == "median, s"
    assert f"{(30.85 + 44.35) / 2:.3f}" in texts(rescored)


@pytest.mark.parametrize(
    ("seconds", "label", "ticks"),
    [
        (25, "audio sent, s", ["0", "10", "25"]),
        (780, "audio sent, m:ss", ["0:00", "10:00", "12:00"]),
        (3000, "audio sent, m:ss", ["0:00", "10:00", "50:00"]),
        (10_800, "audio sent, h:mm", ["0:00", "0:30", "3:00"]),
        (200_000, "audio sent, h:mm", ["0:00", "12:00", "48:00"]),
    ],
)
def test_long_audio_is_in_minutes_and_hours(seconds: int, label: str, ticks: list[str]) -> None:
    one = session([0.0] * (seconds // 5), seconds=5.0)
    for plot in (rtkit.plot_lateness, rtkit.plot_timeline):
        ax = drawn(plot, one)
        ax.figure.draw_without_rendering()  # type: ignore[union-attr]
        shown = [tick.get_text() for tick in ax.get_xticklabels() if tick.get_text()]
        assert set(ticks) <= set(shown)
        assert len(shown) < 12
        said = ax.get_xlabel()
        assert said.partition(", ")[2] == label.partition(", ")[2]


# An unpaced session.


def test_an_unpaced_session_does_not_flatten_the_others(calls: dict[str, Session]) -> None:
    paced = {name: one for name, one in calls.items() if name != "hurried"}
    for plot, across in [(plot, plot in PLOTS[1::3]) for plot in PLOTS if plot is not PLOTS[3]]:
        limits = [
            (ax.get_xlim() if across else ax.get_ylim())
            for ax in (drawn(plot, paced), drawn(plot, calls))
        ]
        (low, high), (beside_low, beside_high) = limits
        assert abs(beside_high - beside_low) < 1.3 * abs(high - low), plot.__name__
        with_all, without = texts(drawn(plot, calls)), texts(drawn(plot, paced))
        assert OFF in with_all.replace("\xa0", " ")
        assert OFF not in without


def test_an_unpaced_session_alone_sets_the_axis(calls: dict[str, Session]) -> None:
    hurried = {"hurried": calls["hurried"]}
    low, high = drawn(rtkit.plot_lateness, hurried).get_ylim()
    assert low < -11 < 0 < high  # in seconds: it is early by nearly all of it
    for plot in PLOTS:
        assert OFF not in texts(drawn(plot, hurried)).replace("\xa0", " ")


def test_where_nobody_waited_the_senders_share_is_a_dash() -> None:
    """And not thousands of percent below 0; what is 0 is still said."""
    early = turn(0.16, ("one", 0.0, 0.15), final=True, decided=100)
    table = rtkit.summarize(
        {
            "unpaced": session([-9.0] * 10, early, pacing="unpaced"),
            "on time": session([-1e-9] * 10, early),
        }
    )
    row = next(row for row in table.cells() if row[0].startswith("turn latency caused by"))
    assert row[1:] == ["–", "0"]


# What is odd is drawn all the same.


def test_a_single_chunk_is_a_point(ax: Axes) -> None:
    (line,) = rtkit.plot_lateness(session([0.1]), ax=ax)
    assert line.get_marker() == "o"  # type: ignore[attr-defined]
    assert ax.get_xlim()[0] <= 0 < 0.1 <= ax.get_xlim()[1]
    assert "100 ms at the end" in str(line.get_label())
    assert "drift" not in str(line.get_label())


def test_without_turns_nothing_is_drawn_through_the_sentence() -> None:
    ax = drawn(rtkit.plot_turn_latency, session(TEN))
    assert "no turn ended" in texts(ax)
    assert len(ax.lines) == 0
    assert "no words came back" in texts(drawn(rtkit.plot_timeline, session(TEN)))
    assert "no words came back" not in texts(
        drawn(rtkit.plot_timeline, session(TEN, turn(0.3, ("one", 0.0, 0.1, True))))
    )


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("width", [6.0, 8.0, 12.0])
def test_the_note_of_what_is_not_valid_covers_nothing(plot: Plot, width: float) -> None:
    sessions = {
        f"a name that is rather long, {number}": session([0.5] * 10, ending="failed")
        for number in range(2)
    } | {"c": session([-0.5 * i for i in range(10)], pacing="unpaced")}
    for some in ({"c": sessions["c"]}, dict([*sessions.items()][1:]), sessions):
        figure = Figure(figsize=(width, 4), layout="constrained")
        ax = figure.subplots()
        plot(some, ax=ax)
        figure.draw_without_rendering()
        words = [one for one in ax.findobj(Text) if isinstance(one, Text)]
        (note,) = [one for one in words if one.get_text().startswith("not valid")]
        (title,) = [one for one in words if one.get_text() == ax.get_title(loc="left")]
        box = note.get_window_extent()
        assert not box.overlaps(title.get_window_extent())
        assert not box.overlaps(ax.bbox)
        assert box.y1 <= figure.bbox.y1 + 1
        assert box.x1 <= figure.bbox.x1 + 1


@pytest.mark.parametrize("plot", PLOTS)
def test_figures_tell_of_chunks_that_were_due_before_they_were_spoken(plot: Plot, ax: Axes) -> None:
    plot({"a": session([0.0] * 10), "b": session([0.0] * 10, phase="start")}, ax=ax)
    shown = [one.get_text() for one in ax.findobj(Text) if isinstance(one, Text)]
    (note,) = [text for text in shown if "phase" in text]
    assert note.split("\n")[-1] == "phase 'start', latency a chunk too good: b"


# Stalls, and ticks.


def stalled() -> Session:
    late = [0.0] * 4 + [0.3, 0.2, 0.1] + [0.0] * 3
    return replace(session(late), stalls=(Stall(0.8, 0.35), Stall(0.2, 0.012)))


def test_long_stalls_are_marked_where_they_held_a_chunk_up(ax: Axes) -> None:
    line, marks = rtkit.plot_lateness({"a": stalled()}, ax=ax)
    assert np.asarray(marks.get_xdata()).tolist() == [0.5]  # type: ignore[attr-defined]
    assert np.asarray(marks.get_ydata()).tolist() == pytest.approx([300])  # type: ignore[attr-defined]
    assert marks.get_color() == line.get_color()  # type: ignore[attr-defined]
    assert marks.get_label() == "a: the loop stalled, for up to 350 ms"
    timeline = Figure().subplots()
    box = rtkit.plot_timeline(stalled(), ax=timeline)[-1]
    assert isinstance(box, PolyCollection)
    (path,) = box.get_paths()
    assert np.asarray(path.vertices)[:, 0].min() == pytest.approx(0.45)
    assert np.asarray(path.vertices)[:, 0].max() == pytest.approx(0.8)
    assert "loop stalled" in texts(timeline)


def test_short_stalls_are_not() -> None:
    one = replace(stalled(), stalls=(Stall(0.2, 0.012),))
    assert len(rtkit.plot_lateness(one, ax=Figure().subplots())) == 1
    assert "stalled" not in texts(drawn(rtkit.plot_timeline, one))


@pytest.mark.parametrize("count", [150, 250, 777, 6000])
@pytest.mark.parametrize("dpi", [72, 80, 110])
def test_the_ticks_of_many_chunks_do_not_shade_at_random(count: int, dpi: int) -> None:
    """In the picture: along the row of chunks every pixel has the session's color."""
    figure = Figure(figsize=(6, 3), dpi=dpi, layout="constrained")
    ax = figure.subplots()
    rtkit.plot_timeline(session([0.0] * count), ax=ax)
    file = io.BytesIO()
    figure.savefig(file, format="rgba", dpi=dpi)
    shape = (int(figure.bbox.height), int(figure.bbox.width), 4)
    picture = np.frombuffer(file.getvalue(), np.uint8).reshape(shape)
    (left, y), (right, _) = ax.transData.transform([(0.1, 0), (count / 10, 0)])
    row = picture[round(shape[0] - y), round(left) + 4 : round(right) - 4, :3].astype(int)
    assert len(row) > 200
    assert np.ptp(row, axis=0).max() <= 3


# Light and dark.


@pytest.mark.parametrize("plot", PLOTS)
@pytest.mark.parametrize("name", ["a session with quite some settings " * 4, "x" * 140])
def test_long_names_leave_the_axes_their_width(
    calls: dict[str, Session], plot: Plot, name: str
) -> None:
    figure = Figure(figsize=(9.6, 8), layout="constrained")
    ax = figure.subplots()
    plot({f"{name} 1": calls["yesterday"], f"{name} 2": calls["today"]}, ax=ax)
    figure.draw_without_rendering()
    assert ax.get_position().width > 0.4
    assert all(len(line) <= WIDE for line in texts(ax).splitlines())


def test_nothing_is_drawn_through_the_sentence_that_no_chunk_was_sent() -> None:
    none = session(TEN[:0])
    for plot in (rtkit.plot_lateness, rtkit.plot_timeline):
        ax = drawn(plot, none)
        assert "no chunk was sent" in texts(ax)
        assert not ax.lines or all(not len(np.asarray(line.get_xdata())) for line in ax.lines)
        assert ax.get_legend() is None


def test_a_session_that_was_cut_off_does_not_flatten_the_others(calls: dict[str, Session]) -> None:
    whole = calls["today"]
    half = replace(
        whole,
        chunks=whole.chunks[:60],
        messages=tuple(one for one in whole.messages if one.at < 6),
        ending=None,
    )
    alone, beside = (drawn(rtkit.plot_rescored, some) for some in ([whole], [half, whole]))
    assert beside.get_xlim() == pytest.approx(alone.get_xlim())


@pytest.mark.parametrize("plot", PLOTS)
def test_ink_and_paper_are_those_of_the_style(plot: Plot, calls: dict[str, Session]) -> None:
    with matplotlib.style.context("dark_background"):
        ax = drawn(plot, calls)
        dark = [np.mean(to_rgb(one.get_color())) for one in ax.findobj(Text) if one.get_text()]
        lines = [line.get_color() for line in ax.get_ygridlines() + ax.get_xgridlines()]
    assert min(dark) > 0.35
    assert all(np.mean(to_rgb(line)) > 0.5 for line in lines if line != "#b0b0b0")
    assert to_hex(ax.get_facecolor()) == "#000000"


def test_a_notebook_shows_a_comparison_in_its_theme_and_says_what_is_on_it() -> None:
    figure = rtkit.plot_comparison({"mine <b>": session(TEN)})
    assert isinstance(figure, ThemedFigure)
    shown = figure._repr_html_()
    assert 'class="rt-drawn"' in shown
    assert '[data-jp-theme-light="false"] .rt-drawn' in shown
    assert 'alt="Four figures of mine\xa0&lt;b&gt;: how late each chunk was sent' in shown
    with matplotlib.style.context("dark_background"):
        dark = rtkit.plot_comparison(session(TEN))
        assert 'class="rt-drawn"' not in dark._repr_html_()  # it is dark already


def test_pyplot_makes_figures_in_the_notebooks_theme_too() -> None:
    figure = plt.figure(FigureClass=ThemedFigure, figsize=(5, 3))
    try:
        rtkit.plot_lateness(session(TEN), ax=figure.subplots())
        assert isinstance(figure, ThemedFigure)
        assert figure.alt == "How late each chunk left"
        assert isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
        assert "width: 360px" in figure._repr_html_()
    finally:
        plt.close(figure)


def test_a_notebook_keeps_one_image_of_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pyplot shows figures of its own accord."""
    shell = InteractiveShell()
    select_figure_formats(shell, {"png"})
    assert shell.display_formatter is not None
    published: list[dict[str, Any]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: published.append(data))
    found, _ = shell.display_formatter.format(rtkit.plot_comparison(session(TEN)))
    assert found == {}
    (data,) = published
    assert set(data) == {"text/plain", "text/html"}
