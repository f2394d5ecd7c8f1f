"""A session's metrics as data: what each is called, its unit, and its value.

Tables, columns, pages and figures take them from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rtkit.analysis.latency import (
    Latency,
    drift,
    first_word_latency,
    jitter,
    partial_latency,
    quantiles,
    senders_share,
    senders_share_bounds,
    turn_latency,
    word_latency,
)
from rtkit.session import Session

__all__ = ["METRICS", "Metric"]


class Unit(NamedTuple):
    """In which a value is printed: its name, and how many of it the value's own is."""

    name: str
    times: float
    form: str


COUNT = Unit("", 1, "d")
MS = Unit("ms", 1000, ".0f")
TENTHS = Unit("ms", 1000, ".1f")
PER_SECOND = Unit("ms per s of audio", 1000, ".2f")
PERCENT = Unit("%", 100, ".0f")
ROUNDED = 0.005  # a share that is written as 0 %


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
        In which it is printed.
    value : callable
        Of a session: seconds, seconds per second, a share or a count. NaN if it was not measured.
    bound : bool
        Whether it says how well others are known; not worth a row where they are known exactly.
    """

    name: str
    title: str
    unit: Unit
    value: Callable[[Session], float]
    bound: bool = False

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title}, {self.unit.name}" if self.unit.name else self.title

    def shown(self, session: Session) -> float:
        """The value in the unit in which it is printed."""
        return self.value(session) * self.unit.times


def _last_lateness(session: Session) -> float:
    return float(session.lateness[-1]) if session.chunks else math.nan


def _late(quantile: str) -> Callable[[Session], float]:
    return lambda session: getattr(quantiles(session.lateness), quantile)


def _turn(part: str, quantile: str) -> Callable[[Session], float]:
    return lambda session: getattr(turn_latency(session).quantiles(part), quantile)


def _word(
    part: str, quantile: str, measure: Callable[[Session], Latency] = word_latency
) -> Callable[[Session], float]:
    return lambda session: (
        math.nan
        if session.settings.marks_speech
        else getattr(measure(session).quantiles(part), quantile)
    )


def _partial(quantile: float) -> Callable[[Session], float]:
    def value(session: Session) -> float:
        latency = partial_latency(session)
        values = latency.latency[latency.counted]
        known = len(values) and not session.settings.marks_speech
        return float(np.quantile(values, quantile)) if known else math.nan

    return value


def _half_width(quantile: str) -> Callable[[Session], float]:
    def value(session: Session) -> float:
        latency = turn_latency(session)
        return float(getattr(quantiles(latency.half_width[latency.counted]), quantile))

    return value


def _share_bound(side: int) -> Callable[[Session], float]:
    def value(session: Session) -> float:
        known = not math.isnan(_senders_share(session))
        return senders_share_bounds(turn_latency(session))[side] if known else math.nan

    return value


def _senders_share(session: Session) -> float:
    """NaN, too, where audio left ahead of time: then nobody waited for the sender."""
    share = senders_share(turn_latency(session))
    return share if share > -ROUNDED else math.nan


METRICS: Sequence[Metric] = (
    Metric("chunks_sent", "chunks sent", COUNT, lambda s: len(s.chunks)),
    Metric("last_chunk_late_by", "last chunk late by", TENTHS, _last_lateness),
    Metric("drift", "drift", PER_SECOND, drift),
    Metric("lateness_p50", "lateness p50", TENTHS, _late("p50")),
    Metric("lateness_p99", "lateness p99", TENTHS, _late("p99")),
    Metric("lateness_max", "lateness max", TENTHS, _late("max")),
    Metric("jitter_p99", "jitter p99", TENTHS, lambda s: quantiles(jitter(s)).p99),
    Metric("turns_counted", "turns counted", COUNT, lambda s: int(turn_latency(s).counted.sum())),
    Metric("turn_latency_p50", "turn latency p50", MS, _turn("latency", "p50")),
    Metric("turn_latency_p95", "turn latency p95", MS, _turn("latency", "p95")),
    Metric("turn_service_time_p50", "turn service time p50", MS, _turn("service_time", "p50")),
    Metric("turn_service_time_p95", "turn service time p95", MS, _turn("service_time", "p95")),
    Metric(
        "turn_endpoint_wait_service_time_p50",
        "turn endpoint wait + service time p50",
        MS,
        _turn("since_sent", "p50"),
    ),
    Metric(
        "turn_half_width_p50", "lateness of turns known to ±, p50", TENTHS, _half_width("p50"), True
    ),
    Metric(
        "turn_half_width_max", "lateness of turns known to ±, max", TENTHS, _half_width("max"), True
    ),
    Metric("word_latency_p50", "word latency p50", MS, _word("latency", "p50")),
    Metric("word_latency_p95", "word latency p95", MS, _word("latency", "p95")),
    Metric("word_service_time_p50", "word service time p50", MS, _word("service_time", "p50")),
    Metric("partial_latency_p50", "word first right p50 (PR50)", MS, _partial(0.5)),
    Metric("partial_latency_p90", "word first right p90 (PR90)", MS, _partial(0.9)),
    Metric(
        "first_word_latency_p50",
        "first-word latency p50",
        MS,
        _word("latency", "p50", first_word_latency),
    ),
    Metric(
        "turn_latency_made_by_the_sender",
        "turn latency made by the sender",
        PERCENT,
        _senders_share,
    ),
    Metric(
        "turn_latency_made_by_the_sender_low",
        "turn latency made by the sender, at least",
        PERCENT,
        _share_bound(0),
        bound=True,
    ),
    Metric(
        "turn_latency_made_by_the_sender_high",
        "turn latency made by the sender, at most",
        PERCENT,
        _share_bound(1),
        bound=True,
    ),
    Metric("loop_stalls", "loop stalls", COUNT, lambda s: len(s.stalls)),
)
