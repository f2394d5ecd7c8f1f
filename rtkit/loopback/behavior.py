"""How the embedded service behaves in time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rtkit.boundary.values import check_numbers

__all__ = ["ENDS", "MAX_DURATION", "TIMINGS", "Behavior"]

MAX_DURATION = 10800.0  # seconds
UNBOUNDED = 1e9  # seconds, or times as fast as speech: as good as without a bound

# Seconds at a session's ends, which change no latency between them. Real: AssemblyAI's, measured
# by others over the Internet: Begin after 1.2 to 1.3 s, refusals after 0.6 to 0.9, a forced final
# after 0.27, Termination after 0.55 to 0.72 with nothing open, and 1.2 with an open turn.
TIMINGS: Mapping[str, Mapping[str, float | None]] = {
    "quick": {
        "begin_delay": 0.0,
        "refusal_delay": 0.0,
        "endpoint_delay": None,
        "finish_delay": None,
    },
    "real": {
        "begin_delay": 1.2,
        "refusal_delay": 0.75,
        "endpoint_delay": 0.27,
        "finish_delay": 0.6,
    },
}
ENDS = tuple(TIMINGS["quick"])


@dataclass(frozen=True)
class Behavior:
    """How the service behaves in time.

    Attributes
    ----------
    delay, delay_spread : float
        A message is sent `delay` seconds after the audio that decided it was processed, plus a
        uniform random time of up to `delay_spread`.
    seed : int
        Of the spread, and of the confidence in words, so that a session can be repeated.
    max_speed : float
        Maximum processing speed, in seconds of audio per second; the rest is queued.
    backlog : float
        Maximum seconds of queued audio; with more, it closes the session.
    finals : int
        With formatted turns: 1 final message per turn, or 2, of which the second is formatted. With
        semantic rules there is always 1.
    max_duration : float or None
        Maximum duration of a session, in seconds; None for no limit.
    begin_delay, refusal_delay : float
        Seconds from a client's connection to Begin, and from a mistake to the error message.
    endpoint_delay : float or None
        In place of `delay`, for the final that a client forces.
    finish_delay : float or None
        In place of `delay`, once the client has finished: for the final of an open turn, and again
        from there to Termination. None for both after `delay`.
    """

    delay: float = 0.15
    delay_spread: float = 0.0
    seed: int = 0
    max_speed: float = 1.25
    backlog: float = 300.0
    finals: int = 1
    max_duration: float | None = MAX_DURATION
    begin_delay: float = 0.0
    refusal_delay: float = 0.0
    endpoint_delay: float | None = None
    finish_delay: float | None = None

    def __post_init__(self) -> None:
        check_numbers(delay=self.delay, delay_spread=self.delay_spread, backlog=self.backlog)
        check_numbers(unit="seconds of audio per second", max_speed=self.max_speed)
        ends = {name: getattr(self, name) for name in ("max_duration", *ENDS)}
        check_numbers(optional=True, **ends)
        if not (0 <= self.delay < math.inf and 0 <= self.delay_spread < math.inf):
            raise ValueError(
                f"delay={self.delay:g} and delay_spread={self.delay_spread:g} must be 0 or "
                f"more seconds: the service cannot reply before it has received the audio"
            )
        for name in ENDS:
            if not 0 <= (getattr(self, name) or 0.0) < math.inf:
                raise ValueError(f"{name}={getattr(self, name):g} must be 0 or more seconds")
        if not (self.max_speed > 0 and self.backlog > 0):
            raise ValueError(
                f"max_speed={self.max_speed:g} and backlog={self.backlog:g} must be above 0"
            )
        for name in ("max_speed", "backlog"):  # they are recorded, and JSON has no infinity
            object.__setattr__(self, name, min(getattr(self, name), UNBOUNDED))
        if self.finals not in (1, 2):
            raise ValueError(f"finals={self.finals} must be 1 or 2")
        if self.max_duration is not None and not 0 < self.max_duration < math.inf:
            raise ValueError(
                f"max_duration={self.max_duration:g} must be a finite number of seconds above 0"
            )

    @property
    def usual(self) -> dict[str, Any]:
        """What makes no other service of it: the defaults, and what only repeats or ends it."""
        kept = {name: getattr(self, name) for name in ("seed", "backlog", "max_duration", *ENDS)}
        return {"delay_spread": 0.0, "max_speed": 1.25, "finals": 1, **kept}
