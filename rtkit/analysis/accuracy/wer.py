"""The word error rate of a session, with its alignment and its uncertainty.

Both texts are normalized, so that case and punctuation do not count (see `wer`), and aligned as a
whole with the fewest errors::

    rate = (substitutions + deletions + insertions) / words of the reference

This needs ``pip install 'rtkit[eval]'``: jiwer aligns, whisper-normalizer normalizes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rtkit.analysis.accuracy.languages import normalizer
from rtkit.analysis.accuracy.reference_text import is_path, read_file, said_in
from rtkit.analysis.accuracy.wer_result import Edit, Kind, WordErrorRate
from rtkit.reference import Reference
from rtkit.session import Session, check_session

__all__ = ["wer"]


def wer(
    session: Session, reference: str | Path | Reference | None = None, *, language: str = "en"
) -> WordErrorRate:
    """Compute the word error rate of a session's final transcript.

    Each turn counts once, in its last state: a formatted final result replaces the unformatted one.

    Parameters
    ----------
    session : Session
    reference : str or Path or Reference, optional
        What was said; by default, the session's own reference. A path, or a string that looks like
        one, is a file: a sidecar, the JSON of Whisper and of many services, STM, CTM, TSV,
        TextGrid, SRT or VTT, of which only the streamed part counts; a file from
        `rtkit.save_transcript`, corrected by hand; or plain text, used as a whole. Speaker names
        (``Speaker 1:``) do not count as words. Any other string is the text itself, or the content
        of such a file.
    language : str
        A tag such as ``"en"``, ``"pt-BR"`` or ``"zh_Hant"``. For languages written without spaces
        between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer), characters are counted instead
        of words, and the result is a character error rate.

    Raises
    ------
    ValueError
        If there is no reference, it contains no words, or the service is one that does not
        recognize words.
    SidecarError
        If the file cannot be read.
    ImportError
        If ``rtkit[eval]`` is not installed.

    Notes
    -----
    Normalized in every language, and so never an error: case (``"ß"`` is ``"ss"``), punctuation and
    symbols, hyphens for spaces, full and half width, composed and decomposed letters, digits of
    another script, invisible characters, and text in brackets. Anything without a letter or a digit
    is not a word.

    Also normalized in English, as in Whisper's evaluation (Radford et al., 2023, appendix C):
    contractions (``"we're"``), British spellings, accents, fillers (``"uh"``, ``"mm"``) and
    spelled-out numbers (``"twenty-one"`` is ``"21"``). Digits said one by one become one number:
    ``"seven four two"`` is ``"742"``, so if the service writes ``"7 4 2"``, that is one
    substitution and two insertions. Write digits in the reference as the service does.

    Counted as errors: missing vowel signs and other marks (vowelled against unvowelled Arabic or
    Hebrew), spelled-out numbers in other languages, traditional for simplified characters, hiragana
    for katakana, spaces within words, and misspellings.
    """
    check_session(session)
    if session.settings.marks_speech:
        raise ValueError(
            "the service only marked where there is speech, so there are no words to score; "
            "use a service that recognizes words:"
            " rtkit.Loopback(engine='recognizer') or rtkit.AssemblyAI()"
        )
    jiwer, normalize = _tools(language)
    unit, segments = _segments(session, reference)
    said = normalize(" ".join(segments))
    if not said:
        raise ValueError(
            "after normalization the reference has no words, so there is no rate; give one "
            "that contains what was said"
        )
    ends = _ends([normalize(segment) for segment in segments], said, jiwer)
    found = _aligned(said, normalize(session.transcript), jiwer)
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


def _segments(session: Session, reference: object) -> tuple[str, list[str]]:
    """What was said, in pieces, and what the pieces are."""
    if reference is None:
        reference = session.reference
        if reference is None:
            raise ValueError(
                f"there is no reference for {session.settings.recording}; give one: "
                "rtkit.wer(session, 'what was said'), or a sidecar's path"
            )
    found = reference
    if isinstance(found, os.PathLike) or (isinstance(found, str) and is_path(found)):
        found = read_file(Path(found), session)
    elif isinstance(found, str):
        found = said_in(found, session)
    if isinstance(found, Reference):
        return "turns", [turn.text for turn in found.turns]
    if isinstance(found, list):
        return "turns", found
    if not isinstance(found, str):
        raise TypeError(
            f"a {type(found).__name__} is not a reference; give text, a path or an rtkit.Reference"
        )
    lines = [line for line in found.splitlines() if line.strip()]
    if len(lines) > 1:
        return "lines", lines
    return "sentences", re.split(r"(?<=[.!?。！？])\s+", " ".join(lines))


def _notes(session: Session) -> Iterator[str]:
    if session.settings.scripted:
        yield (
            "The service read its words from a script, so this rate shows what was lost in "
            "transit, not how well speech is recognized."
        )
    if not session.complete:
        sent = session.chunks[-1].stop / session.settings.rate if session.chunks else 0.0
        yield (
            f"The session did not run to its end: {sent:.1f} of {session.settings.seconds:.1f} s "
            "were sent, and the rest counts as deleted."
        )


def _tools(language: str) -> tuple[Any, Callable[[str], list[str]]]:
    """jiwer, and what makes normalized words of a text."""
    try:
        import jiwer

        return jiwer, normalizer(language)
    except ImportError as error:
        raise ImportError(
            "Scoring needs jiwer and whisper-normalizer: pip install 'rtkit[eval]'"
        ) from error


# The alignment.

MOST = 80_000**2  # pairs of words or characters, for which it takes 2 GB


def _aligned(said: Sequence[str], heard: Sequence[str], jiwer: Any) -> Any:
    if len(said) * len(heard) > MOST:
        raise ValueError(
            f"the reference is too long to be scored at once (its length is {len(said)}); give "
            "the one of this recording, or stream shorter excerpts of it"
        )
    return jiwer.process_words(" ".join(said), " ".join(heard))


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

    Normalized apart they may hold other words than together ("seven. Four books" makes one number),
    so that their ends have to be looked up in the alignment of the two.
    """
    ends = np.cumsum([len(segment) for segment in segments])
    words = [word for segment in segments for word in segment]
    if words == list(whole):
        return [int(end) for end in ends]
    (stretches,) = _aligned(words, whole, jiwer).alignments
    apart = [stretch.ref_end_idx for stretch in stretches]
    together = [stretch.hyp_end_idx for stretch in stretches]
    return [int(end) for end in np.interp(ends, [0, *apart], [0, *together])]
