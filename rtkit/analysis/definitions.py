"""The same session, scored by other definitions of latency.

None of them is wrong; each answers a different question, and several hide who caused the latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.analysis.timing.latency import Latency, turn_latency
from rtkit.analysis.timing.turns import heard_words, timed_reference
from rtkit.markup import Table
from rtkit.services.messages import Turn
from rtkit.session import Session

__all__ = ["DEFINITIONS", "Definition", "rescore"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A way to score a session.

    Attributes
    ----------
    name : str
    formula : str
        With e, k, d and r as in `rtkit.analysis.timing.latency`; b_k is where chunk k ends in the
        audio.
    used_by : str
        Who uses it.
    hides : str
        What it cannot show.
    values : callable
        The latencies of a session, in seconds, shape (n,).
    """

    name: str
    formula: str
    used_by: str
    hides: str
    values: Callable[[Session], np.ndarray]


def rescore(sessions: Sessions) -> Table:
    """Compute each session's median latency, in ms, under each definition of latency.

    `rtkit.analysis.definitions.DEFINITIONS` explains the rows.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them

    Returns
    -------
    Table
        One row per definition, one column per session.
    """
    by_name = named(sessions)
    return Table(
        tuple(by_name),
        tuple(
            (
                f"{definition.name}: {definition.formula}",
                tuple(
                    quantiles(definition.values(session)).p50 * 1000 for session in by_name.values()
                ),
                ".0f",
            )
            for definition in DEFINITIONS
        ),
        corner="p50, ms",
    )


def _turns(measure: Callable[[Session, Latency], np.ndarray]) -> Callable[[Session], np.ndarray]:
    """A definition on the turns that silence ended."""

    def values(session: Session) -> np.ndarray:
        latency = turn_latency(session)
        if not len(latency):
            return np.empty(0)
        counted = measure(session, latency)[latency.counted]
        return np.asarray(counted[~np.isnan(counted)])

    return values


def _service_time(session: Session, latency: Latency) -> np.ndarray:
    """NaN where the service does not say which audio decided."""
    return np.where(latency.decided, latency.queue_wait + latency.service_time, np.nan)


def _since_sent(session: Session, latency: Latency) -> np.ndarray:
    return np.asarray(latency.received - session.sent[latency.holding])


def _since_voice_left(session: Session, latency: Latency) -> np.ndarray:
    behind = _stops(session)[latency.holding] - latency.end
    return np.asarray(_since_sent(session, latency) + behind)


def _stops(session: Session) -> np.ndarray:
    """Where each chunk ends in the audio, in seconds."""
    return np.array([chunk.stop for chunk in session.chunks]) / session.settings.rate


def _after_the_end(session: Session) -> np.ndarray:
    finals = [at for at, reply in session.replies if isinstance(reply, Turn) and reply.end_of_turn]
    return np.array([finals[-1] - session.settings.seconds]) if finals else np.empty(0)


def _cursors(session: Session) -> np.ndarray:
    """At each message with words: how much audio was sent, minus how much is transcribed."""
    if not session.chunks:
        return np.empty(0)
    spoken = np.append(0.0, _stops(session))  # after so many chunks
    results = [
        (at, reply.words[-1].end)
        for at, reply in session.replies
        if isinstance(reply, Turn) and reply.words and not reply.end_of_turn
        if reply.words[-1].end is not None
    ]
    sent = np.searchsorted(session.sent, [at for at, _ in results], side="right")
    return np.asarray(spoken[sent] - np.array([end for _, end in results], dtype=float))


def _first_text(session: Session) -> np.ndarray:
    told = (at for at, reply in session.replies if isinstance(reply, Turn) and reply.words)
    first = next(told, None)
    if first is None or not session.chunks:
        return np.empty(0)
    return np.array([first - session.sent[0]])


def _last_turn(
    measure: Callable[[Session, Latency], np.ndarray],
) -> Callable[[Session], np.ndarray]:
    """A definition on the last turn's first final, whatever ended it."""

    def values(session: Session) -> np.ndarray:
        latency = turn_latency(session)
        if not len(latency):
            return np.empty(0)
        return np.asarray(measure(session, latency)[~np.isnan(latency.end)][-1:])

    return values


def _lagging(flush: bool) -> Callable[[Session], np.ndarray]:
    """LAAL, or (without what came when the audio was over) YAAL."""

    def values(session: Session) -> np.ndarray:
        arrived = np.sort([word.received for word in heard_words(session)])
        seconds = session.settings.seconds
        spoken = 0 if session.reference is None else len(session.reference.words)
        lag = _lag(arrived, seconds, spoken, until=seconds, flush=flush)
        return np.empty(0) if np.isnan(lag) or not session.chunks else np.array([lag])

    return values


def _lagging_by_turn(flush: bool) -> Callable[[Session], np.ndarray]:
    """StreamLAAL, or LongYAAL: the mean over the reference's turns of which anything was heard.

    A word that matches nothing spoken counts to the turn of the word before it.
    """

    def values(session: Session) -> np.ndarray:
        reference = timed_reference(session)
        if reference is None or not session.chunks:
            return np.empty(0)
        owners = reference.owners
        owner = dict(zip(map(id, reference.words), owners, strict=True))
        spoken = Counter(owners)
        heard = heard_words(session)
        turns = [owner.get(id(word.spoken)) for word in heard]
        turn = next((one for one in turns if one is not None), None)
        arrived: dict[int, list[float]] = {}
        for word, own in zip(heard, turns, strict=True):
            turn = turn if own is None else own
            if turn is not None:
                arrived.setdefault(turn, []).append(word.received)
        lags = []
        for turn, instants in arrived.items():
            start, stop = reference.turns[turn].start, reference.turns[turn].end
            until = stop if flush else session.settings.seconds
            since = np.sort(instants) - start
            lags.append(_lag(since, stop - start, spoken[turn], until=until - start, flush=flush))
        known = [lag for lag in lags if not np.isnan(lag)]
        return np.array([np.mean(known)]) if known else np.empty(0)

    return values


def _lag(arrived: np.ndarray, seconds: float, spoken: int, *, until: float, flush: bool) -> float:
    """How far words lag behind as many that are evenly spread, in the mean; NaN without any.

    Of those that came before `until`, and with `flush` of the first one behind.
    """
    before = int((arrived < until).sum())
    used = min(before + flush, len(arrived))
    if not used:
        return float("nan")
    ideal = np.arange(used) * seconds / max(len(arrived), spoken)
    return float((arrived[:used] - ideal).mean())


DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "what a person waits",
        "r − e",
        "rtkit (latency); wrk2 for HTTP: from the intended start",
        "whose latency it is, if it stands alone",
        _turns(lambda session, latency: latency.latency),
    ),
    Definition(
        "what the service took",
        "r − sent_d",
        "rtkit (service time)",
        "the sender's lateness, if it stands alone",
        _turns(_service_time),
    ),
    Definition(
        "since the chunk left",
        "r − sent_k",
        "clients that stamp each send and match results to it",
        "the sender's lateness up to the chunk; adds the endpoint wait to the service",
        _turns(_since_sent),
    ),
    Definition(
        "since the schedule",
        "r − due_k",
        "benchmarks that take the start and add chunk durations",
        "that chunks did not leave on schedule: lateness counts as the service's",
        _turns(lambda session, one: one.received - session.due[one.holding]),
    ),
    Definition(
        "since the voice ended, as sent",
        "r − (sent_k − (b_k − e))",
        "voice agents that start a clock when their own voice detector falls silent",
        "the sender's lateness: its detector hears late audio late",
        _turns(_since_voice_left),
    ),
    Definition(
        "last final after the audio's length",
        "r_last − duration",
        "scripts that time a whole file",
        "everything but the end: all lateness lands in one number",
        _after_the_end,
    ),
    Definition(
        "audio cursor − transcript cursor",
        "b_sent − e, at each partial",
        "vendors' live demos",
        "the sender's lateness, and results between two chunks",
        _cursors,
    ),
    Definition(
        "time to first text (TTFT)",
        "r_first − sent_0",
        "voice agents' and servers' benchmarks: coval, SGLang, guidellm",
        "when speech began: silence at the start counts as the service's",
        _first_text,
    ),
    Definition(
        "last final after speech (TTFS)",
        "r_last − e_last",
        "pipecat's stt-benchmark, which ends speech by its own detector",
        "how the service ends turns: the client's shutdown ended this one",
        _last_turn(lambda session, latency: latency.latency),
    ),
    Definition(
        "time to complete transcript (TTCT)",
        "r_last − sent_k, of the last turn",
        "AssemblyAI's streaming-latency-benchmark",
        "all turns but the last, and that the shutdown ended that",
        _last_turn(_since_sent),
    ),
    Definition(
        "average lagging (LAAL)",
        "mean of d_i − (i − 1)·T / max(H, R)",
        "simultaneous translation: SimulEval",
        "pauses: it assumes evenly spread words, so waiting for speech counts as lag",
        _lagging(flush=True),
    ),
    Definition(
        "average lagging, without the end (YAAL)",
        "LAAL of words before the audio's end",
        "long-form simultaneous translation: arXiv 2509.17349",
        "pauses, as above, and the words that only the shutdown brought",
        _lagging(flush=False),
    ),
    Definition(
        "average lagging by turns (StreamLAAL)",
        "mean over the reference's turns of LAAL since the turn's start",
        "streaming translation: Papi 2024, ACL 2024.acl-long.202",
        "all words after the first one that came after its turn had ended",
        _lagging_by_turn(flush=True),
    ),
    Definition(
        "average lagging by turns, without the end (LongYAAL)",
        "StreamLAAL of all words before the audio's end",
        "long-form simultaneous translation: arXiv 2509.17349, OmniSTEval",
        "turns of which nothing was recognized, and the words that only the shutdown brought",
        _lagging_by_turn(flush=False),
    ),
)
