"""How stable partial results are, and how often turns were cut off early.

Latency alone is half the story: a service that guesses shows text early but revises it, and a
service that ends turns early has a short endpoint wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rtkit.analysis.timing.alignment import align, normalize
from rtkit.analysis.timing.latency import turn_latency
from rtkit.analysis.timing.turns import heard_turns, timed_reference
from rtkit.services.messages import Turn, Word
from rtkit.session import Session, check_session

__all__ = [
    "Stability",
    "cadence",
    "early_cut_offs",
    "partial_intervals",
    "partial_stability",
    "taken_back",
]


LEAST = 10  # intervals that make a cadence


@dataclass(frozen=True, slots=True)
class Stability:
    """How much of the partial results was revised; casing and punctuation do not count.

    Attributes
    ----------
    unstable : int
        Words of a message that the next one of its turn changed or dropped, over all messages.
    erased : int
        Words that a display takes back: in each message, all words from the first one that the next
        message no longer has in that place.
    words : int
        Words in the turns' last messages.
    revised, turns : int
        Number of turns with any unstable word, and number of turns.
    partials : int
        Number of messages before each turn's last one, in all turns.
    """

    unstable: int
    erased: int
    words: int
    revised: int
    turns: int
    partials: int

    @property
    def upwr(self) -> float:
        """Unstable partial word ratio: `unstable` / `words` (Shangguan 2020, arXiv 2006.01416)."""
        return self.unstable / self.words if self.words and self.partials else float("nan")

    @property
    def upsr(self) -> float:
        """Unstable partial segment ratio: `revised` / `turns` (the same paper)."""
        return self.revised / self.turns if self.turns and self.partials else float("nan")

    @property
    def erasure(self) -> float:
        """Normalized erasure: `erased` / `words` (Arivazhagan 2020, IWSLT 2020.iwslt-1.27)."""
        return self.erased / self.words if self.words and self.partials else float("nan")


def partial_stability(session: Session) -> Stability:
    """Measure how much of what partial results showed was revised.

    Its ratios are NaN if no turn had a partial result: a service that sends nothing before the end
    of a turn is stable for another reason.

    Parameters
    ----------
    session : Session

    Returns
    -------
    Stability
    """
    check_session(session)
    return session.once(_stability)


def _stability(session: Session) -> Stability:
    unstable = erased = words = revised = partials = 0
    turns = [[state.words for _, state in turn.states] for turn in heard_turns(session)]
    for states in turns:
        changes = [(_changed(one, other), _erased(one, other)) for one, other in pairwise(states)]
        unstable += sum(changed for changed, _ in changes)
        erased += sum(gone for _, gone in changes)
        revised += any(changed for changed, _ in changes)
        words += len(states[-1])
        partials += len(states) - 1
    return Stability(unstable, erased, words, revised, len(turns), partials)


def _changed(one: Sequence[Word], other: Sequence[Word]) -> int:
    return len(one) - len(align(one, other).same)


def _erased(one: Sequence[Word], other: Sequence[Word]) -> int:
    texts = [[normalize(word.text) for word in words] for words in (one, other)]
    same = 0
    for mine, theirs in zip(*texts, strict=False):
        if mine != theirs:
            break
        same += 1
    return len(one) - same


def partial_intervals(session: Session) -> np.ndarray:
    """From each message of a turn to the next one with other words, in seconds, shape (n,)."""
    check_session(session)
    gaps = [
        later - before
        for turn in heard_turns(session)
        for before, later in pairwise(_news(turn.states))
    ]
    return np.array(gaps, dtype=float)


def _news(states: Sequence[tuple[float, Turn]]) -> Iterator[float]:
    shown: list[str] = []
    for at, state in states:
        texts = [normalize(word.text) for word in state.words]
        if texts != shown:
            yield at
        shown = texts


def cadence(session: Session) -> float | None:
    """The fixed interval of partial results, in seconds, if they have one.

    Eight of ten intervals then lie within a tenth of their median, which is two chunks or more.
    """
    gaps = partial_intervals(session)
    if len(gaps) < LEAST:
        return None
    low, median, high = np.quantile(gaps, (0.1, 0.5, 0.9))
    regular = high - low <= median / 10 and median >= 2 * session.settings.chunk
    return float(median) if regular else None


def early_cut_offs(session: Session) -> np.ndarray:
    """Whether each turn that silence ended was cut off early; shape (n,), bool.

    A turn was cut off early if the service ended it at a word that is not the last one of its turn
    in the reference. Their share is the early cut-off rate (arXiv 2401.08916): a short endpoint
    wait means nothing without it. Empty without a reference.

    Parameters
    ----------
    session : Session

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    check_session(session)
    reference = timed_reference(session)
    if reference is None:
        return np.zeros(0, dtype=bool)
    spoken = [word.end for word in reference.words]  # rising
    last = dict(zip(reference.owners, spoken, strict=True))  # of each of its turns
    until: dict[float, float] = {}
    for end, turn in zip(spoken, reference.owners, strict=True):  # two words may end at once
        until[end] = min(last[turn], until.get(end, math.inf))
    ends = turn_latency(session)
    here = ends.counted & ends.referenced
    return np.array([end < until[end] for end in ends.end[here].tolist()], dtype=bool)


def taken_back(session: Session) -> np.ndarray:
    """Whether each probable turn end was revoked by further speech; shape (n,), bool.

    For services that report this: Deepgram Flux's EagerEndOfTurn, then TurnResumed.
    """
    check_session(session)
    found: list[bool] = []
    pending: set[int] = set()
    for _, reply in session.replies:
        if not isinstance(reply, Turn):
            continue
        if reply.eager:
            pending.add(reply.order)
        elif reply.order in pending:
            pending.discard(reply.order)
            found.append(not reply.end_of_turn)
    return np.array(found, dtype=bool)
