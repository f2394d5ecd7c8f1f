"""Latency against errors, each with its interval, and the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rtkit.analysis.accuracy.wer import wer
from rtkit.analysis.checks.validity import validity
from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.statistics.bootstrap import Interval, bootstrap_quantiles, share_interval
from rtkit.analysis.statistics.pooling import LATENCIES, measure_of
from rtkit.analysis.timing.partials import early_cut_offs
from rtkit.boundary.text import unknown
from rtkit.session import Session

__all__ = ["Place", "tradeoff"]

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session stands: its median latency and its errors, lower being better in both.

    `best` means that no other session is as good in both and better in one: it lies on the Pareto
    front.
    """

    name: str
    latency: Interval
    errors: Interval
    best: bool


def tradeoff(
    sessions: Sessions, *, of: str = "turn_latency", against: str = "wer"
) -> tuple[Place, ...]:
    """Where each session stands; those that are not valid, or have no value, are left out.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
        With a reference; as `rtkit.compare` returns them.
    of : {"turn_latency", "word_latency"}
    against : {"wer", "early_cut_offs"}
        The word error rate, or the share of turns that were cut off early.

    Raises
    ------
    ValueError
        If either is unknown.
    """
    for what, known, name in ((of, LATENCIES, "of"), (against, AGAINST, "against")):
        if what not in known:
            raise ValueError(unknown(name, what, known))
    found = {}
    for name, session in named(sessions).items():
        values = measure_of(of)(session)
        if validity(session) and session.reference is not None and len(values):
            (median,) = bootstrap_quantiles(values, (0.5,))
            errors = AGAINST[against](session)
            if not np.isnan(errors.value):
                found[name] = median, errors
    return tuple(
        Place(name, *here, best=not any(_beats(other, here) for other in found.values()))
        for name, here in found.items()
    )


def _beats(one: tuple[Interval, Interval], other: tuple[Interval, Interval]) -> bool:
    (fast, right), (slow, wrong) = ([part.value for part in pair] for pair in (one, other))
    return fast <= slow and right <= wrong and (fast < slow or right < wrong)


def _cut_off(session: Session) -> Interval:
    flags = early_cut_offs(session)
    hits, count = int(flags.sum()), len(flags)
    low, high = share_interval(hits, count, level=LEVEL)
    return Interval(hits / count if count else np.nan, low, high, LEVEL, count, count)


AGAINST: Mapping[str, Callable[[Session], Interval]] = {
    "wer": lambda session: wer(session).interval,
    "early_cut_offs": _cut_off,
}
