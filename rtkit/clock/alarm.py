"""Waiting until an instant; a loop whose time jumps; the blocking door."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import TypeVar

from rtkit.clock.timerfd import _open_timer, _set_timer
from rtkit.clock.virtual import VirtualLoop

__all__ = ["Alarm", "sleep_until"]

T = TypeVar("T")


async def sleep_until(when: float) -> None:
    """Wait until `loop.time()` is at least `when`; never returns early.

    Loops with a coarse clock wake up early, so the clock is looked at again after each sleep. An
    instant that has passed still lets the loop turn once: a late sender must not deafen it.
    """
    loop = asyncio.get_running_loop()
    if loop.time() >= when:
        await asyncio.sleep(0)
    while loop.time() < when:
        woken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(when, woken.set_result, None)
        try:
            await woken
        except asyncio.CancelledError:
            timer.cancel()
            raise


class Alarm:
    """Waits until instants on the running loop's clock: never early, and hardly late.

    A loop's own timers wake it up to a millisecond late, because the selector rounds its time-outs
    up. On Linux a timerfd wakes it within some tenths of one; elsewhere the loop's timers have to
    do. Either way the alarm learns by how much it is woken late, asks to be woken so much earlier,
    and spins through the rest: some hundredths of a millisecond, within `budget`.

    Parameters
    ----------
    budget : float
        Which share of the time between two instants may be spun away.

    Attributes
    ----------
    expect : callable, optional
        Called with each instant for which a timer is set that the loop does not know of.
    """

    LONGEST_LEAD = 0.0005  # seconds
    HABIT = 0.1  # the weight of the newest wake-up in what is learned
    LEAST = 0.00001  # seconds; no wake-up is steadier than that

    def __init__(self, *, budget: float = 0.01) -> None:
        self._loop = asyncio.get_running_loop()
        self._budget = budget
        self._late, self._spread = 0.0, self.LONGEST_LEAD  # nothing is unusual yet
        self._last = self._loop.time()
        self._woken: asyncio.Future[None] | None = None
        self.expect: Callable[[float], object] | None = None
        self._timer = _open_timer(self._loop)
        if self._timer is not None:
            self._loop.add_reader(self._timer, self._ring)

    async def learn(self, times: int = 10) -> None:
        """Be woken a few times, a millisecond apart, so that the first instants are met too."""
        for _ in range(0 if isinstance(self._loop, VirtualLoop) else times):
            await self._sleep(self._loop.time() + 0.001)

    async def until(self, when: float) -> None:
        """Wait until `loop.time()` is at least `when`."""
        now = self._loop.time()
        if isinstance(self._loop, VirtualLoop):
            return await self.roughly(when)
        if now >= when:
            await asyncio.sleep(0)  # a late sender must not deafen the loop
        ease = min(self._spread + self.LEAST, self._budget * max(0.0, when - self._last))
        lead = min(self._late + ease, self.LONGEST_LEAD)
        if now < when - lead:
            await self._sleep(when - lead)
        while self._loop.time() < when - self.LONGEST_LEAD:  # woken much too early
            await self._sleep(when - lead)
        while self._loop.time() < when:
            pass
        self._last = when

    async def roughly(self, when: float) -> None:
        """Wait by the loop's own timer, as late as that is: what a plain sleep comes to."""
        if isinstance(self._loop, VirtualLoop) and self._loop.time() < when:
            when += self._loop.wake()
        await sleep_until(when)

    def close(self) -> None:
        """Give the timer back."""
        if self._timer is not None:
            self._loop.remove_reader(self._timer)
            os.close(self._timer)
            self._timer = None

    async def _sleep(self, when: float) -> None:
        """Wait until about `when`, and learn how late that was."""
        self._woken = self._loop.create_future()
        handle = None
        if self._timer is not None:
            _set_timer(self._timer, when)
            if self.expect is not None:
                self.expect(when)
        else:
            handle = self._loop.call_at(when, self._ring)
        try:
            await self._woken
        finally:
            self._woken = None
            if handle is not None:
                handle.cancel()
        # A wake-up counts for no more than what is usual: a disturbance is not a habit, and what
        # is learned from one would be spun away, chunk after chunk, once it is over.
        usual = self._spread + self.LEAST
        off = max(-usual, min(self._loop.time() - when - self._late, usual))
        self._late += self.HABIT * off
        self._spread += self.HABIT * (abs(off) - self._spread)

    def _ring(self) -> None:
        if self._timer is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._timer, 8)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
