"""Measuring rtkit's own error, on this host and now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rtkit.analysis.checks.validity import BUDGET
from rtkit.analysis.statistics.quantiles import Quantiles, quantiles
from rtkit.audio import silence
from rtkit.boundary.text import counted
from rtkit.clock.alarm import Alarm
from rtkit.experiments.bare_peer import bare_peer
from rtkit.loopback.process import Loopback
from rtkit.reference import Reference, SpokenTurn, SpokenWord
from rtkit.sending.stream import stream
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.services.messages import Turn
from rtkit.session import Fact, Session

__all__ = ["AT_LEAST", "Calibration", "calibrate", "ways"]

WAKES, APART = 100, 0.01  # wake-ups, and seconds from one to the next
SECONDS = 4.0  # of the calibrating session
PART = 0.25  # of it, that each of two shorter ones takes
STRETCHES = 10
LONGEST = 1.0  # seconds; longer chunks no service takes
MARGIN = 2.0  # times the worst that was seen; with less, fewer than nine in ten keep it
AT_LEAST = WAKES * APART + SECONDS * (1 + 2 * PART)  # seconds; services take time to start
TICK = 0.05  # seconds of a chunk, and from one word of the calibrating script to the next


@dataclass(frozen=True, slots=True)
class Calibration:
    """What `calibrate` found, in seconds.

    Attributes
    ----------
    resolution : float
        The smallest step of the clock that was observed.
    wake : Quantiles
        How late the sender wakes.
    stall : float
        The longest stall of the loop during calibration.
    there, back : Quantiles
        From sending a chunk to its arrival at the service, in another process; and from sending a
        result there to its arrival in the loop.
    error : Quantiles
        Error of the service time: as measured, minus what the embedded service itself reports. It
        is the round trip, there and back. It includes the time until the embedded service reads
        what has arrived.
    own : Quantiles
        The same with a peer that replies at once, on a blocking socket: the part of rtkit and the
        kernel.
    lateness : Quantiles
        Lateness of the chunks of the calibrating session.
    next_error : float
        A bound that the median error of a later session can be expected to keep: twice the largest
        median of ten sections of this session.
    overhead : float
        How far a naive sender without any work falls behind per chunk (median), because it sleeps
        too long and sending takes time. For `rtkit.simulate`.

    Notes
    -----
    A 99th percentile of so few values differs between calibrations, so only the median and the
    maximum are reported. `next_error` was kept by nine in ten sessions on a busy host;
    ``tests/benchmarks/calibration.py`` counts them.
    """

    resolution: float
    wake: Quantiles
    stall: float
    there: Quantiles
    back: Quantiles
    error: Quantiles
    own: Quantiles
    lateness: Quantiles
    next_error: float
    overhead: float

    @property
    def shortest_chunk(self) -> float:
        """The shortest chunk, in seconds, whose lateness budget a later session should keep.

        Its budget is twice the worst lateness seen in waking up and in sending.
        """
        worst = MARGIN * max(self.wake.max, self.lateness.max)
        return max(TICK, float(np.ceil(worst / BUDGET * 100) / 100))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        return "\n".join(f"{name + ':':<19} {found}" for name, found in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        def ms(seconds: float, places: int = 1) -> str:
            return f"{seconds * 1000:.{places}f} ms"

        error, wake, chunk = self.error, self.wake, self.shortest_chunk
        yield (
            "service time error",
            f"{ms(error.p50)} too long (median), {ms(error.max)} at most, over "
            f"{counted(error.count, 'result')}; rtkit itself causes {ms(self.own.p50, 2)}",
        )
        yield "next session", f"expect a median error of up to {ms(self.next_error)}"
        valid = f"chunks of {ms(chunk, 0)} or more" if chunk <= LONGEST else "no chunk duration"
        yield "valid pacing", f"for {valid}"
        yield (
            "wake-ups",
            f"{ms(wake.p50, 2)} late (median), {ms(wake.max, 2)} at most of {wake.count}",
        )
        yield "longest stall", ms(self.stall, 0)
        yield "naive sender", f"loses {ms(self.overhead, 2)} per chunk, without any work"


async def calibrate(
    *, seconds: float = SECONDS, on_event: Callable[[Fact], object] | None = None
) -> Calibration:
    """Measure this machine: its clock, wake-ups, round trip to the service, and rtkit's own error.

    Parameters
    ----------
    seconds : float
        Duration of the calibrating session; the rest takes half as long plus a second.
    on_event : callable, optional
        As for `rtkit.stream`: ``on_event=rtkit.progress(rtkit.silence(4.0))`` shows how much
        is left.

    Returns
    -------
    Calibration
        Pass it to `rtkit.stream` as `calibration`, to save it with the session.

    Raises
    ------
    ValueError
        If `seconds` is less than 1.
    StreamError
        As for `rtkit.stream`.
    """
    if not 1 <= seconds < float("inf"):
        raise ValueError(f"seconds={seconds:g} is too short to calibrate; give 1 or more")
    wakes = await _wakes()
    short = silence(seconds * PART)
    async with Loopback(script=_ticks(seconds), delay=0.02) as service:
        session = await stream(silence(seconds), chunk=TICK, service=service, on_event=on_event)
        naive = await stream(short, chunk=TICK, pacing="fixed_sleep", service=service)
    with bare_peer() as host:
        bare = await stream(short, chunk=TICK, service=AssemblyAI(key="none", host=host))
    there, back = ways(session)
    stretches = np.array_split(there + back, STRETCHES)
    return Calibration(
        resolution=_resolution(),
        wake=quantiles(wakes),
        stall=max((stall.seconds for stall in session.stalls), default=0.0),
        there=quantiles(there),
        back=quantiles(back),
        error=quantiles(there + back),
        own=quantiles(sum(ways(bare), start=np.zeros(1))),
        lateness=quantiles(np.abs(session.lateness)),
        next_error=MARGIN * max(float(np.median(stretch)) for stretch in stretches if len(stretch)),
        overhead=max(float(np.median(np.diff(naive.lateness))), 0.0),
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
            await alarm.until(start + number * APART)
            late.append(loop.time() - (start + number * APART))
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


def ways(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """How long the deciding chunk took to the service, and each result back, by its stamps."""
    received = np.cumsum([chunk.bytes // 2 for chunk in session.chunks])
    there, back = [], []
    for at, reply in session.replies:
        if isinstance(reply, Turn) and reply.stamp is not None and reply.stamp.cause == "word":
            deciding = np.searchsorted(received, reply.stamp.samples)
            there.append(reply.stamp.arrived - session.zero - session.sent[deciding])
            back.append(at - (reply.stamp.left - session.zero))
    return np.array(there), np.array(back)
