"""The instrument's own error: measured with the real service, kept with a session."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from facts import session
from remains import nothing_remains

from rtkit.analysis.latency import Quantiles
from rtkit.audio import silence
from rtkit.clock.virtual import VirtualLoop
from rtkit.experiments.calibrate import Calibration, calibrate
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
    for found in calibration.wake, calibration.there, calibration.back, calibration.error:
        assert 0 < found.p50 <= found.p95 <= found.p99 <= found.max < math.inf
    assert calibration.wake.count == 100
    # A word every tenth of a second, each answered once.
    assert [q.count for q in (calibration.there, calibration.back, calibration.error)] == [20] * 3


def test_the_error_is_the_way_there_and_back(calibration: Calibration) -> None:
    there, back, error = calibration.there, calibration.back, calibration.error
    assert max(there.max, back.max) < error.max <= there.max + back.max


def test_it_says_what_it_is_good_for(calibration: Calibration) -> None:
    assert f"good to +{calibration.error.p50 * 1000:.1f} ms" in repr(calibration)
    assert f"chunks of {calibration.shortest_chunk * 1000:.0f} ms and more" in repr(calibration)


@pytest.mark.parametrize(
    ("wake", "chunk"), [(0.0, 0.05), (0.0001, 0.05), (0.005, 0.05), (0.0051, 0.06), (0.03, 0.3)]
)
def test_the_shortest_chunk_keeps_wake_ups_within_the_budget(
    calibration: Calibration, wake: float, chunk: float
) -> None:
    assert calibration.shortest_chunk >= 0.05
    woken = replace(calibration, wake=Quantiles(0, 0, wake, 1, 100))
    assert woken.shortest_chunk == pytest.approx(chunk)
    assert wake <= 0.1 * woken.shortest_chunk + 1e-12


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


@pytest.mark.parametrize("seconds", [0.99, 0, -1, math.nan, math.inf])
def test_too_short_a_calibration_is_loud_at_once(seconds: float) -> None:
    with nothing_remains(), pytest.raises(ValueError, match=f"seconds={seconds:g} is too short"):
        asyncio.run(calibrate(seconds=seconds))
