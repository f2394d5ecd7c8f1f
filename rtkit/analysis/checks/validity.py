"""Whether a session's results can be used and, if not, why and what to do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rtkit.analysis.checks.audio_mistakes import SILENT
from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.analysis.timing.latency import turn_latency, word_latency
from rtkit.analysis.timing.lateness import passing
from rtkit.analysis.timing.turns import agreement
from rtkit.audio.levels import decibels
from rtkit.boundary.text import counted
from rtkit.boundary.values import check_numbers
from rtkit.clock.stalls import LEAST
from rtkit.services.messages import Begin, Other, Termination, Turn
from rtkit.session import UNTIMED, Session, check_session

__all__ = ["Problem", "Validity", "validity"]

BUDGET = 0.1  # of a chunk
RECEIVE = 0.01  # seconds
# After a stall the loop reads what has waited in one turn and hands it on in the next; turns that
# take longer are stalls themselves.
AFTER = 2 * LEAST
TAKEN = 0.25  # seconds; a network, and a receiver that acknowledges late, may come to so much
HEADERS = 64  # bytes a chunk, at most, that frames and encryption add to the audio
STATED = 1.0  # seconds; services state durations in whole ones
EARLY = 0.05  # of the results
BEFORE = 0.1  # seconds; a service may take a word for granted before it has ended
MATCHED = 0.5  # of the words that were heard
SLEWED = 0.0005  # seconds a second by which a calendar is slewed, at most,
SET = 1.0  # and seconds that a step of it may come to


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to use a session's figures: what was `found`, with the figure, and a `fix`.

    Its `name` is ``"unpaced"``, ``"incomplete"``, ``"late"``, ``"stall"``, ``"backpressure"``,
    ``"clock"``, ``"lost"``, ``"no results"``, ``"early"``, ``"shifted"``, ``"unmatched"`` or
    ``"silent"``.
    """

    name: str
    found: str
    fix: str


@dataclass(frozen=True, slots=True)
class Validity:
    """What `validity` found; true if the session can be used.

    `notes` hold what does not invalidate a session: a clock that was set, and what could not be
    checked.
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The problems' names, each once."""
        return tuple(dict.fromkeys(one.name for one in self.problems))

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        if self:
            return "valid"
        return "not valid: " + " ".join(f"{one.found}. {one.fix}" for one in self.problems)

    __repr__ = __str__


def validity(session: Session, *, budget: float = BUDGET, receive: float = RECEIVE) -> Validity:
    """Check whether a session's results can be used to judge the service.

    Parameters
    ----------
    session : Session
    budget : float
        How late the sender may be, as a share of a chunk's duration: in the 99th percentile of all
        chunks, and in every chunk that holds or decides a counted result.
    receive : float
        How long a message may have waited before it was read, in seconds. A chunk that holds or
        decides a result may also be this late, if that is more than `budget` allows.

    Raises
    ------
    ValueError
        If `budget` or `receive` is not positive, or not finite.
    """
    check_session(session)
    check_numbers(unit="", budget=budget)
    check_numbers(receive=receive)
    if not 0 < budget < math.inf:
        raise ValueError(f"budget={budget:g} is not a share of a chunk; give a number above 0")
    if not 0 < receive < math.inf:
        raise ValueError(f"receive={receive:g} is not a duration; give seconds above 0")
    return session.once(_judged, budget * session.settings.chunk, receive)


def _judged(session: Session, bound: float, receive: float) -> Validity:
    return Validity(tuple(_problems(session, bound, receive)), tuple(_notes(session)))


def _problems(session: Session, bound: float, receive: float) -> Iterator[Problem]:
    if not session.complete:
        how = "was cut off" if session.ending is None else session.ending.how
        yield Problem(
            "incomplete",
            f"the session {how} after {counted(len(session.chunks), 'chunk')}",
            "Run it again to its end.",
        )
    if not session.settings.timed:
        yield Problem(
            "unknown protocol", UNTIMED, "Only when its bytes passed, and how many, was recorded."
        )
        return
    if session.settings.pacing == "unpaced":
        yield Problem(
            "unpaced",
            "the audio was not paced",
            f"{_paced(session)} You measured how fast the service clears its queue.",
        )
    elif session.chunks:
        yield from _late(session, bound, receive)
    yield from _seen_late(session, receive)
    if session.chunks:
        yield from _not_taken(session, bound, receive)
    yield from _slept(session, receive)
    yield from _lost(session)
    yield from _unreasonable(session)
    if session.levels and decibels(session.levels[0].loud) < SILENT:
        yield Problem(
            "silent",
            f"the audio that was sent is silent, {decibels(session.levels[0].loud):.1f} dBFS",
            "rtkit.diagnose(session) says why; send a recording that contains speech.",
        )


# The way out.


def _late(session: Session, bound: float, receive: float) -> Iterator[Problem]:
    late = np.abs(session.lateness)
    p99 = quantiles(late).p99
    carried = late[_mattering(session)]
    single = max(bound, receive)
    if p99 > bound:
        found = f"lateness p99 is {p99 * 1000:.1f} ms (limit: {bound * 1000:g} ms)"
    elif (carried > single).any():
        found = (
            f"{(carried > single).sum()} of {counted(len(carried), 'chunk')} that hold or decide a "
            f"result: late by more than {single * 1000:g} ms, up to {carried.max() * 1000:.1f} ms"
        )
    else:
        return
    fix = "Reduce the work per chunk, use isolation='process', or a less loaded host."
    if session.settings.pacing == "fixed_sleep":
        fix = _paced(session)
    elif session.settings.service.get("tapped"):
        fix = "Reduce the client's work per chunk, or use a less loaded host."
    yield Problem("late", found, fix)


def _paced(session: Session) -> str:
    if session.settings.service.get("tapped"):
        return "Have the client wait for each chunk's time, counted from a single start."
    return "Use pacing='wall_clock'."


def _mattering(session: Session) -> np.ndarray:
    """Which chunks hold, decide, or may have decided a counted result, shape (chunks,).

    A result that is excluded because the sender disturbed it would have counted.
    """
    matter = np.zeros(len(session.chunks), dtype=bool)
    for latency in word_latency(session), turn_latency(session):
        counted = latency.counted | (latency.excluded == "disturbed")
        matter[latency.deciding[counted]] = True
        unsure = counted & ~latency.decided
        for first, last in zip(latency.holding[unsure], latency.deciding[unsure], strict=True):
            matter[first : last + 1] = True
    return matter


def _not_taken(session: Session, bound: float, receive: float) -> Iterator[Problem]:
    leaving = np.array(
        [(one.returned if one.left is None else one.left) - one.sent for one in session.chunks]
    )
    single = max(bound, receive)
    service = session.settings.service
    verb, who, fix = "send", "sender", "try isolation='process'"
    if service.get("tapped"):
        verb, who, fix = "pass the tap", "tap", "use a less loaded host"
    if service.get("network_faults"):  # made slow on request, by the tap
        return
    if quantiles(leaving).p99 > bound or (leaving[_mattering(session)] > single).any():
        yield Problem(
            "backpressure",
            f"a chunk took {leaving.max() * 1000:.0f} ms to {verb}, more than {bound * 1000:g} ms",
            f"The connection was full, or the host delayed the {who}: check the network, and "
            f"{fix}.",
        )
        return
    longest = max(_unread(session).max(), _on_the_way(session))
    if longest > TAKEN:
        yield Problem(
            "backpressure",
            f"the other side accepted audio {longest * 1000:.0f} ms later than usual",
            "The network or the service delayed it, so service time means nothing here. Check "
            "the network, and run it again.",
        )


def _unread(session: Session) -> np.ndarray:
    """How much longer than usual, at least, the oldest audio had waited when each chunk was sent.

    Bytes that were not acknowledged have not arrived. Bytes that fill the other side's window have
    arrived but were not read. The chunks say how long ago they were sent. Zero if the kernel does
    not report it. Shape (chunks,), in seconds.
    """
    chunks = session.chunks
    facts = [(one.unacknowledged, one.window) for one in chunks]
    unacknowledged, window = np.array(facts, dtype=float).T  # None is NaN
    filled = np.fmax.accumulate(window) - window
    before = np.append(0, np.cumsum([one.bytes + HEADERS for one in chunks]))
    place = np.arange(len(chunks))
    longer = np.zeros(len(chunks))
    for there in unacknowledged, np.nan_to_num(unacknowledged) + filled:
        if (known := ~np.isnan(there)).any():
            oldest = np.searchsorted(before, (before[place] - there)[known], side="right") - 1
            since = session.sent[known] - session.sent[np.clip(oldest, 0, place[known])]
            longer[known] = np.maximum(longer[known], since - np.median(since))
    return longer


def _on_the_way(session: Session) -> float:
    """How much longer than usual audio took to reach a service that stamps its arrival."""
    stamped = [one.stamp for _, one in session.replies if isinstance(one, Turn) and one.stamp]
    if not stamped:
        return 0.0
    samples = np.cumsum([chunk.bytes // 2 for chunk in session.chunks])
    deciding = np.searchsorted(samples, [stamp.samples for stamp in stamped])
    sent = session.sent[np.minimum(deciding, len(samples) - 1)]
    arrived = np.array([stamp.arrived for stamp in stamped]) - session.zero
    # What the end of the audio decided arrived with it, which may be long after the last chunk.
    over = max((one.at for one in session.events if one.name == "terminate"), default=math.inf)
    took = arrived - np.where(arrived > over, np.maximum(sent, over), sent)
    return float(took.max() - max(np.median(took), 0.0))


# The way back.


def _seen_late(session: Session, receive: float) -> Iterator[Problem]:
    seen, waited, held_up = _waits(session)
    service = session.settings.service
    where = "in the kernel before they were read"
    fix = "Keep other work out of the sender's loop: isolation='process'."
    if service.get("tapped"):
        where, fix = "in the tap", "Use a less loaded host."
    if service.get("network_faults"):  # the tap held them on request
        waited = np.zeros(len(seen))
    within = f"more than {receive * 1000:g} ms"
    if (waited > receive).any():
        yield Problem(
            "stall",
            f"{(waited > receive).sum()} of {counted(len(seen), 'message')} waited {where}, "
            f"for up to {waited.max() * 1000:.0f} ms, {within}",
            f"{fix} If that does not help, the host itself pauses: a virtual machine that "
            f"loses its processor, or a suspended process.",
        )
    elif held := {number for number, wait in held_up if wait > receive}:
        longest = max(wait for _, wait in held_up)
        yield Problem(
            "stall",
            f"results were seen right after a stall of the loop ({len(held)}×), for up to "
            f"{longest * 1000:.0f} ms, {within}",
            fix,
        )


def _waits(session: Session) -> tuple[np.ndarray, np.ndarray, list[tuple[int, float]]]:
    """When messages were seen, how long they had waited in the kernel, and the stalls.

    The stalls are those that may have delayed a message, by index, each with its maximum delay. A
    message that arrives during a stall is seen during it (by a callback that handles several
    messages) or right after it. The kernel's value is correct, but of several messages read
    together it is known only for the last.
    """
    frame = {at for at, one in session.replies if isinstance(one, Begin | Termination)}
    frame -= {at for at, one in session.replies if not isinstance(one, Begin | Termination)}
    messages = [one for one in session.messages if one.at >= 0 and one.at not in frame]
    seen = np.array([one.at for one in messages])
    waited = np.array([np.nan if one.waited is None else one.waited for one in messages])
    held_up = []
    for number, stall in enumerate(session.stalls):
        began = stall.at - stall.seconds
        rows = np.flatnonzero((seen > began) & (seen <= stall.at + AFTER))
        if len(rows) and not np.isnan(waited[rows[-1]]):
            rows = rows[:-1]
        if len(rows):
            held_up.append((number, stall.seconds - max(0.0, stall.at - float(seen[rows[-1]]))))
    return seen, np.nan_to_num(waited), held_up


# What came back.


def _slept(session: Session, receive: float) -> Iterator[Problem]:
    ending = session.ending
    if ending is None:
        return
    if ending.slept is not None:
        found, slept = f"the host slept for {ending.slept:.1f} s", ending.slept > receive
    else:
        # A calendar that is set or slewed moves no figure; one that runs further ahead has gone on
        # while the host slept, and with it the clock that figures are taken on stood still.
        ahead = ending.calendar - ending.at
        found = f"the computer's time and the monotonic clock moved {ahead:+.1f} s apart"
        slept = ahead > SET + SLEWED * ending.at
    if slept:
        yield Problem("clock", found, "The host slept, or its clock was set. Run it again.")


def _lost(session: Session) -> Iterator[Problem]:
    replies = [reply for _, reply in session.replies]
    sent = session.chunks[-1].stop / session.settings.rate if session.chunks else 0.0
    for reply in replies:
        if not isinstance(reply, Termination):
            continue
        if reply.bytes_received is not None:
            lost = reply.bytes_received != session.bytes_sent
            found = (
                f"{counted(session.bytes_sent, 'byte was', 'bytes were')} sent, but "
                f"{reply.bytes_received} received"
            )
        else:
            lost = abs(reply.audio - sent) > STATED
            found = f"{sent:.1f} s of audio were sent, but the service received {reply.audio:g} s"
        if lost:
            yield Problem("lost", found, "Audio was lost in transit; check the connection.")
    unreadable = [reply for reply in replies if isinstance(reply, Other) and reply.fault]
    if unreadable:
        yield Problem(
            "lost",
            f"{counted(len(unreadable), 'message')} could not be read ({unreadable[0].fault})",
            "Check session.messages; the service's protocol may have changed.",
        )


def _unreasonable(session: Session) -> Iterator[Problem]:
    """Results that cannot be: none at all, too early, or of something else."""
    words, turns = word_latency(session, unmatched=True), turn_latency(session)
    results = [*words.excluded, *turns.excluded]
    why = Counter(results)
    agreed = agreement(session)
    if agreed is not None and agreed.shifted:
        yield Problem(
            "shifted",
            str(agreed),
            "If results come before their words were spoken, the reference does not belong to "
            "this recording or excerpt. Otherwise the service's word times are wrong.",
        )
    elif why["early"] > EARLY * len(results) or words.quantiles("service_time").p50 < -BEFORE:
        before = -words.quantiles("service_time").p50
        yield Problem(
            "early",
            f"{why['early']} of {counted(len(results), 'result')} came before any audio "
            "of their words was sent"
            + (
                f", half of them {before * 1000:.0f} ms before the end of the word was"
                * (before > BEFORE)
            ),
            "That is impossible: check that the reference, or the service's word times, "
            "belong to this recording.",
        )
    if agreed is not None and agreed.heard and agreed.unmatched > MATCHED:
        yield Problem(
            "unmatched",
            f"{agreed.heard - agreed.matched} of "
            f"{counted(agreed.heard, 'word that was', 'words that were')} recognized "
            f"({agreed.unmatched:.0%}) match nothing in the reference",
            "Check that it belongs to this recording and is in this language; what remains to "
            "measure says little.",
        )
    if session.complete and not why[""]:
        spoken = agreed.spoken if agreed is not None else 0
        if not results:
            found = "no word was recognized"
            found += f", of {spoken} that were spoken" if spoken else ", so nothing was measured"
        else:
            found = f"none of {counted(len(results), 'result')} counts: " + ", ".join(
                f"{count} {name}" for name, count in why.most_common()
            )
        fix = (
            "Use a recording that contains speech, and check that its sample rate and "
            "language are those that the service expects."
        )
        if results and agreed is None and np.isnan([*words.end, *turns.end]).all():
            fix = (
                "The service gives no word times: only a session with a reference can be measured."
            )
        yield Problem("no results", found, fix)


def _notes(session: Session) -> Iterator[str]:
    ahead = 0.0 if session.ending is None else session.ending.calendar - session.ending.at
    if abs(ahead) > 0.1:
        yield (
            f"The computer's time moved {ahead:+.1f} s against the monotonic clock, which "
            f"rtkit uses for all measurements."
        )
    if session.settings.service.get("tapped"):
        yield (
            "Seen from between: when chunks were due is inferred, so a constant delay of the "
            "sender is not known. "
            + (f"The tap itself {passing(session)}." if session.chunks else "")
        )
    if isinstance(made := session.settings.service.get("network_faults"), list | tuple):
        yield f"The network was made worse on request ({', '.join(map(str, made))})."
    if session.messages and all(one.waited is None for one in session.messages):
        yield "How long messages waited before they were read is unknown on this system."
    if session.chunks and all(one.unacknowledged is None for one in session.chunks):
        yield "When the other side accepted each chunk is unknown on this system."
