"""Find common mistakes in a session or a clip: a sentence, the evidence, and the fix.

Each mistake is found in the recorded facts, not in what the settings claim.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from rtkit.analysis.checks.audio_mistakes import (
    in_clip,
    inaudible,
    misread,
    unheeded,
    wav_header,
)
from rtkit.analysis.checks.findings import Mistake, Mistakes
from rtkit.analysis.checks.result_mistakes import void_metrics
from rtkit.analysis.timing.alignment import align_texts
from rtkit.analysis.timing.lateness import drift
from rtkit.analysis.timing.turns import agreement, heard_turns, never_ended
from rtkit.audio import Clip, Header
from rtkit.boundary.text import counted
from rtkit.services.endpoint import Closed
from rtkit.services.messages import Finalized, ServiceError, Termination, Turn
from rtkit.services.service import Dialect, dialect_of
from rtkit.session import Session, check_session

__all__ = ["Mistake", "Mistakes", "diagnose"]

TOLERATED = 0.1  # of a chunk, that a drift may come to: what `validity` allows
OFF_SPEED = 0.05  # from the reference's speed; 44100 passed off as 48000 Hz is 0.09
COMPARED = 300  # words at most, and
ENOUGH = 8  # at least
PATIENCE = 3.0  # seconds after which closing without Termination is no haste


def diagnose(what: Session | Clip, *, transcript: str | None = None) -> Mistakes:
    """Find common mistakes in a session, or in a clip before it is sent.

    Parameters
    ----------
    what : Session or Clip
    transcript : str, optional
        The transcript that your own code produced, to check whether it counted finals twice.

    Returns
    -------
    Mistakes
        A tuple of `Mistake`, empty if none was found.

    Raises
    ------
    TypeError
        If it is neither a session nor a clip.
    """
    if isinstance(what, Clip):
        return _answered(in_clip(what), dialect_of({}))
    if isinstance(what, Session):
        return _answered(_in_session(what, transcript), dialect_of(what.settings.service))
    if inspect.isawaitable(what):
        check_session(what)
    raise TypeError(
        f"a {type(what).__name__} cannot be diagnosed; give a session, or a clip from "
        f"rtkit.open_clip(PATH). For a code or an error, use rtkit.explain"
    )


def _answered(found: Iterable[Mistake], dialect: Dialect) -> Mistakes:
    """With what the service does about each, and its own fix, as far as they are known."""
    return Mistakes(
        one
        if (habit := dialect.habits.get(one.name)) is None
        else replace(one, service=habit.service, fix=habit.fix or one.fix)
        for one in found
    )


def _in_session(session: Session, transcript: str | None) -> Iterator[Mistake]:
    if not session.settings.timed:  # `validity` says so
        return
    names = {event.name for event in session.events}
    if session.settings.header is not None:
        header = Header(**session.settings.header)
        sent = session.bytes_sent / 2 / session.settings.rate
        wrong = list(unheeded(header, session.settings.rate, sent, "lasted"))
    else:
        wrong = list(_off_speed(session)) or list(_shifted_times(session))
    yield from wrong
    if "wav header" in names:
        yield wav_header()
    if (name := session.settings.looks_like) is not None:
        yield misread(name, f"the bytes look like {name}")
    else:
        yield from inaudible(session.levels, session.settings.channel)
    if "bearer" in names:
        yield Mistake(
            "Bearer prefix",
            "The word Bearer was sent before the key.",
            'Authorization began with "Bearer "',
            "Send only the key as Authorization.",
        )
    yield from _durations(session)
    yield from _pace(session)
    yield from _farewell(session)
    yield from _left_unended(session)
    for one in void_metrics(session):
        if not (wrong and one.name == "drifting times"):  # that comes of it
            yield one
    if transcript is not None:
        yield from _counted_twice(session, transcript)


def _off_speed(session: Session) -> Iterator[Mistake]:
    """Compare what the service recognized with what was said, if the header tells nothing."""
    if session.reference is None:
        return
    spoken = session.reference.words[:COMPARED]
    heard = [word for turn in session.turns for word in turn.words][:COMPARED]
    pairs = [(heard[i].end, spoken[j].end) for i, j in align_texts(heard, spoken).same]
    timed = [(heard_end, said_end) for heard_end, said_end in pairs if heard_end is not None]
    if len(timed) < ENOUGH:
        return
    came, said = np.array(timed).T
    half = len(timed) // 2  # words far apart: single ones may be off by a second
    apart = np.maximum(came[half:] - came[:-half], 1e-3)
    speed = float(np.median((said[half:] - said[:-half]) / apart))
    if abs(speed - 1) > OFF_SPEED:
        rate = session.settings.rate
        yield Mistake(
            "wrong sample rate",
            "To the service, the words ran at another speed than they were spoken: the stated "
            "sample rate is not the file's.",
            f"{speed:.2f} times as fast as in the reference, by "
            f"{counted(len(timed), 'word')}; {rate} Hz stated, about {rate / speed:.0f} Hz heard",
            "State the sample rate at which the file was recorded; if the file's own header "
            "is wrong, create the file again.",
        )


def _shifted_times(session: Session) -> Iterator[Mistake]:
    """At the right speed, and off by the same time everywhere."""
    agreed = agreement(session)
    if agreed is not None and agreed.shifted:
        yield Mistake(
            "shifted times",
            "The reference and the service place the same words at different times. One of "
            "the two does not count from the start of this recording; if it is the reference, "
            "latency is wrong by the same amount.",
            str(agreed),
            "If results come before their words were spoken, the reference is wrong: check "
            "that it belongs to this recording, and that both are the same excerpt. Otherwise "
            "something was sent before the recording (a header or silence), or the service "
            "counts differently.",
        )


def _bounds(least: float, most: float) -> str:
    """What lies outside, in words."""
    under = f"less than {least * 1000:g} ms" if least else ""
    over = f"more than {most * 1000:g} ms" if most < np.inf else ""
    return " or ".join(filter(None, (under, over)))


def _durations(session: Session) -> Iterator[Mistake]:
    # The service was seen to take one short message, if it is the last.
    samples = np.array([chunk.bytes for chunk in session.chunks]) / 2
    lasts = samples / session.settings.rate
    grace = 0.5 / session.settings.rate
    limits = dialect_of(session.settings.service).limits
    least, most = limits.min_chunk or 0.0, limits.max_chunk or np.inf
    wrong = (lasts > most + grace) | (lasts < least - grace)
    alone = wrong.sum() == 1 and wrong[-1] and lasts[-1] < least
    if wrong.any() and not alone:
        worst = lasts[wrong][0] * 1000
        yield Mistake(
            "chunk out of bounds",
            f"A message held {_bounds(least, most)} of audio, according to the stated sample rate.",
            f"{worst:.1f} ms, in {int(wrong.sum())} of {counted(len(wrong), 'chunk')}",
            "Keep chunks within these limits, and join a short last chunk to the one before "
            "it, as rtkit.stream does.",
        )


# Of time.


def _pace(session: Session) -> Iterator[Mistake]:
    if not session.chunks:
        return
    lateness, chunk = session.lateness, session.settings.chunk
    ahead = float(-lateness.min())
    if ahead > chunk:  # a sender by the clock is never ahead of it
        took = session.sent[-1] - session.sent[0]
        yield Mistake(
            "unpaced",
            "The audio was sent faster than it was spoken, so you measure how fast the "
            "service clears its queue, and the text may differ from that of live speech.",
            f"{session.due[-1] - session.due[0]:.1f} s of audio were sent within "
            f"{took * 1000:.0f} ms, "
            f"{ahead:.1f} s ahead of time",
            "Pace it: pacing='wall_clock'.",
        )
    rise = float(lateness[-1] - lateness[0])
    if session.settings.pacing == "fixed_sleep" and rise > TOLERATED * chunk:
        yield Mistake(
            "naive drift",
            "With a fixed sleep after each chunk, the work of every chunk adds to the "
            "lateness of all later chunks, which then looks like the service's latency.",
            f"fell {rise * 1000:.0f} ms behind: {drift(session) * 1000:.1f} ms per second of audio",
            "Sleep until due times that are measured from a single start time: "
            "pacing='wall_clock'.",
        )


# Of the shutdown.


def _farewell(session: Session) -> Iterator[Mistake]:
    ending = session.ending
    broken = ending is not None and ending.how == "failed"
    asked = math.inf if session.terminated is None else session.terminated
    answered = any(  # some services settle what they have heard, and say no goodbye
        isinstance(one, Termination | ServiceError) or (isinstance(one, Finalized) and at >= asked)
        for at, one in session.replies
    )
    if broken or answered or not session.chunks:  # broken: the other side went first
        return
    *_, last = dialect_of(session.settings.service).shutdown(len(session.chunks))
    if last.until is Closed and ending is not None and ending.code == 1000 and session.complete:
        return  # the service's last word is its close
    left = _left_open(session)
    if session.terminated is None:
        yield Mistake(
            "no Terminate",
            "The client ended the session without telling the service, so the last turn has "
            "no final result and the service keeps waiting.",
            f"no Termination; {left}",
            "Tell the service after the last chunk, and wait for its last message, as "
            "rtkit.stream does.",
        )
        return
    closed = next((event.at for event in session.events if event.name == "closed"), None)
    if closed is not None and closed - session.terminated < PATIENCE:
        yield Mistake(
            "closed too soon",
            "The client closed the connection without waiting for the service's last message, "
            "so its last results are lost.",
            f"closed {(closed - session.terminated) * 1000:.0f} ms after the client asked to "
            f"end the session; "
            f"{left}",
            "Wait for the service's last message, then close.",
        )


def _left_open(session: Session) -> str:
    """What is known of a turn that never ended."""
    turns = [reply for _, reply in session.replies if isinstance(reply, Turn)]
    words = 0 if not turns or turns[-1].end_of_turn else len(turns[-1].words)
    if not words:
        return "no open turn was seen"
    return f"the last turn was still open, with {counted(words, 'word')} so far"


def _left_unended(session: Session) -> Iterator[Mistake]:
    """Turns without a final, but for the last one of a session that had no proper end."""
    turns = heard_turns(session)
    left = never_ended(session)
    if not any(isinstance(reply, Termination) for _, reply in session.replies):
        left = tuple(turn for turn in left if turn is not turns[-1])
    if left:
        words = sum(len(turn.states[-1][1].words) for turn in left)
        numbers = ", ".join(str(turn.order) for turn in left[:5]) + ", ..." * (len(left) > 5)
        yield Mistake(
            "turn never ended",
            "The service began a turn and never sent its final result, so its words are "
            "missing from the transcript, and it has no turn latency.",
            f"{len(left)} of {counted(len(turns), 'turn')} (number {numbers}), with "
            f"{counted(words, 'word')}",
            "Read until Termination, and store turns by their number. If the final result "
            "never came, check session.messages and ask the vendor.",
        )


def _counted_twice(session: Session, transcript: str) -> Iterator[Mistake]:
    finals = [reply for _, reply in session.replies if isinstance(reply, Turn)]
    finals = [reply for reply in finals if reply.end_of_turn and reply.transcript]
    every = sum(len(reply.transcript.split()) for reply in finals)
    once, own = len(session.transcript.split()), len(transcript.split())
    if every > once and own == every:
        yield Mistake(
            "counted twice",
            "The formatted final result of a turn replaces the unformatted one, but both were "
            "counted.",
            f"{counted(own, 'word')} for {once} that were spoken; "
            f"{counted(len(finals), 'final')} of {counted(len(session.turns), 'turn')}",
            "Store turns by their number and let a later message replace an earlier one, as "
            "session.turns does.",
        )
