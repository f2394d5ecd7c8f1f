"""OpenAI's Realtime transcription, and vLLM's, from the service's end, without any I/O.

Which of the two it is the client's first ``session.update`` tells: vLLM's has no ``session``.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from rtkit.services.asked import Asked
from rtkit.services.double import Double
from rtkit.services.messages import (
    Audio,
    Begin,
    Close,
    Configure,
    Configured,
    Connected,
    Finalized,
    Finish,
    ForceEndpoint,
    Other,
    Refusal,
    Rejected,
    Reply,
    Rules,
    Said,
    ServiceError,
    Termination,
    Turn,
)
from rtkit.services.openai.client import EMPTY, KIND, PATH, WITHOUT_VAD

__all__ = ["Server"]

INVALID = 3000
REFUSALS: Mapping[str, tuple[int, str]] = {
    "no key": (401, "invalid_request_error: Missing bearer authentication in header"),
    "key refused": (401, "invalid_api_key: Incorrect API key provided."),
    "token expired": (401, "invalid_api_key: The client secret has expired."),
    "too many sessions": (429, "rate_limit_exceeded: Too many sessions are open."),
    "too fast": (1011, "buffer_full: {received} s of audio in {took} s"),
    "idle": (1001, "session_expired: No message for {seconds} s."),
    "too long": (1001, "session_expired: Your session hit the maximum duration."),
    "too early": (INVALID, "invalid_request_error: Audio before session.update"),
    "fault": (1011, "server_error: The server had an error."),
    "bad audio": (INVALID, "invalid_request_error: not whole samples: {size}"),
    "invalid": (INVALID, "invalid_request_error: {text}"),
}
RATES = {"audio/pcm": 24000, "audio/pcmu": 8000}
VLLM_RATE = 16000


class Server(Double):
    """One session as the service sees it."""

    PATHS: ClassVar[tuple[str, ...]] = (PATH,)
    MAX_DURATION: ClassVar[float] = 3600.0
    REFUSALS: ClassVar[Mapping[str, tuple[int, str]]] = REFUSALS

    def __init__(self, query: Mapping[str, str], path: str) -> None:
        self._vllm = self._detects = False
        self._session: dict[str, Any] = {"type": "transcription"}
        self._events = 0
        self._order: int | None = None  # the turn that was begun
        self._told = ""  # of it
        self._forced = False  # whether a turn's end has answered the commit
        self._text: list[str] = []  # vLLM: of all turns

    @classmethod
    def credential(cls, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        """A key; vLLM, whose clients state no intent, needs none."""
        if "authorization" not in headers and "intent" not in query:
            return "none"
        return super().credential(query, headers)

    # What the client says.

    def open(self) -> tuple[Said, ...]:
        return ()

    def read(self, frame: bytes | str) -> tuple[Said, ...]:
        """What it cannot take is an error, after which the session goes on."""
        try:
            return (self._event_of(frame),)
        except Refusal as refused:
            return (Rejected(refused.text),)

    def _event_of(self, frame: bytes | str) -> Said:
        kind, message = self.message(frame)
        match kind:
            case "input_audio_buffer.append":
                return self._audio(message.get("audio"))
            case "input_audio_buffer.commit" if not self._vllm:
                return ForceEndpoint()
            case "input_audio_buffer.commit":
                return Finish() if message.get("final") else Other("start")
            case "session.update" if isinstance(message.get("session"), dict):
                return Configure(self._rules(message["session"]))
            case "session.update" if message.get("model"):
                self._vllm = True
                rules = _rules(VLLM_RATE, "pcm16", str(message["model"]), math.inf)
                return Configure(rules)
        raise self.invalid(f"{str(kind)[:60]} is not supported by the embedded service")

    def _audio(self, audio: object) -> Audio:
        try:
            pcm = base64.b64decode(str(audio), validate=True)
        except ValueError:
            raise self.invalid("audio is not base64") from None
        return self.audio(pcm)

    def _rules(self, session: Mapping[str, Any]) -> Rules:
        whole = Asked(session, self.invalid)
        if whole.choice("type", ("transcription",)) is None:
            raise self.invalid(
                "session.type is missing; the embedded service implements 'transcription'"
            )
        audio = whole.part("audio").part("input")
        how, asked = audio.part("format"), audio.part("turn_detection")
        encoding = how.choice("type", tuple(RATES), "audio/pcm") or ""
        rate = RATES[encoding]
        how.whole("rate", rate, rate, rate)
        model = audio.part("transcription").text("model")
        if not model:
            raise self.invalid("audio.input.transcription.model is missing")
        detects = bool(asked.given)
        if detects and model.startswith(WITHOUT_VAD):
            raise self.invalid(f"turn_detection must be null for {model[:60]}")
        asked.choice("type", ("server_vad",))
        silence = asked.whole("silence_duration_ms", 500, 1, 60000) / 1000
        silence = silence if detects else math.inf
        threshold = asked.number("threshold", 0.5, 0, 1)
        self._session, self._detects = dict(session), detects
        self.mulaw = encoding == "audio/pcmu"
        return replace(_rules(rate, encoding, model, silence), vad=threshold)

    # What the service says.

    def write(self, reply: Reply) -> Iterable[Mapping[str, Any] | Close]:
        match reply:
            case Connected(id):  # in the words of both
                session = {**self._session, "id": f"sess_{id}"}
                yield self._event("session.created", id=f"sess_{id}", created=0, session=session)
            case Begin() | Configured() if not self._vllm:
                yield self._event("session.updated", session=self._session)
            case Turn(words=words) if words:
                yield from self._told_of(reply) if self._vllm else self._turn(reply)
            case Finalized() if self._forced:
                self._forced = False
            case Finalized() if not self._vllm:
                yield self._error(f"{EMPTY}: the buffer holds no speech")
            case Termination() if self._vllm:
                text = " ".join(self._text)
                yield {"type": "transcription.done", "text": text, "usage": {}}
            case Rejected(text):
                yield self._error(text)
            case ServiceError(code, text):
                yield self._error(text)
                yield self.close(code, text, INVALID)

    def _turn(self, turn: Turn) -> Iterator[Mapping[str, Any]]:
        item = {"item_id": f"item_{turn.order}"}
        if turn.order != self._order:
            self._order, self._told = turn.order, ""
            if self._detects:
                at = _ms(turn.words[0].start or 0.0)
                yield self._event("input_audio_buffer.speech_started", **item, audio_start_ms=at)
        if turn.end_of_turn:
            self._forced = turn.cause == "force_endpoint"
            if not self._forced:
                at = _ms(turn.heard or 0.0)
                yield self._event("input_audio_buffer.speech_stopped", **item, audio_end_ms=at)
            before = f"item_{turn.order - 1}" if turn.order else None
            yield self._event("input_audio_buffer.committed", **item, previous_item_id=before)
        if delta := self._delta(turn):
            yield self._event(f"{KIND}delta", **item, content_index=0, delta=delta)
        if turn.end_of_turn:
            usage = {"type": "duration", "seconds": turn.heard or 0.0}
            text = _text(turn)
            yield self._event(
                f"{KIND}completed", **item, content_index=0, transcript=text, usage=usage
            )

    def _told_of(self, turn: Turn) -> Iterator[Mapping[str, Any]]:
        space = " " if self._text and not self._told else ""
        if delta := self._delta(turn):
            yield {"type": "transcription.delta", "delta": space + delta}
        if turn.end_of_turn:
            self._text.append(_text(turn))
            self._told = ""

    def _delta(self, turn: Turn) -> str:
        """What is new in the turn; nothing where that would take back what was told."""
        new = _text(turn)
        if not new.startswith(self._told):
            return ""
        told, self._told = self._told, new
        return new[len(told) :]

    def _error(self, text: str) -> dict[str, Any]:
        code, _, said = text.partition(": ")
        if self._vllm:
            return {"type": "error", "error": said, "code": code}
        kind = "server_error" if code == "server_error" else "invalid_request_error"
        return self._event("error", error={"type": kind, "code": code, "message": said})

    def _event(self, kind: str, **said: Any) -> dict[str, Any]:
        self._events += 1
        return {"type": kind, "event_id": f"event_{self._events}", **said}


def _rules(rate: int, encoding: str, model: str, silence: float) -> Rules:
    return Rules(rate, encoding, model, format_turns=True, min_silence=silence, max_silence=silence)


def _text(turn: Turn) -> str:
    return " ".join(word.text for word in turn.words)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
