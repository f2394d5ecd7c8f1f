"""Intervals hold the truth: the simulations of the benchmark, small and with a fixed seed.

What bears no note has to hold it; what cannot hold it has to bear one.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ROUNDS = 150


def load() -> ModuleType:
    """By its path: there is a package named coverage."""
    sys.path.append(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("interval_coverage", BENCHMARKS / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["interval_coverage"] = module
    spec.loader.exec_module(module)
    return module


benchmark = load()


def quantiles(effect: Any, units: int, each: int = 1, rounds: int = ROUNDS) -> Any:
    how = {"resamples": 1000, "drawn": 1}
    return [*benchmark.of_quantiles(effect, units, each, rounds, 3, "units", **how)]


@pytest.mark.parametrize("effect", benchmark.EFFECTS[2:5], ids=lambda effect: effect.name)
@pytest.mark.parametrize(
    ("sessions", "bounded"), [(2, 0), (5, 0), (10, 1), (20, 1), (50, 1), (72, 2)]
)
def test_quantiles_hold_what_they_say(effect: Any, sessions: int, bounded: int) -> None:
    """Of p50, p95 and p99 so many are bounded, and hold the truth; the others bear a note."""
    rounds = ROUNDS if sessions in (10, 72) else 20
    counts = quantiles(effect, sessions, rounds=rounds)
    for count in counts[:bounded]:
        assert count.unnoted >= 0.9 * rounds
        assert count.coverage >= 0.92
    assert [count.unnoted for count in counts[bounded:]] == [0] * (3 - bounded)


def test_two_recordings_however_often_have_no_interval_and_ten_have_one() -> None:
    effect = benchmark.EFFECTS[2]
    assert [count.unnoted for count in quantiles(effect, 2, 5, rounds=10)] == [0, 0, 0]
    p50, *_ = quantiles(effect, 10, 5)
    assert (p50.unnoted, p50.coverage >= 0.92) == (ROUNDS, True)


@pytest.mark.parametrize("pairs", [3, 4, 5, 7, 10, 15])
def test_normal_differences_raise_no_more_than_seven_false_alarms_in_a_hundred(pairs: int) -> None:
    (count,) = benchmark.of_pairs("normal", pairs, 300, 2)
    assert count.unnoted == 300
    assert 0.93 <= count.coverage < 0.99


def test_two_pairs_raise_none() -> None:
    (count,) = benchmark.of_pairs("normal", 2, 10, 1)
    assert (count.unnoted, count.held) == (0, 0)


@pytest.mark.parametrize("kind", ["segments unlike", "one segment in twenty lost"])
def test_error_rates_hold_what_they_say(kind: str) -> None:
    few, few_apart = benchmark.of_rates(kind, 20, 3, 1)
    assert (few.unnoted, few_apart.unnoted) == (0, 0)
    for count in benchmark.of_rates(kind, 100, 80, 1):
        assert count.unnoted == 80
        assert count.coverage >= 0.9  # 80 are few: five in a hundred more or less are chance
