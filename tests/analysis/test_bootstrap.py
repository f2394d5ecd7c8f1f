"""Intervals hold what they promise, and paired differences what is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rtkit.analysis.bootstrap import bootstrap_quantiles, paired_difference


def test_the_interval_of_a_median_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for seed in range(200):
        (median,) = bootstrap_quantiles(
            generator.exponential(size=60), (0.5,), level=0.9, resamples=300, seed=seed
        )
        held += median.low <= np.log(2) <= median.high
    assert 168 <= held <= 192  # 180 are expected; a standard deviation is 4


def test_groups_that_differ_widen_the_interval() -> None:
    generator = np.random.default_rng(5)
    groups = np.repeat(np.arange(12), 40)
    values = generator.normal(size=12)[groups] + 0.1 * generator.normal(size=480)
    (alone,) = bootstrap_quantiles(values, (0.5,))
    (together,) = bootstrap_quantiles(values, (0.5,), groups=groups)
    assert alone.value == together.value == np.median(values)
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert (alone.groups, together.groups, together.count) == (1, 12, 480)


def test_it_is_repeatable_and_takes_the_edges() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_quantiles(values, seed=4) == bootstrap_quantiles(values, seed=4)
    assert bootstrap_quantiles(values, seed=4) != bootstrap_quantiles(values, seed=5)
    (one,) = bootstrap_quantiles(np.array([2.0]), (0.5,))
    assert one.value == 2
    assert np.isnan([one.low, one.high]).all()  # a single value says nothing of others
    assert one.note == "1 value: there is no interval"
    (none,) = bootstrap_quantiles(np.array([]), (0.5,))
    assert np.isnan(none.value)
    assert none.count == 0


@pytest.mark.parametrize(
    ("values", "sessions", "quantile", "note"),
    [
        (9, None, 0.5, "too narrow: 9 of 10 values"),
        (10, None, 0.5, ""),
        (71, None, 0.95, "too narrow: 71 of 72 values"),
        (72, None, 0.95, ""),  # 0.95**72 <= 0.025 < 0.95**71: how often all lie below it
        (71, None, 0.05, "too narrow: 71 of 72 values"),
        (368, 2, 0.99, "too narrow: 2 of 10 sessions"),
        (367, 1, 0.99, "too narrow: 1 of 10 sessions, 367 of 368 values"),
        (368, 10, 0.99, ""),
        (400, None, 1.0, "too narrow: no number of values tells the ends"),
    ],
)
def test_an_interval_of_too_little_says_so(
    values: int, sessions: int | None, quantile: float, note: str
) -> None:
    groups = None if sessions is None else np.arange(values) % sessions
    (found,) = bootstrap_quantiles(
        np.arange(float(values)), (quantile,), groups=groups, resamples=5
    )
    assert found.note == note


def test_a_paired_difference_by_hand() -> None:
    before = {"a": 1.0, "b": 5.0, "c": 9.0, "d": 2.0, "e": 1.0}
    after = {"a": 2.0, "b": 7.0, "c": 8.5, "d": float("nan"), "f": 3.0}
    found = paired_difference(before, after)
    assert found.differences == {"a": 1.0, "b": 2.0, "c": -0.5}
    assert found.left_out == 3
    assert found.mean.value == pytest.approx(2.5 / 3)
    assert found.effect == pytest.approx((2.5 / 3) / np.std([1, 2, -0.5], ddof=1))
    assert found.rank_biserial == pytest.approx((2 + 3 - 1) / 6)
    # Of the 8 ways to flip three signs, the sums of size 2.5 or more are 2.5, 3.5 and theirs below.
    assert found.p == 4 / 8
    assert found.mean.low == pytest.approx(-0.5)  # the least of all that can be drawn
    assert found.mean.high == pytest.approx(2.0)
    assert "over 3 files, of which 2 rose" in str(found)
    assert "3 files left out" in str(found)


def test_ties_share_their_ranks_and_zeros_have_none() -> None:
    found = paired_difference(dict.fromkeys("abcd", 0.0), {"a": 1, "b": 1, "c": -1, "d": 0})
    assert found.rank_biserial == pytest.approx((2 + 2 - 2) / 6)


def test_the_same_everywhere_has_no_spread() -> None:
    same = paired_difference({"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 1.0})
    assert (same.mean.value, same.effect, same.rank_biserial, same.p) == (0, 0, 0, 1)
    less = paired_difference({"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 1.0})
    assert less.effect == -np.inf


def test_many_pairs_are_flipped_by_chance_and_agree_with_the_exact_answer() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, size=14)
    exact = paired_difference(dict.fromkeys(range(14), 0.0), dict(enumerate(values)))
    by_chance = paired_difference(
        dict.fromkeys(range(15), 0.0), dict(enumerate([*values, 0.0]))
    )  # a 0 changes no sum
    assert by_chance.p == pytest.approx(exact.p, abs=0.02)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"quantiles": (1.5,)}, "do not all lie between 0 and 1"),
        ({"level": 95}, "level=95 is no level"),
        ({"resamples": 0}, "resamples=0 draws nothing"),
        ({"groups": [1]}, "1 groups for 2 values"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        bootstrap_quantiles(np.array([1.0, 2.0]), **asked)  # type: ignore[arg-type]


def test_one_file_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="1 of 2 files were measured both ways"):
        paired_difference({"a": 1.0, "b": 1.0}, {"a": 2.0})
