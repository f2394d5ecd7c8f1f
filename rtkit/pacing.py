"""When each chunk is due, and when each pacing sends it. Arithmetic: no clock, no waiting.

A pacing is a function of four instants, in seconds on one clock, that tells when to send the
next chunk: `now` (the work on the last chunk is done), `due` and `last_due` (when this chunk and
the one before ought to leave) and `last_sent` (when the one before left). Chunk 0 has none before
it: every pacing sends it when it is due.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

__all__ = [
    "PACINGS",
    "Pacing",
    "PacingName",
    "Phase",
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
        raise ValueError(f"unknown pacing {name!r}; one of {', '.join(map(repr, PACINGS))}")
    if catch_up is None:
        return {"wall_clock": wall_clock, "fixed_sleep": fixed_sleep, "unpaced": unpaced}[name]
    if name != "wall_clock":
        raise ValueError(f"catch_up is for pacing 'wall_clock'; {name!r} never catches up")
    if not catch_up > 1:
        raise ValueError(
            f"catch_up={catch_up:g} cannot catch up; give a rate above 1, "
            "where 2 is twice real time, or None for no bound"
        )
    return partial(wall_clock, catch_up=catch_up)


def due_times(edges: np.ndarray, rate: int, phase: str = "end") -> np.ndarray:
    """When each chunk ought to leave, in seconds from the start of pacing.

    Parameters
    ----------
    edges : ndarray of int, shape (chunks + 1,)
        Sample positions of the chunks' ends, as `rtkit.audio.chunk_edges` gives them.
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
    raise ValueError(f"unknown phase {phase!r}; one of 'end', 'start'")
