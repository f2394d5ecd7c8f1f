"""How much of what `rtkit.calibrate` says to expect of the next session does that keep?

    python tests/benchmarks/calibration.py [--rounds 10] [--seconds 4]

Each round calibrates, and then runs a next session with the embedded service: is the median error
of its service times at most what was to be expected, and is the lateness of its chunks, of the
duration that was said to be valid, within its budget? Nine in ten are the aim.
"""

from __future__ import annotations

import argparse
import asyncio

import numpy as np
from ratios import ratio

import rtkit
from rtkit.analysis.checks.validity import BUDGET
from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.experiments.calibrate import Calibration, ways

MAX_CHUNK = 1.0  # seconds that the service takes


async def next_session(calibration: Calibration, seconds: float) -> tuple[float, float]:
    """The median error of the service time, and lateness p99 in chunks."""
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=seconds)
    session = await rtkit.stream(clip, chunk=min(calibration.shortest_chunk, MAX_CHUNK))
    there, back = ways(session)
    late = quantiles(np.abs(session.lateness)).p99
    return float(np.median(there + back)), late / session.settings.chunk


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    print("error p50 / expected / of the next session, ms; chunk, ms; lateness p99 of it, chunks")
    kept = valid = 0
    for _ in range(asked.rounds):
        calibration = await rtkit.calibrate(seconds=asked.seconds)
        error, late = await next_session(calibration, max(asked.seconds, 6.0))
        kept += error <= calibration.next_error
        valid += late <= BUDGET
        values = calibration.error.p50, calibration.next_error, error, calibration.shortest_chunk
        print("  ".join(f"{value * 1000:8.2f}" for value in values), f"{late:8.3f}", flush=True)
    rounds = asked.rounds
    print(f"{kept} of {rounds} next sessions kept the error, {valid} of {rounds} the chunk")
    ratio("sessions that did not keep the error expected", 1 - kept / rounds, 0.1)
    ratio("sessions that were late with the chunk said to be valid", 1 - valid / rounds, 0.1)


if __name__ == "__main__":
    asyncio.run(main())
