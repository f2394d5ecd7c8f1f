"""Paired differences: what is known by hand, and no more than that."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from rtkit.analysis.metrics import COUNT, PERCENT
from rtkit.analysis.statistics.paired import Paired, paired_difference


def of(*differences: float, **how: float) -> Paired:
    """The same 0.4 s before, in files that are numbered."""
    before = dict.fromkeys(range(len(differences)), 0.4)
    after = {number: 0.4 + difference for number, difference in enumerate(differences)}
    return paired_difference(before, after, **how)  # type: ignore[arg-type]


def test_a_paired_difference_by_hand() -> None:
    before = {"a": 1.0, "b": 5.0, "c": 9.0, "d": 2.0, "e": 1.0}
    after = {"a": 2.0, "b": 7.0, "c": 8.5, "d": float("nan"), "f": 3.0}
    found = paired_difference(before, after)
    assert found.differences == {"a": 1.0, "b": 2.0, "c": -0.5}
    assert (found.rose, found.left_out, found.invalid) == (2, 3, 0)
    assert found.mean.value == pytest.approx(2.5 / 3)
    # Student's t of two degrees of freedom
    error = 4.30265 * np.std([1, 2, -0.5], ddof=1) / np.sqrt(3)
    bounds = (found.mean.low, found.mean.high)
    assert bounds == pytest.approx((2.5 / 3 - error, 2.5 / 3 + error), rel=1e-5)
    assert (found.mean.count, found.mean.units, found.mean.note) == (3, 3, "")
    # Of the 8 ways to flip three signs, the sums of size 2.5 or more are 2.5, 3.5 and theirs below.
    assert found.p == 4 / 8
    assert str(found) == (
        "+833.3 ms (95% interval -2292.5 to +3959.1, which includes 0: no difference is "
        "shown) over "
        "3 files, of which 2 rose; p 0.5; 3 files left out, measured one way only"
    )


def test_two_pairs_give_no_interval_and_say_so() -> None:
    found = of(0.1, 0.2)
    assert np.isnan([found.mean.low, found.mean.high]).all()
    assert found.mean.holds_zero  # nothing is shown
    assert found.mean.value == pytest.approx(0.15)
    assert "no interval: 2 files are too few to see how they vary; at least 3 are needed" in str(
        found
    )


def test_one_file_is_no_comparison() -> None:
    for before in ({"a": 1.0, "b": 1.0}, {"b": 1.0}):
        with pytest.raises(
            ValueError, match=r"[01] of 2 files were measured both ways.* 2 or more"
        ):
            paired_difference(before, {"a": 2.0})


def test_rounding_is_no_difference() -> None:
    found = of(*[1e-17] * 6, 3e-10)
    assert {*found.differences.values()} == {0.0}
    assert (found.rose, found.p) == (0, 1)
    assert (found.mean.value, found.mean.low, found.mean.high) == (0, 0, 0)
    assert found.mean.holds_zero
    real = of(*[2e-9] * 6)
    assert (real.rose, real.p) == (6, 2 / 64)
    assert real.mean.low == real.mean.high == pytest.approx(2e-9, rel=1e-6)


def test_what_is_the_same_in_every_file_says_that_it_tells_nothing_of_others() -> None:
    found = of(*[0.25] * 5)
    assert (found.mean.low, found.mean.high) == pytest.approx((0.25, 0.25))
    assert not found.mean.holds_zero
    assert "all differences are the same" in str(found)
    assert of(0.25, 0.25, 0.26).mean.note == ""


@pytest.mark.parametrize("sign", [1, -1])
def test_what_leaves_out_zero_is_shown(sign: int) -> None:
    found = of(*(sign * seconds for seconds in (0.1, 0.11, 0.12)))
    assert not found.mean.holds_zero
    assert found.rose == (3 if sign > 0 else 0)
    assert "no difference is shown" not in str(found)
    # 110 ms, and 4.30265 standard errors of 10 ms / sqrt(3)
    assert sorted(sign * bound for bound in (found.mean.low, found.mean.high)) == pytest.approx(
        [0.11 - 0.0248415, 0.11 + 0.0248415], rel=1e-4
    )


@pytest.mark.parametrize("pairs", [2, 3, 6, 13, 14])
def test_up_to_14_pairs_every_way_to_swap_them_is_looked_at(pairs: int) -> None:
    values = np.random.default_rng(pairs).normal(0.3, 1, size=pairs)
    signs = np.array([*product((1, -1), repeat=pairs)])
    as_far = np.abs(signs @ values) >= abs(values.sum()) - 1e-9
    assert of(*values).p == as_far.mean()
    assert of(*values).p == of(*values, seed=9).p  # nothing is drawn


def test_from_15_pairs_on_signs_are_drawn_and_p_stays_a_probability() -> None:
    """What cannot be told from chance in no draw has p of 1 in so many, and never 0."""
    certain = of(*np.linspace(1, 2, 15), resamples=1000)
    assert certain.p == 1 / 1001
    values = np.random.default_rng(1).normal(0.4, 1, size=14)
    exact, drawn = of(*values), of(*values, 0.0)  # a 0 changes no sum
    assert drawn.p == pytest.approx(exact.p, abs=0.02)
    assert drawn.p != exact.p
    assert len({of(*values, 0.0, seed=seed).p for seed in range(4)}) > 1
    assert of(*[0.1, -0.1] * 8, resamples=200).p == 1


def test_the_level_and_the_draws_are_checked() -> None:
    assert of(1, 2, 3, level=0.5).mean.level == 0.5
    narrow, wide = (of(1, 2, 4, level=level).mean for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    for how in ({"level": 95}, {"resamples": 3}):
        with pytest.raises(ValueError, match=r"level=95 is|resamples=3 is"):
            of(1, 2, 3, **how)


def test_it_is_printed_in_its_unit() -> None:
    found = of(0.01, 0.02, 0.06)
    assert str(replace(found, unit=PERCENT)).startswith("+3.0 percentage points (95% interval -")
    assert str(replace(found, unit=COUNT)).startswith("+0.0 (95% interval -")
    assert "1 session left out, not valid: include_invalid=True" in str(replace(found, invalid=1))
    assert "2 sessions left out, not valid" in str(replace(found, invalid=2))
    one_way = paired_difference({"a": 0, "b": 0}, {"a": 1, "b": 2, "c": 1})
    assert "1 file left out, measured one way only" in str(one_way)
