"""Speechmatics' real-time protocol (RT v2) without any I/O. Its times are seconds.

A partial is replaced by the next; a final is added. The service confirms each chunk of audio.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rtkit.services.account import Account
from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import (
    Begin,
    Other,
    Receipt,
    Reply,
    ServiceError,
    Termination,
    Turn,
    Word,
)
from rtkit.services.reading import spoken_after
from rtkit.services.service import Dialect, Habit, Reader, Step

__all__ = ["DIALECT", "PATH", "Speechmatics"]

HOST = "eu2.rt.speechmatics.com"
PATH = "/v2"
MODEL = "enhanced"
TRIGGER = 0.5  # seconds of silence that end an utterance
ASKS = {
    "language": "en",
    "enable_partials": True,
    "conversation_config": {"end_of_utterance_silence_trigger": TRIGGER},
}
PUBLIC = frozenset(
    (
        *("message", "type", "encoding", "sample_rate", "language", "model", "operating_point"),
        *("enable_partials", "max_delay", "max_delay_mode", "conversation_config", "domain"),
        *("output_locale", "diarization", "additional_vocab", "content", "sounds_like"),
        *("punctuation_overrides", "enable_entities", "sm-sdk"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Speechmatics(Account):
    """Speechmatics' real-time API (RT v2).

    Parameters
    ----------
    key : str, optional
        The API key; by default, the environment variable SPEECHMATICS_API_KEY. Never shown or
        saved.
    model : str
        ``"enhanced"``, ``"standard"``, or a newer model name.
    host : str
        ``eu2.rt.speechmatics.com``, or another region. For an unencrypted service on this machine,
        an address: ``ws://127.0.0.1:8765``.
    parameters : mapping
        Further entries of ``transcription_config``. By default, rtkit asks for English, partials,
        and the end of an utterance after 0.5 s of silence; without the last, no turn ends before
        the session does.
    """

    NAME: ClassVar[str] = "Speechmatics"
    KEY_VARIABLE: ClassVar[str] = "SPEECHMATICS_API_KEY"
    HOST: ClassVar[str] = HOST

    model: str = MODEL
    host: str = HOST

    @property
    def speaks(self) -> str:
        return "speechmatics"


def endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    start = {
        "message": "StartRecognition",
        "audio_format": {"type": "raw", "encoding": "pcm_s16le", "sample_rate": rate},
        "transcription_config": {"model": MODEL, **ASKS, **parameters},
    }
    return Endpoint(f"{base}{PATH}", {"Authorization": f"Bearer {key}"}, (json.dumps(start),))


def shutdown(chunks: int) -> tuple[Step, ...]:
    end = json.dumps({"message": "EndOfStream", "last_seq_no": chunks})
    return (Step(end, Termination),)


class Messages(Reader):
    """Reads the service's messages; finals are added up into turns."""

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._order = 0
        self._final: tuple[Word, ...] = ()
        self._pending: tuple[Word, ...] = ()  # of the last partial

    def message(self, message: Any) -> Iterator[Reply]:
        match message["message"]:
            case "AddPartialTranscript":
                whole = _added(self._final, message["results"], False)
                self._pending = whole[len(self._final) :]
                yield self._turn(whole)
            case "AddTranscript":  # which says nothing of what was spoken behind it
                self._final = _added(self._final, message["results"], True)
                self._pending = spoken_after(self._pending, self._final)
                yield self._turn(self._final + self._pending)
            case "EndOfUtterance" if self._final:
                yield self._over(None)  # by silence, or because it was asked to
            case "EndOfTranscript":
                if self._final:
                    yield self._over("terminate")
                yield Termination(math.nan, math.nan)
            case "AudioAdded":
                yield Receipt(int(message["seq_no"]))
            case "RecognitionStarted":
                yield Begin(str(message["id"]))
            case "Error":
                yield ServiceError(1011, f"{message['type']}: {message.get('reason', '')}")
            case kind:
                yield Other(str(kind))

    def _turn(self, words: tuple[Word, ...], over: bool = False, cause: str | None = None) -> Reply:
        if not words:
            return Other("nothing yet")
        return Turn(
            order=self._order,
            transcript=" ".join(word.text for word in words),
            words=words,
            end_of_turn=over,
            formatted=True,
            cause=cause,
        )

    def _over(self, cause: str | None) -> Reply:
        turn = self._turn(self._final, over=True, cause=cause)
        self._order, self._final, self._pending = self._order + 1, (), ()
        return turn


def _added(
    words: tuple[Word, ...], results: list[Mapping[str, Any]], final: bool
) -> tuple[Word, ...]:
    """Words, and what is said behind them; punctuation belongs to the word before it."""
    said = list(words)
    for result in results:
        best = result["alternatives"][0]
        text = str(best["content"])
        sure = float(best.get("confidence", 0.0)) if final else 0.0  # it means nothing in partials
        if said and result.get("attaches_to") == "previous":
            said[-1] = replace(said[-1], text=said[-1].text + text)
        else:
            start, end = float(result["start_time"]), float(result["end_time"])
            said.append(Word(text, start, end, sure, final))
    return tuple(said)


HABITS: Mapping[str, Habit] = {
    "wrong sample rate": Habit("It trusts the stated rate: words are wrong."),
    "unpaced": Habit(
        "It stops reading, so that sending blocks: lateness may be the service's there. It may end "
        "the session (buffer_error)."
    ),
    "naive drift": Habit("Nothing: it waits, and its results come as late as the audio."),
    "no Terminate": Habit(
        "It waits for audio up to an hour.",
        'Send {"message": "EndOfStream", "last_seq_no": CHUNKS} and wait for EndOfTranscript.',
    ),
    "closed too soon": Habit(
        "It discards words that were not final yet: up to max_delay, 4 s by default."
    ),
    "counted twice": Habit(
        "AddTranscript appends; AddPartialTranscript replaces.",
        "Append finals up to EndOfUtterance, and let partials replace one another.",
    ),
}
DIALECT = Dialect(
    vendor=Speechmatics,
    path=PATH,
    endpoint=endpoint,
    reader=Messages,
    shutdown=shutdown,
    default_model=MODEL,
    asks=ASKS,
    public=PUBLIC,
    bearer=True,
    habits=HABITS,
)
