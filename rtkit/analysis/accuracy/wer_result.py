"""A word error rate: its alignment, its confidence interval, and how it is shown."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Literal

import numpy as np

from rtkit.analysis.accuracy.languages import counted_in
from rtkit.analysis.statistics.bootstrap import (
    LEAST,
    RESAMPLES,
    Interval,
    check,
    needed,
    ratio_interval,
)
from rtkit.boundary.text import counted
from rtkit.markup import SMALL, box, marked

__all__ = ["Difference", "Edit", "Kind", "WordErrorRate"]

RARE = 0.95  # what spoils one segment in twenty has to be met before an interval can hold it

Kind = Literal["hit", "substitution", "deletion", "insertion"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One word of the alignment, or one character.

    Attributes
    ----------
    kind : {"hit", "substitution", "deletion", "insertion"}
    said, heard : str
        Normalized; `said` is empty for an insertion, `heard` for a deletion.
    segment : int
        The segment of the reference that it belongs to; for an insertion, that of the previous
        word.
    """

    kind: Kind
    said: str
    heard: str
    segment: int


@dataclass(frozen=True)
class WordErrorRate:
    """What `wer` found. Prints as one line, and in color, word by word, in a notebook.

    Attributes
    ----------
    edits : tuple of Edit
        The alignment: hits and errors, in order.
    segments : int
        Number of segments of the reference, which the bootstrap resamples.
    unit : str
        What they are: ``"turns"``, ``"lines"`` or ``"sentences"``.
    language : str
    notes : tuple of str
        What to know before using the rate.
    """

    edits: tuple[Edit, ...]
    segments: int
    unit: str
    language: str = "en"
    notes: tuple[str, ...] = ()

    @property
    def hits(self) -> int:
        return self._count("hit")

    @property
    def substitutions(self) -> int:
        return self._count("substitution")

    @property
    def insertions(self) -> int:
        return self._count("insertion")

    @property
    def deletions(self) -> int:
        return self._count("deletion")

    @property
    def counted_in(self) -> str:
        """What is counted: ``"words"``, or ``"characters"`` where words are not spaced."""
        return counted_in(self.language)

    @property
    def words(self) -> int:
        """Number of words (or characters, see `counted_in`) in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> tuple[Edit, ...]:
        return tuple(edit for edit in self.edits if edit.kind != "hit")

    @property
    def rate(self) -> float:
        """Errors per word of the reference; above 1 if there are more errors than words."""
        return len(self.errors) / self.words

    @cached_property
    def interval(self) -> Interval:
        """The 95% interval of the rate; see `bootstrap`."""
        return self.bootstrap()

    def bootstrap(
        self, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
    ) -> Interval:
        """The interval of the rate over segments, resampled with replacement.

        Errors come in clumps, so whole segments are resampled, not words (Bisani and Ney, 2004,
        "Bootstrap estimates for confidence intervals in ASR performance evaluation"). The result is
        the wider of Student's t and the bootstrap-t interval. With fewer than 72 segments it
        carries a note: rare segments with many errors may not have occurred yet.

        Parameters
        ----------
        level, resamples, seed
            As for `rtkit.analysis.statistics.bootstrap.bootstrap_quantiles`.

        Raises
        ------
        ValueError
            If `level` or `resamples` is out of range.
        """
        check(level, resamples)
        errors = self._by_segment[0]
        if self.segments >= LEAST and not errors.any():
            most = min(1, 3 / self.segments)
            return self._none(
                self.rate,
                level,
                f"without an error in {self.segments} {self.unit} there is no interval; "
                f"by the rule of three, up to {most:.0%} of such {self.unit} may still contain one",
            )
        found = self._sure(errors, self.rate, level, resamples, seed)
        return replace(found, low=float(np.maximum(0.0, found.low)))

    def difference(
        self,
        other: WordErrorRate,
        *,
        level: float = 0.95,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> Difference:
        """This rate minus `other`'s, on the same words, with an interval of the difference.

        Each draw uses the same segments of both, since both received the same audio. This is more
        precise than to see whether two intervals overlap.

        Raises
        ------
        ValueError
            If the two do not have the same reference.
        """
        check(level, resamples)
        if self._said != other._said:
            raise ValueError(
                "the two rates have different references; score both sessions against the "
                "same words to compare them"
            )
        apart = self._by_segment[0] - other._by_segment[0]
        if apart.any():
            found = self._sure(apart, self.rate - other.rate, level, resamples, seed)
        else:
            found = self._none(
                0.0,
                level,
                f"both have the same number of errors in each of the {self.segments} "
                f"{self.unit}: no difference was seen, which does not prove that there is none",
            )
        return Difference(found)

    def _sure(
        self, errors: np.ndarray, rate: float, level: float, resamples: int, seed: int
    ) -> Interval:
        if self.segments < LEAST:
            few = "there is one" if self.segments == 1 else "there are two"
            why = f"at least {LEAST} {self.unit} are needed to see how they vary, and {few}"
            return self._none(rate, level, why)
        words = self._by_segment[1]
        low, high = ratio_interval(
            errors, words, level=level, resamples=resamples, generator=np.random.default_rng(seed)
        )
        enough = needed(RARE, level)
        notes = []
        if math.isinf(low) or math.isinf(high):
            notes.append(f"errors in too few {self.unit} to bound it")
        if self.segments < enough:
            few = f"{self.segments} of {enough} {self.unit}"
            notes.append(f"too narrow where errors come in rare clumps: {few}")
        return Interval(rate, low, high, level, self.words, self.segments, "; ".join(notes))

    def _none(self, rate: float, level: float, why: str) -> Interval:
        return Interval(rate, math.nan, math.nan, level, self.words, self.segments, why)

    def __float__(self) -> float:
        return self.rate

    def __repr__(self) -> str:
        sure = self.interval
        within = "no interval" if math.isnan(sure.low) else f"{sure.level:.0%}: {_bounds(sure)}"
        return f"<{self._name} {self.rate * 100:.1f}% ({within}): {self._counts}>"

    def __str__(self) -> str:
        rate = f"{self._name} {self.rate * 100:.1f}%: {self._counts}"
        errors = [f"  {count}× {said}" for said, count in self._listed()]
        return "\n".join([rate, _told_of(self.interval), *errors, *self.notes])

    def _repr_html_(self) -> str:
        segments = groupby(self.edits, key=lambda edit: edit.segment)
        text = "".join(f"<div>{_segment_html(list(edits))}</div>" for _, edits in segments)
        listed = "".join(f"<li>{count}× {html.escape(said)}</li>" for said, count in self._listed())
        count = counted(len(self.errors), "error")
        errors = f"<details><summary>{count}, the most frequent first</summary>"
        notes = "".join(f"<div><b>Note.</b> {html.escape(note)}</div>" for note in self.notes)
        return box(
            f"<div><b>{self._name} {self.rate * 100:.1f}%</b>: {self._counts}.</div>"
            f"<div>{html.escape(_told_of(self.interval))}</div>{notes}"
            f'<div style="margin: 8px 0">{text}</div><div style="{SMALL}">{LEGEND}</div>'
            + (f"{errors}<ul>{listed}</ul></details>" if listed else "")
        )

    @property
    def _name(self) -> str:
        return "CER" if self.counted_in == "characters" else "WER"

    @property
    def _counts(self) -> str:
        return (
            f"{self.substitutions} substituted, {self.insertions} inserted, {self.deletions} "
            f"deleted, of {self.words} {self.counted_in}"
        )

    def _count(self, kind: Kind) -> int:
        return sum(edit.kind == kind for edit in self.edits)

    @property
    def _said(self) -> list[tuple[int, str]]:
        return [(edit.segment, edit.said) for edit in self.edits if edit.said]

    @cached_property
    def _by_segment(self) -> tuple[np.ndarray, np.ndarray]:
        """Errors and reference words of each segment, shape (segments,) both."""
        errors, words = np.zeros(self.segments), np.zeros(self.segments)
        for edit in self.edits:
            errors[edit.segment] += edit.kind != "hit"
            words[edit.segment] += edit.kind != "insertion"
        return errors, words

    def _listed(self) -> list[tuple[str, int]]:
        return Counter(map(_told, self.errors)).most_common()


@dataclass(frozen=True, slots=True)
class Difference:
    """One rate minus another's on the same words, and between which bounds it lies."""

    interval: Interval

    @property
    def rate(self) -> float:
        return self.interval.value

    def __str__(self) -> str:
        shown = " It does not include 0; only another run shows whether that is repeatable."
        if self.interval.holds_zero:
            shown = " It includes 0: no difference is shown." * (not math.isnan(self.interval.low))
        return f"{self.rate * 100:+.1f} percentage points. {_told_of(self.interval)}{shown}"


def _told_of(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"No interval: {interval.note}."
    note = f" ({interval.note})" if interval.note else ""
    return (
        f"{interval.level:.0%} interval: {_bounds(interval)}{note}. It shows the effect of "
        f"chance for speech like this, not for other speakers, recordings or runs."
    )


def _bounds(interval: Interval) -> str:
    if math.isinf(interval.high):
        return f"{interval.low * 100:.1f}% or more"
    if math.isinf(interval.low):
        return f"{interval.high * 100:.1f}% or less"
    return f"{interval.low * 100:.1f} to {interval.high * 100:.1f}%"


# In the notebook.


def _segment_html(edits: Sequence[Edit]) -> str:
    """A segment's words: runs of one kind in one piece."""
    pieces = []
    for kind, run in groupby(edits, key=lambda edit: edit.kind):
        both = list(run)
        said = " ".join(edit.said for edit in both)
        heard = " ".join(edit.heard for edit in both)
        if kind == "hit":
            pieces.append(html.escape(said))
        elif kind == "substitution":
            pieces.append(f"{marked('struck', said)} {marked('instead', heard)}")
        else:
            pieces.append(marked("struck", said) or marked("added", heard))
    return " ".join(pieces)


LEGEND = " &nbsp; ".join(
    (
        f"{marked('struck', 'struck')} said, not recognized",
        f"{marked('instead', 'marked')} recognized instead",
        f"{marked('added', 'underlined')} recognized, not said",
    )
)


def _told(edit: Edit) -> str:
    if edit.kind == "substitution":
        return f"{edit.said} → {edit.heard}"
    return f"{edit.kind}: {edit.said or edit.heard}"
