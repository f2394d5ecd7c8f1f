"""The facts of one session, and the file that keeps them: one JSON object a line.

A session is a list of timestamped facts; everything else is a pure function of them. Instants are
seconds on the loop's monotonic clock, counted from the start of pacing (what came before is
negative). The first line of a file holds the settings, the last one how the session ended; a file
without that last line was cut off and loads as incomplete.
"""

from __future__ import annotations

import contextlib
import gc
import json
import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rtkit.reference import Reference
from rtkit.services.assemblyai import client as protocol

__all__ = [
    "Chunk",
    "Ending",
    "Event",
    "Fact",
    "Message",
    "Recorder",
    "Session",
    "Settings",
    "Stall",
    "load_session",
    "read_fact",
    "without_collecting",
    "write_fact",
]


@dataclass(frozen=True)
class Settings:
    """What was asked for. Durations in seconds, `first` and `samples` in samples."""

    recording: str
    rate: int
    first: int
    samples: int
    channels: int
    coding: str
    chunk: float
    pacing: str
    phase: str = "end"
    catch_up: float | None = None
    work: float | str = 0.0
    blocks: tuple[tuple[float, float], ...] = ()
    isolation: str = "loop"
    service: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] | None = None
    header: Mapping[str, Any] | None = None  # what the file says of itself, if nobody heeded it

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        known = {one.name for one in fields(cls)}  # a later rtkit may know of more
        settings = cls(**{name: value for name, value in data.items() if name in known})
        return replace(settings, blocks=tuple((at, time) for at, time in settings.blocks))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that was sent.

    `start` and `stop` are sample positions in the clip, `due`, `sent` and `returned` (when the
    connection's `send` came back) instants, `bytes` what went out, of which `padding` bytes are
    silence added to reach the least message that the service takes.
    """

    kind: ClassVar[str] = "chunk"
    index: int
    start: int
    stop: int
    due: float
    sent: float
    returned: float
    bytes: int
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came, and the instant at which the loop saw it."""

    kind: ClassVar[str] = "message"
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Stall:
    """The loop was busy with one thing: what arrived meanwhile was seen late.

    It ended at `at`, when the loop listened again, and had lasted `seconds`.
    """

    kind: ClassVar[str] = "stall"
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """A step of the session: ``connecting``, ``connected``, ``terminate``, ``closed``.

    Or something odd about what was sent: ``bearer`` (that word before the key), ``wav header``
    (the audio begins with one).
    """

    kind: ClassVar[str] = "event"
    at: float
    name: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ended.

    `how` is ``"complete"``, ``"stopped"`` (by the person) or ``"failed"``; `error` is then one
    sentence. `code` and `reason` are the websocket's, where the service closed it. `at` is the
    last instant, and `calendar` how many seconds of calendar time had passed since t = 0: where
    the two differ, a clock jumped or the host slept.
    """

    kind: ClassVar[str] = "ending"
    how: str
    error: str = ""
    code: int | None = None
    reason: str = ""
    at: float = 0.0
    calendar: float = 0.0


FORMAT = 1  # of a session's file

Fact = Chunk | Message | Stall | Event | Ending
_KINDS: Mapping[str, type[Fact]] = {
    kind.kind: kind for kind in (Chunk, Message, Stall, Event, Ending)
}


def write_fact(fact: Fact) -> str:
    """A fact as a line of a session's file."""
    return json.dumps({"kind": fact.kind, **asdict(fact)}) + "\n"


def read_fact(line: str) -> Fact:
    """The fact in a line of a session's file.

    Raises
    ------
    LookupError, TypeError, ValueError
        If there is none in it.
    """
    data = json.loads(line)
    return _KINDS[data.pop("kind")](**data)


@dataclass(frozen=True)
class Session:
    """One session: what was asked for, what happened, and on which host.

    Attributes
    ----------
    zero : float or None
        The instant t = 0 on the host's monotonic clock; the embedded service stamps by it too.
    started : str
        Calendar time at t = 0, in ISO 8601.
    ending : Ending or None
        None for a file that was cut off.
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

    @property
    def complete(self) -> bool:
        return self.ending is not None and self.ending.how == "complete"

    @cached_property
    def due(self) -> np.ndarray:
        """When each chunk ought to have left, in seconds, shape (chunks,)."""
        return np.array([chunk.due for chunk in self.chunks])

    @cached_property
    def sent(self) -> np.ndarray:
        """When each chunk left, in seconds, shape (chunks,)."""
        return np.array([chunk.sent for chunk in self.chunks])

    @property
    def lateness(self) -> np.ndarray:
        """Sent - due of each chunk, in seconds, shape (chunks,)."""
        lateness: np.ndarray = self.sent - self.due
        return lateness

    @cached_property
    def replies(self) -> tuple[tuple[float, protocol.Reply], ...]:
        """Each message's instant and what it says."""
        with without_collecting():
            return tuple((message.at, protocol.parse(message.text)) for message in self.messages)

    @cached_property
    def turns(self) -> tuple[protocol.Turn, ...]:
        """The final state of each turn that ended and holds text, in order.

        A formatted final replaces the one without format; it is not another turn.
        """
        finals: dict[int, protocol.Turn] = {}
        for _, reply in self.replies:
            if isinstance(reply, protocol.Turn) and reply.end_of_turn and reply.transcript:
                finals[reply.order] = reply
        return tuple(finals[order] for order in sorted(finals))

    @property
    def transcript(self) -> str:
        return " ".join(turn.transcript for turn in self.turns)

    @property
    def bytes_sent(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)

    @property
    def terminated(self) -> float | None:
        """When Terminate was sent; None if it was not."""
        return next((event.at for event in self.events if event.name == "terminate"), None)

    @property
    def label(self) -> str:
        """A few words that tell this session from others."""
        return f"{self.settings.pacing}, {self.settings.chunk * 1000:g} ms"

    def save(self, path: str | Path) -> Path:
        """Write the facts to a file that `load_session` reads, and return its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts: list[Fact] = [*self.events, *self.chunks, *self.messages, *self.stalls]
        with path.open("w", encoding="utf-8") as file:
            file.write(self._opening())
            file.writelines(write_fact(fact) for fact in facts)
            if self.ending is not None:
                file.write(write_fact(self.ending))
        return path

    def _opening(self) -> str:
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
        if self.chunks:
            last = round(self.lateness[-1] * 1000)
            late = f", last chunk {abs(last)} ms {'early' if last < 0 else 'late'}"
        return (
            f"<Session {self.settings.recording}, {self.label}: {ending}, "
            f"{len(self.chunks)} chunks, {len(self.turns)} turns{late}>"
        )


def load_session(path: str | Path) -> Any:  # which of the two, only the disk knows
    """Read a session's file, or all that lie in a folder and in the folders in it.

    Parameters
    ----------
    path : str or Path
        A file that rtkit recorded or saved, or a folder of such files, named ``*.jsonl``.

    Returns
    -------
    Session, or dict of str to Session
        Of a folder: by the file's name without its ending, after the names of the folders between
        (``"yesterday/wall_clock"``), in the order of these names.

    Raises
    ------
    ValueError
        If there is no such file or folder, or it is not one of rtkit's, or a line other than the
        last is damaged; if no file in the folder can be read.

    Warns
    -----
    UserWarning
        For each file of a folder that cannot be read; the others are.
    """
    path = Path(path)
    if not path.exists():
        beside = sorted(one.name for one in path.parent.glob("*.jsonl"))
        there = f"there are {', '.join(beside[:9])}" if beside else "no session lies in its folder"
        raise ValueError(f"There is no {path}, seen from {Path.cwd()}; {there}")
    return _load_folder(path) if path.is_dir() else _load_file(path)


def _load_folder(folder: Path) -> dict[str, Session]:
    names = {path: path.relative_to(folder) for path in folder.rglob("*.jsonl") if path.is_file()}
    sessions: dict[str, Session] = {}
    for path, name in sorted(names.items(), key=lambda item: item[1].parts):
        if any(part.startswith(".") for part in name.parts):  # a notebook's checkpoints, say
            continue
        try:
            sessions[name.with_suffix("").as_posix()] = _load_file(path)
        except (OSError, ValueError) as error:
            warnings.warn(f"{error}. It was left out.", stacklevel=3)
    if not sessions:
        raise ValueError(
            f"{folder} holds no session that can be read; rtkit.stream(clip, "
            "record='FOLDER/NAME.jsonl') and rtkit.compare(clip, record='FOLDER') record some"
        )
    return sessions


def _load_file(path: Path) -> Session:
    facts: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        opening = json.loads(lines[0])
        if opening["kind"] != "session":
            raise KeyError("settings")
        if opening.get("format", 1) > FORMAT:
            raise ValueError("a later rtkit wrote it; update yours")
        settings = Settings.from_json(opening["settings"])
        reference = opening["reference"] and Reference.from_json(opening["reference"])
        host, started, zero = opening["host"], opening["started"], opening["zero"]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        told = _short(error)
        if isinstance(error, json.JSONDecodeError | IndexError):
            told = "its first line is not one of rtkit's"
        raise ValueError(f"{path} is not a session that rtkit recorded: {told}") from error
    with without_collecting():
        for number, line in enumerate(lines[1:], start=2):
            try:
                fact = read_fact(line)
                facts[fact.kind].append(fact)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                if number == len(lines):  # the line at which the writer was killed
                    break
                raise ValueError(f"{path}, line {number}, is damaged: {_short(error)}") from error
    return Session(
        settings,
        host,
        started,
        zero,
        reference,
        tuple(facts["chunk"]),
        tuple(facts["message"]),
        tuple(facts["stall"]),
        tuple(facts["event"]),
        facts["ending"][0] if facts["ending"] else None,
    )


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """For a while in which much is made and nothing thrown away: looking for garbage takes half."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _short(error: Exception) -> str:
    """An error in few words: some carry the whole file with them."""
    return f"{type(error).__name__}: {str(error)[:200]}"


class Recorder:
    """Collects the facts of a running session, and writes them to a file if asked to.

    `add` is called in the sender's loop and does no more than append: a thread empties the queue
    to the file twice a second, so that writing never makes the sender late and a killed process
    loses no more than the last second.
    """

    def __init__(
        self,
        settings: Settings,
        host: Mapping[str, str],
        reference: Reference | None,
        *,
        path: str | Path | None = None,
        watch: Callable[[Fact], object] | None = None,
    ) -> None:
        self.settings, self._host, self._reference = settings, host, reference
        self._started, self._zero = "", 0.0
        self._watch = watch
        self._facts: list[Fact] = []
        self._begun = False
        self._writer: _Writer | None = None
        if path is not None:
            self._writer = _Writer(Path(path))

    def begin(self, zero: float, started: str) -> None:
        """Set t = 0; what was added before, in absolute time, is counted from it."""
        self._zero, self._started, self._begun = zero, started, True
        early, self._facts = self._facts, []
        if self._writer is not None:
            self._writer.put(self.session()._opening())
        for fact in early:
            if isinstance(fact, Message):
                self.add(Message(fact.at - zero, fact.text))
            elif isinstance(fact, Event):
                self.add(Event(fact.at - zero, fact.name))

    @property
    def begun(self) -> bool:
        return self._begun

    def add(self, fact: Fact) -> None:
        """Keep a fact; before `begin` its instant is absolute, afterwards counted from zero."""
        self._facts.append(fact)
        if self._begun:
            if self._writer is not None:
                self._writer.put(fact)
            if self._watch is not None:
                try:
                    self._watch(fact)
                except BaseException:
                    self._watch = None  # how the session ends is still to be recorded
                    raise

    def session(self) -> Session:
        """All facts so far."""

        def of(kind: type[Any]) -> tuple[Any, ...]:
            return tuple(fact for fact in self._facts if isinstance(fact, kind))

        return Session(
            self.settings,
            self._host,
            self._started,
            self._zero,
            self._reference,
            of(Chunk),
            of(Message),
            of(Stall),
            of(Event),
            next(iter(of(Ending)), None),
        )

    def close(self) -> None:
        """Write what is left and close the file.

        Raises
        ------
        OSError
            If the file could not be written.
        """
        if self._writer is not None:
            self._writer.close()


class _Writer:
    """A thread that writes lines to a file twice a second."""

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise ValueError(f"record={str(path)!r} is a folder; give a file's name, with .jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()  # whether it can be written is told before anything is sent
        self._path = path
        self._queue: queue.SimpleQueue[Fact | str] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._fault: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="rtkit-record", daemon=True)
        self._thread.start()

    def put(self, fact: Fact | str) -> None:
        self._queue.put(fact)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def _write(self) -> None:
        try:
            with self._path.open("w", encoding="utf-8") as file:
                last = False
                while not last:
                    last = self._closing.wait(0.5)
                    while not self._queue.empty():
                        fact = self._queue.get()
                        file.write(fact if isinstance(fact, str) else write_fact(fact))
                    file.flush()
        except OSError as error:  # a full disk must not end the session; close() tells of it
            self._fault = error
