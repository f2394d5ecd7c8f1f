"""Whose end is a turn's end: the last spoken word that belongs to it, heard or not."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from facts import Heard, said, saying, session, turn, unstamped

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.timing.latency import (
    Latency,
    first_word_latency,
    partial_latency,
    turn_latency,
    word_latency,
)
from rtkit.analysis.timing.turns import Agreement, agreement, heard_turns, heard_words
from rtkit.reference import Reference, SpokenTurn
from rtkit.services.messages import Word
from rtkit.session import Message, Session

EXACT = 1e-9
PUNCTUAL = [0.0] * 200  # 20 s in chunks of 100 ms

THE, CLEVER, GOAT = ("the", 8.8, 9.0), ("clever", 9.1, 9.5), ("goat", 9.6, 10.0)
YES, PLEASE = ("yes", 12.0, 12.4), ("please", 12.5, 13.0)
GOAT_TURN = THE, CLEVER, GOAT
LATE_GOAT = ("goat", 11.2, 11.5)


def exactly(*values: float) -> object:
    return pytest.approx(list(values), abs=EXACT)


def final(at: float, *words: Heard, order: int = 0, decided: int | None = None) -> Message:
    return turn(at, *words, order=order, final=True, decided=decided)


def nowhere(word: Word) -> Word:
    return replace(word, start=None, end=None)


def turns(*messages: Message, said: object = None) -> Latency:
    return turn_latency(heard(*messages, said=said))


def heard(*messages: Message, said: object = None) -> Session:
    return session(PUNCTUAL, *messages, reference=said)  # type: ignore[arg-type]


# One turn that ends at 10.0 s, and whose final comes at 10.6.


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param((THE, CLEVER, GOAT), id="all heard"),
        pytest.param((THE, CLEVER), id="the last missed"),
        pytest.param((THE,), id="the last two missed"),
        pytest.param((CLEVER, GOAT), id="the first missed"),
        pytest.param((GOAT,), id="only the last heard"),
        pytest.param((CLEVER,), id="only the middle heard"),
        pytest.param((THE, CLEVER, ("coat", 9.4, 9.7)), id="misheard, and placed early"),
        pytest.param((THE, CLEVER, ("coat", 10.1, 10.5)), id="misheard, and placed late"),
        pytest.param((THE, CLEVER, ("coat", 9.6, 10.0)), id="misheard, in its place"),
        pytest.param((THE, CLEVER, ("go", 9.6, 9.8), ("at", 9.8, 10.2)), id="heard as two"),
        pytest.param((THE, ("clevergoat", 9.1, 9.9)), id="two heard as one"),
        pytest.param((THE, CLEVER, GOAT, ("okay", 10.2, 10.45)), id="a hallucinated tail"),
        pytest.param((THE, CLEVER, ("okay", 10.2, 10.45)), id="missed, and a hallucinated tail"),
        pytest.param((("uh", 8.0, 8.2), THE, CLEVER, GOAT), id="a hallucinated head"),
        pytest.param((THE, CLEVER, ("goat", 9.6, 10.3)), id="the service places it late"),
        pytest.param(
            tuple((text, start + 5, end + 5) for text, start, end in GOAT_TURN), id="5 s late"
        ),
        pytest.param(
            tuple((text, start - 5, end - 5) for text, start, end in GOAT_TURN), id="5 s early"
        ),
    ],
)
def test_a_turn_ends_with_its_last_spoken_word_whatever_was_heard(
    words: tuple[Heard, ...], stamped: bool
) -> None:
    one = heard(final(10.6, *words, decided=10400), said=said(GOAT_TURN))
    found = turn_latency(one if stamped else unstamped(one))
    assert found.latency == exactly(0.6)
    assert found.end == exactly(10.0)
    assert found.excluded.tolist() == [""]
    assert found.referenced.tolist() == [True]


def test_two_turns_of_which_the_border_was_missed_or_misheard_end_by_the_references_turns() -> None:
    reference = said(GOAT_TURN, (YES, PLEASE))
    for first, second in (
        ((THE, CLEVER), (YES, PLEASE)),
        ((THE, CLEVER, GOAT), (PLEASE,)),
        ((THE, CLEVER), (PLEASE,)),
        ((THE, CLEVER), (("uh", 11.2, 11.5), YES, PLEASE)),
        ((THE, CLEVER, GOAT, ("okay", 10.2, 10.5)), (PLEASE,)),
        ((THE, CLEVER, ("okay", 10.2, 10.5)), (("yet", 12.0, 12.4), PLEASE)),
        ((THE, CLEVER), (YES,)),
    ):
        found = turns(final(10.6, *first), final(13.7, *second, order=1), said=reference)
        assert found.end == exactly(10.0, 13.0)
        assert found.latency == exactly(0.6, 0.7)
        assert found.excluded.tolist() == ["", ""]
        assert found.referenced.all()


@pytest.mark.parametrize(
    ("mhm", "words"),
    [
        pytest.param((9.3, 9.55), (THE, CLEVER, ("mhm", 9.3, 9.55)), id="the last missed"),
        pytest.param(
            (9.3, 9.55), (THE, ("mhm", 9.3, 9.55), ("coat", 9.6, 9.8)), id="the last misheard"
        ),
        pytest.param((9.7, 9.9), (THE, ("mhm", 9.7, 9.9)), id="missed before and behind"),
        pytest.param((9.05, 9.2), (THE, CLEVER, GOAT), id="the other one missed"),
    ],
)
def test_who_talks_meanwhile_does_not_hide_the_last_word(
    mhm: tuple[float, float], words: tuple[Heard, ...]
) -> None:
    found = turns(final(10.6, *words), said=said(GOAT_TURN, (("mhm", *mhm),)))
    assert found.latency == exactly(0.6)
    assert found.excluded.tolist() == [""]


def test_of_two_turns_that_the_service_made_one_the_second_ends_it() -> None:
    for words in ((*GOAT_TURN, YES, PLEASE), (THE, CLEVER, PLEASE), (*GOAT_TURN, YES)):
        found = turns(final(13.7, *words), said=said(GOAT_TURN, (YES, PLEASE)))
        assert found.latency == exactly(0.7)


def test_a_turn_that_the_service_split_ends_where_each_half_does() -> None:
    whole = (*GOAT_TURN, YES, PLEASE)
    found = turns(final(10.6, *GOAT_TURN), final(13.7, YES, PLEASE, order=1), said=said(whole))
    assert found.latency == exactly(0.6, 0.7)
    assert found.excluded.tolist() == ["", ""]


@pytest.mark.parametrize(
    ("first", "second", "end", "excluded"),
    [
        pytest.param((THE, CLEVER), (YES, PLEASE), 9.5, "ambiguous", id="missed: of either half"),
        pytest.param(
            (THE, CLEVER, ("coat", 9.6, 10.0)), (YES, PLEASE), 10.0, "", id="misheard by the first"
        ),
        pytest.param(
            (THE, CLEVER), (("coat", 9.6, 10.0), YES, PLEASE), 9.5, "", id="by the second"
        ),
        pytest.param(
            (THE, CLEVER, ("okay", 10.2, 10.5)),
            (YES, PLEASE),
            9.5,
            "ambiguous",
            id="something else heard, at another time",
        ),
        pytest.param((THE,), (YES, PLEASE), 9.0, "ambiguous", id="two missed"),
        pytest.param((THE, CLEVER, GOAT), (PLEASE,), 10.0, "", id="spoken after the first ended"),
    ],
)
def test_a_missed_word_at_the_border_of_a_split_turn(
    first: tuple[Heard, ...], second: tuple[Heard, ...], end: float, excluded: str
) -> None:
    whole = (*GOAT_TURN, YES, PLEASE)
    found = turns(final(10.6, *first), final(13.7, *second, order=1), said=said(whole))
    assert found.end == exactly(end, 13.0)
    assert found.excluded.tolist() == [excluded, ""]
    assert found.counted.tolist() == [not excluded, True]


def test_a_word_that_may_have_been_misheard_by_the_next_turn_is_ambiguous() -> None:
    boat = ("boat", 9.6, 10.0)
    reference = said(GOAT_TURN, (YES, PLEASE))
    found = turns(final(10.6, THE, CLEVER), final(13.7, boat, YES, order=1), said=reference)
    assert found.excluded.tolist() == ["ambiguous", ""]
    found = turns(
        final(10.6, THE, CLEVER),
        final(11.0, boat, order=1),
        final(13.7, YES, PLEASE, order=2),
        said=reference,
    )
    assert found.excluded.tolist() == ["ambiguous", "unmatched", ""]


def test_a_missed_word_behind_one_that_another_turn_claims_is_ambiguous_too() -> None:
    home = ("home", 10.1, 10.4)
    boat = ("boat", 9.6, 10.0)
    found = turns(
        final(10.9, THE, CLEVER),
        final(11.0, boat, order=1),
        final(13.7, YES, PLEASE, order=2),
        said=said((*GOAT_TURN, home), (YES, PLEASE)),
    )
    assert found.excluded.tolist() == ["ambiguous", "unmatched", ""]


def test_a_missed_word_looks_no_further_than_to_its_neighbors() -> None:
    coat = ("coat", 9.6, 10.0)
    one = heard(
        final(10.6, THE, coat),  # clever was missed, goat misheard
        final(13.7, YES, PLEASE, order=1),
        said=said((*GOAT_TURN, YES, PLEASE)),
    )
    assert turn_latency(one).excluded.tolist() == ["", ""]
    assert first_word_latency(one).excluded.tolist() == ["", ""]
    assert first_word_latency(one).end == exactly(9.0, 12.4)


def test_equal_words_at_the_very_beginning_are_no_doubt_of_the_end() -> None:
    twins = ("no", 8.0, 8.3), ("no", 8.4, 8.7)
    one = heard(
        final(10.6, ("no", 8.2, 8.5), *GOAT_TURN),
        final(13.7, YES, PLEASE, order=1),
        said=said((*twins, *GOAT_TURN, YES, PLEASE)),
    )
    assert first_word_latency(one).excluded.tolist() == ["", ""]
    assert turn_latency(one).excluded.tolist() == ["", ""]


def test_what_was_spoken_after_a_turn_had_ended_does_not_belong_to_it() -> None:
    whole = (*GOAT_TURN, YES, PLEASE)
    found = turns(final(10.6, *GOAT_TURN), said=said(whole))  # the rest was never heard
    assert found.latency == exactly(0.6)
    assert found.excluded.tolist() == [""]
    stamped = turns(
        final(10.2, THE, CLEVER, decided=9800), final(13.7, YES, order=1), said=said(whole)
    )
    assert stamped.end == exactly(9.5, 13.0)  # it was decided before the goat had been heard
    assert stamped.excluded.tolist() == ["", ""]


@pytest.mark.parametrize(
    ("placed", "excluded"),
    [
        pytest.param(10.35, "", id="the first one: it is the next turn's"),
        pytest.param(10.5, "", id="rather the first one"),
        pytest.param(10.58, "ambiguous", id="it may have been either"),
        pytest.param(10.62, "ambiguous", id="the other way, too"),
        pytest.param(10.85, "ambiguous", id="the second one: the first may be either turn's"),
    ],
)
def test_of_two_equal_words_at_the_border_time_tells_which_was_heard(
    placed: float, excluded: str
) -> None:
    twins = ("no", 10.0, 10.35), ("no", 10.5, 10.85)
    found = turns(
        final(11.4, THE, CLEVER),
        final(13.7, ("no", placed - 0.3, placed), YES, PLEASE, order=1),
        said=said((THE, CLEVER, *twins, YES, PLEASE)),
    )
    assert found.end == exactly(9.5, 13.0)
    assert found.excluded.tolist() == [excluded, ""]


@pytest.mark.parametrize(
    ("placed", "end", "excluded"),
    [
        pytest.param(10.35, 10.35, "ambiguous", id="the first one: the second may be either's"),
        pytest.param(10.58, 10.35, "ambiguous", id="it may have been either"),
        pytest.param(10.62, 10.35, "ambiguous", id="the other way, too"),
        pytest.param(10.85, 10.85, "", id="the second one: so is the first"),
    ],
)
def test_of_two_equal_words_the_turn_before_may_have_heard_either(
    placed: float, end: float, excluded: str
) -> None:
    twins = ("no", 10.0, 10.35), ("no", 10.5, 10.85)
    found = turns(
        final(11.4, THE, CLEVER, ("no", placed - 0.3, placed)),
        final(13.7, YES, PLEASE, order=1),
        said=said((THE, CLEVER, *twins, YES, PLEASE)),
    )
    assert found.end == exactly(end, 13.0)
    assert found.excluded.tolist() == [excluded, ""]


def test_two_equal_words_that_begin_it_all_may_be_of_either_turn() -> None:
    twins = ("no", 10.0, 10.35), ("no", 10.5, 10.85)
    found = turns(
        final(11.4, ("no", 10.32, 10.62)),
        final(13.7, YES, PLEASE, order=1),
        said=said((*twins, YES, PLEASE)),
    )
    assert found.excluded.tolist() == ["ambiguous", ""]


@pytest.mark.parametrize("shift", [-5.0, 0.0, 5.0])
def test_what_was_misheard_is_told_by_its_time_though_the_clock_is_shifted(shift: float) -> None:
    coat = ("coat", 9.6, 10.0)
    moved = [(text, start + shift, end + shift) for text, start, end in (THE, CLEVER, coat)]
    then = [(text, start + shift, end + shift) for text, start, end in (YES, PLEASE)]
    whole = said((*GOAT_TURN, YES, PLEASE))
    found = turns(final(10.6, *moved), final(13.7, *then, order=1), said=whole)
    assert found.end == exactly(10.0, 13.0)
    assert found.excluded.tolist() == ["", ""]


def test_two_equal_words_of_one_turn_are_no_doubt() -> None:
    twins = ("no", 10.0, 10.35), ("no", 10.5, 10.85)
    for placed in (10.35, 10.6, 10.85):
        found = turns(
            final(11.4, THE, CLEVER, ("no", placed - 0.3, placed)),
            final(13.7, YES, PLEASE, order=1),
            said=said((THE, CLEVER, *twins), (YES, PLEASE)),
        )
        assert found.end == exactly(10.85, 13.0)
        assert found.excluded.tolist() == ["", ""]


@pytest.mark.parametrize("stamped", [True, False])
def test_a_word_made_up_at_the_end_is_not_the_one_that_was_said_a_moment_later(
    stamped: bool,
) -> None:
    okay = ("okay", 11.0, 11.3)
    one = heard(
        final(10.6, THE, CLEVER, ("okay", 10.2, 10.5), decided=10400),
        final(13.7, YES, PLEASE, order=1, decided=13500),
        said=said(GOAT_TURN, (okay, YES, PLEASE)),
    )
    found = turn_latency(one if stamped else unstamped(one))
    assert found.end == exactly(10.0, 13.0)
    assert found.excluded.tolist() == ["", ""]
    words = word_latency(one)
    assert words.excluded[words.texts.index("okay")] == "early"


def conversation(
    chance: random.Random, *, errors: float, cut: float
) -> tuple[Session, list[float]]:
    """Few different words, said again and again; some missed, some misheard, some made up.

    At each pause the service ends a turn with 1 - `cut`, and after each word with `cut` / 2. With
    the session, when the last word that was spoken to each of the service's turns ended.
    """
    spoken: list[list[tuple[str, float, float]]] = []
    heard: list[list[Heard]] = [[]]
    ends: list[float] = []
    at = 0.5
    for _ in range(60):
        spoken.append([])
        length = chance.randint(1, 7)
        for place in range(length):
            start, at = at, at + chance.uniform(0.15, 0.5)
            spoken[-1].append((chance.choice("abcdefghijklmnopqrst"), start, at))
            fate = chance.random() / errors if errors else 2.0
            if fate > 0.66:
                text = spoken[-1][-1][0] if fate > 1 else chance.choice("uvwxyz")
                heard[-1].append((text, start, at + chance.uniform(-0.1, 0.1)))
            if fate < 0.33:
                heard[-1].append((chance.choice("abcdef"), at, at + chance.uniform(0, 0.3)))
            pause = place == length - 1
            if chance.random() < (1 - cut if pause else cut / 2):
                ends.append(at)
                heard.append([])
        at += chance.uniform(0.8, 2.0)
    finals = [final(end + 0.6, *heard[order], order=order) for order, end in enumerate(ends)]
    return session([0.0] * round(at * 10 + 20), *finals, reference=said(*spoken)), ends


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize(
    ("errors", "cut", "counts", "allowed"),
    [
        (0.0, 0.0, 1.0, 0),
        (0.1, 0.0, 0.95, 0),
        (0.3, 0.0, 0.9, 0),
        (0.0, 0.2, 1.0, 0),
        (0.1, 0.2, 0.9, 1),  # a turn of one word, missed, and made one with the turn before it
    ],
)
def test_whatever_is_counted_ends_where_it_truly_did(
    errors: float, cut: float, counts: float, allowed: int, timed: bool
) -> None:
    for seed in range(5):
        one, ends = conversation(random.Random(seed), errors=errors, cut=cut)
        if not timed:
            one = saying(one, lambda turn: replace(turn, words=tuple(map(nowhere, turn.words))))
        found = turn_latency(one)
        wrong = np.abs(found.end - np.array(ends)[found.turn])[found.counted] > EXACT
        assert wrong.sum() <= allowed
        assert found.counted.mean() >= counts


def test_a_turn_of_the_reference_that_nobody_heard_belongs_to_nobody() -> None:
    found = turns(
        final(10.6, *GOAT_TURN),
        final(16.5, ("bye", 15.0, 15.5), order=1),
        said=said(GOAT_TURN, (YES, PLEASE), (("bye", 15.0, 15.5),)),
    )
    assert found.end == exactly(10.0, 15.5)
    assert found.excluded.tolist() == ["", ""]


@pytest.mark.parametrize("behind", [0.05, 2.0])
def test_a_turn_behind_which_another_passed_unheard_may_have_ended_with_that(behind: float) -> None:
    passed = ("okay", 10.0 + behind, 10.3 + behind)
    reference = said(GOAT_TURN, (passed,), (("bye", 15.0, 15.5),))
    bye = final(16.1, ("bye", 15.0, 15.5), order=1)
    for at, excluded in ((10.5 + behind, "ambiguous"), (10.25 + behind, "")):
        found = turns(final(at, *GOAT_TURN), bye, said=reference)
        assert found.end == exactly(10.0, 15.5)
        assert found.excluded.tolist() == [excluded, ""]


@pytest.mark.parametrize(
    "second", [(LATE_GOAT,), (LATE_GOAT, ("hm", 11.6, 11.9)), (LATE_GOAT, YES)]
)
def test_a_word_heard_long_after_it_was_spoken_may_be_made_up(second: tuple[Heard, ...]) -> None:
    found = turns(
        final(10.6, THE, CLEVER), final(13.0, *second, order=1), said=said(GOAT_TURN, (YES,))
    )
    assert found.excluded.tolist()[0] == "ambiguous"
    assert found.counted.tolist()[1] == (YES in second)
    late = turns(final(10.6, THE, CLEVER, LATE_GOAT), said=said(GOAT_TURN))
    assert (late.end, late.excluded.tolist()) == (exactly(10.0), [""])  # no other turn has it


def test_of_two_equal_words_the_second_of_which_came_too_late_the_first_stays() -> None:
    before = ("we", 8.0, 8.5), ("say", 8.5, 9.0), ("so", 9.0, 9.5)
    twins = ("no", 9.6, 10.0), ("no", 10.05, 10.4)
    found = turns(
        final(9.55, *before, decided=9500),
        final(10.3, ("no", 9.8, 10.19), order=1, decided=9900),
        said=said((*before, *twins)),
    )
    assert found.end == exactly(9.5, 10.0)


def test_repeated_words_belong_to_the_turns_at_their_times() -> None:
    no = [("no", start, start + 0.3) for start in (1.0, 2.0, 6.0, 7.0)]
    reference = said(no[:2], no[2:])
    assert turns(
        final(3.0, no[0], no[1]), final(8.0, no[2], no[3], order=1), said=reference
    ).end == exactly(2.3, 7.3)
    assert turns(final(3.0, no[0]), final(8.0, no[2], order=1), said=reference).end == exactly(
        2.3, 7.3
    )  # both missed their second one
    assert turns(final(8.0, no[3]), said=reference).end == exactly(7.3)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((("beyond", 25.0, 25.5),), id="beyond the clip"),
        pytest.param((("goat", 60.0, 60.4),), id="a word that was said, far away"),
        pytest.param((("uh", 9.0, 9.2), ("huh", 9.3, 9.5)), id="within the clip"),
        pytest.param((("...", 9.6, 10.0),), id="punctuation"),
    ],
)
def test_a_turn_that_matches_nothing_is_shown_and_not_counted(words: tuple[Heard, ...]) -> None:
    found = turns(final(10.6, *GOAT_TURN), final(11.5, *words, order=1), said=said(GOAT_TURN))
    assert len(found) == 2
    assert found.counted.tolist() == [True, False]
    assert found.excluded.tolist() == ["", "unmatched"]
    assert found.referenced.tolist() == [True, False]
    assert found.quantiles().max == pytest.approx(0.6)


def test_words_without_times_are_placed_by_the_reference_alone() -> None:
    def untimed(one: Session) -> Session:
        return saying(one, lambda turn: replace(turn, words=tuple(map(nowhere, turn.words))))

    reference = said(GOAT_TURN, (YES, PLEASE))
    finals = final(10.6, THE, CLEVER), final(13.7, YES, ("fleas", 0, 0), order=1)
    found = turn_latency(untimed(heard(*finals, said=reference)))
    assert found.end == exactly(10.0, 13.0)
    assert found.excluded.tolist() == ["", ""]
    whole = said((*GOAT_TURN, YES, PLEASE))  # which the service split, and misheard at the seam
    for first, second, end in (
        ((THE, CLEVER, ("coat", 0, 0)), (YES, PLEASE), 10.0),
        ((THE, CLEVER), (("coat", 0, 0), YES, PLEASE), 9.5),
    ):
        halves = final(10.6, *first), final(13.7, *second, order=1)
        found = turn_latency(untimed(heard(*halves, said=whole)))
        assert found.end == exactly(end, 13.0)
        assert found.excluded.tolist() == ["", ""]
    found = turn_latency(untimed(heard(*finals)))
    assert found.excluded.tolist() == ["unmatched"] * 2  # nobody says when they were spoken
    assert found.half_width.tolist() == [0.0, 0.0]
    for part in (found.chunk_wait, found.lateness, found.queue_wait, found.since_sent):
        assert np.isnan(part).all()
    assert len(word_latency(untimed(heard(*finals)))) == 0
    (word,) = heard_words(untimed(heard(turn(0.1, THE), final(0.3, THE))))
    assert (word.received, word.early) == (0.1, False)  # nobody says that it was too early


# Without a reference.


def test_a_reference_of_text_alone_leaves_ends_to_the_service() -> None:
    text_alone = Reference((SpokenTurn(8.0, 13.0, "the clever goat", ()),))
    one = heard(final(10.6, *GOAT_TURN), said=text_alone)
    for found in (turn_latency(one), word_latency(one)):
        assert found.counted.all()
        assert not found.referenced.any()
    assert turn_latency(one).latency == exactly(0.6)
    assert agreement(one) is None
    assert validity(one)
    nothing_said = heard(final(10.6, *GOAT_TURN), said=Reference(()))
    assert turn_latency(nothing_said).excluded.tolist() == ["unmatched"]


def test_without_a_reference_a_turn_ends_by_its_first_final() -> None:
    one = heard(
        final(10.6, THE, CLEVER, GOAT),
        turn(10.9, THE, CLEVER, ("Goat.", 9.6, 10.3), final=True, formatted=True),
    )
    first, formatted = turn_latency(one), turn_latency(one, final="formatted")
    assert first.end == formatted.end == exactly(10.0)
    assert first.latency == exactly(0.6)
    assert formatted.latency == exactly(0.9)
    assert first.referenced.tolist() == [False]


def test_a_formatted_final_does_not_move_the_end() -> None:
    for words in ((THE, ("Clever-goat.", 9.1, 9.8)), (THE,), (*GOAT_TURN, ("okay", 10.2, 10.5))):
        one = heard(
            final(10.6, THE, CLEVER, GOAT),
            turn(10.9, *words, final=True, formatted=True),
            said=said(GOAT_TURN),
        )
        assert turn_latency(one).latency == exactly(0.6)
        assert turn_latency(one, final="formatted").latency == exactly(0.9)


def test_what_silence_ended_stays_so_though_its_format_came_after_the_shutdown() -> None:
    formatted = turn(10.9, *GOAT_TURN, final=True, formatted=True)
    for shutdown, excluded in ((10.7, ""), (10.5, "terminated")):
        one = session(PUNCTUAL, final(10.6, *GOAT_TURN), formatted, terminated=shutdown)
        assert turn_latency(one, final="formatted").excluded.tolist() == [excluded]


def test_words_are_matched_as_they_read_in_the_end() -> None:
    first = (THE, CLEVER, ("coat", 9.6, 10.0))
    formatted = (("The", 8.8, 9.0), CLEVER, ("goat.", 9.6, 10.0))
    one = heard(
        final(10.6, *first),
        turn(10.9, *formatted, final=True, formatted=True),
        said=said(GOAT_TURN),
    )
    found = word_latency(one)
    assert found.texts == ("The", "clever", "goat.")
    assert found.received.tolist() == [10.6, 10.6, 10.9]
    assert turn_latency(one).latency == exactly(0.6)


def test_punctuation_is_no_word_in_any_message() -> None:
    dash, dots = ("—", 9.5, 9.6), ("...", 8.0, 8.2)
    one = heard(turn(8.3, dots), turn(9.9, THE, dash, GOAT), final(10.6, THE, GOAT, dash))
    assert word_latency(one).texts == ("the", "goat")
    assert word_latency(one).received.tolist() == [9.9, 9.9]
    assert turn_latency(one).end == exactly(10.0)
    assert first_word_latency(one).received.tolist() == [9.9]


def test_what_was_not_yet_sent_at_the_final_does_not_belong_to_the_turn() -> None:
    go, home = ("go", 0.0, 0.05), ("home", 0.12, 0.18)
    found = turns(final(0.15, go), said=said((go, home)))  # one chunk of 100 ms had left
    assert found.end == exactly(0.05)
    assert turns(final(0.25, go), said=said((go, home))).end == exactly(0.18)


def test_only_a_stamp_tells_that_a_word_was_not_yet_heard() -> None:
    """What services state is rounded, or of their last result."""
    stamped = heard(final(10.6, THE, CLEVER, decided=9800), said=said(GOAT_TURN))
    assert turn_latency(stamped).end == exactly(9.5)
    stated = saying(unstamped(stamped), lambda turn: replace(turn, heard=9.8))
    assert turn_latency(stated).end == exactly(10.0)


def test_a_session_without_chunks_has_words_and_no_latency() -> None:
    one = session([], turn(0.1, THE), final(0.3, THE), reference=said(GOAT_TURN))
    assert [word.received for word in heard_words(one)] == [0.1]
    assert len(word_latency(one)) == len(turn_latency(one)) == 0


# Messages out of order.


def test_a_final_stays_final() -> None:
    alone = heard(final(10.6, *GOAT_TURN), said=said(GOAT_TURN))
    for stale in (turn(10.65, THE), turn(10.65), turn(10.65, final=True)):
        one = heard(*alone.messages, stale, said=said(GOAT_TURN))
        assert turn_latency(one).latency == exactly(0.6)
        assert turn_latency(one, final="formatted").latency == exactly(0.6)
        assert turn_latency(one).texts == turn_latency(alone).texts == ("the clever goat",)
        assert word_latency(one).received.tolist() == word_latency(alone).received.tolist()
        assert one.turns == alone.turns


def test_bare_punctuation_takes_no_final_back() -> None:
    one = heard(final(10.6, *GOAT_TURN), final(10.8, ("...", 9.6, 10.0)))
    assert turn_latency(one).texts == ("the clever goat",)
    assert first_word_latency(one).texts == ("the",)


def test_the_order_is_the_services_and_not_that_of_arrival() -> None:
    reference = said(GOAT_TURN, (YES, PLEASE))
    first, second = final(13.8, *GOAT_TURN), final(13.7, YES, PLEASE, order=1)
    found = turns(second, first, said=reference)
    assert found.turn.tolist() == [0, 1]
    assert found.latency == exactly(3.8, 0.7)
    assert found.excluded.tolist() == ["", ""]
    words = heard_words(heard(second, first, said=reference))
    assert [word.word.text for word in words] == ["the", "clever", "goat", "yes", "please"]
    assert all(word.spoken is not None for word in words)


# When a word is there.


def shown(*states: tuple[float, str]) -> Session:
    """A turn whose messages read so; each word lies where it was spoken, or near it."""
    places = {text: (text, start, end) for text, start, end in GOAT_TURN}
    places |= {"go": ("go", 9.6, 9.8), "coat": ("coat", 9.6, 10.0)}
    messages = [
        turn(at, *(places[word] for word in words.split()), final=at == states[-1][0])
        for at, words in states
    ]
    return heard(*messages, said=said(GOAT_TURN))


@pytest.mark.parametrize(
    ("states", "stays", "first"),
    [
        ([(9.9, "goat"), (10.1, "goat")], 9.9, 9.9),
        ([(9.8, "go"), (9.9, "goat"), (10.1, "coat"), (10.3, "goat")], 10.3, 9.9),
        ([(9.7, "goat"), (9.8, "go"), (9.9, "goat"), (10.3, "goat")], 9.9, 9.7),
        ([(9.8, "goat"), (9.9, ""), (10.3, "goat")], 10.3, 9.8),
        ([(9.8, "clever goat"), (9.9, "the clever goat"), (10.3, "goat")], 9.8, 9.8),
        ([(9.5, "goat"), (10.3, "goat")], 10.3, 10.3),  # nothing of it had been sent at 9.5
        ([(9.5, "goat"), (9.6, "goat"), (10.3, "goat")], 9.6, 9.6),  # at its chunk's leaving
        ([(9.5, "goat"), (9.75, "goat"), (10.3, "goat")], 9.75, 9.75),
        ([(9.5, "goat"), (9.75, "go"), (9.9, "goat"), (10.3, "goat")], 9.9, 9.9),
    ],
)
def test_a_word_is_there_once_it_came_to_stay(
    states: list[tuple[float, str]], stays: float, first: float
) -> None:
    one = shown(*states)
    assert word_latency(one).received[-1] == stays
    assert partial_latency(one).received[-1] == first
    assert word_latency(one).excluded.tolist() == [""] * len(word_latency(one))


def test_go_goat_go_counts_from_the_third_message() -> None:
    go = ("go", 9.6, 9.8)
    one = heard(turn(9.8, go), turn(9.9, GOAT), final(10.1, go), said=said((go,)))
    assert word_latency(one).latency == exactly(0.3)
    assert partial_latency(one).latency == exactly(0.0)


def test_words_that_were_there_before_they_were_spoken_are_shown_and_not_counted() -> None:
    one = heard(turn(2.0, *GOAT_TURN), final(3.0, *GOAT_TURN), said=said(GOAT_TURN))
    for found in (word_latency(one), partial_latency(one)):
        assert found.excluded.tolist() == ["early"] * 3
        assert found.received.tolist() == [3.0] * 3
    assert turn_latency(one).excluded.tolist() == ["early"]
    assert first_word_latency(one).excluded.tolist() == ["early"]


# The first word.


@pytest.mark.parametrize(
    ("states", "latency", "excluded"),
    [
        pytest.param([(9.1, "the"), (10.6, "the clever goat")], 0.1, "", id="heard"),
        pytest.param([(9.6, "clever"), (10.6, "clever goat")], 0.6, "", id="missed"),
        pytest.param([(8.0, "go"), (9.2, "go clever"), (10.6, "clever goat")], 0.2, "", id="early"),
        pytest.param(
            [(5.0, "goat"), (5.5, "goat"), (6.0, "the clever goat")], -3.0, "early", id="all early"
        ),
    ],
)
def test_the_first_word_is_the_first_spoken_one_and_no_message_foretells_it(
    states: list[tuple[float, str]], latency: float, excluded: str
) -> None:
    found = first_word_latency(shown(*states))
    assert found.latency == exactly(latency)
    assert found.end == exactly(9.0)
    assert found.excluded.tolist() == [excluded]


def test_a_turn_that_never_ended_has_words_of_its_own() -> None:
    reference = said(GOAT_TURN, (YES, PLEASE))
    one = heard(final(10.6, THE, CLEVER), turn(12.9, YES, order=1), said=reference)
    assert turn_latency(one).end == exactly(10.0)
    assert [turn.ended for turn in heard_turns(one)] == [True, False]


@pytest.mark.parametrize("reference", [None, said(GOAT_TURN)])
def test_a_turn_whose_words_were_all_taken_back_has_no_latency(reference: object) -> None:
    messages = turn(9.9, THE), turn(10.4), turn(10.6, final=True)
    one = heard(*messages, final(13.7, YES, order=1), said=reference)
    assert turn_latency(one).turn.tolist() == [1]
    assert first_word_latency(one).turn.tolist() == [1]
    assert word_latency(one, unmatched=True).texts == ("yes",)
    assert [turn.ended for turn in heard_turns(one)] == [True, True]


def test_a_final_without_words_ends_the_turn_and_the_next_one_words_it() -> None:
    one = heard(turn(9.9, THE), turn(10.4, final=True), final(10.6, *GOAT_TURN))
    assert turn_latency(one).latency == exactly(0.4)
    assert turn_latency(one, final="formatted").latency == exactly(0.6)


@pytest.mark.parametrize(
    ("shift", "shifted"), [(0.25, False), (-0.25, False), (0.2501, True), (-0.2501, True)]
)
def test_a_quarter_of_a_second_is_no_shift(shift: float, shifted: bool) -> None:
    assert Agreement(heard=4, matched=3, spoken=5, shift=shift).shifted == shifted


@pytest.mark.parametrize(("count", "shift"), [(1, float("nan")), (2, 0.5), (3, 0.5)])
def test_two_words_tell_a_shift_and_one_may_be_a_chance(count: int, shift: float) -> None:
    later = [(text, start + 0.5, end + 0.5) for text, start, end in GOAT_TURN[:count]]
    found = agreement(heard(final(10.6, *later), said=said(GOAT_TURN)))
    assert found is not None
    assert (found.heard, found.matched, found.spoken) == (count, count, 3)
    assert found.shift == pytest.approx(shift, abs=EXACT, nan_ok=True)


def test_each_is_measured_once() -> None:
    one = heard(final(10.6, *GOAT_TURN), said=said(GOAT_TURN))
    assert turn_latency(one) is turn_latency(one)
    assert turn_latency(one) is not turn_latency(one, final="formatted")
    with pytest.raises(ValueError, match="read-only"):
        turn_latency(one).end[0] = 0.0
