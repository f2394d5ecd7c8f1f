"""Stalls of the running loop, during which messages are seen late."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

__all__ = ["LEAST", "Lookout"]

LEAST = 0.01  # seconds from which it is a stall
BEAT = 0.05  # seconds between looks at a loop that has no selector to ask

Seen = Callable[[float, float], object]


class Lookout:
    """Reports each stall of the running loop: the instant of its end, and its duration.

    A loop listens in its selector; between two times of listening it runs what is ready. So the
    lookout notes when the selector is left and entered again: exact, and without a wake-up of its
    own. It also sees when the loop comes late to a timer, or to what it was told to `expect`: then
    the host, or another thread, held it up. It cannot see such a delay while nothing was due.

    On loops without a selector (uvloop) a beat stands in, every 50 ms: a stall is then told up to
    a beat too short, and one between two beats is not seen.

    Parameters
    ----------
    seen : callable
        Called in the loop with (at, seconds), for stalls of 10 ms and more.
    """

    def __init__(self, seen: Seen) -> None:
        self._loop = asyncio.get_running_loop()
        self._beat: asyncio.TimerHandle | None = None
        self.seen, self.expected = seen, math.inf
        self._selector = getattr(self._loop, "_selector", None)
        if self._selector is None:
            self._next_beat()
            return
        if not isinstance(self._selector.select, _Listening):
            self._selector.select = _Listening(self._loop, self._selector.select)
        self._selector.select.lookouts.append(self)

    def expect(self, when: float) -> None:
        """The loop is to wake at `when`, though none of its own timers says so."""
        self.expected = when

    def close(self) -> None:
        """Look no longer."""
        if self._beat is not None:
            self._beat.cancel()
        if self._selector is not None:
            self._selector.select.lookouts.remove(self)
            if not self._selector.select.lookouts:
                del self._selector.select  # what the class has comes to the fore again

    def _next_beat(self) -> None:
        due = self._loop.time() + BEAT
        self._beat = self._loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        now = self._loop.time()
        if now - due >= LEAST:
            self.seen(now, now - due)
        self._next_beat()


class _Listening:
    """Stands for a selector's `select`, for all lookouts of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, select: Callable[..., Any]) -> None:
        self.lookouts: list[Lookout] = []
        self._loop, self._select, self._time = loop, select, loop.time
        self._woken = loop.time()

    def __call__(self, timeout: float | None = None) -> Any:
        asked = self._time()
        if asked - self._woken >= LEAST:
            self._tell(asked, asked - self._woken)
            timeout = 0  # what is to be told is ready now
        due = math.inf if timeout is None else asked + max(timeout, 0)
        ready = self._select(timeout)
        self._woken = woken = self._time()
        for lookout in self.lookouts:
            if lookout.expected <= woken:
                due = min(due, max(asked, lookout.expected))
                lookout.expected = math.inf
        if woken - due >= LEAST:
            self._tell(woken, woken - due)
        return ready

    def _tell(self, at: float, seconds: float) -> None:
        """Report in the loop's next turn: an error in the callback must not break the loop."""
        for lookout in self.lookouts:
            self._loop.call_soon(lookout.seen, at, seconds)
