"""The figure for "which service?": latency against errors, one dot each."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from rtkit.analysis.naming import Sessions, named, said
from rtkit.analysis.statistics.bootstrap import Interval
from rtkit.analysis.statistics.tradeoff import tradeoff
from rtkit.views.looks import ink, legend_below, looks_of, say_instead, titled
from rtkit.views.units import unit_of

__all__ = ["plot_services"]

AXES = {
    "turn_latency": "turn latency, median",
    "word_latency": "word latency, median",
    "wer": "word error rate, %",
    "early_cut_offs": "turns cut off early, %",
}
FRONT = "not beaten by any other"


def plot_services(
    sessions: Sessions, *, ax: Axes, of: str = "turn_latency", against: str = "wer"
) -> list[Artist]:
    """Plot each session as a dot with 95% intervals, and the Pareto front.

    A diamond is a session that another one dominates: as good in both, and better in one.

    Sessions that are not valid are left out and named above the figure. If intervals overlap, one
    session each does not show which service is better: see `rtkit.sweep` and
    `rtkit.compare_paired`.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
        As ``rtkit.compare(clip, services=...)`` returns them.
    ax : matplotlib.axes.Axes
    of, against
        As for `rtkit.analysis.statistics.tradeoff.tradeoff`.

    Returns
    -------
    list of Artist
        The front, then each dot with its intervals.
    """
    by_name = named(sessions)
    places = tradeoff(by_name, of=of, against=against)
    unit = unit_of(*[np.array([place.latency.value]) for place in places])
    titled(ax, "Which service?", f"{AXES[of]}, {unit.name}", AXES[against], by_name)
    if not places:
        if by_name:
            say_instead(ax, "no valid session has both values")
        return []
    best = sorted((one.latency.value, one.errors.value) for one in places if one.best)
    front, *_ = ax.plot(
        [latency * unit.times for latency, _ in best],
        [100 * errors for _, errors in best],
        color=ink(0.4),
        linewidth=1.2,
        linestyle=":",
        drawstyle="steps-post",
        zorder=1,
        label=FRONT,
    )
    looks = dict(zip(by_name, looks_of(by_name), strict=True))
    artists: list[Artist] = [front]
    dots: list[Artist] = []
    for place in places:
        color = looks[place.name]["color"]
        x, y = place.latency.value * unit.times, 100 * place.errors.value
        wide, high = _arms(place.latency, unit.times), _arms(place.errors, 100)
        across, along = ([x - wide[0], x + wide[1]], [y, y]), ([x, x], [y - high[0], y + high[1]])
        for line in (across, along):
            artists += ax.plot(*line, color=color, alpha=0.5, linewidth=1.5, zorder=2)
        label = f"{said(place.name)}: {x:.0f} {unit.name}, {y:.1f}%"
        dots += ax.plot(
            [x], [y], "o" if place.best else "D", color=color, markersize=8, label=label, zorder=3
        )
        artists.append(dots[-1])
    ax.update_datalim([(0, 0), (0, 1)])  # services without an error need an axis, too
    ax.autoscale_view()
    ax.set_xlim(left=min(0, ax.get_xlim()[0]))
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    left = len(by_name) - len(places)
    legend_below(
        ax,
        [*dots, front],
        title=f"{left} of {len(by_name)} left out: not valid, or without a value" if left else "",
    )
    return artists


def _arms(interval: Interval, times: float) -> tuple[float, float]:
    """Distances of the bounds from the value; 0 without a bound."""
    arms = interval.value - interval.low, interval.high - interval.value
    below, above = (arm * times if math.isfinite(arm) else 0.0 for arm in arms)
    return below, above
