"""Whether a session's figures may be used, and if not, why and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtkit.analysis.latency import quantiles
from rtkit.services.messages import Other, Termination
from rtkit.session import Session, Stall

__all__ = ["Problem", "Validity", "validity"]

BUDGET = 0.1  # of a chunk
MAX_CONCURRENCY = 0.01  # seconds after a stall in which all that had waited is seen
CLOCKS_APART = 0.25  # seconds; calendars are slewed, and tell time less well than they step


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to use a session's figures.

    Attributes
    ----------
    name : str
        ``"unpaced"``, ``"incomplete"``, ``"late"``, ``"stall"``, ``"backpressure"``, ``"clock"`` or
        ``"lost"``.
    found, fix : str
        What was found, with the figure; and what to do.
    """

    name: str
    found: str
    fix: str


@dataclass(frozen=True, slots=True)
class Validity:
    """What `validity` found; true where nothing speaks against the figures."""

    problems: tuple[Problem, ...]

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        if self:
            return "valid"
        return "not valid: " + " ".join(f"{one.found}. {one.fix}" for one in self.problems)

    __repr__ = __str__


def validity(session: Session, *, budget: float = BUDGET) -> Validity:
    """Tell whether the session's figures say something about the service.

    Parameters
    ----------
    session : Session
    budget : float
        How much of a chunk's duration lateness may come to in its 99th percentile, a stall of the
        loop right before an answer at most, and a chunk's way out of the sender at most.

    Raises
    ------
    ValueError
        If `budget` is no share: 0 or less, or not finite.
    """
    if not 0 < budget < float("inf"):
        raise ValueError(f"budget={budget:g} is no share of a chunk; give a number above 0")
    return Validity(tuple(_problems(session, budget * session.settings.chunk)))


def _problems(session: Session, bound: float) -> Iterator[Problem]:
    within = f"more than {bound * 1000:g} ms"
    if not session.complete:
        how = "was cut off" if session.ending is None else session.ending.how
        yield Problem(
            "incomplete",
            f"the session {how} after {len(session.chunks)} chunks",
            "Run it again to its end.",
        )
    if session.settings.pacing == "unpaced":
        yield Problem(
            "unpaced",
            "the audio was not paced",
            "Pace it: pacing='wall_clock'. What was measured is how fast the service drains.",
        )
    elif session.chunks:
        yield from _sender_problems(session, bound, within)
    if held := [stall for stall in _holding_up(session) if stall.seconds > bound]:
        longest = max(stall.seconds for stall in held)
        yield Problem(
            "stall",
            f"answers were seen right after the loop had stalled ({len(held)}×), for up to "
            f"{longest * 1000:.0f} ms",
            "Keep other work out of the sender's loop: isolation='process'.",
        )
    if session.chunks:
        leaving = max(chunk.returned - chunk.sent for chunk in session.chunks)
        if leaving > bound:
            yield Problem(
                "backpressure",
                f"a chunk took {leaving * 1000:.0f} ms to leave, {within}",
                "The connection was full, or the host held the sender up inside the send: look at "
                "the network, and try isolation='process'.",
            )
    if session.ending is not None:
        apart = session.ending.calendar - session.ending.at
        if abs(apart) > CLOCKS_APART:
            yield Problem(
                "clock",
                f"calendar and monotonic clock moved {apart:+.1f} s apart",
                "The host slept, or its clock was set. Run it again.",
            )
    yield from _losses(session)


def _sender_problems(session: Session, bound: float, within: str) -> Iterator[Problem]:
    late = quantiles(np.abs(session.lateness)).p99
    if late > bound:
        naive = session.settings.pacing == "fixed_sleep"
        yield Problem(
            "late",
            f"lateness p99 is {late * 1000:.1f} ms, {within}",
            "Pace by the wall clock: pacing='wall_clock'."
            if naive
            else "Free the sender: less work a chunk, isolation='process', or a calmer host.",
        )


def _holding_up(session: Session) -> Iterator[Stall]:
    """The stalls that may have held up an answer.

    What arrives during a stall is seen as soon as it is over. Where nothing was seen then, nothing
    had waited; what the stall did to the sending is in the lateness.
    """
    seen = np.array([message.at for message in session.messages])
    for stall in session.stalls:
        if ((seen >= stall.at) & (seen <= stall.at + MAX_CONCURRENCY)).any():
            yield stall


def _losses(session: Session) -> Iterator[Problem]:
    replies = [reply for _, reply in session.replies]
    for reply in replies:
        if isinstance(reply, Termination) and reply.bytes_received not in (
            None,
            session.bytes_sent,
        ):
            yield Problem(
                "lost",
                f"{session.bytes_sent} bytes were sent and {reply.bytes_received} received",
                "Audio was lost on the way; look at the connection.",
            )
    unreadable = [reply for reply in replies if isinstance(reply, Other) and reply.fault]
    if unreadable:
        yield Problem(
            "lost",
            f"{len(unreadable)} messages could not be read ({unreadable[0].fault})",
            "Look at session.messages; the service's protocol may have changed.",
        )
