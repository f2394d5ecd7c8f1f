"""AssemblyAI's Streaming API v3 from the service's end, without any I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any, ClassVar

from rtkit.services.assemblyai.client import DIALECT
from rtkit.services.assemblyai.parameters import (
    changed,
    configuration,
    invalid,
    language,
    read_rules,
)
from rtkit.services.double import Double
from rtkit.services.messages import (
    Begin,
    Close,
    Configure,
    Finish,
    ForceEndpoint,
    Heartbeat,
    KeepAlive,
    Refusal,
    Reply,
    Said,
    ServiceError,
    Silence,
    SpeechStarted,
    Termination,
    Turn,
    Word,
)
from rtkit.services.service import Tokens

__all__ = ["Server"]

HEALTH = "/v3/ws/health"
TOKEN = "/v3/token"
UNAUTHORIZED = "Unauthorized Connection: "
REFUSALS: Mapping[str, tuple[int, str]] = {
    "no key": (1008, UNAUTHORIZED + "Missing Authorization header"),
    "key refused": (1008, UNAUTHORIZED + "Invalid API key"),
    "token expired": (1008, UNAUTHORIZED + "Signature has expired"),
    "too many sessions": (3009, UNAUTHORIZED + "Too many concurrent sessions"),
    "too fast": (
        3007,
        "Input Duration Error: Audio Transmission Rate Exceeded: Received {received} sec. audio in "
        "{took} sec",
    ),
    "idle": (
        3006,
        "User Input Validation Error: Session terminated due to inactivity: No messages received "
        "for {seconds} seconds",
    ),
    "too long": (3008, "Session Expired: Maximum session duration exceeded"),
    "too early": (3006, "User Input Validation Error: Invalid Message: audio before its time"),
    "fault": (3005, "Session Cancelled: An error occurred"),
    # What the real service does with these is not known.
    "bad audio": (3006, "User Input Validation Error: Invalid Message: {size}"),
}
UNKNOWN = "UNKNOWN"  # the speaker, of a turn shorter than
LABELED = 1.0  # seconds, until the end
RUN = 0.98  # seconds after which messages that are too short end the session
TOKEN_LIMITS = {  # seconds
    "expires_in_seconds": (1, 600),
    "max_session_duration_seconds": (60, 10800),
}


class Server(Double):
    """One session as the service sees it."""

    PATHS: ClassVar[tuple[str, ...]] = ("/v3/ws", "/")
    REFUSALS: ClassVar[Mapping[str, tuple[int, str]]] = REFUSALS

    def __init__(self, query: Mapping[str, str], path: str = "") -> None:
        self._query = dict(query)
        self._short: float | None = None  # seconds of the last message, if it was too short
        self._order, self._uttered = -1, 0  # how many words of that turn utterances held
        self._speakers: dict[str, str] = {}  # their labels, as they come
        self._revisions: list[dict[str, Any]] = []  # of turns too short to tell at once

    # Who comes in.

    @classmethod
    def credential(cls, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        """A key, as it is, or a temporary token, in the header or in the URL."""
        credential = headers.get("authorization") or query.get("token")
        if credential is not None and credential.startswith("Bearer "):
            raise cls.refusal("key refused")
        return credential

    @staticmethod
    def page(
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        tokens: Tokens,
        now: float,
    ) -> tuple[int, str | Mapping[str, Any]] | None:
        if path == HEALTH:
            return 200, "ok\n"
        if path != TOKEN:
            return None
        try:
            expires, lasts = (
                _token_seconds(query, name, default)
                for name, default in zip(TOKEN_LIMITS, (None, "10800"), strict=True)
            )
        except ValueError as error:
            return 422, {"error": str(error)}
        # This page, unlike the socket, takes the key after the word Bearer, too.
        key = headers.get("authorization", "").removeprefix("Bearer ")
        if not key:
            return 422, {"error": "there is no header Authorization; it takes the API key"}
        if not tokens.knows(key):
            return 401, {"error": "Invalid API key", "code": 401, "details": None}
        return 200, {"token": tokens.mint(now + expires, lasts), "expires_in_seconds": expires}

    # What the client says.

    def open(self) -> tuple[Said, ...]:
        rules = read_rules(self._query)
        self._configuration = configuration(self._query)
        self._language = language(self._query)
        self._rules = rules
        self.mulaw = rules.encoding == "pcm_mulaw"
        return (Configure(rules),)

    def read(self, frame: bytes | str) -> tuple[Said, ...]:
        if isinstance(frame, bytes):
            return (self.audio(frame),)
        try:
            return (self._message(json.loads(frame), frame),)
        except RecursionError:  # in reading it, or in writing a part of it
            raise invalid("Invalid JSON: it is nested too deeply") from None
        except ValueError as error:
            raise invalid(f"Invalid JSON: {str(error)[:60]}") from error

    def _message(self, message: Any, frame: str) -> Said:
        if not isinstance(message, dict):
            raise invalid(f"Invalid Message: {frame[:60]}")
        match message.get("type"):
            case "Terminate":
                return Finish()
            case "ForceEndpoint":
                return ForceEndpoint()
            case "KeepAlive":
                return KeepAlive()
            case "UpdateConfiguration":
                self._query = changed(self._query, message)
                self._rules = read_rules(self._query)
                return Configure(self._rules)
            case kind:
                raise invalid(f"Invalid Message Type: {str(kind)[:60]}")

    def check(self, seconds: float) -> None:
        """The real service was seen to accept a short message alone, and to refuse a run of them.

        A run of 20 ms messages ended after 0.98 s.
        """
        least, most = DIALECT.limits.min_chunk or 0.0, DIALECT.limits.max_chunk or float("inf")
        before, self._short = self._short, seconds if seconds < least else None
        if seconds > most:
            raise _duration(seconds)
        if before is not None and self._short is not None:
            raise _duration(before, after=RUN - before - seconds)

    # What the service says.

    def write(self, reply: Reply) -> Iterable[Mapping[str, Any] | Close]:
        match reply:
            case Begin():
                yield {
                    "type": "Begin",
                    "id": reply.id,
                    "expires_at": reply.expires_at,
                    "configuration": self._configuration,
                }
            case Turn():
                yield self._turn(reply)
            case SpeechStarted(at):
                yield {"type": "SpeechStarted", "timestamp": _ms(at), "confidence": 1.0}
            case Silence(start, end):
                yield {"type": "Silence", "start_ms": _ms(start), "end_ms": _ms(end)}
            case Heartbeat(audio, session, spoken):
                yield {
                    "type": "Heartbeat",
                    "total_audio_received_ms": _ms(audio),
                    "total_duration_ms": _ms(session),
                    "realtime_factor": audio / session,
                    # Whether anybody spoke since the last one: nobody here knows it more precisely.
                    "max_speech_probability": float(spoken),
                }
            case Termination(audio, session):
                if self._revisions:
                    yield {"type": "SpeakerRevision", "revisions": self._revisions}
                yield {
                    "type": "Termination",
                    "audio_duration_seconds": int(audio),
                    "session_duration_seconds": int(session + 1),
                }
                yield Close(1000, "Session Ended")
            case ServiceError(code, text):
                yield {"type": "Error", "error_code": code, "error": text}
                yield self.close(code, "See Error message for details", 3005)

    def _turn(self, turn: Turn) -> dict[str, Any]:
        utterance = self._utterance(turn)
        words = [self._word(word) for word in turn.words]
        more: dict[str, Any] = {}
        if self._language is not None and (turn.end_of_turn or utterance):
            more |= {"language_code": self._language, "language_confidence": _sure(turn)}
        if self._labels and turn.end_of_turn:
            more |= self._speaker(turn, words)
        return {
            "turn_order": turn.order,
            "turn_is_formatted": turn.formatted,
            "end_of_turn": turn.end_of_turn,
            "transcript": turn.transcript,
            "utterance": utterance,
            "end_of_turn_confidence": turn.confidence,
            "words": words,
            **more,
            "type": "Turn",
        }

    def _utterance(self, turn: Turn) -> str:
        """What was said since the last utterance, once a sentence closes or the turn ends."""
        if turn.order != self._order:
            self._order, self._uttered = turn.order, 0
        sure = not self._rules.semantic and turn.confidence > self._rules.threshold
        if not (turn.end_of_turn or sure):
            return ""
        said, self._uttered = turn.words[self._uttered :], len(turn.words)
        return " ".join(word.text for word in said)

    @property
    def _labels(self) -> bool:
        return bool(self._configuration["speaker_labels"])

    def _speaker(self, turn: Turn, words: list[dict[str, Any]]) -> dict[str, Any]:
        """Who spoke most; a short turn is labeled in the end."""
        known = Counter(word.speaker for word in turn.words if word.speaker is not None)
        if not known:
            return {"speaker_label": UNKNOWN}
        label = self._label(known.most_common(1)[0][0])
        if (turn.words[-1].end or 0.0) - (turn.words[0].start or 0.0) >= LABELED:
            return {"speaker_label": label, "speaker_confidence": _sure(turn)}
        revision = {"turn_order": turn.order, "speaker_label": label, "words": words}
        self._revisions = [one for one in self._revisions if one["turn_order"] != turn.order]
        self._revisions.append(revision)
        return {"speaker_label": UNKNOWN}

    def _label(self, speaker: str) -> str:
        """A, B, and so on."""
        return self._speakers.setdefault(speaker, chr(ord("A") + len(self._speakers) % 26))

    def _word(self, word: Word) -> dict[str, Any]:
        said = {
            "text": word.text,
            "start": _ms(word.start or 0.0),
            "end": _ms(word.end or 0.0),
            "confidence": word.confidence,
            "word_is_final": word.final,
        }
        if self._labels and word.final:
            said["speaker"] = self._label(word.speaker) if word.speaker is not None else UNKNOWN
        return said


def _sure(turn: Turn) -> float:
    """How sure it is of the turn's words, on average."""
    return round(fmean(word.confidence for word in turn.words), 4) if turn.words else 0.0


def _duration(seconds: float, *, after: float = 0.0) -> Refusal:
    text = f"Input Duration Error: Input Duration Violation: {seconds * 1000:.1f} ms."
    return Refusal(3007, f"{text} Expected between 50 and 1000 ms", after=after)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _token_seconds(query: Mapping[str, str], name: str, default: str | None) -> int:
    least, most = TOKEN_LIMITS[name]
    text = query.get(name, default)
    if text is None or not text.isdecimal() or not least <= int(text) <= most:
        given = "is missing" if text is None else f"is {text[:60]!r}"
        raise ValueError(f"{name} {given}; give a whole number of {least} to {most} seconds")
    return int(text)
