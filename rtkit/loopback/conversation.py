"""The embedded service's side of a session, without I/O, for any vendor.

Frames go in with their arrival times; messages come out when they are due. All decisions are made
in audio time, so a client gets the same words and turns at any pace. The delay and the processing
speed only determine *when* messages are sent.
"""

from __future__ import annotations

import heapq
import json
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from rtkit.loopback.behavior import MAX_DURATION, Behavior
from rtkit.loopback.engines import Energy, Engine, SlowEngine, Sound
from rtkit.loopback.replay import Repeated, Replay
from rtkit.loopback.turns import Decided, Turns
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
    Heartbeat,
    Receipt,
    Refusal,
    Rejected,
    Reply,
    Rules,
    Said,
    ServiceError,
    Termination,
    Turn,
)
from rtkit.services.service import Server

__all__ = ["MAX_DURATION", "Behavior", "Conversation", "Say"]

HEARTBEAT = 5.0  # seconds from one to the next

Frame = dict[str, Any] | Mapping[str, Any] | str | Close


@dataclass(frozen=True, slots=True)
class Say:
    """A text frame for the client, and what it says."""

    text: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class _Decision:
    """What decided a message: when that audio came, how many samples were there, and why.

    `heard` is when the audio was processed: later than its arrival in a burst, and with slow
    engines.
    """

    arrived: float
    heard: float
    samples: int
    cause: str


class Conversation:
    """One session.

    Parameters
    ----------
    server : Server
        The vendor's protocol, from the service's end.
    engine : callable
        Given the sample rate, what to listen with. What slow engines answer comes in by `answer`; a
        replay decides on all that is said.
    behavior : Behavior
    now : float
        The instant at which the client connected.
    session_id : str
        What the session is called.
    expires_at : int
        When it is said to expire, in Unix seconds.
    refused : Refusal, optional
        Why this client gets no session.
    patience : float
        After how many seconds a client is shut out that has not said anything.
    """

    def __init__(
        self,
        server: Server,
        *,
        engine: Callable[[int], Engine | SlowEngine | Replay],
        behavior: Behavior,
        now: float,
        session_id: str,
        expires_at: int,
        refused: Refusal | None = None,
        patience: float = math.inf,
    ) -> None:
        self._server, self._make_engine, self._behavior = server, engine, behavior
        self._begin = Begin(session_id, expires_at)
        self._replay: Replay | None = None
        self._random = random.Random(behavior.seed)
        self._opened = self._last_frame = now
        self._patience = patience  # until the first frame
        self._outbox: list[tuple[float, int, Frame, Reply]] = []
        self._said = 0
        self._last_leaving = self._begins = now  # nothing but the error leaves before Begin
        self.closed = False
        self.finishing = False  # whether the client said that it was done,
        self.settling = False  # or asked for the rest, and has sent nothing since
        self.refusal: Refusal | None = None  # with which words it was closed, if not as asked
        self.rules: Rules | None = None  # what the client asked for; None until it has

        self._bytes = self._samples = self._chunks = 0
        self._heard_at = -math.inf  # no audio waits: the first is heard on arrival
        self._backlog, self._backlog_at = 0.0, now
        self._asked: deque[_Decision] = deque()  # what slow engines have yet to answer
        self._beat_at = math.inf
        self._doom: Refusal | None = None  # what is wrong already, and told at the latest
        self._doomed_at = self._doomed_from = math.inf  # then, or after so much audio
        try:
            if refused is not None:
                raise refused
            self._say(Connected(session_id), now)
            for said in server.open():
                self._hear(said, now)
        except Refusal as refusal:
            self._refuse(refusal, now, behavior.refusal_delay)

    # The skin's side.

    @property
    def seconds(self) -> float:
        """How much audio came, in seconds."""
        return 0.0 if self.rules is None else self._samples / self.rules.rate

    @property
    def took(self) -> float:
        """Seconds from the client's coming to its last frame."""
        return self._last_frame - self._opened

    @property
    def next(self) -> float | None:
        """When there is next something to take, if nothing else happens; None for never."""
        leaving = self._outbox[0][0] if self._outbox else math.inf
        coming = min(leaving, self._deadline()[0], self._beat_at, self._doomed_at)
        return coming if coming < math.inf else None

    def take(self, now: float) -> list[Say | Close]:
        """What leaves now, stamped with `now`."""
        if self._doom is not None and now >= self._doomed_at:
            self._refuse(self._doom, now)
        deadline, cause, seconds = self._deadline()
        if now >= deadline:
            self._refuse(self._server.refusal(cause, seconds=f"{seconds:g}"), now)
        while self._beat_at <= now:
            self._beat(self._beat_at)
        leaving: list[Say | Close] = []
        while self._outbox and self._outbox[0][0] <= now:
            _, _, frame, reply = heapq.heappop(self._outbox)
            if isinstance(frame, Close):
                leaving.append(frame)
            elif isinstance(frame, Mapping):
                if "arrived" in frame.get("loopback", {}):
                    frame["loopback"]["left"] = now
                leaving.append(Say(json.dumps(frame), reply))
            else:
                leaving.append(Say(frame, reply))
        return leaving

    def receive(self, frame: bytes | str, now: float) -> None:
        """A frame came from the client at `now`."""
        if self.closed or self.finishing:
            return
        self._last_frame, self._patience = now, math.inf
        try:
            for said in self._server.read(frame):
                self._hear(said, now)
        except Refusal as refusal:
            if refusal.after > 0:
                self._doom, self._doomed_at = refusal, now + refusal.after
                self._doomed_from = self.seconds + refusal.after
            else:
                self._refuse(refusal, now, self._behavior.refusal_delay)

    def answer(self, sounds: Iterable[Sound], now: float) -> None:
        """Slow engines answered, at `now`, the oldest of what they were asked."""
        if not self.closed:
            self._understand(sounds, replace(self._asked.popleft(), heard=now))

    def fail(self, text: str, now: float) -> None:
        """The service cannot go on, by a fault of its own."""
        if not self.closed:
            self._refuse(Refusal(self._server.refusal("fault").code, text), now)

    def _deadline(self) -> tuple[float, str, float]:
        """When the session ends if the client continues as it does, why, and after what.

        Timeouts count from the last frame, or from when the session was opened.
        """
        if self.closed or self.finishing:
            return math.inf, "too long", math.inf
        longest = self._behavior.max_duration or math.inf
        inactivity = None if self.rules is None else self.rules.inactivity
        idle = min(self._patience, inactivity or math.inf)
        return min(
            (self._opened + longest, "too long", longest),
            (self._last_frame + idle, "idle", idle),
        )

    # What the client says.

    def _hear(self, said: Said, now: float) -> None:
        self.settling = isinstance(said, ForceEndpoint | Finish)
        match said:
            case Audio():
                self._hear_audio(said, now)
            case _ if self._doom is not None:
                if isinstance(said, Finish):
                    self._refuse(self._doom, now)
            case Configure(rules):
                self._configure(rules, now)
            case Rejected():
                self._say(said, now)
            case ForceEndpoint():
                self._listen(None, self._decision(now, "force_endpoint"))
            case Finish():
                self.finishing, self._beat_at = True, math.inf
                self._listen(None, self._decision(now, "terminate"))

    def _configure(self, rules: Rules, now: float) -> None:
        if self.rules is None:
            self._turns = Turns(rules, self._behavior.finals, self._behavior.seed)
            self._engine = engine = self._make_engine(rules.rate)
            # Looked at once: a protocol costs more to tell than a chunk to hear.
            self._slow = engine if isinstance(engine, SlowEngine) else None
            self._begins = max(now, self._opened + self._behavior.begin_delay)
            if isinstance(engine, Replay):
                self._replay = engine
                self._repeat(engine.opening, _Decision(now, now, 0, ""))
            else:
                self._say(self._begin, now)
        else:
            self._say(Configured(), now)
        self._turns.rules = self.rules = rules
        if not rules.heartbeat or self._replay is not None:
            self._beat_at = math.inf
        elif self._beat_at == math.inf:
            self._beat_at = now + HEARTBEAT
        if isinstance(self._engine, Energy):  # what a script's words and a recognizer are not asked
            self._engine.threshold = rules.vad

    def _hear_audio(self, audio: Audio, now: float) -> None:
        if self.rules is None:
            raise self._server.refusal("too early")
        pcm = np.frombuffer(audio.pcm, dtype="<i2")
        seconds = len(pcm) / self.rules.rate
        self._bytes += audio.size
        self._samples += len(pcm)
        if self._doom is not None:
            if self.seconds >= self._doomed_from - 0.5 / self.rules.rate:
                self._refuse(self._doom, now)
            return
        self._server.check(seconds)
        self._check_rate(seconds, now)
        self._chunks += 1
        replay = self._replay
        confirmed = 0.0 if replay is None else replay.confirmed_after(self.seconds)
        self._say(Receipt(self._chunks), now + confirmed)
        # Heard on arrival by a client that keeps pace; the rest of a burst waits for its turn.
        self._heard_at = max(now, self._heard_at + seconds / self._behavior.max_speed)
        self._listen(pcm, self._decision(now, "audio"))

    def _check_rate(self, seconds: float, now: float) -> None:
        drained = self._behavior.max_speed * (now - self._backlog_at)
        self._backlog = max(0.0, self._backlog - drained) + seconds
        self._backlog_at = now
        if self._backlog > self._behavior.backlog:
            received, took = _decimal(self.seconds), _decimal(now - self._opened)
            raise self._server.refusal("too fast", received=received, took=took)

    # What the engine hears, and what that decides.

    def _decision(self, now: float, cause: str) -> _Decision:
        return _Decision(now, max(now, self._heard_at), self._samples, cause)

    def _listen(self, samples: np.ndarray | None, moment: _Decision) -> None:
        """Process samples or, with None, finish what is open, and handle the resulting sounds."""
        if self.rules is None:  # nothing was heard yet
            self._understand((), moment)
        elif self._slow is not None:
            self._asked.append(moment)
            self._slow.ask(samples, moment.heard)
        elif self._replay is not None:
            over, replay = moment.cause == "terminate", self._replay
            said = replay.finish(over=over) if samples is None else replay.hear(samples)
            self._repeat(said, moment)
            if over:
                self._finish(moment)
        else:
            engine = cast(Engine, self._engine)
            heard = engine.finish() if samples is None else engine.hear(samples)
            self._understand(heard, moment)

    def _understand(self, sounds: Iterable[Sound], moment: _Decision) -> None:
        for sound in sounds:
            self._decide(self._turns.hear(sound), moment)
        if moment.cause == "audio":
            self._decide(self._turns.reach(self._position(moment)), moment)
        elif moment.cause == "force_endpoint":
            if self.rules is not None and self._turns.open:
                self._decide(self._turns.end(moment.cause), moment)
            self._say(Finalized(), None, moment)
        else:
            self._finish(moment)

    def _position(self, moment: _Decision) -> float:
        """How much audio there was, in seconds."""
        return 0.0 if self.rules is None else moment.samples / self.rules.rate

    def _decide(self, decided: Iterable[Decided], moment: _Decision) -> None:
        for cause, reply in decided:
            if isinstance(reply, Turn):  # what a service says of itself, where its vendor does
                ended = cause if reply.end_of_turn else None
                reply = replace(reply, heard=self._position(moment), cause=ended)
            self._say(reply, None, replace(moment, cause=cause))

    def _finish(self, moment: _Decision) -> None:
        settled = self.rules is not None and self._turns.open
        if self.rules is not None:
            self._decide(self._turns.finish(), moment)
        leaving = self._leaving(moment) + ((settled and self._behavior.finish_delay) or 0.0)
        lasts = leaving - self._opened
        self._say(Termination(self._position(moment), lasts, self._bytes), leaving, moment)

    # What the service says.

    def _repeat(self, said: Iterable[Repeated], moment: _Decision) -> None:
        """What another session's service said, as long after what decided it, and in its order."""
        truth = {"arrived": moment.arrived, "samples": moment.samples, "bytes": self._bytes}
        for one in said:
            at = max(self._last_leaving, moment.heard + one.after)
            self._last_leaving = at
            if isinstance(one.reply, Begin):  # its id, and when it expires, are this session's
                self._say(self._begin, at)
            else:
                self._leave(at, one.marked(**truth), one.reply)

    def _beat(self, at: float) -> None:
        self._beat_at += HEARTBEAT
        self._say(Heartbeat(self.seconds, at - self._opened, self._turns.spoken), at)
        self._turns.spoken = False

    def _refuse(self, refusal: Refusal, now: float, after: float = 0.0) -> None:
        self.closed, self._beat_at = True, math.inf
        self._doom, self._doomed_at = None, math.inf
        # What has not left by now is lost.
        self._outbox = sorted(item for item in self._outbox if item[0] <= now)
        self._begins, self.refusal = now, refusal
        self._say(ServiceError(refusal.code, refusal.text), now + after)

    def _say(self, reply: Reply, at: float | None, moment: _Decision | None = None) -> None:
        """Schedule a message for an instant, or after the audio that decided it was processed."""
        for frame in self._server.write(reply):
            if self._replay is not None and not isinstance(frame, Close):
                ends = isinstance(reply, Termination) and not self._replay.ends
                if not (ends or isinstance(reply, Begin | Receipt | ServiceError)):
                    continue  # that was recorded
            if at is None:
                assert moment is not None
                at = self._leaving(moment)
            at = max(at, self._begins)
            if isinstance(frame, Mapping):
                frame = {**frame, **self._mark(reply, moment)}
            self._leave(at, frame, reply)

    def _leave(self, at: float, frame: Frame, reply: Reply) -> None:
        self._said += 1
        heapq.heappush(self._outbox, (at, self._said, frame, reply))

    def _mark(self, reply: Reply, moment: _Decision | None) -> dict[str, Any]:
        """What is added to a message, whatever the vendor: the truth about it."""
        mark: dict[str, Any] = {}
        if moment is not None:
            mark = {"arrived": moment.arrived, "samples": moment.samples, "cause": moment.cause}
        if isinstance(reply, Termination):
            mark["bytes"] = self._bytes
        return {"loopback": mark} if mark else {}

    def _leaving(self, moment: _Decision) -> float:
        """When a message on it then leaves: after the delay, and never overtaking."""
        behavior = self._behavior
        own = {"force_endpoint": behavior.endpoint_delay, "terminate": behavior.finish_delay}
        delay = own.get(moment.cause)
        drawn = behavior.delay if delay is None else delay
        drawn += self._random.uniform(0, behavior.delay_spread)
        self._last_leaving = max(self._last_leaving, moment.heard + drawn)
        return self._last_leaving


def _decimal(number: float) -> str:
    """With up to six decimals."""
    return f"{number:.6f}".rstrip("0").rstrip(".")
