"""A session while it runs: connecting, beginning, sending, listening, and every way out."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import platform
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from rtkit.audio import AudioError, Clip, Meter, is_wav
from rtkit.boundary.text import told
from rtkit.clock.alarm import Alarm, sleep_until
from rtkit.clock.real import running_clock
from rtkit.clock.stalls import Lookout
from rtkit.pacing import Plan
from rtkit.recording import Recorder
from rtkit.sending.websocket import Failure, WebSocket, open_websocket
from rtkit.services import messages
from rtkit.services.endpoint import Closed, Endpoint
from rtkit.services.explain import CLOSED_EARLY, explain
from rtkit.services.service import Connection, Reader, Service, Step, dialect_of
from rtkit.session import Chunk, Ending, Event, Message, Stall

__all__ = ["Run", "Unwritten", "host"]

GOODBYE = 3.0  # seconds that a stopped session waits for the service's last word
SEND_TIMEOUT = 30.0  # seconds that one chunk may take to leave
LAST_WORDS = 1.0  # seconds in which a service that gives up may say why
PAUSES = (0.5, 1.0)  # seconds before the second and the third try to connect


class Unwritten(Failure):
    """The session is complete, and its file is not."""


class Run:
    """A session as it runs: the connection, the recorder, and t = 0.

    `open` (or `begin`), `send` and `terminate`, in this order, inside `ending`.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.dialect = dialect_of(recorder.settings.service)
        self._loop = asyncio.get_running_loop()
        self._zero = self._calendar = 0.0
        self._connection: Connection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._opening: tuple[str, ...] = ()  # what is said first, by the endpoint
        self._begun = asyncio.Event()
        self._terminated = False  # the service was told that no more audio comes
        self._finished = False  # its last word has come, as asked
        self._step = Step(None)  # of the shutdown, the one that is being taken
        self._last = False  # whether that is the last one
        self._answered = asyncio.Event()  # what it waits for has come, or the end
        self._early = False  # the service's last word has come, unasked
        self.chunks_sent = 0
        self._staying: asyncio.Task[None] | None = None
        self._error: messages.ServiceError | None = None
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
        ending, raised = Ending("complete"), None
        try:
            yield
            if not self._finished:
                ending = Ending("stopped")  # nobody waited for the service's last word
        except BaseException as error:
            ending, raised = _ending_by(error), error
            if not (isinstance(error, Failure) and self._terminated):
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
                calendar=running_clock().calendar() - self._calendar,
            )
            self.recorder.add(ending)
            try:
                self.recorder.close()
            except OSError as error:
                sentence = (
                    f"The session's file could not be written ({error.strerror}); the session "
                    "itself is whole in memory: save it elsewhere with session.save(PATH)."
                )
                if raised is None:
                    raise Unwritten(sentence) from error
                if isinstance(raised, Failure):
                    raised.args = (f"{raised} {sentence}",)
                else:
                    raised.add_note(sentence)

    async def open(self, service: Service, clip: Clip, timeout: float) -> WebSocket:
        """Connect and begin; where that may help, try again, within `timeout` in all.

        Once the session has begun nothing is tried again: what comes back from a second session
        starts at 0, and would pass for the first one's.
        """
        endpoint = await self._endpoint(service, clip)
        self._opening = endpoint.opening
        deadline = self._loop.time() + timeout
        tries = 0
        while True:
            tries += 1
            try:
                connection = await self._connect(endpoint, deadline - self._loop.time(), timeout)
                await self.begin(connection, timeout, deadline)
            except Failure as failure:
                if failure.wait is None:
                    raise
                if tries > len(PAUSES):
                    raise Failure(
                        f"{failure} Tried {tries} times.", closure=failure.closure
                    ) from None
                # Clients that were cut off together must not come back together.
                pause = max(PAUSES[tries - 1], failure.wait) * random.uniform(1.0, 1.25)
                if self._loop.time() + pause >= deadline:
                    raise
                await self._leave()
                await sleep_until(self._loop.time() + pause)
            else:
                return connection

    async def _endpoint(self, service: Service, clip: Clip) -> Endpoint:
        try:
            endpoint = await service.connect_info(clip.rate, clip.reference)
        except RuntimeError as error:  # the embedded service could not be started, or ended
            raise Failure(str(error)) from error
        bearer = endpoint.headers.get("Authorization", "").lower().startswith("bearer ")
        if bearer and not self.dialect.bearer:
            self._event("bearer")
        return endpoint

    async def _connect(self, endpoint: Endpoint, left: float, timeout: float) -> WebSocket:
        self._event("connecting")
        dialect = self.recorder.settings.dialect
        connection = await open_websocket(endpoint, left, timeout, dialect)
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
        """Listen, say what comes first, and wait for the service's first word, if it has one."""
        self._connection = connection
        reader = self.dialect.reader(self.recorder.settings.rate)
        self._listening = asyncio.create_task(self._listen(connection, reader), name="rtkit-listen")
        left = timeout if deadline is None else max(0.0, deadline - self._loop.time())
        try:
            await self.unless_closed(self._begin(connection), left)
        except TimeoutError:
            raise Failure(
                f"The service accepted the connection but sent no Begin within {timeout:g} s. "
                "Try again; if it stays so, look at the service's status."
            ) from None

    async def _begin(self, connection: Connection) -> None:
        with contextlib.suppress(Closed):  # the listener knows why
            for frame in self._opening:
                await connection.send(frame)
        if not self.dialect.begins:
            self._begun.set()
        await self._begun.wait()
        if self.dialect.keep_alive is not None:
            self._staying = asyncio.create_task(self._stay(connection, *self.dialect.keep_alive))

    async def _stay(self, connection: Connection, frame: str | bytes, every: float) -> None:
        """Until audio flows, tell the service now and then that it will."""
        with contextlib.suppress(Closed):  # the listener knows why
            while True:
                await asyncio.sleep(every)
                await connection.send(frame)

    async def send(self, clip: Clip, plan: Plan, work: float | Callable[[bytes], object]) -> None:
        """Start the time, and send every chunk when the pacing says so."""
        meter = Meter(clip.rate)
        alarm, audio = Alarm(), clip.chunks(plan.edges, meter)
        try:
            await self.sending(self._send(alarm, audio, plan, work))
        finally:
            audio.close()  # or an error that is kept would keep the recording open
            alarm.close()
            for level in meter.levels():
                self.recorder.add(level)

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
        """End the session as its service wants it, and wait until that has said its last word.

        A service that was sent audio faster than it was spoken may take until the audio would
        have ended to hear it all; `timeout` counts from then.
        """
        clip_ends = self.recorder.settings.seconds
        try:
            await self.unless_closed(
                self.say_terminate(), max(0.0, clip_ends - self.now()) + timeout
            )
        except TimeoutError:
            assert self._step.until is not None
            missing = "close" if self._step.until is Closed else self._step.until.__name__
            raise Failure(
                f"The service sent no {missing} within {timeout:g} s after it was asked to end; "
                "its last words may be missing. Give it longer with termination_timeout, or try "
                "again."
            ) from None
        if not self._finished:
            raise self._broken_off()
        assert self._listening is not None
        await asyncio.wait({self._listening}, timeout=GOODBYE)  # it closes first, if it can

    async def _send(
        self,
        alarm: Alarm,
        audio: Iterator[bytes],
        plan: Plan,
        work: float | Callable[[bytes], object],
    ) -> None:
        assert self._connection is not None
        pace, due, least = plan.pace, plan.due.tolist(), plan.least  # plain numbers
        connection, loop, travels = self._connection, self._loop, self.dialect.audio
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
        alarm.timer.expect = self._lookout.expect
        sent = 0.0
        spans = pairwise(plan.edges.tolist())
        for index, (start, stop) in enumerate(spans):
            when = due[index]
            if index > 0:
                when = pace(loop.time() - zero, when, due[index - 1], sent)
            if plan.pacing == "fixed_sleep":
                await alarm.roughly(zero + when)  # as people's own loops are woken
            else:
                await alarm.until(zero + when)
            frame = travels(payload)
            self.leaving = loop.time()
            await connection.send(frame)
            returned = loop.time() - zero
            sent, self.leaving = self.leaving - zero, None
            padding = len(payload) - 2 * (stop - start)
            self.recorder.add(
                Chunk(index, start, stop, due[index], sent, returned, len(payload), padding)
            )
            self.chunks_sent, self.audio_sent = index + 1, stop / plan.rate
            if callable(work):
                result = work(payload)
                if inspect.isawaitable(result):
                    await result
            elif work:
                await sleep_until(loop.time() + work)
            payload = next(audio, b"").ljust(least, b"\0")

    async def _listen(self, connection: Connection, reader: Reader) -> None:
        """Record every message; ends when the connection does, or the service gives up."""
        until: float | None = None
        try:
            while True:
                async with asyncio.timeout_at(until):
                    text = await connection.recv()
                at = self.now()
                if isinstance(text, bytes):
                    text = text.decode("utf-8", "replace")
                replies = reader.read(text)
                self.recorder.add(Message(at, text, replies))
                for reply in replies:
                    self._hear(reply)
                # Then it hears no more, whether or not it closes: what is sent would be lost.
                if until is None and (self._early or self._error is not None):
                    until = self._loop.time() + LAST_WORDS
        except Closed as closed:
            self._closed = closed
            if self._last and self._step.until is Closed and closed.code == 1000:
                self._finished = True
        except TimeoutError:
            pass
        finally:
            self._answered.set()

    def _hear(self, reply: messages.Reply) -> None:
        if isinstance(reply, messages.Begin):
            self._begun.set()
        elif isinstance(reply, messages.Termination):
            self._early = self._early or not self._terminated
        elif isinstance(reply, messages.ServiceError):
            self._error = reply
        if self._step.until is not None and isinstance(reply, self._step.until):
            self._answered.set()
            self._finished = self._last and not self._early

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
                self._listening.result()  # an error in the caller's `on_event` comes out here
                if not self._finished:
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
            code, text = self._error.code or code, told(self._error.text)
        closure = closed.why or explain(code, text, dialect=self.recorder.settings.dialect)
        early = self._early and code is None and closed.why is None
        wait = closure.wait if closure.retry and not self._begun.is_set() and not early else None
        if early or closure.name == "complete":
            closure = CLOSED_EARLY
        said = f' and the words "{text}"' if text else ""
        with_code = "without a close code" if code is None else f"with the code {code}"
        return Failure(
            f"{closure.cause} {closure.fix} "
            f"(It ended {with_code}{said}, after {self.audio_sent:.1f} s of audio.)",
            wait,
            closure,
        )

    async def say_terminate(self, *, wait: bool = True) -> None:
        """Take the dialect's steps to the session's end, with or without what they wait for."""
        assert self._connection is not None
        assert self._listening is not None
        self._event("terminate")
        self._terminated = True
        steps = self.dialect.shutdown(self.chunks_sent)
        for step in steps:
            self._answered.clear()
            self._step, self._last = step, step is steps[-1]
            if step.frame is not None:
                try:
                    await self._connection.send(step.frame)
                except Closed:  # the listener knows why
                    return
            if wait and step.until is not None:
                await self._answered.wait()
                if self._listening.done():
                    return
        self._finished = self._finished or self._step.until is None

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
        if self._staying is not None:
            self._staying.cancel()
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
        if self._staying is not None:
            self._staying.cancel()
        self._next_look()
        settings = self.recorder.settings
        if settings.isolation == "loop":  # or else the caller's loop is elsewhere
            block = running_clock().block
            self._blocks = [
                self._loop.call_at(self._zero + at, block, time) for at, time in settings.blocks
            ]

    def _zero_is(self, zero: float) -> None:
        self._zero = zero
        self._calendar = running_clock().calendar() + zero - self._loop.time()
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


def _ending_by(error: BaseException) -> Ending:
    if isinstance(error, asyncio.CancelledError):
        return Ending("stopped")
    if not isinstance(error, Failure):
        return Ending("failed", f"{type(error).__name__}: {told(error)}")
    closure = "" if error.closure is None else error.closure.name
    return Ending("failed", str(error), closure=closure)


@functools.cache
def host() -> dict[str, str]:
    """What a reader of the figures wants to know of the machine."""
    return {
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": str(os.cpu_count()),
        **{name: version(name) for name in ("rtkit", "websockets", "numpy")},
    }
