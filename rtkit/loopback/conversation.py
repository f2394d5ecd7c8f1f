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

from rtkit.loopback.engines import Energy, Engine, SlowEngine, Sound
from rtkit.loopback.turns import Decided, Turns
from rtkit.services.assemblyai.parameters import Parameters, Refusal

__all__ = ["MAX_DURATION", "Behavior", "Close", "Conversation", "Say"]

MAX_DURATION = 10800.0  # seconds
MIN_CHUNK, MAX_CHUNK = 0.05, 1.0
HEARTBEAT = 5.0  # seconds from one to the next
PREFIXES = {3006: "User Input Validation Error: ", 3007: "Input Duration Error: "}


@dataclass(frozen=True, slots=True)
class Behavior:
    """How the service behaves in time.

    Attributes
    ----------
    delay, delay_spread : float
        A message leaves `delay` seconds after the audio that decided it was heard, and up to
        `delay_spread` more, drawn evenly.
    seed : int
        Of the spread, so that a session can be repeated.
    max_speed : float
        It hears at most so many seconds of audio a second; the rest waits.
    backlog : float
        It closes the session when more than so many seconds wait.
    finals : int
        With `format_turns`: 1 final message a turn, or 2, the second one formatted. Newer models
        always send 1.
    max_duration : float or None
        It closes a session after so many seconds; None for never.
    """

    delay: float = 0.15
    delay_spread: float = 0.0
    seed: int = 0
    max_speed: float = 1.25
    backlog: float = 300.0
    finals: int = 1
    max_duration: float | None = MAX_DURATION

    def __post_init__(self) -> None:
        if not (0 <= self.delay < math.inf and 0 <= self.delay_spread < math.inf):
            raise ValueError(
                f"delay={self.delay:g} and delay_spread={self.delay_spread:g} are "
                "seconds of 0 or more: the service cannot answer before it has heard"
            )
        if not (self.max_speed > 0 and self.backlog > 0):
            raise ValueError(
                f"max_speed={self.max_speed:g} and backlog={self.backlog:g} must be above 0"
            )
        if self.finals not in (1, 2):
            raise ValueError(f"finals={self.finals} must be 1 or 2")
        if self.max_duration is not None and not 0 < self.max_duration < math.inf:
            raise ValueError(
                f"max_duration={self.max_duration:g} must be above 0 seconds, and finite"
            )


@dataclass(frozen=True, slots=True)
class Say:
    """A text frame for the client."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Decision:
    """What decided a message: when that audio came, how many samples were there, and why.

    `heard` is when it was heard: later than it came in a burst, and with slow engines.
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
    engine : callable
        Given the sample rate, what to listen with. What slow engines answer comes in by `answer`.
    behavior : Behavior
    now : float
        The instant at which the client connected.
    session_id : str
        What `Begin` calls the session.
    expires_at : int
        When `Begin` says that it expires, in Unix seconds.
    refused : Refusal, optional
        Why this client gets no session.
    """

    def __init__(
        self,
        query: Mapping[str, str],
        *,
        engine: Callable[[int], Engine | SlowEngine],
        behavior: Behavior,
        now: float,
        session_id: str,
        expires_at: int,
        refused: Refusal | None = None,
    ) -> None:
        self._behavior = behavior
        self._random = random.Random(behavior.seed)
        self._opened = self._last_frame = now
        self._outbox: list[tuple[float, int, dict[str, Any] | Close]] = []
        self._said = 0
        self._last_leaving = now
        self.closed = False
        self.refusal: Refusal | None = None  # with which words it was closed, if not as asked

        self._bytes = 0
        self._samples = 0
        self._heard_at = -math.inf  # no audio waits: the first is heard on arrival
        self._backlog, self._backlog_at = 0.0, now
        self._short: float | None = None  # seconds of a message that was too short
        self._terminating = False
        self._asked: deque[_Decision] = deque()  # what slow engines have yet to answer
        self._beat_at = math.inf
        try:
            if refused is not None:
                raise refused
            self._parameters = Parameters.read(query)
            self._turns = Turns(self._parameters, behavior.finals)
            self._engine = engine(self._parameters.rate)
            self._tune(now)
            self._begin(now, session_id, expires_at)
        except Refusal as refusal:
            self._refuse(refusal, now)

    # The skin's side.

    @property
    def parameters(self) -> Parameters:
        """What the client asked for; there is none where it was refused at the door."""
        return self._parameters

    @property
    def seconds(self) -> float:
        """How much audio came, in seconds."""
        return self._samples / self._parameters.rate if self._samples else 0.0

    @property
    def next(self) -> float | None:
        """When there is next something to take, if nothing else happens; None for never."""
        leaving = self._outbox[0][0] if self._outbox else math.inf
        coming = min(leaving, self._deadline()[0], self._beat_at)
        return coming if coming < math.inf else None

    def take(self, now: float) -> list[Say | Close]:
        """What leaves now, stamped with `now`."""
        deadline, refusal = self._deadline()
        if now >= deadline:
            self._refuse(refusal, now)
        while self._beat_at <= now:
            self._beat(self._beat_at)
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
        self._last_frame = now
        try:
            if isinstance(frame, str):
                self._hear_text(frame, now)
            else:
                self._hear_audio(frame, now)
        except Refusal as refusal:
            self._refuse(refusal, now)
        except RecursionError:  # in reading it, or in writing a part of it
            self._refuse(Refusal(3006, "Invalid JSON: it is nested too deeply"), now)

    def answer(self, sounds: Iterable[Sound], now: float) -> None:
        """Slow engines answered, at `now`, the oldest of what they were asked."""
        if not self.closed:
            self._understand(sounds, replace(self._asked.popleft(), heard=now))

    def fail(self, text: str, now: float) -> None:
        """The service cannot go on, by a fault of its own."""
        if not self.closed:
            self._refuse(Refusal(3005, text), now)

    def _deadline(self) -> tuple[float, Refusal]:
        """When the session ends if the client goes on as it does, and with which words."""
        end = math.inf
        if not self.closed and not self._terminating:
            if self._behavior.max_duration is not None:
                end = self._opened + self._behavior.max_duration
            silence = self._parameters.inactivity
            if silence is not None and self._last_frame + silence < end:
                return self._last_frame + silence, Refusal(
                    3006,
                    "Session terminated due to inactivity: "
                    f"No messages received for {silence:g} seconds",
                )
        return end, Refusal(3008, "Session Expired: Maximum session duration exceeded")

    # What the client says.

    def _hear_audio(self, frame: bytes, now: float) -> None:
        mulaw = self._parameters.encoding == "pcm_mulaw"
        # What the real service does with these is not known.
        if not frame or (len(frame) % 2 and not mulaw):
            raise Refusal(3006, f"Invalid Message: {len(frame)} bytes are not whole samples")
        samples = len(frame) if mulaw else len(frame) // 2
        seconds = samples / self._parameters.rate
        # The real service was seen to accept one short message as the last audio of a session.
        wrong = seconds if seconds > MAX_CHUNK else self._short
        if wrong is not None:
            raise Refusal(
                3007,
                f"Input Duration Violation: {wrong * 1000:.1f} ms. Expected between 50 and 1000 ms",
            )
        self._short = seconds if seconds < MIN_CHUNK else None
        self._check_rate(seconds, now)
        self._bytes += len(frame)
        self._samples += samples
        # Heard on arrival by a client that keeps pace; the rest of a burst waits for its turn.
        self._heard_at = max(now, self._heard_at + seconds / self._behavior.max_speed)
        pcm = _from_mulaw(frame) if mulaw else np.frombuffer(frame, dtype="<i2")
        self._listen(pcm, self._decision(now, "audio"))

    def _check_rate(self, seconds: float, now: float) -> None:
        drained = self._behavior.max_speed * (now - self._backlog_at)
        self._backlog = max(0.0, self._backlog - drained) + seconds
        self._backlog_at = now
        if self._backlog > self._behavior.backlog:
            received = self._samples / self._parameters.rate + seconds
            raise Refusal(
                3007,
                f"Audio Transmission Rate Exceeded: Received {_decimal(received)} sec. audio in "
                f"{_decimal(now - self._opened)} sec",
            )

    def _hear_text(self, frame: str, now: float) -> None:
        try:
            message = json.loads(frame)
        except ValueError as error:
            raise Refusal(3006, f"Invalid JSON: {str(error)[:60]}") from error
        if not isinstance(message, dict):
            raise Refusal(3006, f"Invalid Message: {frame[:60]}")
        match message.get("type"):
            case "Terminate":
                self._terminating, self._beat_at = True, math.inf
                self._listen(None, self._decision(now, "terminate"))
            case "ForceEndpoint":
                self._listen(None, self._decision(now, "force_endpoint"))
            case "UpdateConfiguration":
                self._turns.parameters = self._parameters = self._parameters.changed(message)
                self._tune(now)
            case "KeepAlive":
                pass
            case kind:
                raise Refusal(3006, f"Invalid Message Type: {str(kind)[:60]}")

    def _say_goodbye(self, moment: _Decision) -> None:
        self._decide(self._turns.finish(), moment)
        leaving = self._leaving(moment.heard)
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

    # What the engine hears, and what that decides.

    def _tune(self, now: float) -> None:
        if not self._parameters.heartbeat:
            self._beat_at = math.inf
        elif self._beat_at == math.inf:
            self._beat_at = now + HEARTBEAT
        if isinstance(self._engine, Energy):  # what a script's words and a recognizer are not asked
            self._engine.threshold = self._parameters.vad

    def _decision(self, now: float, cause: str) -> _Decision:
        return _Decision(now, max(now, self._heard_at), self._samples, cause)

    def _listen(self, samples: np.ndarray | None, moment: _Decision) -> None:
        """Have the samples heard, or (None) what is open settled, and go on with what that was."""
        if isinstance(self._engine, SlowEngine):
            self._asked.append(moment)
            self._engine.ask(samples, moment.heard)
        else:
            heard = self._engine.finish() if samples is None else self._engine.hear(samples)
            self._understand(heard, moment)

    def _understand(self, sounds: Iterable[Sound], moment: _Decision) -> None:
        for sound in sounds:
            self._decide(self._turns.hear(sound), moment)
        if moment.cause == "audio":
            self._decide(self._turns.reach(moment.samples / self._parameters.rate), moment)
        elif moment.cause == "terminate":
            self._say_goodbye(moment)
        elif self._turns.open:
            self._decide(self._turns.end(moment.cause), moment)

    def _decide(self, decided: Iterable[Decided], moment: _Decision) -> None:
        for cause, message in decided:
            stamp = {"arrived": moment.arrived, "samples": moment.samples, "cause": cause}
            self._put(self._leaving(moment.heard), {**message, "loopback": stamp})

    # What the service says.

    def _begin(self, now: float, session_id: str, expires_at: int) -> None:
        self._put(
            now,
            {
                "type": "Begin",
                "id": session_id,
                "expires_at": expires_at,
                "configuration": self._parameters.configuration,
            },
        )

    def _beat(self, at: float) -> None:
        self._beat_at += HEARTBEAT
        received, lasts = self._samples / self._parameters.rate, at - self._opened
        self._put(
            at,
            {
                "type": "Heartbeat",
                "total_audio_received_ms": round(received * 1000),
                "total_duration_ms": round(lasts * 1000),
                "realtime_factor": received / lasts,
                # Whether anybody spoke since the last one: no engine here knows it more precisely.
                "max_speech_probability": float(self._turns.spoken),
            },
        )
        self._turns.spoken = False

    def _refuse(self, refusal: Refusal, now: float) -> None:
        self.closed, self._beat_at = True, math.inf
        # What has not left by now is lost.
        self._outbox = sorted(item for item in self._outbox if item[0] <= now)
        text = PREFIXES.get(refusal.code, "") + refusal.text
        self.refusal = Refusal(refusal.code, text)
        self._put(now, {"type": "Error", "error_code": refusal.code, "error": text})
        self._put(now, Close(refusal.code, "See Error message for details"))

    def _leaving(self, heard: float) -> float:
        """When a message on what was heard then leaves: after the delay, and never overtaking."""
        drawn = self._behavior.delay + self._random.uniform(0, self._behavior.delay_spread)
        self._last_leaving = max(self._last_leaving, heard + drawn)
        return self._last_leaving

    def _put(self, at: float, message: dict[str, Any] | Close) -> None:
        self._said += 1
        heapq.heappush(self._outbox, (at, self._said, message))


def _decimal(number: float) -> str:
    """With up to six decimals."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _from_mulaw(frame: bytes) -> np.ndarray:
    """Expand G.711 mu-law to 16-bit samples."""
    code = ~np.frombuffer(frame, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int16)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(code & 128, -magnitude, magnitude).astype(np.int16)
