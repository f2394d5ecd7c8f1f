"""What is said to the clients that come: a script each, or the one of all, or none."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from rtkit.loopback.engines import Energy, Engine, Script
from rtkit.loopback.script_position import Following, Recording
from rtkit.reference import Reference

__all__ = ["Scripts"]

SPARE = 64  # open files that the service needs besides its sessions


class Scripts:
    """What the service knows of coming sessions: a script each, under an id in the URL.

    Attributes
    ----------
    expected : int
        How many may come at once, whatever the service's own limit is.
    """

    KEPT = 256  # of more the oldest are forgotten; a client may come twice for one

    def __init__(self, default: Reference | None = None, recording: Path | None = None) -> None:
        self._default, self._path = default, recording
        self._followed: deque[Following] = deque(maxlen=4)  # a client may go on where one was
        self._waiting: dict[str, Reference | None] = {}
        self.expected = 0

    @cached_property
    def _recording(self) -> Recording | None:
        """Read when the first client comes that has no script of its own."""
        return None if self._path is None else Recording(self._path)

    def expect(self, sessions: int) -> None:
        """Prepare for this many concurrent sessions, as far as the system allows."""
        self.expected = max(self.expected, sessions)
        with contextlib.suppress(ImportError):  # not a Unix
            import resource

            allowed, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
            needed = min(self.expected + SPARE, highest)
            if resource.RLIM_INFINITY != allowed < needed:
                resource.setrlimit(resource.RLIMIT_NOFILE, (needed, highest))

    def add(self, name: str, script: Reference | None) -> None:
        self._waiting[name] = script
        while len(self._waiting) > self.KEPT:
            del self._waiting[next(iter(self._waiting))]

    def engine(self, name: str | None) -> Callable[[int], Engine]:
        """What a session with that id listens with; by energy where there is no script."""
        script = self._default if name is None else self._waiting.get(name, self._default)
        if script is None:
            return Energy
        if name is None and (recording := self._recording) is not None:
            return lambda rate: self._follow(script, recording, rate)
        return lambda rate: Script(script, rate)

    def _follow(self, script: Reference, recording: Recording, rate: int) -> Following:
        following = Following(script, recording, rate, [one.place for one in self._followed])
        self._followed.append(following)
        return following
