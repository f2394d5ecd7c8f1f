"""Confidence intervals, by resampling units.

Numbers in, numbers out. What varies together is resampled together: the turns of a session share
its network and its host, so whole sessions are resampled, or whole recordings if there are several.
All random draws come from a seeded generator. ``tests/benchmarks/coverage.py`` tests each choice
below: it prints how often the intervals contain the true value.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from rtkit.boundary.text import counted
from rtkit.boundary.values import check_numbers

__all__ = [
    "FEW",
    "LEAST",
    "RESAMPLES",
    "ROUNDING",
    "Interval",
    "blocks",
    "bootstrap",
    "bootstrap_quantiles",
    "check",
    "needed",
    "ratio_interval",
]

RESAMPLES = 5000
FEW = 10  # units; from fewer a bootstrap cannot tell how far its own draws are off
LEAST = 3  # units; two say too little of how they vary
WIDER = 0.25  # of a share's tail: percentiles of draws are too narrow where few units hold it
BLOCK = 1_000_000  # drawn numbers held at a time
STEPS = 100_000  # in which Student's distribution is summed
ROUNDING = 1e-9  # seconds, or a share; what is the same differs by less


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, with the bounds of its interval at `level`.

    Attributes
    ----------
    low, high : float
        Infinite on a side without a bound, NaN without an interval.
    count, units : int
        Number of values, pairs or words, and number of units that were resampled: recordings,
        sessions or turns.
    note : str
        Why the interval cannot be trusted; empty if it can.
    """

    value: float
    low: float
    high: float
    level: float
    count: int
    units: int
    note: str = ""

    @property
    def holds_zero(self) -> bool:
        """Whether no difference is shown, including if there is no interval."""
        return not (self.low > 0 or self.high < 0)


def check(level: float, resamples: int) -> None:
    """Raise ValueError if no interval can be computed."""
    check_numbers(unit="", level=level)
    if not 0 < level < 1:
        raise ValueError(f"level={level:g} is not a confidence level; give a number such as 0.95")
    if resamples < 100:
        raise ValueError(f"resamples={resamples} is too few for an interval; give 100 or more")


def bootstrap(sums: np.ndarray, *, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """The sums of each draw of as many units as there are, shape (resamples, columns).

    `sums` says what each unit adds to each sum, shape (units, columns).
    """
    codes = np.zeros(len(sums), dtype=int)  # what is alike is drawn together
    for column in sums.T:
        kinds, kind = np.unique(column, return_inverse=True)
        codes = np.unique(codes * len(kinds) + kind, return_inverse=True)[1]
    _, first, times = np.unique(codes, return_index=True, return_counts=True)
    rows, shares = sums[first], times / len(sums)
    return np.concatenate(
        [
            generator.multinomial(len(sums), shares, size=size) @ rows
            for size in blocks(resamples, len(rows))
        ]
    )


def blocks(resamples: int, width: int) -> list[int]:
    """Sizes of blocks of rows that stay small in memory."""
    rows = max(1, BLOCK // width)
    whole, rest = divmod(resamples, rows)
    return [rows] * whole + [rest] * (rest > 0)


# Quantiles.


def bootstrap_quantiles(
    values: np.ndarray,
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
    *,
    units: Sequence[Hashable] | np.ndarray | None = None,
    called: str = "units",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """Compute quantiles with confidence intervals.

    Parameters
    ----------
    values : ndarray, shape (n,)
    quantiles : sequence of float
        Between 0 and 1.
    units : sequence, shape (n,), optional
        The unit that each value belongs to; whole units are resampled. Without units, or with a
        single one, values are resampled individually.
    called : str
        The name of the units, for notes.
    level : float
        Of the intervals.
    resamples : int
        Number of draws, 100 or more.
    seed : int
        The same seed gives the same intervals.

    Returns
    -------
    tuple of Interval
        One for each quantile. A bound is infinite if too few units lie beyond the quantile, and NaN
        for fewer than two values.

    Raises
    ------
    ValueError
        If one of these is out of range, or there are not as many units as values.

    Notes
    -----
    Drawn is the share of values that lie below the quantile (Woodruff 1952); the bounds are the
    values at the ends of that share. Where each value is a unit these are the binomial bounds,
    which hold for every distribution. Where units are larger, the share's tails are those of
    Student's t for so few units (Hesterberg 2015, section 4.3), and wider still.

    n units bound the quantile q from above if ``q**n <= (1 - level) / 2``, or else all of them lie
    below it too often; from below likewise with 1 - q. At 95% a p95 takes 72 units, a p99 368.
    """
    values = np.asarray(values, dtype=float)
    if not all(0 <= quantile <= 1 for quantile in quantiles):
        raise ValueError(f"quantiles={list(quantiles)} must all be between 0 and 1")
    check(level, resamples)
    places, number = _places(len(values), units)
    if len(values) < 2:
        note = "1 value: there is no interval" if len(values) else "no values"
        value = float(values[0]) if len(values) else np.nan
        nothing = Interval(value, np.nan, np.nan, level, len(values), number, note)
        return (nothing,) * len(quantiles)
    alone = units is not None and number == 1
    if alone:
        places = np.arange(len(values))
    drawable = len(values) if alone else number
    columns = [*(_below(values, quantile) for quantile in quantiles), np.ones(len(values))]
    sums = np.zeros((drawable, len(columns)))
    np.add.at(sums, places, np.stack(columns, axis=1))
    drawn = bootstrap(sums, resamples=resamples, generator=np.random.default_rng(seed))
    exact = drawable == len(values)  # binomial
    tail = (1 - level) / 2 if exact else WIDER * _share_tail(level, drawable)
    shares = np.quantile(drawn[:, :-1] / drawn[:, -1:], (tail, 1 - tail), axis=0)
    ordered = np.sort(values)
    found = []
    for quantile, (low, high) in zip(quantiles, shares.T.tolist(), strict=True):
        low, high = _between(ordered, quantile, level, drawable, low, high)
        value = float(np.quantile(values, quantile))
        bounds = Interval(value, low, high, level, len(values), number)
        notes = [_note(bounds, quantile, drawable, "values" if units is None or alone else called)]
        if alone:
            notes.append(f"too narrow: 1 of {FEW} {called}")
        found.append(replace(bounds, note="; ".join(filter(None, notes))))
    return tuple(found)


def _places(count: int, units: Sequence[Hashable] | np.ndarray | None) -> tuple[np.ndarray, int]:
    """The number of each value's unit, and how many units there are."""
    if units is None:
        return np.arange(count), count
    if len(units) != count:
        raise ValueError(
            f"{counted(len(units), 'unit')} for {counted(count, 'value')}; give one for each"
        )
    numbers: dict[Hashable, int] = {}
    places = np.array([numbers.setdefault(unit, len(numbers)) for unit in units], dtype=int)
    return places, len(numbers)


def _below(values: np.ndarray, quantile: float) -> np.ndarray:
    """How much of each value lies below a quantile: 1, 0, or a part of those at the border."""
    rank = len(values) * quantile
    border = np.sort(values)[max(0, math.ceil(rank - 1e-9) - 1)]
    less, equal = values < border, values == border
    return np.where(less, 1.0, np.where(equal, (rank - less.sum()) / equal.sum(), 0.0))


def _between(
    ordered: np.ndarray, quantile: float, level: float, units: int, low: float, high: float
) -> tuple[float, float]:
    """The values at either end of a share, infinite where so few units give no bound."""
    tail, count = (1 - level) / 2, len(ordered)
    first, last = math.floor(count * low + 1e-9), math.floor(count * high + 1e-9) + 1
    return (
        float(ordered[first - 1]) if first >= 1 and (1 - quantile) ** units <= tail else -np.inf,
        float(ordered[last - 1]) if last <= count and quantile**units <= tail else np.inf,
    )


def needed(quantile: float, level: float = 0.95) -> int:
    """Number of units needed to bound a quantile on both sides."""
    far = max(quantile, 1 - quantile)
    return max(FEW, math.ceil(math.log((1 - level) / 2) / math.log(far)))


def _note(found: Interval, quantile: float, units: int, called: str) -> str:
    """Why an interval says too little: how many units there are, and how many are needed."""
    what = {
        (True, True): "no bounds",
        (True, False): "no lower bound",
        (False, True): "no upper bound",
        (False, False): "too narrow",
    }[math.isinf(found.low), math.isinf(found.high)]
    if quantile in (0, 1):
        return f"{what}: no number of {called} bounds the extremes"
    if units < needed(quantile, found.level):
        return f"{what}: {units} of {needed(quantile, found.level)} {called}"
    return "" if what == "too narrow" else f"{what}: too few {called} reach beyond it"


def _share_tail(level: float, units: int) -> float:
    """What to leave out at either end: less than the level says, the fewer the units."""
    t = _student(level, units - 1) * math.sqrt(units / (units - 1))
    return NormalDist().cdf(-t)


# Means and rates.


def ratio_interval(
    numerators: np.ndarray,
    denominators: np.ndarray,
    *,
    level: float,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Between which bounds the ratio of two sums over units lies; of a mean, with ones below.

    NaN for fewer than three units; infinite where too many draws show no spread to bound it.

    Notes
    -----
    Student's t with the ratio's linearized error. From ten units on it is widened to the
    bootstrap-t interval (Efron and Tibshirani 1993, section 12.5), in which each draw is measured
    in its own error: it follows the skew of rare clumps.
    """
    units = len(numerators)
    if units < LEAST:
        return np.nan, np.nan
    ratio = float(numerators.sum() / denominators.sum())
    off = numerators - ratio * denominators
    off[np.abs(off) < ROUNDING] = 0
    whole = np.stack(
        [off, denominators, off * off, off * denominators, denominators * denominators], axis=1
    )
    (error,) = _errors(whole.sum(axis=0, keepdims=True), units)
    t = _student(level, units - 1)
    low, high = ratio - t * error, ratio + t * error
    if units < FEW or error == 0:
        return float(low), float(high)
    drawn = bootstrap(whole, resamples=resamples, generator=generator)
    moved, errors = drawn[:, 0] / drawn[:, 1], _errors(drawn, units)
    with np.errstate(divide="ignore", invalid="ignore"):
        in_errors = np.where(moved == 0, 0.0, moved / errors)  # infinite where nothing spreads
    tail = (1 - level) / 2
    furthest = np.quantile(in_errors, 1 - tail, method="higher")
    least = np.quantile(in_errors, tail, method="lower")
    return float(min(low, ratio - furthest * error)), float(max(high, ratio - least * error))


def share_interval(hits: int, count: int, *, level: float) -> tuple[float, float]:
    """Between which bounds a share lies of which `hits` of `count` separate cases were met.

    NaN where there is no case.

    Notes
    -----
    Exact, and so too wide rather than too narrow: Clopper and Pearson 1934.
    """
    if not count:
        return np.nan, np.nan
    logs = np.cumsum(np.log([1, *range(1, count + 1)]))  # of the factorials
    met = np.arange(count + 1)
    ways = logs[-1] - logs - logs[::-1]

    def bound(most: int, chance: float) -> float:
        """The share at which no more than `most` are met with that chance, which falls with it."""
        low, high = 0.0, 1.0
        for _ in range(50):
            share = (low + high) / 2
            chances = np.exp(ways + met * math.log(share) + met[::-1] * math.log1p(-share))
            if chances[: most + 1].sum() > chance:
                low = share
            else:
                high = share
        return share

    tail = (1 - level) / 2
    return (
        bound(hits - 1, 1 - tail) if hits else 0.0,
        bound(hits, tail) if hits < count else 1.0,
    )


def _errors(sums: np.ndarray, units: int) -> np.ndarray:
    """The standard error of each ratio off/denominators, from its sums, shape (ratios, 5)."""
    off, denominators, squares, products, denominator_squares = sums.T
    ratio = off / denominators
    spread = squares - 2 * ratio * products + ratio**2 * denominator_squares
    return np.asarray(np.sqrt(np.maximum(spread, 0) * units / (units - 1)) / denominators)


@lru_cache(maxsize=256)
def _student(level: float, freedom: int) -> float:
    """Student's t that leaves out 1 - `level` at both ends together.

    With t = sqrt(freedom) * tan(angle) its density is that of cos(angle) ** (freedom - 1), which is
    summed in steps so small that six digits are right.
    """
    angles = np.linspace(0, math.pi / 2, STEPS + 1)
    inside = np.cumsum(np.cos((angles[1:] + angles[:-1]) / 2) ** (freedom - 1))
    angle = float(np.interp(level * inside[-1], np.append(0, inside), angles))
    return math.sqrt(freedom) * math.tan(angle)
