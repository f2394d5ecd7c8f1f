"""Replay of a recorded session: the same messages, at the same places in the audio."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rtkit.audio.levels import decibels
from rtkit.boundary.text import counted
from rtkit.recording import load_session
from rtkit.services.explain import OTHER_AUDIO
from rtkit.services.messages import (
    LARGEST,
    Close,
    Connected,
    Finalized,
    Other,
    Receipt,
    Refusal,
    Reply,
    Termination,
    Turn,
)
from rtkit.services.service import Dialect, dialect_named, part_of
from rtkit.session import Message, Session

__all__ = ["Record", "Repeated", "Replay"]

GRACE = 2e-4  # seconds: at another sample rate the same chunk is up to a sample shorter
UNLIKE = 0.5  # seconds by which the same audio may be longer or shorter,
LOUDER = 3.0  # and dB by which it may be louder or softer
SILENT = -50.0  # dBFS; what is softer than that may follow the recorded audio
BY_CLIENT = ("terminate", "force_endpoint")  # what decides a message and is no audio
SENDABLE = (*range(1000, 1004), *range(1007, 1012), *range(3000, 5000))  # close codes


@dataclass(frozen=True, slots=True)
class Repeated:
    """A message to send `after` seconds, once the audio up to `position` was processed."""

    position: float
    after: float
    frame: str | Close
    reply: Reply

    def marked(self, **truth: float) -> str | Close | dict[str, Any]:
        """With what the embedded service says of a message, where one of these said it."""
        mark = None if isinstance(self.frame, Close) else _mark(self.frame)
        if mark is None:
            return self.frame
        there = {name: value for name, value in truth.items() if name in mark}
        return {**json.loads(str(self.frame)), "loopback": {**mark, **there}}


class Record:
    """What the service said in a session, and what of it was decided by which audio.

    As in `rtkit.turn_latency`, that is the chunk which the service says, or else the last one that
    was sent before the message came.

    Parameters
    ----------
    path : Path
        The session's file.

    Raises
    ------
    ValueError
        If it is not a session's file, or the service sent nothing in it.
    """

    def __init__(self, path: Path) -> None:
        found = load_session(path)
        if not isinstance(found, Session):
            raise ValueError(f"replay={str(path)!r} is a folder; name one session's file in it")
        if not (found.chunks and found.messages):
            raise ValueError(
                f"{path} cannot be replayed: it holds {counted(len(found.chunks), 'chunk')} and "
                f"{counted(len(found.messages), 'message')}; record a session in which the "
                "service replied"
            )
        self.name, self.session = path.name, found
        self.dialect, self.rate = found.settings.dialect, found.settings.rate
        server = part_of(self.dialect, "server").Server
        self._code: int = server.refusal("fault").code
        samples = [one.stop - one.start + one.padding // 2 for one in found.chunks]
        self._ends = np.cumsum(samples) / self.rate
        self.seconds = float(self._ends[-1])
        self._heard = np.array(list(self._hearing()))
        self.opening: list[Repeated] = []
        self.audio: list[Repeated] = []
        self.ending: list[Repeated] = []
        self.receipts: list[tuple[float, float]] = []  # position, and seconds until it came
        self.ends_by_force = not dialect_named(self.dialect).closes  # as some sessions' clients do
        self._sort()

    def __call__(self, rate: int) -> Replay:
        """A client's session with it, at its sample rate."""
        return Replay(self, rate)

    def other(self, how: str) -> Refusal:
        """What a client is told that sends other audio."""
        return Refusal(self._code, f"This replays {self.name}, {OTHER_AUDIO}: {how}")

    def _hearing(self) -> Iterator[float]:
        """When the service had processed each chunk, if it states its speed."""
        told = self.session.settings.service.get("max_speed")
        speed = told if isinstance(told, int | float) and told > 0 else math.inf
        before = -math.inf
        for sent, seconds in zip(self.session.sent, np.diff(self._ends, prepend=0), strict=True):
            before = max(sent, before + seconds / speed)
            yield before

    def _sort(self) -> None:
        dialect = dialect_named(self.dialect)
        read, greeted = dialect.reader(self.rate).read, self._greeted(dialect)
        events = {event.name: event.at for event in self.session.events}
        sent, terminated = self.session.sent, self.session.terminated or math.inf
        received = len(sent)
        placed: list[tuple[Message, Reply, int]] = []
        for message in self.session.messages:
            said = list(read(message.text))
            receipts = [one.chunks for one in said if isinstance(one, Receipt)]
            if receipts:
                received = min(max(receipts), len(sent))
                at = max(received - 1, 0)
                self.receipts.append((float(self._ends[at]), message.at - float(sent[at])))
                continue
            reply = said[0] if said else Other("")
            here = Repeated(self.seconds, 0.0, message.text, reply)
            if message.at < sent[0]:
                since = max(0.0, message.at - events.get("connected", message.at))
                if _kind(reply) not in greeted:
                    self.opening.append(replace(here, after=since))
                continue
            heard, by_client = self._decided(message, said)
            if by_client if by_client is not None else message.at > terminated:
                since = max(0.0, message.at - min(terminated, message.at))
                self.ending.append(replace(here, after=since))
                continue
            chunk = int(np.searchsorted(self._ends, heard - GRACE))
            if by_client is None:
                before = int(np.searchsorted(sent, message.at, side="right")) - 1
                chunk = min(chunk, before, received - 1 if self.receipts else before)
            placed.append((message, reply, min(max(chunk, 0), len(sent) - 1)))
            self.ends_by_force &= not any(isinstance(one, Finalized) for one in said)
        if (close := self._given_up()) is not None:
            placed.append((Message(close[0], ""), Other(""), len(sent) - 1))
        chunk = len(sent) - 1
        for message, reply, latest in reversed(placed):  # none comes before the one ahead of it
            chunk = min(chunk, latest)
            after = message.at - float(self._heard[chunk])
            self.audio.append(Repeated(float(self._ends[chunk]), after, message.text, reply))
        self.audio.reverse()
        if close is not None:
            self.audio[-1] = replace(self.audio[-1], frame=close[1])

    def _greeted(self, dialect: Dialect) -> set[str]:
        """What the embedded service says by itself, before the client asks for anything."""
        server = part_of(self.dialect, "server").Server({}, dialect.path)
        read = dialect.reader(self.rate).read
        return {
            _kind(reply)
            for frame in server.write(Connected(""))
            for reply in read(json.dumps(frame))
        }

    def _decided(self, message: Message, said: list[Reply]) -> tuple[float, bool | None]:
        """How much audio it knew, and whether the client's wish decided it; None for unsaid."""
        mark = _mark(message.text)
        if mark is not None:
            ending = mark["cause"] in BY_CLIENT and mark["samples"] / self.rate >= self.seconds
            return mark["samples"] / self.rate, ending
        stated = [one.heard for one in said if isinstance(one, Turn) and one.heard is not None]
        if stated and stated[0] < self.seconds - GRACE:
            chunk = int(np.searchsorted(self._ends, stated[0] - GRACE))
            return stated[0], None if self.session.sent[chunk] > message.at else False
        return math.inf, None

    def _given_up(self) -> tuple[float, Close] | None:
        """When the service closed a session that it gave up, and how."""
        ending = self.session.ending
        code = None if ending is None else ending.code
        if ending is None or ending.how != "failed" or code is None or code not in SENDABLE:
            return None
        return ending.at, Close(code, ending.reason)


class Replay:
    """The replay for one client: the messages whose audio has arrived.

    It listens for whether this is the audio that was recorded, as far as length and level tell.
    """

    def __init__(self, record: Record, rate: int) -> None:
        self._record, self._rate = record, rate
        self._samples = self._next = 0
        self._power = 0.0
        self._said = 0  # of what the client's end brings about

    @property
    def opening(self) -> list[Repeated]:
        """What is said before any audio."""
        return self._record.opening

    @property
    def ends(self) -> bool:
        """Whether it is recorded how the service took leave."""
        return bool(self._record.ending)

    def hear(self, samples: np.ndarray) -> Iterator[Repeated]:
        record, before = self._record, self._samples
        self._samples += len(samples)
        inside = max(0, round(record.seconds * self._rate) - before)
        squares = np.square(samples.astype(np.float64) / 32768)
        self._power += float(squares[:inside].sum())
        beyond = squares[inside:]
        if self._samples > (record.seconds + UNLIKE) * self._rate and len(beyond):
            level = decibels(math.sqrt(beyond.mean()))
            if level > SILENT:
                raise record.other(
                    f"it goes on after {record.seconds:.1f} s, where the recorded audio ends"
                )
        yield from self._until((self._samples + 0.5) / self._rate + GRACE)

    def finish(self, *, over: bool) -> Iterator[Repeated]:
        """What is said when the client asks for the rest, `over` or in the middle."""
        record, seconds = self._record, self._samples / self._rate
        if seconds < record.seconds - UNLIKE:
            if over or record.ends_by_force:
                raise record.other(f"{seconds:.1f} s of it, and not {record.seconds:.1f} s")
            return
        if record.session.levels and self._samples:
            recorded = decibels(record.session.levels[0].rms)
            level = decibels(math.sqrt(self._power / self._samples))
            if abs(level - recorded) > LOUDER:
                raise record.other(f"its level is {level:.1f} dBFS, and not {recorded:.1f} dBFS")
        yield from self._until(math.inf)
        # Where the recorded client asked twice, what answered the second time waits for that.
        ending, said = record.ending, self._said
        parts = (i for i, one in enumerate(ending) if isinstance(one.reply, Termination))
        until = (not over and next(parts, 0)) or len(ending)
        before = ending[said - 1].after if said else 0.0
        for one in ending[said:until]:
            yield replace(one, after=max(0.0, one.after - before))
        self._said = max(said, until)

    def confirmed_after(self, seconds: float) -> float:
        """In how many seconds the service confirmed that it had received so much audio."""
        receipts = self._record.receipts
        at = bisect_left(receipts, (seconds - GRACE, -math.inf))
        return receipts[min(at, len(receipts) - 1)][1] if receipts else 0.0

    def _until(self, heard: float) -> Iterator[Repeated]:
        audio = self._record.audio
        while self._next < len(audio) and audio[self._next].position <= heard:
            yield audio[self._next]
            self._next += 1


def _kind(reply: Reply) -> str:
    return reply.type if isinstance(reply, Other) else type(reply).__name__


def _mark(text: str) -> dict[str, Any] | None:
    """What the embedded service says of a message and its audio."""
    if '"loopback"' not in text:
        return None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    mark = said.get("loopback") if isinstance(said, dict) else None
    if not (isinstance(mark, dict) and isinstance(mark.get("cause"), str)):
        return None
    samples = mark.get("samples")
    return mark if isinstance(samples, int) and 0 <= samples <= LARGEST else None
