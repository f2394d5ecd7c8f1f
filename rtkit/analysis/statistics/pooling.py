"""Many sessions combined: quantiles with intervals, and paired comparisons.

The measures are ``"word_latency"``, ``"turn_latency"`` and ``"lateness"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.frames import pandas_for
from rtkit.analysis.metrics import METRICS, MS
from rtkit.analysis.naming import Sessions, named, service_of
from rtkit.analysis.statistics.bootstrap import RESAMPLES, Interval, bootstrap_quantiles
from rtkit.analysis.statistics.paired import Paired, paired_difference
from rtkit.analysis.timing.latency import Latency, turn_latency, word_latency
from rtkit.boundary.text import unknown
from rtkit.session import Session, check_awaited

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Pool", "compare_pacings", "compare_paired", "pool", "quantile_intervals"]

SENDER = ("pacing", "chunk", "phase", "isolation", "work")
SERVICE = ("speech_model", "service_delay", "service_parameters")
BY = (*SENDER, "recording", "service", "speech_model", "name")
# Problems that pacings themselves make are what pacings are compared for; and what the sender did
# is known, whatever it means for the service's metrics.
OF_PACING = {"fixed_sleep": {"late"}, "unpaced": {"unpaced", "late", "backpressure"}}
OF_SENDER = ("lateness", "last_chunk_late_by", "drift", "jitter", "loop_stalls", "chunks_sent")


@dataclass(frozen=True, eq=False)
class Pool:
    """Values of sessions that share something, in seconds, and the name of each one's session.

    `left_out` names those that have values and are not valid.
    """

    values: np.ndarray
    session: np.ndarray
    sessions: Mapping[str, Session]
    left_out: tuple[str, ...] = ()

    @property
    def recordings(self) -> int:
        return len({one.settings.recording for one in self.sessions.values()})

    def intervals(
        self,
        quantiles: Sequence[float],
        *,
        level: float = 0.95,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> tuple[Interval, ...]:
        """Quantiles with intervals; recordings are drawn where there are several, or sessions."""
        several = self.recordings > 1
        return bootstrap_quantiles(
            self.values,
            quantiles,
            units=[
                self.sessions[name].settings.recording if several else name for name in self.session
            ],
            called="recordings" if several else "sessions",
            level=level,
            resamples=resamples,
            seed=seed,
        )


def pool(
    sessions: Sessions,
    of: str,
    by: str | Sequence[str] = "pacing",
    *,
    include_invalid: bool = False,
) -> dict[str, Pool]:
    """Combine sessions by one or several settings; see `quantile_intervals`."""
    measure = measure_of(of)
    settings = [by] if isinstance(by, str) else list(by)
    for setting in settings:
        if setting not in BY:
            raise ValueError(unknown("setting", setting, BY))
    by_name = named(sessions)
    include_invalid |= of == "lateness" or "name" in settings or len(by_name) == 1
    together = _together(by_name, settings)
    if any(len(set(map(service_of, members.values()))) > 1 for members in together.values()):
        together = _together(by_name, [*settings, "service"])
    pools = {}
    for key, members in together.items():
        values = {name: measure(session) for name, session in members.items()}
        left_out = tuple(
            name
            for name, session in members.items()
            if not include_invalid
            and len(values[name])
            and not _speaks(validity(session).names, session.settings.pacing, settings)
        )
        kept = {name: session for name, session in members.items() if name not in left_out}
        names = np.array([*kept], dtype=object)
        pools[key] = Pool(
            np.concatenate([np.empty(0), *(values[name] for name in kept)]),
            np.repeat(names, [len(values[name]) for name in kept]),
            kept,
            left_out,
        )
    return pools


def _speaks(problems: Iterable[str], pacing: str, by: Sequence[str]) -> bool:
    """Whether metrics of a session with these problems may be compared by these settings."""
    its_own: set[str] = OF_PACING.get(pacing, set()) if "pacing" in by else set()
    return set(problems) <= its_own


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
    include_invalid: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Compute quantiles with bootstrap intervals over all sessions of a pacing.

    The bootstrap resamples whole recordings if there are several, otherwise whole sessions.
    Different services are never combined: if sessions of one group differ in service, the group is
    divided by service and named accordingly.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    of : {"word_latency", "turn_latency", "lateness"}
    by : str or several
        The settings that define a group: ``"pacing"``, ``"chunk"``, ``"phase"``, ``"isolation"``,
        ``"work"``, ``"recording"``, ``"service"``, ``"speech_model"``, or ``"name"``, the name in
        the mapping.
    include_invalid : bool
        Whether to include latencies of sessions that are not valid (`rtkit.validity`). Lateness
        always counts. With ``"name"`` every session counts, and so does a single session. With
        ``"pacing"``, being late or unpaced excludes only sessions paced by the wall clock.
    quantiles, level, resamples, seed
        As for `rtkit.analysis.statistics.bootstrap.bootstrap_quantiles`.

    Returns
    -------
    pandas.DataFrame
        One row per group and quantile: ``group``, ``quantile``, ``value``, ``low``, ``high`` (in
        seconds; infinite if too few units lie beyond the quantile, NaN for fewer than two values),
        ``count`` (values), ``sessions``, ``recordings``, ``left_out`` (sessions that are not
        valid), and ``note``, which says why an interval cannot be trusted.

    Raises
    ------
    ValueError
        If `of` or `by` is unknown.
    ImportError
        If pandas is not installed.
    """
    pd = pandas_for("quantile_intervals")
    rows = []
    for name, one in pool(sessions, of, by, include_invalid=include_invalid).items():
        found = one.intervals(quantiles, level=level, resamples=resamples, seed=seed)
        for quantile, interval in zip(quantiles, found, strict=True):
            bounds = (interval.value, interval.low, interval.high)
            counts = (interval.count, len(one.sessions), one.recordings, len(one.left_out))
            rows.append((name, quantile, *bounds, *counts, interval.note))
    columns = ["group", "quantile", "value", "low", "high"]
    columns += ["count", "sessions", "recordings", "left_out", "note"]
    return pd.DataFrame(rows, columns=columns)


def compare_pacings(
    table: pd.DataFrame,
    metric: str = "turn_latency_p50",
    *,
    before: str = "wall_clock",
    after: str = "fixed_sleep",
    include_invalid: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> Paired:
    """Paired difference of a metric between two pacings: `compare_paired` by ``"pacing"``."""
    return compare_paired(
        table,
        metric,
        by="pacing",
        before=before,
        after=after,
        include_invalid=include_invalid,
        level=level,
        seed=seed,
    )


def compare_paired(
    table: pd.DataFrame,
    metric: str = "turn_latency_p50",
    *,
    by: str = "service",
    before: object,
    after: object,
    include_invalid: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> Paired:
    """Paired difference of a metric between two services, or two settings, over the same files.

    Only like is compared with like: the same file or excerpt, chunk duration, pacing and so on.
    These differences and repeats are averaged, so that each file counts once.

    Parameters
    ----------
    table : pandas.DataFrame
        From `rtkit.sweep`, or ``rtkit.to_frame(sessions, "sessions")``.
    metric : str
        A numeric column of the table.
    by : str
        The column in which the two differ: ``"service"``, ``"speech_model"``, ``"service_delay"``,
        ``"service_parameters"``, ``"pacing"``, ``"chunk"``, ``"phase"``, ``"isolation"``,
        ``"work"``, or a column of your own. The sender's other settings must be the same, and so
        must the service if a sender's setting is compared.
    before, after
        Two values of that column; the difference is after - before.
    include_invalid : bool
        Whether to include sessions that are not valid, by the table's columns ``valid`` and
        ``problems``; as for `quantile_intervals`.
    level, seed
        As for `rtkit.analysis.statistics.bootstrap.bootstrap_quantiles`.

    Raises
    ------
    ValueError
        If a column or value does not exist, or fewer than two files were measured with both.

    Examples
    --------
    >>> table = rtkit.to_frame(sessions, "sessions")  # doctest: +SKIP
    >>> before, after = table.service.unique()  # doctest: +SKIP
    >>> print(rtkit.compare_paired(table, before=before, after=after))  # doctest: +SKIP
    """
    check_awaited(table, "table", "rtkit.sweep(clips)")
    if not hasattr(table, "columns"):
        raise TypeError(
            f"a {type(table).__name__} is not a table; give what rtkit.sweep returned, or "
            'rtkit.to_frame(sessions, "sessions")'
        )
    for column in (metric, by):
        if column not in table:
            what = "metric" if column == metric else "column"
            raise ValueError(unknown(what, column, table.columns))
    if table[metric].dtype.kind not in "fiu":
        raise ValueError(
            f"the column {metric!r} holds no numbers; give a metric such as 'word_latency_p50'"
        )
    if by in ("recording", "session"):
        raise ValueError(
            f"by={by!r} leaves nothing to pair, because each file is compared "
            f"with itself; give another column"
        )
    for value in (before, after):
        if value not in set(table[by]):
            there = ", ".join(map(repr, sorted(set(table[by]), key=str)))
            raise ValueError(f"the table has no session with {by} {value!r}; it has {there}")
    if before == after:
        raise ValueError(f"before and after are both {before!r}; give two values of {by}")
    table = table[table[by].isin([before, after])]
    include_invalid |= metric.startswith(OF_SENDER)
    kept = table if include_invalid else table[_valid_rows(table, by)]
    for value in (before, after):
        if value not in set(kept[by]):
            raise ValueError(
                f"no session with {by} {value!r} is valid; include_invalid=True includes the others"
            )
    file = _files(kept)
    same = [kept[name].astype(str) for name in _the_same(by) if name in kept and name != by]
    means = kept[metric].groupby([file, *same, kept[by]]).mean().unstack(by)
    both = means[[before, after]].dropna().groupby(level="file").mean()
    everything = dict.fromkeys(file, float("nan"))
    halves = [{**everything, **both[half].to_dict()} for half in (before, after)]
    units = {one.name: one.unit for one in METRICS}
    found = paired_difference(*halves, level=level, seed=seed)
    return replace(found, invalid=len(table) - len(kept), unit=units.get(metric, MS))


def _valid_rows(table: pd.DataFrame, by: str) -> list[bool]:
    """Which sessions may be compared; all of a table that does not say which are valid."""
    if "valid" not in table:
        return [True] * len(table)
    problems = table["problems"] if "problems" in table else [""] * len(table)
    pacing = table["pacing"] if "pacing" in table else [""] * len(table)
    return [
        bool(valid) or (names != "" and _speaks(str(names).split(", "), str(how), [by]))
        for valid, names, how in zip(table["valid"], problems, pacing, strict=True)
    ]


def _files(table: pd.DataFrame) -> pd.Series:
    """What is paired: recordings, and excerpts of one by where they begin and how long they are."""
    file = table["recording"].astype(str)
    if "clip_start" in table:
        file = file + [f" from {start:g} s" if start else "" for start in table["clip_start"]]
    if "clip_seconds" in table:
        lengths = table.groupby(file)["clip_seconds"].transform("nunique")
        several = [
            f", {seconds:g} s" if number > 1 else ""
            for seconds, number in zip(table["clip_seconds"], lengths, strict=True)
        ]
        file = file + several
    return file.rename("file")


def _the_same(by: str) -> tuple[str, ...]:
    """The columns in which two halves of a pair may not differ."""
    if by in SENDER:
        return (*SENDER, "service")
    return (*SENDER, *SERVICE) if by in SERVICE else SENDER


# What is measured.


LATENCIES: Mapping[str, Callable[[Session], Latency]] = {
    "word_latency": word_latency,
    "turn_latency": turn_latency,
}


def measure_of(of: str) -> Callable[[Session], np.ndarray]:
    if of == "lateness":
        return lambda session: session.lateness if session.settings.timed else np.array([])
    if of not in LATENCIES:
        raise ValueError(unknown("measure", of, [*LATENCIES, "lateness"]))
    return lambda session: LATENCIES[of](session).latency[counted_of(session, of)]


def counted_of(session: Session, of: str) -> np.ndarray:
    """Which values belong in quantiles; speech that a service only marks is not a word."""
    counted = LATENCIES[of](session).counted
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
