"""Deepgram's streaming protocols without any I/O. Its times are seconds.

v1 appends: an interim replaces the open segment, a final closes it, and a turn is the segments up
to an endpoint. v2, Flux, says all of the turn each time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from rtkit.services.account import Account
from rtkit.services.endpoint import Closed, Endpoint, as_texts
from rtkit.services.messages import (
    Begin,
    Finalized,
    Other,
    Reply,
    ServiceError,
    Termination,
    Turn,
    Word,
)
from rtkit.services.reading import spoken_after
from rtkit.services.service import Dialect, Habit, Limits, Reader, Step, dialect_for

__all__ = ["ASKS", "DIALECT", "FLUX_PATH", "PATH", "VARIANTS", "Deepgram"]

HOST = "api.deepgram.com"
PATH, FLUX_PATH = "/v1/listen", "/v2/listen"
MODEL, FLUX_MODEL = "nova-3", "flux-general-en"
ASKS = {"interim_results": True, "endpointing": 300}
"""Without these the service tells no partials, and ends a turn after 10 ms of silence."""
PUBLIC = frozenset(
    (
        *("model", "encoding", "sample_rate", "channels", "interim_results", "endpointing"),
        *("utterance_end_ms", "vad_events", "smart_format", "punctuate", "no_delay", "diarize"),
        *("multichannel", "keyterm", "keywords", "language", "language_hint", "numerals"),
        *("profanity_filter", "redact", "filler_words", "dictation", "version", "tag"),
        *("eot_threshold", "eager_eot_threshold", "eot_timeout_ms", "mip_opt_out"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Deepgram(Account):
    """Deepgram's streaming API (v1 and Flux).

    Parameters
    ----------
    key : str, optional
        The API key; by default, the environment variable DEEPGRAM_API_KEY. Never shown or saved.
    model : str
        The model. Models named ``flux-...`` use their own protocol (v2).
    host : str
        ``api.deepgram.com``, another region, or your own deployment. For an unencrypted service on
        this machine, an address: ``ws://127.0.0.1:8765``.
    parameters : mapping
        Further parameters, under the service's own names. By default, rtkit asks models other than
        Flux for ``interim_results`` and ``endpointing`` after 300 ms. (Deepgram's own default, 10
        ms, ends turns in mid-sentence.)
    """

    NAME: ClassVar[str] = "Deepgram"
    KEY_VARIABLE: ClassVar[str] = "DEEPGRAM_API_KEY"
    HOST: ClassVar[str] = HOST

    model: str = MODEL
    host: str = HOST

    @property
    def speaks(self) -> str:
        return dialect_for("deepgram", self.model)


def endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    return _endpoint(f"{base}{PATH}", key, rate, {"model": MODEL, **ASKS}, parameters)


def flux_endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    return _endpoint(f"{base}{FLUX_PATH}", key, rate, {"model": FLUX_MODEL}, parameters)


def _endpoint(
    url: str, key: str, rate: int, usual: Mapping[str, Any], parameters: Mapping[str, Any]
) -> Endpoint:
    audio = {"encoding": "linear16", "sample_rate": rate}
    query = {**as_texts({**audio, **usual}), **as_texts(parameters)}
    return Endpoint(f"{url}?{urlencode(query)}", {"Authorization": f"Token {key}"})


KEEP_ALIVE, FINALIZE, CLOSE_STREAM, FORCE_END_TURN = (
    json.dumps({"type": kind}) for kind in ("KeepAlive", "Finalize", "CloseStream", "ForceEndTurn")
)


class Messages(Reader):
    """Reads either protocol's messages: no two of them are named alike and mean another thing."""

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._order = 0
        self._closed: tuple[Word, ...] = ()  # v1: of the open turn's closed segments
        self._guessed: tuple[Word, ...] = ()  # and of its open one

    def message(self, message: Any) -> Iterator[Reply]:
        match message["type"]:
            case "Results":
                yield from self._results(message)
            case "UtteranceEnd" if self._closed:
                yield self._turn((), None, over="silence")
            case "TurnInfo":
                yield from _turn_info(message)
            case "Connected":
                yield Begin(str(message["request_id"]))
            case "Metadata":
                if self._closed:
                    yield self._turn((), None, over="terminate")
                yield Termination(float(message["duration"]), math.nan)
            case "Error":
                told = (message.get(name) for name in ("code", "variant", "description", "message"))
                yield ServiceError(1011, ": ".join(str(one) for one in told if one))
            case kind:
                yield Other(str(kind))

    def _results(self, message: Mapping[str, Any]) -> Iterator[Reply]:
        best = message["channel"]["alternatives"][0]
        closes, forced = bool(message.get("is_final")), bool(message.get("from_finalize"))
        words = tuple(_word(word, closes) for word in best["words"])
        over = ""
        if forced:
            over = "force_endpoint"
        elif message.get("speech_final"):
            over = "silence"
        if closes and not over:  # it says nothing of what was spoken behind the segment
            self._guessed = spoken_after(self._guessed, words) if words else ()
        else:
            self._guessed = () if over else words
        if words or (over and self._closed):
            behind = self._guessed if closes else ()
            heard = float(message["start"]) + float(message["duration"])
            yield self._turn(words + behind, heard, over)
        elif not forced:
            yield Other("Results")
        if closes and not over:
            self._closed += words
        if forced:
            yield Finalized()

    def _turn(self, words: tuple[Word, ...], heard: float | None, over: str) -> Turn:
        """The open turn with what an open segment adds to it."""
        all_words = self._closed + words
        turn = Turn(
            order=self._order,
            transcript=" ".join(word.text for word in all_words),
            words=all_words,
            end_of_turn=bool(over),
            cause=over or None,
            heard=heard,
        )
        if over:
            self._order, self._closed = self._order + 1, ()
        return turn


def _turn_info(message: Mapping[str, Any]) -> Iterator[Reply]:
    event, forced = message["event"], message.get("trigger") == "manual"
    over = event == "EndOfTurn"
    yield Turn(
        order=int(message["turn_index"]),
        transcript=str(message["transcript"]),
        words=tuple(_word(word, over) for word in message["words"]),
        end_of_turn=over,
        formatted=True,
        confidence=float(message["end_of_turn_confidence"]),
        eager=event == "EagerEndOfTurn",
        cause=("force_endpoint" if forced else "silence") if over else None,
        heard=float(message["audio_window_end"]),
    )
    if over and forced:
        yield Finalized()


def _word(word: Mapping[str, Any], final: bool) -> Word:
    """Flux need not say when a word was spoken."""
    start, end = (None if word.get(at) is None else float(word[at]) for at in ("start", "end"))
    text = word.get("punctuated_word") or word["word"]
    return Word(str(text), start, end, float(word.get("confidence", 0.0)), final)


SILENT = 10.0  # seconds without audio or KeepAlive, after which v1 closes
RECKONS = Habit("It trusts the stated rate: words are wrong.")
HABITS: Mapping[str, Habit] = {
    "wrong sample rate": RECKONS,
    "unpaced": Habit("It processes at most 1.25 times real time and delays the rest."),
    "naive drift": Habit("Nothing: it waits, and its results come as late as the audio."),
    "no Terminate": Habit(
        "It closes the session (1011, NET-0001) after 10 s, and the last words may be lost.",
        'Send {"type": "Finalize"}, wait for from_finalize, then send {"type": "CloseStream"}.',
    ),
    "closed too soon": Habit(
        "The final result is lost if CloseStream follows Finalize immediately."
    ),
    "counted twice": Habit(
        "An interim replaces its segment; a final closes it.",
        "Append finals (is_final) up to speech_final, and let interims replace one another.",
    ),
}
SENT_AS = {"encoding": "linear16", "channels": 1}
ERROR = "dg-error"
LIMITS = Limits(
    max_chunk=SILENT - 1.0,
    rates=range(8000, 48001),
    otherwise="it closes a session that gets nothing for 10 s (1011, NET-0001)",
)
DIALECT = Dialect(
    vendor=Deepgram,
    path=PATH,
    endpoint=endpoint,
    reader=Messages,
    begins=False,
    # Finalize may go unanswered where nothing is open.
    shutdown=lambda chunks: (
        Step(FINALIZE, Finalized, within=2.0),
        Step(CLOSE_STREAM, Termination),
    ),
    default_model=MODEL,
    asks=ASKS,
    formatting={"smart_format": True},
    keep_alive=(KEEP_ALIVE, 4.0),
    sent_as=SENT_AS,
    error_header=ERROR,
    public=PUBLIC,
    limits=LIMITS,
    habits=HABITS,
)
VARIANTS = {
    "flux": Dialect(
        path=FLUX_PATH,
        endpoint=flux_endpoint,
        reader=Messages,
        # The last turn is ended first; without one that may go unanswered.
        shutdown=lambda chunks: (
            Step(FORCE_END_TURN, Finalized, within=1.0),
            Step(CLOSE_STREAM, Closed),
        ),
        default_model=FLUX_MODEL,
        sent_as=SENT_AS,
        error_header=ERROR,
        public=PUBLIC,
        limits=Limits(rates=LIMITS.rates),
        habits={name: HABITS[name] for name in ("wrong sample rate", "unpaced", "naive drift")},
    )
}
