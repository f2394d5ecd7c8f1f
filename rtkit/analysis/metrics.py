"""A session's metrics as data: what each is called, its unit, and its value.

Tables, columns, pages and figures take them from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rtkit.analysis.timing.attribution import confirmed_at
from rtkit.analysis.timing.latency import (
    Latency,
    first_word_latency,
    partial_latency,
    senders_share_bounds,
    turn_latency,
    word_latency,
)
from rtkit.analysis.timing.lateness import drift, jitter
from rtkit.analysis.timing.partials import (
    early_cut_offs,
    partial_intervals,
    partial_stability,
    taken_back,
)
from rtkit.session import Session

__all__ = ["METRICS", "Metric"]


class Unit(NamedTuple):
    """In which a value is printed: its name, how many of it the value's own is, and the format."""

    name: str
    times: float
    form: str


COUNT = Unit("", 1, "d")
MS = Unit("ms", 1000, ".0f")
TENTHS = Unit("ms", 1000, ".1f")
PER_SECOND = Unit("ms per s of audio", 1000, ".2f")
PERCENT = Unit("%", 100, ".0f")
RATIO = Unit("", 1, ".2f")
ROUNDED = 0.005  # a share that is written as 0%


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that a session has.

    Attributes
    ----------
    name : str
        As a column: ``"lateness_p99"``.
    title : str
        In words, without the unit.
    unit : Unit
        The unit for printing.
    value : callable
        Of a session: seconds, seconds per second, a share or a count. NaN if it was not measured.
    bound : bool
        Whether it says how well others are known; not worth a row where they are known exactly.
    rare : bool
        Whether few services let it be known; not worth a row where none does.
    """

    name: str
    title: str
    unit: Unit
    value: Callable[[Session], float]
    bound: bool = False
    rare: bool = False

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title}, {self.unit.name}" if self.unit.name else self.title

    def shown(self, session: Session) -> float:
        """The value in the unit in which it is printed."""
        return self.value(session) * self.unit.times


def _quantile(values: Callable[[Session], np.ndarray], at: float) -> Callable[[Session], float]:
    def value(session: Session) -> float:
        found = values(session)
        return float(np.quantile(found, at)) if len(found) else math.nan

    return value


def _mean(values: Callable[[Session], np.ndarray]) -> Callable[[Session], float]:
    def value(session: Session) -> float:
        found = values(session)
        return float(found.mean()) if len(found) else math.nan

    return value


def _lateness(at: float) -> Callable[[Session], float]:
    return _quantile(lambda session: session.lateness, at)


def _confirmed(at: float) -> Callable[[Session], float]:
    def values(session: Session) -> np.ndarray:
        after = confirmed_at(session) - session.sent
        return np.asarray(after[~np.isnan(after)])

    return _quantile(values, at)


def _turn(part: str, at: float) -> Callable[[Session], float]:
    return _quantile(lambda session: turn_latency(session).known_values(part), at)


def _word(
    part: str, at: float, measure: Callable[[Session], Latency] = word_latency
) -> Callable[[Session], float]:
    """Of words, and not of stretches of speech that a service marks."""

    def values(session: Session) -> np.ndarray:
        marks = session.settings.marks_speech
        return np.empty(0) if marks else measure(session).known_values(part)

    return _quantile(values, at)


def _share(choose: Callable[[tuple[float, float]], float]) -> Callable[[Session], float]:
    """The sender's. NaN, too, where audio left ahead of time: then nobody waited for the sender."""

    def value(session: Session) -> float:
        bounds = senders_share_bounds(turn_latency(session))
        return choose(bounds) if sum(bounds) / 2 > -ROUNDED else math.nan

    return value


METRICS: Sequence[Metric] = (
    Metric("chunks_sent", "chunks sent", COUNT, lambda s: len(s.chunks)),
    Metric("last_chunk_late_by", "lateness of the last chunk", TENTHS,
           lambda s: float(s.lateness[-1]) if s.chunks else math.nan),
    Metric("drift", "drift", PER_SECOND, drift),
    Metric("lateness_p50", "lateness p50", TENTHS, _lateness(0.5)),
    Metric("lateness_p99", "lateness p99", TENTHS, _lateness(0.99)),
    Metric("lateness_max", "lateness max", TENTHS, _lateness(1)),
    Metric("jitter_p99", "jitter p99", TENTHS, _quantile(jitter, 0.99)),
    Metric("turns_counted", "turns counted", COUNT, lambda s: int(turn_latency(s).counted.sum())),
    Metric("turn_latency_p50", "turn latency p50", MS, _turn("latency", 0.5)),
    Metric("turn_latency_p95", "turn latency p95", MS, _turn("latency", 0.95)),
    Metric("turn_service_time_p50", "turn service time p50", MS, _turn("service_time", 0.5)),
    Metric("turn_service_time_p95", "turn service time p95", MS, _turn("service_time", 0.95)),
    Metric("turn_endpoint_wait_service_time_p50", "turn endpoint wait + service time p50", MS,
           _turn("since_sent", 0.5)),
    Metric("turn_half_width_p50", "lateness of turns known to ±, p50", TENTHS,
           _turn("half_width", 0.5), bound=True),
    Metric("turn_half_width_max", "lateness of turns known to ±, max", TENTHS,
           _turn("half_width", 1), bound=True),
    Metric("confirmed_after_p50", "chunk confirmed after p50", TENTHS, _confirmed(0.5), rare=True),
    Metric("confirmed_after_p99", "chunk confirmed after p99", TENTHS, _confirmed(0.99), rare=True),
    Metric("turn_after_confirmation_p50", "turn service time after confirmation p50", MS,
           _turn("after_confirmation", 0.5), rare=True),
    Metric("word_after_confirmation_p50", "word service time after confirmation p50", MS,
           _word("after_confirmation", 0.5), rare=True),
    Metric("word_latency_p50", "word latency p50", MS, _word("latency", 0.5)),
    Metric("word_latency_p95", "word latency p95", MS, _word("latency", 0.95)),
    Metric("word_service_time_p50", "word service time p50", MS, _word("service_time", 0.5)),
    Metric("partial_latency_p50", "word first correct p50 (PR50)", MS,
           _word("latency", 0.5, partial_latency)),
    Metric("partial_latency_p90", "word first correct p90 (PR90)", MS,
           _word("latency", 0.9, partial_latency)),
    Metric("first_word_latency_p50", "first-word latency p50", MS,
           _word("latency", 0.5, first_word_latency)),
    Metric("unstable_partial_words", "partial words revised (UPWR)", PERCENT,
           lambda s: partial_stability(s).upwr, rare=True),
    Metric("normalized_erasure", "words erased per final word", RATIO,
           lambda s: partial_stability(s).erasure, rare=True),
    Metric("partial_interval_p50", "partial interval p50", MS, _quantile(partial_intervals, 0.5),
           rare=True),
    Metric("turns_cut_off_early", "turns cut off early", PERCENT, _mean(early_cut_offs), rare=True),
    Metric("eager_ends_taken_back", "eager turn ends taken back", PERCENT, _mean(taken_back),
           rare=True),
    Metric("turn_latency_made_by_the_sender", "turn latency caused by the sender", PERCENT,
           _share(lambda bounds: sum(bounds) / 2)),
    Metric("turn_latency_made_by_the_sender_low", "turn latency caused by the sender, at least",
           PERCENT, _share(min), bound=True),
    Metric("turn_latency_made_by_the_sender_high", "turn latency caused by the sender, at most",
           PERCENT, _share(max), bound=True),
    Metric("loop_stalls", "loop stalls", COUNT, lambda s: len(s.stalls)),
)  # fmt: skip
