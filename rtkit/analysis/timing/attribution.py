"""Which chunk decided a result, and what part of its latency the sender caused.

A sender that stalls and then catches up sends faster than the service processes audio. That audio
waits in the service's queue although it was sent on time, so the sender caused the queue as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rtkit.services.messages import Receipt, Turn
from rtkit.session import Session

__all__ = [
    "SLOWEST",
    "Made",
    "confirmations",
    "confirmed_at",
    "deciding_chunks",
    "hearing_speed",
    "made_by_sender",
]

SLOWEST = 1.25  # seconds a second, which a service hears that does not say how many
DISTURBED = 0.01  # seconds that a result may have waited in a queue of which nothing is known


class Made(NamedTuple):
    """What the sender caused of some results' latency, in seconds; every array has shape (n,).

    If lateness and queue wait are known only within bounds, these are the middle values.
    """

    lateness: np.ndarray
    queue_wait: np.ndarray
    half_width: np.ndarray  # how far each of the two, and their sum, may lie from the truth
    disturbed: np.ndarray  # whether there may have been a queue of which nothing is known


def made_by_sender(session: Session, first: np.ndarray, last: np.ndarray) -> Made:
    """What the sender caused of results that were decided by a chunk from `first` to `last`.

    If the service states how fast it processes audio, the queue is known. Otherwise, results are
    marked as disturbed until the queue must be empty at 1.25 times real time, the slowest known
    service.
    """
    queue = session.once(_queue_waits)
    known = hearing_speed(session) is not None
    lateness, waits = session.lateness, queue if known else np.zeros(len(queue))
    ranges = [_extremes(values, first, last) for values in (lateness, waits, lateness + waits)]
    (late_low, late_high), (wait_low, wait_high), (low, high) = ranges
    late, wait = (late_low + late_high) / 2, (wait_low + wait_high) / 2
    widths = [(late_high - late_low) / 2, (wait_high - wait_low) / 2]
    widths += [high - (late + wait), (late + wait) - low]
    most = _extremes(queue, first, last)[1]
    disturbed = (most > DISTURBED) & (not known)
    return Made(late, wait, np.max(widths, axis=0), disturbed)


def hearing_speed(session: Session) -> float | None:
    """The service's maximum processing speed, as a multiple of real time; None if not stated."""
    told = session.settings.service.get("max_speed")
    if isinstance(told, int | float) and not isinstance(told, bool) and 0 < told < math.inf:
        return float(told)
    return None


def _queue_waits(session: Session) -> np.ndarray:
    """How much longer each chunk waited behind those before it than if all had left when due.

    A chunk is processed when it arrives or, if later, once the one before it was processed and its
    own duration has passed at the processing speed. A service slower than real time always has a
    queue. Shape (chunks,), in seconds.
    """
    speed = hearing_speed(session) or SLOWEST
    samples = np.array([chunk.bytes // 2 for chunk in session.chunks])
    behind = np.cumsum(samples) / session.settings.rate / speed

    def waits(arrivals: np.ndarray) -> np.ndarray:
        ahead = arrivals - behind
        return np.asarray(np.maximum.accumulate(ahead) - ahead)

    made = waits(session.sent) - waits(session.due)
    return np.where(np.abs(made) > 1e-9, made, 0.0)


def confirmations(
    session: Session, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How long after sending the chunk that decided each result was confirmed, in seconds.

    The chunk is one from `first` to `last`: returns the middle of the possible values (NaN if one
    of them has no receipt), and the half-width.
    """
    low, high = _extremes(confirmed_at(session) - session.sent, first, last)
    return (low + high) / 2, np.nan_to_num((high - low) / 2)


def confirmed_at(session: Session) -> np.ndarray:
    """When the service's receipt for each chunk arrived; NaN without one.

    Shape (chunks,), in seconds.
    """
    return session.once(_confirmed_at)


def _confirmed_at(session: Session) -> np.ndarray:
    came = np.full(len(session.chunks), np.nan)
    done = 0
    for at, reply in session.replies:
        if isinstance(reply, Receipt) and reply.chunks > done:
            came[done : reply.chunks] = at
            done = reply.chunks
    return came


def deciding_chunks(
    session: Session, finals: list[Turn | None], received: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How it is known which chunk decided each result, and the last possible one."""
    samples = np.cumsum([chunk.bytes // 2 for chunk in session.chunks])
    # Half a sample of grace, whatever the rounding.
    heard = [math.inf if one is None or one.heard is None else one.heard for one in finals]
    by_service = np.searchsorted((samples + 0.5) / session.settings.rate, heard)
    by_sending = np.searchsorted(session.sent, received, side="right") - 1
    by = ["unknown" if one is None else one.heard_by for one in finals]
    known = np.array(["bounded" if one == "unknown" else one for one in by], dtype=object)
    last = np.where(known == "stamped", by_service, np.minimum(by_service, by_sending))
    confirmed = confirmed_at(session)
    if not np.isnan(confirmed).all():  # what was not confirmed by then decided nothing
        by_receipt = np.searchsorted(confirmed, received, side="right") - 1
        last = np.where(known == "stamped", last, np.minimum(last, by_receipt))
    return known, np.clip(last, 0, len(samples) - 1)


def _extremes(
    values: np.ndarray, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest value from each `one` to its `other`, both included."""
    ends = np.stack([np.minimum(one, other), np.maximum(one, other) + 1], axis=1).ravel()
    low = np.minimum.reduceat(np.append(values, np.inf), ends)[::2]
    high = np.maximum.reduceat(np.append(values, -np.inf), ends)[::2]
    return low, high
