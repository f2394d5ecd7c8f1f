"""What holds for every dialect: its double tells the truth, keys stay hidden, ends are explained.

One scripted session with a known delay gives the same figures, whoever's words carry it. A new
dialect adds a row to `RULES`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from conftest import simulate
from doubles import talk, unmarked
from facts import CALL

import rtkit
from rtkit.analysis.latency import Latency, turn_latency, word_latency
from rtkit.audio import open_clip
from rtkit.loopback.options import Options
from rtkit.services.messages import CAUSES
from rtkit.services.service import dialects, part_of, vendors
from rtkit.session import Session

# Half a second of silence ends a turn, by each one's own names.
RULES: dict[str, dict[str, Any]] = {
    "assemblyai": {"min_turn_silence": 500, "max_turn_silence": 500},
    "deepgram": {"endpointing": 500},
    "soniox": {"max_endpoint_delay_ms": 500},
    "speechmatics": {"conversation_config": {"end_of_utterance_silence_trigger": 0.5}},
    "deepgram.flux": {"eot_timeout_ms": 500, "eot_threshold": 0.9},
    "openai": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}},
    "openai.vllm": {},
}
ONE_TURN = ("openai.vllm",)  # until the session ends
PARTS = ("chunk_wait", "endpoint_wait", "lateness", "queue_wait", "service_time")
DELAY = 0.15
BY = pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep"])
EACH = pytest.mark.parametrize("dialect", RULES)


@cache
def session(dialect: str, pacing: str) -> Session:
    clip = open_clip(CALL, seconds=25)
    rules = RULES[dialect]
    how: dict[str, Any] = {"pacing": pacing, "work": 0.003, "delay": DELAY}
    return simulate(talk(clip, dialect, parameters=rules, **how))


def test_there_is_a_row_for_each() -> None:
    assert {name.partition(".")[0] for name in RULES} == set(dialects())


@BY
@EACH
def test_the_same_session_has_the_same_figures(dialect: str, pacing: str) -> None:
    one, other = session(dialect, pacing), session("assemblyai", pacing)
    assert one.complete
    assert rtkit.wer(one).rate == rtkit.wer(other).rate == 0
    words, turns = word_latency(one), turn_latency(one)
    assert len(words) > 50
    if dialect in ONE_TURN:
        assert turns.excluded.tolist() == ["terminated"]
        turns = turn_latency(other)
    assert turns.counted.sum() > 5
    for mine, theirs in ((words, word_latency(other)), (turns, turn_latency(other))):
        assert mine.excluded.tolist() == theirs.excluded.tolist()
        for what in ("end", "received", "latency", *PARTS):
            found, known = getattr(mine, what), getattr(theirs, what)
            assert found[mine.counted] == pytest.approx(known[mine.counted], abs=1e-3), what
    adds_up(words)
    adds_up(turns)
    assert turns.service_time[turns.counted] == pytest.approx(DELAY, abs=1e-3)


@BY
@pytest.mark.parametrize("dialect", [name for name in RULES if name not in ONE_TURN])
def test_without_a_stamp_the_parts_lie_within_their_bounds(dialect: str, pacing: str) -> None:
    """What a real service does not say is bounded; the bounds hold the truth of the stamp."""
    stamped = session(dialect, pacing)
    truth, found = turn_latency(stamped), turn_latency(unmarked(stamped))
    assert set(truth.known) == {"stamped"}
    assert not set(found.known) & {"stamped"}
    assert found.latency == pytest.approx(truth.latency, abs=1e-9)
    adds_up(found)
    sure = found.counted & truth.counted
    assert sure.sum() > 5
    within(truth, found, "lateness", sure)
    within(truth, found, "since_sent", sure)
    within(truth, found, "service_time", sure & found.decided)
    kept = found.service_time[sure & found.decided]
    assert pacing == "fixed_sleep" or kept == pytest.approx(np.full(len(kept), DELAY), abs=1e-3)


def within(truth: Latency, found: Latency, part: str, where: np.ndarray) -> None:
    low, high = found.bounds(part)
    true = getattr(truth, part)
    assert np.all((low - 1e-3 <= true)[where]), part
    assert np.all((true <= high + 1e-3)[where]), part


def adds_up(latency: Latency) -> None:
    parts = sum(getattr(latency, part) for part in PARTS)
    assert latency.latency == pytest.approx(parts, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("dialect", dialects())
def test_what_its_double_says_of_each_cause_is_explained(dialect: str) -> None:
    """By its words alone, and with its code, never as something unknown."""
    facts = {"received": "400.1", "took": "1.2", "seconds": "10"}
    for cause in CAUSES:
        refusal = part_of(dialect, "server").Server.refusal(cause, **facts)
        closure = rtkit.explain(refusal.code, refusal.text, dialect=dialect)
        assert closure.name not in ("unknown", "refused"), (cause, refusal)
        assert closure.fix.endswith("."), cause


@pytest.mark.parametrize("dialect", dialects())
def test_all_its_closures_have_a_cause_and_a_fix(dialect: str) -> None:
    for closure in rtkit.close_codes(dialect):
        assert closure.cause.endswith((".", ".)")), closure
        assert closure.fix.endswith("."), closure
        assert closure.evidence, closure


@pytest.mark.parametrize("dialect", RULES)
def test_the_embedded_service_speaks_it(dialect: str) -> None:
    assert Options(protocol=dialect).protocol == dialect
    vendor = vendors()[dialect.partition(".")[0]]
    assert vendor.NAME in dir(rtkit)
