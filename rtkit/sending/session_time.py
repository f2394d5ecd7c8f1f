"""A session's own time: t = 0 is set once, and earlier times are negative."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from rtkit.clock.real import running_clock
from rtkit.recording import Recorder
from rtkit.session import Ending, Event

__all__ = ["SessionTime"]


class SessionTime:
    """Gives the time of a session and records its steps."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._loop, self._clock = asyncio.get_running_loop(), running_clock()
        self.zero = self._calendar = 0.0
        self._slept: float | None = None

    def now(self) -> float:
        """Seconds since t = 0; before that, the loop's own time."""
        return self._loop.time() - self.zero

    def start(self, zero: float) -> None:
        """Time starts: t = 0 is `zero`, now or soon."""
        self.zero = zero
        self._calendar = self._clock.calendar() + zero - self._loop.time()
        self._slept = self._clock.slept()
        started = datetime.fromtimestamp(self._calendar, UTC)
        self._recorder.begin(zero, started.isoformat(timespec="milliseconds"))

    def event(self, name: str) -> None:
        """Record a step, now."""
        self._recorder.add(Event(self.now(), name))

    def end(self, ending: Ending, *, at: float | None = None) -> None:
        """Record how it ended, as the last fact: now, or a moment ago, `at` on the loop's clock."""
        ago = 0.0 if at is None else self._loop.time() - at
        if not self._recorder.begun:  # time never started: all that happened lies before it
            self.start(self._loop.time() - ago)
        calendar = self._clock.calendar() - self._calendar - ago
        slept = self._clock.slept()
        if slept is not None and self._slept is not None:
            # Two clocks are read for it, a hair apart.
            slept = max(0.0, slept - self._slept)
        self._recorder.add(replace(ending, at=self.now() - ago, calendar=calendar, slept=slept))
