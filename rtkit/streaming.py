"""One paced session over a connection: sends, listens, and returns the facts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.metadata
import inspect
import itertools
import logging
import os
import platform
import random
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rtkit import protocol
from rtkit.audio import MIN_CHUNK, AudioError, Clip, chunk_edges, is_wav, whole_samples
from rtkit.clock import Alarm, block, calendar, sleep_until
from rtkit.loopback.memory import MemoryConnection
from rtkit.pacing import choose_pacing, due_times
from rtkit.protocol import Closed, Endpoint
from rtkit.reference import Reference
from rtkit.session import Chunk, Ending, Event, Fact, Message, Recorder, Session, Settings, Stall
from rtkit.stalls import Lookout

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

__all__ = ["Connection", "Service", "StreamError", "stream"]

ISOLATIONS = ("loop", "thread", "process")
GOODBYE = 3.0  # seconds that a stopped session waits for Termination
SEND_TIMEOUT = 30.0  # seconds that one chunk may take to leave
CLOSE_TIMEOUT = 2.0  # seconds that the other side may take to close
LAST_WORDS = 1.0  # seconds in which a service that gives up may say why
PAUSES = (0.5, 1.0)  # seconds before the second and the third try to connect
LONGEST_MESSAGE = 1 << 20  # bytes; three hours of words in one turn are less


class Connection(Protocol):
    """What a session speaks through: a websocket, or anything else with these three."""

    async def send(self, frame: bytes | str) -> None:
        """Send audio (bytes) or a message (str); raises `Closed` when that cannot be."""

    async def recv(self) -> str | bytes:
        """The next message; raises `Closed` when none will come."""

    async def close(self) -> None:
        """Close; a second time does nothing."""


class Service(Protocol):
    """What a session connects to: `rtkit.AssemblyAI`, `rtkit.Loopback`, or one's own."""

    async def endpoint(self, rate: int, reference: Reference | None) -> Endpoint: ...

    def describe(self, reference: Reference | None) -> dict[str, Any]: ...


class Calibration(Protocol):
    """What a session keeps of `rtkit.calibrate`."""

    def to_json(self) -> Mapping[str, Any]: ...


class StreamError(RuntimeError):
    """A session that did not run to its end: one sentence of cause and cure.

    Attributes
    ----------
    session : Session
        The facts recorded up to then.
    sessions : dict of str to Session
        From `rtkit.compare`: that session and those before it, by pacing.
    """

    def __init__(self, sentence: str, session: Session) -> None:
        super().__init__(sentence)
        self.session = session
        self.sessions = {session.settings.pacing: session}


async def stream(
    clip: Clip,
    *,
    pacing: str = "wall_clock",
    chunk: float = 0.1,
    phase: str = "end",
    catch_up: float | None = None,
    work: float | Callable[[bytes], object] = 0.0,
    blocks: Sequence[tuple[float, float]] = (),
    isolation: str = "loop",
    service: Service | None = None,
    connection: Connection | None = None,
    calibration: Calibration | None = None,
    record: str | Path | None = None,
    watch: Callable[[Fact], object] | None = None,
    begin_timeout: float = 10.0,
    termination_timeout: float = 10.0,
) -> Session:
    """Stream a clip to a service, paced, and return the facts.

    Parameters
    ----------
    clip : Clip
        From `rtkit.open_clip`.
    pacing : {"wall_clock", "fixed_sleep", "unpaced"}
        How the sender decides when to send.
    chunk : float
        Seconds of audio a message, 0.05 to 1.
    phase : {"end", "start"}
        Whether a chunk is due when its last sample would have been spoken, or its first.
    catch_up : float, optional
        With ``"wall_clock"``: after a stall, send at no more than so many times real time.
    work : float or callable
        What the sender does after each chunk: seconds waited without blocking the loop, or a
        function that is called in the loop with the chunk's bytes, and may block it; what it
        returns is awaited if it can be.
    blocks : sequence of (float, float)
        Stalls on demand: at these instants, block the caller's loop for so many seconds.
    isolation : {"loop", "thread", "process"}
        Where the sender runs: in the caller's loop, in a thread with a loop of its own, or in a
        child process that a busy notebook cannot touch. `work` as a function runs there too, and
        cannot go to a process.
    service : optional
        `rtkit.AssemblyAI` or `rtkit.Loopback`; the embedded service without it.
    connection : optional
        A connection that is open already, in place of a service.
    calibration : Calibration, optional
        From `rtkit.calibrate`, to keep the instrument's own error with the session.
    record : str or Path, optional
        A file to write the facts to while they happen; an older file of that name is replaced.
    watch : callable, optional
        Called in the loop with each fact as it is recorded; must return at once.
    begin_timeout, termination_timeout : float
        Seconds to wait for the service's first word, and for its last one once the audio would
        have been spoken. A connection that fails before the first word is tried again, twice at
        most and within `begin_timeout`, where that can help; a session that has begun never is.

    Returns
    -------
    Session

    Raises
    ------
    ValueError
        If a parameter is out of range; nothing was sent then.
    StreamError
        If the service cannot be reached, refuses, breaks off or falls silent; its `session`
        carries what was recorded.

    Notes
    -----
    Cancelling the task ends the session cleanly with Terminate; the file, if any, tells what
    happened up to then.
    """
    # What cannot be is refused before anything is sent, a service started or a file replaced.
    check_sides(clip, service)
    choose_pacing(pacing, catch_up=catch_up)
    due_times(chunk_edges(clip.samples, clip.rate, chunk), clip.rate, phase)
    if isolation not in ISOLATIONS:
        raise ValueError(
            f"unknown isolation {isolation!r}; one of {', '.join(map(repr, ISOLATIONS))}"
        )
    if isolation == "process" and callable(work):
        raise ValueError("isolation='process' takes work in seconds: a function stays behind")
    if not callable(work) and not 0 <= work < float("inf"):
        raise ValueError(f"work={work:g} is no duration; give seconds of 0 or more, or a function")
    for at, seconds in blocks:
        if not (0 <= at < float("inf") and 0 <= seconds < float("inf")):
            raise ValueError(
                f"blocks={list(blocks)!r}: each is (at, seconds), both of 0 or more seconds"
            )
    described: dict[str, Any] = {"name": "connection"}
    if isinstance(connection, MemoryConnection):
        described = connection.describe()
    elif connection is None:
        if service is None:
            from rtkit.loopback.process import embedded

            service = embedded()
        described = service.describe(clip.reference)
    settings = Settings(
        recording=clip.path.name,
        rate=clip.rate,
        first=clip.first,
        samples=clip.samples,
        channels=clip.channels,
        coding=clip.coding,
        chunk=float(chunk),
        pacing=pacing,
        phase=phase,
        catch_up=catch_up,
        work=getattr(work, "__name__", repr(work)) if callable(work) else float(work),
        blocks=tuple((float(at), float(seconds)) for at, seconds in blocks),
        isolation=isolation,
        service=described,
        calibration=None if calibration is None else calibration.to_json(),
        header=None if clip.header is None else asdict(clip.header),
    )
    if isolation == "loop":
        return await run_session(
            clip,
            settings,
            work=work,
            service=service,
            connection=connection,
            record=record,
            watch=watch,
            begin_timeout=begin_timeout,
            termination_timeout=termination_timeout,
        )
    if service is None:
        raise ValueError(f"isolation={isolation!r} opens its own connection; give a service")
    from rtkit.isolation import run_in_process, run_in_thread

    run = run_in_thread if isolation == "thread" else run_in_process
    return await run(
        clip,
        settings,
        work=work,
        service=service,
        record=record,
        watch=watch,
        begin_timeout=begin_timeout,
        termination_timeout=termination_timeout,
    )


def check_sides(clip: Clip, service: Service | None) -> None:
    """Refuse what is no clip, no service, or a service without a key."""
    if not isinstance(clip, Clip):
        raise TypeError(f"{clip!r} is no clip; give rtkit.open_clip(PATH)")
    if service is not None and (isinstance(service, type) or not hasattr(service, "endpoint")):
        raise TypeError(
            f"{service!r} is no service; give rtkit.AssemblyAI() or rtkit.Loopback(), an instance"
        )
    if isinstance(service, protocol.AssemblyAI):
        service.find_key()


async def run_session(
    clip: Clip,
    settings: Settings,
    *,
    work: float | Callable[[bytes], object],
    service: Service | None,
    connection: Connection | None = None,
    record: str | Path | None,
    watch: Callable[[Fact], object] | None,
    begin_timeout: float,
    termination_timeout: float,
    edges: np.ndarray | None = None,
    farewell: str = "wait",
) -> Session:
    """One session in the running loop, as `settings` have it; `stream` tells the rest.

    `edges` cut the clip as no sound session does; `farewell` is ``"wait"``, ``"hasty"`` (closes
    right after Terminate) or ``"none"`` (without it).
    """
    run = Run(Recorder(settings, host(), clip.reference, path=record, watch=watch))
    failed: Failure | None = None
    try:
        async with run.ending():
            if connection is None:
                assert service is not None
                await run.open(service, clip, begin_timeout)
            else:
                await run.begin(connection, begin_timeout)
            await run.send(clip, work, edges)
            if farewell == "wait":
                await run.terminate(termination_timeout)
            elif farewell == "hasty":
                await run.say_terminate()
    except Failure as failure:
        failed = failure
    if failed is not None:  # out here, it does not carry along what the network held, key and all
        raise StreamError(str(failed), run.recorder.session()) from failed.__cause__
    return run.recorder.session()


class Failure(Exception):
    """Why the session cannot go on, as one sentence.

    `wait` is set where the connection may be tried again after so many seconds.
    """

    def __init__(self, sentence: str, wait: float | None = None) -> None:
        super().__init__(sentence)
        self.wait = wait


class Run:
    """A session as it runs: the connection, the recorder, and t = 0.

    `connect`, `begin`, `send` and `terminate`, in this order, inside `ending`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._zero = self._calendar = 0.0
        self._connection: Connection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._terminated = False  # Terminate was sent
        self._finished = asyncio.Event()  # Termination has come, as asked
        self._early = False  # Termination has come, unasked
        self._error: protocol.ServiceError | None = None
        self._closed: Closed | None = None
        self._lookout: Lookout | None = None
        self._look: asyncio.TimerHandle | None = None
        self._over = False
        self.audio_sent = 0.0  # seconds
        self.leaving: float | None = None  # since when a chunk has been on its way out
        self._stuck = self._loop.create_future()  # it has been for too long
        self._blocks: list[asyncio.TimerHandle] = []

    def now(self) -> float:
        """Seconds since t = 0; before that, the loop's own time."""
        return self._loop.time() - self._zero

    @contextlib.asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """Whatever happens inside: say goodbye, close, and record how it ended."""
        ending = Ending("complete")
        try:
            yield
            if not self._finished.is_set():
                ending = Ending("stopped")  # nobody waited for the service's last word
        except Failure as failure:
            ending = Ending("failed", str(failure))
            if not self._terminated:
                await self._goodbye()
            raise
        except asyncio.CancelledError:
            ending = Ending("stopped")
            await self._goodbye()
            raise
        except BaseException as error:
            ending = Ending("failed", f"{type(error).__name__}: {error}")
            await self._goodbye()
            raise
        finally:
            await self._close()
            if not self.recorder.begun:  # time never started: all that happened lies before it
                self._zero_is(self._loop.time())
            closed = self._closed or Closed(None)
            ending = replace(
                ending,
                code=closed.code,
                reason=closed.reason,
                at=self.now(),
                calendar=calendar() - self._calendar,
            )
            self.recorder.add(ending)
            try:
                self.recorder.close()
            except OSError as error:
                if ending.how != "complete":
                    raise  # after what went wrong before it, which Python shows too
                raise Failure(
                    f"The session's file could not be written ({error.strerror}); the session "
                    "itself is whole in memory: save it elsewhere with session.save(PATH)."
                ) from error

    async def open(self, service: Service, clip: Clip, timeout: float) -> None:
        """Connect and wait for Begin; where that may help, try again, within `timeout` in all.

        Once the service has said Begin nothing is tried again: what comes back from a second
        session starts at 0, and would pass for the first one's.
        """
        endpoint = await self._endpoint(service, clip)
        deadline = self._loop.time() + timeout
        for tries in itertools.count(1):
            try:
                connection = await self._connect(endpoint, deadline - self._loop.time(), timeout)
                await self.begin(connection, timeout, deadline)
            except Failure as failure:
                if failure.wait is None:
                    raise
                if tries > len(PAUSES):
                    raise Failure(f"{failure} Tried {tries} times.") from None
                # Clients that were cut off together must not come back together.
                pause = max(PAUSES[tries - 1], failure.wait) * random.uniform(1.0, 1.25)
                if self._loop.time() + pause >= deadline:
                    raise
                await self._leave()
                await sleep_until(self._loop.time() + pause)
            else:
                return

    async def connect(self, service: Service, clip: Clip, timeout: float) -> _WebSocket:
        """Connect, once."""
        return await self._connect(await self._endpoint(service, clip), timeout, timeout)

    async def _endpoint(self, service: Service, clip: Clip) -> Endpoint:
        try:
            endpoint = await service.endpoint(clip.rate, clip.reference)
        except RuntimeError as error:  # the embedded service could not be started, or ended
            raise Failure(str(error)) from error
        if endpoint.headers.get("Authorization", "").lower().startswith("bearer "):
            self._event("bearer")
        return endpoint

    async def _connect(self, endpoint: Endpoint, left: float, timeout: float) -> _WebSocket:
        self._event("connecting")
        connection = await _open_websocket(endpoint, left, timeout)
        self._event("connected")
        return connection

    async def _leave(self) -> None:
        """Close a connection that failed, and forget it; what it said stays recorded."""
        await self._close()
        self._connection = self._listening = None
        self._closed = self._error = None
        self._early = False

    async def begin(
        self, connection: Connection, timeout: float, deadline: float | None = None
    ) -> None:
        """Listen, and wait for the service's first word."""
        self._connection = connection
        self._listening = asyncio.create_task(self._listen(connection), name="rtkit-listen")
        left = timeout if deadline is None else max(0.0, deadline - self._loop.time())
        try:
            await self.unless_closed(self._begun.wait(), left)
        except TimeoutError:
            raise Failure(
                f"The service accepted the connection but sent no Begin within {timeout:g} s. "
                "Try again; if it stays so, look at the service's status."
            ) from None

    async def send(
        self,
        clip: Clip,
        work: float | Callable[[bytes], object],
        edges: np.ndarray | None = None,
    ) -> None:
        """Start the time, and send every chunk when the pacing says so."""
        if edges is None:
            edges = chunk_edges(clip.samples, clip.rate, self.recorder.settings.chunk)
        alarm, audio = Alarm(), clip.chunks(edges)
        try:
            await self.sending(self._send(alarm, audio, edges, work))
        finally:
            audio.close()  # or an error that is kept would keep the recording open
            alarm.close()

    async def sending(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Await the coroutine, which sends the audio, or tell why that came to nothing."""
        try:
            await self.unless_closed(coroutine)
        except AudioError as error:
            raise Failure(str(error)) from error
        except TimeoutError:
            raise Failure(
                f"A chunk could not leave within {SEND_TIMEOUT:g} s: the service has stopped "
                "reading, or the network is gone. Try again."
            ) from None
        except Closed as closed:
            # The last words of a service that closes say why; give them a moment to arrive.
            assert self._listening is not None
            await asyncio.wait({self._listening}, timeout=LAST_WORDS)
            self._closed = self._closed or closed
            raise self._broken_off() from None

    async def terminate(self, timeout: float) -> None:
        """Say Terminate and wait until the service has said its last word.

        A service that was sent audio faster than it was spoken may take until the audio would
        have ended to hear it all; `timeout` counts from then.
        """
        await self.say_terminate()
        clip_ends = self.recorder.settings.seconds
        try:
            await self.unless_closed(
                self._finished.wait(), max(0.0, clip_ends - self.now()) + timeout
            )
        except TimeoutError:
            raise Failure(
                f"The service sent no Termination within {timeout:g} s after Terminate; its last "
                "words may be missing. Give it longer with termination_timeout, or try again."
            ) from None
        assert self._listening is not None
        await asyncio.wait({self._listening}, timeout=GOODBYE)  # it closes first, if it can

    async def _send(
        self,
        alarm: Alarm,
        audio: Iterator[bytes],
        edges: np.ndarray,
        work: float | Callable[[bytes], object],
    ) -> None:
        assert self._connection is not None
        settings = self.recorder.settings
        pace = choose_pacing(settings.pacing, catch_up=settings.catch_up)
        instants = due_times(edges, settings.rate, settings.phase).tolist()  # plain numbers
        connection, loop = self._connection, self._loop
        # Only a clip that is shorter than the service takes needs padding.
        least = 2 * whole_samples(MIN_CHUNK, settings.rate) if len(edges) == 2 else 0
        # The first chunk is read before time starts, because opening a file can take long; each
        # next one is read right after a send, while there is time.
        payload = next(audio)
        if is_wav(payload):
            self._event("wav header")
        payload = payload.ljust(least, b"\0")
        await alarm.learn()
        zero = self._loop.time()
        self.start(zero)
        self._lookout = Lookout(self.stalled)
        alarm.expect = self._lookout.expect
        sent = 0.0
        spans = pairwise(edges.tolist())
        for index, (start, stop) in enumerate(spans):
            when = instants[index]
            if index > 0:
                when = pace(loop.time() - zero, when, instants[index - 1], sent)
            if settings.pacing == "fixed_sleep":
                await alarm.roughly(zero + when)  # as people's own loops are woken
            else:
                await alarm.until(zero + when)
            self.leaving = loop.time()
            await connection.send(payload)
            returned = loop.time() - zero
            sent, self.leaving = self.leaving - zero, None
            padding = len(payload) - 2 * (stop - start)
            self.recorder.add(
                Chunk(index, start, stop, instants[index], sent, returned, len(payload), padding)
            )
            self.audio_sent = stop / settings.rate
            if callable(work):
                result = work(payload)
                if inspect.isawaitable(result):
                    await result
            elif work:
                await sleep_until(loop.time() + work)
            payload = next(audio, b"").ljust(least, b"\0")

    async def _listen(self, connection: Connection) -> None:
        """Record every message; ends when the connection does, or the service gives up."""
        until: float | None = None
        while True:
            try:
                async with asyncio.timeout_at(until):
                    text = await connection.recv()
            except Closed as closed:
                self._closed = closed
                return
            except TimeoutError:
                return
            at = self.now()
            if isinstance(text, bytes):
                text = text.decode("utf-8", "replace")
            self.recorder.add(Message(at, text))
            reply = protocol.parse(text)
            if isinstance(reply, protocol.Begin):
                self._begun.set()
            elif isinstance(reply, protocol.Termination):
                self._early = self._early or not self._terminated
                if not self._early:
                    self._finished.set()
            elif isinstance(reply, protocol.ServiceError):
                self._error = reply
            # Then it hears no more, whether or not it closes: what is sent would be lost.
            if until is None and (self._early or self._error is not None):
                until = self._loop.time() + LAST_WORDS

    async def unless_closed(
        self, coroutine: Coroutine[Any, Any, object], timeout: float | None = None
    ) -> None:
        """Await the coroutine, but no longer than `timeout` and than the connection lasts."""
        assert self._listening is not None
        task = asyncio.create_task(coroutine, name="rtkit-step")
        try:
            done, _ = await asyncio.wait(
                {task, self._listening, self._stuck},
                timeout=timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if task in done:
                await task
            elif self._listening not in done:
                raise TimeoutError
            else:
                self._listening.result()  # an error in the caller's `watch` comes out here
                if not (self._terminated and self._finished.is_set()):
                    raise self._broken_off()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def _broken_off(self) -> Failure:
        """The failure that the service's last words and its close code tell of."""
        closed = self._closed or Closed(None)
        code, text = closed.code, closed.reason
        if self._error is not None:
            code, text = self._error.code or code, self._error.text
        closure = closed.why or protocol.explain(code, text)
        early = self._early and code is None and closed.why is None
        wait = closure.wait if closure.retry and not self._begun.is_set() and not early else None
        if early or closure.name == "complete":
            closure = protocol.Closure(
                "closed early",
                "The service closed the session before its end.",
                "Try again; if it stays so, look at the service's status.",
                True,
            )
        said = f' and the words "{text}"' if text else ""
        with_code = "without a close code" if code is None else f"with the code {code}"
        return Failure(
            f"{closure.cause} {closure.cure} "
            f"(It ended {with_code}{said}, after {self.audio_sent:.1f} s of audio.)",
            wait,
        )

    async def say_terminate(self) -> None:
        assert self._connection is not None
        self._event("terminate")
        self._terminated = True
        with contextlib.suppress(Closed):  # the listener knows why
            await self._connection.send(protocol.TERMINATE)

    async def _goodbye(self) -> None:
        """End a session that is stopped: the service bills until it hears Terminate."""
        if self._connection is None or self._listening is None or self._closed is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                if not self._terminated:
                    await self.say_terminate()
                await asyncio.wait({self._listening})

    async def _close(self) -> None:
        for timer in (self._look, *self._blocks):
            if timer is not None:
                timer.cancel()
        self._over = True
        if self._lookout is not None:
            self._lookout.close()
        if self._connection is not None:
            await self._connection.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        if self._connection is not None:
            self._event("closed")

    def start(self, zero: float) -> None:
        """Time starts: t = 0 is `zero`, now or soon."""
        self._zero_is(zero)
        self._next_look()
        settings = self.recorder.settings
        if settings.isolation == "loop":  # or else the caller's loop is elsewhere
            self._blocks = [
                self._loop.call_at(self._zero + at, block, time) for at, time in settings.blocks
            ]

    def _zero_is(self, zero: float) -> None:
        self._zero = zero
        self._calendar = calendar() + zero - self._loop.time()
        started = datetime.fromtimestamp(self._calendar, UTC)
        self.recorder.begin(zero, started.isoformat(timespec="milliseconds"))

    def _event(self, name: str) -> None:
        self.recorder.add(Event(self.now(), name))

    def stalled(self, at: float, seconds: float) -> None:
        """The loop did not listen for so many seconds until `at`."""
        if not self._over:  # it may be told when the session has just ended
            self.recorder.add(Stall(at - self._zero, seconds))

    def _next_look(self) -> None:
        """See, as rarely as will do, whether a chunk has been on its way out for too long."""
        since = self._loop.time() if self.leaving is None else self.leaving
        if self._loop.time() >= since + SEND_TIMEOUT:
            self._stuck.set_result(None)
        else:
            self._look = self._loop.call_at(since + SEND_TIMEOUT, self._next_look)


class _WebSocket:
    """A websocket that ends with `Closed`, and on which a secret that comes back is struck out."""

    FULL = 1 << 15  # bytes that wait for the network: a second of audio at 16 kHz

    def __init__(self, connection: ClientConnection, endpoint: Endpoint) -> None:
        from websockets.exceptions import ConnectionClosed, InvalidState

        self._connection, self._closed, self._not_open = connection, ConnectionClosed, InvalidState
        self._secrets = endpoint.secrets

    async def send(self, frame: bytes | str) -> None:
        try:
            await self._connection.send(frame)
        except self._closed as closed:
            raise self._as_closed(closed) from None

    async def recv(self) -> str | bytes:
        try:
            frame = await self._connection.recv()
        except self._closed as closed:
            raise self._as_closed(closed) from None
        if isinstance(frame, bytes):
            frame = frame.decode("utf-8", "replace")
        return protocol.strike_out(self._secrets, frame)

    async def close(self) -> None:
        # websockets bounds its wait for the other side's Close, but not for its own to leave: the
        # one that a service keeps waiting that has stopped reading.
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT + 1.0):
                await self._connection.close()
        except TimeoutError:
            self._connection.transport.abort()
            await self._connection.wait_closed()

    def _as_closed(self, closed: ConnectionClosed) -> Closed:
        """By the close frame that came; a broken connection has none."""
        if closed.sent is not None and not closed.rcvd_then_sent and closed.sent.code != 1000:
            return Closed(None, why=protocol.explain_own(closed.sent.code))
        if closed.rcvd is None:
            return Closed(None)
        return Closed(closed.rcvd.code, protocol.strike_out(self._secrets, closed.rcvd.reason))

    def write(self, audio: bytes) -> bool:
        """Send at once, unless the way out is full: then not, and False.

        What `send` does, without a coroutine and the locks around it: these cost as much as all
        the rest of sending.
        """
        if self._connection.transport.get_write_buffer_size() > self.FULL:
            return False
        try:
            self._connection.protocol.send_binary(audio)
        except self._not_open:
            raise Closed(None) from None  # `recv` tells how
        self._connection.send_data()
        return True


async def _open_websocket(endpoint: Endpoint, left: float, timeout: float) -> _WebSocket:
    """Connect within `left` of the `timeout`, or tell in one sentence why not."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException

    host = endpoint.host
    if not endpoint.private:
        raise Failure(
            f"{host} would be told the key without encryption, for all on the way to read; "
            "connect with wss:// (ws:// is for this machine only)."
        )
    try:
        return _WebSocket(
            await connect(
                endpoint.url,
                additional_headers=dict(endpoint.headers),
                compression=None,  # it would cost the sender more than it saves
                open_timeout=left,
                close_timeout=CLOSE_TIMEOUT,
                max_size=LONGEST_MESSAGE,
                ping_interval=None,  # a busy notebook must not look like a dead network
                proxy=None if endpoint.local else True,
                logger=_quiet_logger(),
                user_agent_header=f"rtkit/{importlib.metadata.version('rtkit')}",
            ),
            endpoint,
        )
    except InvalidStatus as refused:
        status = refused.response.status_code
        closure = protocol.explain(status)
        raise Failure(
            f"{host} refused the connection with HTTP status {status}. "
            f"{closure.cause} {closure.cure}"
        ) from None
    except TimeoutError:
        raise Failure(
            f"{host} did not answer within {timeout:g} s. "
            "Look at the network, or give it longer with begin_timeout."
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise Failure(
            f"{host} could not prove that it is {host} ({error.verify_message}), so it was told "
            "nothing. Look at the host's name, and for a proxy that reads along; if that one is to "
            "be trusted, name its certificate in SSL_CERT_FILE."
        ) from None
    except (OSError, WebSocketException, ValueError) as error:
        told = protocol.strike_out(endpoint.secrets, f"{type(error).__name__}: {error}")
        raise Failure(
            f"{host} cannot be reached ({told}). Look at the network and at the host's name.",
            0.0 if _passing(error) else None,
        ) from None


def _passing(error: Exception) -> bool:
    """Whether the network did it, and may do better the next time."""
    cut_off = isinstance(error.__cause__, EOFError | OSError)
    return (isinstance(error, OSError) and not isinstance(error, ssl.SSLError)) or cut_off


@functools.cache
def _quiet_logger() -> logging.Logger:
    """At its level DEBUG websockets logs the headers, and with them the key."""
    logger = logging.getLogger("rtkit.websocket")
    logger.setLevel(logging.INFO)
    return logger


@functools.cache
def host() -> dict[str, str]:
    """What a reader of the figures wants to know of the machine."""
    return {
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": str(os.cpu_count()),
        **{name: importlib.metadata.version(name) for name in ("rtkit", "websockets", "numpy")},
    }
