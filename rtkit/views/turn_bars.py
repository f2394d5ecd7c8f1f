"""Turn latency as stacked bars, one per turn and session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.timing.latency import Latency, turn_latency
from rtkit.views.explained import REASONS, stack
from rtkit.views.looks import (
    OFF,
    ink,
    legend_below,
    listed,
    looks_of,
    outline,
    paper,
    say_instead,
    setting_the_axis,
    titled,
)
from rtkit.views.units import Unit, unit_of

__all__ = ["boxes", "plot_turn_latency"]

BARS = 600  # a figure's; more would be thinner than a pixel
FINE = 150  # bars from which hatches and edges would fill them


def plot_turn_latency(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """Plot each turn's latency as stacked parts, one bar per session.

    The parts add up to the latency; negative parts are drawn below zero. Turns that are not counted
    are outlined, such as a turn that ended only because the session did. A mark below each bar has
    its session's color. A line across a bar shows the range of lateness if it is known only within
    bounds. If there are too many turns for the figure, it shows the fastest and the slowest of each
    group of neighboring turns, and says so.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Artist
        The boxes of each part, session by session, with uncounted turns separate; then lines and
        marks.
    """
    by_name = named(sessions)
    latencies = {name: turn_latency(session) for name, session in by_name.items()}
    held = setting_the_axis({name: by_name[name] for name, one in latencies.items() if len(one)})
    unit = unit_of(*[latencies[name].latency for name in held])
    together = sum(map(len, latencies.values()))
    each = 1 if together <= BARS else math.ceil(2 * together / BARS)
    width = 0.8 * (1 if each == 1 else each / 2) / max(1, len(latencies))
    artists: list[Artist] = []
    marks: list[Artist] = []
    reach = [0.0]
    for place, (name, look) in enumerate(zip(latencies, looks_of(by_name), strict=True)):
        drawn, middle = _extremes(latencies[name].latency, each)
        left = middle + (place - len(latencies) / 2 + 0.04) * width
        bars = _Bars(ax, latencies[name], drawn, left, width * 0.92, unit)
        artists += bars.draw(fine=together > FINE)
        marks += bars.mark(look["color"])
        if name in held:
            reach += [*bars.above, *bars.below]
    titled(
        ax,
        "Turn latency, and whose it is",
        "turn" if each == 1 else f"turn (the quickest and the slowest of each {each})",
        f"from the turn's end to its final, {unit.name}",
        by_name,
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if artists:
        ax.axhline(0, color=ink(0.7), linewidth=0.8, zorder=1.5)
        ax.set_xlim(0.4, max(map(len, latencies.values())) + 0.6)
        low, high = min(reach), max(reach) or 1.0
        ax.set_ylim(low - 0.05 * (high - low) * (low < 0), high + 0.05 * (high - low))
    else:
        say_instead(ax, "no turn ended")
    legend_below(ax, _keys([*latencies.values()]), title=_told(latencies, held), columns=2)
    return [*artists, *marks]


class _Bars:
    """The bars of one session: those of `drawn` turns, each at its own `left`."""

    def __init__(
        self,
        ax: Axes,
        latency: Latency,
        drawn: np.ndarray,
        left: np.ndarray,
        width: float,
        unit: Unit,
    ) -> None:
        self._ax, self._left, self._width = ax, left, width
        self._counts = latency.counted[drawn]
        self._parts = [
            (part, np.nan_to_num(every[drawn]) * unit.times) for part, every in stack(latency)
        ]
        self._doubt = np.nan_to_num(latency.half_width[drawn]) * unit.times
        self._end_of_lateness = np.zeros(len(drawn))
        self.above, self.below = np.zeros(len(drawn)), np.zeros(len(drawn))

    def draw(self, *, fine: bool) -> list[Artist]:
        """The parts one on the other: filled where they count, else outlined."""
        artists: list[Artist] = []
        filled = {"linewidth": 0 if fine else 0.4, "edgecolor": paper()}
        for part, values in self._parts:
            bottom = np.where(values >= 0, self.above, self.below)
            for chosen, filling in (
                (self._counts, {"facecolor": part.color, **filled}),
                (~self._counts, {"facecolor": (part.color, 0), "edgecolor": outline(part.color)}),
            ):
                some = chosen & (values != 0)
                if some.any():
                    at = self._left[some], bottom[some], self._width, values[some]
                    hatch = "" if fine else part.hatch
                    artists.append(boxes(self._ax, *at, hatch=hatch, **filling))
            self.above += np.maximum(values, 0)
            self.below += np.minimum(values, 0)
            if part.name == "lateness":
                self._end_of_lateness = np.where(values >= 0, self.above, self.below)
        return artists

    def mark(self, color: str) -> list[Artist]:
        """Between which values lateness ends, where that is all that is known; and feet."""
        marks: list[Artist] = []
        unsure = self._doubt > 0
        if unsure.any():
            middle, doubt = (self._left + self._width / 2)[unsure], self._doubt[unsure]
            end = self._end_of_lateness[unsure]
            marks.append(self._ax.vlines(middle, end - doubt, end + doubt, color=ink(), lw=1.2))
        if len(self._left):
            foot = self._ax.hlines(
                np.zeros(len(self._left)),
                self._left,
                self._left + self._width,
                color=color,
                linewidth=3,
                zorder=3,
                transform=self._ax.get_xaxis_transform(),
                clip_on=False,
            )
            marks.append(foot)
        return marks


def _keys(latencies: Sequence[Latency]) -> list[Artist]:
    """What the legend explains, of what there is."""
    keys: list[Artist] = []
    for stacked in zip(*map(stack, latencies), strict=True):
        part = stacked[0][0]
        if any(np.any(np.nan_to_num(values)) for _, values in stacked):
            look = {"facecolor": part.color, "hatch": part.hatch, "edgecolor": paper()}
            keys.append(Patch(**look, label=part.title))
    out = dict.fromkeys(why for one in latencies for why in one.excluded.tolist() if why)
    if out:
        why = ", ".join(REASONS.get(reason, reason) for reason in out)
        keys.append(
            Patch(facecolor="none", edgecolor=ink(0.6), label=f"outlined: not counted\n({why})")
        )
    return keys


def _told(latencies: Mapping[str, Latency], held: set[str]) -> str:
    """Whose the bars are, whether any of them counts, and what the lines across are."""
    told = []
    if len(latencies) > 1:
        off = {name for name, one in latencies.items() if len(one)} - held
        names = listed(f"{name} {OFF}" if name in off else name for name in latencies)
        told.append(f"bars, from the left: {names}")
    turns = [one for one in latencies.values() if len(one)]
    if turns and not any(one.counted.any() for one in turns):
        told.append("nothing is counted: each turn is outlined")
    if any(one.half_width.any() for one in turns):
        told.append("a line across: between which values lateness ends")
    return "\n".join(told)


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
    """The minimum and maximum of each group of values: their indices, and where to draw them.

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
