"""How sure a figure is: bootstrap intervals, and paired differences with their effect sizes.

Numbers in, numbers out. Everything that is drawn is drawn from a seeded generator.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Interval", "Paired", "bootstrap_quantiles", "paired_difference"]

EXACT = 14  # pairs; up to here every way to swap them is looked at
BLOCK = 1_000_000  # resampled values held at a time
FEW = 10  # what is drawn from; of fewer, intervals are too narrow


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and between which values it lies at `level`; of `count` values in `groups`.

    `note` says why the interval is not to be trusted; it is empty where nothing speaks against it.
    """

    value: float
    low: float
    high: float
    level: float
    count: int
    groups: int
    note: str = ""


def bootstrap_quantiles(
    values: np.ndarray,
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
    *,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """Quantiles with percentile-bootstrap intervals.

    Parameters
    ----------
    values : ndarray, shape (n,)
    quantiles : sequence of float
        Between 0 and 1.
    groups : sequence, shape (n,), optional
        Which values belong together: the words of one session share its network and its host, so
        whole sessions are drawn, not words. Without it, or with one group, each value is drawn by
        itself, and the interval is too narrow where neighbors resemble each other.
    level : float
        Of the interval.
    resamples : int
    seed : int

    Returns
    -------
    tuple of Interval
        One for each quantile; NaN where there are no values, and for the bounds of one value.

    Raises
    ------
    ValueError
        If a quantile or the level lies outside its range.

    Notes
    -----
    The percentile bootstrap of Efron and Tibshirani (1993), chapter 13; by groups it is the
    cluster bootstrap. With fewer than some ten groups, or in a tail that few values reach, the
    intervals are too narrow, which their notes say: a p99 of 50 values is little more than their
    maximum. n values reach the quantile q with an upper bound if ``q**n <= (1 - level) / 2``, or
    else all of them lie below it too often (and likewise with 1 - q for the lower bound).
    """
    values = np.asarray(values, dtype=float)
    if not all(0 <= quantile <= 1 for quantile in quantiles):
        raise ValueError(f"quantiles={list(quantiles)} do not all lie between 0 and 1")
    _check(level, resamples)
    if not len(values):
        return tuple(Interval(np.nan, np.nan, np.nan, level, 0, 0, "no values") for _ in quantiles)
    found = np.quantile(values, quantiles)
    members = _members(values, groups)
    if len(values) == 1:
        note = "1 value: there is no interval"
        return tuple(Interval(float(v), np.nan, np.nan, level, 1, 1, note) for v in found)
    number = len(members) or 1
    generator = np.random.default_rng(seed)
    drawn = np.array(
        [np.quantile(_draw(values, members, generator), quantiles) for _ in range(resamples)]
    )
    low, high = np.quantile(drawn, _tails(level), axis=0)
    return tuple(
        Interval(
            float(value),
            float(below),
            float(above),
            level,
            len(values),
            number,
            _note(quantile, level, len(values), None if groups is None else number),
        )
        for quantile, value, below, above in zip(quantiles, found, low, high, strict=True)
    )


def _note(quantile: float, level: float, values: int, sessions: int | None) -> str:
    """How many there are of how many that are needed, where an interval says too little."""
    far = max(quantile, 1 - quantile)
    if far == 1:
        return "too narrow: no number of values tells the ends"
    needed = math.ceil(math.log((1 - level) / 2) / math.log(far))
    if sessions is None:
        needed = max(needed, FEW)
    short = [f"{sessions} of {FEW} sessions"] if sessions is not None and sessions < FEW else []
    short += [f"{values} of {needed} values"] if values < needed else []
    return f"too narrow: {', '.join(short)}" if short else ""


def _members(
    values: np.ndarray, groups: Sequence[Hashable] | np.ndarray | None
) -> list[np.ndarray]:
    """The values of each group; none where all are one."""
    if groups is None:
        return []
    if len(groups) != len(values):
        raise ValueError(f"{len(groups)} groups for {len(values)} values; give one for each")
    numbers: dict[Hashable, int] = {}
    place = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    return [values[place == number] for number in range(len(numbers))] if len(numbers) > 1 else []


def _draw(
    values: np.ndarray, members: list[np.ndarray], generator: np.random.Generator
) -> np.ndarray:
    if not members:
        return np.asarray(values[generator.integers(len(values), size=len(values))])
    return np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])


@dataclass(frozen=True, slots=True)
class Paired:
    """What one way of doing it adds over another, over things that were done both ways.

    Attributes
    ----------
    differences : mapping
        After - before, by pair.
    mean : Interval
        The mean difference, with a bootstrap interval over the pairs.
    effect : float
        Cohen's d_z: the mean difference in standard deviations of the differences. Infinite where
        all differences are the same and not 0.
    rank_biserial : float
        From -1 (each pair fell) to 1 (each pair rose): the share of rank sums above 0, minus that
        below (Kerby 2014). It does not mind outliers.
    p : float
        Of the sign-flip test: how often chance alone makes so large a mean difference, either way.
    left_out : int
        Pairs of which only one half is known.
    """

    differences: Mapping[Any, float]
    mean: Interval
    effect: float
    rank_biserial: float
    p: float
    left_out: int = 0

    def __str__(self) -> str:
        low, high = self.mean.low * 1000, self.mean.high * 1000
        rose = sum(difference > 0 for difference in self.differences.values())
        text = (
            f"{self.mean.value * 1000:+.1f} ms ({self.mean.level:.0%} interval {low:+.1f} to "
            f"{high:+.1f}) over {len(self.differences)} files, of which {rose} rose; "
            f"effect size d_z {self.effect:+.2f}, rank-biserial {self.rank_biserial:+.2f}, "
            f"p {self.p:.2g}"
        )
        return text + (f"; {self.left_out} files left out" if self.left_out else "")


def paired_difference(
    before: Mapping[Any, float],
    after: Mapping[Any, float],
    *,
    level: float = 0.95,
    resamples: int = 10000,
    seed: int = 0,
) -> Paired:
    """Compare two figures of the same things: after - before, pair by pair, in seconds.

    Parameters
    ----------
    before, after : mapping
        A figure by what was measured (a file, say). NaN counts as not known.
    level, resamples, seed
        As for `bootstrap_quantiles`.

    Raises
    ------
    ValueError
        If fewer than two pairs are whole: one says nothing of others.
    """
    _check(level, resamples)
    keys = dict.fromkeys([*before, *after])
    differences = {key: after.get(key, np.nan) - before.get(key, np.nan) for key in keys}
    whole = {key: float(value) for key, value in differences.items() if np.isfinite(value)}
    if len(whole) < 2:
        raise ValueError(
            f"{len(whole)} of {len(keys)} files were measured both ways, and a comparison over "
            "files needs 2 or more; below 6 no p falls under 0.05"
        )
    values = np.array(list(whole.values()))
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[generator.integers(len(values), size=(rows, len(values)))].mean(axis=1)
            for rows in _blocks(resamples, len(values))
        ]
    )
    low, high = np.quantile(means, _tails(level))
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    if spread > 1e-12:  # seconds; less is rounding
        effect = mean / spread
    else:
        effect = 0.0 if abs(mean) <= 1e-12 else float(np.copysign(np.inf, mean))
    return Paired(
        whole,
        Interval(mean, float(low), float(high), level, len(values), len(values)),
        effect,
        _rank_biserial(values),
        _sign_flip(values, resamples, generator),
        len(keys) - len(whole),
    )


def _rank_biserial(values: np.ndarray) -> float:
    """(Ranks above 0 - ranks below 0) / all ranks; equal sizes share ranks, zeros have none."""
    sizes = np.abs(values[values != 0])
    if not len(sizes):
        return 0.0
    ordered = np.sort(sizes)
    first = np.searchsorted(ordered, sizes, "left")
    last = np.searchsorted(ordered, sizes, "right")
    ranks = (first + last + 1) / 2
    return float((ranks * np.sign(values[values != 0])).sum() / ranks.sum())


def _sign_flip(values: np.ndarray, resamples: int, generator: np.random.Generator) -> float:
    """Had either half of a pair been called *after*: the share of means at least as far from 0."""
    size, seen = abs(values.sum()) * (1 - 1e-9), 0
    if len(values) <= EXACT:
        bits = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float((np.abs((1 - 2 * bits) @ values) >= size).mean())
    for rows in _blocks(resamples, len(values)):
        signs = generator.choice((-1.0, 1.0), size=(rows, len(values)))
        seen += int((np.abs(signs @ values) >= size).sum())
    return (seen + 1) / (resamples + 1)


def _blocks(resamples: int, width: int) -> list[int]:
    """So many rows at a time that a block stays small."""
    rows = max(1, BLOCK // width)
    whole, rest = divmod(resamples, rows)
    return [rows] * whole + [rest] * (rest > 0)


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _check(level: float, resamples: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level:g} is no level of confidence; give 0.95, say")
    if resamples < 1:
        raise ValueError(f"resamples={resamples} draws nothing; give 1000, say")
