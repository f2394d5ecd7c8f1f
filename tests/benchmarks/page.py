"""All benchmarks of one run as one page that needs no server and no network: ratios first.

It is made of what the benchmarks printed, and holds that, too; it measures nothing itself.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ratios import Ratio, read

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
    return PAGE.format(
        style=STYLE,
        verdict=_text(_verdict([found for _, found in ratios])),
        lede=_text(lede),
        notes=_list(note for one in outcomes for note in one.notes),
        ratios=_table(pure),
        chart=_figure(_height(pure), lambda figure: draw_ratios(pure, figure.subplots()), CHART)
        if any(map(_drawable, pure))
        else "",
        figures=f"<h2>Figures in units of their own</h2>{_table(figures)}" if figures else "",
        scale=f"<section><h2>One process, many sessions</h2>{_scale(scale)}</section>"
        if scale
        else "",
        host="".join(f"<dt>{_text(what)}</dt><dd>{_text(is_)}</dd>" for what, is_ in host.items()),
        texts="".join(map(_section, outcomes)),
        made=_text(made),
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _list(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _verdict(ratios: Sequence[Ratio]) -> str:
    aimed = [one for one in ratios if one.aim is not None]
    if not aimed:
        return "Nothing was held against an aim."
    return f"{sum(one.met is True for one in aimed)} of {len(aimed)} aims met."


def _table(ratios: Sequence[tuple[str, Ratio]]) -> str:
    rows = []
    before = ""
    for name, one in ratios:
        aim = "" if one.aim is None else f"≤ {one.in_unit(one.aim)}"
        sign = {True: "met", False: "not met", None: ""}[one.met]
        rows.append(
            f'<tr class="{sign.replace(" ", "-")}{" new" if name != before else ""}">'
            f"<th>{_text(name if name != before else '')}</th><td>{_text(one.what)}</td>"
            f'<td class="number">{_text(one.in_unit(one.value))}</td>'
            f'<td class="number aim">{_text(aim)}</td><td class="sign">{sign}</td></tr>'
        )
        before = name
    if not rows:
        return "<p>None was measured.</p>"
    head = "<th></th><th>what</th><th class='number'>measured</th><th class='number'>aim</th>"
    return (
        f'<div class="wide"><table><thead><tr>{head}<th></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


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


def _figure(height: float, draw: Callable[[Figure], object], meaning: str) -> str:
    """A figure as an image within the page: as such no name in it can become part of the page."""
    drawn = io.BytesIO()
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(9.6, height), layout="constrained")
        draw(figure)
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    data = base64.b64encode(drawn.getvalue()).decode()
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{_text(meaning)}">'
        f"<figcaption>{_text(meaning)}</figcaption></figure>"
    )


def _height(ratios: Sequence[tuple[str, Ratio]]) -> float:
    return 0.9 + 0.27 * (len(ratios) + len({name for name, _ in ratios}))


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
    return _figure(
        3.7,
        lambda figure: draw_scale(rows, *figure.subplots(1, 2)),
        "Lateness p99 of all chunks of all sessions, and processor time that a chunk costs, "
        "against the number of sessions that one process sends: rtkit.stream_many beside a task a "
        "session, and beside a library's defaults. A sender that is hopelessly late is left out at "
        "larger sizes.",
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


STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --faint: #60666d;
  --line: #dde1e5; --well: #f5f7f9; --good: #1a7f4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e4e7ea; --faint: #9aa2aa;
  --line: #333a41; --well: #1d2226; --good: #5ccb93; --bad: #ff8a80; }
  figure img { filter: invert(0.915) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 66rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 0.4rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 0.7rem; padding-top: 0.6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.8rem 0 0.2rem; }
p { margin: 0.3rem 0; } .lede, figcaption, footer { color: var(--faint); }
.verdict { font-weight: 600; } .notes { color: var(--bad); padding-left: 1.2rem; }
code, pre { font: 0.8rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { background: var(--well); border: 1px solid var(--line); padding: 0.7rem 0.9rem;
  max-height: 24rem; overflow: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15rem 1.2rem 0.15rem 0; text-align: left; vertical-align: top; }
thead th { color: var(--faint); font-weight: 500; } .new > * { border-top: 1px solid var(--line); }
.number { text-align: right; white-space: nowrap; } .aim { color: var(--faint); }
.met .sign { color: var(--good); } .not-met .sign { color: var(--bad); font-weight: 600; }
.sign { white-space: nowrap; }
figure { margin: 1.4rem 0; } figure img { display: block; width: 100%; height: auto; }
figcaption { margin-top: 0.3rem; font-size: 0.92rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.2rem; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; font-size: 0.85rem; }
@media print { @page { margin: 14mm; } :root { --paper: #fff; --ink: #000; --faint: #444;
  --line: #bbb; --well: #fff; --good: #1a7f4b; --bad: #b3261e; }
  body { padding: 0; max-width: none; font-size: 10.5pt; } figure img { filter: none; }
  .wide, pre { overflow: visible; } pre { max-height: none; font-size: 6.5pt; }
  h2, h3 { break-after: avoid; } figure, tr, dl { break-inside: avoid; } }
"""

# The policy keeps the page from loading or running anything, whatever stands in it.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Benchmarks – rtkit</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Benchmarks of rtkit</h1>
<p class="verdict">{verdict}</p>
<p class="lede">{lede} Compare what stands in one run, not runs: the two halves of a ratio were
measured side by side.</p>
{notes}
</header>
<section>
<h2>Ratios</h2>
{ratios}
{chart}
</section>
<section>
{figures}
</section>
{scale}
<section>
<h2>Where it was measured</h2>
<dl>{host}</dl>
</section>
<section>
<h2>What each benchmark printed</h2>
{texts}
</section>
<footer>{made}</footer>
</body>
</html>
"""
