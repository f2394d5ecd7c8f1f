"""Words that were heard set beside words that were said."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rtkit.reference import SpokenWord
from rtkit.services.messages import Word

__all__ = ["align", "normalize"]

SAME_WORD = 2.0  # seconds; the same text further off is another word


def normalize(text: str) -> str:
    """Lower case, without punctuation at its edges or typographic apostrophes."""
    return re.sub(r"^\W+|\W+$", "", text.casefold().replace("’", "'"))


def align(
    heard: Sequence[Word], spoken: Sequence[SpokenWord | Word], *, within: float = SAME_WORD
) -> list[tuple[int, int]]:
    """Match heard to spoken words: as many pairs as possible, in order, of the same text.

    This is the alignment of least edit distance (insertions and deletions) among those in which
    matched words end within `within` seconds of one another; a word without times may match
    anywhere. Of several, it is the one whose words lie the least apart in time: of a repeated word
    that was missed once, the right one.

    Returns
    -------
    list of (int, int)
        Indices into `heard` and `spoken`, rising in both.
    """
    ends = [word.end for word in spoken if word.end is not None]
    timed = len(ends) == len(spoken)
    texts = [normalize(word.text) for word in spoken]
    best = _Best(len(spoken))
    for i, word in enumerate(heard):
        text, end = normalize(word.text), word.end if timed else None
        near = range(len(spoken))
        if end is not None:
            near = range(bisect_left(ends, end - within), bisect_right(ends, end + within))
        pairs = []
        for j in near:
            if texts[j] == text:
                before = best.before(j)
                apart = 0.0 if end is None else abs(ends[j] - end)
                pairs.append(_Pair(i, j, before, *_grown(before, apart)))
        for pair in pairs:  # only now, so that one heard word takes one spoken word
            best.put(pair)
    return list(reversed(list(_chain(best.before(len(spoken))))))


@dataclass(frozen=True, slots=True)
class _Pair:
    """The last pair of a chain: how many pairs there are, and how far apart in sum."""

    heard: int
    spoken: int
    previous: _Pair | None
    length: int
    apart: float


class _Best:
    """The best chain among those that end before a given spoken word: a Fenwick tree."""

    def __init__(self, size: int) -> None:
        self._nodes: list[_Pair | None] = [None] * (size + 1)

    def before(self, spoken: int) -> _Pair | None:
        found = None
        while spoken:
            found = _better(found, self._nodes[spoken])
            spoken &= spoken - 1
        return found

    def put(self, pair: _Pair) -> None:
        node = pair.spoken + 1
        while node < len(self._nodes):
            self._nodes[node] = _better(self._nodes[node], pair)
            node += node & -node


def _better(one: _Pair | None, other: _Pair | None) -> _Pair | None:
    if one is None or other is None:
        return one or other
    return other if (-other.length, other.apart) < (-one.length, one.apart) else one


def _grown(before: _Pair | None, apart: float) -> tuple[int, float]:
    return (1, apart) if before is None else (before.length + 1, before.apart + apart)


def _chain(pair: _Pair | None) -> Iterable[tuple[int, int]]:
    while pair is not None:
        yield pair.heard, pair.spoken
        pair = pair.previous
