"""What was said, to keep and to look at: files of text, captions and JSON; words by latency.

Times in files are seconds from the start of the recording, also where an excerpt was streamed, so
that captions fit the file that is played.
"""

from __future__ import annotations

import html
import json
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rtkit.latency import align, heard_words, normalise, word_latency
from rtkit.protocol import SECRETS, Begin, Turn, Word
from rtkit.session import Session

__all__ = [
    "Cue",
    "Partials",
    "Transcript",
    "captions",
    "save_transcript",
    "show_partials",
    "show_transcript",
]

LINE = 42  # characters that a line of captions holds, and
LINES = 2  # how many lines a cue: what broadcasters ask for
LONGEST, SHORTEST = 6.0, 1.0  # seconds that a cue stays
PAUSE = 1.5  # seconds of silence that no cue stays for


# Files.


def save_transcript(session: Session, path: str | Path | None = None) -> Path:
    """Write the transcript to a file, in the format of its suffix, and return its path.

    Parameters
    ----------
    session : Session
    path : str or Path, optional
        ``.txt`` (what was streamed and how, then a line a turn), ``.srt`` or ``.vtt`` (captions),
        ``.json`` (turns and words with their times: in the form of a reference, to be corrected by
        hand and used as one). A folder, or nothing for the current one: ``RECORDING_ID.txt`` in it,
        with the service's id of the session.

    Raises
    ------
    ValueError
        If the suffix is none of these, the session has no id to be named after, a turn without
        word times is to be captioned, or a transcript would be taken for the recording's reference.
    """
    path = Path() if path is None else Path(path)
    if path.is_dir():
        path = path / _default_name(session)
    write = _FORMATS.get(path.suffix.lower())
    if write is None:
        raise ValueError(
            f"unknown suffix {path.suffix!r} of {path.name}; one of {', '.join(_FORMATS)}"
        )
    recording = Path(session.settings.recording)
    if path.name in (f"{recording.name}.json", f"{recording.stem}.json"):
        raise ValueError(
            f"{path.name} is what the reference of {recording.name} is called, and a transcript "
            f"there would be taken for the truth; call it {recording.stem}_heard.json, say"
        )
    text = write(session)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _session_id(session: Session) -> str | None:
    return next((reply.id for _, reply in session.replies if isinstance(reply, Begin)), None)


def _default_name(session: Session) -> str:
    name = _session_id(session)
    if not name:
        raise ValueError(
            "the session never began, so it has no id to name a file after; give a file's name"
        )
    # What the service says goes into no path unchecked.
    return f"{Path(session.settings.recording).stem}_{re.sub(r'[^A-Za-z0-9-]', '-', name)}.txt"


def _as_text(session: Session) -> str:
    settings = session.settings
    lines = [
        f"Session: {_session_id(session) or 'none, it never began'}",
        f"Audio file: {settings.recording}",
        f"Audio duration: {settings.seconds:.3f} s{_beginning(session)}",
        f"Started: {session.started}",
        f"Ended: {_ending(session)}",
        "",
        "Settings",
        *[f"  {name}: {_written(value)}" for name, value in _asked_for(session).items()],
        "",
        "Transcript",
        *[
            f"[Turn #{number}]: {_one_line(turn.transcript)}"
            for number, turn in enumerate(session.turns, start=1)
        ],
    ]
    return "\n".join(lines) + "\n"


def _as_json(session: Session) -> str:
    offset = _offset(session)
    turns = [
        {
            "start": round(offset + turn.words[0].start, 3) if turn.words else None,
            "end": round(offset + turn.words[-1].end, 3) if turn.words else None,
            "text": turn.transcript,
            "words": [
                {
                    "text": word.text,
                    "start": round(offset + word.start, 3),
                    "end": round(offset + word.end, 3),
                    "confidence": word.confidence,
                }
                for word in turn.words
            ],
        }
        for turn in session.turns
    ]
    data = {
        "session": _session_id(session),
        "file": session.settings.recording,
        "duration": session.settings.seconds,
        "started": session.started,
        "ended": _ending(session),
        "settings": _asked_for(session),
        "transcript": session.transcript,
        "turns": turns,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _offset(session: Session) -> float:
    """Where in the recording the session's audio begins, in seconds."""
    return session.settings.first / session.settings.rate


def _beginning(session: Session) -> str:
    return f", from {_offset(session):.3f} s on" if session.settings.first else ""


def _ending(session: Session) -> str:
    if session.ending is None:
        return "cut off"
    return ": ".join(filter(None, (session.ending.how, session.ending.error)))


def _asked_for(session: Session) -> dict[str, Any]:
    """The settings, without what the heading says and what nobody may read."""
    known = asdict(session.settings)
    for said in ("recording", "samples", "calibration"):
        del known[said]
    return dict(_open(known))


def _open(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What holds no secret by its name, however deep."""
    for name, value in settings.items():
        if not any(secret in name.casefold() for secret in SECRETS):
            yield name, dict(_open(value)) if isinstance(value, Mapping) else value


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())


# Captions.


@dataclass(frozen=True, slots=True)
class Cue:
    """A caption: one or two lines, and when they show, in seconds of the recording."""

    start: float
    end: float
    lines: tuple[str, ...]


def captions(session: Session) -> tuple[Cue, ...]:
    """The transcript as captions, by the service's word times.

    A cue holds two lines of 42 characters at most and stays for six seconds at most, or as long as
    a longer word. Longer turns are cut where a pause, the end of a sentence or of a clause is,
    rather near the middle. A short cue stays for a second if the next one leaves it that.

    Raises
    ------
    ValueError
        If a turn has text and no words with times.
    """
    groups: list[Sequence[Word]] = []
    for number, turn in enumerate(session.turns, start=1):
        if not turn.words:
            raise ValueError(
                f"turn {number} has text and no words with times, so it cannot be captioned; "
                "save it as .txt or .json"
            )
        groups.extend(_cut(turn.words))
    offset = _offset(session)
    starts = [words[0].start for words in groups]
    cues = []
    for words, start, coming in zip(groups, starts, [*starts[1:], math.inf], strict=True):
        end = min(max(words[-1].end, start + SHORTEST), max(coming, words[-1].end))
        cues.append(Cue(offset + start, offset + max(end, start + 0.001), _lines(_text(words))))
    return tuple(cues)


def _cut(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Words in groups that fit a cue, cut in two at the best place for as long as they do not."""
    if len(words) == 1 or _fits(words):
        yield words
        return
    best = max(range(1, len(words)), key=lambda i: _break(words, i))
    yield from _cut(words[:best])
    yield from _cut(words[best:])


def _fits(words: Sequence[Word]) -> bool:
    return (
        words[-1].end - words[0].start <= LONGEST
        and all(after.start - before.end <= PAUSE for before, after in pairwise(words))
        and len(textwrap.wrap(_text(words), LINE, break_long_words=False)) <= LINES
    )


def _break(words: Sequence[Word], i: int) -> float:
    """How good it is to cut before word `i`: pauses and punctuation, less the way to the middle."""
    before = words[i - 1].text.rstrip("\"')”’")
    stop = 2 * before.endswith((".", "?", "!")) + before.endswith((",", ";", ":"))
    pause = words[i].start - words[i - 1].end
    return 2 * pause + stop / 2 - 2 * abs(i / len(words) - 0.5)


def _text(words: Sequence[Word]) -> str:
    return _one_line(" ".join(word.text for word in words))


def _lines(text: str) -> tuple[str, ...]:
    """One line if it fits, or else lines as even as they can be."""
    fewest = len(textwrap.wrap(text, LINE, break_long_words=False))
    for width in range(max(1, len(text) // max(1, fewest)), LINE):
        lines = textwrap.wrap(text, width, break_long_words=False)
        if len(lines) <= fewest and max(map(len, lines)) <= LINE:
            return tuple(lines)
    return tuple(textwrap.wrap(text, LINE, break_long_words=False))


def _as_srt(session: Session) -> str:
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + "\n".join(cue.lines)
        + "\n"
        for number, cue in enumerate(captions(session), start=1)
    )


def _as_vtt(session: Session) -> str:
    return "WEBVTT\n" + "".join(
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        + "\n"
        for cue in captions(session)
    )


def _clock(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and milliseconds; SubRip's point is a comma."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{thousandths:03d}"


_FORMATS: Mapping[str, Callable[[Session], str]] = {
    ".txt": _as_text,
    ".srt": _as_srt,
    ".vtt": _as_vtt,
    ".json": _as_json,
}


# In the notebook.

PARTS = {
    "latency": "what a person waits",
    "chunk_wait": "until the word's chunk was due",
    "lateness": "by which the sender was late",
    "service_time": "what the service took",
}
# Orange over whatever the page is made of: the text keeps the theme's colour and stays legible.
TINTS = tuple(f"rgba(213, 94, 0, {alpha})" for alpha in (0, 0.16, 0.32, 0.5, 0.72))
_BOX = (
    "color: var(--jp-ui-font-color1, inherit); line-height: 1.7; max-width: 60em; "
    "font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 14px)"
)
_SMALL = "font-size: 0.9em; opacity: 0.85"


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript whose words are coloured by latency in a notebook; elsewhere it is plain text.

    Attributes
    ----------
    turns : tuple of tuple of (str, dict or None)
        The words of each turn, with the parts of their latency in seconds; None where a word
        matches nothing in the reference, so that nobody knows when it truly ended.
    part : str
        What the colours tell.
    edges : tuple of float
        Where one colour ends and the next begins, in seconds, rising.
    """

    turns: tuple[tuple[tuple[str, Mapping[str, float] | None], ...], ...]
    part: str
    edges: tuple[float, ...]

    def __str__(self) -> str:
        return "\n".join(" ".join(word for word, _ in turn) for turn in self.turns)

    def __repr__(self) -> str:
        words = sum(map(len, self.turns))
        return f"<Transcript: {words} words in {len(self.turns)} turns, by {self.part}>"

    def _repr_html_(self) -> str:
        turns = "".join(f"<div>{' '.join(map(self._word, turn))}</div>" for turn in self.turns)
        nothing = "" if self.turns else "<div>No words came back.</div>"
        return f'<div style="{_BOX}">{turns}{nothing}{self._legend()}</div>'

    def _word(self, word: tuple[str, Mapping[str, float] | None]) -> str:
        text, parts = html.escape(word[0]), word[1]
        if parts is None:
            return f'<span style="border-bottom: 2px dotted" title="{_UNKNOWN}">{text}</span>'
        title = ", ".join(
            f"{name.replace('_', ' ')} {seconds * 1000:.0f} ms" for name, seconds in parts.items()
        )
        step = int(np.searchsorted(self.edges, parts[self.part], side="right"))
        return f'<span style="{_tint(step)}" title="{title}">{text}</span>'

    def _legend(self) -> str:
        edges = [f"{edge * 1000:g}" for edge in self.edges]
        steps = [
            f"under {edges[0]}",
            *[f"{low} to {high}" for low, high in pairwise(edges)],
            f"{edges[-1]} and more",
        ]
        swatches = " ".join(
            f'<span style="{_tint(step)}; padding: 1px 6px; border: 1px solid rgba(128, 128, 128, '
            f'0.5); white-space: nowrap">{said}</span>'
            for step, said in enumerate(steps)
        )
        unknown = any(parts is None for turn in self.turns for _, parts in turn)
        more = (
            f' <span style="border-bottom: 2px dotted; white-space: nowrap">{_UNKNOWN}</span>'
            if unknown
            else ""
        )
        return (
            f'<div style="{_SMALL}; margin-top: 6px">{self.part.replace("_", " ")} of each word '
            f"({PARTS[self.part]}), ms: {swatches}{more}</div>"
        )


_UNKNOWN = "not in the reference: its true end is not known"


def _tint(step: int) -> str:
    return f"background: {TINTS[step]}; border-radius: 3px; padding: 1px 2px"


def show_transcript(
    session: Session, *, part: str = "latency", edges: Sequence[float] | None = None
) -> Transcript:
    """The transcript with each word coloured by its latency, or by one part of it.

    Parameters
    ----------
    session : Session
    part : {"latency", "chunk_wait", "lateness", "service_time"}
    edges : sequence of 4 floats, optional
        Where one colour ends and the next begins, in seconds: to compare sessions, give the same to
        all. Without, round numbers between the session's 5th and 95th percentile.

    Raises
    ------
    ValueError
        If there is no such part, or the edges are not four that rise.
    """
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r}; one of {', '.join(map(repr, PARTS))}")
    latency = word_latency(session)
    values = getattr(latency, part)
    edges = _round_edges(values) if edges is None else tuple(float(edge) for edge in edges)
    if len(edges) != len(TINTS) - 1 or not all(low < high for low, high in pairwise(edges)):
        raise ValueError(f"edges={edges} do not part the five colours; give four rising seconds")
    rows = iter(
        {name: float(getattr(latency, name)[i]) for name in PARTS} for i in range(len(latency))
    )
    turns: dict[int, list[tuple[str, Mapping[str, float] | None]]] = {}
    for heard in heard_words(session):
        known = session.reference is None or heard.spoken is not None
        parts = next(rows, None) if known else None
        turns.setdefault(heard.turn, []).append((heard.word.text, parts))
    return Transcript(tuple(map(tuple, turns.values())), part, edges)


def _round_edges(values: np.ndarray) -> tuple[float, ...]:
    """Four rising round numbers about the middle 90 % of the values."""
    low, high = np.quantile(values, (0.05, 0.95)) if len(values) else (0.0, 0.4)
    steps = (size * 10.0**power for power in range(-2, 4) for size in (1, 2, 5))
    step = next(step for step in steps if step >= (high - low) / 4 or step >= 1000)
    first = max(math.floor(low / step) + 1, 0 if low < 0 else 1)
    return tuple(round((first + i) * step, 6) for i in range(len(TINTS) - 1))


@dataclass(frozen=True, slots=True)
class Guess:
    """A partial of which something was later revised.

    Attributes
    ----------
    at : float
        When it came, in seconds.
    pieces : tuple of (str, str, str)
        Words that stayed, words that were struck out, and those that came in their stead.
    """

    at: float
    pieces: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class _History:
    """A turn: how many partials it had, those that were revised, and its last state."""

    partials: int
    guesses: tuple[Guess, ...]
    at: float
    text: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Partials:
    """What each turn read before it was final, and what of that was revised.

    Attributes
    ----------
    shown, revised : int
        How many words partials showed, each once for its place in the turn, and how many of them
        the last state of the turn does not have there. Casing and punctuation do not count.
    """

    turns: tuple[_History, ...]
    shown: int
    revised: int

    def __repr__(self) -> str:
        partials = sum(turn.partials for turn in self.turns)
        return (
            f"<Partials: {partials} in {len(self.turns)} turns; "
            f"{self.revised} of {self.shown} words were revised>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(_history(turn) for turn in self.turns)
        share = f" ({self.revised / self.shown:.0%})" if self.shown else ""
        return (
            f'<div style="{_BOX}"><div style="{_SMALL}">{self.revised} of {self.shown} words that '
            f'partials showed were later revised{share}. <s style="{_STRUCK}">struck</s>: shown, '
            f'and not kept; <span style="{_INSTEAD}">marked</span>: what came in its stead; bold: '
            "how the turn read in the end. Partials that only grew are not listed.</div>"
            f"<table style='border: none; margin-left: 0'>{rows}</table></div>"
        )


_STRUCK = "background: rgba(213, 94, 0, 0.25)"
_INSTEAD = "background: rgba(0, 114, 178, 0.28); border-radius: 3px; padding: 1px 2px"


def _history(turn: _History) -> str:
    grew = turn.partials - len(turn.guesses)
    last = f"<b>{html.escape(turn.text)}</b>" + ("" if turn.ended else " (it never ended)")
    tail = f' <span style="{_SMALL}">after {grew} more partials</span>' if grew else ""
    rows = [(guess.at, " ".join(map(_piece, guess.pieces))) for guess in turn.guesses]
    return "".join(
        '<tr style="background: none"><td style="text-align: right; vertical-align: top; '
        f'white-space: nowrap; padding: 2px 10px 2px 0; {_SMALL}">{at:.2f} s</td>'
        f'<td style="text-align: left; padding: 2px 0">{said}</td></tr>'
        for at, said in [*rows, (turn.at, last + tail)]
    )


def _piece(piece: tuple[str, str, str]) -> str:
    kept, struck, instead = (html.escape(words) for words in piece)
    return " ".join(
        filter(
            None,
            (
                kept,
                struck and f'<s style="{_STRUCK}">{struck}</s>',
                instead and f'<span style="{_INSTEAD}">{instead}</span>',
            ),
        )
    )


def show_partials(session: Session) -> Partials:
    """Each turn's partials as they were revised, one row a revision, and how it read in the end."""
    states: dict[int, list[tuple[float, Turn]]] = {}
    for at, reply in session.replies:
        if isinstance(reply, Turn) and reply.words:
            states.setdefault(reply.order, []).append((at, reply))
    shown = revised = 0
    turns = []
    for _, turn in sorted(states.items()):
        (end, last), before = turn[-1], turn[:-1]
        seen: set[tuple[int, str]] = set()
        gone: set[tuple[int, str]] = set()
        guesses: list[Guess] = []
        lately: set[tuple[int, str]] = set()
        for at, state in before:
            pieces, struck = _revision(state.words, last.words)
            seen |= {(i, normalise(word.text)) for i, word in enumerate(state.words)}
            gone |= struck
            if struck and struck == lately:  # the same guess, grown: its last state says it all
                guesses.pop()
            if struck:
                guesses.append(Guess(at, pieces))
            lately = struck
        shown, revised = shown + len(seen), revised + len(gone)
        turns.append(
            _History(len(before), tuple(guesses), end, _text(last.words), last.end_of_turn)
        )
    return Partials(tuple(turns), shown, revised)


def _revision(
    partial: Sequence[Word], last: Sequence[Word]
) -> tuple[tuple[tuple[str, str, str], ...], set[tuple[int, str]]]:
    """The partial in pieces (kept, struck, instead), and the struck words with their places."""
    pieces, struck = [], set()
    kept: list[Word] = []
    here = there = 0
    for i, j in [*align(partial, last), (len(partial), len(last))]:
        gone, instead = partial[here:i], last[there:j]
        if i == len(partial):  # what the last state has beyond the partial replaces nothing
            instead = [word for word in instead if word.start < partial[-1].end]
        if gone:
            pieces.append((_text(kept), _text(gone), _text(instead)))
            struck |= {(here + k, normalise(word.text)) for k, word in enumerate(gone)}
            kept = []
        kept += partial[i : i + 1]
        here, there = i + 1, j + 1
    if kept:
        pieces.append((_text(kept), "", ""))
    return tuple(pieces), struck
