"""The turns that a service reported: their messages, their words, and when each word arrived."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtkit.analysis.timing.alignment import align, normalize
from rtkit.analysis.timing.turn_edges import Edge, by_the_reference, by_the_service, known
from rtkit.boundary.text import counted
from rtkit.reference import Reference, SpokenWord
from rtkit.services.messages import Turn, Word
from rtkit.session import Session

__all__ = [
    "Agreement",
    "HeardTurn",
    "HeardWord",
    "agreement",
    "heard_turns",
    "heard_words",
    "holding_chunk",
    "never_ended",
    "sent_from",
    "timed_reference",
]

SHIFTED = 0.25  # seconds; services place the ends of words within some tenths
ENOUGH = 2  # words; one may be a chance


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that the service settled on, in the turn of the service's own number.

    Attributes
    ----------
    received : float
        When it came to stay, with its final, normalized text: the first message of the last
        unbroken run of messages that hold it.
    first_correct : float
        The first message that held it, whether it stayed or not.
    spoken : SpokenWord or None
        The reference's word that it matches, if any.
    early : bool
        No message that holds it came after the word had begun to be sent. Nobody can have heard it
        by then; a message that came before that counts for neither of the two instants.
    """

    word: Word
    turn: int
    received: float
    first_correct: float
    spoken: SpokenWord | None
    early: bool

    @property
    def start(self) -> float:
        """When it began in the audio; NaN where neither the reference nor the service says."""
        return known((self.spoken or self.word).start)

    @property
    def end(self) -> float:
        """When it ended; NaN as for `start`."""
        return known((self.spoken or self.word).end)


@dataclass(frozen=True, slots=True)
class HeardTurn:
    """A turn as the service told it.

    Attributes
    ----------
    order : int
        The service's own turn number.
    states : tuple of (float, Turn)
        Its messages. A final stays final: of what came behind one, only further finals with words
        are kept.
    words : tuple of HeardWord
        The words that it settled on.
    first, last : Edge or None
        Of its first final, or of what there is where it never ended. None without any word.
    """

    order: int
    states: tuple[tuple[float, Turn], ...]
    words: tuple[HeardWord, ...]
    first: Edge | None
    last: Edge | None

    @property
    def ended(self) -> bool:
        return self.states[-1][1].end_of_turn

    @property
    def finals(self) -> tuple[tuple[float, Turn], ...]:
        return tuple((at, state) for at, state in self.states if state.end_of_turn)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the service with the reference, in word times and numbers of words.

    Attributes
    ----------
    heard, matched, spoken : int
        Number of recognized words, of those that match the reference, and of the reference's words.
    shift : float
        How many seconds later than the reference the service places word ends, as the median of
        matching words; NaN if fewer than two have a time.
    """

    heard: int
    matched: int
    spoken: int
    shift: float

    @property
    def unmatched(self) -> float:
        """Share of the recognized words that match nothing in the reference."""
        return 1 - self.matched / self.heard if self.heard else float("nan")

    @property
    def shifted(self) -> bool:
        """Whether one of the two must have wrong times."""
        return abs(self.shift) > SHIFTED

    def __str__(self) -> str:
        where = "after" if self.shift > 0 else "before"
        return (
            f"the service places words {abs(self.shift) * 1000:.0f} ms {where} the reference, in "
            f"the median of {self.matched}; {self.heard - self.matched} of "
            f"{counted(self.heard, 'word that was', 'words that were')} recognized "
            f"({self.unmatched:.0%}) match nothing in it"
        )


def heard_turns(session: Session) -> tuple[HeardTurn, ...]:
    """The turns with any recognized word, in the service's order."""
    return session.once(_heard_turns)


def heard_words(session: Session) -> list[HeardWord]:
    """Every recognized word, in order, matched to the reference if there is one."""
    return [word for turn in heard_turns(session) for word in turn.words]


def never_ended(session: Session) -> tuple[HeardTurn, ...]:
    """The turns with recognized words that the service never ended."""
    return tuple(
        turn for turn in heard_turns(session) if not turn.ended and turn.states[-1][1].words
    )


def agreement(session: Session) -> Agreement | None:
    """Agreement of the service with the reference; None without one."""
    reference = timed_reference(session)
    if reference is None:
        return None
    words = heard_words(session)
    pairs = [(one.word, one.spoken) for one in words if one.spoken is not None]
    apart = [heard.end - spoken.end for heard, spoken in pairs if heard.end is not None]
    shift = float(np.median(apart)) if len(apart) >= ENOUGH else float("nan")
    return Agreement(len(words), len(pairs), len(reference.words), shift)


def timed_reference(session: Session) -> Reference | None:
    """The session's reference, unless it only says what was spoken, and of no word when."""
    return session.once(_timed_reference)


def _timed_reference(session: Session) -> Reference | None:
    found = session.reference
    text_alone = found is not None and bool(found.transcript.strip()) and not found.words
    return None if text_alone else found


def holding_chunk(session: Session, ends: np.ndarray) -> np.ndarray:
    """k: the chunk that holds each instant of audio, the last one for instants beyond."""
    # Half a sample of grace: a word that ends with its chunk lies in it, whatever the rounding.
    stops = (np.array([chunk.stop for chunk in session.chunks]) + 0.5) / session.settings.rate
    return np.minimum(np.searchsorted(stops, ends), max(len(stops) - 1, 0)).astype(int)


def sent_from(session: Session, starts: Sequence[float]) -> np.ndarray:
    """When each word began to be sent, by its start in the audio; -inf where that is not known."""
    known = np.array(starts, dtype=float)
    if not session.chunks:
        return np.full(len(known), -math.inf)
    return np.where(np.isnan(known), -math.inf, session.sent[holding_chunk(session, known)])


def _heard_turns(session: Session) -> tuple[HeardTurn, ...]:
    states = _states(session)
    before = [_unformatted(of_turn) for of_turn in states.values()]
    settled = [_settled(of_turn) for of_turn in states.values()]
    reference = timed_reference(session)
    spoken = () if reference is None else reference.words
    aligned = align([word for words in before for word in words], spoken)
    same = aligned.same
    if _as_texts(before) != _as_texts(settled):
        same = align([word for words in settled for word in words], spoken).same
    words = _words(session, states, settled, {i: spoken[j] for i, j in same})
    if reference is None:
        edges = [by_the_service(words) for words in before]
    else:
        limits = [_decided_by(session, of_turn) for of_turn in states.values()]
        edges = by_the_reference(reference, before, aligned, limits)
    return tuple(
        HeardTurn(order, states[order], found, first, last)
        for order, found, (first, last) in zip(states, words, edges, strict=True)
    )


def _states(session: Session) -> dict[int, tuple[tuple[float, Turn], ...]]:
    """The messages of each turn in which there ever was a word; a final stays final."""
    turns: dict[int, list[tuple[float, Turn]]] = {}
    for at, reply in session.replies:
        if isinstance(reply, Turn):
            states = turns.setdefault(reply.order, [])
            stale = bool(states) and states[-1][1].end_of_turn
            said = any(normalize(word.text) for word in reply.words) if stale else True
            if not stale or (reply.end_of_turn and (said or not states[-1][1].words)):
                states.append((at, reply))
    return {
        order: _of_words(turns[order])
        for order in sorted(turns)
        if any(state.words for _, state in turns[order])
    }


def _of_words(states: Sequence[tuple[float, Turn]]) -> tuple[tuple[float, Turn], ...]:
    """Without blanks and bare punctuation, unless a turn has nothing else to show."""
    words = [tuple(word for word in state.words if normalize(word.text)) for _, state in states]
    if not any(words):
        return tuple(states)
    return tuple(
        (at, replace(state, words=kept) if len(kept) < len(state.words) else state)
        for (at, state), kept in zip(states, words, strict=True)
    )


def _unformatted(states: Sequence[tuple[float, Turn]]) -> tuple[Word, ...]:
    """The words of the first final: one that is formatted later says the same of the audio."""
    finals = (state for _, state in states if state.end_of_turn and state.words)
    return next(finals, states[-1][1]).words


def _settled(states: Sequence[tuple[float, Turn]]) -> tuple[Word, ...]:
    last = states[-1][1]
    return tuple(word for word in last.words if last.end_of_turn or word.final)


def _as_texts(turns: Sequence[Sequence[Word]]) -> list[list[str]]:
    return [[normalize(word.text) for word in words] for words in turns]


# When each word was there.


def _words(
    session: Session,
    states: dict[int, tuple[tuple[float, Turn], ...]],
    settled: Sequence[Sequence[Word]],
    spoken: dict[int, SpokenWord],
) -> list[tuple[HeardWord, ...]]:
    flat = [word for words in settled for word in words]
    starts = [known((spoken.get(i) or word).start) for i, word in enumerate(flat)]
    begun = sent_from(session, starts).tolist()
    found = []
    first = 0
    for (order, of_turn), words in zip(states.items(), settled, strict=True):
        instants = [at for at, _ in of_turn]
        runs = _runs(of_turn, words)
        heard = []
        for index, word in enumerate(words, first):
            since = begun[index]
            received = _since(instants, runs[index - first][-1:], since)
            first_correct = _since(instants, runs[index - first], since)
            heard.append(
                HeardWord(
                    word,
                    order,
                    instants[-1] if received is None else received,
                    instants[-1] if first_correct is None else first_correct,
                    spoken.get(index),
                    received is None,
                )
            )
        found.append(tuple(heard))
        first += len(words)
    return found


def _runs(
    states: Sequence[tuple[float, Turn]], settled: Sequence[Word]
) -> list[list[tuple[int, int]]]:
    """For each settled word the runs of messages that hold it: from, and up to before.

    Words mostly keep their places. Where a message has others (a formatter made one of two, say),
    words are matched to the settled ones, so that those behind keep their instant.
    """
    texts = [normalize(word.text) for word in settled]
    runs: list[list[tuple[int, int]]] = [[] for _ in settled]
    since: dict[int, int] = {}
    for number, (_, state) in enumerate(states):
        found = [normalize(word.text) for word in state.words]
        if found == texts[: len(found)]:
            here = set(range(len(found)))
        else:
            here = {index for _, index in align(state.words, settled).same}
        for index in since.keys() - here:
            runs[index].append((since.pop(index), number))
        for index in here - since.keys():
            since[index] = number
    for index, number in since.items():
        runs[index].append((number, len(states)))
    return runs


def _since(
    instants: Sequence[float], runs: Sequence[tuple[int, int]], begun: float
) -> float | None:
    """The first message within the runs that did not come before the word could be heard."""
    for start, stop in runs:
        for number in range(start, stop):
            if instants[number] >= begun:
                return instants[number]
    return None


def _decided_by(session: Session, states: Sequence[tuple[float, Turn]]) -> float:
    """A missed word that ends after so much audio cannot belong to the turn: it had ended."""
    final = next(((at, state) for at, state in states if state.end_of_turn), None)
    if final is None or not session.chunks:
        return math.inf
    at, state = final
    if state.heard is not None and state.heard_by == "stamped":
        return state.heard
    sent = int(np.searchsorted(session.sent, at, side="right"))
    return session.chunks[max(sent - 1, 0)].stop / session.settings.rate
