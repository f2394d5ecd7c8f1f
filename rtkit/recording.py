"""Recording a session's facts as they happen, and reading its file back."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from rtkit.audio import Header, Level
from rtkit.boundary.text import clean, counted, told
from rtkit.boundary.values import Count, Data, Duration, Instant, made_of
from rtkit.clock.garbage import without_collecting
from rtkit.reference import Reference
from rtkit.session import (
    FORMAT,
    KINDS,
    Chunk,
    Ending,
    Event,
    Fact,
    Message,
    Session,
    Settings,
)
from rtkit.writing import FactFile, Writer

__all__ = ["Recorder", "StreamError", "fact_of", "load_session", "read_opening", "session_of"]


LONGEST_OPENING = 1 << 26  # characters of a first line, the reference of a long recording included


def load_session(path: str | Path) -> Any:  # which of the two, only the disk knows
    """Read a session's file, or all sessions in a folder and its subfolders.

    Parameters
    ----------
    path : str or Path
        A file that rtkit recorded or saved, or a folder of such files, named ``*.jsonl``.

    Returns
    -------
    Session, or dict of str to Session
        For a folder, sessions by file name without suffix, after the names of subfolders
        (``"yesterday/wall_clock"``), in the order of these names.

    Raises
    ------
    ValueError
        If the file or folder does not exist or is not rtkit's, a line other than the last is
        damaged, or no file in the folder can be read.

    Warns
    -----
    UserWarning
        For each file in a folder that cannot be read; the others are loaded.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"a {type(path).__name__} is not a path; give that of a file or folder")
    path = Path(path)
    if not path.exists():
        beside = sorted(one.name for one in path.parent.glob("*.jsonl"))
        there = f"there are {', '.join(beside[:9])}" if beside else "its folder has no sessions"
        raise ValueError(f"No such file or folder: {path}, searched from {Path.cwd()}; {there}")
    if not (path.is_dir() or path.is_file()):  # a pipe, say: reading it might never end
        raise ValueError(f"{path} is not a file")
    return _load_folder(path) if path.is_dir() else _load_file(path)


def _load_folder(folder: Path) -> dict[str, Session]:
    names = {path: path.relative_to(folder) for path in folder.rglob("*.jsonl") if path.is_file()}
    sessions: dict[str, Session] = {}
    for path, name in sorted(names.items(), key=lambda item: item[1].parts):
        if any(part.startswith(".") for part in name.parts):  # a notebook's checkpoints, say
            continue
        try:
            sessions[clean(name.with_suffix("").as_posix())] = _load_file(path)
        except (OSError, ValueError) as error:
            warnings.warn(f"{clean(str(error))}. It was left out.", stacklevel=3)
    if not sessions:
        raise ValueError(
            f"{folder} contains no session that can be read; rtkit.stream(clip, "
            "record='FOLDER/NAME.jsonl') and rtkit.compare(clip, record='FOLDER') record sessions"
        )
    return sessions


def _load_file(path: Path) -> Session:
    facts: list[Fact] = []
    try:
        lines = path.read_text(encoding="utf-8").rstrip().splitlines() or [""]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a session that rtkit recorded: {told(error)}") from error
    session = _opening(path, lines[0])
    with without_collecting():
        for number, line in enumerate(lines[1:], start=2):
            try:
                fact = fact_of(json.loads(line))
            except (ValueError, RecursionError) as error:
                if isinstance(error, json.JSONDecodeError) and number == len(lines):
                    break  # the line at which the writer was killed
                raise ValueError(f"{path}, line {number}, is damaged: {told(error)}") from error
            facts.append(fact)
    # How it ended is its last line: what goes on after that was not written by a session that did.
    if len(facts) < len(lines) - 1 or not (facts and isinstance(facts[-1], Ending)):
        facts = [fact for fact in facts if not isinstance(fact, Ending)]
    found = session.holding(facts)
    try:
        _check_order(found.chunks)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return found


def read_opening(path: Path) -> Session:
    """What a session's file says in its first line: the session without what happened in it.

    Raises
    ------
    ValueError
        If it is not a session's file.
    """
    with path.open(encoding="utf-8") as file:
        return _opening(path, file.readline(LONGEST_OPENING))


def _opening(path: Path, line: str) -> Session:
    try:
        return session_of(json.loads(line))
    except (ValueError, RecursionError) as error:
        why = told(error)
        if isinstance(error, json.JSONDecodeError):
            why = "its first line is not one of rtkit's"
        raise ValueError(f"{path} is not a session that rtkit recorded: {why}") from error


def fact_of(said: Any) -> Fact:
    """The fact in a line of a session's file, read as JSON.

    Raises
    ------
    ValueError
        If it contains none.
    """
    kind = said.get("kind") if isinstance(said, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"{told(said, 60)} is not a fact")
    return cast(Fact, made_of(KINDS[kind], said))


def _check_order(chunks: Sequence[Chunk]) -> None:
    """Refuse chunks that cannot have been sent one after the other.

    Raises
    ------
    ValueError
        If one is missing, or its audio or an instant lies before that of the one before it.
    """
    stop, due, sent = 0, -math.inf, -math.inf
    for number, chunk in enumerate(chunks):
        if chunk.index != number:
            raise ValueError(f"chunk {chunk.index} follows {counted(number, 'chunk')}")
        if not (stop <= chunk.start < chunk.stop and due <= chunk.due and sent <= chunk.sent):
            raise ValueError(f"chunk {number} begins before the one before it")
        if chunk.returned < chunk.sent or chunk.padding > chunk.bytes:
            raise ValueError(f"the times of chunk {number} are impossible")
        stop, due, sent = chunk.stop, chunk.due, chunk.sent


def session_of(said: Any) -> Session:
    """A session in which nothing has happened yet, by the first line of its file, read as JSON.

    Raises
    ------
    ValueError
        If it is not valid.
    """
    if not isinstance(said, dict) or said.get("kind") != "session":
        raise ValueError("its first line does not describe a session")
    opening = made_of(_Opening, said)
    if opening.format > FORMAT:
        raise ValueError("a newer version of rtkit wrote it; update rtkit")
    if opening.started:
        _check_date(opening.started)
    reference = None if opening.reference is None else Reference.from_json(opening.reference)
    settings = _settings_of(opening.settings)
    return Session(settings, opening.host, opening.started, opening.zero, reference)


def _settings_of(said: Mapping[str, Any]) -> Settings:
    settings = made_of(Settings, said)
    settings = replace(settings, service=_renamed(settings.service))
    made_of(_Described, settings.service)
    if settings.header is not None:
        made_of(Header, settings.header)
    if settings.calibration is not None:
        made_of(_Error, settings.calibration.get("error"))
    return settings


@dataclass(frozen=True)
class _Described:
    """What is read of a service's description of itself, which may hold more."""

    name: str = ""
    dialect: str = ""
    engine: str = ""
    delay: Duration = 0.0
    delay_spread: Duration = 0.0
    max_speed: float = 0.0
    host: str = ""
    speech_model: str = ""
    parameters: Data | None = None
    simulated: Data | None = None
    usual: Data | None = None


@dataclass(frozen=True)
class _Error:
    """What is read of a calibration."""

    p50: float
    max: float


@dataclass(frozen=True)
class _Opening:
    """The first line of a session's file."""

    settings: Data
    host: Data
    started: str
    zero: Instant
    reference: Any
    format: Count = 1


def _check_date(text: str) -> None:
    try:
        datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError) as error:  # of the year 1, say
        raise ValueError(f"started {told(text, 60)!r} is not a date: {error}") from None


# What files written before the first release call what they say of the embedded service.
_RENAMED = {
    "hears": "engine",
    "jitter": "delay_spread",
    "drain": "max_speed",
    "longest": "max_duration",
    "misbehaves": "faults",
    **{f"{name}_jitter": f"{name}_spread" for name in ("work", "wake", "network")},
}


def _renamed(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _RENAMED.get(name, name): (
            _renamed(value) if name == "simulated" and isinstance(value, Mapping) else value
        )
        for name, value in said.items()
    }


class Recorder:
    """Collects the facts of a running session, and writes them to a file if asked to.

    `add` is called in the sender's loop and does no more than append: a `Writer` empties the queue
    to the file twice a second, so that writing never makes the sender late and a killed process
    loses no more than the last second. The file takes its name when the session has begun; an older
    one is replaced only by a complete session, and until then both are kept.

    Parameters
    ----------
    path : str or Path, optional
        The file.
    on_event : callable, optional
        Called with each fact from `begin` on.
    tee : callable, optional
        Called with whatever a file would get: its first line, and then each fact.
    writer : Writer, optional
        What writes the file, and others; one of its own without it.
    keep : bool
        Whether facts are kept in memory, too, for `session`; without it only the ending is.
    elsewhere : callable, optional
        What writing asks, in the writer's thread, for facts that have not been added here since it
        asked last.
    """

    def __init__(
        self,
        settings: Settings,
        host: Mapping[str, str],
        reference: Reference | None,
        *,
        path: str | Path | None = None,
        on_event: Callable[[Fact], object] | None = None,
        tee: Callable[[Fact | str], object] | None = None,
        writer: Writer | None = None,
        keep: bool = True,
        elsewhere: Callable[[], Iterable[Fact]] = tuple,
    ) -> None:
        self.settings, self._host, self._reference = settings, host, reference
        self._started, self._zero = "", 0.0
        self._on_event, self._tee = on_event, tee
        self._facts: list[Fact] = []
        self._begun, self._keep = False, keep
        self._file: FactFile | None = None
        self._writer, self._shared = writer, writer is not None
        if path is not None:
            self._file = FactFile(Path(path), elsewhere)
            self._writer = writer or Writer()
            self._writer.files.append(self._file)

    def begin(self, zero: float, started: str) -> None:
        """Set t = 0; what was added before, in absolute time, is counted from it."""
        self._zero, self._started, self._begun = zero, started, True
        early, self._facts = self._facts, []
        if self._file is not None or self._tee is not None:
            self._put(self.session().opening())
            if self._file is not None and self._writer is not None:
                self._writer.hurry(self._file)
        for fact in early:
            if isinstance(fact, Message | Event):
                self.add(replace(fact, at=fact.at - zero))

    @property
    def begun(self) -> bool:
        return self._begun

    @property
    def path(self) -> Path | None:
        """Where the file is kept, if there is one; known for good when it is closed."""
        return None if self._file is None else self._file.path

    def add(self, fact: Fact) -> None:
        """Keep a fact; before `begin` its instant is absolute, afterwards counted from zero."""
        if self._keep or not self._begun or isinstance(fact, Ending):
            self._facts.append(fact)
        if self._begun:
            self._put(fact)
            # How loud it was is not an event: it is known when all is over.
            if self._on_event is not None and not isinstance(fact, Level):
                try:
                    self._on_event(fact)
                except BaseException:
                    self._on_event = None  # how the session ends is still to be recorded
                    raise

    def _put(self, fact: Fact | str) -> None:
        if self._file is not None:
            self._file.put(fact)
        if self._tee is not None:
            self._tee(fact)

    def session(self) -> Session:
        """All facts so far."""
        empty = Session(self.settings, self._host, self._started, self._zero, self._reference)
        return empty.holding(self._facts)

    def close(self) -> None:
        """Write what is left and close the file; what is added from then on, it does not hold.

        Raises
        ------
        OSError
            If the file could not be written, or is not there any more.
        """
        if self._writer is not None and not self._shared:
            self._writer.close()
        if self._file is not None:
            self._file.close(whole=self.session().complete)


class StreamError(RuntimeError):
    """A session that did not complete; the message says why and what to do.

    Attributes
    ----------
    session : Session
        The facts recorded up to then.
    sessions : dict of str to Session
        From `rtkit.compare`: that session and the others measured, by their names there.
    """

    def __init__(self, sentence: str, session: Session) -> None:
        super().__init__(sentence)
        self.session = session
        self.sessions = {session.settings.pacing: session}
