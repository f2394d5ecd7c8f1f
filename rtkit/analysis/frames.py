"""Sessions as pandas tables: one row per chunk, word, turn or session.

Every time is in seconds. The tables are tidy: exclusions are columns and not missing rows, so that
any selection can be made, and checked, afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.metrics import METRICS
from rtkit.analysis.naming import Sessions, named, parameters_of, service_of
from rtkit.analysis.timing.alignment import normalize
from rtkit.analysis.timing.latency import Latency, first_word_latency, turn_latency, word_latency
from rtkit.analysis.timing.turns import (
    HeardWord,
    heard_turns,
    heard_words,
    holding_chunk,
    timed_reference,
)
from rtkit.boundary.text import unknown
from rtkit.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["pandas_for", "session_row", "to_frame"]

Columns = dict[str, Any]  # of one length


def to_frame(sessions: Sessions, what: str = "chunks") -> pd.DataFrame:
    """Return sessions as one table; the column ``session`` holds each session's name.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    what : {"chunks", "words", "turns", "sessions"}
        What each row is.

    Returns
    -------
    pandas.DataFrame
        Times and durations are in seconds; instants count from the start of pacing, like positions
        in the audio.

        ``"chunks"``: ``index``, ``start`` and ``end`` (in the audio), ``due``, ``sent``,
        ``returned`` (when the connection had accepted it), ``lateness`` (sent - due), ``bytes``,
        ``padding`` (bytes), and ``unacknowledged`` and ``window`` (bytes; NaN if the kernel does
        not report them).

        ``"words"``: each recognized word, then each missed word of the reference. ``turn`` (the
        service's number, -1 for a missed word), ``text``, ``start`` and ``end`` (in the audio; from
        the reference if the word is in it), ``received``, ``chunk`` (the one that holds the word's
        end), ``latency`` and its parts, ``confidence``, ``match`` (``"matched"``; ``"unmatched"``:
        recognized, but not in the reference; ``"missed"``: not recognized; or ``"unknown"``: there
        is no reference), ``excluded`` and ``counted``.

        ``"turns"``: each turn that ended. ``turn``, ``text``, ``words`` (how many), ``start``,
        ``end``, ``received``, ``latency`` and its parts, ``since_sent``, ``half_width``,
        ``first_word`` (first-word latency), ``known``, ``decided``, ``referenced`` (whether the
        word times are the reference's), ``terminated`` (ended by the shutdown), ``excluded`` and
        ``counted``.

        ``"sessions"``: ``recording``, ``clip_start`` and ``clip_seconds`` (the part of it that was
        streamed), the other settings; ``service`` (its name, and whatever distinguishes it from
        others), ``speech_model``, ``service_delay`` (of the embedded service; otherwise NaN) and
        ``service_parameters`` (JSON); ``ending``, ``valid``, ``problems``, and the metrics of
        `rtkit.summarize` (``lateness_p50``, ``turn_latency_p95``, ...), also in seconds.
        Percentages there are shares here.

        The parts, ``excluded``, ``known`` and the others of a latency are explained in
        `rtkit.analysis.timing.latency.Latency`. ``confirmation``, a part of the service time, is a
        column where a service confirmed chunks.

    Raises
    ------
    ValueError
        If `what` is unknown.
    ImportError
        If pandas is not installed.

    Examples
    --------
    >>> words = rtkit.to_frame(rtkit.load_session("runs"), "words")  # doctest: +SKIP
    >>> words[words.counted].groupby("session").latency.median()  # doctest: +SKIP
    """
    if what not in _ROWS:
        raise ValueError(unknown("rows", what, _ROWS))
    pd = pandas_for("to_frame")
    tables = {name: _ROWS[what](session) for name, session in named(sessions).items()}
    lengths = [len(next(iter(table.values()))) for table in tables.values()]
    columns: Columns = {"session": np.repeat(_texts([*tables]), lengths)}
    for name in next(iter(tables.values()), {}):
        columns[name] = np.concatenate([np.asarray(table[name]) for table in tables.values()])
    if "confirmation" in columns and np.isnan(columns["confirmation"]).all():  # no receipts
        del columns["confirmation"]
    return pd.DataFrame(columns)


def pandas_for(what: str) -> Any:
    """pandas, which comes with an extra; raises ImportError in a sentence where it is missing."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{what} needs pandas, which is not installed: pip install 'rtkit[lab]', or only pandas"
        ) from error
    return pandas


def _chunks(session: Session) -> Columns:
    chunks, rate = session.chunks, session.settings.rate

    def each(name: str, kind: type) -> np.ndarray:
        return np.array([getattr(chunk, name) for chunk in chunks], dtype=kind)

    return {
        "index": each("index", int),
        "start": each("start", float) / rate,
        "end": each("stop", float) / rate,
        "due": session.due,
        "sent": session.sent,
        "returned": each("returned", float),
        "lateness": session.lateness,
        "bytes": each("bytes", int),
        "padding": each("padding", int),
        "unacknowledged": each("unacknowledged", float),
        "window": each("window", float),
    }


def _words(session: Session) -> Columns:
    heard = heard_words(session) if session.chunks else []
    latency = word_latency(session, unmatched=True)
    known = {id(word.spoken) for word in heard}
    spoken = () if session.reference is None else session.reference.words
    missed = [word for word in spoken if id(word) not in known]
    missed_ends = np.array([word.end for word in missed], dtype=float)
    never, nowhere = np.full(len(missed), np.nan), np.full(len(missed), -1)
    match = [_match(session, word) for word in heard] + ["missed"] * len(missed)
    ends = np.append(latency.end, missed_ends)
    return {
        "turn": np.append(latency.turn, nowhere),
        "text": _texts([*latency.texts, *[word.text for word in missed]]),
        "start": np.array([word.start for word in heard] + [w.start for w in missed]),
        "end": ends,
        "received": np.append(latency.received, never),
        "chunk": holding_chunk(session, ends) if session.chunks else nowhere,
        **{
            name: np.append(values, never)
            for name, values in _columns(
                latency, "latency chunk_wait lateness queue_wait service_time confirmation"
            ).items()
        },
        "confidence": np.append([word.word.confidence for word in heard], never).astype(float),
        "match": _texts(match),
        "excluded": np.append(latency.excluded, _texts(["missed"] * len(missed))),
        "counted": np.append(latency.counted, np.zeros(len(missed), dtype=bool)),
    }


def _match(session: Session, word: HeardWord) -> str:
    if timed_reference(session) is None and normalize(word.word.text):
        return "unknown"
    return "unmatched" if word.spoken is None else "matched"


def _turns(session: Session) -> Columns:
    latency, first = turn_latency(session), first_word_latency(session)
    heard = {turn.order: turn for turn in heard_turns(session)}
    turns = latency.turn.tolist()
    firsts = dict(zip(first.turn.tolist(), first.latency.tolist(), strict=True))
    edges = [heard[turn].first for turn in turns]
    return {
        "turn": latency.turn,
        "text": _texts([*latency.texts]),
        "words": np.array([len(heard[turn].words) for turn in turns], dtype=int),
        "start": np.array([edge.start if edge else np.nan for edge in edges], dtype=float),
        **_columns(latency, "end received latency chunk_wait"),
        "endpoint_wait": np.where(latency.decided, latency.endpoint_wait, np.nan),
        **_columns(latency, "lateness queue_wait"),
        "service_time": np.where(latency.decided, latency.service_time, np.nan),
        **_columns(latency, "confirmation since_sent half_width"),
        "first_word": np.array([firsts[turn] for turn in turns], dtype=float),
        **_columns(latency, "known decided referenced terminated excluded counted"),
    }


def _columns(latency: Latency, names: str) -> Columns:
    return {name: getattr(latency, name) for name in names.split()}


def session_row(session: Session) -> dict[str, Any]:
    """The row of a session, as `to_frame` describes it."""
    settings, service = session.settings, session.settings.service
    found, delay, parameters = validity(session), service.get("delay"), parameters_of(session)
    return {
        "recording": settings.recording,
        "clip_start": settings.start,
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
        "problems": ", ".join(found.names),
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
