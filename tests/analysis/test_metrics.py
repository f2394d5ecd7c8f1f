"""Each metric is the quantile, the mean or the share that its name says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from facts import CALL, session, turn, unstamped

from rtkit.analysis.metrics import METRICS
from rtkit.analysis.timing.latency import (
    first_word_latency,
    partial_latency,
    senders_share_bounds,
    turn_latency,
    word_latency,
)
from rtkit.analysis.timing.lateness import jitter
from rtkit.analysis.timing.partials import partial_intervals
from rtkit.audio import open_clip
from rtkit.experiments.simulate import simulate
from rtkit.session import Session

BY_NAME = {metric.name: metric for metric in METRICS}
VALUES: Mapping[str, Callable[[Session], np.ndarray]] = {
    "lateness": lambda one: one.lateness,
    "jitter": jitter,
    "turn_latency": lambda one: turn_latency(one).known_values(),
    "turn_service_time": lambda one: turn_latency(one).known_values("service_time"),
    "turn_endpoint_wait_service_time": lambda one: turn_latency(one).known_values("since_sent"),
    "turn_half_width": lambda one: turn_latency(one).known_values("half_width"),
    "word_latency": lambda one: word_latency(one).known_values(),
    "word_service_time": lambda one: word_latency(one).known_values("service_time"),
    "partial_latency": lambda one: partial_latency(one).known_values(),
    "first_word_latency": lambda one: first_word_latency(one).known_values(),
    "partial_interval": partial_intervals,
}


@pytest.fixture(scope="module")
def stamped() -> Session:
    return simulate(
        open_clip(CALL, seconds=25), pacing="fixed_sleep", work=0.01, delay=0.15, delay_spread=0.1
    )


QUANTILES = [re.fullmatch(r"(.+)_(?:p(\d\d)|max)", name) for name in BY_NAME]
KNOWN = [found for found in QUANTILES if found is not None and found[1] in VALUES]


@pytest.mark.parametrize("found", KNOWN, ids=lambda found: found[0])
def test_each_quantile_is_of_its_values(stamped: Session, found: re.Match[str]) -> None:
    for one in stamped, unstamped(stamped):
        values = VALUES[found[1]](one)
        expected = np.quantile(values, float(found[2] or 100) / 100) if len(values) else np.nan
        assert BY_NAME[found[0]].value(one) == pytest.approx(expected, nan_ok=True)


def test_the_senders_share_is_the_middle_of_its_bounds(stamped: Session) -> None:
    name = "turn_latency_made_by_the_sender"
    one = unstamped(stamped)
    low, high = senders_share_bounds(turn_latency(one))
    assert 0 < low < high
    found = [BY_NAME[name + end].value(one) for end in ("", "_low", "_high")]
    assert found == pytest.approx([(low + high) / 2, low, high])


@pytest.mark.parametrize(("late", "known"), [(-0.002, True), (-0.003, False)])
def test_nobody_waits_for_a_sender_that_is_ahead(late: float, known: bool) -> None:
    """By more than half a percent of the 0.5 s that the turn took; less is written as 0 %."""
    one = session([late] * 10, turn(0.7, ("so", 0.0, 0.2), final=True, decided=500))
    share = BY_NAME["turn_latency_made_by_the_sender"].value(one)
    assert share == pytest.approx(late / 0.5 if known else np.nan, nan_ok=True)


def test_what_only_says_how_well_others_are_known_is_marked() -> None:
    bounds = {metric.name for metric in METRICS if metric.bound}
    assert bounds == {
        "turn_half_width_p50",
        "turn_half_width_max",
        "turn_latency_made_by_the_sender_low",
        "turn_latency_made_by_the_sender_high",
    }
    assert {metric.name for metric in METRICS if metric.rare} == {
        "confirmed_after_p50",
        "confirmed_after_p99",
        "turn_after_confirmation_p50",
        "word_after_confirmation_p50",
        "unstable_partial_words",
        "normalized_erasure",
        "partial_interval_p50",
        "turns_cut_off_early",
        "eager_ends_taken_back",
    }
