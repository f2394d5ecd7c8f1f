"""Sessions as tables for pandas: a row a chunk, a word, a turn or a session.

Every column of time is in seconds, whatever the figures' axes say. The tables are tidy: what is
marked is a column and not a row left out, so that any choice can be made, and seen, afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rtkit.analysis.latency import (
    HeardWord,
    first_word_latency,
    heard_words,
    holding_chunk,
    turn_latency,
    word_latency,
)
from rtkit.analysis.matching import normalize
from rtkit.analysis.metrics import METRICS
from rtkit.analysis.naming import Sessions, named, parameters_of, service_of
from rtkit.analysis.turns import heard_turns
from rtkit.analysis.validity import validity
from rtkit.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["pandas_for", "session_row", "to_frame"]

Columns = dict[str, Any]  # of one length


def to_frame(sessions: Sessions, what: str = "chunks") -> pd.DataFrame:
    """A table of sessions, one under the other; the column ``session`` holds each one's name.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    what : {"chunks", "words", "turns", "sessions"}
        What a row is.

    Returns
    -------
    pandas.DataFrame
        Times and durations in seconds; instants count from the start of pacing, as audio does.

        ``"chunks"``: ``index``, ``start`` and ``end`` (in the audio), ``due``, ``sent``,
        ``returned`` (when the connection had taken it), ``lateness`` (sent - due), ``bytes``,
        ``padding`` (bytes), and ``unacknowledged`` and ``window`` (bytes; NaN where the kernel does
        not tell).

        ``"words"``: each word that was heard, and behind them each of the reference's that was
        not. ``turn`` (the service's number, -1 for a word that was not heard), ``text``, ``start``
        and ``end`` (in the audio, the reference's where it knows the word), ``received``,
        ``chunk`` (the one that holds the word's end), ``latency`` and its parts ``chunk_wait``,
        ``lateness``, ``queue_wait`` and ``service_time``; ``confidence``; ``match``: ``"matched"``,
        ``"unmatched"`` (heard, and not in the reference), ``"missed"`` (never heard: no latency)
        or ``"unknown"`` (there is no reference); ``excluded``: why it does not count, empty where
        it does; ``counted``: whether `rtkit.word_latency` counts it.

        ``"turns"``: each turn that ended. ``turn``, ``text``, ``words`` (how many), ``start``,
        ``end``, ``received``, ``latency`` and its parts ``chunk_wait``, ``endpoint_wait``,
        ``lateness``, ``queue_wait`` and ``service_time``; ``since_sent`` (endpoint wait + service
        time, which is all that is known where the service does not say what ``decided`` the turn);
        ``half_width`` (how far ``lateness``, ``since_sent`` and ``service_time`` may lie from the
        truth) and ``known`` (how it is known which audio decided: ``"stamped"``, ``"stated"`` or
        ``"bounded"``); ``first_word`` (first-word latency); ``decided``, ``referenced`` (whose word
        times), ``terminated`` (ended by the shutdown), ``excluded`` (why it does not count, as in
        `rtkit.analysis.latency.Latency`) and ``counted`` (in quantiles).

        ``"sessions"``: a row a session: ``recording``, ``clip_start`` and ``clip_seconds`` (which
        stretch of it), the other settings; ``service`` (its name, and all that tells
        it from others), ``speech_model``, ``service_delay`` (of the embedded one; NaN where it is
        not known) and ``service_parameters`` (JSON); ``ending``, ``valid``, ``problems``, and the
        metrics of `rtkit.summarize` (``lateness_p50``, ``turn_latency_p95``, ...), in seconds too;
        what is a percentage there is a share here.

    Raises
    ------
    ValueError
        If there are no such rows.
    ImportError
        If pandas is not installed.

    Examples
    --------
    >>> words = rtkit.to_frame(rtkit.load_session("runs"), "words")  # doctest: +SKIP
    >>> words[words.counted].groupby("session").latency.median()  # doctest: +SKIP
    """
    if what not in _ROWS:
        raise ValueError(f"unknown rows {what!r}; what={' or '.join(map(repr, _ROWS))}")
    pd = pandas_for("to_frame")
    tables = {name: _ROWS[what](session) for name, session in named(sessions).items()}
    lengths = [len(next(iter(table.values()))) for table in tables.values()]
    columns: Columns = {"session": np.repeat(_texts([*tables]), lengths)}
    for name in next(iter(tables.values()), {}):
        columns[name] = np.concatenate([np.asarray(table[name]) for table in tables.values()])
    return pd.DataFrame(columns)


def pandas_for(what: str) -> Any:
    """pandas, which comes with an extra; raises ImportError in a sentence where it is missing."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{what} makes tables of pandas, which is not installed: pip install 'rtkit[lab]', or "
            "pandas alone"
        ) from error
    return pandas


def _chunks(session: Session) -> Columns:
    chunks, rate = session.chunks, session.settings.rate
    return {
        "index": np.array([chunk.index for chunk in chunks], dtype=int),
        "start": np.array([chunk.start for chunk in chunks], dtype=float) / rate,
        "end": np.array([chunk.stop for chunk in chunks], dtype=float) / rate,
        "due": session.due,
        "sent": session.sent,
        "returned": np.array([chunk.returned for chunk in chunks], dtype=float),
        "lateness": session.lateness,
        "bytes": np.array([chunk.bytes for chunk in chunks], dtype=int),
        "padding": np.array([chunk.padding for chunk in chunks], dtype=int),
        "unacknowledged": np.array([chunk.unacknowledged for chunk in chunks], dtype=float),
        "window": np.array([chunk.window for chunk in chunks], dtype=float),
    }


def _words(session: Session) -> Columns:
    heard = heard_words(session) if session.chunks else []
    latency = word_latency(session, unmatched=True)
    known = {id(word.spoken) for word in heard}
    spoken = () if session.reference is None else session.reference.words
    missed = [word for word in spoken if id(word) not in known]
    missed_ends = np.array([word.end for word in missed], dtype=float)
    never, nowhere = np.full(len(missed), np.nan), np.full(len(missed), -1)
    unknown = session.reference is None
    match = ["unknown" if unknown and normalize(word.word.text) else _match(word) for word in heard]
    match += ["missed"] * len(missed)
    ends = np.append(latency.end, missed_ends)
    return {
        "turn": np.append(latency.turn, nowhere),
        "text": _texts([*latency.texts, *[word.text for word in missed]]),
        "start": np.array([word.start for word in heard] + [w.start for w in missed]),
        "end": ends,
        "received": np.append(latency.received, never),
        "chunk": holding_chunk(session, ends) if session.chunks else nowhere,
        "latency": np.append(latency.latency, never),
        "chunk_wait": np.append(latency.chunk_wait, never),
        "lateness": np.append(latency.lateness, never),
        "queue_wait": np.append(latency.queue_wait, never),
        "service_time": np.append(latency.service_time, never),
        "confidence": np.append([word.word.confidence for word in heard], never).astype(float),
        "match": _texts(match),
        "excluded": np.append(latency.excluded, _texts(["missed"] * len(missed))),
        "counted": np.append(latency.counted, np.zeros(len(missed), dtype=bool)),
    }


def _match(word: HeardWord) -> str:
    return "unmatched" if word.spoken is None else "matched"


def _turns(session: Session) -> Columns:
    latency, first = turn_latency(session), first_word_latency(session)
    heard = {turn.order: turn for turn in heard_turns(session)}
    turns = latency.turn.tolist()
    firsts = dict(zip(first.turn.tolist(), first.latency.tolist(), strict=True))
    edges = [heard[turn].first for turn in turns]
    return {
        "turn": latency.turn,
        "text": _texts(list(latency.texts)),
        "words": np.array([len(heard[turn].words) for turn in turns], dtype=int),
        "start": np.array([edge.start if edge else np.nan for edge in edges], dtype=float),
        "end": latency.end,
        "received": latency.received,
        "latency": latency.latency,
        "chunk_wait": latency.chunk_wait,
        "endpoint_wait": np.where(latency.decided, latency.endpoint_wait, np.nan),
        "lateness": latency.lateness,
        "queue_wait": latency.queue_wait,
        "service_time": np.where(latency.decided, latency.service_time, np.nan),
        "since_sent": latency.since_sent,
        "half_width": latency.half_width,
        "first_word": np.array([firsts[turn] for turn in turns], dtype=float),
        "known": latency.known,
        "decided": latency.decided,
        "referenced": latency.referenced,
        "terminated": latency.terminated,
        "excluded": latency.excluded,
        "counted": latency.counted,
    }


def session_row(session: Session) -> dict[str, Any]:
    """The row of a session, as `to_frame` describes it."""
    settings, service = session.settings, session.settings.service
    found, delay, parameters = validity(session), service.get("delay"), parameters_of(session)
    return {
        "recording": settings.recording,
        "clip_start": settings.first / settings.rate,
        "clip_seconds": settings.seconds,
        "rate": settings.rate,
        "pacing": settings.pacing,
        "phase": settings.phase,
        "chunk": settings.chunk,
        "work": settings.work,
        "isolation": settings.isolation,
        "service": service_of(session),
        "speech_model": str(service.get("speech_model", "")),
        "service_delay": float(delay) if isinstance(delay, int | float) else np.nan,
        "service_parameters": json.dumps(parameters, sort_keys=True) if parameters else "",
        "started": session.started,
        "ending": "cut off" if session.ending is None else session.ending.how,
        "valid": bool(found),
        "problems": ", ".join(dict.fromkeys(one.name for one in found.problems)),
        **{metric.name: metric.value(session) for metric in METRICS},
    }


def _session(session: Session) -> Columns:
    row = session_row(session)
    return {name: _texts([v]) if isinstance(v, str) else [v] for name, v in row.items()}


def _texts(texts: list[str]) -> np.ndarray:
    return np.array(texts, dtype=object)


_ROWS: Mapping[str, Callable[[Session], Columns]] = {
    "chunks": _chunks,
    "words": _words,
    "turns": _turns,
    "sessions": _session,
}
