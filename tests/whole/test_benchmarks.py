"""The benchmarks' page: what they print is read back, failures too, and each can be asked for help.

How fast or late anything is, is for the benchmarks to say; here nothing is measured.
"""

from __future__ import annotations

import ast
import base64
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))

from mutants import mutants  # noqa: E402
from page import Outcome, draw_ratios, draw_scale, page  # noqa: E402
from ratios import Ratio, ratio, read  # noqa: E402

NOT_COMMANDS = {"__main__", "host", "page", "ratios", "receiver"}
ALONE = {"mutants"}  # it judges tests, and no machine
COMMANDS = sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in NOT_COMMANDS)
RATIOS = [
    Ratio("lateness p99 / asyncio's wall clock", 0.035, 0.1),
    Ratio("CPU / tasks, 2000 sessions", 1.7, 1.5),
    Ratio("the slowest: (figure) / line", 12345.678),
    Ratio("first chunk of 3 h", 0.2, 0.2, "s"),
    Ratio("CPU, 2000 sessions", 61.23, 60, "µs a chunk"),
    Ratio("drift, either way", 1.2e-07, None, "ppm"),
]
EVIL = "<script>alert('x')</script> & \"quoted\""


def pacing() -> Outcome:
    text = "\n".join([f"some table of {EVIL}", "", *map(str, RATIOS), "= not a ratio"])
    return Outcome("pacing", "How precise?", "python pacing.py", text, 12.4, others=0.25)


def recognizer(text: str = "a line\nNo module named 'jiwer'\n") -> Outcome:
    return Outcome("recognizer", EVIL, f"python {EVIL}", text, 0.4, status=1)


ROWS = [
    {"sessions": size, "sender": sender, "p99": p99, "cpu": 4e-5}
    for sender, size, p99 in [("rtkit", 50, 0.001), ("rtkit", 2000, 0.002), ("tasks", 50, 0.1)]
]


class Seen(HTMLParser):
    """A page's tags, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_is_printed_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    for one in RATIOS:
        ratio(one.what, one.value, one.aim, unit=one.unit)
    printed = capsys.readouterr().out
    assert list(read(f"before\n{printed}after\n= this is none: at all\n")) == RATIOS
    first = "= lateness p99 / asyncio's wall clock: 0.035 (aim: at most 0.1: met)"
    assert printed.splitlines()[0] == first


@pytest.mark.parametrize(
    ("value", "aim", "met"),
    [
        (0.1, 0.1, True),
        (0.10006, 0.1, False),
        (0.10004, 0.1, True),  # what is printed is judged, to four digits
        (5.0, None, None),
        (math.nan, 1.0, None),
        (math.inf, 1.0, False),
    ],
)
def test_an_aim_is_met_by_what_is_printed(value: float, aim: float | None, met: bool) -> None:
    one = Ratio("this / that", value, aim)
    assert one.met is met
    (back,) = read(str(one))
    assert (back.met, back.aim, str(back)) == (met, aim, str(one))


def test_the_page_holds_ratios_failures_and_text_and_nothing_runs() -> None:
    written = page(
        [pacing(), recognizer()], lede=EVIL, host={"load": EVIL}, scale=ROWS, made="today"
    )
    seen = Seen(written)
    assert "script" not in seen.tags
    assert "default-src 'none'" in written
    assert "2 of 4 aims met" in seen.text
    for one in RATIOS:
        assert str(one) in seen.text  # in what was printed
        assert seen.text.count(one.what) > 1  # and in a table
    assert "recognizer broke off (status 1): No module named 'jiwer'" in seen.text
    assert f"some table of {EVIL}" in seen.text
    assert seen.text.count(EVIL) == 5
    assert "took 12 s; others kept 0.25 processors busy" in seen.text


def test_ratios_come_first() -> None:
    text = Seen(page([pacing()], lede="", host={}, scale=ROWS, made="today")).text
    parts = ["Ratios", "units of their own", "many sessions", "it was measured", "printed"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_figures_are_images_within_the_page() -> None:
    written = page([pacing()], lede="", host={}, scale=ROWS, made="today")
    images = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', written)
    assert len(images) == written.count("<img ") == 2
    for image in images:
        assert ElementTree.fromstring(base64.b64decode(image)).tag.endswith("svg")


def test_without_figures_and_ratios_there_is_still_a_page() -> None:
    seen = Seen(page([recognizer("")], lede="", host={}, made="today"))
    assert "it said nothing" in seen.text
    assert "Nothing was held against an aim" in seen.text
    assert "img" not in seen.tags


def test_left_out_senders_are_named() -> None:
    one = Outcome("pacing", "", "", "Without ffmpeg -re, TCP: ffmpeg is not installed.\n", 1.0)
    assert list(one.notes) == ["pacing: Without ffmpeg -re, TCP: ffmpeg is not installed."]


def test_the_chart_shows_ratios_against_one_and_their_aims() -> None:
    ax = Figure().subplots()
    draw_ratios([("a", RATIOS[0]), ("a", RATIOS[1]), ("b", Ratio("none / any", 0.0))], ax)
    drawn = [(line.get_marker(), np.asarray(line.get_xdata()).tolist()) for line in ax.lines]
    assert [xs for _, xs in drawn if len(xs) == 2] == [[1, 0.035], [1, 1.7], [1, 1]]
    assert [xs for marker, xs in drawn if marker == "|"] == [[0.1], [1.5]]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["a", RATIOS[0].what, RATIOS[1].what]
    assert ax.get_xscale() == "log"


def test_the_figure_of_many_sessions_is_in_milliseconds_and_microseconds() -> None:
    late, cpu = Figure().subplots(1, 2)
    draw_scale(ROWS, late, cpu)
    assert [line.get_label() for line in late.lines] == ["rtkit", "tasks"]
    np.testing.assert_array_equal(late.lines[0].get_xdata(), [50, 2000])
    np.testing.assert_allclose(late.lines[0].get_ydata(), [1, 2])
    np.testing.assert_allclose(cpu.lines[1].get_ydata(), [40])


@pytest.mark.parametrize("name", ["", *(f"{name}.py" for name in COMMANDS)])
def test_each_tells_how_to_start_it(name: str) -> None:
    command = [sys.executable, str(BENCHMARKS / name), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("usage:")


def test_one_that_lacks_its_tools_does_not_keep_the_others_from_running(tmp_path: Path) -> None:
    (tmp_path / "jiwer.py").write_text("raise ModuleNotFoundError(\"No module named 'jiwer'\")")
    written = tmp_path / "deeper" / "page.html"
    names = ["recognizer", "simulation"]
    done = subprocess.run(
        [sys.executable, BENCHMARKS, "--quick", "--output", written, "--only", *names],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert re.search(r"^ +\d+:\d\d left \| ", done.stdout, re.MULTILINE)
    text = Seen(written.read_text(encoding="utf-8")).text
    assert "recognizer broke off (status 1): ModuleNotFoundError: No module named 'jiwer'" in text
    assert "1 h simulated, wall_clock / bare loop" in text


def test_all_are_run() -> None:
    usage = subprocess.run(
        [sys.executable, BENCHMARKS, "--help"], capture_output=True, text=True, check=True
    ).stdout
    (choices,) = set(re.findall(r"\{([\w,\s]+)\}", usage))
    assert sorted({*re.split(r"[,\s]+", choices), *ALONE}) == COMMANDS


def test_every_mutant_is_another_module_in_one_place() -> None:
    source = """
from math import floor
def bounded(values: list[int | None], most: int = 3, *, strict=False) -> float:
    if not values or len(values) > most:
        raise ValueError(f"{len(values):.2f}")
    values.sort()
    return -1.5 + floor(values[0]) if strict else min(values) * 2
"""
    found = list(mutants(source))
    assert [mutant.number for mutant in found] == list(range(len(found)))
    same = ast.unparse(ast.parse(source))
    assert len({mutant.source for mutant in found} - {same}) == len(found)
    for mutant in found:
        compile(mutant.source, "mutant", "exec")
        changed = [
            (one, other)
            for one, other in zip(same.splitlines(), mutant.source.splitlines(), strict=True)
            if one != other
        ]
        assert len(changed) == 1
    assert sorted({mutant.what for mutant in found}) == sorted(
        {
            *("3  ->  4", "False  ->  True", "not values  ->  values", "0  ->  1", "2  ->  3"),
            "not values or len(values) > most  ->  not (not values or len(values) > most)",
            "not values or len(values) > most  ->  not values and len(values) > most",
            "len(values) > most  ->  len(values) >= most",
            "raise ValueError(f'{len(values):.2f}')  ->  pass",
            *("values.sort()  ->  pass", "strict  ->  not strict", "-1.5  ->  +1.5"),
            *(
                "1.5  ->  3.0",
                "floor  ->  ceil",
                "min  ->  max",
                "min(values) * 2  ->  min(values) / 2",
            ),
            "-1.5 + floor(values[0])  ->  -1.5 - floor(values[0])",
        }
    )
