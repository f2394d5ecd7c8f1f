"""Paired differences, with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtkit.analysis.metrics import MS, PERCENT, Unit
from rtkit.analysis.statistics.bootstrap import (
    LEAST,
    RESAMPLES,
    ROUNDING,
    Interval,
    blocks,
    check,
    ratio_interval,
)
from rtkit.boundary.text import counted

__all__ = ["Paired", "paired_difference"]

EXACT = 14  # pairs; up to here every way to swap them is looked at


@dataclass(frozen=True, slots=True)
class Paired:
    """What one setting adds over another, over things that were measured with both.

    Attributes
    ----------
    differences : mapping
        After - before, by pair; below a nanosecond they are 0.
    mean : Interval
        The mean difference, from `ratio_interval`; without an interval for two pairs.
    p : float
        From the sign-flip test: how often chance alone gives a mean difference this large, in
        either direction.
    left_out : int
        Number of pairs with only one half measured.
    invalid : int
        Sessions that were left out because they are not valid.
    unit : Unit
        The unit for printing.
    """

    differences: Mapping[Any, float]
    mean: Interval
    p: float
    left_out: int = 0
    invalid: int = 0
    unit: Unit = MS

    @property
    def rose(self) -> int:
        """Number of pairs in which it rose."""
        return sum(difference > 0 for difference in self.differences.values())

    def __str__(self) -> str:
        found = self.mean
        name = "percentage points" if self.unit == PERCENT else self.unit.name
        if math.isnan(found.low):
            within = f"no interval: {found.note}"
        else:
            low, high = self._shown(found.low), self._shown(found.high)
            within = f"{found.level:.0%} interval {low} to {high}"
            within += ", which includes 0: no difference is shown" * found.holds_zero
            within += f"; {found.note}" * bool(found.note)
        parts = [
            f"{' '.join(filter(None, (self._shown(found.value), name)))} ({within}) over "
            f"{counted(len(self.differences), 'file')}, of which {self.rose} rose",
            f"p {self.p:.2g}",
        ]
        if self.left_out:
            parts.append(f"{counted(self.left_out, 'file')} left out, measured one way only")
        if self.invalid:
            parts.append(
                f"{counted(self.invalid, 'session')} left out, not valid: "
                f"include_invalid=True includes them"
            )
        return "; ".join(parts)

    def _shown(self, value: float) -> str:
        return f"{value * self.unit.times:+.1f}"


def paired_difference(
    before: Mapping[Any, float],
    after: Mapping[Any, float],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """Compare a metric of the same things: after - before, by pair; NaN counts as not known.

    Raises
    ------
    ValueError
        If there are fewer than two complete pairs.
    """
    check(level, resamples)
    keys = dict.fromkeys([*before, *after])
    differences = {key: after.get(key, np.nan) - before.get(key, np.nan) for key in keys}
    whole = {
        key: float(value) if abs(value) > ROUNDING else 0.0
        for key, value in differences.items()
        if np.isfinite(value)
    }
    if len(whole) < 2:
        raise ValueError(
            f"{len(whole)} of {counted(len(keys), 'file was', 'files were')} measured both ways, "
            "and a comparison over files needs 2 or more; below 6 no p falls under 0.05"
        )
    values = np.array(list(whole.values()))
    generator = np.random.default_rng(seed)
    low, high = ratio_interval(
        values, np.ones(len(values)), level=level, resamples=resamples, generator=generator
    )
    note = ""
    if len(values) < LEAST:
        note = f"{len(values)} files are too few to see how they vary; at least {LEAST} are needed"
    elif np.ptp(values) <= ROUNDING:
        note = "all differences are the same, so they do not show how others vary"
    return Paired(
        whole,
        Interval(float(values.mean()), low, high, level, len(values), len(values), note),
        _sign_flip(values, resamples, generator),
        len(keys) - len(whole),
    )


def _sign_flip(values: np.ndarray, resamples: int, generator: np.random.Generator) -> float:
    """Had either half of a pair been called *after*: the share of means at least as far from 0."""
    size, seen = abs(values.sum()) * (1 - 1e-9), 0
    if len(values) <= EXACT:
        bits = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
        return float((np.abs((1 - 2 * bits) @ values) >= size).mean())
    for rows in blocks(resamples, len(values)):
        signs = generator.choice((-1.0, 1.0), size=(rows, len(values)))
        seen += int((np.abs(signs @ values) >= size).sum())
    return (seen + 1) / (resamples + 1)
