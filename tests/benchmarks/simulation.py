"""How long do three hours take in virtual time?

    python tests/benchmarks/simulation.py [--hours 3]

Simulates a session of so many hours, chunks of 100 ms with 1 ms of work after each, under naive
and under wall clock pacing. The reference of the same run is a bare loop that waits for as many
instants of virtual time as there are chunks and does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from ratios import ratio

import rtkit
from rtkit.clock.alarm import sleep_until
from rtkit.clock.virtual import VirtualLoop

CHUNK = 0.1
AIM = 10 / (2 * 3)  # seconds for an hour: ten for two sessions of three hours


async def only_wait(chunks: int) -> None:
    for index in range(chunks):
        await sleep_until(index * CHUNK)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=3.0)
    hours = parser.parse_args().hours
    seconds = hours * 3600
    rtkit.simulate(10.0)  # what is loaded once does not count
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(only_wait(round(seconds / CHUNK)))
    reference = time.perf_counter() - began
    print(f"{'':12}  took, s  / bare loop  last chunk late, s")
    print(f"{'bare loop':12}  {reference:7.2f}  {1:11.2f}")
    took = {}
    for pacing in ("fixed_sleep", "wall_clock"):
        began = time.perf_counter()
        session = rtkit.simulate(seconds, chunk=CHUNK, pacing=pacing)
        took[pacing] = time.perf_counter() - began
        print(
            f"{pacing:12}  {took[pacing]:7.2f}  {took[pacing] / reference:11.2f}  "
            f"{session.lateness[-1]:18.3f}"
        )
    print()
    for pacing, one in took.items():
        ratio(f"{hours:g} h simulated, {pacing} / bare loop", one / reference)
    together = sum(took.values())
    ratio(f"both sessions of {hours:g} h", together, 2 * hours * AIM, unit="s")


if __name__ == "__main__":
    main()
