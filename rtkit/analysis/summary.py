"""The metrics that matter, a column a session, and what to know before using them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rtkit.analysis.latency import turn_latency, word_latency
from rtkit.analysis.metrics import METRICS, marks_speech
from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.validity import validity
from rtkit.markup import Table
from rtkit.session import Session

__all__ = ["Note", "notes", "summarize"]


@dataclass(frozen=True, slots=True)
class Note:
    """What a reader must know before using a session's metrics.

    Attributes
    ----------
    kind : str
        ``"not valid"``, ``"marks speech"``, ``"undecided"``, ``"missed words"`` or
        ``"calibrated"``.
    session : str
        Its name.
    text : str
        A sentence or two.
    """

    kind: str
    session: str
    text: str

    def __str__(self) -> str:
        return f"{self.session}{' is not valid' if self.kind == 'not valid' else ''}: {self.text}"


def summarize(sessions: Sessions) -> Table:
    """The metrics that matter, a column a session.

    Lateness, drift and jitter are the sender's; latency is what a person waits, on the due axis;
    service time is what the service took, on the sent axis. Below stand the sessions whose metrics
    say nothing of the service, with the reason and the fix.
    """
    by_name = named(sessions)
    return Table(
        tuple(by_name),
        tuple(
            (one.heading, tuple(map(one.shown, by_name.values())), one.unit.form) for one in METRICS
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
    if marks_speech(session):
        yield (
            "marks speech",
            "the service only marks speech, so there are no words to measure. "
            "Loopback(engine='recognizer') hears words; a reference beside the recording has them "
            "spoken.",
        )
    latency = turn_latency(session)
    if len(latency) and not latency.decided.all():
        yield (
            "undecided",
            "the service does not say which audio decided a turn; endpoint wait and service time "
            "are only known together.",
        )
    words = 0 if session.reference is None else len(session.reference.words)
    matched = len(word_latency(session))
    if matched < words and not marks_speech(session):
        yield (
            "missed words",
            f"{matched} of the reference's {words} words were heard and are counted.",
        )
    if session.settings.calibration is not None:
        error = session.settings.calibration["error"]
        yield (
            "calibrated",
            f"service times hold {error['p50'] * 1000:.1f} ms of the way there and back in the "
            f"median, {error['p99'] * 1000:.1f} ms at p99 (calibrated).",
        )
