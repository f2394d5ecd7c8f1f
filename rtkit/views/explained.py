"""The parts of the latency of each chunk, word and turn, and how they are known.

Plain data, for a page's script to draw: instants in seconds, parts in milliseconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtkit.analysis.timing.latency import Latency, turn_latency, word_latency
from rtkit.analysis.timing.turns import heard_words
from rtkit.session import Session
from rtkit.views.colors import EVERY_PART, Part

__all__ = ["REASONS", "explained", "in_ms", "stack"]

REASONS = {
    "terminated": "ended by the shutdown",
    "unmatched": "not in the reference",
    "ambiguous": "whose last word is uncertain",
    "early": "with a result before they were sent",
    "disturbed": "behind a burst from the sender",
}
KNOWN = {
    "stamped": "the service stamped its result with the audio that it had processed",
    "stated": "the service stated the most audio that it can have processed",
    "bounded": "the service does not say, and no later chunk had been sent",
}


def explained(session: Session, *, offset: float = 0.0) -> dict[str, Any]:
    """The facts of a session that a person can ask about, as JSON takes them.

    Parameters
    ----------
    session : Session
    offset : float
        Added to every instant, in seconds: where in what is shown the session's audio begins.

    Returns
    -------
    dict
        ``chunks``: ``[start, end, due, sent]`` of each. ``stalls``: ``[from, to]``. ``words`` and
        ``turns``: ``text``; ``start``, ``end`` (None where not known) and ``received``;
        ``latency`` and its ``parts`` in ms, which add up as they are written (None where the end
        is not known); ``unsure``, by how many ms any of them may be off; ``chunk``, the one that
        holds the end, and ``decided``, the one that decided; ``known``, how that is known, and
        ``how``, the same as a sentence; ``out``, why it does not count, or empty.
    """
    rate = session.settings.rate
    words = heard_words(session)
    starts: dict[int, float] = {}
    for word in words:
        starts.setdefault(word.turn, word.start)
    turns = turn_latency(session)
    return {
        "chunks": [
            [
                _at(one.start / rate, offset),
                _at(one.stop / rate, offset),
                _at(one.due, offset),
                _at(one.sent, offset),
            ]
            for one in session.chunks
        ],
        "stalls": [
            [_at(one.at - one.seconds, offset), _at(one.at, offset)] for one in session.stalls
        ],
        "words": _told(
            word_latency(session, unmatched=True), [word.start for word in words], offset
        ),
        "turns": _told(turns, [starts.get(turn, np.nan) for turn in turns.turn.tolist()], offset),
    }


def stack(latency: Latency) -> list[tuple[Part, np.ndarray]]:
    """The parts of each, as `Latency.parts` gives them, each with its look."""
    values = latency.parts
    return [(part, values[part.name]) for part in EVERY_PART]


def in_ms(parts: np.ndarray) -> np.ndarray:
    """Parts in seconds, shape (parts, n), to a tenth of a millisecond, so that they add up.

    Their sum is the rounded sum of what was given: each ends where the rounded sum so far does.
    """
    ends = np.round(np.cumsum(parts, axis=0) * 1000, 1)
    return np.asarray(np.round(np.diff(ends, axis=0, prepend=0.0), 1))


def _told(latency: Latency, starts: list[float], offset: float) -> list[dict[str, Any]]:
    stacked = stack(latency)
    names = [part.name for part, _ in stacked]
    values = np.array([values for _, values in stacked])
    shown, there = in_ms(np.nan_to_num(values)), ~np.isnan(values)
    unsure = {name: np.round(latency.half_widths(name) * 1000, 1) for name in names}
    told = []
    for i, text in enumerate(latency.texts):
        known = str(latency.known[i])
        parts = {
            name: float(value) + 0.0  # never -0.0
            for name, value, applies in zip(names, shown[:, i], there[:, i], strict=True)
            if applies
        }
        first, last = int(latency.holding[i]), int(latency.deciding[i])
        told.append(
            {
                "text": text,
                "turn": int(latency.turn[i]),
                "start": _at(starts[i], offset),
                "end": _at(latency.end[i], offset),
                "received": _at(latency.received[i], offset),
                "latency": round(sum(parts.values()), 1) if parts else None,
                "parts": parts or None,
                "unsure": {name: float(unsure[name][i]) for name in parts if unsure[name][i]},
                "chunk": first,
                "decided": last,
                "known": known,
                "how": _how(first, last, known),
                "out": REASONS.get(latency.excluded[i], latency.excluded[i]),
            }
        )
    return told


def _how(first: int, last: int, known: str) -> str:
    if known == "held":
        return f"Chunk {last} holds the end of the word, so its service time starts there."
    sure = known == "stamped" or first >= last
    which = f"Chunk {last}" if sure else f"One of chunks {first} to {last}"
    return f"{which} decided: {KNOWN[known]}."


def _at(instant: float, offset: float) -> float | None:
    """To a tenth of a millisecond; None where it is not known."""
    return None if np.isnan(instant) else round(float(instant) + offset, 4)
