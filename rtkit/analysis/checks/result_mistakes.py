"""How a service sends and places words, if that makes some metrics meaningless."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtkit.analysis.checks.findings import Mistake
from rtkit.analysis.timing.partials import cadence, partial_stability
from rtkit.analysis.timing.turns import heard_words
from rtkit.boundary.text import counted
from rtkit.session import Session

__all__ = ["void_metrics"]

MOVED = 0.1  # seconds by which word times move that are worth a word,
THIRD = 5  # in how many words, at least, at either end


def void_metrics(session: Session) -> Iterator[Mistake]:
    """What says nothing of the service, or something else than it seems to."""
    steady = partial_stability(session)
    if steady.words > steady.turns and not steady.partials and not session.settings.marks_speech:
        yield Mistake(
            "no partials",
            "Word latency is then that of turns, and partial and first-word latency say nothing "
            "about the service.",
            f"no word came before its turn was over ({counted(steady.words, 'word')})",
            "Ask the service for partial results, if it has any; otherwise use turn latency.",
        )
    if (every := cadence(session)) is not None:
        yield Mistake(
            "cadence",
            "Up to that much of word latency is waiting for the next message, and not the time "
            "that the service needs.",
            f"partial results come every {every * 1000:.0f} ms, whatever is said",
            "Compare word latency with that of services with the same interval only, or use turn "
            "latency.",
        )
    if abs(moved := _moved(session)) > MOVED:
        yield Mistake(
            "drifting times",
            "The service's own word times move against the reference's. Latency counts from the "
            "reference; without one, it would drift as well.",
            f"{moved * 1000:+.0f} ms from the first third of the words to the last one",
            "Measure with a reference, and check the sample rate, and that all audio was sent "
            "once.",
        )


def _moved(session: Session) -> float:
    """By how much the service's word ends move against the reference's; 0 where that is unknown."""
    both = [
        (one.word.end, one.spoken.end) for one in heard_words(session) if one.spoken is not None
    ]
    off = [own - true for own, true in both if own is not None]
    third = len(off) // 3
    if third < THIRD:
        return 0.0
    return float(np.median(off[-third:]) - np.median(off[:third]))
