"""Which spoken words belong to each turn, whether recognized or not.

With a reference, recognized words are aligned with spoken words over the whole session. A spoken
word belongs to the turn that recognized it. A missed or misheard word belongs to the turn that
recognized its neighbors in the reference's turn. Where these do not agree, it is ambiguous; so is
the end of a turn behind which a whole turn of the reference passed unheard, before the service
ended it. A recognized word that matches nothing belongs to nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rtkit.analysis.timing.alignment import Alignment, normalize
from rtkit.reference import Reference, SpokenWord
from rtkit.services.messages import Word

__all__ = ["Edge", "by_the_reference", "by_the_service", "known"]

TOO_NEAR = 0.1  # seconds between two words, for a service's times to tell which one it heard
DISTANT = 0.5  # seconds from where a word was spoken, for a service's times to make it another

Owners = tuple[int, ...]  # the turns that a spoken word may belong to, by their places


@dataclass(frozen=True, slots=True)
class Edge:
    """The first or the last word of a turn: when it was spoken, and how that is known.

    `doubt` is empty, or says why it is not known: ``"unmatched"`` (no word of the turn matches
    what was said) or ``"ambiguous"`` (a missed word may or may not belong to this turn).
    """

    start: float
    end: float
    referenced: bool
    doubt: str = ""


def by_the_service(words: Sequence[Word], doubt: str = "") -> tuple[Edge | None, Edge | None]:
    """The first and the last word of a turn, where and when the service places them."""
    if not words:
        return None, None
    if not any(normalize(word.text) for word in words):
        doubt = "unmatched"
    first, last = (
        Edge(known(word.start), known(word.end), referenced=False, doubt=doubt)
        for word in (words[0], words[-1])
    )
    return first, last


def by_the_reference(
    reference: Reference,
    turns: Sequence[Sequence[Word]],
    aligned: Alignment,
    limits: Sequence[float],
) -> list[tuple[Edge | None, Edge | None]]:
    """The first and the last spoken word that belongs to each of `turns`, which were heard.

    `limits` says how much audio each of them can have been decided by.
    """
    spoken, said_in = reference.words, reference.owners
    aligned = _possible(turns, aligned, spoken, limits)
    owners = _owners(spoken, said_in, turns, aligned, limits)
    begins = {turn: spoken[j].start for j, turn in reversed([*enumerate(said_in)])}
    finishes = {turn: j for j, turn in enumerate(said_in)}
    unheard = {finishes[turn] for turn in finishes}  # the last words of turns that nobody heard
    unheard -= {finishes[turn] for turn, some in zip(said_in, owners, strict=True) if some}
    possible: list[list[int]] = [[] for _ in turns]
    for j, some in enumerate(owners):
        for turn in some:
            possible[turn].append(j)
    of_turn = [number for number, words in enumerate(turns) for _ in words]
    matched = {of_turn[i] for i, _ in aligned.same}
    edges = []
    for number, words in enumerate(turns):
        if number not in matched:
            edges.append(by_the_service(words, "unmatched"))
            continue
        may = possible[number]
        certain = [j for j in may if len(owners[j]) == 1] or may
        first, last = (len(owners[j]) > 1 for j in (may[0], may[-1]))
        end = spoken[certain[-1]].end
        for j in range(may[-1] + 1, len(spoken)):
            if owners[j] or spoken[j].end > limits[number]:
                break
            last |= j in unheard and begins[said_in[j]] >= end
        edges.append((_edge(spoken[certain[0]], first), _edge(spoken[certain[-1]], last)))
    return edges


def _edge(word: SpokenWord, ambiguous: bool) -> Edge:
    return Edge(word.start, word.end, referenced=True, doubt="ambiguous" if ambiguous else "")


def _possible(
    turns: Sequence[Sequence[Word]],
    aligned: Alignment,
    spoken: Sequence[SpokenWord],
    limits: Sequence[float],
) -> Alignment:
    """Without matches of words that began after their turn had ended, unless a turn has no other.

    A word that was made up may be said a moment later.
    """
    of_turn = [number for number, words in enumerate(turns) for _ in words]
    sound = [(i, j) for i, j in aligned.same if spoken[j].start <= limits[of_turn[i]]]
    told = {of_turn[i] for i, _ in sound}
    kept = {*sound, *((i, j) for i, j in aligned.same if of_turn[i] not in told)}
    return replace(aligned, same=tuple(sorted(kept)))


def _owners(
    spoken: Sequence[SpokenWord],
    said_in: Sequence[int],
    turns: Sequence[Sequence[Word]],
    aligned: Alignment,
    limits: Sequence[float],
) -> list[Owners]:
    """The turns that each spoken word may belong to: usually one; none if not recognized."""
    heard = [(word, number) for number, words in enumerate(turns) for word in words]
    owners: list[Owners] = [()] * len(spoken)

    def in_time(j: int, may: Iterable[Owners]) -> Owners:
        return tuple(turn for turn in _merged(may) if spoken[j].end <= limits[turn] + 1e-9)

    for i, j in aligned.same:
        owners[j] = (heard[i][1],)
    instead = {
        j: heard[i][1]
        for i, j in aligned.substituted
        if _overlap(heard[i][0], spoken[j], aligned.shift)
    }
    matched = {j for _, j in aligned.same}
    # People talk over one another: a word's neighbors are those of its own turn.
    words_of: dict[int, list[int]] = {}
    for j, turn in enumerate(said_in):
        words_of.setdefault(turn, []).append(j)
    for own in words_of.values():
        places = [place for place, j in enumerate(own) if j in matched]
        for before, after in pairwise([-1, *places, len(own)]):
            # Those around it of which it is known who heard them, right or wrong.
            around = [own[place] for place in (before, after) if 0 <= place < len(own)]
            gap = own[before + 1 : after]
            misheard = [j for j in gap if j in instead]
            for j in misheard:
                sides = {owners[k] for k in around}
                owners[j] = _merged([(instead[j],), *(sides if len(sides) == 1 else ())])
            told = sorted([*around, *misheard])
            for j in gap:
                if j not in instead:
                    place = bisect_left(told, j)
                    owners[j] = in_time(j, [owners[k] for k in told[max(place - 1, 0) : place + 1]])
    words = [word for word, _ in heard]
    for j, other in (*_twins(spoken, aligned, words), *_distant(spoken, aligned, words)):
        if said_in[j] == said_in[other]:
            owners[j] = _merged([owners[j], in_time(j, [owners[other]])])
    return owners


def _twins(
    spoken: Sequence[SpokenWord], aligned: Alignment, heard: Sequence[Word]
) -> Iterator[tuple[int, int]]:
    """Words next to an identical word that was missed, if their times do not show which one.

    Each with the word on its other side, whose turn it belongs to if it was missed itself.
    """
    matched = {j for _, j in aligned.same}
    for i, j in aligned.same:
        for twin, other in ((j + 1, j - 1), (j - 1, j + 1)):
            if (
                min(twin, other) >= 0
                and max(twin, other) < len(spoken)
                and twin not in matched
                and normalize(spoken[twin].text) == normalize(spoken[j].text)
            ):
                at = known(heard[i].end) - aligned.shift
                apart = abs(at - spoken[j].end) - abs(at - spoken[twin].end)
                if abs(apart) < TOO_NEAR:
                    yield j, other


def _distant(
    spoken: Sequence[SpokenWord], aligned: Alignment, heard: Sequence[Word]
) -> Iterator[tuple[int, int]]:
    """Words that were heard so far from where they were spoken that they may have been made up.

    Each with the words beside it, to whose turns it belongs if it was missed.
    """
    for i, j in aligned.same:
        apart = abs(known(heard[i].end) - aligned.shift - spoken[j].end)
        if apart > DISTANT and not _overlap(heard[i], spoken[j], aligned.shift):
            yield from ((j, other) for other in (j - 1, j + 1) if 0 <= other < len(spoken))


def _merged(owners: Iterable[Owners]) -> Owners:
    return tuple(sorted({turn for some in owners for turn in some}))


def _overlap(heard: Word, spoken: SpokenWord, shift: float) -> bool:
    """Whether the two are the same sound: a word without times may be any."""
    start, end = known(heard.start), known(heard.end)
    if math.isnan(start) or math.isnan(end) or math.isnan(shift):
        return True
    return start - shift < spoken.end and end - shift > spoken.start


def known(time: float | None) -> float:
    """NaN where a service does not say."""
    return math.nan if time is None else time
