"""Pacing is arithmetic: tables of instants in, instants out."""

from __future__ import annotations

import math
import pickle
import re
from typing import Any

import numpy as np
import pytest

from rtkit.audio import silence
from rtkit.pacing import (
    PACINGS,
    Pacing,
    Plan,
    choose_pacing,
    chunk_edges,
    due_times,
    fixed_sleep,
    unpaced,
    wall_clock,
)
from rtkit.services.service import Limits


def lateness(pace: Pacing, chunks: int, work: dict[int, float] | float) -> np.ndarray:
    """Sent - due of chunks of 100 ms, where chunk i takes so much work after it was sent."""
    due = 0.1 * np.arange(1, chunks + 1)
    sent = [0.1]
    for i in range(1, chunks):
        busy = work if isinstance(work, float) else work.get(i - 1, 0.0)
        now = sent[-1] + busy
        sent.append(max(now, pace(now, due[i], due[i - 1], sent[-1])))
    return np.asarray(np.array(sent) - due)


@pytest.mark.parametrize(
    ("now", "due", "last_due", "last_sent", "instant"),
    [
        (0.15, 0.2, 0.1, 0.1, 0.2),  # on time: when it is due
        (0.15, 0.2, 0.1, 0.05, 0.2),
        (0.25, 0.2, 0.1, 0.1, 0.2),  # late: at once
        (9.0, 0.2, 0.1, 0.1, 0.2),
    ],
)
def test_wall_clock_sends_when_the_chunk_is_due(
    now: float, due: float, last_due: float, last_sent: float, instant: float
) -> None:
    assert wall_clock(now, due, last_due, last_sent) == pytest.approx(instant, abs=1e-9)


@pytest.mark.parametrize(
    ("now", "due", "last_due", "instant"),
    [(0.1, 0.2, 0.1, 0.2), (0.103, 0.2, 0.1, 0.203), (5.0, 0.25, 0.1, 5.15)],
)
def test_fixed_sleep_waits_a_chunks_duration_from_now(
    now: float, due: float, last_due: float, instant: float
) -> None:
    assert fixed_sleep(now, due, last_due, last_sent=0.0) == pytest.approx(instant, abs=1e-9)


@pytest.mark.parametrize("now", [0.0, 0.1, 7.0])
def test_unpaced_does_not_wait(now: float) -> None:
    assert unpaced(now, 99.0, 98.0, 97.0) == now


@pytest.mark.parametrize("work", [0.0, 0.001, 0.003, 0.02])
def test_fixed_sleep_is_late_by_the_work_of_every_chunk_before(work: float) -> None:
    expected = work * np.arange(101)
    np.testing.assert_allclose(lateness(fixed_sleep, 101, work), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("work", [0.0, 0.003, 0.099])
def test_wall_clock_forgives_work_that_fits_into_a_chunk(work: float) -> None:
    np.testing.assert_allclose(lateness(wall_clock, 101, work), 0, rtol=0, atol=1e-9)


@pytest.mark.parametrize("work", [0.0, 0.05, 0.15, {3: 0.5}])
def test_wall_clock_is_never_before_due(work: dict[int, float] | float) -> None:
    assert lateness(wall_clock, 50, work).min() >= -1e-9


@pytest.mark.parametrize(
    ("catch_up", "rows"),
    [
        # A stall of 500 ms after chunk 3 makes chunk 4 leave 400 ms late.
        (None, [0.4, 0.3, 0.2, 0.1, 0, 0, 0, 0, 0, 0]),
        (2.0, [0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0, 0]),
        (4.0, [0.4, 0.325, 0.25, 0.175, 0.1, 0.025, 0, 0, 0, 0]),
    ],
)
def test_catch_up_bounds_the_rate_after_a_stall(catch_up: float | None, rows: list[float]) -> None:
    late = lateness(choose_pacing("wall_clock", catch_up=catch_up), 14, {3: 0.5})
    np.testing.assert_allclose(late, [0, 0, 0, 0, *rows], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", PACINGS)
def test_a_pacing_is_chosen_by_its_name(name: str) -> None:
    assert (
        choose_pacing(name)
        is {
            "wall_clock": wall_clock,
            "fixed_sleep": fixed_sleep,
            "unpaced": unpaced,
        }[name]
    )


@pytest.mark.parametrize(
    ("name", "catch_up", "told"),
    [
        ("walclock", None, "unknown pacing 'walclock'; did you mean 'wall_clock'"),
        ("", None, "unknown pacing ''; one of 'wall_clock', 'fixed_sleep', 'unpaced'"),
        ("fixed_sleep", 2.0, "'fixed_sleep' never catches up"),
        ("unpaced", 2.0, "'unpaced' never catches up"),
        ("wall_clock", 1.0, "catch_up=1 cannot catch up"),
        ("wall_clock", -2.0, "catch_up=-2"),
        ("wall_clock", math.nan, "catch_up=nan"),
    ],
)
def test_an_impossible_pacing_is_loud(name: str, catch_up: float | None, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        choose_pacing(name, catch_up=catch_up)


@pytest.mark.parametrize(("phase", "due"), [("end", [0.1, 0.2, 0.35]), ("start", [0.0, 0.1, 0.2])])
def test_due_times_are_the_chunks_ends_or_starts(phase: str, due: list[float]) -> None:
    edges = np.array([0, 800, 1600, 2800])
    np.testing.assert_allclose(due_times(edges, 8000, phase), due, rtol=0, atol=1e-12)


def test_due_times_follow_samples_not_nominal_durations() -> None:
    """50 ms at 11025 Hz is 552 samples, so chunks come a little more than 50 ms apart."""
    due = due_times(chunk_edges(552 * 100_000, 11025, 0.05, Limits(min_chunk=0.05)), 11025)
    assert due[-1] == 552 * 100_000 / 11025


def test_an_unknown_phase_is_loud() -> None:
    with pytest.raises(ValueError, match="unknown phase 'middle'; one of 'end', 'start'"):
        due_times(np.array([0, 1]), 8000, "middle")


# The plan.

LIMITS = Limits(min_chunk=0.05, max_chunk=1.0)


def test_a_plan_is_made_of_a_clip_and_cannot_be_changed() -> None:
    clip = silence(1.02, rate=8000)
    plan = Plan.of(clip, chunk=0.1, phase="start", catch_up=2.0, limits=LIMITS)
    assert plan.edges.tolist() == [*range(0, 8000, 800), 8160]
    assert plan.due.tolist() == [edge / 8000 for edge in range(0, 8000, 800)]
    assert (plan.rate, plan.chunk, plan.pacing, plan.phase) == (8000, 0.1, "wall_clock", "start")
    assert plan.pace(0.0, 0.2, 0.1, 0.5) == pytest.approx(0.55)
    for array in (plan.edges, plan.due):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        plan.chunk = 0.2  # type: ignore[misc]


def test_a_plan_leaves_the_array_that_it_was_made_of_alone() -> None:
    edges = np.array([0, 160, 320])
    plan = Plan(edges, 8000, 0.02)
    edges[1] = 100
    assert plan.edges.tolist() == [0, 160, 320]


@pytest.mark.parametrize(("seconds", "least"), [(0.03, 800), (0.1, 800), (0.2, 0), (0.16, 0)])
def test_only_a_clip_of_one_chunk_may_need_padding(seconds: float, least: int) -> None:
    assert Plan.of(silence(seconds, rate=8000), limits=LIMITS).least == least


def test_a_copy_of_a_plan_in_another_process_is_the_same_and_as_fixed() -> None:
    plan = Plan.of(silence(1.0), chunk=0.25, pacing="fixed_sleep")
    copy = pickle.loads(pickle.dumps(plan))
    assert copy.edges.tolist() == plan.edges.tolist()
    assert copy.due.tolist() == plan.due.tolist()
    assert (copy.pacing, copy.least) == ("fixed_sleep", 0)
    assert not copy.edges.flags.writeable


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"chunk": 0.02}, "chunk=0.02"),
        ({"pacing": "walclock"}, "unknown pacing 'walclock'"),
        ({"phase": "middle"}, "unknown phase 'middle'"),
        ({"pacing": "unpaced", "catch_up": 2.0}, "never catches up"),
    ],
)
def test_a_plan_that_cannot_be_is_loud(how: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Plan.of(silence(1.0), **how, limits=LIMITS)
