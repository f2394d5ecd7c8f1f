"""Intervals by drawing units: exact where that is known, and honest where nothing is."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from rtkit.analysis.statistics.bootstrap import (
    Interval,
    _below,
    _between,
    _errors,
    _share_tail,
    _student,
    blocks,
    bootstrap,
    bootstrap_quantiles,
    needed,
    ratio_interval,
    share_interval,
)


def bounds(*found: Interval) -> list[tuple[float, float]]:
    return [(interval.low, interval.high) for interval in found]


# Drawing.


def test_as_many_units_are_drawn_as_there_are_and_added_up() -> None:
    sums = np.array([[1.0, 10.0], [2.0, 20.0], [2.0, 20.0], [4.0, 40.0]])
    drawn = bootstrap(sums, resamples=4000, generator=np.random.default_rng(0))
    assert drawn.shape == (4000, 2)
    np.testing.assert_array_equal(drawn[:, 1], 10 * drawn[:, 0])  # whole units
    assert {*drawn[:, 0]} == {sum(four) for four in product((1.0, 2.0, 4.0), repeat=4)}
    assert drawn[:, 0].mean() == pytest.approx(9, abs=0.1)
    assert drawn[:, 0].var() == pytest.approx(4 * sums[:, 0].var(), rel=0.1)


def test_unlike_units_with_the_same_sums_in_one_column_are_not_taken_for_one() -> None:
    sums = np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 3.0]])
    drawn = bootstrap(sums, resamples=2000, generator=np.random.default_rng(0))
    assert {*drawn[:, 0]} == {0, 1, 2, 3, 4}
    assert {*drawn[:, 1]} == {4, 6, 8, 10, 12}
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


def test_units_of_many_kinds_in_one_column_and_few_in_the_next_stay_apart() -> None:
    sums = np.array([[float(kind), float(side)] for kind in range(6) for side in range(2)])
    drawn = bootstrap(sums, resamples=4000, generator=np.random.default_rng(0))
    assert drawn.mean(axis=0) == pytest.approx([30, 6], rel=0.02)
    assert drawn.var(axis=0) == pytest.approx([12 * 35 / 12, 12 * 0.25], rel=0.1)
    assert drawn.max(axis=0) == pytest.approx([48, 12], abs=6)


def test_draws_come_in_blocks_that_are_whole() -> None:
    assert blocks(2500, 1000) == [1000, 1000, 500]
    assert blocks(2000, 1000) == [1000, 1000]
    assert blocks(3, 10**7) == [1, 1, 1]


@pytest.mark.parametrize(
    ("level", "freedom", "t"),
    [  # from the tables
        (0.95, 1, 12.7062),
        (0.95, 2, 4.30265),
        (0.95, 3, 3.18245),
        (0.95, 4, 2.77645),
        (0.95, 9, 2.26216),
        (0.95, 30, 2.04227),
        (0.95, 100, 1.98397),
        (0.9, 5, 2.01505),
        (0.99, 2, 9.92484),
        (0.99, 7, 3.49948),
        (0.5, 1, 1.0),
    ],
)
def test_students_t_is_that_of_the_tables(level: float, freedom: int, t: float) -> None:
    assert _student(level, freedom) == pytest.approx(t, rel=3e-6)


@pytest.mark.parametrize(
    ("level", "low", "high", "bounds"),
    [
        (0.9375, 0.2, 0.79, (0.0, 3.0)),  # 0.5 ** 5 is the tail itself
        (0.938, 0.2, 0.79, (-math.inf, math.inf)),
        (0.9, 0.19, 0.8, (-math.inf, 4.0)),
        (0.9, 0.4, 1.0, (1.0, math.inf)),
    ],
)
def test_bounds_are_the_values_at_the_ends_of_a_share(
    level: float, low: float, high: float, bounds: tuple[float, float]
) -> None:
    assert _between(np.arange(5.0), 0.5, level, 5, low, high) == bounds


def test_students_t_ends_at_the_normals() -> None:
    assert _student(0.95, 100_000) == pytest.approx(1.959988, rel=3e-6)


@pytest.mark.parametrize(
    ("low", "high", "holds"),
    [
        (-1.0, 1.0, True),
        (0.0, 1.0, True),
        (-1.0, 0.0, True),
        (1e-9, 1.0, False),
        (-1.0, -1e-9, False),
        (-math.inf, math.inf, True),
        (0.5, math.inf, False),
        (-math.inf, -0.5, False),
        (math.nan, math.nan, True),
    ],
)
def test_a_difference_is_shown_by_an_interval_beside_zero(
    low: float, high: float, holds: bool
) -> None:
    assert Interval(0.5, low, high, 0.95, 9, 9).holds_zero == holds


@pytest.mark.parametrize(
    ("units", "tail"),  # of t * sqrt(units / (units - 1)), in the normal's terms
    [(3, 6.8e-8), (10, 0.008546), (20, 0.015874), (101, 0.0231)],
)
def test_a_share_leaves_out_less_the_fewer_the_units(units: int, tail: float) -> None:
    assert _share_tail(0.95, units) == pytest.approx(tail, rel=0.01)


# Quantiles.


@pytest.mark.parametrize(
    ("values", "units", "quantile", "note"),
    [
        (9, None, 0.5, "too narrow: 9 of 10 values"),
        (6, None, 0.5, "too narrow: 6 of 10 values"),  # 0.5**6 <= 0.025 < 0.5**5
        (5, None, 0.5, "no bounds: 5 of 10 values"),
        (10, None, 0.5, ""),
        (71, None, 0.95, "no upper bound: 71 of 72 values"),
        (72, None, 0.95, ""),  # 0.95**72 <= 0.025 < 0.95**71: how often all lie below it
        (71, None, 0.05, "no lower bound: 71 of 72 values"),
        (900, 10, 0.95, "no upper bound: 10 of 72 files"),
        (900, 71, 0.95, "no upper bound: 71 of 72 files"),
        (900, 90, 0.95, ""),
        (900, 90, 0.99, "no upper bound: 90 of 368 files"),
        (900, 2, 0.5, "no bounds: 2 of 10 files"),
        (900, 9, 0.5, "too narrow: 9 of 10 files"),
        (900, 10, 0.5, ""),
        (900, 1, 0.5, "too narrow: 1 of 10 files"),
        (367, 1, 0.99, "no upper bound: 367 of 368 values; too narrow: 1 of 10 files"),
        (400, None, 1.0, "no upper bound: no number of values bounds the extremes"),
        (400, None, 0.0, "no lower bound: no number of values bounds the extremes"),
    ],
)
def test_an_interval_of_too_little_says_so(
    values: int, units: int | None, quantile: float, note: str
) -> None:
    numbers = np.random.default_rng(0).permutation(values)
    labels = None if units is None else np.arange(values) % units
    (found,) = bootstrap_quantiles(numbers.astype(float), (quantile,), units=labels, called="files")
    assert found.note == note
    assert np.isinf(found.high) == ("no upper" in note or "no bounds" in note)
    assert np.isinf(found.low) == ("no lower" in note or "no bounds" in note)
    assert (found.count, found.units) == (values, units or values)


def test_how_many_units_a_quantile_takes() -> None:
    assert [needed(quantile) for quantile in (0.5, 0.9, 0.95, 0.99, 0.05)] == [10, 36, 72, 368, 72]
    assert [needed(0.95, level) for level in (0.9, 0.99)] == [59, 104]


def test_values_by_themselves_have_the_binomial_bounds() -> None:
    """Of 200 the 86th and the 115th: as of any table of them, and of every distribution."""
    values = np.arange(1.0, 201)
    (found,) = bootstrap_quantiles(values, (0.5,), resamples=200_000)
    assert (found.value, found.low, found.high) == (100.5, 86, 115)
    chance = [math.comb(200, k) / 2**200 for k in range(201)]  # that k lie below the median
    assert sum(chance[:86]) <= 0.025 < sum(chance[:87])
    assert sum(chance[115:]) <= 0.025 < sum(chance[114:])
    each = bootstrap_quantiles(values, (0.5,), units=values, called="files", resamples=200_000)
    assert bounds(*each) == [(86, 115)]


def test_units_alike_within_have_the_binomial_bounds_of_wider_tails() -> None:
    """Twenty sessions, in each of which all is the same: twenty values in truth.

    Student's t of 19 degrees of freedom, 2.093 * sqrt(20 / 19), leaves out 1.59 % at either end; a
    quarter of that is 0.397%. Of 20 fair coins 3 or fewer fall heads in 0.13%, and 4 or fewer in
    0.59 % of all throws.
    """
    values = np.repeat(np.arange(1.0, 21), 30)
    (found,) = bootstrap_quantiles(
        values, (0.5,), units=np.repeat(np.arange(20), 30), resamples=50_000
    )
    assert (found.value, found.low, found.high) == (10.5, 4, 17)


def test_two_values_are_looked_at_and_bound_nothing() -> None:
    (found,) = bootstrap_quantiles(np.array([1.0, 2.0]), (0.5,))
    assert (found.value, found.low, found.high) == (1.5, -math.inf, math.inf)
    assert found.note == "no bounds: 2 of 10 values"


def test_the_bounds_are_values_that_were_measured_and_the_level_widens_them() -> None:
    values = np.random.default_rng(1).exponential(size=300)
    wide, narrow = (bootstrap_quantiles(values, (0.25, 0.5), level=level) for level in (0.99, 0.8))
    for one, other in zip(wide, narrow, strict=True):
        assert one.low < other.low < one.value == other.value < other.high < one.high
        assert {one.low, one.high, other.low, other.high} <= {*values.tolist()}


def test_units_that_differ_widen_the_interval() -> None:
    generator = np.random.default_rng(5)
    units = np.repeat(np.arange(12), 40)
    values = generator.normal(size=12)[units] + 0.1 * generator.normal(size=480)
    (alone,) = bootstrap_quantiles(values, (0.5,))
    (together,) = bootstrap_quantiles(values, (0.5,), units=units)
    assert alone.value == together.value == np.median(values)
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert (alone.units, together.units, together.count) == (480, 12, 480)


def test_units_count_by_their_values_whatever_they_are_called() -> None:
    """A unit with more values weighs more; labels only tell units apart."""
    values = np.concatenate([np.zeros(60), np.ones(40), np.arange(2.0, 12)])
    numbers = np.concatenate([np.repeat(np.arange(4), 25), np.arange(4, 14)])
    names = [f"file {number}" for number in numbers]
    assert bootstrap_quantiles(values, (0.5,), units=names) == bootstrap_quantiles(
        values, (0.5,), units=numbers
    )


def test_values_that_are_all_the_same_are_their_own_bounds() -> None:
    (same,) = bootstrap_quantiles(np.full(40, 0.25), (0.5,), units=np.arange(40) % 20)
    assert (same.value, same.low, same.high, same.note) == (0.25, 0.25, 0.25, "")


@pytest.mark.parametrize(
    ("quantile", "weights"),
    [
        (0, [0, 0, 0, 0]),
        (0.125, [0, 0.5, 0, 0]),
        (0.25, [0, 1, 0, 0]),
        (0.5, [0, 1, 0.5, 0.5]),
        (0.75, [0, 1, 1, 1]),
        (0.9, [0.6, 1, 1, 1]),
        (1, [1, 1, 1, 1]),
    ],
)
def test_how_much_of_each_value_lies_below(quantile: float, weights: list[float]) -> None:
    assert _below(np.array([3.0, 1, 2, 2]), quantile) == pytest.approx(weights)


def test_ties_at_the_border_belong_to_all_units_alike() -> None:
    """Half of every unit's values are 0 and half are 1: no unit differs from another."""
    values = np.tile([0.0, 1.0], 100)
    (found,) = bootstrap_quantiles(values, (0.25,), units=np.repeat(np.arange(20), 10))
    assert (found.low, found.high) == (0, 0)


def test_a_single_session_has_the_interval_of_its_values_and_a_note() -> None:
    values = np.random.default_rng(2).normal(size=50)
    (alone,) = bootstrap_quantiles(values, (0.5,))
    (single,) = bootstrap_quantiles(values, (0.5,), units=["a"] * 50, called="sessions")
    assert single.low < single.value < single.high
    assert bounds(single) == bounds(alone)
    assert (single.units, single.note) == (1, "too narrow: 1 of 10 sessions")


def test_it_is_repeatable_and_takes_the_edges() -> None:
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap_quantiles(values, seed=4) == bootstrap_quantiles(values, seed=4)
    seeds = {bounds(*bootstrap_quantiles(values, seed=seed, resamples=100))[0] for seed in range(9)}
    assert len(seeds) > 1
    (one,) = bootstrap_quantiles(np.array([2.0]), (0.5,), units=["a"])
    assert (one.value, one.count, one.units) == (2, 1, 1)
    assert np.isnan([one.low, one.high]).all()  # a single value says nothing of others
    assert one.note == "1 value: there is no interval"
    none = bootstrap_quantiles(np.array([]), (0.5, 0.9))
    assert [math.isnan(interval.value) for interval in none] == [True, True]
    assert [(i.count, i.units, i.note) for i in none] == [(0, 0, "no values")] * 2
    assert np.isnan(bounds(*none)).all()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"quantiles": (1.5,)}, "must all be between 0 and 1"),
        ({"quantiles": (0.5, -0.1)}, "must all be between 0 and 1"),
        ({"level": 95}, "level=95 is not a confidence level"),
        ({"level": 0}, "level=0 is not a confidence level"),
        ({"level": 1}, "level=1 is not a confidence level"),
        ({"resamples": 99}, "resamples=99 is too few"),
        ({"units": [1]}, "1 unit for 2 values"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        bootstrap_quantiles(np.array([1.0, 2.0]), **asked)  # type: ignore[arg-type]
    bootstrap_quantiles(np.array([1.0, 2.0]), (0, 1), resamples=100)


# Means and rates.


def between(
    numerators: list[float], denominators: list[float] | None = None, **how: float
) -> tuple[float, float]:
    how = {"level": 0.95, "resamples": 4000, **how}
    below = np.ones(len(numerators)) if denominators is None else np.array(denominators)
    return ratio_interval(
        np.array(numerators),
        below,
        level=how["level"],
        resamples=int(how["resamples"]),
        generator=np.random.default_rng(int(how.get("seed", 0))),
    )


def test_few_have_students_interval() -> None:
    values = [1.0, 2.0, 6.0]
    error = np.std(values, ddof=1) / math.sqrt(3)
    assert between(values) == pytest.approx((3 - 4.30265 * error, 3 + 4.30265 * error), rel=1e-5)
    nine = [*range(9)]
    error = np.std(nine, ddof=1) / 3
    assert between([*map(float, nine)]) == pytest.approx(
        (4 - 2.306 * error, 4 + 2.306 * error), rel=1e-5
    )


def test_a_ratios_error_is_that_of_what_is_off() -> None:
    """Errors 1, 4, 1 of 10, 20, 30 words: the rate is a tenth, and off are 0, 2, -2."""
    error = math.sqrt(8 * 3 / 2) / 60
    expected = (0.1 - 4.30265 * error, 0.1 + 4.30265 * error)
    assert between([1, 4, 1], [10, 20, 30]) == pytest.approx(expected, rel=1e-5)


def test_two_have_none() -> None:
    assert np.isnan(between([1.0, 2.0])).all()
    assert np.isnan(between([1.0])).all()


def test_what_does_not_vary_has_no_width() -> None:
    assert between([0.1 + 0.2] * 3) == pytest.approx((0.3, 0.3), abs=1e-15)
    assert between([0.3, 0.1 + 0.2] * 10) == pytest.approx((0.3, 0.3), abs=1e-15)
    assert between([1.0, 2.0] * 10, [10.0, 20.0] * 10) == pytest.approx((0.1, 0.1))


def test_the_error_of_a_draw_is_that_of_its_own_ratio() -> None:
    generator = np.random.default_rng(6)
    off, words = generator.normal(1, 1, size=12), generator.integers(3, 20, size=12).astype(float)
    ratio = off.sum() / words.sum()
    expected = math.sqrt(((off - ratio * words) ** 2).sum() * 12 / 11) / words.sum()
    columns = np.stack([off, words, off * off, off * words, words * words])
    assert _errors(columns.sum(axis=1, keepdims=True).T, 12) == pytest.approx([expected])


def test_draws_are_measured_in_their_own_errors() -> None:
    """As by the book: each draw's own t, of all draws of the same units, by indices."""
    generator = np.random.default_rng(8)
    errors, words = generator.poisson(2, size=30), generator.integers(3, 25, size=30)
    low, high = between([*map(float, errors)], [*map(float, words)], resamples=100_000)
    ratio = errors.sum() / words.sum()

    def error(errors: np.ndarray, words: np.ndarray, ratio: np.ndarray) -> np.ndarray:
        off = errors - ratio * words
        return np.asarray(np.sqrt((off**2).sum(axis=-1) * 30 / 29) / words.sum(axis=-1))

    drawn = generator.integers(30, size=(100_000, 30))
    ratios = errors[drawn].sum(axis=1) / words[drawn].sum(axis=1)
    t = (ratios - ratio) / error(errors[drawn], words[drawn], ratios[:, None])
    own, student = float(error(errors, words, ratio)), 2.04523
    least, furthest = np.quantile(t, (0.025, 0.975))
    assert low == pytest.approx(ratio - max(furthest, student) * own, abs=0.02 * own)
    assert high == pytest.approx(ratio - min(least, -student) * own, abs=0.02 * own)
    assert high > ratio + 1.02 * student * own  # it is the draws that reach so far


def test_ten_are_enough_for_draws_and_nine_are_not() -> None:
    skewed = [0.0, 0, 0, 0, 1, 1, 1, 2, 9]
    for values, wider in ((skewed, False), ([*skewed, 0.0], True)):
        error = np.std(values, ddof=1) / math.sqrt(len(values))
        t = {9: 2.30600, 10: 2.26216}[len(values)]
        assert (between(values)[1] > np.mean(values) + 1.01 * t * error) == wider


def test_from_ten_on_it_reaches_as_far_as_skew_asks() -> None:
    generator = np.random.default_rng(4)
    values = generator.exponential(size=20)
    error = values.std(ddof=1) / math.sqrt(20)
    low, high = between([*values])
    t = 2.09302  # of 19 degrees of freedom
    assert low == pytest.approx(values.mean() - t * error, rel=1e-4)  # never narrower than t
    assert high > values.mean() + 1.2 * t * error
    mirrored = between([*-values])
    assert mirrored == pytest.approx((-high, -low), rel=0.1)


def test_draws_in_which_nothing_is_off_stand_in_the_middle() -> None:
    """Drawn without those that differ there is no error and no way off; the others still tell."""
    values = [0.0] * 14 + [-1.0] * 5 + [5.0]
    error = np.std(values, ddof=1) / math.sqrt(20)
    low, high = between(values, resamples=20_000)
    assert low == pytest.approx(-2.09302 * error, rel=1e-4)
    assert 1.5 * 2.09302 * error < high < math.inf


def test_nothing_bounds_a_rate_whose_errors_lie_in_one_unit() -> None:
    low, high = between([0.0] * 19 + [9.0], [10.0] * 20)
    assert high == math.inf
    assert low < 9 / 200
    assert between([0.0] * 19 + [-9.0], [10.0] * 20)[0] == -math.inf


# Shares.


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0.0, 0.308497), (5, 10, 0.187086, 0.812914), (1, 20, 0.001265, 0.248733)],
)
def test_a_share_has_the_exact_interval(hits: int, count: int, low: float, high: float) -> None:
    """The bounds that tables of Clopper and Pearson give; mirrored for those not met."""
    assert share_interval(hits, count, level=0.95) == pytest.approx((low, high), abs=1e-6)
    mirrored = share_interval(count - hits, count, level=0.95)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_no_case_gives_no_bounds_and_a_lower_level_narrower_ones() -> None:
    assert all(map(math.isnan, share_interval(0, 0, level=0.95)))
    assert share_interval(0, 10, level=0.8)[1] == pytest.approx(1 - 0.1 ** (1 / 10))


@pytest.mark.parametrize("count", [1, 5, 20, 60])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.97])
def test_a_share_is_held_as_often_as_is_said(count: int, share: float) -> None:
    held = 0.0
    for hits in range(count + 1):
        low, high = share_interval(hits, count, level=0.95)
        chance = math.comb(count, hits) * share**hits * (1 - share) ** (count - hits)
        held += chance * (low <= share <= high)
    assert held >= 0.95
