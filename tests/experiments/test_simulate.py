"""A session in virtual time is exact, repeatable, and shows each model where it belongs."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facts import CALL
from remains import nothing_remains

from rtkit.analysis.timing.latency import turn_latency, word_latency
from rtkit.analysis.timing.lateness import drift
from rtkit.audio import open_clip
from rtkit.experiments.simulate import simulate
from rtkit.recording import StreamError, load_session
from rtkit.session import Session

EXACT = 1e-9
HOURS = 1e-6  # three hours of sums, in seconds


# The claim.


@pytest.mark.parametrize(("pacing", "last"), [("fixed_sleep", 5.999), ("wall_clock", 0.0)])
def test_ten_minutes_of_a_millisecond_of_work_a_chunk(pacing: str, last: float) -> None:
    session = simulate(600, pacing=pacing)
    assert session.complete
    np.testing.assert_allclose(session.lateness, np.linspace(0, last, 6000), rtol=0, atol=HOURS)


def test_three_hours_end_108_seconds_late_under_naive_pacing_and_on_time_by_the_wall_clock() -> (
    None
):
    naive, wall = (simulate(10800, pacing=pacing) for pacing in ("fixed_sleep", "wall_clock"))
    assert len(naive.chunks) == len(wall.chunks) == 108000
    assert naive.lateness[-1] == pytest.approx(107.999, abs=HOURS)
    assert drift(naive) == pytest.approx(0.01, abs=EXACT)
    assert not wall.lateness.any()


# Repeatable.

JITTERS = ("work_spread", "wake_spread", "network_spread", "delay_spread")


@pytest.mark.parametrize("jitter", JITTERS)
def test_the_seed_alone_decides_what_is_drawn(jitter: str) -> None:
    clip = open_clip(CALL, seconds=5)
    models: dict[str, Any] = {"pacing": "fixed_sleep", jitter: 0.05}
    first, again, other = (simulate(clip, seed=seed, **models) for seed in (1, 1, 2))
    assert first == again
    assert (first.chunks, first.messages) != (other.chunks, other.messages)


def test_the_seed_decides_nothing_where_nothing_is_drawn() -> None:
    clip = open_clip(CALL, seconds=5)
    first, other = (simulate(clip, work=0.01, network=0.02, seed=seed) for seed in (1, 2))
    assert first.chunks == other.chunks
    assert [message.at for message in first.messages] == [one.at for one in other.messages]
    assert first.transcript == other.transcript  # confidences differ: they are drawn


# Each model shows where it should, and nowhere else.

Check = Callable[[np.ndarray], bool]


@cache
def spoken(pacing: str = "wall_clock", **models: float) -> Session:
    chosen: dict[str, Any] = {"work": 0.0, **models}
    return simulate(open_clip(CALL, seconds=12), pacing=pacing, **chosen)


def equals(seconds: float) -> Check:
    return lambda found: bool(np.allclose(found, seconds, rtol=0, atol=EXACT))


def varies_within(least: float, most: float) -> Check:
    return lambda found: bool(
        found.min() >= least - EXACT
        and found.max() <= most + EXACT
        and np.ptp(found) > (most - least) / 4
    )


def grows_by(least: float, most: float, *, first: float = 0.0) -> Check:
    """By so much a chunk, and `first` is the first chunk's."""
    steps = equals(least) if least == most else varies_within(least, most)
    return lambda found: equals(first)(found[:1]) and steps(np.diff(found))


nothing = equals(0)
WALL, NAIVE = "wall_clock", "fixed_sleep"


@pytest.mark.parametrize(
    ("pacing", "models", "lateness", "service_time"),
    [
        (WALL, {}, nothing, nothing),
        (NAIVE, {}, nothing, nothing),
        (WALL, {"work": 0.02}, nothing, nothing),
        (NAIVE, {"work": 0.02}, grows_by(0.02, 0.02), nothing),
        (WALL, {"work_spread": 0.02}, nothing, nothing),
        (NAIVE, {"work_spread": 0.02}, grows_by(0, 0.02), nothing),
        (NAIVE, {"work": 0.01, "work_spread": 0.02}, grows_by(0.01, 0.03), nothing),
        (WALL, {"wake": 0.002}, equals(0.002), nothing),
        (NAIVE, {"wake": 0.002}, grows_by(0.002, 0.002, first=0.002), nothing),
        (WALL, {"wake_spread": 0.01}, varies_within(0, 0.01), nothing),
        (WALL, {"wake": 0.01, "wake_spread": 0.01}, varies_within(0.01, 0.02), nothing),
        (WALL, {"network": 0.03}, nothing, equals(0.06)),
        (NAIVE, {"network": 0.03}, nothing, equals(0.06)),
        (WALL, {"network_spread": 0.03}, nothing, varies_within(0, 0.06)),
        (WALL, {"network": 0.01, "network_spread": 0.03}, nothing, varies_within(0.02, 0.08)),
        (WALL, {"delay": 0.2}, nothing, equals(0.2)),
        (WALL, {"delay_spread": 0.2}, nothing, varies_within(0, 0.2)),
        (WALL, {"delay": 0.1, "network": 0.03}, nothing, equals(0.16)),
    ],
)
def test_a_model_shows_where_it_should_and_nowhere_else(
    pacing: str, models: dict[str, float], lateness: Check, service_time: Check
) -> None:
    session, plain = spoken(pacing, **models), spoken()
    assert lateness(session.lateness), session.lateness
    words, turns = word_latency(session), turn_latency(session)
    # A turn that Terminate ended has waited for the last work, too.
    took = np.concatenate([words.service_time, turns.service_time[turns.counted]])
    assert service_time(took), took
    assert session.due.tolist() == plain.due.tolist()
    assert session.transcript == plain.transcript != ""
    assert turns.endpoint_wait.tolist() == turn_latency(plain).endpoint_wait.tolist()
    assert session.stalls == ()


def test_nothing_overtakes_on_the_network() -> None:
    """Though a chunk may take ten times as long as the next one."""

    def said(session: Session) -> list[object]:
        return [
            (type(reply), len(getattr(reply, "words", ())), getattr(reply, "bytes_received", None))
            for _, reply in session.replies
        ]

    assert said(spoken(network_spread=1.0)) == said(spoken())


def test_late_waking_by_the_wall_clock_is_no_drift() -> None:
    assert drift(spoken(wake=0.002)) == pytest.approx(0, abs=EXACT)


def test_blocks_delay_the_chunks_that_were_due_meanwhile_and_are_recorded_as_stalls() -> None:
    session = simulate(20.0, work=0, blocks=[(5.05, 0.5), (10.05, 0.2)])
    late = {
        round(due, 1): lateness
        for due, lateness in zip(session.due, session.lateness, strict=True)
        if lateness
    }
    assert late == pytest.approx(
        {5.1: 0.45, 5.2: 0.35, 5.3: 0.25, 5.4: 0.15, 5.5: 0.05, 10.1: 0.15, 10.2: 0.05}, abs=EXACT
    )
    stalls = [(stall.at, stall.seconds) for stall in session.stalls]
    assert np.array(stalls) == pytest.approx(np.array([(5.55, 0.5), (10.25, 0.2)]), abs=EXACT)


# A stall of half a second, just before chunk 50 is due at 5.1 s.

STALL: dict[str, Any] = {"work": 0.0, "blocks": [(5.1 - 1e-9, 0.5)]}
ALMOST = 1e-8


def test_the_wall_clock_recovers_from_a_stall_in_a_burst() -> None:
    session = simulate(10.0, **STALL)
    np.testing.assert_allclose(session.sent[50:56], 5.6, rtol=0, atol=ALMOST)
    assert session.lateness[50] == pytest.approx(0.5, abs=ALMOST)
    assert np.delete(session.lateness, range(50, 56)) == pytest.approx(0, abs=EXACT)


def test_naive_pacing_never_recovers_from_a_stall() -> None:
    late = simulate(10.0, pacing="fixed_sleep", **STALL).lateness
    np.testing.assert_allclose(late, np.where(np.arange(100) < 50, 0, 0.5), rtol=0, atol=ALMOST)


@pytest.mark.parametrize(("rate", "behind"), [(2.0, 10), (1.25, 25), (5.0, 6.25)])
def test_catch_up_bounds_the_rate_until_the_sender_is_on_time(
    rate: float, behind: float, tmp_path: Path
) -> None:
    session = simulate(10.0, catch_up=rate, **STALL)
    spacing, caught_up = np.diff(session.sent), 50 + math.ceil(behind)
    np.testing.assert_allclose(spacing[50 : caught_up - 1], 0.1 / rate, rtol=0, atol=EXACT)
    assert spacing.min() >= 0.1 / rate - EXACT
    expected = np.maximum(0.5 - (0.1 - 0.1 / rate) * np.arange(50), 0)
    np.testing.assert_allclose(session.lateness[50:], expected, rtol=0, atol=ALMOST)
    loaded = load_session(session.save(tmp_path / "session.jsonl"))
    assert loaded.settings.catch_up == session.settings.catch_up == rate


def test_a_saved_simulation_is_the_session_again(tmp_path: Path) -> None:
    session = spoken(work_spread=0.2, network_spread=0.1, delay_spread=0.1)
    assert load_session(session.save(tmp_path / "session.jsonl")) == session


# From anywhere.


def test_it_works_inside_a_running_loop_and_on_another_thread() -> None:
    async def cell() -> Session:
        return simulate(5.0, work_spread=0.01)

    found: list[Session] = []
    thread = threading.Thread(target=lambda: found.append(simulate(5.0, work_spread=0.01)))
    with nothing_remains():
        thread.start()
        thread.join()
        assert [simulate(5.0, work_spread=0.01)] == found == [asyncio.run(cell())]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clip": 0}, "0 s of silence"),
        ({"clip": -1.0}, "-1 s of silence"),
        ({"clip": math.nan}, "nan s of silence"),
        ({"chunk": 0.04}, "chunk=0.04 s"),
        ({"chunk": 2}, "chunk=2 s"),
        ({"pacing": "walclock"}, "unknown pacing 'walclock'"),
        ({"phase": "middle"}, "unknown phase 'middle'"),
        ({"catch_up": 1.0}, "catch_up=1"),
        ({"catch_up": 2.0, "pacing": "fixed_sleep"}, "'fixed_sleep' never catches up"),
        ({"work": -0.001}, "work=-0.001"),
        ({"work": math.nan}, "work=nan"),
        ({"work_spread": math.inf}, "work_spread=inf"),
        ({"wake": -1}, "wake=-1"),
        ({"wake_spread": -1}, "wake_spread=-1"),
        ({"network": math.nan}, "network=nan"),
        ({"network_spread": -0.1}, "network_spread=-0.1"),
        ({"blocks": [(1.0, -1.0)]}, r"blocks=\[\(1.0, -1.0\)\]"),
        ({"blocks": [(math.inf, 1.0)]}, "blocks="),
        ({"delay": -0.1}, "delay=-0.1"),
        ({"delay_spread": math.nan}, "delay_spread=nan"),
    ],
)
def test_what_cannot_be_is_said(options: dict[str, Any], words: str) -> None:
    with nothing_remains(), pytest.raises(ValueError, match=words):
        simulate(**{"clip": 1.0, **options})


def test_a_services_refusal_reaches_the_caller_with_the_facts() -> None:
    with nothing_remains(), pytest.raises(StreamError) as caught:
        simulate(400.0, pacing="unpaced", chunk=1.0)  # more than the service lets wait
    assert caught.value.session.ending is not None
    assert caught.value.session.ending.how == "failed"
    assert 300 <= len(caught.value.session.chunks) <= 400


def test_a_session_records_that_and_how_it_was_simulated(tmp_path: Path) -> None:
    session = simulate(1.0, work=0.002, wake=0.001, network_spread=0.05, seed=7)
    loaded = load_session(session.save(tmp_path / "session.jsonl"))
    assert loaded.settings.service["simulated"] == {
        "work": 0.002,
        "work_spread": 0.0,
        "overhead": 0.0,
        "wake": 0.001,
        "wake_spread": 0.0,
        "network": 0.0,
        "network_spread": 0.05,
        "seed": 7,
    }


@pytest.mark.parametrize("clip", ["x.wav", None, CALL])
def test_what_is_neither_a_clip_nor_a_length_is_refused_in_a_sentence(clip: Any) -> None:
    with pytest.raises(
        TypeError, match=r"neither a clip nor a number of seconds; give rtkit\.open"
    ):
        simulate(clip)


def test_a_length_may_be_any_number() -> None:
    two: Any = np.int64(2)
    assert len(simulate(two).lateness) == 20
