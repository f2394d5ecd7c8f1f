"""Quantiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Quantiles", "quantiles"]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of `count` values, linearly interpolated; NaN where there are none."""

    p50: float
    p95: float
    p99: float
    max: float
    count: int


def quantiles(values: np.ndarray) -> Quantiles:
    """The median, the 95th and 99th percentile and the maximum."""
    values = np.asarray(values, dtype=float)
    if not len(values):
        return Quantiles(np.nan, np.nan, np.nan, np.nan, 0)
    p50, p95, p99 = (float(value) for value in np.quantile(values, (0.5, 0.95, 0.99)))
    return Quantiles(p50, p95, p99, float(values.max()), len(values))
