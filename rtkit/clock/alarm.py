"""Waiting until an instant; a loop whose time jumps; the blocking door."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import heapq
import itertools
import math
import os
import selectors
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Alarm", "Timetable", "VirtualLoop", "block", "calendar", "run", "sleep_until"]

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

    AT_ONCE = 256  # calls; then the loop turns, so that late senders do not deafen it

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
        for _ in range(self.AT_ONCE):
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


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


_TFD_TIMER_ABSTIME = 1


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    # Told once, for a call that is made for every chunk.
    libc.timerfd_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    return libc


def _open_timer(loop: asyncio.AbstractEventLoop) -> int | None:
    """A timerfd on the loop's clock, or None where there is no such thing.

    Through ctypes, because Python's own wrapping of it only comes with 3.13.
    """
    plain = isinstance(loop, asyncio.SelectorEventLoop) and not isinstance(loop, VirtualLoop)
    if sys.platform != "linux" or not plain:
        return None  # another loop's clock need not be the kernel's
    timer: int = _libc().timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    return timer if timer >= 0 else None


def _set_timer(timer: int, when: float) -> None:
    nanoseconds = max(1, round(when * 1e9))  # 0 would disarm it
    spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(*divmod(nanoseconds, 10**9)))
    if _libc().timerfd_settime(timer, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None):
        raise OSError(ctypes.get_errno(), "the timer could not be set")


def calendar() -> float:
    """Unix time; in virtual time, seconds since its beginning, so that a session is repeatable."""
    loop = asyncio.get_running_loop()
    return loop.time() if isinstance(loop, VirtualLoop) else time.time()


def block(seconds: float) -> None:
    """Block the running loop: `time.sleep`, or what stands for it in virtual time."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        loop.block(seconds)
    else:
        time.sleep(seconds)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while code runs and jumps to the next timer.

    A three-hour session passes in seconds, and every instant is exact and repeatable. `block`
    lets a stall pass: what `time.sleep` is to a real loop.

    Parameters
    ----------
    wake : callable, optional
        By how many seconds an `Alarm` on this loop wakes too late, asked anew each time.
    """

    def __init__(self, wake: Callable[[], float] = float) -> None:
        self._now = 0.0
        self.wake = wake
        super().__init__(_JumpingSelector(self))
        self._clock_resolution = 1e-9  # the least step that shows at any length of session

    def time(self) -> float:
        return self._now

    def block(self, seconds: float) -> None:
        """Let `seconds` pass within the running callback, as if it computed that long."""
        self._now += seconds

    def jump(self) -> None:
        """Go to the instant of the next timer; the instant itself, so that no error adds up."""
        timers: list[asyncio.TimerHandle] = getattr(self, "_scheduled", [])
        if timers:
            self._now = max(self._now, timers[0].when())


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for the next timer, has the loop jump to it.

    The world outside, an interrupt for example, is only looked at now and then: it is what costs.
    """

    LOOK = 100  # turns of the loop

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if timeout is None:
            return super().select()
        ready = super().select(0) if self._turns % self.LOOK == 0 else []
        if timeout > 0 and not ready:
            self._loop.jump()
        return ready


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result: for scripts, and cells that cannot await.

    In a plain script this is `asyncio.run`. Inside a running event loop, as in a notebook's cell,
    it nests with nest-asyncio2, which from then on slows the tasks of the whole process down: in
    a notebook prefer ``await``. An interrupt stops the coroutine cleanly.
    """
    with contextlib.suppress(RuntimeError):  # no loop runs
        asyncio.get_running_loop()
        import nest_asyncio2

        nest_asyncio2.apply()
    return asyncio.run(coroutine)
