"""Captions read: SubRip, WebVTT and the timed lines that Whisper prints; those that roll, once."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

__all__ = ["Cue", "are_captions", "read_cues", "without_labels"]

TOUCHING = 0.1  # seconds between two cues that follow one another
ROLLING = 0.5  # of the cues that follow one another repeat the one before, in captions that roll


@dataclass(frozen=True, slots=True)
class Cue:
    """A caption: one or two lines, and when they show, in seconds of the recording."""

    start: float
    end: float
    lines: tuple[str, ...]


_STAMP = r"(?:(\d+):)?(\d+):(\d\d)[.,](\d{1,3})"
_TIMING = re.compile(rf"^[ \t]*{_STAMP}[ \t]*-->[ \t]*{_STAMP}.*$", re.MULTILINE)
_PRINTED = re.compile(rf"^[ \t]*\[{_STAMP}[ \t]*-->[ \t]*{_STAMP}\][ \t]*(.*)$", re.MULTILINE)
_MARKUP = re.compile(r"</?[A-Za-z0-9][^>]*>|\{\\[^}]*\}")  # <i>, <v Anna>, <00:01.000>, {\an8}


def are_captions(text: str) -> bool:
    """Whether a text begins as captions do."""
    return bool(re.match(r"\ufeff?\s*(WEBVTT\b|(\d+\s+)?\[?[\d:.,]+[ \t]*-->)", text))


def read_cues(text: str) -> tuple[Cue, ...]:
    """What captions say, SubRip's or WebVTT's, whoever wrote them; empty where there are none.

    Numbers, comments, styles and markup are left out. Where captions roll, what a cue repeats of
    the one before is left out as well.
    """
    text = "\n".join(text.removeprefix("\ufeff").splitlines())
    if _PRINTED.match(text.lstrip()):
        return tuple(
            Cue(_seconds(*line.groups()[:4]), _seconds(*line.groups()[4:8]), (line[9].strip(),))
            for line in _PRINTED.finditer(text)
        )
    web = text.startswith("WEBVTT")
    timings = list(_TIMING.finditer(text))
    ends = [after.start() for after in timings[1:]]
    found: list[Cue] = []
    marked: list[str] = []
    for timing, end in zip(timings, [*ends, len(text) + 1], strict=False):
        lines = text[timing.end() + 1 : end].split("\n")
        if web and "" in lines:
            lines = lines[: lines.index("")]
        lines = [line.strip() for line in lines if line.strip()]
        if end <= len(text) and lines and lines[-1].isdigit() and not web:  # of the next one
            lines.pop()
        spoken = (_MARKUP.sub("", line).strip() for line in lines)
        said = tuple(html.unescape(line) if web else line for line in spoken if line)
        cue = Cue(_seconds(*timing.groups()[:4]), _seconds(*timing.groups()[4:]), said)
        highlighted = found and said and found[-1].lines == said and marked != lines
        if not (highlighted and cue.start - found[-1].end <= TOUCHING):
            found.append(cue)  # or else the same line again, with another of its words marked
        elif highlighted:
            found[-1] = replace(found[-1], end=cue.end)
        marked = lines
    return tuple(_unrolled(found))


def _unrolled(cues: Sequence[Cue]) -> Iterator[Cue]:
    """Each cue without what it repeats, if the captions roll.

    They do if most of those that follow one another begin with lines of the one before, or say it
    again with more behind, and some of them do add to it. Somebody who says "yeah" twice makes
    two cues that are alike, and none that grows.
    """
    pairs = [(a, b) for a, b in pairwise(cues) if b.start - a.end <= TOUCHING and a.lines]
    repeats = [_repeated(before, after) for before, after in pairs]
    again = sum(new != after.lines for new, (_, after) in zip(repeats, pairs, strict=True))
    grown = any(new and new != after.lines for new, (_, after) in zip(repeats, pairs, strict=True))
    if not cues or not grown or again < ROLLING * len(pairs):
        yield from cues
        return
    yield cues[0]
    for before, after in pairwise(cues):
        near = after.start - before.end <= TOUCHING or _grown(before, after)
        new = _repeated(before, after) if near else after.lines
        yield Cue(after.start, after.end, new)


def _grown(before: Cue, after: Cue) -> bool:
    """Whether a cue says again all of the one before it, of some words, and more."""
    said, now = _words(before), _words(after)
    return 3 <= len(said) < len(now) and now[: len(said)] == said


def _words(cue: Cue) -> list[str]:
    return " ".join(cue.lines).split()


def _repeated(before: Cue, after: Cue) -> tuple[str, ...]:
    """The lines of a cue without those that repeat the one before it."""
    for same in range(min(len(before.lines), len(after.lines)), 0, -1):
        if before.lines[-same:] == after.lines[:same]:
            return after.lines[same:]
    said, now = _words(before), _words(after)
    for same in range(min(len(said), len(now) - 1), 0, -1):  # word by word, or in one line
        if now[:same] == said[-same:] and (same > 1 or len(said) == 1):
            return (" ".join(now[same:]),)
    return after.lines


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


# Who speaks.

_TIME = r"(?:[\[(]?\d+:\d\d(?::\d\d)?(?:[.,]\d+)?[\])]?[ \t]*)?"
_SPEAKER = re.compile(
    rf"^[ \t]*(?:>>+[ \t]*|{_TIME}\[?(?:speaker|spkr?|sprecher|locuteur|hablante)[ _#-]?"
    rf"(?:\d+|[A-Za-z])?\]?[ \t]*(?:\([\d:.]+\))?[ \t]*:)[ \t]*",
    re.IGNORECASE,
)
_NAME = re.compile(rf"^[ \t]*{_TIME}([^\W\d_][\w.'’-]*(?:[ ][\w.'’-]+){{0,2}}):[ \t]+(?=\S)")


def without_labels(lines: Sequence[str]) -> list[str]:
    """Lines without the names that stand before what was said: ``Speaker 1:``, ``ANNA:``.

    A word and a colon are a name where at least half of the lines begin so.
    """
    spoken = [_SPEAKER.sub("", line) for line in lines]
    found = [_NAME.match(line) for line in spoken]
    named = [one for one in found if one is not None and one[1][0].isupper()]
    filled = sum(bool(line.strip()) for line in spoken)
    if len(named) >= 2 and len(named) >= filled / 2:
        spoken = [
            line[one.end() :] if one is not None and one[1][0].isupper() else line
            for line, one in zip(spoken, found, strict=True)
        ]
    return spoken
