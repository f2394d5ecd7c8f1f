"""Texts that people keep: captions and saved transcripts, read back."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from rtkit.session import Session

__all__ = ["said_in", "said_in_turns"]

ROUNDING = 0.001  # seconds, of the times in captions


def said_in(text: str, start: float, stop: float) -> str:
    """What a file's text says was spoken from `start` to `stop`, a line each.

    Of captions, those that begin within; of a transcript that `save_transcript` wrote, its turns
    without what stands before them; anything else is spoken as it stands.

    Raises
    ------
    ValueError
        If there are captions and none of them begins within.
    """
    if re.match(r"\ufeff?Session: ", text) and (
        heading := re.search(r"^Transcript[ \t]*$", text, re.MULTILINE)
    ):
        text = text[heading.end() :]
    elif re.match(r"\ufeff?\s*(WEBVTT\b|(\d+\s+)?[\d:.,]+[ \t]*-->)", text):
        found = read_cues(text)
        within = [cue for cue in found if start - ROUNDING <= cue.start < stop + ROUNDING]
        if found and not within:
            raise ValueError(
                f"no caption begins within what was streamed, {start:.3f} to {stop:.3f} s of the "
                "recording; give captions with times from the recording's start"
            )
        return "\n".join(" ".join(cue.lines) for cue in within)
    return re.sub(r"^\[Turn #\d+\]:[ \t]*", "", text, flags=re.MULTILINE)


def said_in_turns(data: Any, session: Session) -> list[str] | None:
    """The turns' texts of JSON from `save_transcript`, if it is of what this session streamed.

    They are taken whole then, also where a word has no time or its time lies beyond the audio.
    """
    settings = session.settings
    try:
        stretch = data["settings"]["first"], data["settings"]["rate"], data["duration"]
        if stretch == (settings.first, settings.rate, settings.seconds):
            return [str(turn["text"]) for turn in data["turns"]]
    except (KeyError, TypeError):
        pass  # somebody else's, or a turn that was mangled: a reference is to tell of it
    return None


@dataclass(frozen=True, slots=True)
class Cue:
    """A caption: one or two lines, and when they show, in seconds of the recording."""

    start: float
    end: float
    lines: tuple[str, ...]


_STAMP = r"(?:(\d+):)?(\d+):(\d\d)[.,](\d{1,3})"
_TIMING = re.compile(rf"^[ \t]*{_STAMP}[ \t]*-->[ \t]*{_STAMP}.*$", re.MULTILINE)
_MARKUP = re.compile(r"</?[A-Za-z0-9][^>]*>|\{\\[^}]*\}")  # <i>, <v Anna>, <00:01.000>, {\an8}


def read_cues(text: str) -> tuple[Cue, ...]:
    """What captions say, SubRip's or WebVTT's, whoever wrote them; empty where there are none.

    Numbers, comments, styles and markup are left out.
    """
    text = "\n".join(text.removeprefix("\ufeff").splitlines())
    web = text.startswith("WEBVTT")
    timings = list(_TIMING.finditer(text))
    ends = [after.start() for after in timings[1:]]
    found = []
    for timing, end in zip(timings, [*ends, len(text) + 1], strict=True):
        lines = text[timing.end() + 1 : end].split("\n")
        if web and "" in lines:
            lines = lines[: lines.index("")]
        lines = [line.strip() for line in lines if line.strip()]
        if end <= len(text) and lines and lines[-1].isdigit() and not web:  # of the next one
            lines.pop()
        spoken = (_MARKUP.sub("", line).strip() for line in lines)
        said = tuple(html.unescape(line) if web else line for line in spoken if line)
        found.append(Cue(_seconds(*timing.groups()[:4]), _seconds(*timing.groups()[4:]), said))
    return tuple(found)


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def offset(session: Session) -> float:
    """Where in the recording the session's audio begins, in seconds."""
    return session.settings.first / session.settings.rate


def one_line(text: str) -> str:
    return " ".join(text.split())
