"""A transcript as SubRip or WebVTT captions, divided by the service's word times.

Times count from the start of the recording, even if an excerpt was streamed, so that captions match
the file.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rtkit.reference import Cue
from rtkit.session import Session

__all__ = ["as_srt", "as_vtt", "cues"]

LINE = 42  # characters that a line of captions holds, and
LINES = 2  # how many lines a cue: what broadcasters ask for
LONGEST, SHORTEST = 6.0, 1.0  # seconds that a cue stays
PAUSE = 1.5  # seconds of silence that no cue stays for


def cues(session: Session) -> tuple[Cue, ...]:
    """The transcript as captions, by the service's word times.

    A cue holds two lines of 42 characters at most and stays for six seconds at most, or as long as
    a longer word. Longer turns are cut where a pause, the end of a sentence or of a clause is,
    rather near the middle. A short cue stays for a second if the next one leaves it that.

    Raises
    ------
    ValueError
        If a turn has text and no words with times.
    """
    groups: list[Sequence[_Timed]] = []
    for number, turn in enumerate(session.turns, start=1):
        timed = [
            _Timed(word.text, word.start, word.end)
            for word in turn.words
            if word.start is not None and word.end is not None
        ]
        if not timed or len(timed) < len(turn.words):
            raise ValueError(
                f"turn {number} has text but no word times, so it cannot be captioned; save "
                f"it as .txt or .json"
            )
        groups.extend(_cut(timed))
    begin = session.settings.start
    starts = [words[0].start for words in groups]
    found = []
    following = [*starts[1:], math.inf]  # not strict: without words it is one too many
    for words, start, coming in zip(groups, starts, following, strict=False):
        end = min(max(words[-1].end, start + SHORTEST), max(coming, words[-1].end))
        found.append(Cue(begin + start, begin + max(end, start + 0.001), _lines(_text(words))))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Timed:
    text: str
    start: float
    end: float


def _cut(words: Sequence[_Timed]) -> Iterator[Sequence[_Timed]]:
    """Words in groups that fit a cue, cut in two at the best place for as long as they do not."""
    if len(words) == 1 or _fits(words):
        yield words
        return
    best = max(range(1, len(words)), key=lambda i: _break(words, i))
    yield from _cut(words[:best])
    yield from _cut(words[best:])


def _fits(words: Sequence[_Timed]) -> bool:
    return (
        words[-1].end - words[0].start <= LONGEST
        and all(after.start - before.end <= PAUSE for before, after in pairwise(words))
        and len(textwrap.wrap(_text(words), LINE, break_long_words=False)) <= LINES
    )


def _break(words: Sequence[_Timed], i: int) -> float:
    """How good it is to cut before word `i`: pauses and punctuation, less the way to the middle."""
    before = words[i - 1].text.rstrip("\"')”’")
    stop = 2 * before.endswith((".", "?", "!")) + before.endswith((",", ";", ":"))
    pause = words[i].start - words[i - 1].end
    return 2 * pause + stop / 2 - 2 * abs(i / len(words) - 0.5)


def _text(words: Sequence[_Timed]) -> str:
    return " ".join(" ".join(word.text for word in words).split())


def _lines(text: str) -> tuple[str, ...]:
    """One line if it fits, or else lines as even as they can be."""
    fewest = len(textwrap.wrap(text, LINE, break_long_words=False))
    for width in range(max(1, len(text) // max(1, fewest)), LINE):
        lines = textwrap.wrap(text, width, break_long_words=False)
        if len(lines) <= fewest and max(map(len, lines)) <= LINE:
            return tuple(lines)
    return tuple(textwrap.wrap(text, LINE, break_long_words=False))


def as_srt(session: Session) -> str:
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + "\n".join(cue.lines)
        + "\n"
        for number, cue in enumerate(cues(session), start=1)
    )


def as_vtt(session: Session) -> str:
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        + "\n"
        for cue in cues(session)
    )


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds; SubRip's point is a comma."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{thousandths:03d}"
