"""The live trace: few enough points, well-formed, nothing lost that matters."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pytest

from rtkit.views.trace import (
    BOTTOM,
    COLUMNS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    round_marks,
    thin,
    trace_svg,
)

Series = dict[str, tuple[Sequence[float], Sequence[float]]]


def random_walk(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Audio and lateness, in seconds."""
    return np.arange(size) * 0.1, np.random.default_rng(0).normal(0, 0.01, size).cumsum()


def drawn(svg: str) -> list[list[tuple[float, float]]]:
    """The points of each line."""
    lines = ElementTree.fromstring(svg).findall("polyline")
    return [
        [
            (float(x), float(y))
            for x, y in (point.split(",") for point in line.get("points", "").split())
        ]
        for line in lines
    ]


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter("text")]


@pytest.mark.parametrize("size", [501, 999, 10_000, 108_000])
def test_thin_keeps_spikes_and_the_last_point(size: int) -> None:
    x, y = random_walk(size)
    kept_x, kept_y = thin(x, y)
    assert len(kept_x) == len(kept_y) <= 2 * COLUMNS + 2
    assert (kept_y.min(), kept_y.max()) == (y.min(), y.max())
    assert (kept_x[-1], kept_y[-1]) == (x[-1], y[-1])
    assert np.all(np.diff(kept_x) > 0)
    np.testing.assert_array_equal(kept_y, y[np.searchsorted(x, kept_x)])


def test_thin_keeps_a_single_spike_wherever_it_is() -> None:
    for place in range(0, 2000, 37):
        y = np.zeros(2000)
        y[place] = 1
        assert thin(np.arange(2000.0), y, 10)[1].max() == 1


@pytest.mark.parametrize("size", [0, 1, 2 * COLUMNS])
def test_thin_leaves_short_series_whole(size: int) -> None:
    x, y = random_walk(size)
    np.testing.assert_array_equal(thin(x, y), (x, y))


def test_three_hours_of_three_pacings_stay_small() -> None:
    audio, walk = (values.tolist() for values in random_walk(108_000))
    early = [-at for at in audio]
    svg = trace_svg(
        {name: (audio, late) for name, late in zip("abc", (walk, early, audio), strict=True)},
        seconds=10_800,
    )
    assert len(svg) < 30_000
    assert [len(line) <= 2 * COLUMNS + 2 for line in drawn(svg)] == [True] * 3


def test_a_line_is_lateness_in_milliseconds_over_audio() -> None:
    svg = trace_svg({"wall_clock": ([0.0, 5.0, 10.0], [0.0, 0.05, 0.1])}, seconds=10)
    middle = (LEFT + (WIDTH - LEFT - RIGHT) / 2, TOP + (HEIGHT - TOP - BOTTOM) / 2)
    assert drawn(svg) == [[(LEFT, HEIGHT - BOTTOM), pytest.approx(middle), (WIDTH - RIGHT, TOP)]]
    assert texts(svg)[:3] == ["0", "50", "100"]
    assert "wall clock: 100.0 ms late" in texts(svg)


def test_early_chunks_lie_below_zero_and_within_the_picture() -> None:
    svg = trace_svg({"unpaced": ([1.0, 10.0], [-0.9, -9.9])}, seconds=10)
    (line,) = drawn(svg)
    assert TOP < line[0][1] < line[1][1] <= HEIGHT - BOTTOM
    assert "unpaced: 9900.0 ms early" in texts(svg)
    assert texts(svg)[:3] == ["0", "-10000", "-5000"]


def test_names_are_escaped() -> None:
    svg = trace_svg({'<b a="1">&': ([0.0], [0.0])}, seconds=1)
    assert any(text.startswith('<b a="1">&') for text in texts(svg))


@pytest.mark.parametrize("seconds", [0.05, 25.0, 79.095, 10_800.0])
@pytest.mark.parametrize(
    "series",
    [
        pytest.param({}, id="no series"),
        pytest.param({"wall_clock": ([], [])}, id="an empty one"),
        pytest.param({"wall_clock": ([], []), "unpaced": ([0.01], [-5.0])}, id="one of two"),
        pytest.param({"wall_clock": ([0.01], [0.0])}, id="one point at 0"),
        pytest.param({"wall_clock": ([0.01], [1e6])}, id="eleven days late"),
        pytest.param({"wall_clock": ([0.01], [-1e6])}, id="eleven days early"),
        pytest.param({"wall_clock": ([0.01, 0.02], [-1e-9, 1e-9])}, id="hardly anything"),
    ],
)
def test_every_number_is_one_and_within_the_picture(series: Series, seconds: float) -> None:
    svg = trace_svg(series, seconds=seconds)
    assert "nan" not in svg
    assert "inf" not in svg
    assert len(drawn(svg)) == len(series)
    for x, y in (point for line in drawn(svg) for point in line):
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM + 0.1


@pytest.mark.parametrize(
    ("seconds", "marks"),
    [
        (25, ["0", "5", "10", "15", "20", "25"]),
        (79.095, ["0", "20", "40", "60"]),
        (10_800, ["0", "2000", "4000", "6000", "8000", "10000"]),
    ],
)
def test_audio_is_marked_in_plain_seconds(seconds: float, marks: list[str]) -> None:
    assert texts(trace_svg({}, seconds=seconds))[3:-1] == marks


@pytest.mark.parametrize(
    ("last", "marks"),
    [
        (4.13, [0, 1, 2, 3, 4]),
        (25, [0, 5, 10, 15, 20, 25]),
        (0.3, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (10800, [0, 2000, 4000, 6000, 8000, 10000]),
    ],
)
def test_the_marks_below_are_round(last: float, marks: list[float]) -> None:
    assert round_marks(last) == marks


def test_there_are_few_marks_however_long_it_is() -> None:
    for last in np.geomspace(1e-4, 1e5, 300):
        marks = round_marks(float(last))
        assert 3 <= len(marks) <= 7
        assert marks[-1] <= last * (1 + 1e-6)
