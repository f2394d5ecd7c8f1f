"""What pacing a session had, by its chunks alone."""

from __future__ import annotations

import numpy as np
import pytest
from facts import session

from rtkit.analysis.timing.lateness import pacing_of

N = 100
STALL = np.where(np.arange(N) < 30, 0.0, np.maximum(0.0, 0.5 - 0.1 * (np.arange(N) - 30)))
NOISE = np.abs(np.random.default_rng(0).normal(0, 0.004, N))


@pytest.mark.parametrize(
    ("lateness", "name"),
    [
        (NOISE, "wall_clock"),
        (STALL, "wall_clock"),
        (0.00005 * 0.1 * np.arange(N) + NOISE, "wall_clock"),  # a sound card's own quartz
        (0.0005 * np.arange(N), "fixed_sleep"),
        (0.006 * np.arange(N) + NOISE, "fixed_sleep"),
        (0.0005 * np.arange(N) + 0.5 * (np.arange(N) > 80), "fixed_sleep"),
        (0.1 * (3 - np.arange(N) % 4), "bursts"),
        (0.1 * (N - 1 - np.arange(N)), "unpaced"),
        (-0.02 * np.arange(N), "too fast"),
    ],
)
def test_each_pacing_is_known_by_its_chunks(lateness: np.ndarray, name: str) -> None:
    found = pacing_of(session(lateness.tolist()))
    assert found.name == name


def test_a_fixed_sleep_is_told_with_what_it_loses() -> None:
    found = pacing_of(session([0.0062 * i for i in range(N)]))
    assert str(found) == "fixed sleep: loses 6.2 ms with each chunk; an hour would end 223 s late"
    assert (found.loss, found.drift) == pytest.approx((0.0062, 0.062))


def test_of_few_chunks_nothing_is_said() -> None:
    assert pacing_of(session([0.0] * 4)).name == "unknown"
