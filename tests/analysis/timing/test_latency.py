"""How late, and whose lateness: exact numbers from sessions built by hand and in virtual time."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, spoken
from facts import call, converse, saying, session, turn, unstamped

from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.analysis.timing.latency import (
    Latency,
    first_word_latency,
    senders_share,
    senders_share_bounds,
    turn_latency,
    word_latency,
)
from rtkit.analysis.timing.lateness import drift, jitter
from rtkit.analysis.timing.turns import heard_words
from rtkit.services.messages import Turn
from rtkit.session import Chunk, Session

EXACT = 1e-9
TEN = [0.001 * i for i in range(10)]  # ten chunks of 100 ms, each 1 ms later than the last
PARTS = ("chunk_wait", "endpoint_wait", "lateness", "service_time")


def parts(latency: Latency, row: int = 0) -> list[float]:
    return [float(getattr(latency, part)[row]) for part in PARTS]


def exactly(*values: float) -> object:
    return pytest.approx(list(values), abs=EXACT)


def assert_sums(latency: Latency) -> None:
    total = sum(getattr(latency, part) for part in PARTS)
    np.testing.assert_allclose(total, latency.received - latency.end, rtol=0, atol=EXACT)
    np.testing.assert_array_equal(latency.latency, latency.received - latency.end)


# The parts.


@pytest.mark.parametrize(
    ("end", "received", "expected"),
    [
        pytest.param(0.05, 0.3, (0.05, 0, 0, 0.2), id="within the first chunk"),
        pytest.param(0.25, 0.4, (0.05, 0, 0.002, 0.098), id="within the third chunk"),
        pytest.param(0.1, 0.3, (0, 0, 0, 0.2), id="on a chunk's edge"),
        pytest.param(0.1 + 0.2, 0.4, (0, 0, 0.002, 0.098), id="on an edge, but for rounding"),
        pytest.param(0.3004, 0.5, (-0.0004, 0, 0.002, 0.198), id="half a sample of grace"),
        pytest.param(0.3006, 0.5, (0.0994, 0, 0.003, 0.097), id="past the grace"),
        pytest.param(1.0, 1.2, (0, 0, 0.009, 0.191), id="on the clip's end"),
        pytest.param(5.0, 1.2, (-4, 0, 0.009, 0.191), id="beyond the clip"),
        pytest.param(0.25, 0.2, (0.05, 0, 0.002, -0.102), id="guessed before it was sent"),
    ],
)
def test_a_words_latency_is_chunk_wait_and_lateness_and_service_time(
    end: float, received: float, expected: tuple[float, ...]
) -> None:
    found = word_latency(session(TEN, turn(received, ("so", 0.0, end), final=True)))
    assert parts(found) == exactly(*expected)
    assert found.latency == exactly(received - end)
    assert_sums(found)


@pytest.mark.parametrize(
    ("decided", "received", "expected"),
    [
        pytest.param(700, 0.9, (0.05, 0.4, 0.006, 0.194), id="by silence, four chunks on"),
        pytest.param(300, 0.9, (0.05, 0, 0.002, 0.598), id="by the word's own chunk"),
        pytest.param(301, 0.9, (0.05, 0.1, 0.003, 0.497), id="by the chunk after"),
        pytest.param(100, 0.9, (0.05, -0.2, 0, 0.8), id="before the word was heard"),
        pytest.param(700, 0.6, (0.05, 0.4, 0.006, -0.106), id="answered before it was sent"),
        pytest.param(5000, 1.1, (0.05, 0.7, 0.009, 0.091), id="by audio that was never sent"),
    ],
)
def test_a_turns_latency_splits_at_the_stamped_chunk(
    decided: int, received: float, expected: tuple[float, ...]
) -> None:
    final = turn(received, ("so", 0.0, 0.25), final=True, decided=decided)
    found = turn_latency(session(TEN, final))
    assert parts(found) == exactly(*expected)
    assert found.decided.tolist() == [True]
    assert_sums(found)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        pytest.param(0.9, (0.5, 0.002, 0.007), id="the ninth chunk left later, at 0.908"),
        pytest.param(0.807, (0.5, 0.002, 0.007), id="at the instant of a send"),
        pytest.param(9.0, (0.7, 0.002, 0.009), id="long after the last send"),
        pytest.param(0.31, (0, 0.002, 0.002), id="within the chunk that holds the end"),
        pytest.param(0.15, (-0.2, 0.0, 0.002), id="before the chunk that holds the end"),
        pytest.param(0.01, (-0.2, 0.0, 0.002), id="before the first send"),
    ],
)
def test_without_a_stamp_lateness_lies_between_those_of_the_chunks_that_may_have_decided(
    received: float, expected: tuple[float, float, float]
) -> None:
    endpoint_wait, least, most = expected
    final = turn(received, ("so", 0.0, 0.25), final=True, decided=400)
    found = turn_latency(unstamped(session(TEN, final)))
    late = (least + most) / 2
    assert parts(found) == exactly(0.05, endpoint_wait, late, received - 0.3 - endpoint_wait - late)
    assert found.half_width == exactly((most - least) / 2)
    assert [values[0] for values in found.bounds("lateness")] == exactly(least, most)
    since_sent = received - 0.3 - most, received - 0.3 - least
    assert [values[0] for values in found.bounds("since_sent")] == exactly(*since_sent)
    assert [values[0] for values in found.bounds("latency")] == exactly(*[received - 0.25] * 2)
    assert found.known.tolist() == ["bounded"]
    assert found.decided.tolist() == [False]
    assert_sums(found)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        pytest.param(0.65, (0.4, 0.002, 0.006), id="four chunks on"),
        pytest.param(0.7, (0.4, 0.002, 0.006), id="to a chunk's edge"),
        pytest.param(0.3, (0, 0.002, 0.002), id="the chunk that holds the end"),
        pytest.param(0.2, (-0.1, 0.001, 0.002), id="less than the end"),
        pytest.param(5.0, (0.5, 0.002, 0.007), id="more than had been sent"),
    ],
)
def test_what_a_service_states_that_it_had_heard_narrows_the_bounds(
    heard: float, expected: tuple[float, float, float]
) -> None:
    endpoint_wait, least, most = expected
    one = unstamped(session(TEN, turn(0.9, ("so", 0.0, 0.25), final=True)))
    found = turn_latency(saying(one, lambda turn: replace(turn, heard=heard)))
    late = (least + most) / 2
    assert parts(found) == exactly(0.05, endpoint_wait, late, 0.6 - endpoint_wait - late)
    assert found.half_width == exactly((most - least) / 2)
    assert found.known.tolist() == ["stated"]
    assert found.decided.tolist() == [True]
    assert found.quantiles("service_time").count == 1
    assert_sums(found)


def test_a_stall_between_the_end_and_the_final_widens_the_bounds_and_one_before_does_not() -> None:
    final = turn(0.95, ("so", 0.0, 0.25), final=True)
    stalled = [0.0] * 10
    stalled[4] = 0.09  # the worst is neither the first nor the last that may have decided
    found = turn_latency(session(stalled, final))
    assert found.half_width == exactly(0.045)
    assert [values[0] for values in found.bounds("lateness")] == exactly(0, 0.09)
    stalled[4], stalled[1] = 0.0, 0.09
    found = turn_latency(session(stalled, final))
    assert found.half_width == exactly(0)
    assert found.lateness == exactly(0)


def test_a_stamp_lies_within_the_bounds_of_the_same_session_without_one() -> None:
    chance = random.Random(3)
    for _ in range(50):
        late = np.maximum.accumulate([chance.uniform(0, 0.1) * i for i in range(10)]).tolist()
        end, decided = chance.uniform(0.1, 0.5), chance.randrange(500, 900)
        r = 0.1 * math.ceil(decided / 100) + late[math.ceil(decided / 100) - 1] + chance.random()
        one = session(late, turn(r, ("so", 0.0, end), final=True, decided=decided))
        stamped, bounded = turn_latency(one), turn_latency(unstamped(one))
        assert stamped.half_width == exactly(0)
        for part in ("lateness", "since_sent"):
            low, high = bounded.bounds(part)
            assert low - EXACT <= getattr(stamped, part) <= high + EXACT
        low_share, high_share = senders_share_bounds(bounded)
        assert low_share - EXACT <= senders_share(stamped) <= high_share + EXACT
        assert senders_share(bounded) == pytest.approx((low_share + high_share) / 2)
        assert senders_share_bounds(stamped) == exactly(*[senders_share(stamped)] * 2)


def test_the_quantiles_of_bounded_parts_lie_between_two_values() -> None:
    late = [0.0, 0.01, 0.02, 0.03, 0.04, 0.05]
    finals = [
        turn(0.35, ("a", 0.0, 0.1), order=0, final=True),  # chunks 0 to 2: 0 to 20 ms
        turn(0.95, ("b", 0.3, 0.4), order=1, final=True),  # chunks 3 to 5: 30 to 50 ms
    ]
    low, high = turn_latency(session(late, *finals)).quantile_bounds("lateness")
    assert (low.max, high.max, low.p50, high.p50) == pytest.approx((0.03, 0.05, 0.015, 0.035))


def test_a_stamp_counts_padding_as_audio() -> None:
    one = session([0.0, 0.0], turn(0.3, ("so", 0.0, 0.02), final=True, decided=50))
    short = (
        Chunk(0, 0, 30, 0.03, 0.04, 0.04, 100, padding=40),
        Chunk(1, 30, 130, 0.13, 0.13, 0.13, 200),
    )
    found = turn_latency(Session(one.settings, {}, "", 0.0, None, short, one.messages))
    assert parts(found) == exactly(0.01, 0, 0.01, 0.26)


@pytest.mark.parametrize("seed", range(20))
def test_parts_add_up_whatever_the_session(seed: int) -> None:
    chance = random.Random(seed)
    messages = []
    for order in range(20):
        words = [(f"w{i}", 0.0, chance.uniform(0, 4)) for i in range(chance.randint(1, 4))]
        stamp = chance.choice([None, chance.randrange(4000)])
        at = chance.uniform(-0.5, 5)
        messages += [
            turn(at, *words, order=order),
            turn(at + chance.random(), *words, order=order, final=True, decided=stamp),
        ]
    one = session([chance.uniform(-1, 1) for _ in range(30)], *messages)
    for found, count in (
        (word_latency(one), len(heard_words(one))),
        (first_word_latency(one), 20),
        (turn_latency(one), 20),
    ):
        assert len(found) == count
        assert_sums(found)


# Turns.


@pytest.mark.parametrize("stamped", [True, False])
def test_turns_that_terminate_ended_stay_out_of_quantiles(stamped: bool) -> None:
    one = session(
        TEN,
        turn(0.6, ("one", 0.0, 0.1), order=0, final=True, decided=500),
        turn(1.3, ("two", 0.8, 0.9), order=1, final=True, decided=1000, cause="terminate"),
        terminated=1.1,
    )
    found = turn_latency(one if stamped else unstamped(one))
    assert found.terminated.tolist() == [False, True]
    assert found.counted.tolist() == [True, False]
    assert found.latency == exactly(0.5, 0.4)
    assert found.quantiles().count == 1
    assert found.quantiles().max == pytest.approx(0.5)
    assert repr(found) == "<Latency of 2: 1 counted, p50 500 ms>"


def test_a_turn_decided_by_silence_counts_though_its_final_came_after_terminate() -> None:
    final = turn(1.3, ("one", 0.0, 0.1), final=True, decided=500)
    assert turn_latency(session(TEN, final, terminated=1.1)).terminated.tolist() == [False]
    unsaid = unstamped(session(TEN, final, terminated=1.1))
    assert turn_latency(unsaid).terminated.tolist() == [True]  # nobody can tell
    for terminated, expected in ((1.3, True), (1.31, False)):
        late = unstamped(session(TEN, final, terminated=terminated))
        assert turn_latency(late).terminated.tolist() == [expected]


def test_of_two_finals_the_caller_says_which_is_meant() -> None:
    one = session(
        TEN,
        turn(0.7, ("good", 0.0, 0.2), final=True, decided=600),
        turn(0.95, ("Good.", 0.0, 0.2), final=True, formatted=True, decided=600),
    )
    first, formatted = turn_latency(one), turn_latency(one, final="formatted")
    assert first.latency == exactly(0.5)
    assert formatted.latency == exactly(0.75)
    assert first.texts == formatted.texts == ("Good.",)
    assert len(word_latency(one)) == 1


def test_a_turn_that_never_ended_has_words_but_no_turn_latency() -> None:
    one = session(
        TEN,
        turn(0.3, ("one", 0.0, 0.1, True), ("tw", 0.1, 0.2), order=0),
        turn(0.7, ("three", 0.3, 0.4), order=1, final=True),
    )
    assert word_latency(one).texts == ("one", "three")
    assert word_latency(one).turn.tolist() == [0, 1]
    assert turn_latency(one).texts == ("three",)
    assert turn_latency(one).turn.tolist() == [1]


def test_a_word_may_be_final_before_the_one_ahead_of_it() -> None:
    one = session(TEN, turn(0.3, ("on", 0.0, 0.1), ("two", 0.1, 0.2, True)))
    assert word_latency(one).texts == ("two",)


# Words.


def test_a_revised_word_counts_from_the_first_message_with_its_final_normalized_text() -> None:
    one = session(
        TEN,
        turn(0.2, ("see", 0.0, 0.1)),
        turn(0.3, ("sea", 0.0, 0.1), ("side", 0.1, 0.2)),
        turn(0.8, ("Sea,", 0.0, 0.1), ("Side.", 0.1, 0.2), final=True, formatted=True),
    )
    assert [word.received for word in heard_words(one)] == [0.3, 0.3]
    assert word_latency(one).texts == ("Sea,", "Side.")


def test_the_first_word_is_answered_by_the_first_message_with_any_word() -> None:
    one = session(
        TEN,
        turn(0.15, order=0),
        turn(0.25, ("see", 0.0, 0.1), order=0),
        turn(0.35, ("sea", 0.0, 0.12), ("side", 0.15, 0.22), order=0, final=True),
        turn(0.75, ("yes", 0.5, 0.6), order=1, final=True),
    )
    found = first_word_latency(one)
    assert found.texts == ("sea", "yes")
    assert found.latency == exactly(0.25 - 0.12, 0.75 - 0.6)
    assert_sums(found)


# The reference.

SAID = [("Good", 0.0, 0.2), ("morning.", 0.2, 0.45), ("Good", 0.5, 0.7)]


def heard(*words: tuple[str, float, float]) -> Latency:
    return word_latency(session(TEN, turn(1.0, *words, final=True), reference=SAID))


def test_word_ends_come_from_the_reference() -> None:
    found = heard(("good", 0.0, 0.25), ("morning", 0.2, 0.5), ("good", 0.5, 0.75))
    assert found.end == exactly(0.2, 0.45, 0.7)
    assert found.referenced.all()


def test_misheard_words_have_no_known_end_and_are_left_out() -> None:
    found = heard(("good", 0.0, 0.2), ("mourning", 0.2, 0.5), ("good", 0.5, 0.7))
    assert found.texts == ("good", "good")
    assert found.end == exactly(0.2, 0.7)


def test_without_a_reference_the_services_times_count() -> None:
    found = word_latency(session(TEN, turn(1.0, ("good", 0.0, 0.25), final=True)))
    assert found.end == exactly(0.25)
    assert found.referenced.tolist() == [False]


# The sender.


@pytest.mark.parametrize(("slope", "offset"), [(0.03, 0.0), (0.03, 0.2), (0.0, 0.2), (-1.0, 0.0)])
def test_drift_is_the_slope_of_a_line_and_jitter_what_the_line_leaves(
    slope: float, offset: float
) -> None:
    due = 0.1 * np.arange(1, 102)
    one = session((offset + slope * due).tolist())
    assert drift(one) == pytest.approx(slope, abs=EXACT)
    assert jitter(one) == pytest.approx(np.zeros(101), abs=EXACT)


def test_jitter_is_each_chunks_distance_from_the_trend() -> None:
    # up and down by turns, alike on both sides of the middle: the trend is untouched
    wobble = np.tile([0.004, -0.004], 50)
    wobble[50:] = wobble[49::-1]
    one = session((0.02 * 0.1 * np.arange(100) + wobble).tolist())
    assert drift(one) == pytest.approx(0.02, abs=EXACT)
    assert jitter(one) == pytest.approx(np.full(100, 0.004), abs=EXACT)


def test_two_chunks_have_a_trend() -> None:
    assert drift(session([0.1, 0.102])) == pytest.approx(0.02, abs=EXACT)


@pytest.mark.parametrize("count", [40, 999, 1000, 1001, 5000])
@pytest.mark.parametrize("slope", [0.0, 0.05])
def test_a_stall_near_either_end_does_not_tilt_the_trend(count: int, slope: float) -> None:
    for stalled in (slice(1, count // 8), slice(-count // 8, None), slice(0, 1)):
        late = slope * 0.1 * np.arange(count)
        late[stalled] += 0.5
        assert drift(session(late.tolist())) == pytest.approx(slope, abs=0.002 + slope / 20)
    least_squares = np.polyfit(0.1 * np.arange(count), late, 1)[0]
    assert drift(session(late.tolist())) == pytest.approx(slope, abs=abs(least_squares - slope))


@pytest.mark.parametrize("lateness", [[], [0.3]])
def test_fewer_than_two_chunks_have_no_trend(lateness: list[float]) -> None:
    assert math.isnan(drift(session(lateness)))
    assert jitter(session(lateness)).tolist() == [0.0] * len(lateness)


def test_quantiles_are_interpolated() -> None:
    found = quantiles(np.arange(101.0)[::-1])
    assert (found.p50, found.p95, found.p99, found.max, found.count) == (50, 95, 99, 100, 101)


def test_quantiles_of_nothing_are_nan() -> None:
    found = quantiles(np.array([]))
    assert all(map(math.isnan, (found.p50, found.p95, found.p99, found.max)))
    assert found.count == 0


@pytest.mark.parametrize(
    ("late", "received", "share"),
    [
        pytest.param(0.1, 0.4, 0.5, id="half"),
        pytest.param(0.0, 0.4, 0.0, id="punctual"),
        pytest.param(-0.1, 0.4, -0.5, id="early"),
        pytest.param(-0.9, 0.1, math.nan, id="nobody waited"),
    ],
)
def test_the_senders_share_is_its_lateness_in_the_latency(
    late: float, received: float, share: float
) -> None:
    final = turn(received, ("so", 0.0, 0.2), final=True, decided=200)
    last = turn(9.0, ("no", 0.2, 0.3), order=1, final=True, decided=200, cause="terminate")
    found = turn_latency(session([late] * 3, final, last))
    assert senders_share(found) == pytest.approx(share, abs=EXACT, nan_ok=True)


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(session(), id="nothing at all"),
        pytest.param(session(TEN), id="no messages"),
        pytest.param(session([], turn(0.1, ("so", 0, 0.1), final=True)), id="no chunks"),
        pytest.param(session(TEN, turn(0.1), turn(0.2, final=True)), id="no words"),
        pytest.param(session(TEN, reference=SAID, ending=None), id="cut off"),
    ],
)
def test_empty_sessions_give_empty_results(one: Session) -> None:
    for found in (word_latency(one), first_word_latency(one), turn_latency(one)):
        assert len(found) == 0
        for part in ("latency", "turn", "known", "excluded", "referenced", "half_width", *PARTS):
            assert getattr(found, part).shape == (0,)
        assert found.quantiles().count == 0
        assert math.isnan(senders_share(found))


# In virtual time, through `stream`.


def test_service_time_is_the_services_delay_and_nothing_of_the_senders() -> None:
    naive = word_latency(call(10, pacing="fixed_sleep", work=0.003))
    punctual = word_latency(call(10, pacing="wall_clock", work=0.003))
    assert len(naive) == len(punctual) > 20
    assert naive.referenced.all()
    for found in (naive, punctual):
        assert found.service_time == exactly(*[0.15] * len(found))
        assert_sums(found)
    assert punctual.lateness == exactly(*[0.0] * len(punctual))
    chunk = np.ceil(naive.end / 0.1 - 1e-6) - 1
    assert naive.lateness == exactly(*(0.003 * chunk))
    assert naive.latency - naive.lateness == exactly(*punctual.latency)


@pytest.mark.parametrize(
    ("text", "query", "chunk", "wait"),
    [  # "end" 0.43 + silence, up to the chunk's edge; counted from the edge of the word's chunk
        pytest.param("Yes.", {}, 0.1, 0.9 - 0.5, id="sure: 400 ms"),
        pytest.param("Yes.", {"min_turn_silence": "160"}, 0.1, 0.6 - 0.5, id="160 ms"),
        pytest.param("Yes.", {"min_turn_silence": "70"}, 0.1, 0.0, id="70 ms, to the edge"),
        pytest.param("Yes.", {"min_turn_silence": "71"}, 0.1, 0.1, id="71 ms, past the edge"),
        pytest.param("Yes.", {}, 0.25, 1.0 - 0.5, id="longer chunks"),
        pytest.param("well", {}, 0.1, 1.8 - 0.5, id="not sure: 1280 ms"),
    ],
)
def test_endpoint_wait_is_the_silence_that_was_asked_for_on_the_grid_of_chunks(
    make_clip: MakeClip, text: str, query: dict[str, str], chunk: float, wait: float
) -> None:
    clip = make_clip(2.5, reference=spoken((text, 0.1, 0.43)))
    found = turn_latency(simulate(converse(clip, chunk=chunk, query=query)))
    assert parts(found) == exactly(0.07, wait, 0, 0.15)
    assert found.decided.all()
    assert not found.terminated.any()


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param([("the", 0.1, 0.3), ("clever", 0.35, 0.6)], id="the last word missed"),
        pytest.param(
            [("the", 0.1, 0.3), ("clever", 0.35, 0.6), ("coat.", 0.6, 0.8)], id="misheard, early"
        ),
        pytest.param(
            [("the", 0.1, 0.3), ("clever", 0.35, 0.6), ("goat", 0.65, 0.95), ("okay.", 1.0, 1.2)],
            id="one made up",
        ),
    ],
)
def test_the_end_of_a_turn_is_the_spoken_one_whatever_the_service_understood(
    make_clip: MakeClip, heard: list[tuple[str, float, float]]
) -> None:
    truth = spoken(("the", 0.1, 0.3), ("clever", 0.35, 0.6), ("goat", 0.65, 0.95))
    one = simulate(converse(make_clip(3.0, reference=spoken(*heard))))
    found = turn_latency(replace(one, reference=truth))
    replies = [(at, reply) for at, reply in one.replies if isinstance(reply, Turn)]
    (final,) = (at for at, reply in replies if reply.end_of_turn and reply.words)
    assert found.latency == exactly(final - 0.95)
    assert found.excluded.tolist() == [""]
    assert found.service_time == exactly(0.15)
    assert_sums(found)


@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep"])
def test_bounds_hold_the_truth_and_are_as_wide_as_the_sender_is_late(pacing: str) -> None:
    one = call(25, pacing=pacing, work=0.004)
    stamped, bounded = turn_latency(one), turn_latency(unstamped(one))
    both = stamped.counted & bounded.counted
    assert both.sum() > 5
    for part in ("lateness", "since_sent"):
        low, high = (values[both] for values in bounded.bounds(part))
        truth = getattr(stamped, part)[both]
        assert (low - EXACT <= truth).all()
        assert (truth <= high + EXACT).all()
    # From the chunk that holds the end to the last one before the final, 4 ms more with each.
    chunks = (bounded.endpoint_wait / 0.1).round()
    width = 0.004 * chunks if pacing == "fixed_sleep" else 0 * chunks
    assert 2 * bounded.half_width[both] == exactly(*width[both])
    assert_sums(bounded)


def test_what_is_open_at_the_end_is_ended_by_terminate(make_clip: MakeClip) -> None:
    clip = make_clip(0.5, reference=spoken(("Yes.", 0.1, 0.43)))
    found = turn_latency(simulate(converse(clip)))
    assert found.terminated.all()
    assert parts(found) == exactly(0.07, 0, 0, 0.15)


def test_two_finals_in_virtual_time_leave_together(make_clip: MakeClip) -> None:
    clip = make_clip(1.5, reference=spoken(("Yes.", 0.1, 0.43)))
    query = {"format_turns": "true"}
    one = simulate(converse(clip, query=query, finals=2))
    assert turn_latency(one).latency == exactly(*turn_latency(one, final="formatted").latency)
    assert turn_latency(one).texts == ("Yes.",)


# Speed.


def test_matching_words_takes_steps_in_proportion_to_the_words() -> None:
    def steps(words: int) -> int:
        said = [(f"word{i % 50}", 0.3 * i, 0.3 * i + 0.2) for i in range(words)]
        turns = [said[i : i + 10] for i in range(0, words, 10)]
        finals = [turn(3.0 * i, *ten, order=i, final=True) for i, ten in enumerate(turns)]
        one = session(TEN, *finals, reference=said)
        assert one.replies  # read before steps are counted
        lines = 0

        def count(*_: object) -> Any:
            nonlocal lines
            lines += 1
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            found = heard_words(one)
        finally:
            sys.settrace(before)
        assert sum(word.spoken is not None for word in found) == words
        return lines

    assert steps(2000) < 2.5 * steps(1000)  # words times words would be 4


def test_words_behind_a_merged_one_keep_the_instant_at_which_they_came() -> None:
    spelled = [("twenty", 0.0, 0.1), ("five", 0.1, 0.2), ("books", 0.2, 0.3)]
    formatted = [("25", 0.0, 0.2), ("books", 0.2, 0.3)]
    one = session(
        TEN,
        turn(0.4, *spelled[:2]),
        turn(0.5, *spelled),
        turn(0.9, *formatted, final=True, formatted=True, decided=900),
    )
    assert [(heard.word.text, heard.received) for heard in heard_words(one)] == [
        ("25", 0.9),
        ("books", 0.5),
    ]


def test_parts_that_the_service_does_not_tell_apart_have_no_quantiles_of_their_own() -> None:
    latency = turn_latency(unstamped(session(TEN, turn(0.6, ("so", 0.0, 0.2), final=True))))
    assert latency.quantiles("service_time").count == 0
    assert latency.quantiles("since_sent").count == 1
    assert latency.since_sent[0] == latency.endpoint_wait[0] + latency.service_time[0]
