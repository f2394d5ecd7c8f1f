"""Lateness of chunks: its trend (drift), deviations from it (jitter), and the pacing it shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.session import UNTIMED, Session, check_session

__all__ = ["PacingOf", "drift", "jitter", "pacing_of", "passing"]

PAIRED = 1000  # chunks, each with each: half a million slopes
FEWEST = 5  # chunks
FAST = 0.5  # of the audio's duration, within which unpaced audio has come
CLOSE = 0.25  # of a chunk's duration: chunks that follow so soon came in one burst
MANY = 0.2  # of all chunks
STEADY = 0.001  # seconds per second of audio; quartz clocks differ by a tenth of it


def drift(session: Session) -> float:
    """The trend of lateness, in seconds per second of audio: the median slope between two chunks.

    NaN for fewer than two chunks. A stall that delays fewer than a quarter of the chunks does not
    change it, even at the start or end of the session.

    Parameters
    ----------
    session : Session

    Returns
    -------
    float

    Notes
    -----
    Theil and Sen's estimator, over all pairs of at most 1000 chunks, evenly chosen.
    """
    check_session(session)
    count = len(session.chunks)
    if count < 2:
        return float("nan")
    chosen = np.unique(np.linspace(0, count - 1, min(count, PAIRED)).round().astype(int))
    due, lateness = session.due[chosen], session.lateness[chosen]
    one, other = np.triu_indices(len(chosen), 1)
    return float(np.median((lateness[other] - lateness[one]) / (due[other] - due[one])))


def jitter(session: Session) -> np.ndarray:
    """How far each chunk's lateness lies from the trend, in seconds, shape (chunks,), >= 0.

    The trend is the line of `drift`, moved so that half of the chunks lie on either side.

    Parameters
    ----------
    session : Session

    Returns
    -------
    ndarray, shape (chunks,)
    """
    check_session(session)
    if len(session.chunks) < 2:
        return np.zeros(len(session.chunks))
    residual = session.lateness - drift(session) * session.due
    return np.asarray(np.abs(residual - np.median(residual)))


@dataclass(frozen=True)
class PacingOf:
    """How chunks were paced, as far as their send times show.

    Attributes
    ----------
    name : {"wall_clock", "fixed_sleep", "bursts", "unpaced", "too fast", "unknown", "untimed"}
        A live microphone counts as ``"wall_clock"``. Untimed is a session whose protocol, and so
        the duration of its chunks, is not known.
    loss : float
        Time lost per chunk, in seconds: by how much lateness grows from one chunk to the next.
        Negative for a client that sends faster than real time.
    drift : float
        The same, per second of audio.
    """

    name: str
    loss: float
    drift: float

    def __str__(self) -> str:
        hour = abs(3600 * self.drift)
        return {
            "wall_clock": "wall clock: keeps to the audio's time",
            "fixed_sleep": f"fixed sleep: loses {self.loss * 1000:.1f} ms with each chunk; "
            f"an hour would end {hour:.0f} s late",
            "bursts": "bursts: several chunks at once, and then none",
            "unpaced": "unpaced: audio is sent as fast as it goes",
            "too fast": f"too fast: gains {-self.loss * 1000:.1f} ms with each chunk; "
            f"an hour would be sent {hour:.0f} s too early",
            "unknown": "unknown: too few chunks",
            "untimed": f"unknown: {UNTIMED}",
        }[self.name]


def passing(session: Session) -> str:
    """For how long a tap itself held what it passed on, in a few words; empty without a tap.

    From arrival to leaving, which for chunks is `returned` - `sent`, and for results their
    `waited`; the delay of a simulated network is included.
    """
    if not session.settings.service.get("tapped") or not session.chunks:
        return ""
    chunks = quantiles(np.array([one.returned - one.sent for one in session.chunks]))
    text = f"delayed chunks by {chunks.p50 * 1000:.2f} ms (p99 {chunks.p99 * 1000:.2f})"
    if waited := [one.waited for one in session.messages if one.waited is not None]:
        results = quantiles(np.array(waited))
        text += f" and results by {results.p50 * 1000:.2f} ms (p99 {results.p99 * 1000:.2f})"
    return text


def pacing_of(session: Session) -> PacingOf:
    """Infer how a session was paced from when its chunks were sent.

    Parameters
    ----------
    session : Session
        With five chunks or more; with fewer, the pacing is unknown.

    Returns
    -------
    PacingOf
    """
    check_session(session)
    chunks = session.chunks
    if not session.settings.timed:
        return PacingOf("untimed", float("nan"), float("nan"))
    if len(chunks) < FEWEST:
        return PacingOf("unknown", float("nan"), float("nan"))
    durations = np.array([one.stop - one.start for one in chunks]) / session.settings.rate
    gaps, spoken, trend = np.diff(session.sent), durations[1:], drift(session)
    loss = trend * float(np.median(durations))
    if gaps.sum() < FAST * spoken.sum():
        name = "unpaced"
    elif _in_bursts(gaps, spoken):
        name = "bursts"
    elif abs(trend) > STEADY:
        name = "fixed_sleep" if trend > 0 else "too fast"
    else:
        name = "wall_clock"
    return PacingOf(name, loss, trend)


def _in_bursts(gaps: np.ndarray, spoken: np.ndarray) -> bool:
    """Whether chunks come together again and again: one burst is what follows a stall."""
    close = gaps < CLOSE * spoken
    begins = np.flatnonzero(close & ~np.append(False, close[:-1]))
    return bool(close.mean() > MANY and len(begins) > len(gaps) * MANY / 4)
