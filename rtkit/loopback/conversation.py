"""The embedded service's side of a session, without any I/O.

Frames go in with the instant at which they came; what the service says comes out once its time
has come. All decisions are made on audio time, so that a client hears the same words and turns at
whatever pace it sends. The delay, and how fast the service hears, only tell *when* it says them.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtkit.audio import MAX_CHUNK, MAX_RATE, MIN_CHUNK, MIN_RATE
from rtkit.loopback.ears import Ears, Onset, Phrase, SlowEars, Sound
from rtkit.protocol import DEFAULT_MODEL

__all__ = ["Behaviour", "Close", "Conversation", "Say"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the service behaves in time.

    Attributes
    ----------
    delay, jitter : float
        A message leaves `delay` seconds after the audio that decided it was heard, and up to
        `jitter` more, drawn evenly.
    seed : int
        Of the jitter, so that a session can be repeated.
    drain : float
        It hears at most so many seconds of audio a second; the rest waits.
    backlog : float
        It closes the session when more than so many seconds wait.
    finals : int
        With `format_turns`: 1 final message a turn, or 2, the second one formatted.
    """

    delay: float = 0.15
    jitter: float = 0.0
    seed: int = 0
    drain: float = 1.25
    backlog: float = 300.0
    finals: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.delay < math.inf and 0 <= self.jitter < math.inf):
            raise ValueError(
                f"delay={self.delay:g} and jitter={self.jitter:g} are seconds of 0 or more: "
                "the service cannot answer before it has heard"
            )
        if not (self.drain > 0 and self.backlog > 0):
            raise ValueError(f"drain={self.drain:g} and backlog={self.backlog:g} must be above 0")
        if self.finals not in (1, 2):
            raise ValueError(f"finals={self.finals} must be 1 or 2")


@dataclass(frozen=True, slots=True)
class Say:
    """A text frame for the client."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""

    code: int
    reason: str


class _Refusal(Exception):
    """A session that cannot go on, by the service's rules."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


CHANGEABLE = {
    "end_of_turn_confidence_threshold",
    "min_turn_silence",
    "min_end_of_turn_silence_when_confident",
    "max_turn_silence",
    "format_turns",
}


@dataclass(slots=True)
class _Parameters:
    """The query parameters that matter offline; times in seconds."""

    rate: int
    encoding: str
    model: str
    format_turns: bool
    threshold: float
    min_silence: float
    max_silence: float

    @classmethod
    def read(cls, query: Mapping[str, str]) -> _Parameters:
        rate = _number(query, "sample_rate", 16000, MIN_RATE, MAX_RATE)
        encoding = query.get("encoding", "pcm_s16le")
        if encoding not in ("pcm_s16le", "pcm_mulaw"):
            raise _Refusal(3006, f"Invalid 'encoding': '{encoding}' is not a valid Encoding")
        old = "min_end_of_turn_silence_when_confident"
        minimum = "min_turn_silence" if "min_turn_silence" in query else old
        return cls(
            rate=int(rate),
            encoding=encoding,
            model=query.get("speech_model", DEFAULT_MODEL),
            format_turns=_truth(query.get("format_turns", "false")),
            threshold=_number(query, "end_of_turn_confidence_threshold", 0.4, 0, 1),
            min_silence=_number(query, minimum, 400, 0, 60000) / 1000,
            max_silence=_number(query, "max_turn_silence", 1280, 0, 60000) / 1000,
        )


@dataclass(slots=True)
class _Word:
    text: str
    start: float
    end: float
    final: bool
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class _Decision:
    """What decided a message: when that audio came, how many samples were there, and why.

    `heard` is when it was heard: later than it came in a burst, and with slow ears.
    """

    arrived: float
    heard: float
    samples: int
    cause: str


class Conversation:
    """One session.

    Parameters
    ----------
    query : mapping of str to str
        The parameters of the URL.
    authorized : bool
        Whether the client brought a key or a token.
    ears : callable
        Given the sample rate, what to listen with. What slow ears answer comes in by `answer`.
    behaviour : Behaviour
    now : float
        The instant at which the client connected.
    session_id : str
        What `Begin` calls the session.
    expires_at : int
        When `Begin` says that it expires, in Unix seconds.
    """

    def __init__(
        self,
        query: Mapping[str, str],
        *,
        authorized: bool,
        ears: Callable[[int], Ears | SlowEars],
        behaviour: Behaviour,
        now: float,
        session_id: str,
        expires_at: int,
    ) -> None:
        self._behaviour = behaviour
        self._random = random.Random(behaviour.seed)
        self._opened = now
        self._outbox: list[tuple[float, int, dict[str, Any] | Close]] = []
        self._said = 0
        self._last_leaving = now
        self.closed = False

        self._bytes = 0
        self._samples = 0
        self._heard_at = -math.inf  # no audio waits: the first is heard on arrival
        self._backlog, self._backlog_at = 0.0, now
        self._short: float | None = None  # seconds of a message that was too short
        self._terminating = False
        self._asked: deque[_Decision] = deque()  # what slow ears have yet to answer

        self._order = 0
        self._words: list[_Word] = []
        self._confidence = 0.0
        self._speaking = 0  # words begun and not yet heard whole
        self._last_end = 0.0
        try:
            if not authorized:
                raise _Refusal(1008, "Unauthorized Connection: Missing Authorization header")
            self._query = dict(query)
            self._parameters = _Parameters.read(self._query)
            self._ears = ears(self._parameters.rate)
            self._begin(now, session_id, expires_at)
        except _Refusal as refusal:
            self._refuse(refusal, now)

    # The skin's side.

    @property
    def next(self) -> float | None:
        """When there is next something to take, if nothing else happens; None for never."""
        return self._outbox[0][0] if self._outbox else None

    def take(self, now: float) -> list[Say | Close]:
        """What leaves now, stamped with `now`."""
        leaving: list[Say | Close] = []
        while self._outbox and self._outbox[0][0] <= now:
            message = heapq.heappop(self._outbox)[2]
            if isinstance(message, Close):
                leaving.append(message)
                continue
            if "arrived" in message.get("loopback", {}):
                message["loopback"]["left"] = now
            leaving.append(Say(json.dumps(message)))
        return leaving

    def receive(self, frame: bytes | str, now: float) -> None:
        """A frame came from the client at `now`."""
        if self.closed or self._terminating:
            return
        try:
            if isinstance(frame, str):
                self._hear_text(frame, now)
            else:
                self._hear_audio(frame, now)
        except _Refusal as refusal:
            self._refuse(refusal, now)

    def answer(self, sounds: Iterable[Sound], now: float) -> None:
        """Slow ears answered, at `now`, the oldest of what they were asked."""
        if not self.closed:
            self._understand(sounds, replace(self._asked.popleft(), heard=now))

    def fail(self, text: str, now: float) -> None:
        """The service cannot go on, by a fault of its own."""
        if not self.closed:
            self._refuse(_Refusal(3005, text), now)

    # What the client says.

    def _hear_audio(self, frame: bytes, now: float) -> None:
        mulaw = self._parameters.encoding == "pcm_mulaw"
        if not frame or (len(frame) % 2 and not mulaw):
            raise _Refusal(3006, f"Invalid Message: {len(frame)} bytes are not whole samples")
        samples = len(frame) if mulaw else len(frame) // 2
        seconds = samples / self._parameters.rate
        # The real service was seen to accept one short message as the last audio of a session.
        wrong = seconds if seconds > MAX_CHUNK else self._short
        if wrong is not None:
            raise _Refusal(
                3007,
                f"Input Duration Violation: {wrong * 1000:.1f} ms. Expected between 50 and 1000 ms",
            )
        self._short = seconds if seconds < MIN_CHUNK else None
        self._check_rate(seconds, now)
        self._bytes += len(frame)
        self._samples += samples
        # Heard on arrival by a client that keeps pace; the rest of a burst waits for its turn.
        self._heard_at = max(now, self._heard_at + seconds / self._behaviour.drain)
        pcm = _from_mulaw(frame) if mulaw else np.frombuffer(frame, dtype="<i2")
        self._listen(pcm, self._decision(now, "audio"))

    def _check_rate(self, seconds: float, now: float) -> None:
        drained = self._behaviour.drain * (now - self._backlog_at)
        self._backlog = max(0.0, self._backlog - drained) + seconds
        self._backlog_at = now
        if self._backlog > self._behaviour.backlog:
            received = self._samples / self._parameters.rate + seconds
            raise _Refusal(
                3007,
                f"Audio Transmission Rate Exceeded: Received {received:.6g} sec. audio in "
                f"{now - self._opened:.6g} sec",
            )

    def _hear_text(self, frame: str, now: float) -> None:
        try:
            message = json.loads(frame)
        except (ValueError, RecursionError) as error:
            raise _Refusal(3006, f"Invalid JSON: {str(error)[:60]}") from error
        if not isinstance(message, dict):
            raise _Refusal(3006, f"Invalid Message: {frame[:60]}")
        match message.get("type"):
            case "Terminate":
                self._terminate(now)
            case "ForceEndpoint":
                self._listen(None, self._decision(now, "force_endpoint"))
            case "UpdateConfiguration":
                self._update(message)
            case "KeepAlive":
                pass
            case kind:
                raise _Refusal(3006, f"Invalid Message Type: {str(kind)[:60]}")

    def _update(self, message: Mapping[str, Any]) -> None:
        # A client may go on for hours with names that nobody knows: they are not kept.
        known = message.keys() & CHANGEABLE
        changes = {name: str(message[name]) for name in known if message[name] is not None}
        changes["sample_rate"] = str(self._parameters.rate)
        self._query |= changes
        self._parameters = _Parameters.read(self._query)

    def _terminate(self, now: float) -> None:
        self._terminating = True
        self._listen(None, self._decision(now, "terminate"))

    def _say_goodbye(self, decision: _Decision) -> None:
        # A final goes out even where nothing is open, then empty, as by the real service.
        self._end_turn(decision)
        leaving = self._leaving(decision.heard)
        self._put(
            leaving,
            {
                "type": "Termination",
                "audio_duration_seconds": int(self._samples / self._parameters.rate),
                "session_duration_seconds": int(leaving - self._opened + 1),
                "loopback": {"bytes": self._bytes, "samples": self._samples},
            },
        )
        self._put(leaving, Close(1000, "Session Ended"))

    # What the ears hear, and the turns that silence ends.

    def _decision(self, now: float, cause: str) -> _Decision:
        return _Decision(now, max(now, self._heard_at), self._samples, cause)

    def _listen(self, samples: np.ndarray | None, moment: _Decision) -> None:
        """Have the samples heard, or (None) what is open settled, and go on with what that was."""
        if isinstance(self._ears, SlowEars):
            self._asked.append(moment)
            self._ears.ask(samples, moment.heard)
        elif samples is not None:
            self._understand(self._ears.hear(samples), moment)
        else:
            settled = self._ears.finish() if moment.cause == "terminate" else ()
            self._understand(settled, moment)

    def _understand(self, sounds: Iterable[Sound], moment: _Decision) -> None:
        for sound in sounds:
            self._hear_sound(sound, moment)
        if moment.cause == "audio":
            self._silence_until(moment.samples / self._parameters.rate, moment)
        elif moment.cause == "terminate":
            self._say_goodbye(moment)
        elif self._words:
            self._end_turn(moment)

    def _hear_sound(self, sound: Sound, moment: _Decision) -> None:
        self._silence_until(sound.position, moment)
        if isinstance(sound, Onset):
            self._speaking += 1
            return
        if isinstance(sound, Phrase):
            self._hear_phrase(sound, moment)
            return
        self._speaking -= sound.final
        word = _Word(sound.text, sound.start, sound.end, sound.final)
        if self._words and not self._words[-1].final and self._words[-1].start == sound.start:
            self._words[-1] = word
        else:
            self._words.append(word)
        self._confidence = sound.confidence
        self._last_end = sound.end
        self._say_turn(replace(moment, cause="word"))

    def _hear_phrase(self, phrase: Phrase, moment: _Decision) -> None:
        self._speaking -= phrase.final
        before, final = self._words, phrase.final
        self._words = [word for word in before if word.final] + [
            _Word(word.text, word.start, word.end, final, word.confidence) for word in phrase.words
        ]
        if final and phrase.words:
            self._confidence, self._last_end = phrase.confidence, phrase.words[-1].end
        if self._words != before:
            self._say_turn(replace(moment, cause="word"))

    def _silence_until(self, position: float, moment: _Decision) -> None:
        """End the turn if silence up to `position` is long enough."""
        if not self._words or self._speaking:
            return
        sure = self._confidence > self._parameters.threshold
        needed = self._parameters.min_silence if sure else self._parameters.max_silence
        # Half a sample of grace, as for a word that ends with its chunk.
        if position - self._last_end >= needed - 0.5 / self._parameters.rate:
            self._end_turn(replace(moment, cause="silence"))

    def _end_turn(self, decision: _Decision) -> None:
        formats = self._parameters.format_turns
        two = formats and self._behaviour.finals == 2 and bool(self._words)
        self._say_turn(decision, final=True, formatted=formats and not two)
        if two:
            self._say_turn(decision, final=True, formatted=True)
        self._words, self._confidence = [], 0.0
        self._order += 1

    def _say_turn(
        self, decision: _Decision, *, final: bool = False, formatted: bool | None = None
    ) -> None:
        if formatted is None:
            formatted = self._parameters.format_turns and self._behaviour.finals == 1
        last = len(self._words) - 1
        words = [
            {
                "text": word.text if formatted else _plain(word.text),
                "start": round(word.start * 1000),
                "end": round(word.end * 1000),
                "confidence": word.confidence,
                "word_is_final": final or (word.final and index < last),
            }
            for index, word in enumerate(self._words)
        ]
        transcript = " ".join(str(word["text"]) for word in words if word["word_is_final"])
        self._put(
            self._leaving(decision.heard),
            {
                "turn_order": self._order,
                "turn_is_formatted": formatted,
                "end_of_turn": final,
                "transcript": transcript,
                "utterance": transcript if final else "",
                "end_of_turn_confidence": self._confidence,
                "words": words,
                "type": "Turn",
                "loopback": {
                    "arrived": decision.arrived,
                    "samples": decision.samples,
                    "cause": decision.cause,
                },
            },
        )

    # What the service says.

    def _begin(self, now: float, session_id: str, expires_at: int) -> None:
        self._put(
            now,
            {
                "type": "Begin",
                "id": session_id,
                "expires_at": expires_at,
                "configuration": {
                    "model": self._parameters.model,
                    "mode": None,
                    "api_version": "2025-05-12",
                    "speaker_labels": False,
                    "redact_pii": False,
                    "filter_profanity": False,
                    "domain": None,
                    "voice_focus": None,
                },
            },
        )

    def _refuse(self, refusal: _Refusal, now: float) -> None:
        self.closed = True
        self._outbox.clear()
        self._put(now, {"type": "Error", "error_code": refusal.code, "error": refusal.text})
        self._put(now, Close(refusal.code, "See Error message for details"))

    def _leaving(self, heard: float) -> float:
        """When a message on what was heard then leaves: after the delay, and never overtaking."""
        drawn = self._behaviour.delay + self._random.uniform(0, self._behaviour.jitter)
        self._last_leaving = max(self._last_leaving, heard + drawn)
        return self._last_leaving

    def _put(self, at: float, message: dict[str, Any] | Close) -> None:
        self._said += 1
        heapq.heappush(self._outbox, (at, self._said, message))


def _number(
    query: Mapping[str, str], name: str, default: float, lowest: float, highest: float
) -> float:
    text = query.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        raise _Refusal(3006, f"Invalid '{name}': '{text[:60]}' is not a number") from None
    if not lowest <= value <= highest:
        raise _Refusal(
            3006, f"Invalid '{name}': {text[:60]} is not between {lowest:g} and {highest:g}"
        )
    return value


def _truth(text: str) -> bool:
    return text.lower() in ("true", "1", "yes", "on")


def _plain(text: str) -> str:
    """Without casing and punctuation; a mark such as [speech 0.3-2.2 s] stays as it is."""
    return text if text.startswith("[") else text.lower().strip('.,;:!?"“”()-–—… ')


def _from_mulaw(frame: bytes) -> np.ndarray:
    """Expand G.711 mu-law to 16-bit samples."""
    code = ~np.frombuffer(frame, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int16)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(code & 128, -magnitude, magnitude).astype(np.int16)
