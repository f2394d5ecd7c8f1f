"""What a session needs of its clock, besides the loop's time.

A loop with its own time provides its clock, as `rtkit.clock.virtual.VirtualLoop` does; every other
loop uses the host's. So no code has to ask which clock it is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Protocol

__all__ = ["Clock", "HostClock", "running_clock"]


class Clock(Protocol):
    """A clock that a session can run on.

    Attributes
    ----------
    grain : float
        Seconds by which a wake-up is usually late, at most; 0 where it comes on the instant.
    """

    grain: float

    def calendar(self) -> float:
        """Seconds since a fixed day: Unix time, or the time of a loop that is repeatable."""

    def slept(self) -> float | None:
        """How many seconds the host has been asleep so far; None if unknown."""

    def block(self, seconds: float) -> object:
        """Block the running loop, as if it computed."""

    def wake(self) -> float:
        """By how many seconds to delay the next wake-up, if that is modeled."""


class HostClock:
    """The clock of this host."""

    grain = 0.0005

    def calendar(self) -> float:
        return time.time()

    def slept(self) -> float | None:
        """What the clock that goes on in sleep is ahead of the one that stands still."""
        if sys.platform != "linux":
            return None
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

    def block(self, seconds: float) -> None:
        time.sleep(seconds)

    def wake(self) -> float:
        return 0.0


def running_clock() -> Clock:
    """The clock that the running loop goes by."""
    clock: Clock = getattr(asyncio.get_running_loop(), "clock", None) or HostClock()
    return clock
