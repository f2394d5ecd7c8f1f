"""The transcript in a notebook, each word colored by its latency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtkit.analysis.timing.latency import word_latency
from rtkit.boundary.text import counted, unknown
from rtkit.markup import SMALL, box, tinted
from rtkit.session import Session, check_session
from rtkit.views.colors import TINTED

__all__ = ["Transcript", "show_transcript"]

PARTS = {
    "latency": "what a person waits",
    "chunk_wait": "until the word's chunk was due",
    "lateness": "how late the sender was",
    "queue_wait": "behind a burst from the sender",
    "service_time": "what the service took",
}
STRENGTHS = (0, 0.16, 0.32, 0.5, 0.72)


def tints(part: str) -> tuple[str, ...]:
    """Five tints of a part's color, over whatever the page is made of: the text stays legible."""
    color = TINTED[part]
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return tuple(f"rgba({red}, {green}, {blue}, {strength})" for strength in STRENGTHS)


EDGED = "border: 1px solid rgba(128, 128, 128, 0.5); white-space: nowrap"
DOTTED = "border-bottom: 2px dotted; border-radius: 0"
UNKNOWN = "not in the reference: its true end is not known"


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript whose words are colored by latency in a notebook; elsewhere it is plain text.

    Attributes
    ----------
    turns : tuple of tuple of (str, dict or None)
        The words of each turn, with the parts of their latency in seconds; None for a word that
        matches nothing in the reference, because its end is not known.
    part : str
        What the colors show.
    edges : tuple of float
        The boundaries between colors, in seconds, rising.
    """

    turns: tuple[tuple[tuple[str, Mapping[str, float] | None], ...], ...]
    part: str
    edges: tuple[float, ...]

    def __str__(self) -> str:
        return "\n".join(" ".join(word for word, _ in turn) for turn in self.turns)

    def __repr__(self) -> str:
        words = counted(sum(map(len, self.turns)), "word")
        return f"<Transcript: {words} in {counted(len(self.turns), 'turn')}, by {self.part}>"

    def _repr_html_(self) -> str:
        turns = "".join(f"<div>{' '.join(map(self._word, turn))}</div>" for turn in self.turns)
        return box((turns or "<div>No words came back.</div>") + self._legend())

    def _word(self, word: tuple[str, Mapping[str, float] | None]) -> str:
        text, parts = word
        if parts is None:
            return tinted(DOTTED, text, title=UNKNOWN)
        step = int(np.searchsorted(self.edges, parts[self.part], side="right"))
        told = (f"{name.replace('_', ' ')} {value * 1000:.0f} ms" for name, value in parts.items())
        return tinted(f"background: {tints(self.part)[step]}", text, title=", ".join(told))

    def _legend(self) -> str:
        edges = [f"{edge * 1000:g}" for edge in self.edges]
        steps = [
            f"under {edges[0]}",
            *[f"{low} to {high}" for low, high in pairwise(edges)],
            f"{edges[-1]} and more",
        ]
        shown = [
            tinted(f"background: {tints(self.part)[i]}; {EDGED}", said)
            for i, said in enumerate(steps)
        ]
        if any(parts is None for turn in self.turns for _, parts in turn):
            shown.append(tinted(DOTTED, UNKNOWN))
        return (
            f'<div style="{SMALL}; margin-top: 6px">{self.part.replace("_", " ")} of each word '
            f"({PARTS[self.part]}), ms: {' '.join(shown)}</div>"
        )


def show_transcript(
    session: Session, *, part: str = "latency", edges: Sequence[float] | None = None
) -> Transcript:
    """Show the transcript with each word colored by its latency, or by one part of it.

    Parameters
    ----------
    session : Session
    part : {"latency", "chunk_wait", "lateness", "queue_wait", "service_time"}
    edges : sequence of 4 floats, optional
        The boundaries between colors, in seconds: to compare sessions, pass the same for all. By
        default, round numbers that give each color about a fifth of the words.

    Raises
    ------
    ValueError
        If the part is unknown, or `edges` are not four rising numbers.
    """
    check_session(session)
    if part not in PARTS:
        raise ValueError(unknown("part", part, PARTS))
    latency = word_latency(session, unmatched=True)
    known = latency.excluded != "unmatched"
    values = getattr(latency, part)[known]
    edges = _round_edges(values) if edges is None else tuple(float(edge) for edge in edges)
    if len(edges) != len(STRENGTHS) - 1 or not all(low < high for low, high in pairwise(edges)):
        raise ValueError(
            f"edges={edges} must be four rising numbers of seconds, which separate the five colors"
        )
    turns: dict[int, list[tuple[str, Mapping[str, float] | None]]] = {}
    for i, (turn, text) in enumerate(zip(latency.turn.tolist(), latency.texts, strict=True)):
        parts = {name: float(getattr(latency, name)[i]) for name in PARTS} if known[i] else None
        turns.setdefault(turn, []).append((text, parts))
    return Transcript(tuple(map(tuple, turns.values())), part, edges)


def _round_edges(values: np.ndarray) -> tuple[float, ...]:
    """Four rising numbers, as round as can be, that give the five colors about as many words."""
    wanted = np.quantile(values, (0.2, 0.4, 0.6, 0.8)) if len(values) else np.zeros(4)
    for step in (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01):
        edges = np.round(wanted / step)
        if np.all(np.diff(edges) > 0):
            return tuple(round(float(edge) * step, 6) for edge in edges)
    first = math.floor(wanted[0] / 0.01)  # they hardly differ: then let the colors not differ
    return tuple(round((first + i) * 0.01, 6) for i in range(1, 5))
