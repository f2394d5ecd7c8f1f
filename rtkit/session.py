"""The facts of one session, and its file: one JSON object per line.

A session is a list of timestamped facts; everything else is a pure function of them. Instants are
seconds on the loop's monotonic clock, counted from the start of pacing (what came before is
negative). The first line of a file holds the settings, and the last one how the session ended. A
file without that last line was cut off, and loads as incomplete.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np

from rtkit.audio.levels import Level
from rtkit.boundary.files import replacing
from rtkit.boundary.text import counted
from rtkit.boundary.values import Count, Data, Duration, Instant, Raw, Within
from rtkit.clock.garbage import without_collecting
from rtkit.reference import Reference
from rtkit.services.messages import Reply, Turn
from rtkit.services.service import ASSEMBLYAI, UNKNOWN, dialect_named

__all__ = [
    "UNTIMED",
    "Chunk",
    "Ending",
    "Event",
    "Fact",
    "Message",
    "Session",
    "Settings",
    "Stall",
    "check_awaited",
    "check_session",
    "write_fact",
]


Measured = TypeVar("Measured")
UNTIMED = (
    "the duration of its chunks is not known, because rtkit does not know its protocol; if it is "
    "one of rtkit's at another path, name it: --protocol, or Tap(protocol=...)"
)


@dataclass(frozen=True)
class Settings:
    """Settings. Durations in seconds, `first` and `samples` in samples."""

    recording: str
    rate: Annotated[int, Within(1, 1e9)]
    first: Count
    samples: Count
    channels: Count
    coding: str
    chunk: Annotated[float, Within(1e-6, 1e6)]
    pacing: str
    phase: str = "end"
    catch_up: float | None = None
    work: Duration | str = 0.0
    blocks: tuple[tuple[Duration, Duration], ...] = ()
    isolation: str = "loop"
    service: Data = field(default_factory=dict, repr=False)
    calibration: Data | None = None
    header: Data | None = None  # what the file says of itself, if nobody heeded it
    channel: Count | None = None  # the one that was taken, in place of the average
    total: Count | None = None  # samples in the whole recording, where that is known
    looks_like: str | None = None  # what bytes that were sent as 16-bit samples seem to be
    resampled_from: Annotated[int, Within(1, 1e9)] | None = None  # the recording's rate, if another

    @property
    def start(self) -> float:
        """Where in the recording the audio begins, in seconds."""
        return self.first / self.rate

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @property
    def dialect(self) -> str:
        """The service's protocol: the name of a folder in `rtkit.services`."""
        return str(self.service.get("dialect", ASSEMBLYAI))

    @property
    def timed(self) -> bool:
        """Whether the duration of chunks is known; of an unknown protocol only bytes are.

        Then positions count bytes, and no chunk has a due time.
        """
        return self.dialect != UNKNOWN

    @property
    def engine(self) -> str:
        """The engine of an embedded service; "" for other services."""
        return str(self.service.get("engine", ""))

    @property
    def marks_speech(self) -> bool:
        """Whether the service only marks where there is speech, without words."""
        return self.engine == "energy"

    @property
    def scripted(self) -> bool:
        """Whether the service reads its words from a script."""
        return self.engine == "script"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that was sent.

    Attributes
    ----------
    index : int
    start, stop : int
        Sample positions in the clip.
    due, sent, returned : float
        When it was due, when it was handed to the connection, and when the connection's `send`
        returned.
    bytes : int
        Number of bytes sent, including `padding` bytes of silence added to reach the minimum that
        the service accepts.
    unacknowledged, window : int or None
        Bytes of earlier chunks, including headers, that the other side had not acknowledged when
        this one was sent, and how many more it had room for. None if the kernel does not report it
        or was not asked: with many concurrent sessions it is asked twice per second.
    left : float or None
        When its last byte left, between `sent` and `returned`, if `send` took long and the kernel
        reports it; otherwise None.
    """

    kind: ClassVar[str] = "chunk"
    index: Count
    start: Count
    stop: Count
    due: Instant
    sent: Instant
    returned: Instant
    bytes: Count
    padding: Count = 0
    unacknowledged: Count | None = None
    window: Count | None = None
    left: Instant | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received, and the instant at which the loop saw it.

    `replies` is what it says; None if not parsed yet, as for a message from a file. `waited` is how
    many seconds, at least, it had waited in the kernel (in the kernel's steps, usually 4 ms); None
    if the kernel does not report it.
    """

    kind: ClassVar[str] = "message"
    at: Instant
    text: Raw
    replies: tuple[Reply, ...] | None = field(default=None, compare=False, repr=False)
    waited: Duration | None = None


@dataclass(frozen=True, slots=True)
class Stall:
    """A period in which the loop was busy; messages that arrived meanwhile were seen late.

    It ended at `at`, when the loop listened again, and had lasted `seconds`.
    """

    kind: ClassVar[str] = "stall"
    at: Instant
    seconds: Duration


@dataclass(frozen=True, slots=True)
class Event:
    """A step of the session: ``connecting``, ``connected``, ``terminate``, ``closed``.

    Or something odd about what was sent: ``bearer`` (that word before the key), ``wav header``
    (the audio begins with one).
    """

    kind: ClassVar[str] = "event"
    at: Instant
    name: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended.

    `how` is ``"complete"``, ``"stopped"`` (by the person) or ``"failed"``; `error` is then one
    sentence, and `closure` the name that `rtkit.explain` has for that ending, if any. `code` and
    `reason` are the websocket's, where the service closed it. `at` is the last instant, and
    `calendar` how many seconds of calendar time had passed since t = 0: where the two differ, the
    calendar was set, or the host slept. `slept` is for how many seconds it did, which the other
    clocks do not count; None where the host does not tell.
    """

    kind: ClassVar[str] = "ending"
    how: str
    error: str = ""
    code: Count | None = None
    reason: str = ""
    at: Instant = 0.0
    calendar: float = 0.0
    closure: str = ""
    slept: Duration | None = None


FORMAT = 1  # of a session's file

Fact = Chunk | Message | Stall | Event | Level | Ending
KINDS: Mapping[str, type[Fact]] = {
    kind.kind: kind for kind in (Chunk, Message, Stall, Event, Level, Ending)
}
_WRITTEN = {  # what a message says stands in its text
    name: [one.name for one in fields(kind) if (name, one.name) != ("message", "replies")]
    for name, kind in KINDS.items()
}


def write_fact(fact: Fact) -> str:
    """A fact as a line of a session's file."""
    # Not by `asdict`, which copies.
    known = {
        name: value for name in _WRITTEN[fact.kind] if (value := getattr(fact, name)) is not None
    }
    return json.dumps({"kind": fact.kind, **known}) + "\n"


@dataclass(frozen=True)
class Session:
    """One session: what was asked for, what happened, and on which host.

    Attributes
    ----------
    settings : Settings
        What was asked for: recording, service, pacing, chunk, and so on.
    reference : Reference or None
        What was said, if known.
    chunks, messages, stalls, events : tuple
        The facts: chunks sent, messages received, stalls of the loop, and steps of the session.
    zero : float or None
        The instant t = 0 on the host's monotonic clock, by which the embedded service stamps.
    started : str
        Calendar time at t = 0, in ISO 8601.
    ending : Ending or None
        None for a file that was cut off.
    levels : tuple of Level
        Levels of the audio as sent, and of each channel if there are several; empty if unknown.
    """

    settings: Settings
    host: Mapping[str, str]
    started: str
    zero: float
    reference: Reference | None = None
    chunks: tuple[Chunk, ...] = ()
    messages: tuple[Message, ...] = ()
    stalls: tuple[Stall, ...] = ()
    events: tuple[Event, ...] = ()
    ending: Ending | None = None
    levels: tuple[Level, ...] = ()

    def holding(self, facts: Iterable[Fact]) -> Session:
        """The session with these facts, in this order."""
        by_kind: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        for fact in facts:
            by_kind[fact.kind].append(fact)
        return replace(
            self,
            chunks=tuple(by_kind["chunk"]),
            messages=tuple(by_kind["message"]),
            stalls=tuple(by_kind["stall"]),
            events=tuple(by_kind["event"]),
            ending=by_kind["ending"][-1] if by_kind["ending"] else None,
            levels=tuple(by_kind["level"]),
        )

    @property
    def complete(self) -> bool:
        return self.ending is not None and self.ending.how == "complete"

    @cached_property
    def due(self) -> np.ndarray:
        """When each chunk was due, in seconds, shape (chunks,); NaN if durations are not known."""
        if not self.settings.timed:
            return np.full(len(self.chunks), np.nan)
        return np.array([chunk.due for chunk in self.chunks])

    @cached_property
    def sent(self) -> np.ndarray:
        """When each chunk was sent, in seconds, shape (chunks,)."""
        return np.array([chunk.sent for chunk in self.chunks])

    @property
    def lateness(self) -> np.ndarray:
        """Lateness of each chunk: sent - due, in seconds, shape (chunks,)."""
        lateness: np.ndarray = self.sent - self.due
        return lateness

    @cached_property
    def replies(self) -> tuple[tuple[float, Reply], ...]:
        """What each message says, with the time at which it was received.

        Raises
        ------
        ValueError
            If the session uses a protocol that this version of rtkit does not know.
        """
        with without_collecting():
            found = [message.replies for message in self.messages]
            if None in found:  # in order: a reader may fold what comes later into what came before
                read = dialect_named(self.settings.dialect).reader(self.settings.rate).read
                found = [read(message.text) for message in self.messages]
            return tuple(
                (message.at, reply)
                for message, replies in zip(self.messages, found, strict=True)
                for reply in replies or ()
            )

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The final state of each turn that ended and has text, in order.

        A formatted final result replaces the unformatted one; it is not another turn.
        """
        finals: dict[int, Turn] = {}
        for _, reply in self.replies:
            if isinstance(reply, Turn) and reply.end_of_turn and reply.transcript:
                finals[reply.order] = reply
        return tuple(finals[order] for order in sorted(finals))

    @property
    def transcript(self) -> str:
        return " ".join(turn.transcript for turn in self.turns)

    def once(self, measure: Callable[..., Measured], *how: object) -> Measured:
        """The result of ``measure(self, *how)``, computed once: the facts never change."""
        key = (measure, *how)
        if key not in self._measured:
            with without_collecting():
                self._measured[key] = measure(self, *how)
        measured: Measured = self._measured[key]
        return measured

    @cached_property
    def _measured(self) -> dict[tuple[object, ...], Any]:
        return {}

    @property
    def bytes_sent(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)

    @property
    def terminated(self) -> float | None:
        """When the service was told that there is no more audio; None if it was not."""
        return next((event.at for event in self.events if event.name == "terminate"), None)

    @property
    def label(self) -> str:
        """A short name that distinguishes this session from others."""
        if not self.settings.timed:
            return "unknown protocol"
        return f"{self.settings.pacing}, {self.settings.chunk * 1000:g} ms"

    def save(self, path: str | Path) -> Path:
        """Write the facts to a file that `load_session` reads, and return its path.

        An older file is replaced only once everything is written.
        """
        facts: list[Fact] = [
            *self.events, *self.chunks, *self.messages, *self.stalls, *self.levels
        ]  # fmt: skip
        with replacing(path) as aside, aside.open("w", encoding="utf-8") as file:
            file.write(self.opening())
            file.writelines(write_fact(fact) for fact in facts)
            if self.ending is not None:
                file.write(write_fact(self.ending))
        return Path(path)

    def opening(self) -> str:
        """The first line of the session's file."""
        opening = {
            "kind": "session",
            "format": FORMAT,
            "settings": asdict(self.settings),
            "host": dict(self.host),
            "started": self.started,
            "zero": self.zero,
            "reference": None if self.reference is None else self.reference.to_json(),
        }
        return json.dumps(opening) + "\n"

    def __repr__(self) -> str:
        ending = "incomplete" if self.ending is None else self.ending.how
        late = ""
        if self.chunks and self.settings.timed:
            last = round(self.lateness[-1] * 1000)
            late = f", last chunk {abs(last)} ms {'early' if last < 0 else 'late'}"
        return (
            f"<Session {self.settings.recording}, {self.label}: {ending}, "
            f"{counted(len(self.chunks), 'chunk')}, {counted(len(self.turns), 'turn')}{late}>"
        )


def check_awaited(what: object, name: str, call: str) -> None:
    """Refuse a `name` whose `call` was not awaited.

    Raises
    ------
    TypeError
    """
    if inspect.isawaitable(what):
        if inspect.iscoroutine(what):
            what.close()  # or Python would complain of it as well, somewhere else
        ran = "run" if name == "session" else "been made"
        raise TypeError(f"this {name} has not {ran} yet: await it, as in {name} = await {call}")


def check_session(what: object) -> None:
    """Refuse what is not one session; a forgotten ``await`` is said to be one.

    Raises
    ------
    TypeError
        With what to do.
    """
    if isinstance(what, Session):
        return
    check_awaited(what, "session", "rtkit.stream(clip)")
    if isinstance(what, str | os.PathLike):
        raise TypeError(f"{str(what)!r} is not a session; give rtkit.load_session(PATH)")
    if isinstance(what, Mapping) and any(isinstance(one, Session) for one in what.values()):
        names = ", ".join(map(repr, what))
        raise TypeError(f"these are several sessions; give one of them, by name: {names}")
    raise TypeError(
        f"a {type(what).__name__} is not a session; give what rtkit.stream or "
        f"rtkit.load_session returned"
    )
