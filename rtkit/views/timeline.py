"""The timeline figure: when each chunk was sent and each result arrived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rtkit.analysis.naming import Sessions, named, said
from rtkit.analysis.timing.latency import turn_latency
from rtkit.analysis.timing.turns import heard_words
from rtkit.boundary.text import told
from rtkit.session import Session
from rtkit.views.looks import (
    ink,
    legend_below,
    listed,
    long_stalls,
    looks_of,
    say_instead,
    time_below,
    titled,
)
from rtkit.views.turn_bars import boxes

__all__ = ["plot_timeline"]

TICKS = 4000  # in a row; as many as any figure has pixels
APART = 4.0  # points between ticks; nearer ones would shade at random


def plot_timeline(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """Plot when each chunk was sent and each result arrived, compared with when it was spoken.

    A box spans a turn as it was spoken, and its line extends to the arrival of its final result.
    Small ticks are words, when they arrived. The top row has a tick for each chunk sent or, if
    there are many, a band with gaps where none was sent. Stalls of more than half a chunk are
    hatched. With several sessions, each has its own lane in every row.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Artist
    """
    by_name = named(sessions)
    lane = 1 / max(1, len(by_name))
    artists: list[Artist] = []
    turns, stalled = 0, False
    for place, (session, look) in enumerate(zip(by_name.values(), looks_of(by_name), strict=True)):
        shift = 0.8 * lane * (place - (len(by_name) - 1) / 2)
        drawn, rows = _lane(session, shift, lane, look, ax=ax)
        artists += drawn
        turns = max(turns, rows)
        stalled = stalled or bool(long_stalls(session))
    labeled = range(0, turns + 1, 1 + turns // 13)
    labels = ["chunks sent", *[f"turn {row}" for row in labeled[1:]]]
    ax.set_yticks(labeled, labels, fontsize="small")
    ax.set_ylim(max(turns, 1) + 0.6, -0.6)
    ax.margins(x=0.01)
    ax.update_datalim([(0, 0)], updatey=False)
    ax.autoscale_view(scaley=False)
    of = f", {told(said(next(iter(by_name))), 50)}" if len(by_name) == 1 else ""
    titled(ax, f"Timeline{of}", "", "", by_name)
    time_below(ax, "time since the start")
    ax.grid(visible=False)
    if not any(session.chunks for session in by_name.values()):
        say_instead(ax, "no chunk was sent" if by_name else "no sessions")
        return artists
    if not turns:
        ax.text(0.5, 0.3, "no words came back", transform=ax.transAxes, ha="center", color=ink(0.6))
    color = looks_of(by_name)[0]["color"] if len(by_name) == 1 else ink(0.7)
    marks = [
        Patch(**_spoken(), label="turn as spoken"),
        Line2D([], [], color=color, marker="|", linestyle="", label="words back"),
        Line2D([], [], color=color, marker="D", markersize=4, label="final back"),
    ][: 3 if turns else 0]
    if stalled:
        marks.append(Patch(**_stalled(), label="loop stalled"))
    names = f"lanes, from the top: {listed(by_name)}" if len(by_name) > 1 else ""
    legend_below(ax, marks, title=names, columns=len(marks))
    return artists


def _lane(
    session: Session, shift: float, lane: float, look: Mapping[str, Any], *, ax: Axes
) -> tuple[list[Artist], int]:
    """One session's timeline in its lane of each row, and how many turns it has."""
    words, latency, color = heard_words(session), turn_latency(session), look["color"]
    starts: dict[int, float] = {}
    for word in words:
        starts.setdefault(word.turn, word.start)
    rows = {turn: row + shift for row, turn in enumerate(starts, start=1)}
    said = np.array([rows[word.turn] for word in words])
    ended = np.array([rows[turn] for turn in latency.turn.tolist()])
    start = np.array([starts[turn] for turn in latency.turn.tolist()])
    heard = np.array([word.received for word in words])
    sent = _apart(session.sent)
    space = ax.bbox.width / ax.figure.dpi * 72 / max(1, len(sent))
    thick = 0.8 if space > APART else max(1.5, 2.5 * space)  # as a band
    around = 0.3 * lane
    artists: list[Artist] = [
        ax.vlines(sent, shift - around, shift + around, linewidth=thick, color=color),
        boxes(ax, start, ended - around, latency.end - start, 2 * around, zorder=0, **_spoken()),
        ax.vlines(heard, said - 0.18 * lane, said + 0.18 * lane, linewidth=1, color=color),
        ax.hlines(ended, latency.end, latency.received, linewidth=1.5, color=color),
        *ax.plot(latency.received, ended, "D", color=color, markersize=4 * lane**0.5),
    ]
    if stalls := long_stalls(session):
        seconds = np.array([stall.seconds for stall in stalls])
        left, below = np.array([stall.at for stall in stalls]) - seconds, shift - around
        artists.append(boxes(ax, left, below, seconds, 2 * around, zorder=3, **_stalled()))
    many = len(words) > TICKS  # as a picture within an SVG, which would grow to many megabytes
    for artist in artists[1:]:
        artist.set_rasterized(many)
    return artists, len(starts)


def _spoken() -> dict[str, Any]:
    return {"facecolor": ink(0.06), "edgecolor": ink(0.35), "linewidth": 0.8}


def _stalled() -> dict[str, Any]:
    return {"facecolor": "none", "edgecolor": ink(0.8), "linewidth": 0.8, "hatch": "xxxx"}


def _apart(instants: np.ndarray) -> np.ndarray:
    """The first of those that would be drawn over one another."""
    if len(instants) <= TICKS:
        return instants
    span = float(np.ptp(instants)) or 1.0
    cells = np.floor((instants - instants.min()) / span * TICKS)
    return np.asarray(instants[np.unique(cells, return_index=True)[1]])
