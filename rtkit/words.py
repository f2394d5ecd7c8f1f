"""What was said, to look at in a notebook: words by latency, and partials with what was revised."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtkit.latency import align, heard_words, normalise, word_latency
from rtkit.marks import SMALL, box, marked, tinted
from rtkit.protocol import Turn, Word
from rtkit.session import Session

__all__ = ["Partials", "Transcript", "show_partials", "show_transcript"]

PARTS = {
    "latency": "what a person waits",
    "chunk_wait": "until the word's chunk was due",
    "lateness": "by which the sender was late",
    "service_time": "what the service took",
}
# Orange over whatever the page is made of: the text keeps the theme's colour and stays legible.
TINTS = tuple(f"rgba(213, 94, 0, {alpha})" for alpha in (0, 0.16, 0.32, 0.5, 0.72))
EDGED = "border: 1px solid rgba(128, 128, 128, 0.5); white-space: nowrap"
DOTTED = "border-bottom: 2px dotted; border-radius: 0"
UNKNOWN = "not in the reference: its true end is not known"


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
        return box((turns or "<div>No words came back.</div>") + self._legend())

    def _word(self, word: tuple[str, Mapping[str, float] | None]) -> str:
        text, parts = word
        if parts is None:
            return tinted(DOTTED, text, title=UNKNOWN)
        step = int(np.searchsorted(self.edges, parts[self.part], side="right"))
        told = (f"{name.replace('_', ' ')} {value * 1000:.0f} ms" for name, value in parts.items())
        return tinted(f"background: {TINTS[step]}", text, title=", ".join(told))

    def _legend(self) -> str:
        edges = [f"{edge * 1000:g}" for edge in self.edges]
        steps = [
            f"under {edges[0]}",
            *[f"{low} to {high}" for low, high in pairwise(edges)],
            f"{edges[-1]} and more",
        ]
        shown = [tinted(f"background: {TINTS[i]}; {EDGED}", said) for i, said in enumerate(steps)]
        if any(parts is None for turn in self.turns for _, parts in turn):
            shown.append(tinted(DOTTED, UNKNOWN))
        return (
            f'<div style="{SMALL}; margin-top: 6px">{self.part.replace("_", " ")} of each word '
            f"({PARTS[self.part]}), ms: {' '.join(shown)}</div>"
        )


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
        return box(
            f'<div style="{SMALL}">{self.revised} of {self.shown} words that partials showed were '
            f"later revised{share}. {marked('struck', 'struck')}: shown, and not kept; "
            f"{marked('instead', 'marked')}: what came in its stead; bold: how the turn read in "
            "the end. Partials that only grew are not listed.</div>"
            f'<table style="border: none; margin-left: 0">{rows}</table>'
        )


def _history(turn: _History) -> str:
    grew = turn.partials - len(turn.guesses)
    last = f"<b>{html.escape(turn.text)}</b>" + ("" if turn.ended else " (it never ended)")
    tail = f' <span style="{SMALL}">after {grew} more partials</span>' if grew else ""
    rows = [(guess.at, " ".join(map(_piece, guess.pieces))) for guess in turn.guesses]
    return "".join(
        '<tr style="background: none"><td style="text-align: right; vertical-align: top; '
        f'white-space: nowrap; padding: 2px 10px 2px 0; {SMALL}">{at:.2f} s</td>'
        f'<td style="text-align: left; padding: 2px 0">{said}</td></tr>'
        for at, said in [*rows, (turn.at, last + tail)]
    )


def _piece(piece: tuple[str, str, str]) -> str:
    kept, struck, instead = piece
    shown = (html.escape(kept), marked("struck", struck), marked("instead", instead))
    return " ".join(filter(None, shown))


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


def _text(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)
