"""A loop in virtual time, which jumps from timer to timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

__all__ = ["VirtualLoop"]


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while code runs and jumps to the next timer.

    A three-hour session passes in seconds, and every instant is exact and repeatable. `block`
    lets a stall pass: what `time.sleep` is to a real loop.

    Parameters
    ----------
    wake : callable, optional
        By how many seconds an `Alarm` on this loop wakes too late, asked each time.
    """

    grain = 0.0

    def __init__(self, wake: Callable[[], float] = float) -> None:
        self._now = 0.0
        self.wake = wake
        super().__init__(_JumpingSelector(self))
        self._clock_resolution = 1e-9  # the least step that shows at any length of session

    @property
    def clock(self) -> VirtualLoop:
        """What `rtkit.clock.real.running_clock` finds."""
        return self

    def time(self) -> float:
        return self._now

    def calendar(self) -> float:
        """Seconds since the loop began, so that a session is repeatable."""
        return self._now

    def slept(self) -> float:
        return 0.0

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
