"""How well what was heard agrees with the reference: in the times of words, and in their number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtkit.analysis.turns import heard_words
from rtkit.session import Session

__all__ = ["SHIFTED", "Agreement", "agreement"]

SHIFTED = 0.25  # seconds; services place the ends of words within some tenths
ENOUGH = 2  # words; one may be a chance


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the service heard, beside the reference.

    Attributes
    ----------
    heard, matched, spoken : int
        Words that the service settled on, those of them that match one of the reference's, and the
        reference's.
    shift : float
        By how many seconds the service places the ends of words after the reference, in the median
        of the words that match; NaN where fewer than two have a time.
    """

    heard: int
    matched: int
    spoken: int
    shift: float

    @property
    def unmatched(self) -> float:
        """Which share of the words that were heard match nothing that was said."""
        return 1 - self.matched / self.heard if self.heard else float("nan")

    @property
    def shifted(self) -> bool:
        """Whether one of the two clocks must be wrong."""
        return abs(self.shift) > SHIFTED

    def __str__(self) -> str:
        where = "after" if self.shift > 0 else "before"
        return (
            f"the service places words {abs(self.shift) * 1000:.0f} ms {where} the reference, in "
            f"the median of {self.matched}; {self.heard - self.matched} of {self.heard} words that "
            f"were heard ({self.unmatched:.0%}) match nothing in it"
        )


def agreement(session: Session) -> Agreement | None:
    """What the service heard, beside the reference; None without one."""
    if session.reference is None:
        return None
    words = heard_words(session)
    pairs = [(one.word, one.spoken) for one in words if one.spoken is not None]
    apart = [heard.end - spoken.end for heard, spoken in pairs if heard.end is not None]
    shift = float(np.median(apart)) if len(apart) >= ENOUGH else float("nan")
    return Agreement(len(words), len(pairs), len(session.reference.words), shift)
