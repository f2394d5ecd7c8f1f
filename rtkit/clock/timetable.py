"""Many instants on one timer, for many sessions in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import os
from collections.abc import Callable

from rtkit.clock.timerfd import _open_timer, _set_timer
from rtkit.clock.virtual import VirtualLoop

__all__ = ["Timetable"]


class Timetable:
    """Calls many, each at instants of its own, by one timer for all: never early.

    A task and a timer for each would cost a wake-up, a task switch and the loop's bookkeeping a
    call. It does not spin as an `Alarm` does: with many, something is always about to be due.

    Parameters
    ----------
    slack : float
        Seconds from one wake-up to the next at least: a wake-up costs more than a call, so that
        many calls share one, each at most so much late.

    Attributes
    ----------
    expect : callable, optional
        Called with each instant for which a timer is set that the loop does not know of.
    """

    MAX_CONCURRENCY = 256  # calls; then the loop turns, so that late senders do not deafen it

    def __init__(self, *, slack: float = 0.0003) -> None:
        self._loop = asyncio.get_running_loop()
        self._slack = 0.0 if isinstance(self._loop, VirtualLoop) else slack  # there it costs none
        self._earliest = -math.inf  # of the next wake-up
        self._entries: list[tuple[float, int, Callable[[], float | None]]] = []
        self._order = itertools.count()
        self._set_to: float | None = None
        self._handle: asyncio.TimerHandle | None = None
        self.expect: Callable[[float], object] | None = None
        self._timer = _open_timer(self._loop)
        if self._timer is not None:
            self._loop.add_reader(self._timer, self._ring)

    def at(self, when: float, call: Callable[[], float | None]) -> None:
        """At the instant `when`, `call`; it returns when to be called next, or None for never."""
        heapq.heappush(self._entries, (when, next(self._order), call))
        self._set()

    def close(self) -> None:
        """Call nobody any more, and give the timer back."""
        self._entries.clear()
        if self._handle is not None:
            self._handle.cancel()
        if self._timer is not None:
            self._loop.remove_reader(self._timer)
            os.close(self._timer)
            self._timer = None

    def _ring(self) -> None:
        if self._timer is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._timer, 8)
        self._set_to = None
        entries, now = self._entries, self._loop.time()
        self._earliest = now + self._slack
        for _ in range(self.MAX_CONCURRENCY):
            if not entries or entries[0][0] > now:
                break
            _, order, call = heapq.heappop(entries)
            when = call()
            if when is not None:
                heapq.heappush(entries, (when, order, call))
        self._set()

    def _set(self) -> None:
        """Have the timer go off at the first instant of all."""
        if not self._entries:
            return
        when = max(self._entries[0][0], self._earliest)
        if when == self._set_to:
            return
        self._set_to = when
        if self._timer is not None:
            _set_timer(self._timer, when)
            if self.expect is not None:
                self.expect(when)
        else:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_at(when, self._ring)
