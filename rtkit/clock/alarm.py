"""Waiting until an instant: never early, and hardly late."""

from __future__ import annotations

import asyncio

from rtkit.clock.real import running_clock
from rtkit.clock.timer import Timer

__all__ = ["Alarm", "sleep_until"]


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

    It learns by how much its timer wakes it late, asks to be woken so much earlier, and spins
    through the rest: some hundredths of a millisecond, within `budget`.

    Parameters
    ----------
    budget : float
        Which share of the time between two instants may be spun away.

    Attributes
    ----------
    timer : Timer
        What wakes it.
    """

    HABIT = 0.1  # the weight of the newest wake-up in what is learned
    LEAST = 0.00001  # seconds; no wake-up is steadier than that

    def __init__(self, *, budget: float = 0.01) -> None:
        self._loop, self._clock = asyncio.get_running_loop(), running_clock()
        self._budget = budget
        self._longest_lead = self._clock.grain
        self._late, self._spread = 0.0, self._longest_lead  # nothing is unusual yet
        self._last = self._loop.time()
        self._woken: asyncio.Future[None] | None = None
        self._aim: float | None = None  # for when the last wake-up was asked
        self.timer = Timer(self._ring)

    async def learn(self, times: int = 10) -> None:
        """Be woken a few times, a millisecond apart, so that the first instants are met too."""
        for _ in range(times if self._longest_lead else 0):
            await self._sleep(self._loop.time() + 0.001)
            self._learn()

    async def until(self, when: float) -> None:
        """Wait until `loop.time()` is at least `when`."""
        await self.near(when)
        self.reach(when)

    async def near(self, when: float) -> None:
        """Wait until just before `when`.

        `reach` waits for the rest, and learns how long that was which was done in between.
        """
        if not self._longest_lead:  # the clock's own timers are exact
            return await self.roughly(when)
        now = self._loop.time()
        if now >= when:
            await asyncio.sleep(0)  # a late sender must not deafen the loop
        ease = min(self._spread + self.LEAST, self._budget * max(0.0, when - self._last))
        lead = min(self._late + ease, self._longest_lead)
        if now < when - lead:
            await self._sleep(when - lead)
        while self._loop.time() < when - self._longest_lead:  # woken much too early
            self._learn()
            await self._sleep(when - lead)

    def reach(self, when: float) -> None:
        """Spin until `when`."""
        self._learn()
        while self._loop.time() < when:
            pass
        self._last = when

    async def roughly(self, when: float) -> None:
        """Wait by the loop's own timer, as late as that is: what a plain sleep comes to."""
        if self._loop.time() < when:
            when += self._clock.wake()
        await sleep_until(when)

    def close(self) -> None:
        """Give the timer back."""
        self.timer.close()

    async def _sleep(self, when: float) -> None:
        """Wait until about `when`."""
        self._woken = self._loop.create_future()
        self.timer.set(when)
        try:
            await self._woken
        finally:
            self._woken = None
            self.timer.clear()
        self._aim = when

    def _learn(self) -> None:
        """How late it is now, after a wake-up."""
        if self._aim is None:
            return
        # A wake-up counts for no more than what is usual: a disturbance is not a habit, and what
        # is learned from one would be spun away, chunk after chunk, once it is over.
        usual = self._spread + self.LEAST
        off = max(-usual, min(self._loop.time() - self._aim - self._late, usual))
        self._late += self.HABIT * off
        self._spread += self.HABIT * (abs(off) - self._spread)
        self._aim = None

    def _ring(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
