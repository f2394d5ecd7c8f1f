"""Which chunk decided, and what the sender made: lateness, and the queue behind its bursts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from facts import call, session, turn, unstamped

from rtkit.analysis.statistics.worst import worst_cases
from rtkit.analysis.summary import summarize
from rtkit.analysis.timing.attribution import hearing_speed
from rtkit.analysis.timing.latency import (
    Latency,
    senders_share,
    senders_share_bounds,
    turn_latency,
    word_latency,
)
from rtkit.session import Session

STALL = {"blocks": [(2.0, 1.0)]}  # a second, before the first turn of the call ends


def of_service(one: Session, **described: Any) -> Session:
    """The same session at a service that says this of itself."""
    return replace(one, settings=replace(one.settings, service=described))


def both(one: Session) -> tuple[Latency, Latency]:
    return word_latency(one, unmatched=True), turn_latency(one)


def sums(latency: Latency) -> np.ndarray:
    return np.asarray(
        latency.chunk_wait
        + latency.endpoint_wait
        + latency.lateness
        + latency.queue_wait
        + latency.service_time
    )


def test_a_queue_that_a_burst_made_is_the_senders() -> None:
    """The service takes 150 ms for every word and turn, whatever the sender does before."""
    one = call(25, **STALL)
    for latency in both(one):
        assert latency.service_time == pytest.approx(0.15)
        assert sums(latency) == pytest.approx(latency.latency)
        assert latency.counted[:-1].all()
    first = turn_latency(one)
    late = first.lateness + first.queue_wait
    assert first.lateness[0] == pytest.approx(0)  # the chunk that decided left when it was due
    assert first.queue_wait[0] > 0.3
    assert senders_share(first) == pytest.approx(late[:-1].sum() / first.latency[:-1].sum())
    assert (both(one)[0].queue_wait == 0).any()  # it is empty again


@pytest.mark.parametrize("how", [{}, {"catch_up": 1.25}, {"pacing": "fixed_sleep", "work": 0.01}])
def test_without_a_burst_there_is_no_queue(how: dict[str, Any]) -> None:
    for latency in both(call(25, **STALL, **how) if how else call(25)):
        assert latency.queue_wait.tolist() == [0.0] * len(latency)
        assert latency.service_time[latency.counted] == pytest.approx(0.15)


def test_of_audio_that_was_not_paced_the_queue_is_the_senders() -> None:
    for latency in both(call(25, pacing="unpaced")):
        assert latency.service_time == pytest.approx(0.15)
        assert sums(latency) == pytest.approx(latency.latency)


@pytest.mark.parametrize("speed", [1.0, 2.0, 1000.0])
def test_the_queue_is_as_long_as_the_service_is_slow(speed: float) -> None:
    one = call(25, max_speed=speed, **STALL)
    for latency in both(one):
        assert latency.service_time == pytest.approx(0.15)
    longest = word_latency(one).queue_wait.max()
    assert longest == pytest.approx(1.0 / speed, abs=0.15)


def test_a_service_that_hears_too_slowly_has_a_queue_of_its_own() -> None:
    """What the sender made is by how much its own lateness and bursts moved the hearing."""
    punctual, stalled = call(10, max_speed=0.8), call(10, max_speed=0.8, **STALL)
    for latency in both(punctual):
        assert latency.queue_wait == pytest.approx(0)
        assert latency.service_time.max() > 1.0
    for ours, theirs in zip(both(punctual), both(stalled), strict=True):
        assert sums(theirs) == pytest.approx(theirs.latency)
        made = theirs.lateness + theirs.queue_wait
        seen_late = np.isclose(theirs.received, 3.0)  # with the end of the stall
        assert made[~seen_late] == pytest.approx((theirs.latency - ours.latency)[~seen_late])


def heard_one_by_one(sent: Sequence[float], seconds: Sequence[float], speed: float) -> list[float]:
    """When each chunk is heard, as the service does it."""
    heard, at = [], -np.inf
    for when, lasts in zip(sent, seconds, strict=True):
        at = max(when, at + lasts / speed)
        heard.append(at)
    return heard


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.25, 3.0])
def test_the_queue_is_that_of_chunks_that_are_heard_one_by_one(speed: float) -> None:
    generator = np.random.default_rng(1)
    lateness = np.maximum.accumulate(generator.exponential(0.3, 300) - np.arange(300) * 0.1)
    lateness = np.maximum(lateness, 0.0)
    lateness[generator.random(300) < 0.05] += 0.4
    due = np.arange(1, 301) / 10
    sent = np.maximum.accumulate(due + lateness)
    words = [(f"w{i}", i / 10 + 0.01, i / 10 + 0.1) for i in range(300)]
    messages = [turn(99.0 + i, (*word, True), order=i) for i, word in enumerate(words)]
    one = session(list(sent - due), *messages, service={"max_speed": speed})
    seconds = [0.1] * 300
    expected = np.array(heard_one_by_one(sent.tolist(), seconds, speed)) - sent
    expected -= np.array(heard_one_by_one(due.tolist(), seconds, speed)) - due
    assert word_latency(one).queue_wait == pytest.approx(expected, abs=1e-8)


# Where the service does not say how fast it hears.


def test_results_behind_a_burst_are_disturbed_until_the_queue_must_be_empty() -> None:
    known = call(25, **STALL)
    unknown = of_service(known, name="somebody's")
    assert hearing_speed(unknown) is None
    for one, other in zip(both(known), both(unknown), strict=True):
        queued = (one.queue_wait > 0.01) & (one.excluded == "")
        assert queued.any()
        assert (other.excluded == "disturbed").tolist() == queued.tolist()
        assert other.queue_wait.tolist() == [0.0] * len(other)
        assert sums(other) == pytest.approx(other.latency)
        assert other.quantiles("service_time").max == pytest.approx(0.15, abs=0.011)


@pytest.mark.parametrize("told", [None, "fast", True, 0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_is_none_is_not_known(told: object) -> None:
    assert hearing_speed(of_service(call(3), max_speed=told)) is None
    assert hearing_speed(of_service(call(3), max_speed=2)) == 2.0


@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep"])
def test_a_session_without_bursts_is_not_disturbed(pacing: str) -> None:
    for latency in both(of_service(call(25, pacing=pacing, work=0.01))):
        assert "disturbed" not in latency.excluded


# Where the service does not say what decided.


def test_what_is_not_known_lies_within_its_bounds() -> None:
    known = call(25, **STALL)
    truth, found = turn_latency(known), turn_latency(unstamped(known))
    assert found.half_width.max() > 0.1
    for part in ("lateness", "queue_wait", "since_sent"):
        low, high = found.bounds(part)
        assert (low <= getattr(truth, part) + 1e-9).all()
        assert (getattr(truth, part) <= high + 1e-9).all()
    assert sums(found) == pytest.approx(found.latency)
    counted = found.counted & truth.counted
    assert counted.sum() == truth.counted.sum()
    least, most = senders_share_bounds(found)
    assert least < senders_share(truth) < most


# Where it is told.


def told(one: Session) -> list[str]:
    return [note for note in summarize({"a": one}).notes if "catch_up" in note]


def test_how_long_and_how_many_is_said_and_what_to_do() -> None:
    known = call(25, **STALL)
    (queue,) = told(known)
    assert "the service processes 1.25 s of audio per second" in queue
    longest = max(float(one.queue_wait[one.counted].max()) for one in both(known))
    assert f"waited up to {longest * 1000:.0f} ms" in queue
    assert "catch_up=1.25" in queue
    unknown = of_service(known)
    words, turns = word_latency(unknown), turn_latency(unknown)
    of_words, of_turns = ((one.excluded == "disturbed").sum() for one in (words, turns))
    (disturbed,) = told(unknown)
    assert f"{of_turns} of {len(turns)} turns and {of_words} of {len(words)} words" in disturbed
    assert "catch_up=1.25" in disturbed
    assert told(call(25)) == told(of_service(call(25))) == []
    assert told(call(25, pacing="unpaced")) == []
    assert any("caused by the sender" in one for one in summarize(call(9, pacing="unpaced")).notes)


def test_the_worst_cases_name_the_queue_where_there_was_one() -> None:
    assert "queue wait" in str(worst_cases(call(25, **STALL)))
    assert "queue wait" not in str(worst_cases(call(25)))
