"""The main metrics, one column per session, with notes on using them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rtkit.analysis.checks.result_mistakes import void_metrics
from rtkit.analysis.checks.validity import validity
from rtkit.analysis.metrics import METRICS
from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.analysis.timing.attribution import SLOWEST, hearing_speed
from rtkit.analysis.timing.latency import senders_share_bounds, turn_latency, word_latency
from rtkit.analysis.timing.turns import never_ended
from rtkit.boundary.text import counted
from rtkit.markup import Table
from rtkit.session import Session

__all__ = ["Note", "notes", "summarize"]

QUEUED = 0.001  # seconds in a queue that are worth a word


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader must know before using the metrics of the session of a name.

    Its `kind` is ``"not valid"``, ``"marks speech"``, ``"phase"``, ``"undecided"``, ``"stated"``,
    ``"not counted"``, ``"never ended"``, ``"queue wait"``, ``"disturbed"``, ``"no partials"``,
    ``"cadence"``, ``"drifting times"``, ``"missed words"`` or ``"calibrated"``.
    """

    kind: str
    session: str
    text: str

    def __str__(self) -> str:
        return f"{self.session}{' is not valid' if self.kind == 'not valid' else ''}: {self.text}"


def summarize(sessions: Sessions) -> Table:
    """The main metrics, one column per session.

    Lateness, drift and jitter are caused by the sender. Latency is how long a person waits,
    measured from when audio was due; service time is how long the service took, measured from when
    audio was sent. Sessions whose metrics say nothing about the service are listed below the table,
    with the reason and the fix.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them

    Returns
    -------
    Table
        Prints as text, and as a table in a notebook.
    """
    by_name = named(sessions)
    exact = not any(turn_latency(session).half_width.any() for session in by_name.values())
    return Table(
        tuple(by_name),
        tuple(
            (one.heading, tuple(map(one.shown, by_name.values())), one.unit.form)
            for one in METRICS
            if not (one.bound and exact)
            and not (one.rare and all(math.isnan(one.value(s)) for s in by_name.values()))
        ),
        tuple(map(str, notes(by_name))),
    )


def notes(sessions: Mapping[str, Session]) -> Iterator[Note]:
    """What a reader must know before using the metrics of some sessions."""
    for name, session in sessions.items():
        for kind, text in _known_of(session):
            yield Note(kind, name, text)


def _known_of(session: Session) -> Iterator[tuple[str, str]]:
    for problem in validity(session).problems:
        yield "not valid", f"{problem.found}. {problem.fix}"
    if session.settings.marks_speech:
        yield (
            "marks speech",
            "the service only marks speech, so there are no words to measure. "
            "Loopback(engine='recognizer') hears words; a reference beside the recording has them "
            "spoken.",
        )
    if session.settings.phase == "start":
        yield (
            "phase",
            f"phase='start': each chunk was due before it had been spoken, so every latency is "
            f"{session.settings.chunk * 1000:g} ms better than live audio can have.",
        )
    yield from _of_turns(session)
    yield from _of_bursts(session)
    for one in void_metrics(session):
        yield one.name, f"{one.evidence}. {one.sentence} {one.fix}"
    words = 0 if session.reference is None else len(session.reference.words)
    matched = int(word_latency(session).counted.sum())
    if matched < words and not session.settings.marks_speech:
        yield (
            "missed words",
            f"{matched} of the reference's "
            f"{counted(words, 'word was', 'words were')} recognized and counted.",
        )
    if session.settings.calibration is not None:
        error = session.settings.calibration["error"]
        yield (
            "calibrated",
            f"service times include {error['p50'] * 1000:.1f} ms of round trip in the median"
            f", {error['max'] * 1000:.1f} ms at most (calibrated).",
        )


_EXCLUDED = {
    "unmatched": "with nothing spoken that matches",
    "ambiguous": "where a missed word may or may not be the end",
    "early": "with a result before the last word was sent",
}


def _of_turns(session: Session) -> Iterator[tuple[str, str]]:
    latency = turn_latency(session)
    turns = len(latency)
    for known, kind, told in (
        ("bounded", "undecided", "the service does not say which audio decided a turn"),
        (
            "stated",
            "stated",
            "the service states how much audio it had processed at the end of a turn",
        ),
    ):
        here = latency.counted & (latency.known == known)
        if not here.any():
            continue
        low, high = (f"{share * 100:.0f}" for share in senders_share_bounds(latency))
        share = low if low == high else f"{low} to {high}"
        found = quantiles(latency.half_width[here])
        together = "endpoint wait and service time are known only as a sum"
        parts = f"; {together}, and they and lateness" if known == "bounded" else "; lateness"
        yield (
            kind,
            f"{told} ({int(here.sum())} of {turns}){parts} to ±{found.p50 * 1000:.1f} ms in the "
            f"median, ±{found.max * 1000:.1f} ms at most; the sender caused {share}% of the "
            f"latency.",
        )
    for excluded, why in _EXCLUDED.items():
        if count := int((latency.excluded == excluded).sum()):
            yield (
                "not counted",
                f"{count} of {counted(turns, 'turn')} {why}: shown, but not counted.",
            )
    if left := never_ended(session):
        numbers = ", ".join(str(turn.order) for turn in left[:5]) + ", ..." * (len(left) > 5)
        yield (
            "never ended",
            f"{len(left)} of the service's turns never ended (number {numbers}): their words "
            f"are not in the transcript; those that were final count in word latency.",
        )


def _of_bursts(session: Session) -> Iterator[tuple[str, str]]:
    """Notes on a sender that caught up faster than the service processes audio."""
    words, turns = word_latency(session), turn_latency(session)
    paced = session.settings.pacing != "unpaced"
    longest = max(float(one.queue_wait[one.counted].max(initial=0.0)) for one in (words, turns))
    if longest > QUEUED:
        speed = hearing_speed(session)
        yield (
            "queue wait",
            f"the service processes {speed:g} s of audio per second, and the sender sent "
            f"more: results waited up to {longest * 1000:.0f} ms in the queue, caused by the "
            f"sender." + f" With catch_up={speed:g}, none would." * paced,
        )
    of_turns, of_words = (int((one.excluded == "disturbed").sum()) for one in (turns, words))
    if of_turns or of_words:
        yield (
            "disturbed",
            f"{of_turns} of {counted(len(turns), 'turn')} and {of_words} of "
            f"{counted(len(words), 'word')} came "
            "behind a burst from the sender that the service may not have processed by then: "
            "shown, but not counted." + f" With catch_up={SLOWEST:g}, there would be none." * paced,
        )
