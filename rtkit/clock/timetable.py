"""Many instants on one timer, for many sessions in one loop."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Iterator

from rtkit.clock.real import running_clock
from rtkit.clock.timer import Timer

__all__ = ["Timetable"]


class Timetable:
    """Takes the steps of many, each at instants of its own, by one timer for all: never early.

    A task and a timer for each would cost a wake-up, a task switch and the loop's bookkeeping a
    step. It does not spin as an `Alarm` does: with many, something is always about to be due.

    Parameters
    ----------
    slack : float
        Seconds from one wake-up to the next at least: a wake-up costs more than a step, so that
        many steps share one, each at most so much late. Taken as 0 where waking up is exact.

    Attributes
    ----------
    timer : Timer
        What wakes it.
    """

    BATCH = 256  # steps; then the loop turns, so that late senders do not deafen it

    def __init__(self, *, slack: float = 0.0003) -> None:
        self._loop = asyncio.get_running_loop()
        self._slack = slack if running_clock().grain else 0.0
        self._earliest = -math.inf  # of the next wake-up
        self._entries: list[tuple[float, int, Iterator[float]]] = []
        self._order = itertools.count()
        self._set_to: float | None = None
        self.timer = Timer(self._ring)

    def follow(self, steps: Iterator[float]) -> None:
        """Take the next of these steps at the instant that the last one gave; the first one now."""
        when = next(steps, None)
        if when is not None:
            heapq.heappush(self._entries, (when, next(self._order), steps))
            self._set()

    def close(self) -> None:
        """Take no step any more, and give the timer back."""
        self._entries.clear()
        self.timer.close()

    def _ring(self) -> None:
        self._set_to = None
        entries, now = self._entries, self._loop.time()
        self._earliest = now + self._slack
        for _ in range(self.BATCH):
            if not entries or entries[0][0] > now:
                break
            _, order, steps = heapq.heappop(entries)
            when = next(steps, None)
            if when is not None:
                heapq.heappush(entries, (when, order, steps))
        self._set()

    def _set(self) -> None:
        """Have the timer go off at the first instant of all."""
        if not self._entries:
            return
        when = max(self._entries[0][0], self._earliest)
        if when != self._set_to:
            self._set_to = when
            self.timer.set(when)
