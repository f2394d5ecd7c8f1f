"""How sure one can be of a rate: segments drawn anew, with replacement, and rated again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

__all__ = ["DRAWS", "Difference", "Interval", "check", "drawn"]

DRAWS = 5000


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a rate may lie; NaN where nothing can be said. `sentence` says how sure one can be."""

    low: float
    high: float
    level: float
    sentence: str

    def __str__(self) -> str:
        if math.isnan(self.low):
            return self.sentence
        return f"{self.low * 100:.1f} to {self.high * 100:.1f} %. {self.sentence}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One rate minus another's on the same words, and where that difference may lie."""

    rate: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.rate * 100:+.1f} percentage points; {self.interval}"


def check(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level:g} is no share; give a number between 0 and 1, as 0.95")
    if draws < 100:
        raise ValueError(f"draws={draws} are too few for an interval; give 100 or more")


def drawn(
    errors: np.ndarray, words: np.ndarray, level: float, draws: int, seed: int
) -> tuple[float, float]:
    """The middle `level` of the rates in so many draws, widened for few segments."""
    check(level, draws)
    generator = np.random.default_rng(seed)
    even = np.full(len(words), 1 / len(words))
    rates = np.empty(draws)
    for i in range(draws):  # a draw at a time: three hours of turns times 5000 would not fit
        times = generator.multinomial(len(words), even)
        rates[i] = (times @ errors) / (times @ words)
    tail = _tail(level, len(words))
    low, high = np.quantile(rates, (tail, 1 - tail))
    return float(low), float(high)


def _tail(level: float, segments: int) -> float:
    """What to leave out at either end: less than the level says, the fewer the segments.

    Student's t by its expansion about the normal (Abramowitz and Stegun, 26.7.5).
    """
    normal, freedom = NormalDist(), segments - 1
    z = normal.inv_cdf((1 + level) / 2)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(-t * math.sqrt(segments / freedom))
