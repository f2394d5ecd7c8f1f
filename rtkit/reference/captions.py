"""Captions read: SubRip, WebVTT, SBV and what Whisper prints; those that roll, once."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from rtkit.boundary.text import told
from rtkit.reference.spoken import SidecarError

__all__ = ["Cue", "are_captions", "read_cues", "without_labels"]

TOUCHING = 0.1  # seconds between two cues that follow one another
ROLLING = 0.5  # of the cues that follow one another repeat the one before, in captions that roll


@dataclass(frozen=True, slots=True)
class Cue:
    """A caption: one or two lines, and when they show, in seconds of the recording."""

    start: float
    end: float
    lines: tuple[str, ...]


_STAMP = r"(-?(?:(?:\d+:)?\d+:\d\d(?:[.,] ?\d+)?|\d+\.\d+s))"
_ARROW = r"[ \t]*(?:--?>|[–—]>|→)[ \t]*"
# SubRip's, WebVTT's, and YouTube's with a comma.
_TIMING = re.compile(rf"^[ \t]*{_STAMP}(?:{_ARROW}|,){_STAMP}(?![\d:;,]).*$", re.MULTILINE)
_PRINTED = re.compile(rf"^[ \t]*[\[(]{_STAMP}{_ARROW}{_STAMP}[\])][ \t]*(.*)$", re.MULTILINE)
_MEANT = re.compile(rf"^[ \t]*[\[(]?\d[\d:;.,]*s?{_ARROW}[\[(]?\d.*$", re.MULTILINE)
# <i>, <v Anna>, <00:01.000>, {\an8}, {i}, {y:i}; small letters above others say these again
_MARKUP = re.compile(r"<rt>[^<]*</rt>|</?[A-Za-z0-9][^>]*>|\{(?:\\[^}]*|/?[A-Za-z](?::[^}]*)?)\}")
_BEGIN = re.compile(
    rf"\s*(?:WEBVTT\b|(?:\d+\s+)?(?:{_MEANT.pattern}|{_TIMING.pattern}))",
    re.IGNORECASE | re.MULTILINE,
)


def are_captions(text: str) -> bool:
    """Whether a text begins as captions do."""
    return bool(_BEGIN.match(text.removeprefix("\ufeff")))


def read_cues(text: str) -> tuple[Cue, ...]:
    """What captions say, whoever wrote them, in the order of their times; empty where none are.

    Numbers, comments, styles and markup are left out. Where captions roll, what a cue repeats of
    the one before is left out as well. Raises SidecarError if a time cannot be read.
    """
    text = "\n".join(text.removeprefix("\ufeff").splitlines())
    printed = _PRINTED.match(text.lstrip())
    timings = list((_PRINTED if printed else _TIMING).finditer(text))
    read = {timing.start() for timing in timings}
    if odd := [line for line in _MEANT.finditer(text) if line.start() not in read]:
        raise SidecarError(
            f"line {text.count(chr(10), 0, odd[0].start()) + 1} has no times in hours, minutes and "
            f"seconds, such as 00:00:01,500 --> 00:00:02,000: {told(odd[0][0], 60)!r}"
        )
    if printed:
        return tuple(Cue(_seconds(one[1]), _seconds(one[2]), (one[3].strip(),)) for one in timings)
    web = text[:6].upper() == "WEBVTT"
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
        spoken = (html.unescape(_MARKUP.sub("", line)).strip() for line in lines)
        said = tuple(line for line in spoken if line)
        cue = Cue(_seconds(timing[1]), _seconds(timing[2]), said)
        highlighted = found and said and found[-1].lines == said and marked != lines
        if not (highlighted and cue.start - found[-1].end <= TOUCHING):
            found.append(cue)  # or else the same line again, with another of its words marked
        elif highlighted:
            found[-1] = replace(found[-1], end=cue.end)
        marked = lines
    return tuple(_unrolled(sorted(found, key=lambda cue: cue.start)))


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


def _seconds(stamp: str) -> float:
    seconds = 0.0
    for part in stamp.strip("-s").replace(",", ".").replace(" ", "").split(":"):
        seconds = 60 * seconds + float(part)
    return 0.0 if stamp[0] == "-" else seconds


# Who speaks, and when.

_INSTANT = r"\d+:\d\d(?::\d\d)?(?:[.,]\d+)?"
_CLOCK = rf"[\[(]?{_INSTANT}(?:[ ]*[-–][ ]*{_INSTANT})?[\])]?"
_TIME = rf"(?:{_CLOCK}[ \t]*)?"
_WORDS = r"([^\W\d_][\w.'’-]*(?:[ ][\w.'’-]+){0,2})"
_SPEAKER = re.compile(
    rf"^[ \t]*(?:>>+[ \t]*|(?-i:\[?SPEAKER_\d+\]?[ \t]+)|{_TIME}[*_]*\[?"
    rf"(?:speaker|spkr?|sprecher|locuteur|hablante)[ _#-]?"
    rf"(?:\d+|[A-Za-z])?\]?[ \t]*(?:\([\d:.]+\))?[ \t]*:)[*_]*[ \t]*",
    re.IGNORECASE,
)
_NAME = re.compile(rf"^[ \t]*{_TIME}[*_]*{_WORDS}:[*_]*[ \t]+(?=\S)")
_TIMED = re.compile(rf"^[ \t]*(?:{_CLOCK}[ \t]+(?=\S)|(?:{_WORDS}[ \t]+)?{_CLOCK}[ \t]*$)")


def without_labels(lines: Sequence[str]) -> list[str]:
    """Lines without what stands before what was said: ``Speaker 1:``, ``ANNA:``, ``0:04``.

    A word and a colon are a name where at least half of the lines begin so, and times are none of
    the words where three lines and a third of them have one, as in a video's transcript.
    """
    filled = sum(bool(line.strip()) for line in lines)
    timed = sum(bool(_TIMED.match(line)) for line in lines)
    if timed >= max(3, filled / 3):
        lines = [_TIMED.sub("", line) for line in lines]
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
