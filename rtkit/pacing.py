"""Which chunks are due when, and when each pacing sends them. Arithmetic: no clock, no waiting.

A `Plan` is made once, before anything is sent, and handed on to whoever sends, or simulates it.

A pacing is a function of four instants, in seconds on one clock, that tells when to send the
next chunk: `now` (the work on the last chunk is done), `due` and `last_due` (when this chunk and
the one before ought to leave) and `last_sent` (when the one before left). Chunk 0 has none before
it: every pacing sends it when it is due.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from rtkit.audio import Clip
from rtkit.boundary.text import unknown
from rtkit.boundary.values import check_numbers
from rtkit.services.service import NO_LIMITS, Limits

__all__ = [
    "PACINGS",
    "Pacing",
    "PacingName",
    "Phase",
    "Plan",
    "choose_pacing",
    "due_times",
    "fixed_sleep",
    "unpaced",
    "wall_clock",
]

PacingName = Literal["wall_clock", "fixed_sleep", "unpaced"]
Phase = Literal["end", "start"]
Pacing = Callable[[float, float, float, float], float]

PACINGS: tuple[PacingName, ...] = ("wall_clock", "fixed_sleep", "unpaced")


def wall_clock(
    now: float, due: float, last_due: float, last_sent: float, *, catch_up: float = math.inf
) -> float:
    """Send when the chunk is due: a late chunk makes the next wait shorter.

    `catch_up` bounds the rate after a stall: at 2, chunks follow one another at no more than
    twice real time until the sender is on time again.
    """
    return max(due, last_sent + (due - last_due) / catch_up)


def fixed_sleep(now: float, due: float, last_due: float, last_sent: float) -> float:
    """Wait a chunk's duration, counted from the end of the work: the naive way."""
    return now + (due - last_due)


def unpaced(now: float, due: float, last_due: float, last_sent: float) -> float:
    """Do not wait."""
    return now


def choose_pacing(name: str, *, catch_up: float | None = None) -> Pacing:
    """The pacing of that name.

    Raises
    ------
    ValueError
        If the name is unknown, or `catch_up` is not above 1, or not for this pacing.
    """
    if name not in PACINGS:
        raise ValueError(unknown("pacing", name, PACINGS))
    if catch_up is None:
        return {"wall_clock": wall_clock, "fixed_sleep": fixed_sleep, "unpaced": unpaced}[name]
    if name != "wall_clock":
        raise ValueError(f"catch_up needs pacing 'wall_clock'; {name!r} never catches up")
    check_numbers(unit="", catch_up=catch_up)
    if not catch_up > 1:
        raise ValueError(
            f"catch_up={catch_up:g} cannot catch up; give a rate above 1 (2 is twice real "
            f"time), or None for no limit"
        )
    return partial(wall_clock, catch_up=catch_up)


def due_times(edges: np.ndarray, rate: int, phase: str = "end") -> np.ndarray:
    """When each chunk is due, in seconds from the start of pacing.

    Parameters
    ----------
    edges : ndarray of int, shape (chunks + 1,)
        Sample positions of the chunks' ends, as `chunk_edges` gives them.
    rate : int
        Samples per second.
    phase : {"end", "start"}
        ``"end"``: when its last sample would have been spoken, as from a microphone.
        ``"start"``: when its first one would, a chunk earlier.

    Returns
    -------
    ndarray of float64, shape (chunks,)
        From sample positions, never from a sum of nominal durations, so that no error builds up.

    Raises
    ------
    ValueError
        If the phase is unknown.
    """
    if phase == "end":
        return np.asarray(edges[1:] / rate)
    if phase == "start":
        return np.asarray(edges[:-1] / rate)
    raise ValueError(unknown("phase", phase, ("end", "start")))


def chunk_edges(samples: int, rate: int, chunk: float, limits: Limits) -> np.ndarray:
    """Cut `samples` samples into chunks of `chunk` seconds, none shorter than the service takes.

    Parameters
    ----------
    samples, rate : int
        Length of the clip in samples, and samples per second.
    chunk : float
        Seconds of audio a chunk. Rounded *up* to whole samples: 50 ms at 11025 Hz is 551.25
        samples, and 551 would fall under a limit of 50 ms.
    limits : Limits
        What the service takes.

    Returns
    -------
    ndarray of int64, shape (chunks + 1,)
        Rising from 0 to `samples`. A tail under the least chunk joins its neighbor; where that
        makes more than the longest chunk, the two are split evenly. Only a clip under the least
        chunk gives a chunk under it.

    Raises
    ------
    ValueError
        If the service does not take the rate or the chunk's duration, or that is none.
    TypeError
        If `chunk` is no number.
    """
    check_numbers(chunk=chunk)
    limits.check(rate, chunk)
    if not 0 < chunk < math.inf:
        raise ValueError(f"chunk={chunk:g} s is not a duration; give seconds above 0, such as 0.1")
    size = max(1, whole_samples(chunk, rate))
    edges = np.append(np.arange(0, samples, size, dtype=np.int64), samples)
    tail = edges[-1] - edges[-2]
    if len(edges) > 2 and tail < whole_samples(limits.min_chunk or 0.0, rate):
        joined = edges[-1] - edges[-3]
        if joined <= (limits.max_chunk or math.inf) * rate:
            edges = np.delete(edges, -2)
        else:
            edges[-2] = edges[-3] + joined // 2
    return edges


def whole_samples(seconds: float, rate: int) -> int:
    """The least number of samples that lasts `seconds`, forgiving float error in the product."""
    return math.ceil(seconds * rate - 1e-6)


@dataclass(frozen=True, eq=False)
class Plan:
    """Which chunks of a clip are due when, and how they are paced; checked when it is made.

    Attributes
    ----------
    edges : ndarray of int64, shape (chunks + 1,), read-only
        Sample positions of the chunks' ends, counted from the clip's start, rising.
    rate : int
        Samples per second.
    chunk : float
        Seconds of audio a chunk, as asked for.
    pacing, phase : str
        As for `choose_pacing` and `due_times`.
    catch_up : float or None
        As for `choose_pacing`.
    limits : Limits
        What the service takes.
    due : ndarray of float64, shape (chunks,), read-only
        When each chunk is due, in seconds from the start of pacing.
    least : int
        Bytes up to which a chunk is padded with silence: only a clip that is shorter than the
        service takes, and so makes one chunk, needs any. Elsewhere 0.

    Raises
    ------
    ValueError
        If the pacing, the phase or the bound cannot be.
    """

    edges: np.ndarray
    rate: int
    chunk: float
    pacing: str = "wall_clock"
    phase: str = "end"
    catch_up: float | None = None
    limits: Limits = NO_LIMITS
    due: np.ndarray = field(init=False, repr=False)
    least: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        choose_pacing(self.pacing, catch_up=self.catch_up)
        edges = np.array(self.edges, dtype=np.int64)
        due = due_times(edges, self.rate, self.phase)
        edges.flags.writeable = due.flags.writeable = False
        least = 0
        if len(due) == 1 and self.limits.min_chunk is not None:
            least = 2 * whole_samples(self.limits.min_chunk, self.rate)
        for name, value in (("edges", edges), ("due", due), ("least", least)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(
        cls,
        clip: Clip,
        *,
        chunk: float = 0.1,
        pacing: str = "wall_clock",
        phase: str = "end",
        catch_up: float | None = None,
        limits: Limits = NO_LIMITS,
    ) -> Plan:
        """The plan for all of a clip, in chunks of `chunk` seconds, as `chunk_edges` cuts it."""
        edges = chunk_edges(clip.samples, clip.rate, chunk, limits)
        return cls(edges, clip.rate, float(chunk), pacing, phase, catch_up, limits)

    @property
    def pace(self) -> Pacing:
        """When to send the next chunk."""
        return choose_pacing(self.pacing, catch_up=self.catch_up)

    def __reduce__(self) -> tuple[type[Plan], tuple[object, ...]]:
        """What a copy in another process is made of."""
        given = self.edges, self.rate, self.chunk, self.pacing, self.phase, self.catch_up
        return Plan, (*given, self.limits)
