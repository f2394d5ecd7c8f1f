"""Figures of sessions, one function each, on the caller's axes.

Each function draws once and returns its artists; `plot_comparison` makes a figure of its own.
Seconds become milliseconds here, on the axes' labels.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from rtkit.analysis.definitions import DEFINITIONS
from rtkit.analysis.naming import Sessions, named, said
from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.analysis.timing.lateness import drift
from rtkit.boundary.files import replacing
from rtkit.session import Session
from rtkit.views.distributions import plot_lateness_distribution
from rtkit.views.figure import ThemedFigure
from rtkit.views.looks import (
    OFF,
    ink,
    legend_below,
    listed,
    long_stalls,
    looks_of,
    paper,
    say_instead,
    setting_the_axis,
    time_below,
    titled,
)
from rtkit.views.timeline import plot_timeline
from rtkit.views.turn_bars import plot_turn_latency
from rtkit.views.units import Unit, duration, minus, unit_of

__all__ = ["plot_comparison", "plot_lateness", "plot_rescored", "save_figure"]

SMALL = 8.3  # points, of lettering where there is room for it


def plot_lateness(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """Plot how late each chunk was sent, over the position in the audio.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Artist
        One line per session, and marks for stalls of the loop of more than half a chunk.

    Notes
    -----
    Next to other sessions, an unpaced session runs off the axis: it is early by nearly the length
    of the recording.
    """
    by_name = named(sessions)
    held = setting_the_axis({name: one for name, one in by_name.items() if one.chunks})
    unit = unit_of(*[by_name[name].lateness for name in held])
    artists: list[Artist] = []
    stalled: list[Artist] = []
    for (name, session), look in zip(by_name.items(), looks_of(by_name), strict=True):
        audio = np.array([chunk.stop for chunk in session.chunks]) / session.settings.rate
        late = session.lateness * unit.times
        label = said(name)
        if not session.settings.timed:
            label += ": how long its chunks last is not known"
        elif len(late):
            label += f": {duration(session.lateness[-1])} at the end"
        if session.settings.timed and len(late) > 1:
            label += f", drift {_drift(session)}"
        if len(late) and name not in held:
            label += f" {OFF}"
        alone = "o" if len(late) == 1 else ""  # one chunk makes no line
        artists += ax.plot(audio, late, label=label, linewidth=1.8, marker=alone, **look)
        if len(late) and (stalls := long_stalls(session)):
            ends = [stall.at for stall in stalls]
            at = np.minimum(np.searchsorted(session.sent, ends), len(late) - 1)
            longest = duration(max(stall.seconds for stall in stalls))
            label = f"{said(name)}: the loop stalled, for up to {longest}"
            stalled += ax.plot(
                audio[at], late[at], "v", label=label, markersize=8, color=look["color"], mec=ink()
            )
    titled(
        ax,
        "How late each chunk left",
        "",
        f"lateness (sent \N{MINUS SIGN} due), {unit.name}",
        by_name,
    )
    if not held:
        say_instead(ax, "no chunk was sent")
        return artists
    ax.axhline(0, color=ink(0.4), linewidth=0.8, zorder=0)
    ax.margins(x=0.01)
    ax.update_datalim([(0, 0), (0, 1)])  # a flawless line needs an axis too
    ax.autoscale_view()
    time_below(ax, "audio sent")
    if len(held) < len(artists):
        late = np.concatenate([[0, 1], *[by_name[name].lateness * unit.times for name in held]])
        margin = 0.05 * float(np.ptp(late))
        ax.set_ylim(late.min() - margin, late.max() + margin)
    legend_below(ax, [*artists, *stalled])
    return [*artists, *stalled]


def plot_rescored(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """Plot the median latency of each session under each definition of `rtkit.rescore`.

    If the bars of two sessions differ, that definition includes the sender's lateness.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Artist
    """
    by_name = named(sessions)
    height = 0.8 / max(1, len(by_name))
    medians = {
        name: np.array([quantiles(one.values(session)).p50 for one in DEFINITIONS])
        for name, session in by_name.items()
    }
    # One that was cut off, like one that was not paced, is early by much of the recording.
    held = setting_the_axis({name: one for name, one in by_name.items() if one.complete} or by_name)
    unit = unit_of(*[medians[name] for name in held])
    room = ax.bbox.height / ax.figure.dpi * 72 / len(DEFINITIONS)  # points for each
    size = max(4.0, min(SMALL, room * height))
    reach = [0.0, *np.concatenate([medians[name] for name in held]) * unit.times] if held else [0.0]
    low, high = np.nanmin(reach), np.nanmax(reach)
    margin = 0.1 * (float(high - low) or 1.0)
    ax.set_xlim(low - margin * (low < 0), high + margin)
    artists: list[Artist] = []
    shown: list[Artist] = []
    for place, (name, look) in enumerate(zip(by_name, looks_of(by_name), strict=True)):
        values = medians[name] * unit.times
        bars = ax.barh(
            np.arange(len(DEFINITIONS)) + (place - (len(by_name) - 1) / 2) * height,
            values,
            height * 0.92,
            color=look["color"],
            edgecolor=paper(),
            linewidth=0.4,
        )
        artists += [*bars, *(_at_its_end(ax, bar, unit, size) for bar in bars)]
        bars[0].set_label(said(name) if name in held else f"{said(name)} {OFF}")
        shown.append(bars[0])
    ax.set_yticks(
        range(len(DEFINITIONS)),
        [
            f"{one.name}\n{textwrap.fill(one.formula, 40)}" if room > 3 * SMALL else one.name
            for one in DEFINITIONS
        ],
        fontsize=min(SMALL, room),
    )
    ax.invert_yaxis()
    titled(ax, "One session, many latencies", f"median, {unit.name}", "", by_name)
    ax.grid(axis="y", visible=False)
    legend_below(ax, shown, title="bars, from the top" if len(shown) > 1 else "")
    return artists


def _at_its_end(ax: Axes, bar: Rectangle, unit: Unit, size: float) -> Annotation:
    """A bar's value, beside it; with an arrow, at the axis's end, where it runs off the axis."""
    value = bar.get_width()
    low, high = ax.get_xlim()
    said = duration(value / unit.times, unit).removesuffix(f" {unit.name}")
    if value < low:
        said = f"← {said}"
    elif value > high:
        said = f"{said} →"
    rightwards = not low <= value < 0
    return ax.annotate(
        said,
        (np.clip(np.nan_to_num(value), low, high), bar.get_y() + bar.get_height() / 2),
        (3 if rightwards else -3, 0),
        textcoords="offset points",
        ha="left" if rightwards else "right",
        va="center",
        fontsize=size,
        annotation_clip=False,
    )


def plot_comparison(sessions: Sessions) -> ThemedFigure:
    """Plot sessions in one figure: lateness, its distribution, turn latency and timeline.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them

    Returns
    -------
    ThemedFigure
        A matplotlib figure that pyplot does not know, so nothing else keeps it in memory. A
        notebook shows it light or dark, to match its theme.
    """
    by_name = named(sessions)
    figure = ThemedFigure(
        figsize=(12, 8 + 0.4 * len(by_name)),
        alt=f"Four figures of {listed(by_name) or 'no sessions'}: {'; '.join(ALTS)}.",
    )
    for plot, ax in zip(COMPARED, figure.subplots(2, 2).flat, strict=True):
        plot(by_name, ax=ax)
    figure.suptitle("\n".join(described(by_name)), fontsize="medium", parse_math=False)
    return figure


def _last_timeline(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    return plot_timeline(dict([*named(sessions).items()][-1:]), ax=ax)


COMPARED = (plot_lateness, plot_lateness_distribution, plot_turn_latency, _last_timeline)
ALTS = (
    "how late each chunk was sent, over the audio",
    "the share of chunks sent no later than a given number of milliseconds",
    "the latency of each turn, stacked by part",
    "when chunks were sent and turns came back, from left to right",
)


def save_figure(figure: Figure, path: str | Path, *, dpi: float = 150) -> tuple[Path, Path]:
    """Save a figure as SVG and as PNG, and return the two paths.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        With or without a suffix: ``"runs/lateness"`` makes ``runs/lateness.svg``, in which text
        stays text, and ``runs/lateness.png``. Folders are created.
    dpi : float
        Resolution of the PNG.

    Notes
    -----
    The same figure always gives the same bytes: neither file contains a date.
    """
    path = Path(path)
    if path.suffix.lower() in (".svg", ".png"):
        path = path.with_suffix("")
    svg, png = path.with_name(f"{path.name}.svg"), path.with_name(f"{path.name}.png")
    with (
        replacing(svg) as aside,
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": path.name}),
    ):
        figure.savefig(aside, metadata={"Date": None})
    with replacing(png) as aside:
        figure.savefig(aside, dpi=dpi)
    return svg, png


def described(sessions: Sessions) -> list[str]:
    """What was streamed to whom: a line for each way in which it was done."""
    return list(dict.fromkeys(map(describe, named(sessions).values())))


def describe(session: Session) -> str:
    """What was streamed to whom, in a line for above a figure."""
    settings, service = session.settings, session.settings.service
    work = settings.work
    doing = (
        ""
        if not work
        else (
            f", work: {work}" if isinstance(work, str) else f", {work * 1000:g} ms of work a chunk"
        )
    )
    if settings.engine:
        heard = {"script": "scripted", "energy": "energy-marking"}.get(
            settings.engine, str(service.get("recognizer"))
        )
        where = " in virtual time" if service.get("name") == "embedded, in memory" else ""
        answering = f"; {heard} service{where}, delay {service.get('delay', 0) * 1000:g} ms"
    else:
        known = [str(service[key]) for key in ("name", "speech_model") if key in service]
        answering = f"; {' '.join(known)}" if known else ""
    lasts = f"{round(settings.seconds, 0 if settings.seconds >= 10 else 2):g}"
    made = ""
    if settings.resampled_from is not None:
        made = f", resampled from {settings.resampled_from} to {settings.rate} Hz"
    return (
        f"{settings.recording}, {lasts} s in chunks of {settings.chunk * 1000:g} ms"
        f"{made}{doing}{answering}"
    )


def _drift(session: Session) -> str:
    return minus(f"{drift(session) * 1000:+.1f} ms/s".replace("-0.0", "+0.0"))
