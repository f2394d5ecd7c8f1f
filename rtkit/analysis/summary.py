"""The metrics that matter, a column a session."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rtkit.analysis.latency import (
    drift,
    first_word_latency,
    jitter,
    quantiles,
    senders_share,
    turn_latency,
    word_latency,
)
from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.validity import validity
from rtkit.markup import Table
from rtkit.session import Session

__all__ = ["summarize"]


def summarize(sessions: Sessions) -> Table:
    """The figures that matter, a column a session.

    Lateness, drift and jitter are the sender's; latency is what a person waits, on the due axis;
    service time is what the service took, on the sent axis. Below stand the sessions whose figures
    say nothing of the service, with the reason and the cure.
    """
    by_name = named(sessions)
    return Table(
        tuple(by_name),
        tuple(
            (name, tuple(float(figure(session)) for session in by_name.values()), form)
            for name, figure, form in _FIGURES
        ),
        tuple(note for name, session in by_name.items() for note in _notes(name, session)),
    )


def _last_lateness(session: Session) -> float:
    return session.lateness[-1] * 1000 if session.chunks else math.nan


def _quantile(
    measure: Callable[[Session], Any], part: str, quantile: str
) -> Callable[[Session], float]:
    return lambda session: getattr(measure(session).quantiles(part), quantile) * 1000


def _of_words(
    measure: Callable[[Session], Any], part: str, quantile: str
) -> Callable[[Session], float]:
    """NaN where the service only marks speech: a stretch of speech is no word."""
    figure = _quantile(measure, part, quantile)
    return lambda session: math.nan if _marks_speech(session) else figure(session)


def _marks_speech(session: Session) -> bool:
    return session.settings.service.get("engine") == "energy"


def _notes(name: str, session: Session) -> Iterator[str]:
    """What a reader must know before using a session's figures."""
    for problem in validity(session).problems:
        yield f"{name} is not valid: {problem.found}. {problem.fix}"
    if _marks_speech(session):
        yield (
            f"{name}: the service only marks speech, so there are no words to measure. "
            "Loopback(engine='recognizer') hears words; a reference beside the recording has them "
            "spoken."
        )
    latency = turn_latency(session)
    if len(latency) and not latency.decided.all():
        yield (
            f"{name}: the service does not say which audio decided a turn; endpoint wait and "
            "service time are only known together."
        )
    words = 0 if session.reference is None else len(session.reference.words)
    if words and not _marks_speech(session):
        matched = len(word_latency(session))
        if matched < words:
            yield f"{name}: {matched} of the reference's {words} words were heard and are counted."
    calibration = session.settings.calibration
    if calibration is not None:
        error = calibration["error"]
        yield (
            f"{name}: service times hold {error['p50'] * 1000:.1f} ms of the way there and back "
            f"in the median, {error['p99'] * 1000:.1f} ms at p99 (calibrated)."
        )


_FIGURES: Sequence[tuple[str, Callable[[Session], float], str]] = (
    ("chunks sent", lambda s: len(s.chunks), "d"),
    ("last chunk late by, ms", _last_lateness, ".1f"),
    ("drift, ms per s of audio", lambda s: drift(s) * 1000, ".2f"),
    ("lateness p50, ms", lambda s: quantiles(s.lateness).p50 * 1000, ".1f"),
    ("lateness p99, ms", lambda s: quantiles(s.lateness).p99 * 1000, ".1f"),
    ("lateness max, ms", lambda s: quantiles(s.lateness).max * 1000, ".1f"),
    ("jitter p99, ms", lambda s: quantiles(jitter(s)).p99 * 1000, ".1f"),
    ("turns counted", lambda s: int(turn_latency(s).counted.sum()), "d"),
    ("turn latency p50, ms", _quantile(turn_latency, "latency", "p50"), ".0f"),
    ("turn latency p95, ms", _quantile(turn_latency, "latency", "p95"), ".0f"),
    ("turn service time p50, ms", _quantile(turn_latency, "service_time", "p50"), ".0f"),
    ("turn service time p95, ms", _quantile(turn_latency, "service_time", "p95"), ".0f"),
    (
        "turn endpoint wait + service time p50, ms",
        _quantile(turn_latency, "since_sent", "p50"),
        ".0f",
    ),
    ("word latency p50, ms", _of_words(word_latency, "latency", "p50"), ".0f"),
    ("word latency p95, ms", _of_words(word_latency, "latency", "p95"), ".0f"),
    ("word service time p50, ms", _of_words(word_latency, "service_time", "p50"), ".0f"),
    ("first-word latency p50, ms", _of_words(first_word_latency, "latency", "p50"), ".0f"),
    ("turn latency made by the sender, %", lambda s: senders_share(turn_latency(s)) * 100, ".0f"),
    ("loop stalls", lambda s: len(s.stalls), "d"),
)
