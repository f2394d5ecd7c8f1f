"""How late each chunk left, how late each word and turn came back, and whose lateness it was.

Pure functions of a session's facts, in seconds. With e the instant at which a word ends, k the
chunk that holds it, d the chunk that decided a turn's end, and r the answer's arrival::

    word:  r - e = (due_k - e) + (sent_k - due_k) + (r - sent_k)
    turn:  r - e = (due_k - e) + (due_d - due_k) + (sent_d - due_d) + (r - sent_d)
    latency      = chunk wait  + endpoint wait   + lateness         + service time

Both sums hold for every word and turn: nothing is clamped or dropped, negative terms are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Concatenate, Literal, ParamSpec, TypeVar

import numpy as np

from rtkit.analysis.matching import align, normalize
from rtkit.reference import SpokenWord
from rtkit.services.messages import Turn, Word
from rtkit.session import Session, without_collecting

__all__ = [
    "HeardWord",
    "Latency",
    "Quantiles",
    "drift",
    "first_word_latency",
    "heard_words",
    "holding_chunk",
    "jitter",
    "quantiles",
    "senders_share",
    "turn_latency",
    "word_latency",
]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of `count` values, linearly interpolated; NaN where there are none."""

    p50: float
    p95: float
    p99: float
    max: float
    count: int


def quantiles(values: np.ndarray) -> Quantiles:
    """The median, the 95th and 99th percentile and the maximum."""
    values = np.asarray(values, dtype=float)
    if not len(values):
        return Quantiles(np.nan, np.nan, np.nan, np.nan, 0)
    p50, p95, p99 = (float(value) for value in np.quantile(values, (0.5, 0.95, 0.99)))
    return Quantiles(p50, p95, p99, float(values.max()), len(values))


# The sender.


def drift(session: Session) -> float:
    """The trend of lateness, in seconds per second of audio: the slope of a least-squares line.

    NaN for fewer than two chunks.
    """
    if len(session.chunks) < 2:
        return float("nan")
    return float(np.polyfit(session.due, session.lateness, 1)[0])


def jitter(session: Session) -> np.ndarray:
    """How far each chunk's lateness lies from the trend, in seconds, shape (chunks,), >= 0.

    The trend is the line of `drift`, moved so that half of the chunks lie on either side.
    """
    if len(session.chunks) < 2:
        return np.zeros(len(session.chunks))
    residual = session.lateness - drift(session) * session.due
    return np.asarray(np.abs(residual - np.median(residual)))


# Words and turns.


@dataclass(frozen=True, slots=True, eq=False)
class Latency:
    """The latency of some words or turns, and its parts; every array has shape (n,), in seconds.

    Attributes
    ----------
    texts : tuple of str
        The word, or the turn's transcript.
    turn : ndarray of int
        Which turn it belongs to, or is, by the service's own number.
    end : ndarray
        e: when the word, or the turn's last word, ended in the audio.
    received : ndarray
        r: when the loop saw the answer.
    chunk_wait, endpoint_wait, lateness, service_time : ndarray
        The parts; they add up to `latency`. Words have no endpoint wait: it is 0.
    decided : ndarray of bool
        Whether the service said which audio decided the turn. Where it did not, d is the last
        chunk sent before r, and `endpoint_wait` and `service_time` only make sense as a sum.
    terminated : ndarray of bool
        Whether the turn was ended by Terminate: shown, and left out of quantiles.
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
    service_time: np.ndarray
    decided: np.ndarray
    terminated: np.ndarray
    referenced: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def latency(self) -> np.ndarray:
        """r - e: what a person waits, on the due axis."""
        return np.asarray(self.received - self.end)

    @property
    def since_sent(self) -> np.ndarray:
        """Endpoint wait + service time: all that is neither chunk wait nor lateness."""
        return np.asarray(self.endpoint_wait + self.service_time)

    @property
    def counted(self) -> np.ndarray:
        """Which ones belong in quantiles."""
        return ~self.terminated

    def quantiles(self, part: str = "latency") -> Quantiles:
        """Quantiles of `latency` or of one part, without turns that Terminate ended.

        Of `endpoint_wait` and `service_time` only where the service said which audio decided: they
        are not known apart elsewhere. Their sum, `since_sent`, always is.
        """
        known = self.counted
        if part in ("endpoint_wait", "service_time"):
            known = known & self.decided
        return quantiles(getattr(self, part)[known])


@dataclass(frozen=True, slots=True)
class _Answer:
    """A word or turn that was answered at `received`; `heard` tells the deciding audio."""

    text: str
    turn: int
    end: float
    received: float
    referenced: bool
    heard: float | None = None
    terminated: bool = False


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word of the final transcript.

    `received` is the instant of the first message that held it with its final, normalized text;
    `spoken` the reference's word that it matches, if any.
    """

    word: Word
    turn: int
    received: float
    spoken: SpokenWord | None

    @property
    def start(self) -> float:
        """When it began in the audio; NaN where neither the reference nor the service says."""
        return _known((self.spoken or self.word).start)

    @property
    def end(self) -> float:
        """When it ended; NaN as for `start`."""
        return _known((self.spoken or self.word).end)


def _known(time: float | None) -> float:
    return math.nan if time is None else time


Measured = TypeVar("Measured")
How = ParamSpec("How")


def _kept(
    measure: Callable[Concatenate[Session, How], Measured],
) -> Callable[Concatenate[Session, How], Measured]:
    """Measure a session once: its facts never change, and each look at three hours takes a second.

    What was measured stays with the session, as its cached properties do.
    """

    @wraps(measure)
    def once(session: Session, /, *args: How.args, **how: How.kwargs) -> Measured:
        key = " ".join([measure.__name__, *(f"{name}={how[name]!r}" for name in sorted(how))])
        kept = vars(session)
        if key not in kept:
            with without_collecting():
                kept[key] = measure(session, *args, **how)
        measured: Measured = kept[key]
        return measured

    return once


def heard_words(session: Session) -> list[HeardWord]:
    """Every word that the service settled on, in order, matched to the reference if there is one.

    See Also
    --------
    word_latency : leaves out words that match nothing in the reference.
    """
    return list(_heard_words(session))


@_kept
def _heard_words(session: Session) -> tuple[HeardWord, ...]:
    settled: list[tuple[Word, int, float]] = []
    for order, states in _states(session).items():
        last = states[-1][1]
        received = _first_seen(states, last.words)
        for index, word in enumerate(last.words):
            if last.end_of_turn or word.final:
                settled.append((word, order, received[index]))
    spoken = () if session.reference is None else session.reference.words
    matches = dict(align([word for word, _, _ in settled], spoken))
    return tuple(
        HeardWord(word, order, received, spoken[matches[i]] if i in matches else None)
        for i, (word, order, received) in enumerate(settled)
    )


def _first_seen(states: list[tuple[float, Turn]], settled: Sequence[Word]) -> dict[int, float]:
    """When each settled word was first there, by index, with its final, normalized text.

    Words mostly keep their places. Where a message has others (a formatter made one of two, say),
    words are matched to the settled ones by text and time, so that those behind keep their instant.
    """
    texts = [normalize(word.text) for word in settled]
    seen: dict[int, float] = {}
    for at, state in states:
        found = [normalize(word.text) for word in state.words]
        if found == texts[: len(found)]:
            pairs = [(index, index) for index in range(len(found))]
        else:
            pairs = align(state.words, settled)
        for _, index in pairs:
            seen.setdefault(index, at)
    return seen


@_kept
def word_latency(session: Session, *, unmatched: bool = False) -> Latency:
    """Emission latency: each word, answered by the first message with its final text.

    With a reference, only words that match one of its words count: what was misheard has no
    known end. Without, all words count, by the service's own times; so do the words that match
    nothing where `unmatched` ones are asked for.
    """
    return _latency(
        session,
        [
            _Answer(
                heard.word.text, heard.turn, heard.end, heard.received, heard.spoken is not None
            )
            for heard in heard_words(session)
            if unmatched
            or heard.spoken is not None
            or (session.reference is None and not math.isnan(heard.end))
        ],
    )


@_kept
def first_word_latency(session: Session) -> Latency:
    """Each turn's first word, answered by the turn's first message with any word in it."""
    first = {heard.turn: heard for heard in reversed(heard_words(session))}
    return _latency(
        session,
        [
            _Answer(
                first[order].word.text,
                order,
                first[order].end,
                next(at for at, state in states if state.words),
                first[order].spoken is not None,
            )
            for order, states in _states(session).items()
            if order in first and not math.isnan(first[order].end)
        ],
    )


@_kept
def turn_latency(session: Session, *, final: Literal["first", "formatted"] = "first") -> Latency:
    """Each turn, from the end of its last word to the message that ended it.

    Parameters
    ----------
    session : Session
    final : {"first", "formatted"}
        Which message is meant where a service sends two: the first with `end_of_turn`, or the
        last one, which is formatted.
    """
    ends = {heard.turn: heard for heard in heard_words(session)}
    answers = []
    for order, states in _states(session).items():
        finals = [(at, state) for at, state in states if state.end_of_turn]
        if not finals or order not in ends or math.isnan(ends[order].end):
            continue
        at, state = finals[0 if final == "first" else -1]
        last = ends[order]
        answers.append(
            _Answer(
                finals[-1][1].transcript,
                order,
                last.end,
                at,
                last.spoken is not None,
                state.heard,
                _ended_by_terminate(session, at, state),
            )
        )
    return _latency(session, answers, turns=True)


def senders_share(latency: Latency) -> float:
    """Which part of the measured latency the sender made itself: sum of lateness / of latency.

    NaN where nothing was measured, or where nobody waited: answers that came before the words
    were due have no latency to share out.
    """
    total = float(latency.latency[latency.counted].sum())
    return float(latency.lateness[latency.counted].sum()) / total if total > 0 else float("nan")


@_kept
def _states(session: Session) -> dict[int, list[tuple[float, Turn]]]:
    """The messages of each turn that holds words, in the order in which they came."""
    states: dict[int, list[tuple[float, Turn]]] = {}
    for at, reply in session.replies:
        if isinstance(reply, Turn) and reply.words:
            states.setdefault(reply.order, []).append((at, reply))
    return states


def _ended_by_terminate(session: Session, at: float, turn: Turn) -> bool:
    """What the service says, or else whether the answer came after Terminate was sent."""
    if turn.cause is not None:
        return turn.cause == "terminate"
    return session.terminated is not None and at >= session.terminated


def _latency(session: Session, answers: Sequence[_Answer], *, turns: bool = False) -> Latency:
    if not session.chunks:
        answers = ()
    end = np.array([answer.end for answer in answers], dtype=float)
    received = np.array([answer.received for answer in answers], dtype=float)
    due, sent = session.due, session.sent
    holding = holding_chunk(session, end)
    deciding = holding
    decided = np.ones(len(answers), dtype=bool)
    if turns:
        decided = np.array([answer.heard is not None for answer in answers], dtype=bool)
        samples = np.cumsum([chunk.bytes // 2 for chunk in session.chunks])
        heard = np.array([answer.heard or 0.0 for answer in answers])
        last_sent = np.maximum(np.searchsorted(sent, received, side="right") - 1, 0)
        deciding = np.where(
            decided, _first((samples + 0.5) / session.settings.rate, heard), last_sent
        )
    latency = Latency(
        texts=tuple(answer.text for answer in answers),
        turn=np.array([answer.turn for answer in answers], dtype=int),
        end=end,
        received=received,
        chunk_wait=due[holding] - end if answers else end,
        endpoint_wait=due[deciding] - due[holding] if answers else end,
        lateness=sent[deciding] - due[deciding] if answers else end,
        service_time=received - sent[deciding] if answers else end,
        decided=decided,
        terminated=np.array([answer.terminated for answer in answers], dtype=bool),
        referenced=np.array([answer.referenced for answer in answers], dtype=bool),
    )
    for one in fields(latency):
        if isinstance(values := getattr(latency, one.name), np.ndarray):
            values.flags.writeable = False  # it is kept: a change would show everywhere
    return latency


def holding_chunk(session: Session, ends: np.ndarray) -> np.ndarray:
    """k: the chunk that holds each instant of audio, the last one for instants beyond."""
    # Half a sample of grace: a word that ends with its chunk lies in it, whatever the rounding.
    stops = (np.array([chunk.stop for chunk in session.chunks]) + 0.5) / session.settings.rate
    return _first(stops, ends)


def _first(limits: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each value the first limit that reaches it; the last one for values beyond."""
    return np.minimum(np.searchsorted(limits, values), max(len(limits) - 1, 0)).astype(int)


# Matching what was heard to what was said.
