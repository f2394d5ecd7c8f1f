"""Many sessions as one: what was measured, how sure it is, and where it was worst.

What is measured has three names here: ``"word_latency"``, ``"turn_latency"`` and ``"lateness"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rtkit.analysis.bootstrap import Paired, bootstrap_quantiles, paired_difference
from rtkit.analysis.frames import pandas_for
from rtkit.analysis.latency import Latency, turn_latency, word_latency
from rtkit.analysis.naming import Sessions, named, service_of
from rtkit.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pool", "compare_pacings", "compare_paired", "pool", "quantile_intervals"]

PARTS = ("chunk_wait", "endpoint_wait", "lateness", "service_time", "since_sent")
_SAID = {part: part.replace("_", " ") for part in PARTS}
_SAID["since_sent"] = "endpoint wait + service time"
_RIGHT = 'style="text-align: right; padding: 2px 12px"'
_LEFT = 'style="text-align: left; padding: 2px 12px"'
_WORD = ("chunk_wait", "lateness", "service_time")
_TURN = ("chunk_wait", "endpoint_wait", "lateness", "service_time")
_UNDECIDED = ("chunk_wait", "lateness", "since_sent")  # the service did not say what decided
SENDER = ("pacing", "chunk", "phase", "isolation", "work")
SERVICE = ("speech_model", "service_delay", "service_parameters")
BY = (*SENDER, "recording", "service", "speech_model", "name")


@dataclass(frozen=True, eq=False)
class Pool:
    """Values of sessions that share something; `session` names each one's, shape (n,), seconds."""

    values: np.ndarray
    session: np.ndarray
    sessions: Mapping[str, Session]


def pool(sessions: Sessions, of: str, by: str | Sequence[str] = "pacing") -> dict[str, Pool]:
    """What was measured, put together by one setting or several.

    Different services are never put together: where that would happen, each group is one of a
    service, too, and bears its name.

    Raises
    ------
    ValueError
        If the measure or the setting is unknown.
    """
    measure = _measure(of)
    settings = [by] if isinstance(by, str) else list(by)
    for setting in settings:
        if setting not in BY:
            raise ValueError(f"unknown setting {setting!r}; by= takes {', '.join(map(repr, BY))}")
    by_name = named(sessions)
    together = _together(by_name, settings)
    if any(len(set(map(service_of, members.values()))) > 1 for members in together.values()):
        together = _together(by_name, [*settings, "service"])
    pools = {}
    for key, members in together.items():
        values = [measure(session) for session in members.values()]
        names = np.repeat(np.array([*members], dtype=object), [len(v) for v in values])
        pools[key] = Pool(np.concatenate(values), names, members)
    return pools


def _together(by_name: Mapping[str, Session], by: Sequence[str]) -> dict[str, dict[str, Session]]:
    together: dict[str, dict[str, Session]] = {}
    for name, session in by_name.items():
        key = ", ".join(_shown(setting, name, session) for setting in by)
        together.setdefault(key, {})[name] = session
    return together


def quantile_intervals(
    sessions: Sessions,
    of: str = "turn_latency",
    *,
    by: str | Sequence[str] = "pacing",
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Quantiles with bootstrap intervals, of all sessions of a pacing together.

    Whole sessions are drawn, where there are several: their words have more in common than words.
    Different services are never put together: where sessions of one group differ in it, each group
    is one of a service, too, and bears its name.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    of : {"word_latency", "turn_latency", "lateness"}
    by : str or several
        What is put together: ``"pacing"``, ``"chunk"``, ``"phase"``, ``"isolation"``, ``"work"``,
        ``"recording"``, ``"service"``, ``"speech_model"``, or ``"name"``, the mapping's own.
    quantiles, level, resamples, seed
        As for `rtkit.analysis.bootstrap.bootstrap_quantiles`.

    Returns
    -------
    pandas.DataFrame
        A row a group and quantile: ``group``, ``quantile``, ``value``, ``low``, ``high`` (in
        seconds; NaN where there are fewer than two values), ``count`` (values), ``sessions``, and
        ``note``: how many sessions and values there are of those that it takes to trust the
        interval, empty where there are enough.

    Raises
    ------
    ValueError
        If the measure or the setting is unknown.
    ImportError
        If pandas is not installed.
    """
    pd = pandas_for("quantile_intervals")
    rows = []
    for name, one in pool(sessions, of, by).items():
        found = bootstrap_quantiles(
            one.values,
            quantiles,
            groups=one.session,
            level=level,
            resamples=resamples,
            seed=seed,
        )
        for quantile, interval in zip(quantiles, found, strict=True):
            figures = (interval.value, interval.low, interval.high)
            counts = interval.count, len(one.sessions)
            rows.append((name, quantile, *figures, *counts, interval.note))
    columns = ["group", "quantile", "value", "low", "high", "count", "sessions", "note"]
    return pd.DataFrame(rows, columns=columns)


def compare_pacings(
    table: pd.DataFrame,
    metric: str = "turn_latency_p50",
    *,
    before: str = "wall_clock",
    after: str = "fixed_sleep",
    level: float = 0.95,
    seed: int = 0,
) -> Paired:
    """What a figure is under one pacing more than under another, over the same files.

    It is `compare_paired` by ``"pacing"``.
    """
    return compare_paired(
        table, metric, by="pacing", before=before, after=after, level=level, seed=seed
    )


def compare_paired(
    table: pd.DataFrame,
    metric: str = "turn_latency_p50",
    *,
    by: str = "service",
    before: object,
    after: object,
    level: float = 0.95,
    seed: int = 0,
) -> Paired:
    """What a figure is more with one service than with another, say, over the same files.

    Like is compared with like: a file, a chunk duration, a pacing and so on that both were
    measured with. These are then averaged, and so are repeats: a file counts once, whatever was
    done with it.

    Parameters
    ----------
    table : pandas.DataFrame
        From `rtkit.sweep`, or ``rtkit.to_frame(sessions, "sessions")``.
    metric : str
        One of its columns that holds seconds.
    by : str
        The column in which the two differ: ``"service"``, ``"speech_model"``, ``"service_delay"``,
        ``"service_parameters"``, ``"pacing"``, ``"chunk"``, ``"phase"``, ``"isolation"``,
        ``"work"``, or one of your own. The sender's other settings have to be the same, and so
        has the service where the sender's setting is compared.
    before, after
        Two of its values; the difference is after - before.

    Raises
    ------
    ValueError
        If there is no such column or value, or fewer than two files were measured with both.

    Examples
    --------
    >>> table = rtkit.to_frame(sessions, "sessions")  # doctest: +SKIP
    >>> before, after = table.service.unique()  # doctest: +SKIP
    >>> print(rtkit.compare_paired(table, before=before, after=after))  # doctest: +SKIP
    """
    for column in (metric, by):
        if column not in table:
            what = "metric" if column == metric else "column"
            there = ", ".join(table.columns)
            raise ValueError(f"the table has no {what} {column!r}; it has {there}")
    if table[metric].dtype.kind not in "fiu":
        raise ValueError(f"the column {metric!r} holds no numbers; give 'word_latency_p50', say")
    if by in ("recording", "session"):
        raise ValueError(f"by={by!r} leaves nothing to pair: files are compared with themselves")
    for value in (before, after):
        if value not in set(table[by]):
            there = ", ".join(map(repr, sorted(set(table[by]), key=str)))
            raise ValueError(f"the table holds no session with {by} {value!r}; it has {there}")
    if before == after:
        raise ValueError(f"before and after are both {before!r}; give two values of {by}")
    file = table["recording"].astype(str)
    if "clip_start" in table:
        starts = [f" from {start:g} s" if start else "" for start in table["clip_start"]]
        file = file + starts
    same = [table[name].astype(str) for name in _the_same(by) if name in table and name != by]
    means = table[metric].groupby([file.rename("file"), *same, table[by]]).mean().unstack(by)
    both = means[[before, after]].dropna().groupby(level="file").mean()
    everything = dict.fromkeys(file, float("nan"))
    halves = [{**everything, **both[half].to_dict()} for half in (before, after)]
    return paired_difference(*halves, level=level, seed=seed)


def _the_same(by: str) -> tuple[str, ...]:
    """The columns in which two halves of a pair may not differ."""
    if by in SENDER:
        return (*SENDER, "service")
    return (*SENDER, *SERVICE) if by in SERVICE else SENDER


# The worst.


# What is measured.


_LATENCIES: Mapping[str, Callable[[Session], Latency]] = {
    "word_latency": word_latency,
    "turn_latency": turn_latency,
}


def _measure(of: str) -> Callable[[Session], np.ndarray]:
    if of == "lateness":
        return lambda session: session.lateness
    if of not in _LATENCIES:
        known = ", ".join(map(repr, [*_LATENCIES, "lateness"]))
        raise ValueError(f"unknown measure {of!r}; of= takes {known}")
    return lambda session: _LATENCIES[of](session).latency[_counted(session, of)]


def _counted(session: Session, of: str) -> np.ndarray:
    """Which ones belong in quantiles; a stretch of speech that a service marks is no word."""
    counted = _LATENCIES[of](session).counted
    marks = of == "word_latency" and session.settings.marks_speech
    return np.zeros_like(counted) if marks else counted


def _shown(setting: str, name: str, session: Session) -> str:
    """A session's part of the name of its group."""
    if setting == "name":
        return name
    if setting == "service":
        return service_of(session)
    if setting == "speech_model":
        return str(session.settings.service.get(setting) or "unknown model")
    value = getattr(session.settings, setting)
    durations = setting in ("chunk", "work") and not isinstance(value, str)
    return f"{value * 1000:g} ms" if durations else str(value)
