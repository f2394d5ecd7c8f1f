"""Many sessions at once, in one loop: one timetable for all, audio read once, phases apart.

A task and a timer for each session cost the loop more than the sending does, and where all send in
the same instant the last one is late by all others. Here one timetable calls each session when its
chunk is due, and sessions start a fraction of a chunk apart.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rtkit.audio import AudioError, Clip
from rtkit.clock.alarm import sleep_until
from rtkit.clock.stalls import Lookout
from rtkit.clock.timetable import Timetable
from rtkit.experiments.concurrent_result import ConcurrentResult
from rtkit.pacing import Plan
from rtkit.recording import Recorder, StreamError
from rtkit.sending.options import settings_of
from rtkit.sending.run import Run, host
from rtkit.sending.stream import check_sides, describe_connection, embedded_service, limits_for
from rtkit.sending.websocket import Failure
from rtkit.services.service import Connection, Limits, Service
from rtkit.session import Chunk, Fact, Session

__all__ = ["stream_many"]

OPENING = 32  # connections that are being opened at once
SOON = 0.02  # seconds from a session's start to its t = 0,
SOON_EACH = 0.0003  # and so many more for each session that starts with it
AGAIN = 0.01  # seconds until a full connection is tried again
SPARE = 64  # open files that a process needs besides its connections
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, lie far apart however many there are


class WritableConnection(Connection, Protocol):
    """A connection that also sends without a coroutine."""

    def write(self, frame: bytes | str) -> bool:
        """Send at once and return True; False if the way out is full, and nothing was sent."""


async def stream_many(
    clips: Iterable[Clip],
    *,
    chunk: float = 0.1,
    phase: str = "end",
    service: Service | None = None,
    connections: Sequence[WritableConnection] | None = None,
    sessions_per_minute: float | None = None,
    record: str | Path | None = None,
    on_event: Callable[[Fact], object] | None = None,
    begin_timeout: float = 10.0,
    termination_timeout: float = 10.0,
) -> ConcurrentResult:
    """Stream many clips at once, each in a session of its own, by the wall clock.

    Parameters
    ----------
    clips : iterable of Clip
        A session each; ``[clip] * 100`` is a hundred sessions that share one reading of the audio.
    chunk, phase, begin_timeout, termination_timeout
        As for `rtkit.stream`.
    service : optional
        `rtkit.AssemblyAI` or `rtkit.Loopback`; the embedded service without it.
    connections : sequence, optional
        Open connections, one a clip, in place of a service.
    sessions_per_minute : float, optional
        New sessions a minute, as the service's account allows; each begins when it is open.
        Without it they are opened as fast as they can be, and begin together when all are open.
    record : str or Path, optional
        A folder for the sessions' files, ``0000.jsonl`` and so on; written when all have ended,
        also when they were stopped.
    on_event : callable, optional
        Called in the loop with each chunk, and the ending, of one of the longest sessions, which
        stands for all: ``on_event=rtkit.progress(clip)`` shows how much is left.

    Returns
    -------
    ConcurrentResult
        The sessions, what they cost, and whether the host kept up. One that fails does not end the
        others.

    Raises
    ------
    ValueError
        If a parameter is out of range; nothing was sent then.
    StreamError
        If no session at all could begin.

    Notes
    -----
    Session *i* sends at the phase ``i * 0.618... mod 1`` of a chunk: neighbors lie far apart,
    however many there are. Cancelling the task ends every session cleanly with Terminate.
    """
    if isinstance(clips, Clip) or not isinstance(clips, Iterable):
        raise TypeError(
            f"stream_many takes a list of clips, a session each, and got {clips!r}; "
            "for a hundred sessions of one clip: [clip] * 100"
        )
    clips = list(clips)
    if not clips:
        raise ValueError("there are no clips; give a list of them, for example [clip] * 100")
    for clip in clips:
        check_sides(clip, service)
    if sessions_per_minute is not None and not 0 < sessions_per_minute < float("inf"):
        raise ValueError(
            f"sessions_per_minute={sessions_per_minute:g} is no rate; "
            "give a number above 0, or None"
        )
    if connections is not None and len(connections) != len(clips):
        raise ValueError(
            f"{len(connections)} connections for {len(clips)} clips; give one a clip, or none"
        )
    limits = limits_for(clips[0], service, None if connections is None else connections[0])
    audio = _read_once(clips, chunk, phase, limits)
    if connections is None:
        _check_files(len(clips))
        service = service or embedded_service()
    result = _Sender(service, sessions_per_minute, on_event, begin_timeout, termination_timeout)
    try:
        await result.run(clips, audio, connections or [None] * len(clips))
    finally:
        result.close()
        sessions = result.sessions()
        if record is not None:
            digits = max(4, len(str(len(sessions) - 1)))
            for index, session in enumerate(sessions):
                session.save(Path(record) / f"{index:0{digits}d}.jsonl")
    errors = tuple(
        StreamError(run.failure, session)
        for run, session in zip(result.members, sessions, strict=True)
        if run.failure is not None
    )
    if len(errors) == len(sessions) and not any(session.chunks for session in sessions):
        raise errors[0]
    return ConcurrentResult(sessions, errors, result.seconds, result.cpu)


@dataclass(frozen=True)
class _Audio:
    """A clip's chunks by its plan, for one of the sessions that stream it."""

    plan: Plan
    reading: Generator[bytes, None, None]  # the same for all of them
    chunks: Iterator[bytes]


def _read_once(clips: Sequence[Clip], chunk: float, phase: str, limits: Limits) -> list[_Audio]:
    """The audio of each; that of a clip which comes several times is read once for all."""
    times = Counter(map(id, clips))
    shared: dict[int, Iterator[_Audio]] = {}
    for clip in clips:
        if id(clip) not in shared:
            plan = Plan.of(clip, chunk=chunk, phase=phase, limits=limits)
            reading = clip.chunks(plan.edges)
            copies = itertools.tee(reading, times[id(clip)])
            shared[id(clip)] = iter([_Audio(plan, reading, chunks) for chunks in copies])
    return [next(shared[id(clip)]) for clip in clips]


class _Member:
    """One session among many: called by the timetable whenever a chunk of it is due."""

    def __init__(self, run: Run, audio: _Audio) -> None:
        self.run = run
        self.failure: str | None = None
        self.on_event: Callable[[Fact], object] | None = None
        self._audio, self._plan = audio, audio.plan
        self._edges: list[int] = audio.plan.edges.tolist()
        self._due: list[float] = audio.plan.due.tolist()
        self._time = asyncio.get_running_loop().time
        self._zero = 0.0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sent, self._returned = array("d"), array("d")
        self._sizes = array("l")

    def open(self) -> None:
        """Have the first audio at hand: opening a file takes its time."""
        self._read_next()

    async def send(
        self,
        connection: WritableConnection,
        timetable: Timetable,
        zero: float,
        sent: Callable[[], object],
    ) -> None:
        """Send every chunk when it is due; t = 0 is `zero`. Calls `sent` after the last one.

        Returns a chunk's duration later: what ends a session costs much more than a send, and
        those that end within the same chunk still send.
        """
        self._write, self._zero, self._on_sent = connection.write, zero, sent
        timetable.at(zero + self._due[0], self)
        await self._done

    def __call__(self) -> float | None:
        if self._done.done():  # the session ended otherwise
            return None
        try:
            if len(self._sent) < len(self._due):
                return self._send_next()
            self._done.set_result(None)
            return None
        except Exception as error:  # `send` raises it
            self._done.set_exception(error)
            return None

    def _send_next(self) -> float | None:
        now = self._time()
        if self.run.leaving is None:
            self.run.leaving = now
        if not self._write(self._frame):
            return now + AGAIN
        self._sent.append(self.run.leaving)
        self._returned.append(self._time())
        self._sizes.append(self._size)
        self.run.leaving = None
        index = len(self._sent)
        if self.on_event is not None:
            self.on_event(self._chunk(index - 1))
        self.run.chunks_sent = index
        self.run.audio_sent = self._edges[index] / self._plan.rate
        if index == len(self._due):
            self._on_sent()
            return now + self._plan.chunk
        self._read_next()
        return self._zero + self._due[index]

    def _read_next(self) -> None:
        payload = next(self._audio.chunks, None)
        if payload is None:  # the reading is shared, and another session met the fault
            name = self.run.recorder.settings.recording
            raise AudioError(
                f"{name} cannot be read to its end: it was cut, damaged or changed. Make or copy "
                "it anew."
            )
        payload = payload.ljust(self._plan.least, b"\0")
        self._size, self._frame = len(payload), self.run.dialect.audio(payload)

    def close(self) -> None:
        """Close the recording."""
        self._audio.reading.close()

    def chunks(self) -> Iterator[Chunk]:
        """What was sent, as facts."""
        return map(self._chunk, range(len(self._sent)))

    def _chunk(self, index: int) -> Chunk:
        start, stop = self._edges[index : index + 2]
        sent, returned = self._sent[index] - self._zero, self._returned[index] - self._zero
        size = self._sizes[index]
        padding = size - 2 * (stop - start)
        return Chunk(index, start, stop, self._due[index], sent, returned, size, padding)


class _Sender:
    """What all sessions share: the timetable, the lookout, the way in, and the count of costs."""

    def __init__(
        self,
        service: Service | None,
        sessions_per_minute: float | None,
        on_event: Callable[[Fact], object] | None,
        begin_timeout: float,
        termination_timeout: float,
    ) -> None:
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._service, self._per_minute = service, sessions_per_minute
        self._begin_timeout, self._termination_timeout = begin_timeout, termination_timeout
        self._timetable = Timetable()
        self._lookout = Lookout(self._stalled)
        self._timetable.timer.expect = self._lookout.expect
        self._opening = asyncio.Semaphore(OPENING)
        self._base = self._loop.time()
        self._missing = 0  # sessions that are neither open nor given up
        self._all_open = asyncio.Event()
        self._started: tuple[float, float] | None = None
        self.seconds = self.cpu = 0.0
        self.members: list[_Member] = []

    async def run(
        self,
        clips: Sequence[Clip],
        audio: Sequence[_Audio],
        connections: Sequence[WritableConnection | None],
    ) -> None:
        self._missing = len(clips)
        for clip, one, connection in zip(clips, audio, connections, strict=True):
            if connection is None:
                assert self._service is not None
                described = self._service.describe(clip.reference)
            else:
                described = describe_connection(connection)
            recorder = Recorder(settings_of(clip, one.plan, described), host(), clip.reference)
            self.members.append(_Member(Run(recorder), one))
        longest = max(self.members, key=lambda member: member.run.recorder.settings.seconds)
        longest.on_event = self._on_event
        tasks = [
            asyncio.create_task(self._session(index, member, clip, connection))
            for index, (member, clip, connection) in enumerate(
                zip(self.members, clips, connections, strict=True)
            )
        ]
        try:
            await asyncio.gather(*tasks)
        finally:  # what is no session's failure, an error in `on_event` say, ends them all
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _session(
        self, index: int, member: _Member, clip: Clip, connection: WritableConnection | None
    ) -> None:
        run = member.run
        try:
            async with run.ending():
                try:
                    connection = await self._open(index, member, clip, connection)
                finally:
                    self._missing -= 1
                    if not self._missing:
                        self._all_open.set()
                if self._per_minute is None:
                    await run.unless_closed(self._all_open.wait())
                zero = self._zero(index)
                run.start(zero)
                await run.sending(member.send(connection, self._timetable, zero, self._count))
                await run.terminate(self._termination_timeout)
        except Failure as failure:
            member.failure = str(failure)
        finally:
            if (
                member.on_event is not None
                and (ending := run.recorder.session().ending) is not None
            ):
                member.on_event(ending)

    async def _open(
        self, index: int, member: _Member, clip: Clip, connection: WritableConnection | None
    ) -> WritableConnection:
        if self._per_minute is not None:
            await sleep_until(self._base + index * 60 / self._per_minute)
        async with self._opening:
            try:
                member.open()
            except AudioError as error:
                raise Failure(str(error)) from error
            if connection is not None:
                await member.run.begin(connection, self._begin_timeout)
                return connection
            assert self._service is not None
            return await member.run.open(self._service, clip, self._begin_timeout)

    def _zero(self, index: int) -> float:
        """The next instant that has this session's phase."""
        if self._started is None:
            self._started = self._loop.time(), time.process_time()
        soon = self._loop.time() + SOON
        if self._per_minute is None:  # when all of them have been started
            soon = self._started[0] + SOON + SOON_EACH * len(self.members)
        chunk = self.members[index].run.recorder.settings.chunk
        return soon + (self._base + index * GOLDEN * chunk - soon) % chunk

    def _count(self) -> None:
        assert self._started is not None
        began, cpu = self._started
        self.seconds, self.cpu = self._loop.time() - began, time.process_time() - cpu

    def _stalled(self, at: float, seconds: float) -> None:
        for member in self.members:
            if member.run.recorder.begun:
                member.run.stalled(at, seconds)

    def sessions(self) -> tuple[Session, ...]:
        """Of all members, with their chunks: made now, when nothing is to be on time any more."""
        for member in self.members:
            for chunk in member.chunks():
                member.run.recorder.add(chunk)
        return tuple(member.run.recorder.session() for member in self.members)

    def close(self) -> None:
        self._lookout.close()
        self._timetable.close()
        for member in self.members:
            member.close()


def _check_files(sessions: int) -> None:
    """Refuse more connections than this process may have."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    allowed, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sessions + SPARE
    if allowed != resource.RLIM_INFINITY and needed > allowed:
        raise ValueError(
            f"{sessions} sessions need {needed} open files and this process may have {allowed}. "
            f"Run `ulimit -n {needed}` before you start Python, or here: import resource; "
            f"resource.setrlimit(resource.RLIMIT_NOFILE, ({needed}, {highest}))"
        )
