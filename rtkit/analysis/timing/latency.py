"""The latency of each word and turn, and its parts.

Pure functions of a session's facts, in seconds. With e the instant at which a word ends, k the
chunk that holds it, d the chunk that decided a turn's end, and r the result's arrival::

    word:  r - e = (due_k - e) + (sent_k - due_k) + (r - sent_k)
    turn:  r - e = (due_k - e) + (due_d - due_k) + (sent_d - due_d) + (r - sent_d)
    latency      = chunk wait  + endpoint wait   + lateness         + queue wait + service time

Both sums hold for every word and turn: nothing is clamped or dropped, negative terms are kept. The
queue wait, mostly 0, is the part of r - sent that a burst of the sender's made (see `attribution`).
Where the service confirms chunks, the first part of service time is that until it confirmed d.

Where the service does not say which audio decided, d is one of the chunks from k to the last one
sent before r. Lateness and queue wait, and with them endpoint wait + service time, then lie between
two values: the arrays hold the middle, and `half_width` says how far off the truth may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np

from rtkit.analysis.statistics.quantiles import Quantiles, quantiles
from rtkit.analysis.timing.alignment import normalize
from rtkit.analysis.timing.attribution import confirmations, deciding_chunks, made_by_sender
from rtkit.analysis.timing.turn_edges import Edge
from rtkit.analysis.timing.turns import (
    HeardWord,
    heard_turns,
    heard_words,
    holding_chunk,
    sent_from,
    timed_reference,
)
from rtkit.services.messages import Turn
from rtkit.session import Session, check_session

__all__ = [
    "Latency",
    "first_word_latency",
    "partial_latency",
    "senders_share",
    "senders_share_bounds",
    "turn_latency",
    "word_latency",
]


@dataclass(frozen=True, slots=True, eq=False)
class Latency:
    """The latency of some words or turns, and its parts, in seconds; every array has shape (n,).

    Attributes
    ----------
    texts : tuple of str
        The word, or the turn's transcript.
    turn : ndarray of int
        Which turn it belongs to, or is, by the service's own number.
    end : ndarray
        e: when the word, or the turn's last spoken word, ended in the audio. NaN, as all parts are,
        where neither a reference nor the service says.
    received : ndarray
        r: when the loop saw the result.
    chunk_wait, endpoint_wait, lateness, queue_wait, service_time : ndarray
        The parts, which add up to `latency`. For words, the endpoint wait is 0. The sender caused
        lateness and queue wait: a burst waits until what came before is processed. Unless the
        service states how fast that is, the queue wait is part of the service time.
    confirmation : ndarray
        Service time until d's receipt came: the network both ways, and d's wait. NaN without one.
    half_width : ndarray
        How far `lateness`, `queue_wait`, their sum and, in the opposite direction, `since_sent` and
        `service_time` may be from the true value; 0 if the deciding chunk is known.
    confirmation_half_width : ndarray
        How far `confirmation` may be from the true value.
    holding, deciding : ndarray of int
        k and d: the chunk that holds the end, and the (last possible) chunk that decided.
    known : ndarray of str
        How it is known which chunk decided. ``"stamped"``: the embedded service says so;
        ``"stated"``: the service states how much audio it had processed, so `endpoint_wait` is at
        most, and `service_time` at least, what stands there; ``"bounded"``: it says nothing, so
        only their sum makes sense. Words are ``"held"``: they count from the chunk that holds them.
    excluded : ndarray of str
        Why it is shown and left out of quantiles; empty where it counts. ``"terminated"``: the
        shutdown ended the turn; ``"unmatched"``: nothing of it matches the reference, or a word has
        no known end; ``"ambiguous"``: a missed word may be its end, or another turn's; ``"early"``:
        the result came before the word had begun to be sent; ``"disturbed"``: it may have waited
        behind a burst from the sender, and the service does not state how fast it processes audio.
    referenced : ndarray of bool
        Whether e comes from the reference, or else from the service's own word times.
    """

    texts: tuple[str, ...]
    turn: np.ndarray
    end: np.ndarray
    received: np.ndarray
    chunk_wait: np.ndarray
    endpoint_wait: np.ndarray
    lateness: np.ndarray
    queue_wait: np.ndarray
    service_time: np.ndarray
    confirmation: np.ndarray
    half_width: np.ndarray
    confirmation_half_width: np.ndarray
    holding: np.ndarray
    deciding: np.ndarray
    known: np.ndarray
    excluded: np.ndarray
    referenced: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        p50 = f", p50 {self.quantiles().p50 * 1000:.0f} ms" if self.counted.any() else ""
        return f"<Latency of {len(self)}: {self.counted.sum()} counted{p50}>"

    @property
    def latency(self) -> np.ndarray:
        """r - e: what a person waits, on the due axis."""
        return np.asarray(self.received - self.end)

    @property
    def since_sent(self) -> np.ndarray:
        """Endpoint wait + service time: all that is neither chunk wait nor the sender's."""
        return np.asarray(self.endpoint_wait + self.service_time)

    @property
    def after_confirmation(self) -> np.ndarray:
        """The rest of service time; both ends came the same way back, which cancels out."""
        return np.asarray(self.service_time - self.confirmation)

    @property
    def since_confirmed(self) -> np.ndarray:
        """Endpoint wait + service time after confirmation."""
        return np.asarray(self.since_sent - self.confirmation)

    @property
    def counted(self) -> np.ndarray:
        """Which ones belong in quantiles."""
        return np.asarray(self.excluded == "")

    @property
    def terminated(self) -> np.ndarray:
        """Which turns were ended by the shutdown."""
        return np.asarray(self.excluded == "terminated")

    @property
    def decided(self) -> np.ndarray:
        """Where the service says which audio decided: elsewhere two parts are known as a sum."""
        return np.asarray(self.known != "bounded")

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The parts of each, by name; those of one add up to its latency.

        NaN where a part is none of it: what the service did not tell apart is one part, and what
        followed a receipt takes the place of the whole.
        """
        bounded, confirmed = self.known == "bounded", ~np.isnan(self.confirmation)
        none = {
            "chunk_wait": False,
            "endpoint_wait": bounded | (self.known == "held"),
            "lateness": False,
            "queue_wait": False,
            "confirmation": False,
            "service_time": bounded | confirmed,
            "after_confirmation": bounded,
            "since_sent": ~bounded | confirmed,
            "since_confirmed": ~bounded,
        }
        return {name: np.where(no, np.nan, getattr(self, name)) for name, no in none.items()}

    def half_widths(self, part: str) -> np.ndarray:
        """How far each one's part may lie from the truth, either way."""
        within = np.zeros(len(self))
        rest = ("after_confirmation", "since_confirmed")
        if part in ("lateness", "queue_wait", "service_time", "since_sent", *rest):
            within = within + self.half_width
        if part in ("confirmation", *rest):
            within = within + self.confirmation_half_width
        return within

    def bounds(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Between which values each one's part lies: the least, and the greatest."""
        values, within = getattr(self, part), self.half_widths(part)
        return values - within, values + within

    def quantiles(self, part: str = "latency") -> Quantiles:
        """Quantiles of `latency` or of one part, of those that count.

        Of `endpoint_wait`, `service_time`, `after_confirmation` only where the service said which
        audio decided: elsewhere only their sum is known, `since_sent` or `since_confirmed`.
        """
        return quantiles(self.known_values(part))

    def known_values(self, part: str = "latency") -> np.ndarray:
        """What `quantiles` are taken of, shape (known,)."""
        return np.asarray(getattr(self, part)[self._known(part)])

    def quantile_bounds(self, part: str = "latency") -> tuple[Quantiles, Quantiles]:
        """Between which values the quantiles lie: those of the least values, and the greatest."""
        low, high = (values[self._known(part)] for values in self.bounds(part))
        return quantiles(low), quantiles(high)

    def _known(self, part: str) -> np.ndarray:
        apart = part in ("endpoint_wait", "service_time", "after_confirmation")
        known = ~np.isnan(getattr(self, part)) & (self.decided | (not apart))
        return np.asarray(self.counted & known)


class _Result(NamedTuple):
    """A word or turn whose result came at `received`; of a turn, the `final` that did it."""

    text: str
    turn: int
    end: float
    received: float
    referenced: bool
    excluded: str = ""
    final: Turn | None = None


def word_latency(session: Session, *, unmatched: bool = False) -> Latency:
    """Measure emission latency: for each word, from its end until its final text arrives and stays.

    The result is the first message of the last unbroken run of messages that contain the word.

    With a reference, only words that match a word of it count, because the end of a misheard word
    is not known. Without one, all words count, by the service's own times. With `unmatched`, words
    that do not count are included, too, and marked.

    Parameters
    ----------
    session : Session
    unmatched : bool
        Whether to include words that match nothing in the reference.

    Returns
    -------
    Latency
    """
    check_session(session)
    return session.once(_words, "received", unmatched)


def partial_latency(session: Session) -> Latency:
    """Measure partial latency: for each word, from its end to the first message that has it right.

    The word need not have stayed. The median and the 90th percentile are known as PR50 and PR90
    (FastEmit, ICASSP 2021).
    """
    check_session(session)
    return session.once(_words, "first_correct", False)


def _words(session: Session, shown: str, unmatched: bool) -> Latency:
    results = [
        _Result(
            word.word.text,
            word.turn,
            word.end,
            getattr(word, shown),
            word.spoken is not None,
            _excluded_word(session, word),
        )
        for word in heard_words(session)
    ]
    if not unmatched:
        results = [result for result in results if result.excluded != "unmatched"]
    return _latency(session, results)


def _excluded_word(session: Session, word: HeardWord) -> str:
    strange = timed_reference(session) is not None and word.spoken is None
    if strange or word.end != word.end or not normalize(word.word.text):
        return "unmatched"
    return "early" if word.early else ""


def first_word_latency(session: Session) -> Latency:
    """Measure, for each turn, from the end of its first word to the first message with any words.

    With a reference, it is the first spoken word of the turn, recognized or not. A message that
    arrived before any of that word was sent does not count.
    """
    check_session(session)
    return session.once(_first_words)


def _first_words(session: Session) -> Latency:
    turns = [turn for turn in heard_turns(session) if turn.words]
    firsts = [turn.first for turn in turns if turn.first is not None]
    begun = sent_from(session, [first.start for first in firsts])
    results = []
    for turn, first, since in zip(turns, firsts, begun.tolist(), strict=True):
        shown = [at for at, state in turn.states if state.words]
        received = next((at for at in shown if at >= since), None)
        results.append(
            _Result(
                turn.words[0].word.text,
                turn.order,
                first.end,
                shown[-1] if received is None else received,
                first.referenced,
                _excluded(first, received is None),
            )
        )
    return _latency(session, results)


def turn_latency(session: Session, *, final: Literal["first", "formatted"] = "first") -> Latency:
    """Measure, for each turn, from the end of its last spoken word to its final result.

    With a reference, the last spoken word counts whether or not it was recognized: a word that was
    missed or misheard was spoken, and a hallucinated one was not. Without a reference, it is the
    last word of the first final result, by the service's own times.

    Parameters
    ----------
    session : Session
    final : {"first", "formatted"}
        Which message counts if a service sends two: the first with `end_of_turn`, or the last one,
        which is formatted. Both are measured from the same end.

    Returns
    -------
    Latency

    See Also
    --------
    Latency.excluded : why a turn is shown but not counted.
    """
    check_session(session)
    return session.once(_turns, final)


def _turns(session: Session, final: str) -> Latency:
    turns = [turn for turn in heard_turns(session) if turn.ended and turn.last is not None]
    lasts = [turn.last for turn in turns if turn.last is not None]
    begun = sent_from(session, [last.start for last in lasts])
    results = []
    for turn, last, since in zip(turns, lasts, begun.tolist(), strict=True):
        at, state = turn.finals[0 if final == "first" else -1]
        if _ended_by_terminate(session, *turn.finals[0]):
            excluded = "terminated"
        else:
            excluded = _excluded(last, at < since)
        results.append(
            _Result(
                turn.states[-1][1].transcript,
                turn.order,
                last.end,
                at,
                last.referenced,
                excluded,
                state,
            )
        )
    return _latency(session, results, turns=True)


def _excluded(edge: Edge, early: bool) -> str:
    if edge.doubt or edge.end != edge.end:
        return edge.doubt or "unmatched"
    return "early" if early else ""


def _ended_by_terminate(session: Session, at: float, turn: Turn) -> bool:
    """What the service says, or else whether the result came after the shutdown began.

    Some shutdowns force the turn's end first.
    """
    if turn.cause in ("silence", "terminate"):
        return turn.cause == "terminate"
    return session.terminated is not None and at >= session.terminated


def senders_share(latency: Latency) -> float:
    """The sender's share of latency: the sum of lateness and queue wait, over that of latency.

    NaN if there was no latency. If the parts are known only within bounds, it is the middle of
    `senders_share_bounds`.
    """
    if not isinstance(latency, Latency):
        kind = type(latency).__name__
        raise TypeError(f"a {kind} is not a latency; give rtkit.turn_latency(session)")
    low, high = senders_share_bounds(latency)
    return (low + high) / 2


def senders_share_bounds(latency: Latency) -> tuple[float, float]:
    """The bounds of `senders_share`."""
    total = float(latency.latency[latency.counted].sum())
    if not total > 0:
        return float("nan"), float("nan")
    made = latency.lateness + latency.queue_wait
    bounds = made - latency.half_width, made + latency.half_width
    low, high = (float(bound[latency.counted].sum()) for bound in bounds)
    return low / total, high / total


# The parts.


def _latency(session: Session, results: Sequence[_Result], *, turns: bool = False) -> Latency:
    if not session.chunks:
        results = ()
    end = np.array([result.end for result in results], dtype=float)
    received = np.array([result.received for result in results], dtype=float)
    known = np.array(["held"] * len(results), dtype=object)
    holding = holding_chunk(session, end)
    deciding = first = holding
    if turns and results:
        known, deciding = deciding_chunks(session, [one.final for one in results], received)
        first = np.where(known == "stamped", deciding, holding)
    made = made_by_sender(session, first, deciding)
    confirmation, confirmed_within = confirmations(session, first, deciding)
    due = session.due if results else np.zeros(1)
    nowhere = np.isnan(end)
    lateness = np.where(nowhere, np.nan, made.lateness)
    queue_wait = np.where(nowhere, np.nan, made.queue_wait)
    excluded = np.array([result.excluded for result in results], dtype=object)
    excluded[(excluded == "") & made.disturbed] = "disturbed"
    latency = Latency(
        texts=tuple(result.text for result in results),
        turn=np.array([result.turn for result in results], dtype=int),
        end=end,
        received=received,
        chunk_wait=due[holding] - end,
        endpoint_wait=np.where(nowhere, np.nan, due[deciding] - due[holding]),
        lateness=lateness,
        queue_wait=queue_wait,
        service_time=received - due[deciding] - lateness - queue_wait,
        confirmation=np.where(nowhere, np.nan, confirmation),
        half_width=np.where(nowhere, 0.0, made.half_width),
        confirmation_half_width=np.where(nowhere, 0.0, confirmed_within),
        holding=holding,
        deciding=deciding,
        known=known,
        excluded=excluded,
        referenced=np.array([result.referenced for result in results], dtype=bool),
    )
    for one in fields(latency):
        if isinstance(values := getattr(latency, one.name), np.ndarray):
            values.flags.writeable = False  # it is kept: a change would show everywhere
    return latency
