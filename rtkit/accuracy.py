"""How well it was understood: word error rate, word by word, and how sure one can be of it.

Both texts are normalised as Whisper's evaluation does, so that casing, punctuation, spelt-out
numbers and contractions do not count, and aligned as a whole with the fewest errors::

    rate = (substitutions + deletions + insertions) / words of the reference

This needs ``pip install 'rtkit[eval]'``: jiwer aligns, whisper-normalizer normalises.
"""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from rtkit.reference import Reference, SidecarError, read_reference
from rtkit.session import Session

__all__ = ["Difference", "Edit", "Interval", "WordErrorRate", "wer"]

DRAWS = 5000
FEW = 20  # segments; with fewer the interval promises more than it keeps (see `bootstrap`)
UNSPACED = ("zh", "yue", "ja", "th", "lo", "my", "km")  # scripts that put no spaces between words

Kind = Literal["hit", "substitution", "deletion", "insertion"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One word of the alignment.

    Attributes
    ----------
    kind : {"hit", "substitution", "deletion", "insertion"}
    said, heard : str
        Normalised; an insertion was not said, a deletion not heard: then it is empty.
    segment : int
        The segment of the reference that it belongs to; an insertion to that of the word before.
    """

    kind: Kind
    said: str
    heard: str
    segment: int


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a rate may lie; NaN where nothing can be said. `sentence` says how sure one can be."""

    low: float
    high: float
    level: float
    sentence: str

    def __str__(self) -> str:
        if math.isnan(self.low):
            return self.sentence
        return f"{self.low * 100:.1f} to {self.high * 100:.1f} %. {self.sentence}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One rate minus another's on the same words, and where that difference may lie."""

    rate: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.rate * 100:+.1f} percentage points; {self.interval}"


@dataclass(frozen=True)
class WordErrorRate:
    """What `wer` found. Prints in a line, and in colour, word by word, in a notebook.

    Attributes
    ----------
    edits : tuple of Edit
        The alignment: hits and errors, in order.
    segments : int
        In how many pieces the reference came; the bootstrap draws among them.
    unit : str
        What they are: ``"turns"``, ``"lines"`` or ``"sentences"``.
    language : str
    notes : tuple of str
        What a reader must know before using the rate.
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
    def words(self) -> int:
        """How many words the reference holds."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> tuple[Edit, ...]:
        return tuple(edit for edit in self.edits if edit.kind != "hit")

    @property
    def rate(self) -> float:
        """Errors per word of the reference; above 1 where more was invented than was said."""
        return len(self.errors) / self.words

    @cached_property
    def interval(self) -> Interval:
        """The 95 % bootstrap interval of the rate; see `bootstrap`."""
        return self.bootstrap()

    def bootstrap(self, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Interval:
        """An interval of the rate over segments drawn anew, with replacement.

        Errors come in clumps, so whole segments are drawn, and not words (Bisani and Ney, 2004,
        "Bootstrap estimates for confidence intervals in ASR performance evaluation"). It is the
        percentile interval, widened for few segments as Student's t is against the normal
        (Hesterberg, 2015, "What teachers should know about the bootstrap", section 4.3). In
        simulated sessions with clumps of errors, 95 % intervals held the truth in 86 to 94 of 100
        cases with 10 to 20 segments, and in 88 to 96 with 40 to 80.

        Parameters
        ----------
        level : float
            Between 0 and 1.
        draws : int
            How many times as many segments are drawn as there are.
        seed : int
            The same seed gives the same interval.

        Raises
        ------
        ValueError
            If `level` or `draws` is out of range.
        """
        errors, words = self._by_segment
        unsure = self._unsure()
        if unsure:
            _check(level, draws)
            return Interval(math.nan, math.nan, level, unsure)
        low, high = _drawn(errors, words, level, draws, seed)
        return Interval(low, high, level, self._sentence(level, draws))

    def difference(
        self, other: WordErrorRate, *, level: float = 0.95, draws: int = DRAWS, seed: int = 0
    ) -> Difference:
        """This rate minus `other`'s, on the same words, with an interval of the difference.

        Each draw takes the same segments of both, since both heard the same. Two intervals that
        overlap tell much less.

        Raises
        ------
        ValueError
            If the two do not have the same reference.
        """
        if self._said != other._said:
            raise ValueError(
                "the two rates were taken against different references; score both sessions "
                "against the same words to compare them"
            )
        errors, words = self._by_segment
        apart = errors - other._by_segment[0]
        rate = self.rate - other.rate
        if self.segments < 2 or not apart.any():
            _check(level, draws)
            nothing = (
                "One segment cannot be drawn from."
                if self.segments < 2
                else f"Both made as many errors in each of the {self.segments} {self.unit}: "
                "no difference was seen, which does not show that there is none."
            )
            return Difference(rate, Interval(math.nan, math.nan, level, nothing))
        low, high = _drawn(apart, words, level, draws, seed)
        shown = (
            "It holds 0: no difference is shown."
            if low <= 0 <= high
            else "It leaves out 0; whether another run would repeat that, only another run tells."
        )
        return Difference(
            rate, Interval(low, high, level, f"{shown} {self._sentence(level, draws)}")
        )

    def __float__(self) -> float:
        return self.rate

    def __repr__(self) -> str:
        sure = self.interval
        within = (
            "no interval"
            if math.isnan(sure.low)
            else f"{sure.level:.0%}: {sure.low * 100:.1f} to {sure.high * 100:.1f} %"
        )
        return f"<{self._name} {self.rate * 100:.1f} % ({within}): {self._counts}>"

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self._name} {self.rate * 100:.1f} %: {self._counts}",
                f"interval: {self.interval}",
                *[f"  {count}× {said}" for said, count in self._listed()],
                *self.notes,
            ]
        )

    def _repr_html_(self) -> str:
        segments = groupby(self.edits, key=lambda edit: edit.segment)
        text = "".join(f"<div>{_marked(list(edits))}</div>" for _, edits in segments)
        listed = "".join(f"<li>{count}× {html.escape(said)}</li>" for said, count in self._listed())
        errors = f"<details><summary>{len(self.errors)} errors, the most frequent first</summary>"
        notes = "".join(f"<div><b>Note.</b> {html.escape(note)}</div>" for note in self.notes)
        return (
            f'<div style="{_BOX}"><div><b>{self._name} {self.rate * 100:.1f} %</b>: '
            f"{self._counts}.</div><div>{html.escape(self._interval_line())}</div>{notes}"
            f'<div style="margin: 8px 0">{text}</div>'
            f'<div style="font-size: 0.9em">{_LEGEND}</div>'
            + (f"{errors}<ul>{listed}</ul></details>" if listed else "")
            + "</div>"
        )

    @property
    def _name(self) -> str:
        return "CER" if self.language in UNSPACED else "WER"

    @property
    def _counts(self) -> str:
        units = "characters" if self.language in UNSPACED else "words"
        return (
            f"{self.substitutions} substituted, {self.insertions} inserted, {self.deletions} "
            f"deleted, of {self.words} {units}"
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

    def _interval_line(self) -> str:
        sure = self.interval
        within = "" if math.isnan(sure.low) else f"{sure.level:.0%} interval "
        return f"{within}{sure}"

    def _unsure(self) -> str:
        """Why no interval can be given; empty if one can."""
        if self.segments < 2:
            return "No interval: the reference is in one piece, and one cannot draw among one."
        if not self.errors:
            return (
                f"No interval: without an error in {self.segments} {self.unit} the bootstrap "
                f"cannot tell how rare errors are. By the rule of three up to "
                f"{min(1, 3 / self.segments):.0%} of such {self.unit} may still hold one."
            )
        return ""

    def _sentence(self, level: float, draws: int) -> str:
        few = (
            f" They are few: it holds the truth less often than {level:.0%}."
            if self.segments < FEW
            else ""
        )
        return (
            f"Bootstrap of {draws} draws among the {self.segments} {self.unit}.{few} It tells what "
            "chance may do with such speech, and nothing of other speakers, recordings or runs."
        )

    def _listed(self) -> list[tuple[str, int]]:
        return Counter(map(_told, self.errors)).most_common()


def wer(
    session: Session, reference: str | Path | Reference | None = None, *, language: str = "en"
) -> WordErrorRate:
    """The word error rate of a session's final transcript.

    Each turn counts once, as it was last: a formatted final replaces the one without format.

    Parameters
    ----------
    session : Session
    reference : str or Path or Reference, optional
        What was truly said; the session's own reference without it. A path, or a string that ends
        in ``.json`` or ``.txt``, is a file: a sidecar, from which the stretch that was streamed is
        taken, or plain text, taken whole. Any other string is the text itself.
    language : str
        A code such as ``"en"`` or ``"de"``. English is normalised for spellings, contractions and
        numbers, other languages for casing and punctuation; where words are not spaced, characters
        are counted.

    Raises
    ------
    ValueError
        If there is no reference, it holds no words, or the service heard no words by its making.
    SidecarError
        If the file cannot be read.
    ImportError
        If what it needs is not installed.
    """
    if session.settings.service.get("hears") == "energy":
        raise ValueError(
            "the service only marked where speech is, so there are no words to score; stream to "
            "one that understands: rtkit.Loopback(ears='recognizer') or rtkit.AssemblyAI()"
        )
    jiwer, normalise = _tools(language)
    unit, segments = _segments(session, reference)
    said = normalise(" ".join(segments))
    if not said:
        raise ValueError(
            "the reference holds no words once it is normalised, so there is no rate; "
            "give one that says what was said"
        )
    ends = _ends([normalise(segment) for segment in segments], said, jiwer)
    found = jiwer.process_words(" ".join(said), " ".join(normalise(session.transcript)))
    edits = tuple(_edits(found, ends))
    pieces = sorted({edit.segment for edit in edits if edit.said})  # a laugh alone has no words
    numbers = {segment: number for number, segment in enumerate(pieces)}
    return WordErrorRate(
        tuple(Edit(edit.kind, edit.said, edit.heard, numbers[edit.segment]) for edit in edits),
        len(pieces),
        unit,
        language,
        tuple(_notes(session)),
    )


# Texts.


def _segments(session: Session, reference: str | Path | Reference | None) -> tuple[str, list[str]]:
    """What was said, in pieces, and what the pieces are."""
    if reference is None:
        reference = session.reference
        if reference is None:
            raise ValueError(
                f"there is no reference for {session.settings.recording}; give one: "
                "rtkit.wer(session, 'what was truly said'), or a sidecar's path"
            )
    elif isinstance(reference, Path) or (
        isinstance(reference, str) and re.search(r"^\S[^\n]*\.(json|txt)$", reference)
    ):
        reference = _read(Path(reference), session)
    if isinstance(reference, Reference):
        return "turns", [turn.text for turn in reference.turns]
    if not isinstance(reference, str):
        raise TypeError(
            f"a {type(reference).__name__} is no reference; give text, a path or an rtkit.Reference"
        )
    lines = [line for line in reference.splitlines() if line.strip()]
    if len(lines) > 1:
        return "lines", lines
    return "sentences", re.split(r"(?<=[.!?。！？])\s+", " ".join(lines))


def _read(path: Path, session: Session) -> Reference | str:
    if path.suffix.lower() != ".json":
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SidecarError(f"{path} cannot be read: {reason}.") from error
    start = session.settings.first / session.settings.rate
    return read_reference(path).excerpt(start, start + session.settings.seconds)


def _notes(session: Session) -> Iterator[str]:
    service = session.settings.service
    if service.get("hears") == "script":
        yield (
            "The service spoke from a script and understood nothing: this rate tells what got lost "
            "on the way, not how well anything recognises speech."
        )
    if not session.complete:
        sent = session.chunks[-1].stop / session.settings.rate if session.chunks else 0.0
        yield (
            f"The session did not end by itself: {sent:.1f} of {session.settings.seconds:.1f} s "
            "were sent, and the rest counts as deleted."
        )


def _tools(language: str) -> tuple[Any, Callable[[str], list[str]]]:
    """jiwer, and what makes normalised words of a text."""
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", language):
        raise ValueError(f"{language!r} is no language code; give one such as 'en' or 'de'")
    try:
        import jiwer
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise ImportError(
            "Scoring needs jiwer and whisper-normalizer: pip install 'rtkit[eval]'"
        ) from error
    normaliser = (
        EnglishTextNormalizer()
        if language.partition("-")[0] == "en"
        else BasicTextNormalizer(split_letters=language.partition("-")[0] in UNSPACED)
    )
    return jiwer, lambda text: str(normaliser(text)).split()


# The alignment.


def _edits(found: Any, ends: Sequence[int]) -> Iterator[Edit]:
    """jiwer's alignment, a word each."""
    (said,), (heard,), (stretches,) = found.references, found.hypotheses, found.alignments
    kinds: dict[str, Kind] = {
        "equal": "hit",
        "substitute": "substitution",
        "delete": "deletion",
        "insert": "insertion",
    }
    segment = np.searchsorted(ends, np.arange(len(said)), side="right")
    for stretch in stretches:
        there = range(stretch.ref_start_idx, stretch.ref_end_idx)
        here = range(stretch.hyp_start_idx, stretch.hyp_end_idx)
        for k in range(max(len(there), len(here))):
            # What was inserted follows the word before.
            place = there[k] if there else max(stretch.ref_start_idx - 1, 0)
            yield Edit(
                kinds[stretch.type],
                said[there[k]] if there else "",
                heard[here[k]] if here else "",
                int(segment[place]),
            )


def _ends(segments: Sequence[Sequence[str]], whole: Sequence[str], jiwer: Any) -> list[int]:
    """Where in the `whole` each of the segments ends, in words.

    Normalised apart they may hold other words than together ("seven. Four books" makes one number),
    so that their ends have to be looked up in the alignment of the two.
    """
    ends = np.cumsum([len(segment) for segment in segments])
    words = [word for segment in segments for word in segment]
    if words == list(whole):
        return [int(end) for end in ends]
    (stretches,) = jiwer.process_words(" ".join(words), " ".join(whole)).alignments
    apart = [stretch.ref_end_idx for stretch in stretches]
    together = [stretch.hyp_end_idx for stretch in stretches]
    return [int(end) for end in np.interp(ends, [0, *apart], [0, *together])]


# The bootstrap.


def _check(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level={level:g} is no share; give a number between 0 and 1, as 0.95")
    if draws < 100:
        raise ValueError(f"draws={draws} are too few for an interval; give 100 or more")


def _drawn(
    errors: np.ndarray, words: np.ndarray, level: float, draws: int, seed: int
) -> tuple[float, float]:
    """The middle `level` of the rates in so many draws, widened for few segments."""
    _check(level, draws)
    generator = np.random.default_rng(seed)
    even = np.full(len(words), 1 / len(words))
    rates = np.empty(draws)
    for i in range(draws):  # a draw at a time: three hours of turns times 5000 would not fit
        times = generator.multinomial(len(words), even)
        rates[i] = (times @ errors) / (times @ words)
    tail = _tail(level, len(words))
    low, high = np.quantile(rates, (tail, 1 - tail))
    return float(low), float(high)


def _tail(level: float, segments: int) -> float:
    """What to leave out at either end: less than the level says, the fewer the segments.

    Student's t by its expansion about the normal (Abramowitz and Stegun, 26.7.5).
    """
    normal, freedom = NormalDist(), segments - 1
    z = normal.inv_cdf((1 + level) / 2)
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(-t * math.sqrt(segments / freedom))


# In the notebook. The tints lie over the theme's own colours, and no mark is told by colour alone.

_BOX = (
    "color: var(--jp-ui-font-color1, inherit); line-height: 1.7; max-width: 60em; "
    "font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 14px)"
)
_STYLES = {
    "deletion": "background: rgba(213, 94, 0, 0.35); text-decoration: line-through",
    "insertion": "background: rgba(0, 114, 178, 0.35); text-decoration: underline",
    "instead": "background: rgba(0, 158, 115, 0.35)",
}


def _tinted(style: str, words: str) -> str:
    return (
        f'<span style="{_STYLES[style]}; border-radius: 3px; padding: 1px 3px">'
        f"{html.escape(words)}</span>"
    )


def _marked(edits: Sequence[Edit]) -> str:
    """A segment's words: runs of one kind in one piece."""
    pieces = []
    for kind, run in groupby(edits, key=lambda edit: edit.kind):
        both = list(run)
        said = " ".join(edit.said for edit in both)
        heard = " ".join(edit.heard for edit in both)
        if kind == "hit":
            pieces.append(html.escape(said))
        elif kind == "substitution":
            pieces.append(f"{_tinted('deletion', said)} {_tinted('instead', heard)}")
        else:
            pieces.append(_tinted(kind, said or heard))
    return " ".join(pieces)


_LEGEND = " &nbsp; ".join(
    (
        f"{_tinted('deletion', 'struck')} said, and not heard",
        f"{_tinted('instead', 'green')} heard in its stead",
        f"{_tinted('insertion', 'underlined')} heard, and not said",
    )
)


def _told(edit: Edit) -> str:
    if edit.kind == "substitution":
        return f"{edit.said} → {edit.heard}"
    return f"{edit.kind}: {edit.said or edit.heard}"
