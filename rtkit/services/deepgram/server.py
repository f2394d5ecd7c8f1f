"""Deepgram's streaming protocols from the service's end, without any I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rtkit.services.asked import Asked
from rtkit.services.deepgram.client import FLUX_MODEL, FLUX_PATH, PATH, SILENT
from rtkit.services.double import Double
from rtkit.services.messages import (
    Begin,
    Close,
    Configure,
    Configured,
    Finalized,
    Finish,
    ForceEndpoint,
    KeepAlive,
    Refusal,
    Rejected,
    Reply,
    Rules,
    Said,
    ServiceError,
    Silence,
    Termination,
    Turn,
    Word,
)

__all__ = ["Server"]

SEGMENT = 3.0  # seconds after which a segment is closed in the middle of a turn, about
UTTERANCE_END = 1.0  # seconds; the only value that is done beside endpointing
SURE, EAGER = 0.24, 0.16  # Flux: seconds of silence to be sure of a turn's end, and to guess it
SURELY = 0.7  # the confidence that it then takes
NET0 = "NET-0000: The service failed"
REFUSALS: Mapping[str, tuple[int, str]] = {
    "no key": (401, "INVALID_AUTH: Invalid credentials."),
    "key refused": (401, "INVALID_AUTH: Invalid credentials."),
    "token expired": (401, "INVALID_AUTH: Invalid credentials."),
    "too many sessions": (429, "TOO_MANY_REQUESTS: Too many requests. Please try again later."),
    "too fast": (1011, f"{NET0}: {{received}} s of audio in {{took}} s"),
    "idle": (1011, "NET-0001: No audio and no text message for {seconds} s"),
    "too long": (1011, f"{NET0}: the maximum duration"),
    "too early": (1008, "DATA-0000: Audio before its time"),
    "fault": (1011, NET0),
    "bad audio": (1008, "DATA-0000: not whole samples: {size}"),
    "invalid": (1008, "DATA-0000: {text}"),
}
NOT_DONE = ("multichannel", "diarize", "redact", "search", "replace", "detect_entities")
V1_ONLY = (
    *("interim_results", "endpointing", "utterance_end_ms", "vad_events", "punctuate"),
    *("smart_format", "no_delay", "diarize", "diarize_model", "multichannel", "channels"),
    *("language", "dictation", "filler_words", "detect_entities", "keywords", "search", "replace"),
)
THRESHOLDS = ("eot_threshold", "eager_eot_threshold", "eot_timeout_ms")
MODEL_UUID = "00000000-0000-4000-8000-000000000000"


class Server(Double):
    """One session as the service sees it: by its path, v1 or Flux."""

    PATHS: ClassVar[tuple[str, ...]] = (PATH, FLUX_PATH)
    SUBPROTOCOLS: ClassVar[tuple[str, ...]] = ("token", "bearer")
    BACKLOG: ClassVar[float] = math.inf  # what comes too fast is delayed
    REFUSALS: ClassVar[Mapping[str, tuple[int, str]]] = REFUSALS
    SCHEMES: ClassVar[tuple[str, ...]] = ("token", "bearer")

    def __init__(self, query: Mapping[str, str], path: str) -> None:
        self._query: dict[str, Any] = dict(query)
        self._flux = path == FLUX_PATH
        self._voice: _Segments | _Turns = _Turns() if self._flux else _Segments()

    @classmethod
    def credential(cls, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        """A key in the header, or where a browser can put it: behind the subprotocol."""
        scheme, _, key = headers.get("sec-websocket-protocol", "").partition(",")
        if scheme.strip().lower() in cls.SUBPROTOCOLS:
            return key.strip()
        return super().credential(query, headers)

    # What the client says.

    def open(self) -> tuple[Said, ...]:
        return (Configure(self._rules(self._query)),)

    def read(self, frame: bytes | str) -> tuple[Said, ...]:
        if isinstance(frame, bytes):
            return (self.audio(frame),)
        kind, message = self.message(frame)
        if kind == "CloseStream":
            return (Finish(),)
        if kind == ("ForceEndTurn" if self._flux else "Finalize"):
            return (ForceEndpoint(),)
        if kind == "KeepAlive" and not self._flux:
            return (KeepAlive(),)
        if kind == "Configure":
            return (self._configure(Asked(message, _invalid)),)
        raise self.invalid(f"{str(kind)[:60]} is not supported by the embedded service")

    def _configure(self, asked: Asked) -> Said:
        """Other thresholds, or formats; what cannot be done changes nothing."""
        try:
            changes = asked.part("thresholds" if self._flux else "features").given
            changed = {name: one for name, one in changes.items() if one is not None}
            rules = self._rules(self._query | changed)
        except Refusal as refused:
            return Rejected(refused.text)
        self._query |= changed
        self._voice.keyterms = asked.given.get("keyterms") or self._voice.keyterms
        return Configure(rules)

    def _rules(self, query: Mapping[str, Any]) -> Rules:
        asked = Asked(query, _invalid)
        encoding = asked.choice("encoding", ("linear16", "mulaw"))
        if encoding is None or "sample_rate" not in asked.given:
            raise _invalid(
                "give encoding (linear16 or mulaw) and sample_rate: the embedded "
                "service reads no containers"
            )
        rate = asked.whole("sample_rate", 16000, 8000, 48000)
        model = asked.text("model", FLUX_MODEL if self._flux else "")
        if self._flux != model.startswith("flux"):
            raise _invalid(
                f"'{model[:60]}' is at another path: models named flux-... are at "
                f"{FLUX_PATH}, all others at {PATH}"
            )
        rules = (_flux_rules if self._flux else _rules)(asked, rate, encoding, model)
        self.mulaw = encoding == "mulaw"
        self._voice.asked = asked
        return rules

    # What the service says.

    def write(self, reply: Reply) -> Iterable[Mapping[str, Any] | Close]:
        if isinstance(reply, Begin):
            self._voice.ids = {"request_id": reply.id, "model_uuid": MODEL_UUID}
        if isinstance(reply, ServiceError):
            yield self._voice.error(reply.text)
            yield self.close(reply.code, reply.text, 1011)
        else:
            yield from self._voice.write(reply)


def _invalid(text: str) -> Refusal:
    return Refusal(400, f"Bad Request: {text}")


def _rules(asked: Asked, rate: int, encoding: str, model: str) -> Rules:
    asked.whole("channels", 1, 1, 1)
    asked.only(*NOT_DONE)
    formatted = [asked.truth(name) for name in ("smart_format", "punctuate")]
    silence, utterance = _endpointing(asked), _utterance_end(asked)
    if silence is None:
        silence = math.inf if utterance is None else utterance
    elif utterance not in (None, UTTERANCE_END):
        raise _invalid("with endpointing, the embedded service accepts only utterance_end_ms=1000")
    return Rules(
        rate,
        encoding,
        model,
        format_turns=any(formatted),
        min_silence=silence,
        max_silence=silence,
        partials=asked.truth("interim_results"),
        silences=utterance is not None,
        inactivity=SILENT,
    )


def _endpointing(asked: Asked) -> float | None:
    text = asked.text("endpointing", 10).lower()
    if text == "false":
        return None
    return 0.01 if text == "true" else asked.whole("endpointing", 10, 0, 60000) / 1000


def _utterance_end(asked: Asked) -> float | None:
    if "utterance_end_ms" not in asked.given:
        return None
    if not asked.truth("interim_results"):
        raise _invalid("utterance_end_ms needs interim_results=true")
    return asked.whole("utterance_end_ms", 1000, 1000, 5000) / 1000


def _flux_rules(asked: Asked, rate: int, encoding: str, model: str) -> Rules:
    for name in V1_ONLY:
        if name in asked.given:
            raise _invalid(f"'{name}' is not known at {FLUX_PATH}")
    asked.only(*NOT_DONE)
    eager = asked.given.get("eager_eot_threshold")
    if eager is not None:
        asked.number("eager_eot_threshold", 0.0, 0.3, 0.9)
    most = asked.whole("eot_timeout_ms", 5000, 500, 60000) / 1000
    return Rules(
        rate,
        encoding,
        model,
        format_turns=True,
        threshold=asked.number("eot_threshold", SURELY, 0.5, 1.0),
        min_silence=SURE,
        max_silence=most,
        eager=None if eager is None else EAGER,
    )


class _Voice:
    """What both protocols know of a session."""

    def __init__(self) -> None:
        self.asked = Asked({}, _invalid)
        self.keyterms: list[str] = []
        self.ids = {"request_id": "", "model_uuid": MODEL_UUID}
        self._order = -1

    @property
    def _request(self) -> dict[str, str]:
        return {"request_id": self.ids["request_id"]}


class _Segments(_Voice):
    """v1: what of the open turn was said for good is not said again."""

    def __init__(self) -> None:
        super().__init__()
        self._closed = 0  # words of the open turn that were said for good
        self._since = 0.0  # where the open segment begins
        self._spoken: float | None = None  # the last word's end, until UtteranceEnd
        self._forced = False  # whether a turn's end has answered Finalize

    def error(self, text: str) -> dict[str, Any]:
        name, _, said = text.partition(": ")
        return {"type": "Error", "variant": name, "description": said, "message": ""}

    def write(self, reply: Reply) -> Iterator[Mapping[str, Any] | Close]:
        match reply:
            case Turn():
                yield from self._turn(reply)
            case Configured():
                yield {"type": "ConfigureSuccess", **self._request, "keyterms": self.keyterms}
            case Rejected(text):
                code = "CONFIGURE_INTERNAL_ERROR"
                said = {"code": code, "description": text}
                yield {"type": "ConfigureFailure", **self._request, **said}
            case Silence() if self._spoken is not None:
                yield self._utterance_end()
            case Finalized() if self._forced:
                self._forced = False
            case Finalized():
                yield self._results((), self._since, closes=True, forced=True)
            case Termination(audio):
                yield {
                    "type": "Metadata",
                    "transaction_key": "deprecated",
                    **self._request,
                    "sha256": "",
                    "created": "",
                    "duration": audio,
                    "channels": 1,
                }
                yield Close(1000)

    def _turn(self, turn: Turn) -> Iterator[Mapping[str, Any]]:
        heard = turn.heard or 0.0
        if turn.order != self._order:
            self._order, self._closed = turn.order, 0
            if turn.words and self.asked.truth("vad_events"):
                at = turn.words[0].start
                yield {"type": "SpeechStarted", "channel": [0, 1], "timestamp": at}
        words = turn.words[self._closed :]
        if turn.words:
            self._spoken = turn.words[-1].end
        if turn.end_of_turn:
            ends = _endpointing(self.asked) is not None
            silence, self._forced = turn.cause == "silence", turn.cause == "force_endpoint"
            yield self._results(
                words,
                heard,
                closes=True,
                ends=silence and ends,
                forced=self._forced,
            )
            if silence and not ends:
                yield self._utterance_end()
            return
        settled = [word for word in words if word.final]
        until = settled[-1].end if settled else None
        if until is not None and until - self._since > SEGMENT:
            yield self._results(settled, until, closes=True)
            self._closed += len(settled)
            words = words[len(settled) :]
        yield self._results(words, heard)

    def _utterance_end(self) -> Mapping[str, Any]:
        at, self._spoken = self._spoken, None
        return {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": at}

    def _results(
        self,
        words: Sequence[Word],
        until: float,
        *,
        closes: bool = False,
        ends: bool = False,
        forced: bool = False,
    ) -> dict[str, Any]:
        start = self._since
        if closes:
            self._since = until
        best = {
            "transcript": " ".join(word.text for word in words),
            "confidence": min((word.confidence for word in words), default=0.0),
            "words": [self._word(word) for word in words],
        }
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "start": start,
            "duration": until - start,
            "is_final": closes,
            "speech_final": ends,
            "from_finalize": forced,
            "channel": {"alternatives": [best]},
            "metadata": {**self.ids, "model_info": {"name": "", "version": "", "arch": ""}},
        }

    def _word(self, word: Word) -> dict[str, Any]:
        said = {**_said(word), "word": word.text.lower().strip('.,;:!?"')}
        if self.asked.truth("smart_format") or self.asked.truth("punctuate"):
            said["punctuated_word"] = word.text
        return said


class _Turns(_Voice):
    """Flux: all of the turn each time, and what has just become of it."""

    def __init__(self) -> None:
        super().__init__()
        self._sequence = 0
        self._eager = False
        self._since = 0.0

    def error(self, text: str) -> dict[str, Any]:
        code, _, said = text.partition(": ")
        return self._numbered("Error", code=code, description=said)

    def write(self, reply: Reply) -> Iterator[Mapping[str, Any] | Close]:
        match reply:
            case Begin(id):
                yield self._numbered("Connected", request_id=id)
            case Configured():
                known = {
                    name: self.asked.number(name, 0, 0, math.inf)
                    for name in THRESHOLDS
                    if name in self.asked.given
                }
                said = {"thresholds": known, "keyterms": self.keyterms}
                yield self._numbered("ConfigureSuccess", **self._request, **said)
            case Rejected(text):
                said = {"code": "INVALID_CONFIGURE", "description": text}
                yield self._numbered("ConfigureFailure", **self._request, **said)
            case Turn(words=words) if words:
                yield self._turn(reply)
            case Termination():
                yield Close(1000)

    def _turn(self, turn: Turn) -> dict[str, Any]:
        event = "Update"
        if turn.end_of_turn:
            event = "EndOfTurn"
        elif turn.eager:
            event = "EagerEndOfTurn"
        elif turn.order != self._order:
            event = "StartOfTurn"
        elif self._eager:
            event = "TurnResumed"
        self._order, self._eager = turn.order, turn.eager
        said: dict[str, Any] = {
            "event": event,
            "turn_index": turn.order,
            "audio_window_start": self._since,
            "audio_window_end": turn.heard or 0.0,
            "transcript": " ".join(word.text for word in turn.words),
            "words": [_said(word) for word in turn.words],
            "end_of_turn_confidence": turn.confidence,
        }
        self._since = turn.heard or 0.0
        if turn.end_of_turn:
            sure = turn.confidence > self.asked.number("eot_threshold", SURELY, 0, 1)
            said["trigger"] = "model" if sure else "timeout"
            if turn.cause != "silence":
                said["trigger"] = "manual"
        return self._numbered("TurnInfo", **self.ids, **said)

    def _numbered(self, kind: str, **said: Any) -> dict[str, Any]:
        self._sequence += 1
        return {"type": kind, "sequence_id": self._sequence - 1, **said}


def _said(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": word.start,
        "end": word.end,
        "confidence": word.confidence,
    }
