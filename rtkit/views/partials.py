"""The revisions of partial results, turn by turn."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rtkit.analysis.timing.alignment import align, normalize
from rtkit.boundary.text import counted
from rtkit.markup import SMALL, box, marked
from rtkit.services.messages import Turn, Word
from rtkit.session import Session, check_session

__all__ = ["Partials", "show_partials"]


@dataclass(frozen=True, slots=True)
class Guess:
    """A partial of which something was later revised.

    Attributes
    ----------
    at : float
        When it came, in seconds.
    pieces : tuple of (str, str, str)
        Words that stayed, words that were struck out, and the words that replaced them.
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
    """What each turn read before it was final, and what was revised.

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
        forms = counted(self.shown, "word form shown was", "word forms shown were")
        return (
            f"<Partials: {partials} in {counted(len(self.turns), 'turn')}; "
            f"{self.revised} of {forms} revised>"
        )

    def _repr_html_(self) -> str:
        first = next((turn for turn in self.turns if turn.guesses), None)
        rows = "".join(_history(turn, unfolded=turn is first) for turn in self.turns)
        shown = "that partials showed"
        forms = counted(self.shown, f"word form {shown} was", f"word forms {shown} were")
        share = f" ({self.revised / self.shown:.0%})" if self.shown else ""
        return box(
            f'<div style="{SMALL}">{self.revised} of {forms} later '
            f"revised{share}; one place may have shown several. "
            f"{marked('struck', 'struck')}: shown, then revised; "
            f"{marked('instead', 'marked')}: what replaced it; bold: how the turn read in "
            "the end. Open a turn for its revisions; partials that only grew are not listed.</div>"
            f"{rows}"
        )


def _history(turn: _History, *, unfolded: bool) -> str:
    """How the turn read in the end; behind it, folded away, a row for each revision."""
    last = f"<b>{html.escape(turn.text)}</b>" + ("" if turn.ended else " (it never ended)")
    partials = counted(turn.partials, "partial was", "partials were")
    count = f"{len(turn.guesses)} of {partials} revised"
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
    return f"<small>{seconds:.2f} s</small>"


def _piece(piece: tuple[str, str, str]) -> str:
    kept, struck, instead = piece
    shown = (html.escape(kept), marked("struck", struck), marked("instead", instead))
    return " ".join(filter(None, shown))


def show_partials(session: Session) -> Partials:
    """Show the final text of each turn, with a row for each partial result that was revised.

    Parameters
    ----------
    session : Session

    Returns
    -------
    Partials
    """
    check_session(session)
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
            seen |= {(i, normalize(word.text)) for i, word in enumerate(state.words)}
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
    for i, j in [*align(partial, last).same, (len(partial), len(last))]:
        gone, instead = partial[here:i], last[there:j]
        if i == len(partial):  # what the last state has beyond the partial replaces nothing
            end = partial[-1].end
            instead = [
                word for word in instead if end and word.start is not None and word.start < end
            ]
        if gone:
            pieces.append((_text(kept), _text(gone), _text(instead)))
            struck |= {(here + k, normalize(word.text)) for k, word in enumerate(gone)}
            kept = []
        kept += partial[i : i + 1]
        here, there = i + 1, j + 1
    if kept:
        pieces.append((_text(kept), "", ""))
    return tuple(pieces), struck


def _text(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)
