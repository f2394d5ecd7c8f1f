"""What was said, to look at in a notebook: words by latency, and partials with what was revised."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtkit.analysis.latency import align, heard_words, normalise, word_latency
from rtkit.markup import SMALL, box, marked, tinted
from rtkit.services.assemblyai.client import Turn, Word
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
        all. Without, round numbers that give each colour about a fifth of the words.

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
    """Four rising numbers, as round as can be, that give the five colours about as many words."""
    wanted = np.quantile(values, (0.2, 0.4, 0.6, 0.8)) if len(values) else np.zeros(4)
    for step in (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
        edges = np.round(wanted / step)
        if np.all(np.diff(edges) > 0):
            return tuple(round(float(edge) * step, 6) for edge in edges)
    first = math.floor(wanted[0] / 0.01)  # they hardly differ: then let the colours not differ
    return tuple(round((first + i) * 0.01, 6) for i in range(1, 5))


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
        How many word forms partials showed, each once for its place in the turn, and how many of
        them the last state of the turn does not have there: a place where "go", then "goat" stood
        counts two, so that there may be more of them than words in the transcript. Casing and
        punctuation do not count.
    """

    turns: tuple[_History, ...]
    shown: int
    revised: int

    def __repr__(self) -> str:
        partials = sum(turn.partials for turn in self.turns)
        return (
            f"<Partials: {partials} in {len(self.turns)} turns; "
            f"{self.revised} of {self.shown} word forms shown were revised>"
        )

    def _repr_html_(self) -> str:
        first = next((turn for turn in self.turns if turn.guesses), None)
        rows = "".join(_history(turn, unfolded=turn is first) for turn in self.turns)
        share = f" ({self.revised / self.shown:.0%})" if self.shown else ""
        return box(
            f'<div style="{SMALL}">{self.revised} of {self.shown} word forms that partials '
            f"showed were later revised{share}; one place may have shown several. "
            f"{marked('struck', 'struck')}: shown, and not kept; "
            f"{marked('instead', 'marked')}: what came in its stead; bold: how the turn read in "
            "the end. Open a turn for its revisions; partials that only grew are not listed.</div>"
            f"{rows}"
        )


def _history(turn: _History, *, unfolded: bool) -> str:
    """How the turn read in the end; behind it, folded away, a row for each revision."""
    last = f"<b>{html.escape(turn.text)}</b>" + ("" if turn.ended else " (it never ended)")
    count = f"{len(turn.guesses)} of {turn.partials} partials were revised"
    summary = f'{_at(turn.at)} {last} <span style="{SMALL}">{count}</span>'
    if not turn.guesses:
        return f'<div style="margin-left: 1.1em">{summary}</div>'
    rows = "".join(
        f'<div style="margin-left: 1.1em">{_at(guess.at)} '
        f"{' '.join(map(_piece, guess.pieces))}</div>"
        for guess in turn.guesses
    )
    how = " open" if unfolded else ""
    return f'<details{how}><summary style="cursor: pointer">{summary}</summary>{rows}</details>'


def _at(seconds: float) -> str:
    return f'<span style="{SMALL}; display: inline-block; min-width: 4.5em">{seconds:.2f} s</span>'


def _piece(piece: tuple[str, str, str]) -> str:
    kept, struck, instead = piece
    shown = (html.escape(kept), marked("struck", struck), marked("instead", instead))
    return " ".join(filter(None, shown))


def show_partials(session: Session) -> Partials:
    """How each turn read in the end, and a row for each of its partials that was revised."""
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
