"""Soniox's real-time protocol without any I/O. On the wire times are whole milliseconds.

Tokens are pieces of words, each with the space before it. Final ones are said once; the others are
replaced by each message. The marks ``<end>`` and ``<fin>`` among them end a turn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rtkit.services.account import Account
from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import Finalized, Other, Reply, ServiceError, Termination, Turn, Word
from rtkit.services.service import Dialect, Habit, Limits, Reader, Step

__all__ = ["DIALECT", "END", "FINISHED", "PATH", "SILENT", "Soniox"]

HOST = "stt-rt.soniox.com"
PATH = "/transcribe-websocket"
MODEL = "stt-rt-v5"
ASKS = {"enable_endpoint_detection": True}
END, FINISHED = "<end>", "<fin>"
MARKS = {END: "silence", FINISHED: "force_endpoint"}  # and why they end a turn
TRANSLATED = "translation"  # the status of a token that says nothing of the audio
SILENT = 20.0  # seconds without audio or a keepalive, after which it closes
PUBLIC = frozenset(
    (
        *("model", "audio_format", "sample_rate", "num_channels", "language_hints"),
        *("language_hints_strict", "enable_endpoint_detection", "max_endpoint_delay_ms"),
        *("endpoint_sensitivity", "endpoint_latency_adjustment_level", "context", "terms", "text"),
        *("enable_speaker_diarization", "enable_language_identification", "client_reference_id"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Soniox(Account):
    """Soniox's real-time API.

    Parameters
    ----------
    key : str, optional
        The API key; by default, the environment variable SONIOX_API_KEY. Never shown or saved.
    model : str
    host : str
        ``stt-rt.soniox.com``, or another region. For an unencrypted service on this machine, an
        address: ``ws://127.0.0.1:8765``.
    parameters : mapping
        Further parameters, under the service's own names. By default, rtkit asks for
        ``enable_endpoint_detection``; without it, no turn ends before the session does.
    """

    NAME: ClassVar[str] = "Soniox"
    KEY_VARIABLE: ClassVar[str] = "SONIOX_API_KEY"
    SESSIONS_PER_MINUTE: ClassVar[int | None] = 100
    HOST: ClassVar[str] = HOST

    model: str = MODEL
    host: str = HOST

    @property
    def speaks(self) -> str:
        return "soniox"


def endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    audio = {"audio_format": "pcm_s16le", "sample_rate": rate, "num_channels": 1}
    asked = json.dumps({"model": MODEL, **audio, **ASKS, **parameters})
    return Endpoint(f"{base}{PATH}", {"Authorization": f"Bearer {key}"}, (asked,))


class Messages(Reader):
    """Reads the service's messages; tokens are folded into the words of a turn."""

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._order = 0
        self._final: list[Mapping[str, Any]] = []  # the open turn's tokens that will stay
        self._guessed = False  # whether the last message had tokens that may go again

    def message(self, message: Any) -> Iterator[Reply]:
        if message.get("error_code") is not None:
            yield ServiceError(int(message["error_code"]), str(message.get("error_message", "")))
            return
        heard = float(message["total_audio_proc_ms"]) / 1000
        pending: list[Mapping[str, Any]] = []
        tokens = [one for one in message["tokens"] if one.get("translation_status") != TRANSLATED]
        for token in tokens:
            if (cause := MARKS.get(token["text"])) is not None:
                yield from self._over(heard, cause)
            elif token["is_final"]:
                self._final.append(token)
            else:
                pending.append(token)
        open_turn = bool(tokens) and tokens[-1]["text"] not in MARKS
        if open_turn or (self._guessed and not tokens):  # or what it guessed it takes back
            yield self._turn(pending, heard)
        elif not tokens and not message.get("finished"):
            yield Other("progress")
        self._guessed = bool(pending)
        if message.get("finished"):
            yield from self._over(heard, "terminate")
            yield Termination(heard, math.nan)

    def _over(self, heard: float, cause: str) -> Iterator[Reply]:
        if self._final:
            yield self._turn((), heard, cause)
            self._order, self._final = self._order + 1, []
        if cause == "force_endpoint":
            yield Finalized()

    def _turn(
        self, pending: Sequence[Mapping[str, Any]], heard: float, cause: str | None = None
    ) -> Turn:
        words = _words([*self._final, *pending])
        return Turn(
            order=self._order,
            transcript=" ".join(word.text for word in words),
            words=words,
            end_of_turn=cause is not None,
            formatted=True,
            cause=cause,
            heard=heard,
        )


def _words(tokens: Sequence[Mapping[str, Any]]) -> tuple[Word, ...]:
    """A token that begins with a space begins a word; the word lasts to the end of its last one."""
    words: list[list[Mapping[str, Any]]] = []
    for token in tokens:
        if not words or str(token["text"])[:1].isspace():
            words.append([])
        words[-1].append(token)
    return tuple(
        Word(
            "".join(str(one["text"]) for one in word).strip(),
            _seconds(word[0], "start_ms"),
            _seconds(word[-1], "end_ms"),
            min(float(one.get("confidence", 0.0)) for one in word),
            all(bool(one["is_final"]) for one in word),
        )
        for word in words
    )


def _seconds(token: Mapping[str, Any], name: str) -> float | None:
    return None if token.get(name) is None else float(token[name]) / 1000


HABITS: Mapping[str, Habit] = {
    "wrong sample rate": Habit("It trusts the stated rate: words are wrong."),
    "unpaced": Habit("It may disconnect a client that sends long bursts."),
    "naive drift": Habit("It may disconnect a client that lags far behind real time."),
    "no Terminate": Habit(
        "It ends the request after 20 s without audio or a keepalive.",
        "Send an empty text message (not a binary one) and wait for finished.",
    ),
    "closed too soon": Habit("It discards tokens that were not final yet."),
    "counted twice": Habit(
        "Final tokens come once; the others come again in each message.",
        "Append final tokens, and let the others replace one another.",
    ),
}
DIALECT = Dialect(
    vendor=Soniox,
    path=PATH,
    endpoint=endpoint,
    reader=Messages,
    begins=False,
    shutdown=lambda chunks: (Step("", Termination),),
    default_model=MODEL,
    asks=ASKS,
    sent_as={"audio_format": "pcm_s16le", "num_channels": 1},
    keep_alive=(json.dumps({"type": "keepalive"}), 5.0),
    public=PUBLIC,
    bearer=True,
    limits=Limits(
        max_chunk=SILENT - 1.0,
        otherwise="it ends a request that gets nothing for 20 s (408)",
    ),
    habits=HABITS,
)
