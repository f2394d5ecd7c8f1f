"""The instrument's own error, on this host and now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtkit.analysis.latency import Quantiles, quantiles
from rtkit.analysis.validity import BUDGET
from rtkit.audio import silence
from rtkit.clock.alarm import Alarm
from rtkit.loopback.process import Loopback
from rtkit.reference import Reference, SpokenTurn, SpokenWord
from rtkit.sending.stream import stream
from rtkit.services.messages import Turn
from rtkit.session import Fact, Session

__all__ = ["Calibration", "calibrate"]

WAKES = 100
TICK = 0.05  # seconds of a chunk, and from one word of the calibrating script to the next


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `calibrate` found; in seconds.

    Attributes
    ----------
    resolution : float
        The least step of the clock that was seen.
    wake : Quantiles
        How late the sender is woken.
    stall : float
        The longest stall of the loop meanwhile.
    there, back : Quantiles
        From a chunk leaving the sender to its arrival at the service in another process, and
        from an answer leaving there to the loop seeing it.
    error : Quantiles
        Of the service time: as measured from outside, minus what the embedded service states of
        itself, from arrival to leaving. It is there and back together: the round trip.
    """

    resolution: float
    wake: Quantiles
    stall: float
    there: Quantiles
    back: Quantiles
    error: Quantiles

    @property
    def shortest_chunk(self) -> float:
        """The shortest chunk whose lateness budget this host's wake-ups keep, in seconds."""
        return max(TICK, float(np.ceil(self.wake.p99 / BUDGET * 100) / 100))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        return (
            f"<Calibration: service times good to +{self.error.p50 * 1000:.1f} ms in the median, "
            f"+{self.error.p99 * 1000:.1f} ms at p99; pacing valid for chunks of "
            f"{self.shortest_chunk * 1000:.0f} ms and more (woken {self.wake.p99 * 1000:.2f} ms "
            f"late at p99; longest stall {self.stall * 1000:.0f} ms)>"
        )


async def calibrate(
    *, seconds: float = 4.0, on_event: Callable[[Fact], object] | None = None
) -> Calibration:
    """Measure this host: the clock, the waking, the way to the service and back, and the error.

    Parameters
    ----------
    seconds : float
        How long the calibrating session takes; waking takes a second more.
    on_event : callable, optional
        As for `rtkit.stream`: ``on_event=rtkit.progress(rtkit.silence(4.0))`` shows how much
        is left.

    Returns
    -------
    Calibration
        Hand it to `rtkit.stream` as `calibration`, to keep it with the session.

    Raises
    ------
    ValueError
        If `seconds` is too short to say anything: under 1.
    StreamError
        As `rtkit.stream` does.
    """
    if not 1 <= seconds < float("inf"):
        raise ValueError(f"seconds={seconds:g} is too short to calibrate; give 1 or more")
    wakes = await _wakes()
    async with Loopback(script=_ticks(seconds), delay=0.02) as service:
        session = await stream(silence(seconds), chunk=TICK, service=service, on_event=on_event)
    there, back = _ways(session)
    return Calibration(
        resolution=_resolution(),
        wake=quantiles(wakes),
        stall=max((stall.seconds for stall in session.stalls), default=0.0),
        there=quantiles(there),
        back=quantiles(back),
        error=quantiles(there + back),
    )


def _resolution() -> float:
    """The least step between readings of the clock that differ."""
    readings = np.array([time.monotonic() for _ in range(10000)])
    steps = np.diff(readings)
    return float(steps[steps > 0].min(initial=1.0))


async def _wakes() -> np.ndarray:
    """How late an alarm is met, a hundred times, a hundredth of a second apart."""
    loop = asyncio.get_running_loop()
    alarm = Alarm()
    try:
        await alarm.learn()
        start = loop.time() + 0.01
        late = []
        for number in range(WAKES):
            await alarm.until(start + number * 0.01)
            late.append(loop.time() - (start + number * 0.01))
    finally:
        alarm.close()
    return np.array(late)


def _ticks(seconds: float) -> Reference:
    """A word every twentieth of a second."""
    words = tuple(
        SpokenWord(f"tick{number}", number * TICK, (number + 1) * TICK)
        for number in range(int(seconds / TICK))
    )
    text = " ".join(word.text for word in words)
    return Reference((SpokenTurn(0.0, words[-1].end, text, words),))


def _ways(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """How long the deciding chunk took to the service, and each answer back, by its stamps."""
    received = np.cumsum([chunk.bytes // 2 for chunk in session.chunks])
    there, back = [], []
    for at, reply in session.replies:
        if isinstance(reply, Turn) and reply.stamp is not None and reply.stamp.cause == "word":
            deciding = np.searchsorted(received, reply.stamp.samples)
            there.append(reply.stamp.arrived - session.zero - session.sent[deciding])
            back.append(at - (reply.stamp.left - session.zero))
    return np.array(there), np.array(back)
