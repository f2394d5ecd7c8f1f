"""Heard words beside spoken ones: the alignment of least edits, and then of least time apart."""

from __future__ import annotations

import random
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from rtkit.analysis.timing.alignment import Alignment, align, align_texts, normalize
from rtkit.reference import SpokenWord
from rtkit.services.messages import Word

Timed = list[tuple[str, float]]


def aligned(heard: Timed, said: Timed) -> Alignment:
    return align(
        [Word(text, end - 0.1, end) for text, end in heard],
        [SpokenWord(text, end - 0.1, end) for text, end in said],
    )


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Goat.", "goat"),
        ("“Don’t”", "don't"),
        ("half-past,", "half-past"),
        ("...", ""),
        ("  ", ""),
        ("¿Qué?", "qué"),
        ("की।", "की"),  # a vowel sign at the end is part of the word
        ("ＡＢＣ", "abc"),
        ("7%", "7"),
        ("donʼt", "don't"),
        ("go\u00adat", "goat"),
        ("كتـاب", "كتاب"),  # a stretched line is no letter
    ],
)
def test_normalizing_takes_case_and_edges_off(text: str, normal: str) -> None:
    assert normalize(text) == normal


@pytest.mark.parametrize(
    ("heard", "said", "same", "substituted"),
    [
        pytest.param("No, no", "no No.", [(0, 0), (1, 1)], [], id="all"),
        pytest.param("a x c", "a b c", [(0, 0), (2, 2)], [(1, 1)], id="one misheard"),
        pytest.param("a c", "a b c", [(0, 0), (1, 2)], [], id="one missed"),
        pytest.param("a x b", "a b", [(0, 0), (2, 1)], [], id="one hallucinated"),
        pytest.param("a x", "a b", [(0, 0)], [(1, 1)], id="the last misheard"),
        pytest.param("x y", "a b", [], [(0, 0), (1, 1)], id="all misheard"),
        pytest.param("", "a", [], [], id="nothing heard"),
        pytest.param("a", "", [], [], id="nothing said"),
        pytest.param(". - a", ". - b", [], [(2, 2)], id="punctuation is no word"),
    ],
)
def test_substitutions_are_pairs_and_insertions_and_deletions_are_none(
    heard: str, said: str, same: list[tuple[int, int]], substituted: list[tuple[int, int]]
) -> None:
    places = {word: 0.5 * i for i, word in enumerate(said.split())}
    found = aligned(
        [(word, places.get(word, 0.5 * i)) for i, word in enumerate(heard.split())],
        [(word, places[word]) for word in said.split()],
    )
    assert found.same == tuple(same)
    assert found.substituted == tuple(substituted)


@pytest.mark.parametrize(
    ("heard", "said", "expected"),
    [
        pytest.param([("a", 1)], [("a", 3)], [(0, 0)], id="2 s away"),
        pytest.param([("a", 1)], [("a", 3.01)], [], id="more than 2 s away"),
        pytest.param([("a", 3.01)], [("a", 1)], [], id="more than 2 s late"),
        pytest.param([("a", 2)], [("a", 1), ("a", 2)], [(0, 1)], id="the first was missed"),
        pytest.param([("a", 1)], [("a", 1), ("a", 2)], [(0, 0)], id="the second was missed"),
        pytest.param([("a", 1), ("a", 2)], [("a", 1)], [(0, 0)], id="heard once more"),
        pytest.param([("a", 1), ("a", 2)], [("a", 2)], [(1, 0)], id="heard once more, before"),
        pytest.param(
            [("a", 1), ("b", 99), ("c", 2)], [("a", 1), ("c", 2)], [(0, 0), (2, 1)], id="a stray"
        ),
    ],
)
def test_repeated_words_match_in_order_and_near_in_time(
    heard: Timed, said: Timed, expected: list[tuple[int, int]]
) -> None:
    assert aligned(heard, said).same == tuple(expected)


def sentence(chance: random.Random) -> Timed:
    ends = sorted(chance.randrange(40) / 8 for _ in range(chance.randint(0, 8)))
    return [(chance.choice("abc"), end) for end in ends]


def test_it_is_the_least_edit_distance_and_then_the_least_time_apart() -> None:
    chance = random.Random(7)
    costs = set()
    for _ in range(400):
        heard, said = sentence(chance), sentence(chance)

        @cache
        def least(i: int, j: int, heard: Any = tuple(heard), said: Any = tuple(said)) -> Any:
            if i == len(heard) or j == len(said):
                return len(heard) - i + len(said) - j, 0.0
            without = min(least(i + 1, j), least(i, j + 1))
            found = without[0] + 1, without[1]
            apart = abs(heard[i][1] - said[j][1])
            if apart <= 2:
                edits, further = least(i + 1, j + 1)
                found = min(found, (edits + (heard[i][0] != said[j][0]), further + apart))
            return found

        aligned_ = aligned(heard, said)
        if abs(aligned_.shift) > 0.2:
            continue  # then it is another question: which words match once the shift is off
        found = sorted([*aligned_.same, *aligned_.substituted])
        assert all(a < c and b < d for (a, b), (c, d) in pairwise(found))
        assert all(heard[i][0] == said[j][0] for i, j in aligned_.same)
        cost = len(heard) + len(said) - 2 * len(found) + len(aligned_.substituted)
        apart = sum(abs(heard[i][1] - said[j][1]) for i, j in found)
        assert (cost, apart) == least(0, 0)
        costs.add(cost)
    assert len(costs) > 4


def text(words: str, *, every: float = 0.5, since: float = 0.0) -> Timed:
    return [(word, since + every * i) for i, word in enumerate(words.split(), 1)]


@pytest.mark.parametrize("shift", [-60.0, -5.0, -1.5, 1.5, 5.0, 60.0])
def test_a_shift_of_all_times_is_taken_off(shift: float) -> None:
    said = text("no no the clever goat said no no no to the goat")
    heard = [(word, end + shift) for word, end in said if end not in (0.5, 4.0)]
    found = aligned(heard, said)
    assert found.same == tuple(enumerate(i for i in range(12) if i not in (0, 7)))
    assert found.shift == pytest.approx(shift)


def test_one_word_that_is_said_elsewhere_is_no_shift() -> None:
    assert aligned([("goat", 60.0)], text("the clever goat")).same == ()
    some = [("the", 0.5), ("clever", 1.0), ("no", 60.0)]
    assert aligned(some, text("the clever goat no")).same == ((0, 0), (1, 1))


def test_a_loop_of_the_same_words_is_aligned_at_its_own_time_though_one_round_was_missed() -> None:
    one = text("the clever goat said no")
    said = [(word, end + 60 * i) for i in range(20) for word, end in one]
    heard = [(word, end + 60 * i) for i in range(20) for word, end in one if i != 7]
    found = aligned(heard, said)
    assert found.same == tuple(enumerate(i for i in range(100) if not 35 <= i < 40))
    assert found.substituted == ()


def untimed(words: str) -> list[Word]:
    return [Word(word, None, None) for word in words.split()]


@pytest.mark.parametrize(
    ("heard", "said", "expected"),
    [
        pytest.param("a b d", "a b c d", [(0, 0), (1, 1), (2, 3)], id="missed"),
        pytest.param("a x c", "a b c", [(0, 0), (1, 1), (2, 2)], id="misheard"),
        pytest.param("a no b", "a no no b", [(0, 0), (2, 3)], id="one of two: either"),
        pytest.param("no", "no no", [], id="nothing to choose by"),
        pytest.param("no no", "no no", [(0, 0), (1, 1)], id="no choice"),
    ],
)
def test_words_without_times_match_by_text_where_there_is_no_choice(
    heard: str, said: str, expected: list[tuple[int, int]]
) -> None:
    spoken = [SpokenWord(word, i, i + 0.5) for i, word in enumerate(said.split())]
    for found in (align_texts(untimed(heard), spoken), align(untimed(heard), spoken)):
        assert sorted([*found.same, *found.substituted]) == expected
        assert found.shift != found.shift


def test_single_words_without_times_take_those_of_their_neighbors() -> None:
    said = text("no yes no yes no", every=3)
    heard = [Word(word, end - 0.1, end) for word, end in said]
    heard[2] = untimed("no")[0]
    spoken = [SpokenWord(word, end - 0.1, end) for word, end in said]
    assert align(heard, spoken).same == tuple((i, i) for i in range(5))
    assert align(heard[2:], spoken).same == ((0, 2), (1, 3), (2, 4))
