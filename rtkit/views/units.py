"""Printing durations: in milliseconds, or in seconds if they are long."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["MS", "Unit", "duration", "minus", "unit_of"]

LONG = 10.0  # seconds from which milliseconds are too many digits to read


class Unit(NamedTuple):
    """In which durations are written: its name, and how many of it a second is."""

    name: str
    times: float


MS, S = Unit("ms", 1000.0), Unit("s", 1.0)


def unit_of(*values: np.ndarray) -> Unit:
    """Milliseconds, or seconds where one of the values, in seconds, is long."""
    return S if any(np.any(np.abs(part) >= LONG) for part in values) else MS


def duration(seconds: float, unit: Unit | None = None) -> str:
    """With its unit: ``"5.0 ms"``, ``"1245 ms"``, ``"107.999 s"``; a dash where it is not known."""
    if np.isnan(seconds):
        return "–"
    if (unit or unit_of(np.array(seconds))) == S:
        return minus(f"{seconds:.3f} s")
    return minus(f"{seconds * 1000:.{0 if abs(seconds) >= 0.01 else 1}f} ms")


def minus(number: str) -> str:
    """A number with a sign as wide as a plus; without one if it is zero."""
    zero = not any(digit in number for digit in "123456789")
    return number.replace("-", "" if zero else "\N{MINUS SIGN}")
