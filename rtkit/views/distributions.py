"""Distributions of latency and lateness, of each session or of many, with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from rtkit.analysis.naming import Sessions, named, said
from rtkit.analysis.statistics.bootstrap import Interval
from rtkit.analysis.statistics.pooling import Pool, pool
from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.boundary.text import counted
from rtkit.views.figure import ThemedFigure
from rtkit.views.looks import OFF, legend_below, looks_of, say_instead, setting_the_axis, titled
from rtkit.views.units import MS, Unit, duration, minus, unit_of

__all__ = ["plot_distribution", "plot_distributions", "plot_lateness_distribution"]

MEASURES = {
    "word_latency": ("Word latency", "latency, {}", "words"),
    "turn_latency": ("Turn latency", "latency, {}", "turns"),
    "lateness": ("Lateness", "lateness (logarithmic above 1 ms)", "chunks"),
}
MARKED = (0.5, 0.95)
WIDE = 52  # letters of a legend under one of three axes


def plot_distribution(
    sessions: Sessions,
    of: str = "word_latency",
    *,
    by: str | Sequence[str] = "pacing",
    include_invalid: bool = False,
    ax: Axes,
) -> list[Artist]:
    """Plot the share of words, turns or chunks that took no longer than a given time (ECDF).

    Horizontal bars are 95% bootstrap intervals of p50 and p95; whole recordings or sessions are
    resampled if there are several. Intervals that cannot be trusted are not drawn: those of p50
    from fewer than ten recordings or sessions, and of p95 from fewer than 72.
    `rtkit.quantile_intervals` gives the reason.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    of : {"word_latency", "turn_latency", "lateness"}
    by : str or several
        Sessions with the same values of these settings form one line: ``"pacing"``, ``"chunk"``,
        ``"recording"``, ``"service"``, ``"name"``, ... as in `rtkit.quantile_intervals`. Different
        services are never combined. With ``"name"``, each session is its own line, with p50 and p99
        and without intervals.
    include_invalid : bool
        Whether to include latencies of sessions that are not valid, as in
        `rtkit.quantile_intervals`. The legend says how many were left out.
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Artist
        One line per group.
    """
    pools = pool(sessions, of, by, include_invalid=include_invalid)  # refuses an unknown `of`
    title, axis, things = MEASURES[of]
    invalid = sum(len(one.left_out) for one in pools.values())
    pools = {name: one for name, one in pools.items() if len(one.values)}
    one_each = {name: next(iter(one.sessions.values())) for name, one in pools.items()}
    held = setting_the_axis(one_each)
    unit = MS if of == "lateness" else unit_of(*[pools[name].values for name in held])
    artists: list[Artist] = []
    left_out = 0
    for (name, one), look in zip(pools.items(), looks_of(one_each), strict=True):
        if by == "name":  # nothing is put together
            found = quantiles(one.values)
            label = f"{said(name)}: p50 {duration(found.p50)}, p99 {duration(found.p99)}"
        else:
            drawn = one.intervals(MARKED)
            left_out += sum(bool(interval.note) for interval in drawn)
            label = _label(name, one, drawn)
            _mark(ax, drawn, look["color"], unit)
        if name not in held:
            label += f" {OFF}"
        artists.append(ax.ecdf(one.values * unit.times, label=label, linewidth=1.8, **look))
    title = f"Distribution of {title.lower()}" if by == "name" else title
    titled(ax, title, axis.format(unit.name), f"share of {things}", named(sessions))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    if not artists:
        say_instead(ax, f"no {things} to measure{' in valid sessions' if invalid else ''}")
    elif of == "lateness":
        _logarithmic(ax)
    if len(held) < len(artists):
        values = np.concatenate([pools[name].values for name in held]) * unit.times
        margin = 0.05 * float(np.ptp(values)) or 1.0
        low = min(0.0, values.min()) - 0.5 if of == "lateness" else values.min() - margin
        ax.set_xlim(low, values.max() + margin)
    notes = []
    if left_out:
        units = "recordings" if any(one.recordings > 1 for one in pools.values()) else "sessions"
        notes.append(f"intervals left out: {left_out} (too few {units} or {things})")
    if invalid:
        notes.append(f"sessions left out, not valid: {invalid}")
    legend_below(ax, artists, title="\n".join(notes))
    return artists


def plot_lateness_distribution(sessions: Sessions, *, ax: Axes) -> list[Artist]:
    """Plot the share of chunks that were sent no later than a given time: one line per session.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    ax : matplotlib.axes.Axes

    Returns
    -------
    list of Artist
    """
    return plot_distribution(sessions, "lateness", by="name", ax=ax)


def plot_distributions(sessions: Sessions, *, by: str | Sequence[str] = "pacing") -> ThemedFigure:
    """Plot word latency, turn latency and lateness in one figure; see `plot_distribution`.

    Returns
    -------
    ThemedFigure
        A matplotlib figure that pyplot does not know, so nothing else keeps it in memory. A
        notebook shows it light or dark, to match its theme.
    """
    alt = "Distributions of word latency, turn latency and lateness, a line a group"
    figure = ThemedFigure(figsize=(14, 4.2), alt=alt)
    lines = 0
    for of, ax in zip(MEASURES, figure.subplots(1, 3), strict=True):
        labels = [str(line.get_label()) for line in plot_distribution(sessions, of, by=by, ax=ax)]
        lines = max(lines, sum(label.count("\n") + 1 for label in labels))
    figure.set_figheight(4.4 + 0.18 * lines)
    return figure


def _mark(ax: Axes, found: Sequence[Interval], color: str, unit: Unit) -> None:
    """One point per quantile, with a bar for its interval if it can be trusted."""
    for height, interval in zip(MARKED, found, strict=True):
        around = np.array([interval.value - interval.low, interval.high - interval.value])
        ax.errorbar(
            interval.value * unit.times,
            height,
            xerr=None if interval.note else np.maximum(around[:, None], 0) * unit.times,
            fmt="o",
            color=color,
            markersize=4,
            elinewidth=3.5,
            alpha=0.55,
        )


def _label(name: str, one: Pool, found: Sequence[Interval]) -> str:
    """Over two lines or more, because three such legends stand side by side."""
    unit = unit_of(np.array([interval.value for interval in found]))

    def written(seconds: float) -> str:
        return duration(seconds, unit).rpartition(" ")[0]

    p50, p95 = (
        written(i.value) + ("" if i.note else f" [{written(i.low)} to {written(i.high)}]")
        for i in found
    )
    counts = f"(n = {len(one.values)}, {counted(len(one.sessions), 'session')})"
    unbroken = counts.replace(" ", "\N{NO-BREAK SPACE}")
    name = textwrap.fill(f"{said(name)} {unbroken}", WIDE).replace("\N{NO-BREAK SPACE}", " ")
    return f"{name}\np50 {p50}, p95 {p95} {unit.name}"


def _logarithmic(ax: Axes) -> None:
    ax.update_datalim([(0, 0), (10, 1)])  # at least a decade: less has no ticks
    ax.set_xscale("symlog", linthresh=1)
    locator = SymmetricalLogLocator(base=10, linthresh=1)
    locator.set_params(numticks=5)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _decade(value)))


def _decade(milliseconds: float) -> str:
    size = abs(milliseconds)
    return minus(
        f"{milliseconds / 1000:g} s" if size >= 1000 else f"{milliseconds:g} ms" if size else "0"
    )
