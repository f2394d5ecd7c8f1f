"""What holds for every session, whatever its clip, chunks, pacing, sender, network and service."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facts import unstamped
from hypothesis import given, settings
from hypothesis import strategies as some

from rtkit.analysis.timing.latency import Latency, first_word_latency, turn_latency, word_latency
from rtkit.audio import silence
from rtkit.experiments.simulate import simulate
from rtkit.pacing import (
    PACINGS,
    choose_pacing,
    chunk_edges,
    due_times,
    whole_samples,
)
from rtkit.recording import load_session
from rtkit.reference import Reference, SpokenTurn, SpokenWord
from rtkit.services.service import Limits
from rtkit.session import Session

settings.register_profile("rtkit", derandomize=True, database=None, deadline=None)
settings.load_profile("rtkit")

EXACT = 1e-9
MIN_CHUNK, MAX_CHUNK = 0.05, 1.0
LIMITS = Limits(min_chunk=MIN_CHUNK, max_chunk=MAX_CHUNK)

rates = some.integers(8000, 96000)
chunks = some.floats(MIN_CHUNK, MAX_CHUNK)
phases = some.sampled_from(["end", "start"])
jitters = some.floats(0, 0.2)


@some.composite
def scripts(draw: some.DrawFn, *, longest: float = 3.0) -> Reference:
    """Turns of words with pauses between them, ending with or without a full stop."""
    turns, now = [], 0.0
    for _ in range(draw(some.integers(0, 3))):
        words = []
        for number in range(draw(some.integers(1, 4))):
            start = now + draw(some.floats(0, 0.3))
            now = start + draw(some.floats(0.01, 0.5))
            words.append(SpokenWord(f"word{number}", start, now))
        words[-1] = replace(words[-1], text=words[-1].text + draw(some.sampled_from([".", ""])))
        text = " ".join(word.text for word in words)
        turns.append(SpokenTurn(words[0].start, now, text, tuple(words)))
        now += draw(some.floats(0, 1.5))
    return Reference(tuple(turns)).excerpt(0, longest)


@dataclass(frozen=True)
class Sender:
    """A sender's models, and the pacing."""

    chunk: float
    rate: int
    phase: str
    work: float
    work_spread: float
    wake: float
    wake_spread: float
    seed: int
    more: dict[str, Any] = field(default_factory=dict)

    def send(self, pacing: str, script: Reference, seconds: float = 3.0) -> Session:
        options = {
            name: value for name, value in vars(self).items() if name not in ("rate", "more")
        }
        clip = replace(silence(seconds, rate=self.rate), reference=script)
        return simulate(clip, pacing=pacing, **options, **self.more)


senders = some.builds(
    Sender,
    chunk=chunks,
    rate=some.sampled_from([8000, 11025, 16000, 22050]) | some.integers(8000, 24000),
    phase=phases,
    work=some.floats(0, 0.15),
    work_spread=jitters,
    wake=some.floats(0, 0.01),
    wake_spread=some.floats(0, 0.01),
    seed=some.integers(0, 1000),
)
others = some.fixed_dictionaries(
    {
        "network": some.floats(0, 0.1),
        "network_spread": jitters,
        "delay": some.floats(0, 0.3),
        "delay_spread": jitters,
        "blocks": some.lists(some.tuples(some.floats(0, 4), some.floats(0, 0.7)), max_size=2),
    }
)
pacings = some.sampled_from(PACINGS)


# The arithmetic.


@given(rate=rates, chunk=chunks, samples=some.integers(1, 300_000))
def test_edges_cut_the_clip_into_chunks_that_the_service_takes(
    rate: int, chunk: float, samples: int
) -> None:
    edges = chunk_edges(samples, rate, chunk, LIMITS)
    lengths = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, samples)
    assert lengths.min() > 0
    assert lengths.max() <= math.ceil(MAX_CHUNK * rate)
    assert lengths.min() >= min(samples, whole_samples(MIN_CHUNK, rate))
    assert set(lengths[:-2]) <= {whole_samples(chunk, rate)}
    assert lengths[0] >= min(samples, whole_samples(chunk, rate)) or len(lengths) == 2


@given(rate=rates, chunk=chunks, samples=some.integers(1, 300_000))
def test_due_times_are_the_edges_to_the_sample(rate: int, chunk: float, samples: int) -> None:
    edges = chunk_edges(samples, rate, chunk, LIMITS)
    ends, starts = (due_times(edges, rate, phase) for phase in ("end", "start"))
    assert [due * rate for due in ends] == pytest.approx(edges[1:].tolist(), abs=1e-6)
    assert ends.tolist() == [edge / rate for edge in edges[1:].tolist()]
    assert starts.tolist() == [0.0, *ends[:-1].tolist()]


instants = some.floats(-10, 20_000)


@given(
    pacing=pacings,
    catch_up=some.none() | some.floats(1.01, 100),
    now=instants,
    later=some.floats(0, 1000),
    due=instants,
    gap=some.floats(0, 1),
    ago=some.floats(0, 10),
)
def test_a_pacing_never_sends_earlier_for_being_asked_later(
    pacing: str,
    catch_up: float | None,
    now: float,
    later: float,
    due: float,
    gap: float,
    ago: float,
) -> None:
    pace = choose_pacing(pacing, catch_up=catch_up if pacing == "wall_clock" else None)
    when = pace(now, due, due - gap, now - ago)
    assert pace(now + later, due, due - gap, now - ago) >= when
    if pacing == "wall_clock":
        assert when >= due
    else:
        assert when >= now


# Sessions.


def assert_parts_add_up(latency: Latency) -> None:
    senders = latency.lateness + latency.queue_wait
    parts = latency.chunk_wait + latency.endpoint_wait + senders + latency.service_time
    np.testing.assert_allclose(parts, latency.received - latency.end, rtol=0, atol=EXACT)


@given(sender=senders, more=others, pacing=pacings, script=scripts())
@settings(max_examples=100)
def test_the_parts_of_every_word_and_turn_add_up(
    sender: Sender, more: dict[str, Any], pacing: str, script: Reference
) -> None:
    session = replace(sender, more=more).send(pacing, script)
    words, turns = word_latency(session), turn_latency(session)
    assert len(words) == len(script.words)
    assert len(turns) >= bool(script.words)
    least = 2 * more["network"] + more["delay"] - EXACT  # no answer before the audio was heard
    assert min([*words.service_time, *turns.service_time], default=least) >= least
    if sender.phase == "end":
        # A word that ends with its chunk may lie in it by half a sample of grace.
        assert min(words.chunk_wait, default=0) >= -0.5 / sender.rate - EXACT
    for latency in words, turns, first_word_latency(session), turn_latency(unstamped(session)):
        assert_parts_add_up(latency)


@given(sender=senders, script=scripts())
@settings(max_examples=30)
def test_the_wall_clock_never_sends_early_and_lateness_never_accumulates(
    sender: Sender, script: Reference
) -> None:
    """A chunk is as late as it is woken, or as the one before it and its work leave no time for."""
    session = sender.send("wall_clock", script)
    woken, worked = sender.wake + sender.wake_spread, sender.work + sender.work_spread
    late, gaps = session.lateness, np.diff(session.due)
    assert late.min() >= 0
    assert late[0] <= woken + EXACT
    assert (late[1:] <= np.maximum(woken, late[:-1] + worked - gaps) + EXACT).all()
    if woken + worked <= min(gaps, default=math.inf):
        assert late.max() <= woken + EXACT


@given(sender=senders, rate=some.floats(1.05, 10))
@settings(max_examples=30)
def test_catching_up_keeps_its_bound_and_is_never_faster_than_without(
    sender: Sender, rate: float
) -> None:
    blocked = replace(sender, more={"blocks": [(1.0, 0.7)]})
    bounded = replace(sender, more={"blocks": [(1.0, 0.7)], "catch_up": rate})
    free, slow = (one.send("wall_clock", Reference(())) for one in (blocked, bounded))
    assert (np.diff(slow.sent) >= np.diff(slow.due) / rate - EXACT).all()
    if not (sender.work_spread or sender.wake_spread):
        assert (slow.sent >= free.sent - EXACT).all()


@given(sender=senders, script=scripts())
@settings(max_examples=30)
def test_naive_pacing_is_later_with_every_chunk_by_its_work_and_waking(
    sender: Sender, script: Reference
) -> None:
    late = sender.send("fixed_sleep", script).lateness
    least, jitter = sender.work + sender.wake, sender.work_spread + sender.wake_spread
    waits = sender.phase == "end"  # or else chunk 0 is due at once, and nobody is woken for it
    assert waits * sender.wake - EXACT <= late[0]
    assert late[0] <= waits * (sender.wake + sender.wake_spread) + EXACT
    steps = np.diff(late)
    assert min(steps, default=least) >= least - EXACT
    assert max(steps, default=least) <= least + jitter + EXACT


@given(sender=senders, more=others, pacing=pacings, script=scripts())
@settings(max_examples=30)
def test_a_saved_session_is_loaded_as_it_was(
    sender: Sender, more: dict[str, Any], pacing: str, script: Reference
) -> None:
    session = replace(sender, more=more).send(pacing, script, 1.0)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_session(session.save(Path(folder) / "session.jsonl"))
    assert loaded == session
    assert loaded.replies == session.replies
    assert loaded.lateness.tolist() == session.lateness.tolist()
