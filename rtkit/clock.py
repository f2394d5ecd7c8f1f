"""Waiting until an instant; a loop whose time jumps; the blocking door."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["VirtualLoop", "run", "sleep_until"]

T = TypeVar("T")


async def sleep_until(when: float) -> None:
    """Wait until `loop.time()` is at least `when`; never returns early.

    Loops with a coarse clock wake up early, so the clock is looked at again after each sleep. An
    instant that has passed still lets the loop turn once: a late sender must not deafen it.
    """
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while loop.time() < when:
        woken: asyncio.Future[None] = loop.create_future()
        timer = loop.call_at(when, woken.set_result, None)
        try:
            await woken
        finally:
            timer.cancel()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while code runs and jumps to the next timer.

    A three-hour session passes in seconds, and every instant is exact and repeatable. `block`
    lets a stall pass: what `time.sleep` is to a real loop.
    """

    def __init__(self) -> None:
        self._now = 0.0
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
    """Instead of waiting for the next timer, has the loop jump to it."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._loop.jump()
        return ready


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result: for scripts, and cells that cannot await.

    In a plain script this is `asyncio.run`. Inside a running event loop, as in a notebook's cell,
    it nests with nest-asyncio2, which from then on slows the tasks of the whole process down: in
    a notebook prefer ``await``. An interrupt stops the coroutine cleanly.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    import nest_asyncio2

    nest_asyncio2.apply()
    return asyncio.run(coroutine)
