"""How late is the sender while its caller is busy? By isolation, and by what keeps it busy.

    python tests/benchmarks/isolation.py [--seconds 12]

Each session is wall clock, chunks of 50 ms, to the embedded service in a process of its own. A
second after it began, the caller's interpreter is kept busy, and then again every three seconds:

sleep
    `time.sleep(2)` in the loop: the loop stands still, the interpreter's lock is free.
Python loop
    two seconds of Python in the loop's thread: other threads get the lock every 5 ms.
one C call
    a sort of a big list in the loop's thread, of more than half a second (its duration is
    printed): nobody else gets the lock until it is over.

Lateness is sent - due of all chunks. Compare rows and columns of one run, not runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Callable

from ratios import ratio

import rtkit

CHUNK = 0.05
BUSY = 2.0  # seconds
FIRST, EVERY = 1.0, 3.0  # seconds
C_CALL = 0.6  # seconds that the one C call takes at least
ISOLATIONS = ("loop", "thread", "process")


def nothing() -> None:
    pass


def sleep() -> None:
    time.sleep(BUSY)


def python_loop() -> None:
    until = time.perf_counter() + BUSY
    while time.perf_counter() < until:
        pass


class OneCCall:
    """Sorts a list that is big enough to take long: a sort of floats never gives the lock back."""

    def __init__(self) -> None:
        generator, size = random.Random(0), 200_000
        while True:
            self._numbers = [generator.random() for _ in range(size)]
            began = time.perf_counter()
            self()
            self.seconds = time.perf_counter() - began
            if self.seconds > C_CALL:
                break
            size *= 2

    def __call__(self) -> None:
        sorted(self._numbers)


async def lateness(
    service: rtkit.Loopback, seconds: float, isolation: str, busy: Callable[[], None]
) -> rtkit.Session:
    """One session, whose caller is busy now and then."""

    async def now_and_then() -> None:
        await started.wait()
        begun = asyncio.get_running_loop().time()
        for number in range(int((seconds - FIRST) / EVERY) + 1):
            await asyncio.sleep(begun + FIRST + number * EVERY - asyncio.get_running_loop().time())
            busy()

    started = asyncio.Event()
    keeping_busy = asyncio.create_task(now_and_then())
    path = rtkit.bundled()[0]
    try:
        return await rtkit.stream(
            rtkit.open_clip(path, seconds=seconds),
            chunk=CHUNK,
            service=service,
            isolation=isolation,
            on_event=lambda _: started.set(),
        )
    finally:
        keeping_busy.cancel()
        await asyncio.wait({keeping_busy})


async def measure(seconds: float) -> None:
    c_call = OneCCall()
    busyness: dict[str, Callable[[], None]] = {
        "nothing": nothing,
        "sleep": sleep,
        "Python loop": python_loop,
        "one C call": c_call,
    }
    print(
        f"{seconds:g} s a session, chunks of {CHUNK * 1000:g} ms, wall clock, {os.cpu_count()} "
        f"cores; the C call takes {c_call.seconds:.2f} s.\n"
        "Lateness in ms:\n\n"
        f"{'caller busy with':18}{'isolation':12}{'p50':>10}{'p99':>10}{'max':>10}",
        flush=True,
    )
    p99 = {}
    async with rtkit.Loopback(delay=0.05) as service:
        for name, busy in busyness.items():
            for isolation in ISOLATIONS:
                session = await lateness(service, seconds, isolation, busy)
                late = rtkit.quantiles(session.lateness * 1000)
                p99[name, isolation] = late.p99
                print(
                    f"{name:18}{isolation:12}{late.p50:10.3f}{late.p99:10.3f}{late.max:10.3f}",
                    flush=True,
                )
    print()
    for name in busyness:
        what = f"lateness p99 in a process / in the loop, caller busy with {name}"
        ratio(what, p99[name, "process"] / p99[name, "loop"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=12, help="of audio a session")
    asyncio.run(measure(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
