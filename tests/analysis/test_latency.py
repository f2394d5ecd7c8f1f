"""How late, and whose lateness: exact numbers from sessions built by hand and in virtual time."""

from __future__ import annotations

import math
import random
import sys
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, spoken
from facts import call, converse, session, turn, unstamped

from rtkit.analysis.latency import (
    Latency,
    drift,
    first_word_latency,
    heard_words,
    jitter,
    quantiles,
    senders_share,
    turn_latency,
    word_latency,
)
from rtkit.analysis.matching import align, normalize
from rtkit.reference import SpokenWord
from rtkit.services.messages import Word
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
        pytest.param(0.9, (0.05, 0.5, 0.007, 0.093), id="the ninth chunk left later, at 0.908"),
        pytest.param(0.807, (0.05, 0.5, 0.007, 0), id="at the instant of a send"),
        pytest.param(9.0, (0.05, 0.7, 0.009, 7.991), id="long after the last send"),
        pytest.param(0.01, (0.05, -0.2, 0, -0.09), id="before the first send"),
    ],
)
def test_without_a_stamp_the_last_chunk_sent_before_the_final_decides(
    received: float, expected: tuple[float, ...]
) -> None:
    final = turn(received, ("so", 0.0, 0.25), final=True, decided=400)
    found = turn_latency(unstamped(session(TEN, final)))
    assert parts(found) == exactly(*expected)
    assert found.decided.tolist() == [False]
    assert_sums(found)


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


def test_a_turn_decided_by_silence_counts_though_its_final_came_after_terminate() -> None:
    final = turn(1.3, ("one", 0.0, 0.1), final=True, decided=500)
    assert turn_latency(session(TEN, final, terminated=1.1)).terminated.tolist() == [False]
    unsaid = unstamped(session(TEN, final, terminated=1.1))
    assert turn_latency(unsaid).terminated.tolist() == [True]  # nobody can tell


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


@pytest.mark.parametrize(
    ("text", "normal"),
    [("Goat.", "goat"), ("“Don’t”", "don't"), ("half-past,", "half-past"), ("...", "")],
)
def test_normalizing_takes_case_and_edges_off(text: str, normal: str) -> None:
    assert normalize(text) == normal


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


def test_a_turn_whose_last_word_was_misheard_ends_by_the_services_time() -> None:
    final = turn(1.0, ("good", 0.0, 0.2), ("mourning", 0.2, 0.5), final=True)
    found = turn_latency(session(TEN, final, reference=SAID))
    assert found.end == exactly(0.5)
    assert found.referenced.tolist() == [False]


def test_without_a_reference_the_services_times_count() -> None:
    found = word_latency(session(TEN, turn(1.0, ("good", 0.0, 0.25), final=True)))
    assert found.end == exactly(0.25)
    assert found.referenced.tolist() == [False]


def pairs(
    heard: list[tuple[str, float]], said: list[tuple[str, float]], **how: float
) -> list[tuple[int, int]]:
    return align(
        [Word(text, end, end) for text, end in heard],
        [SpokenWord(text, end, end) for text, end in said],
        **how,
    )


@pytest.mark.parametrize(
    ("heard", "said", "expected"),
    [
        pytest.param([("No,", 1), ("no", 2)], [("no", 1), ("No.", 2)], [(0, 0), (1, 1)], id="all"),
        pytest.param([("a", 1)], [("a", 3)], [(0, 0)], id="2 s away"),
        pytest.param([("a", 1)], [("a", 3.01)], [], id="more than 2 s away"),
        pytest.param([("a", 3.01)], [("a", 1)], [], id="more than 2 s late"),
        pytest.param([("a", 1), ("b", 2)], [("b", 1), ("a", 2)], [(0, 1)], id="crossed"),
        pytest.param([("a", 2)], [("a", 1), ("a", 2)], [(0, 1)], id="the first was missed"),
        pytest.param([("a", 1)], [("a", 1), ("a", 2)], [(0, 0)], id="the second was missed"),
        pytest.param([("a", 1), ("a", 2)], [("a", 1)], [(0, 0)], id="heard once more"),
        pytest.param([("a", 1), ("a", 2)], [("a", 2)], [(1, 0)], id="heard once more, before"),
        pytest.param([], [("a", 1)], [], id="nothing heard"),
        pytest.param([("a", 1)], [], [], id="nothing said"),
    ],
)
def test_repeated_words_match_in_order_and_near_in_time(
    heard: list[tuple[str, float]],
    said: list[tuple[str, float]],
    expected: list[tuple[int, int]],
) -> None:
    assert pairs(heard, said) == expected


def test_align_is_the_longest_common_subsequence_of_least_distance_in_time() -> None:
    chance = random.Random(7)

    def sentence() -> list[tuple[str, float]]:
        ends = sorted(chance.randrange(40) / 8 for _ in range(chance.randint(0, 8)))
        return [(chance.choice("abc"), end) for end in ends]

    lengths = set()
    for _ in range(200):
        heard, said = sentence(), sentence()

        @cache
        def best(
            i: int,
            j: int,
            heard: tuple[tuple[str, float], ...] = tuple(heard),
            said: tuple[tuple[str, float], ...] = tuple(said),
        ) -> tuple[int, float]:
            if i == len(heard) or j == len(said):
                return 0, 0.0
            found = max(best(i + 1, j), best(i, j + 1))
            apart = abs(heard[i][1] - said[j][1])
            if heard[i][0] == said[j][0] and apart <= 2:
                count, nearness = best(i + 1, j + 1)
                found = max(found, (count + 1, nearness - apart))
            return found

        found = pairs(heard, said)
        assert all(heard[i][0] == said[j][0] for i, j in found)
        assert all(a < c and b < d for (a, b), (c, d) in pairwise(found))
        apart = sum(abs(heard[i][1] - said[j][1]) for i, j in found)
        assert (len(found), -apart) == best(0, 0)
        lengths.add(len(found))
    assert len(lengths) > 4


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
        for part in ("latency", "turn", "decided", "terminated", "referenced", *PARTS):
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
