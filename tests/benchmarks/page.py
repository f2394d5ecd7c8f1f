"""All benchmarks of one run as one page that needs no server and no network: ratios first.

It is made of what the benchmarks printed, and holds that, too; it measures nothing itself.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from ratios import Ratio, read

from rtkit.markup import Table
from rtkit.views.page import page as html_page
from rtkit.views.page import picture, wide

GOOD, BAD, PLAIN = "#1a7f4b", "#b3261e", "#4a6fa5"
COLORS = {"rtkit": "#0b63a5", "tasks": "#d9822b", "defaults": "#8a8f98"}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How one benchmark went: what it printed, what it took, how it ended (0 is well)."""

    name: str
    asks: str
    command: str
    text: str
    seconds: float
    status: int = 0
    others: float = math.nan  # processors that other programs kept busy meanwhile

    @property
    def ratios(self) -> list[Ratio]:
        return list(read(self.text))

    @property
    def notes(self) -> Iterator[str]:
        """What is not in it, and why."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        if self.status:
            why = lines[-1] if lines else "it said nothing"
            yield f"{self.name} broke off (status {self.status}): {why}"
        for line in lines:
            if line.startswith("Without "):
                yield f"{self.name}: {line}"


def page(
    outcomes: Sequence[Outcome],
    *,
    lede: str,
    host: Mapping[str, str],
    scale: Sequence[Row] = (),
    made: str,
) -> str:
    """The page, as text.

    Parameters
    ----------
    outcomes : sequence of Outcome
    lede : str
        What to know before anything else: the machine, and how quiet it was.
    host : mapping of str to str
        What to say of the machine, line by line.
    scale : sequence of mappings
        What `scale.py --json` wrote; without it there is no figure of it.
    made : str
        When, and by what.
    """
    ratios = [(one.name, found) for one in outcomes for found in one.ratios]
    pure = [(name, found) for name, found in ratios if not found.unit]
    figures = [(name, found) for name, found in ratios if found.unit]
    described = "".join(
        f"<dt>{_text(what)}</dt><dd>{_text(is_)}</dd>" for what, is_ in host.items()
    )
    return html_page(
        "Benchmarks",
        lede=(
            f"<p><b>{_verdict([found for _, found in ratios])}</b></p>"
            f'<p class="lede">{_text(lede)} Compare what stands in one run, not runs: the two '
            "halves of a ratio were measured side by side.</p>"
            f"{_list(note for one in outcomes for note in one.notes)}"
        ),
        sections={
            "Ratios": _table(pure) + _chart(pure),
            "Measurements in units of their own": _table(figures) if figures else "",
            "One process, many sessions": _scale(scale) if scale else "",
            "Where it was measured": f"<dl>{described}</dl>",
            "What each benchmark printed": "".join(map(_section, outcomes)),
        },
        made=made,
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f'<div class="verdict bad"><ul>{items}</ul></div>' if items else ""


def _verdict(ratios: Sequence[Ratio]) -> str:
    aimed = [one for one in ratios if one.aim is not None]
    if not aimed:
        return "Nothing was held against an aim."
    return f"{sum(one.met is True for one in aimed)} of {len(aimed)} aims met."


def _table(ratios: Sequence[tuple[str, Ratio]]) -> str:
    said = {True: "met", False: "not met", None: ""}
    rows = tuple(
        (
            name,
            (
                one.what,
                one.in_unit(one.value),
                "" if one.aim is None else f"≤ {one.in_unit(one.aim)}",
                said[one.met],
            ),
            "",
        )
        for name, one in ratios
    )
    table = Table(("what", "measured", "aim", ""), rows, corner="benchmark")
    return wide(table) if rows else "<p>None was measured.</p>"


def _section(one: Outcome) -> str:
    ended = f", broke off with status {one.status}" if one.status else ""
    others = "" if math.isnan(one.others) else f"; others kept {one.others:.2f} processors busy"
    return (
        f"<section><h3>{_text(one.name)}</h3><p>{_text(one.asks)}</p>"
        f'<p class="lede"><code>{_text(one.command)}</code> took {one.seconds:.0f} s{ended}'
        f"{others}</p><pre>{_text(one.text.strip())}</pre></section>"
    )


# Figures.

CHART = (
    "Each ratio on a logarithmic axis; left of 1, rtkit needs less or is less late than what it is "
    "divided by. A vertical tick is the most that is aimed at: green keeps to it, red does not, "
    "blue has none."
)


def _chart(ratios: Sequence[tuple[str, Ratio]]) -> str:
    drawable = [named for named in ratios if _drawable(named)]
    if not drawable:
        return ""
    return picture(
        lambda figure: draw_ratios(drawable, figure.subplots()),
        height=0.9 + 0.27 * (len(drawable) + len({name for name, _ in drawable})),
        name="ratios",
        meaning=CHART,
    )


def _drawable(named: tuple[str, Ratio]) -> bool:
    return 0 < named[1].value < math.inf


def draw_ratios(ratios: Sequence[tuple[str, Ratio]], ax: Axes) -> None:
    """A lollipop each from 1 to the ratio, grouped by benchmark; what is not positive is not."""
    labels: list[str] = []
    groups = set()
    for name, one in filter(_drawable, ratios):
        if name not in groups:
            groups.add(name)
            labels.append(name)
        y, color = len(labels), {True: GOOD, False: BAD, None: PLAIN}[one.met]
        ax.plot([1, one.value], [y, y], color=color, linewidth=1.6)
        ax.plot([one.value], [y], "o", color=color, markersize=5.5)
        if one.aim is not None:
            ax.plot([one.aim], [y], "|", color="black", markersize=11, markeredgewidth=1.6)
        ax.annotate(
            f"{one.value:.3g}",
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(44, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            color=color,
            annotation_clip=False,
        )
        labels.append(one.what)
    ax.axvline(1, color="black", linewidth=0.8, zorder=0)
    ax.set_xscale("log")
    ax.margins(x=0.05)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_yticks(range(len(labels)), labels, fontsize=8.5)
    for label in ax.get_yticklabels():
        if label.get_text() in groups:
            label.set_fontweight("bold")
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#d5d9dd", linewidth=0.6)
    ax.spines[["left", "right", "top"]].set_visible(False)


def _scale(rows: Sequence[Row]) -> str:
    return picture(
        lambda figure: draw_scale(rows, *figure.subplots(1, 2)),
        height=3.7,
        name="scale",
        meaning="Lateness p99 of all chunks of all sessions, and processor time that a chunk "
        "costs, against the number of sessions that one process sends: rtkit.stream_many beside a "
        "task a session, and beside a library's defaults. A sender that is hopelessly late is left "
        "out at larger sizes.",
    )


def draw_scale(rows: Sequence[Row], late: Axes, cpu: Axes) -> None:
    """A line a sender: p99 in ms, and µs a chunk."""
    sizes = sorted({row["sessions"] for row in rows})
    for name in dict.fromkeys(row["sender"] for row in rows):
        own = sorted((row for row in rows if row["sender"] == name), key=lambda r: r["sessions"])
        at = [row["sessions"] for row in own]
        style: dict[str, Any] = {"color": COLORS.get(name), "marker": "o", "label": name}
        late.plot(at, [row["p99"] * 1e3 for row in own], **style)
        cpu.plot(at, [row["cpu"] * 1e6 for row in own], **style)
    late.set_yscale("log")
    late.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    late.set_ylabel("lateness p99, ms")
    cpu.set_ylim(bottom=0)
    cpu.set_ylabel("CPU, µs a chunk")
    for ax in (late, cpu):
        ax.set_xscale("log")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("sessions")
        ax.grid(color="#d5d9dd", linewidth=0.6)
        ax.spines[["right", "top"]].set_visible(False)
    late.legend(frameon=False)
