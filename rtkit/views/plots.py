"""Pictures of sessions, one function a figure, on the caller's axes.

Each function draws once and returns its artists; `plot_comparison` makes a figure of its own.
Times turn from seconds to milliseconds here, on the axes' labels.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rtkit.analysis.definitions import DEFINITIONS
from rtkit.analysis.latency import HeardWord, Latency, drift, heard_words, quantiles, turn_latency
from rtkit.analysis.naming import Sessions, named, said
from rtkit.boundary.files import replacing
from rtkit.session import Session
from rtkit.views.distributions import plot_lateness_distribution
from rtkit.views.looks import (
    legend_below,
    listed,
    looks_of,
    minus,
    say_instead,
    signed,
    titled,
)

__all__ = [
    "plot_comparison",
    "plot_lateness",
    "plot_rescored",
    "plot_timeline",
    "plot_turn_latency",
    "save_figure",
]

BARS = 600  # a figure's; more would be thinner than a pixel
TICKS = 4000  # in a row; as many as any figure has pixels
PARTS = (
    ("chunk_wait", "chunk wait", "#B8D8EE", ""),
    ("endpoint_wait", "endpoint wait", "#D9D9D9", ""),
    ("lateness", "lateness (the sender's)", "#D55E00", "////"),
    ("service_time", "service time", "#0072B2", ""),
)
UNDECIDED = ("undecided", "endpoint wait + service time", "#7FA9C9", "..")


def plot_lateness(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """How late each chunk left, against the audio that it carried.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Artist
        A line a session.
    """
    artists: list[Artist] = []
    for (name, session), look in zip(named(sessions).items(), looks_of(sessions), strict=True):
        audio = np.array([chunk.stop for chunk in session.chunks]) / session.settings.rate
        label = said(name)
        if len(session.chunks) > 1:
            label += f": {signed(session.lateness[-1])} at the end, drift {_drift(session)}"
        artists += ax.plot(audio, session.lateness * 1000, label=label, linewidth=1.8, **look)
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    titled(
        ax,
        "How late each chunk left",
        "audio sent, s",
        "lateness (sent \N{MINUS SIGN} due), ms",
        named(sessions),
    )
    ax.margins(x=0.01)
    ax.update_datalim([(0, 0), (0, 1)], updatex=False)  # a flawless line needs an axis too
    ax.autoscale_view()
    legend_below(ax, artists)
    return artists


def plot_turn_latency(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """Each turn's latency, stacked in its parts, a bar a session.

    The parts add up to the latency; a negative one is drawn below zero. A turn that Terminate
    ended is faint: it says nothing of the service's endpointing. Of more turns than the figure has
    room for, it shows the quickest and the slowest of each so many, and says so.

    Returns
    -------
    list of Artist
        The boxes of each part that there is, session by session.
    """
    by_name = named(sessions)
    latencies = [turn_latency(session) for session in by_name.values()]
    together = sum(map(len, latencies))
    each = 1 if together <= BARS else math.ceil(2 * together / BARS)
    width = 0.8 * (1 if each == 1 else each / 2) / max(1, len(latencies))
    fine = together > 150  # bars of a few pixels: hatches and edges would fill them
    artists: list[Artist] = []
    shown: dict[str, Artist] = {}
    for place, latency in enumerate(latencies):
        drawn, middle = _extremes(latency.latency, each)
        left = middle + (place - len(latencies) / 2 + 0.04) * width
        above, below = np.zeros(len(drawn)), np.zeros(len(drawn))
        for (part, label, color, hatch), every in _stack(latency):
            values = every[drawn]
            if not np.any(values):
                continue
            boxes = _boxes(
                ax,
                left,
                np.where(values >= 0, above, below),
                width * 0.92,
                values,
                facecolor=[(color, 0.3 if faint else 1.0) for faint in latency.terminated[drawn]],
                hatch="" if fine else hatch,
                edgecolor="white",
                linewidth=0 if fine else 0.4,
            )
            boxes.sticky_edges.y.append(0)
            above += np.maximum(values, 0)
            below += np.minimum(values, 0)
            shown.setdefault(part, Patch(facecolor=color, hatch=hatch, edgecolor="white"))
            shown[part].set_label(label)
            artists.append(boxes)
    ax.autoscale_view()
    ax.axhline(0, color="0.3", linewidth=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if any(latency.terminated.any() for latency in latencies):
        shown["terminated"] = Patch(facecolor="0.9", label="faint: ended by Terminate")
    titled(
        ax,
        "Turn latency, and whose it is",
        "turn" if each == 1 else f"turn (the quickest and the slowest of each {each})",
        "from the turn's end to its final, ms",
        by_name,
    )
    if artists:
        ax.set_xlim(0.4, max(map(len, latencies)) + 0.6)
    else:
        say_instead(ax, "no turn came to its end")
    names = textwrap.fill(f"bars, from the left: {listed(by_name)}", 70)
    title = names if len(by_name) > 1 else ""
    legend_below(ax, list(shown.values()), title=title, columns=2)
    return artists


def plot_timeline(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """When each chunk left and each turn came back, against when it was spoken.

    A bar spans a turn as it was spoken; the line goes on to the instant at which its final came;
    small ticks are the words as they came. The lowest row holds a tick for each chunk sent. Of
    several sessions each has a lane of its own in every row.
    """
    by_name = named(sessions)
    lane = 1 / max(1, len(by_name))
    artists: list[Artist] = []
    turns = 0
    for place, (session, look) in enumerate(zip(by_name.values(), looks_of(by_name), strict=True)):
        shift = 0.8 * lane * (place - (len(by_name) - 1) / 2)
        drawn, rows = _lane(session, shift, lane, look["color"], ax=ax)
        artists += drawn
        turns = max(turns, rows)
    labelled = range(0, turns + 1, 1 + turns // 13)
    labels = ["chunks sent", *[f"turn {row}" for row in labelled[1:]]]
    ax.set_yticks(labelled, labels, fontsize="small")
    ax.set_ylim(turns + 0.6, -0.6)
    ax.margins(x=0.01)
    of = f", {said(next(iter(by_name)))}" if len(by_name) == 1 else ""
    titled(ax, f"Timeline{of}", "time since the start, s", "", by_name)
    ax.grid(visible=False)
    if not by_name:
        return []
    marks = [
        Patch(facecolor="#D9D9D9", label="turn as spoken"),
        Line2D([], [], color="#009E73", marker="|", linestyle="", label="words back"),
        Line2D([], [], color="#0072B2", marker="D", markersize=4, label="final back"),
    ]
    names = textwrap.fill(f"lanes, from the top: {listed(by_name)}", 70)
    legend_below(ax, marks, title=names if len(by_name) > 1 else "", columns=3)
    return artists


def _lane(
    session: Session, shift: float, lane: float, sender: str, *, ax: Axes
) -> tuple[list[Artist], int]:
    """One session's timeline in its lane of each row, and how many turns it has."""
    words, latency = heard_words(session), turn_latency(session)
    starts = _turn_starts(words)
    rows = {turn: row + shift for row, turn in enumerate(starts, start=1)}
    said = np.array([rows[word.turn] for word in words])
    ended = np.array([rows[turn] for turn in latency.turn.tolist()])
    start = np.array([starts[turn] for turn in latency.turn.tolist()])
    blue, heard = "#0072B2", np.array([word.received for word in words])
    sent = _apart(session.sent)
    many = len(words) > TICKS  # as a picture within an SVG, which would grow to many megabytes
    artists: list[Artist] = [
        ax.vlines(sent, shift - 0.3 * lane, shift + 0.3 * lane, linewidth=0.6, color=sender),
        _boxes(
            ax,
            start,
            ended - 0.3 * lane,
            latency.end - start,
            0.6 * lane,
            facecolor="#D9D9D9",
            zorder=0,
        ),
        ax.vlines(heard, said - 0.18 * lane, said + 0.18 * lane, linewidth=1, color="#009E73"),
        ax.hlines(ended, latency.end, latency.received, linewidth=1.5, color=blue),
        *ax.plot(latency.received, ended, "D", color=blue, markersize=4 * lane**0.5),
    ]
    for artist in artists[1:]:
        artist.set_rasterized(many)
    return artists, len(starts)


def plot_rescored(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """The median latency of each session under each definition of `rtkit.rescore`.

    Where the bars of two sessions differ, that definition puts the sender's lateness into its
    figure.
    """
    by_name = named(sessions)
    height = 0.8 / max(1, len(by_name))
    artists: list[Artist] = []
    shown: list[Artist] = []
    for place, ((name, session), look) in enumerate(
        zip(by_name.items(), looks_of(sessions), strict=True)
    ):
        medians = [quantiles(one.values(session)).p50 * 1000 for one in DEFINITIONS]
        bottoms = np.arange(len(DEFINITIONS)) + (place - (len(by_name) - 1) / 2) * height
        hatch = "////" if session.settings.pacing == "fixed_sleep" else ""
        bars = ax.barh(
            bottoms,
            medians,
            height * 0.92,
            color=look["color"],
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
            label=said(name),
        )
        labels = [minus(f"{value:.0f}") if np.isfinite(value) else "–" for value in medians]
        artists += [*bars, *ax.bar_label(bars, labels, padding=3, fontsize="small")]
        shown.append(bars[0])
        bars[0].set_label(said(name))
    ax.set_yticks(
        range(len(DEFINITIONS)),
        [f"{one.name}\n{one.formula}" for one in DEFINITIONS],
        fontsize="small",
    )
    ax.invert_yaxis()
    ax.margins(x=0.1)
    titled(ax, "One session, many latencies", "median, ms", "", by_name)
    ax.grid(axis="y", visible=False)
    legend_below(ax, shown, columns=len(shown))
    return artists


def plot_comparison(sessions: Sessions) -> Figure:
    """One figure of sessions side by side: lateness, its distribution, turn latency, timeline.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot, so that nothing keeps it alive.
    """
    by_name = named(sessions)
    figure = Figure(figsize=(12, 8 + 0.4 * len(by_name)), layout="constrained")
    axes = figure.subplots(2, 2)
    plot_lateness(by_name, ax=axes[0, 0])
    plot_lateness_distribution(by_name, ax=axes[0, 1])
    plot_turn_latency(by_name, ax=axes[1, 0])
    if by_name:
        last = list(by_name)[-1]
        plot_timeline({last: by_name[last]}, ax=axes[1, 1])
        described = dict.fromkeys(describe(session) for session in by_name.values())
        figure.suptitle("\n".join(described), fontsize="medium", parse_math=False)
    return figure


def save_figure(figure: Figure, path: str | Path, *, dpi: float = 150) -> tuple[Path, Path]:
    """Write a figure as SVG and as PNG, and return the two paths.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or Path
        Without an ending, or with either's: ``"runs/lateness"`` makes ``runs/lateness.svg``, whose
        text stays text, and ``runs/lateness.png``. Folders are made.
    dpi : float
        Of the PNG.

    Notes
    -----
    The same figure makes the same bytes: there is no date in either file.
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
        where = " in virtual time" if service.get("name") != "embedded" else ""
        answering = f"; {heard} service{where}, delay {service.get('delay', 0) * 1000:g} ms"
    else:
        known = [str(service[key]) for key in ("name", "speech_model") if key in service]
        answering = f"; {' '.join(known)}" if known else ""
    return (
        f"{settings.recording}, {settings.seconds:.0f} s in chunks of {settings.chunk * 1000:g} ms"
        f"{doing}{answering}"
    )


def _stack(latency: Latency) -> list[tuple[tuple[str, str, str, str], np.ndarray]]:
    """The parts of each turn; what the service did not tell apart is one part."""
    stack = []
    for look in PARTS:
        values = getattr(latency, look[0])
        if look[0] in ("endpoint_wait", "service_time"):
            values = np.where(latency.decided, values, 0.0)
        stack.append((look, values * 1000))
    together = np.where(latency.decided, 0.0, latency.endpoint_wait + latency.service_time)
    return [*stack, (UNDECIDED, together * 1000)]


def _turn_starts(words: Sequence[HeardWord]) -> dict[int, float]:
    """When each turn's first word was spoken."""
    starts: dict[int, float] = {}
    for heard in words:
        starts.setdefault(heard.turn, heard.start)
    return starts


def _boxes(
    ax: Axes,
    left: np.ndarray,
    bottom: np.ndarray,
    width: np.ndarray | float,
    height: np.ndarray | float,
    **look: Any,
) -> PolyCollection:
    """Boxes as one artist: a patch for each of some thousand would take seconds."""
    right, top = left + width, bottom + height
    corners = np.stack([left, bottom, left, top, right, top, right, bottom], axis=1)
    boxes = PolyCollection([*corners.reshape(-1, 4, 2)], **look)
    ax.add_collection(boxes)
    return boxes


def _extremes(values: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest of each so many values: their indices, and where to draw them.

    The places count from 1, as turns do; with `each` 1 all values are drawn, at their own.
    """
    if each == 1:
        return np.arange(len(values)), np.arange(len(values)) + 1.0
    drawn: list[int] = []
    places: list[float] = []
    for first in range(0, len(values), each):
        stretch = values[first : first + each]
        drawn += sorted({first + int(np.argmin(stretch)), first + int(np.argmax(stretch))})
        places += [first + 0.5 + each * share for share in (0.25, 0.75)][: len(drawn) - len(places)]
    return np.array(drawn, dtype=int), np.array(places)


def _apart(instants: np.ndarray) -> np.ndarray:
    """The first of those that would be drawn over one another."""
    if len(instants) <= TICKS:
        return instants
    span = float(np.ptp(instants)) or 1.0
    cells = np.floor((instants - instants.min()) / span * TICKS)
    return np.asarray(instants[np.unique(cells, return_index=True)[1]])


def _drift(session: Session) -> str:
    return minus(f"{drift(session) * 1000:+.1f} ms/s".replace("-0.0", "+0.0"))
