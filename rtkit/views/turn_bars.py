"""Turn latency in its parts, a bar a turn and session."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rtkit.analysis.latency import Latency, turn_latency
from rtkit.analysis.naming import Sessions, named
from rtkit.views.colors import PARTS, UNDECIDED, Part
from rtkit.views.looks import (
    OFF,
    ink,
    legend_below,
    listed,
    looks_of,
    paper,
    say_instead,
    setting_the_axis,
    titled,
)
from rtkit.views.units import unit_of

__all__ = ["boxes", "plot_turn_latency"]

BARS = 600  # a figure's; more would be thinner than a pixel
FINE = 150  # bars from which hatches and edges would fill them
REASONS = {
    "terminated": "ended by Terminate",
    "unmatched": "not in the reference",
    "ambiguous": "whose last word is not sure",
    "foretold": "answered before it was sent",
}


def plot_turn_latency(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """Each turn's latency, stacked in its parts, a bar a session.

    The parts add up to the latency; a negative one is drawn below zero. What does not count is
    outlined, above all a turn that Terminate ended: it says nothing of the service's endpointing. A
    bar stands on a foot in its session's color. Of more turns than the figure has room for, it
    shows the quickest and the slowest of each so many, and says so.

    Returns
    -------
    list of Artist
        The boxes of each part that there is, session by session, those that do not count apart;
        then the feet.
    """
    by_name = named(sessions)
    latencies = {name: turn_latency(session) for name, session in by_name.items()}
    held = setting_the_axis({name: by_name[name] for name, one in latencies.items() if len(one)})
    unit = unit_of(*[latencies[name].latency for name in held])
    together = sum(map(len, latencies.values()))
    each = 1 if together <= BARS else math.ceil(2 * together / BARS)
    width = 0.8 * (1 if each == 1 else each / 2) / max(1, len(latencies))
    edge = {"linewidth": 0 if together > FINE else 0.4, "edgecolor": paper()}
    artists: list[Artist] = []
    feet: list[Artist] = []
    shown: dict[str, Patch] = {}
    reach = [0.0]
    for place, (name, look) in enumerate(zip(latencies, looks_of(by_name), strict=True)):
        latency = latencies[name]
        drawn, middle = _extremes(latency.latency, each)
        left = middle + (place - len(latencies) / 2 + 0.04) * width
        counts = latency.counted[drawn]
        above, below = np.zeros(len(drawn)), np.zeros(len(drawn))
        for part, every in _stack(latency):
            values = every[drawn] * unit.times
            bottom = np.where(values >= 0, above, below)
            hatch = "" if together > FINE else part.hatch
            for chosen, filling in (
                (counts, {"facecolor": part.color, **edge}),
                (
                    ~counts,
                    {"facecolor": (part.color, 0), "edgecolor": part.color, "linewidth": 0.9},
                ),
            ):
                some = chosen & (values != 0)
                if some.any():
                    at = left[some], bottom[some], width * 0.92, values[some]
                    artists.append(boxes(ax, *at, hatch=hatch, **filling))
                    key = Patch(facecolor=part.color, hatch=part.hatch, edgecolor=paper())
                    key.set_label(part.title)
                    shown.setdefault(part.name, key)
            above += np.maximum(values, 0)
            below += np.minimum(values, 0)
        if len(drawn):
            foot = ax.hlines(
                np.zeros(len(drawn)),
                left,
                left + width * 0.92,
                color=look["color"],
                linewidth=3,
                transform=ax.get_xaxis_transform(),
                clip_on=False,
            )
            feet.append(foot)
        if name in held:
            reach += [*above, *below]
    out = dict.fromkeys(why for one in latencies.values() for why in one.excluded.tolist() if why)
    if out:
        said = f"outlined: not counted ({', '.join(REASONS[why] for why in out)})"
        shown["out"] = Patch(facecolor="none", edgecolor=ink(0.6), label=said)
    titled(
        ax,
        "Turn latency, and whose it is",
        "turn" if each == 1 else f"turn (the quickest and the slowest of each {each})",
        f"from the turn's end to its final, {unit.name}",
        by_name,
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if artists:
        ax.axhline(0, color=ink(0.7), linewidth=0.8)
        ax.set_xlim(0.4, max(map(len, latencies.values())) + 0.6)
        low, high = min(reach), max(reach) or 1.0
        ax.set_ylim(low - 0.05 * (high - low) * (low < 0), high + 0.05 * (high - low))
    else:
        say_instead(ax, "no turn came to its end")
    legend_below(ax, [*shown.values()], title=_told(latencies, held), columns=2)
    return [*artists, *feet]


def _told(latencies: dict[str, Latency], held: set[str]) -> str:
    """Whose the bars are, and whether any of them counts."""
    told = []
    if len(latencies) > 1:
        off = {name for name, one in latencies.items() if len(one)} - held
        names = listed(f"{name} {OFF}" if name in off else name for name in latencies)
        told.append(textwrap.fill(f"bars, from the left: {names}", 70))
    if any(map(len, latencies.values())) and not any(
        one.counted.any() for one in latencies.values()
    ):
        told.append("nothing is counted: each turn is outlined")
    return "\n".join(told)


def _stack(latency: Latency) -> list[tuple[Part, np.ndarray]]:
    """The parts of each turn, in seconds; what the service did not tell apart is one part."""
    stack = []
    for part in (*PARTS, UNDECIDED):
        values = np.nan_to_num(
            getattr(latency, part.name)
        )  # where nothing is known, nothing stands
        if part.name in ("endpoint_wait", "service_time"):
            values = np.where(latency.decided, values, 0.0)
        elif part is UNDECIDED:
            values = np.where(latency.decided, 0.0, values)
        stack.append((part, values))
    return stack


def boxes(
    ax: Axes,
    left: np.ndarray,
    bottom: np.ndarray | float,
    width: np.ndarray | float,
    height: np.ndarray | float,
    **look: Any,
) -> PolyCollection:
    """Boxes as one artist: a patch for each of some thousand would take seconds."""
    left, bottom, width, height = np.broadcast_arrays(left, bottom, width, height)
    right, top = left + width, bottom + height
    corners = np.stack([left, bottom, left, top, right, top, right, bottom], axis=1)
    drawn = PolyCollection([*corners.reshape(-1, 4, 2)], **look)
    ax.add_collection(drawn)
    return drawn


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
