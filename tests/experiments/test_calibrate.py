"""The instrument's own error: measured with the real service, kept with a session."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from facts import session
from remains import nothing_remains

from rtkit.analysis.statistics.quantiles import Quantiles
from rtkit.audio import silence
from rtkit.clock.virtual import VirtualLoop
from rtkit.experiments.bare_peer import bare_peer
from rtkit.experiments.calibrate import Calibration, calibrate
from rtkit.experiments.compare import AT_ONCE
from rtkit.experiments.concurrent_result import ConcurrentResult
from rtkit.experiments.many import stream_many
from rtkit.experiments.simulate import simulate
from rtkit.loopback.engines import Energy
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.recording import load_session
from rtkit.sending.stream import stream
from rtkit.session import Session


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    with nothing_remains():
        return asyncio.run(calibrate(seconds=1))


def test_every_figure_is_there_finite_and_positive(calibration: Calibration) -> None:
    assert 0 < calibration.resolution < 0.1
    assert 0 <= calibration.stall < math.inf
    ways = calibration.there, calibration.back, calibration.error, calibration.own
    for found in (calibration.wake, *ways):
        assert 0 < found.p50 <= found.p95 <= found.p99 <= found.max < math.inf
    assert calibration.wake.count == 100
    # A word every twentieth of a second, each answered once.
    assert [q.count for q in ways] == [20, 20, 20, 5]
    assert 0 < 2 * calibration.error.p50 <= calibration.next_error <= 2 * calibration.error.max
    assert 0 < calibration.overhead < 0.1


def test_the_error_is_the_way_there_and_back(calibration: Calibration) -> None:
    there, back, error = calibration.there, calibration.back, calibration.error
    assert max(there.max, back.max) < error.max <= there.max + back.max


def test_it_says_what_it_is_good_for(calibration: Calibration) -> None:
    told = repr(calibration)
    error = calibration.error
    assert told.splitlines()[0] == (
        f"service time error: {error.p50 * 1000:.1f} ms too long (median), "
        f"{error.max * 1000:.1f} ms at most, over 20 results; rtkit itself causes "
        f"{calibration.own.p50 * 1000:.2f} ms"
    )
    assert f"expect a median error of up to {calibration.next_error * 1000:.1f} ms" in told
    assert f"loses {calibration.overhead * 1000:.2f} ms per chunk, without any work" in told
    assert "p99" not in told  # of 20 values there is none
    assert len(told.splitlines()) == 6
    assert max(map(len, told.splitlines())) <= 130
    calm = replace(calibration, wake=Quantiles(0, 0, 0, 0, 1), lateness=Quantiles(0, 0, 0, 0.01, 1))
    assert "valid pacing:       for chunks of 200 ms or more" in repr(calm)
    busy = replace(calibration, wake=Quantiles(0, 0, 0, 0.06, 100))
    assert "valid pacing:       for no chunk duration" in repr(busy)


@pytest.mark.parametrize(
    ("wake", "chunk"), [(0.0, 0.05), (0.0001, 0.05), (0.0025, 0.05), (0.0026, 0.06), (0.03, 0.6)]
)
def test_the_shortest_chunk_keeps_wake_ups_within_the_budget(
    calibration: Calibration, wake: float, chunk: float
) -> None:
    assert calibration.shortest_chunk >= 0.05
    seen, nothing = Quantiles(0, 0, 0, wake, 100), Quantiles(0, 0, 0, 0, 100)
    for wakes, chunks in ((seen, nothing), (nothing, seen)):
        woken = replace(calibration, wake=wakes, lateness=chunks)
        assert woken.shortest_chunk == pytest.approx(chunk)
        assert 2 * wake <= 0.1 * woken.shortest_chunk + 1e-12


def test_rtkits_own_part_is_the_smaller_one(calibration: Calibration) -> None:
    # The embedded service wakes up for what has arrived, and so does the loop for what it says.
    assert calibration.own.p50 < calibration.error.p50


def test_a_peer_to_which_nobody_comes_ends_all_the_same() -> None:
    before = threading.active_count()
    with bare_peer():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_naive_sender_is_simulated_with_the_overhead_that_was_measured(
    calibration: Calibration,
) -> None:
    overhead = calibration.overhead
    naive = simulate(10, pacing="fixed_sleep", work=0.0, overhead=overhead)
    assert naive.lateness[-1] == pytest.approx(99 * overhead)
    assert naive.settings.work == 0.0
    assert naive.settings.service["simulated"]["overhead"] == overhead
    assert not simulate(10, pacing="fixed_sleep", work=0.0).lateness.any()
    assert not simulate(10, work=0.0, overhead=overhead).lateness.any()
    both = simulate(10, pacing="fixed_sleep", work=0.001, work_spread=0.001, overhead=overhead)
    steps = np.diff(both.lateness)
    assert (0.001 + overhead - 1e-9 <= steps).all()
    assert (steps <= 0.002 + overhead + 1e-9).all()


def test_a_session_keeps_its_calibration_and_its_file_does(
    calibration: Calibration, tmp_path: Path
) -> None:
    async def calibrated() -> Session:
        connection = InMemoryConnection(Energy, rate=16000)
        return await stream(silence(0.5), connection=connection, calibration=calibration)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(calibrated())
    loaded = load_session(found.save(tmp_path / "session.jsonl"))
    assert loaded == found
    assert loaded.settings.calibration == calibration.to_json() == asdict(calibration)
    assert session().settings.calibration is None


def test_sessions_at_the_same_time_keep_it_too(calibration: Calibration) -> None:
    async def calibrated() -> ConcurrentResult:
        connections = [InMemoryConnection(Energy, rate=16000) for _ in range(2)]
        clips = [silence(0.5)] * 2
        return await stream_many(clips, connections=connections, calibration=calibration)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(calibrated())
    told = [one.settings.calibration for one in found.sessions]
    assert told == [calibration.to_json()] * 2
    assert "calibration" in AT_ONCE  # so `compare` hands it on


@pytest.mark.parametrize("seconds", [0.99, 0, -1, math.nan, math.inf])
def test_too_short_a_calibration_is_loud_at_once(seconds: float) -> None:
    with nothing_remains(), pytest.raises(ValueError, match=f"seconds={seconds:g} is too short"):
        asyncio.run(calibrate(seconds=seconds))
