"""Many concurrent sessions in one loop: one timetable, audio read once, spread phases.

A task and a timer per session would cost the loop more than sending does, and if all sessions sent
at the same instant, the last one would be late by all the others. Here one timetable calls each
session when its chunk is due, and sessions start a fraction of a chunk apart.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from rtkit.audio import AudioError, Clip
from rtkit.boundary.text import counted
from rtkit.boundary.values import check_numbers
from rtkit.clock.alarm import sleep_until
from rtkit.clock.garbage import without_old_objects
from rtkit.clock.stalls import Lookout
from rtkit.clock.timetable import Timetable
from rtkit.experiments.concurrent_result import ConcurrentResult
from rtkit.experiments.member import Audio, Member, Sent, WritableConnection, read_once
from rtkit.loopback.process import Loopback
from rtkit.recording import Recorder, StreamError
from rtkit.sending.connect import Way, fitted, way_through, way_to
from rtkit.sending.listen import Conversation
from rtkit.sending.options import Calibration, Options, host, settings_of
from rtkit.sending.run import Run, Unwritten
from rtkit.sending.stream import check_sides
from rtkit.sending.websocket import Failure
from rtkit.services.service import Service
from rtkit.session import Fact, Message, Session
from rtkit.writing import Writer

__all__ = ["stream_many"]

OPENING = 32  # connections that are being opened at once
SOON = 0.02  # seconds from a session's start to its t = 0,
SOON_EACH = 0.0003  # and so many more for each session that starts with it
SPARE = 64  # open files that a process needs besides its connections
T = TypeVar("T")
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, lie far apart however many there are


async def stream_many(
    clips: Iterable[Clip],
    *,
    chunk: float = 0.1,
    phase: str = "end",
    service: Service | Sequence[Service | None] | None = None,
    connections: Sequence[WritableConnection] | None = None,
    sessions_per_minute: float | None = None,
    calibration: Calibration | None = None,
    record: str | Path | Sequence[Path] | None = None,
    on_event: Callable[[Fact], object] | Sequence[Callable[[Fact], object]] | None = None,
    begin_timeout: float = 10.0,
    termination_timeout: float = 10.0,
) -> ConcurrentResult:
    """Stream many clips concurrently, each in its own session, paced by the wall clock.

    Parameters
    ----------
    clips : iterable of Clip
        One session for each; ``[clip] * 100`` is a hundred sessions that share the audio, read
        once.
    chunk, phase, calibration, begin_timeout, termination_timeout
        As for `rtkit.stream`.
    service : optional
        For example `rtkit.AssemblyAI` or `rtkit.Loopback`, for all clips or one per clip; by
        default, the embedded service.
    connections : sequence, optional
        Open connections, one per clip, instead of a service.
    sessions_per_minute : float, optional
        The maximum number of new sessions per minute, as the account allows; each session begins
        once it is open. By default, sessions are opened as fast as possible, and begin together
        once all are open.
    record : str or Path, optional
        A folder for the sessions' files, ``0000.jsonl`` and so on, or a file for each. Files are
        written while the sessions run. If one cannot be written, its session goes on, and the
        result says so.
    on_event : callable or sequence of callable, optional
        Called in the loop with each chunk and the ending of one of the longest sessions:
        ``on_event=rtkit.progress(clip)`` shows how much is left. Or one per clip, which is also
        called with the messages of its session.

    Returns
    -------
    ConcurrentResult
        The sessions, what they cost, and whether the host kept up. A session that fails does not
        end the others.

    Raises
    ------
    ValueError
        If a parameter is out of range. Nothing was sent.
    StreamError
        If no session could begin.

    Notes
    -----
    Session *i* sends at phase ``i * 0.618... mod 1`` of a chunk, so that sessions are spread out,
    however many there are. Cancelling the task ends every session properly.
    """
    if isinstance(clips, Clip) or not isinstance(clips, Iterable):
        raise TypeError(
            f"stream_many takes a list of clips, one per session, not {clips!r}; for a "
            f"hundred sessions of one clip, give [clip] * 100"
        )
    clips = list(clips)
    if not clips:
        raise ValueError("the list of clips is empty; give at least one, for example [clip] * 100")
    services: list[Service | None]
    services = list(service) if isinstance(service, Sequence) else [service] * len(clips)
    for clip, one in zip(clips, _one_each(services, clips, "services"), strict=True):
        check_sides(clip, one)
    check_numbers(optional=True, unit="", sessions_per_minute=sessions_per_minute)
    if sessions_per_minute is not None and not 0 < sessions_per_minute < float("inf"):
        raise ValueError(
            f"sessions_per_minute={sessions_per_minute:g} is not a rate; give a number above "
            f"0, or None"
        )
    through = [None] * len(clips) if connections is None else connections
    _one_each(through, clips, "connections")
    if record is not None and not isinstance(record, str | Path):
        _one_each(record, clips, "record")
    if isinstance(on_event, Sequence):
        _one_each(on_event, clips, "on_event")
    once: dict[tuple[int, int], Clip] = {}
    for index, (clip, one, connection) in enumerate(zip(clips, services, through, strict=True)):
        fit = fitted(clip, one, connection)
        clips[index] = once.setdefault((id(clip), fit.rate), fit)
    if connections is None:
        ways = [way_to(one, clip) for one, clip in zip(services, clips, strict=True)]
    else:
        ways = [way_through(connection) for connection in connections]
    audio = read_once(clips, chunk, phase, [way.dialect for way in ways])
    _check_files(len(clips), each=(connections is None) + (record is not None))
    embedded = Counter(one for one in (way.service for way in ways) if isinstance(one, Loopback))
    for one, count in embedded.items():
        await one.expect(count)
    sender = _Sender(sessions_per_minute, on_event, begin_timeout, termination_timeout)
    try:
        sender.admit(clips, audio, ways, record, Options(calibration=calibration))
        await sender.run()
    finally:
        sender.close()
    sessions = sender.sessions()
    failures = [
        (isinstance(member.failure, Unwritten), StreamError(str(member.failure), session))
        for member, session in zip(sender.members, sessions, strict=True)
        if member.failure is not None
    ]
    errors = tuple(error for whole, error in failures if not whole)
    if len(errors) == len(sessions) and not any(session.chunks for session in sessions):
        raise errors[0]
    unwritten = tuple(error for whole, error in failures if whole)
    return ConcurrentResult(sessions, errors, sender.seconds, sender.cpu, unwritten)


class _Sender:
    """What all sessions share: the timetable, the lookout, the way in, and the count of costs."""

    def __init__(
        self,
        sessions_per_minute: float | None,
        on_event: Callable[[Fact], object] | Sequence[Callable[[Fact], object]] | None,
        begin_timeout: float,
        termination_timeout: float,
    ) -> None:
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._per_minute = sessions_per_minute
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
        self.members: list[Member] = []
        self._writer: Writer | None = None

    def admit(
        self,
        clips: Sequence[Clip],
        audio: Sequence[Audio],
        ways: Sequence[Way],
        record: str | Path | Sequence[Path] | None,
        options: Options,
    ) -> None:
        """Take the sessions in; a file that is in use, or cannot be written, is refused here."""
        if record is not None:
            self._writer = Writer()
        digits = max(4, len(str(len(clips) - 1)))
        paths: Sequence[Path | None] = [None] * len(clips)
        if isinstance(record, str | Path):
            paths = [Path(record) / f"{index:0{digits}d}.jsonl" for index in range(len(clips))]
        elif record is not None:
            paths = record
        watching = self._on_event if isinstance(self._on_event, Sequence) else [None] * len(clips)
        for index, (clip, one, way) in enumerate(zip(clips, audio, ways, strict=True)):
            sent, see = Sent(one.plan), watching[index]
            recorder = Recorder(
                settings_of(clip, one.plan, way.described, options),
                host(),
                clip.reference,
                path=paths[index],
                on_event=None if see is None else partial(_see_message, see),
                writer=self._writer,
                elsewhere=sent.new,
            )
            self.members.append(Member(Run(recorder), way, one, sent))
            self.members[-1].on_event = see
        if self._on_event is not None and not isinstance(self._on_event, Sequence):
            longest = max(self.members, key=lambda member: member.run.recorder.settings.seconds)
            longest.on_event = self._on_event

    async def run(self) -> None:
        self._missing = len(self.members)
        tasks = [
            asyncio.create_task(self._session(index, member))
            for index, member in enumerate(self.members)
        ]
        try:
            with without_old_objects:
                await asyncio.gather(*tasks)
        finally:  # what is no session's failure, an error in `on_event` say, ends them all
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _session(self, index: int, member: Member) -> None:
        run = member.run
        try:
            async with run.ending():
                try:
                    conversation = await self._open(index, member)
                finally:
                    self._missing -= 1
                    if not self._missing:
                        self._all_open.set()
                if self._per_minute is None:
                    await conversation.while_open(self._all_open.wait())
                gc.freeze()  # what opening it has made is old, too
                zero = self._zero(index)
                run.start(zero, member.plan)
                sending = member.send(conversation, self._timetable, zero, self._count)
                await run.sending(conversation, sending)
                for level in member.levels():
                    run.recorder.add(level)
                await run.terminate(conversation, self._termination_timeout)
        except Failure as failure:
            member.failure = failure
        finally:
            ending = run.recorder.session().ending
            if member.on_event is not None and ending is not None:
                member.on_event(ending)

    async def _open(self, index: int, member: Member) -> Conversation:
        if self._per_minute is not None:
            await sleep_until(self._base + index * 60 / self._per_minute)
        async with self._opening:
            try:
                member.open()
            except AudioError as error:
                raise Failure(str(error)) from error
            return await member.way.open(member.run, self._begin_timeout)

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
            for chunk in member.sent.chunks():
                member.run.recorder.add(chunk)
        return tuple(member.run.recorder.session() for member in self.members)

    def close(self) -> None:
        self._lookout.close()
        self._timetable.close()
        if self._writer is not None:
            self._writer.close()
        for member in self.members:
            member.close()


def _see_message(see: Callable[[Fact], object], fact: Fact) -> None:
    """Chunks are shown when they are sent, and are recorded later."""
    if isinstance(fact, Message):
        see(fact)


def _one_each(things: Sequence[T], clips: Sequence[Clip], name: str) -> Sequence[T]:
    if len(things) != len(clips):
        raise ValueError(
            f"{len(things)} {name} for {counted(len(clips), 'clip')}; give one for each clip, "
            "or none"
        )
    return things


def _check_files(sessions: int, *, each: int) -> None:
    """Refuse sessions that need more open files (`each` per session) than this process may have."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    allowed, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sessions * each + SPARE
    if allowed == resource.RLIM_INFINITY or needed <= allowed:
        return
    if highest != resource.RLIM_INFINITY and needed > highest:
        fix = f"Use fewer sessions: this system allows at most {highest}."
    else:
        fix = (
            f"Run `ulimit -n {needed}` before you start Python, or here: import resource; "
            f"resource.setrlimit(resource.RLIMIT_NOFILE, ({needed}, {highest}))"
        )
    raise ValueError(
        f"{counted(sessions, 'session needs', 'sessions need')} {needed} open files but "
        f"this process may have only {allowed}. {fix}"
    )
