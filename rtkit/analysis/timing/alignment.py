"""Alignment of recognized words with spoken words."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np

from rtkit.analysis.accuracy.languages import folded
from rtkit.reference import SpokenWord
from rtkit.services.messages import Word

__all__ = ["Alignment", "align", "align_texts", "normalize"]

SAME_WORD = 2.0  # seconds; the same text further off is another word
SHIFTED = 0.2  # seconds between two clocks that are worth a second look
AGREED = 0.5  # seconds from a shift
FAR = 10.0  # seconds; words further apart are all as far
NEARNESS = 1e-6  # edits a second: less than one edit for the longest session, so that it only ties

Said = TypeVar("Said", bound=SpokenWord | Word)


@lru_cache(maxsize=1 << 16)  # partials say the same words again and again
def normalize(text: str) -> str:
    """Folded, without punctuation at its edges.

    Marks are parts of words: a vowel sign at the end of one stays.
    """
    text = folded(text).replace("\N{MODIFIER LETTER APOSTROPHE}", "'")
    kept = [i for i, character in enumerate(text) if unicodedata.category(character)[0] in "LMN"]
    return text[kept[0] : kept[-1] + 1] if kept else ""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Pairs of indices of recognized and spoken words, rising in both.

    Attributes
    ----------
    same : tuple of (int, int)
        Words of the same normalized text.
    substituted : tuple of (int, int)
        A spoken word, and what was recognized instead.
    shift : float
        How many seconds the recognized words' times are later than the spoken words', as the median
        of `same`; NaN if no pair has both times.
    agreed : int
        How many of `same` lie that far apart, but for half a second.
    """

    same: tuple[tuple[int, int], ...]
    substituted: tuple[tuple[int, int], ...]
    shift: float
    agreed: int


def align(heard: Sequence[Word], spoken: Sequence[Said]) -> Alignment:
    """Align recognized with spoken words by minimum edit distance, close in time.

    Of all alignments of words that end within 2 s of one another it is the one with the fewest
    insertions, deletions and substitutions; of several the one whose words lie the least apart in
    time: of a repeated word that was missed once, the right one. Where the two clocks differ by
    more than that, so that less than half of the words match, the shift that the texts alone show
    is taken off first, if two words or more agree on it. Words without times are aligned by
    `align_texts`; single ones take the times of their neighbors.

    Notes
    -----
    The recurrence is Levenshtein's, in gains: a pair of the same text saves two edits, and a
    substitution one. Rows are kept to the window of words that are near enough.
    """
    texts = _texts(heard), _texts(spoken)
    times = _times(heard), _times(spoken)
    known = np.isfinite(times[0])
    if 2 * known.sum() < max(len(heard), 1) or not np.isfinite(times[1]).all():
        return align_texts(heard, spoken)
    found = _alignment(texts, times, _near(texts, times))
    shift = found.shift
    if 2 * len(found.same) < min(len(heard), len(spoken)):
        shift = _alignment(texts, times, _by_text(*texts)).shift
    if abs(shift) > SHIFTED:
        shifted = _alignment(texts, times, _near(texts, (times[0] - shift, times[1])))
        if max(found.agreed, 2) <= shifted.agreed:
            return shifted
    return found


def align_texts(heard: Sequence[Word], spoken: Sequence[Said]) -> Alignment:
    """Align by text alone, by minimum edit distance: only pairs without an alternative.

    If a repeated word can be aligned in two equally good ways, neither is used.
    """
    one, other = texts = _texts(heard), _texts(spoken)
    # One that begins at the end makes every free choice the other way.
    backward = _by_text(one[::-1], other[::-1])
    certain = {(len(one) - 1 - i, len(other) - 1 - j) for i, j in backward}
    pairs = [pair for pair in _by_text(one, other) if pair in certain]
    return _alignment(texts, (_times(heard), _times(spoken)), pairs)


def _by_text(heard: np.ndarray, spoken: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of one alignment of the least edit distance."""
    from rapidfuzz.distance import Levenshtein

    return [
        (i, i - block.src_start + block.dest_start)
        for block in Levenshtein.opcodes(heard.tolist(), spoken.tolist())
        if block.tag in ("equal", "replace")
        for i in range(block.src_start, block.src_end)
    ]


def _texts(words: Sequence[SpokenWord | Word]) -> np.ndarray:
    return np.array([normalize(word.text) for word in words], dtype=object)


def _times(words: Sequence[SpokenWord | Word]) -> np.ndarray:
    return np.array([word.end for word in words], dtype=float)


def _alignment(
    texts: tuple[np.ndarray, np.ndarray],
    times: tuple[np.ndarray, np.ndarray],
    pairs: Sequence[tuple[int, int]],
) -> Alignment:
    pairs = [(i, j) for i, j in pairs if texts[0][i] and texts[1][j]]  # punctuation is no word
    same = tuple((i, j) for i, j in pairs if texts[0][i] == texts[1][j])
    other = tuple((i, j) for i, j in pairs if texts[0][i] != texts[1][j])
    apart = np.array([times[0][i] - times[1][j] for i, j in same], dtype=float)
    apart = apart[np.isfinite(apart)]
    shift = float(np.median(apart)) if len(apart) else float("nan")
    return Alignment(same, other, shift, int((np.abs(apart - shift) <= AGREED).sum()))


def _near(
    texts: tuple[np.ndarray, np.ndarray], times: tuple[np.ndarray, np.ndarray]
) -> list[tuple[int, int]]:
    """The pairs of the least edit distance, then of the least time apart, within the window."""
    heard, spoken = texts
    if not len(heard) or not len(spoken):
        return []
    low, high = _windows(*times)
    widths = high - low
    starts = np.append(0, np.cumsum(widths))
    i = np.repeat(np.arange(len(heard)), widths)
    j = np.arange(starts[-1]) - np.repeat(starts[:-1] - low, widths)
    known = np.isfinite(times[0])
    place = np.arange(len(heard))
    about = np.interp(place, place[known], times[0][known])
    apart = np.minimum(np.abs(about[i] - times[1][j]), FAR)
    gain = np.where(heard[i] == spoken[j], 2.0, 1.0) - NEARNESS * apart
    gain[known[i] & (apart > SAME_WORD + 1e-9)] = 0.0
    rows = [[0.0]]
    gains = gain.tolist()  # rows are short: plain floats are quicker than arrays
    before = 0  # how many spoken words lie before the row above
    for first, last, start in zip(low.tolist(), high.tolist(), starts.tolist(), strict=False):
        above = rows[-1][first - before :]
        above += rows[-1][-1:] * (last - first + 1 - len(above))
        value = above[0]
        row = [value]
        saved = gains[start : start + last - first]
        for beside, best, gained in zip(above, above[1:], saved, strict=False):
            if best > value:
                value = best
            if beside + gained > value:
                value = beside + gained
            row.append(value)
        rows.append(row)
        before = first
    return _path(rows, [0, *low.tolist()])


def _path(rows: Sequence[Sequence[float]], low: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs that led to the last cell: where neither a row nor a column could be skipped."""
    pairs = []
    j = low[-1] + len(rows[-1]) - 1
    for i in range(len(rows) - 1, 0, -1):
        row, above = rows[i], rows[i - 1]
        j = min(j, low[i] + len(row) - 1)
        value = row[j - low[i]]
        while j > low[i] and row[j - 1 - low[i]] == value:
            j -= 1
        if above[min(j - low[i - 1], len(above) - 1)] != value:
            j -= 1
            pairs.append((i - 1, j))
    return pairs[::-1]


def _windows(heard: np.ndarray, spoken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each recognized word, the spoken words close in time: from `low` to before `high`.

    A word without a time, or out of order, is somewhere between its neighbors.
    """
    ordered = _ordered(heard)
    place = np.arange(len(heard))
    after = np.searchsorted(ordered, place)  # the first of the ordered ones that is not before it
    at = np.append(heard[ordered], np.inf)
    earliest = np.append(-np.inf, at)[after + np.isin(place, ordered)]
    low = np.searchsorted(np.maximum.accumulate(spoken), earliest - SAME_WORD - 1e-9)
    rising = np.minimum.accumulate(spoken[::-1])[::-1]
    high = np.searchsorted(rising, at[after] + SAME_WORD + 1e-9, side="right")
    return low, np.maximum(low, high)


def _ordered(times: np.ndarray) -> np.ndarray:
    """The indices of as many times as can be that do not fall."""
    if np.all(times[1:] >= times[:-1]):
        return np.arange(len(times))
    tails: list[float] = []
    ends: list[int] = []  # of the chains of each length, the one that ends the earliest
    previous = np.full(len(times), -1)
    for i, time in enumerate(times.tolist()):
        if time != time:  # NaN: it is not known
            continue
        length = bisect_right(tails, time)
        previous[i] = ends[length - 1] if length else -1
        tails[length : length + 1] = [time]
        ends[length : length + 1] = [i]
    chain = []
    i = ends[-1] if ends else -1
    while i >= 0:
        chain.append(i)
        i = int(previous[i])
    return np.array(chain[::-1], dtype=int)
