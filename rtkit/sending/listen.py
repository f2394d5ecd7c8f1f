"""The conversation of a session with its service over one connection, and its state."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine, Iterable
from enum import Enum
from typing import Any

from rtkit.boundary.text import told
from rtkit.pacing import Plan
from rtkit.recording import Recorder
from rtkit.sending.kernel import NOTHING, Kernel
from rtkit.sending.session_time import SessionTime
from rtkit.sending.websocket import Failure
from rtkit.services import messages
from rtkit.services.endpoint import Closed
from rtkit.services.explain import CLOSED_EARLY, FLOOD, explain
from rtkit.services.service import Connection, dialect_of
from rtkit.session import Message

__all__ = ["Conversation", "State"]

GOODBYE = 3.0  # seconds that a stopped session waits for the service's last word
LAST_WORDS = 1.0  # seconds in which a service that gives up may say why
# What is kept of what a service says, in bytes: at once, and for each second of time or of audio.
# Words that are told again and again in long turns have to fit.
KEPT, KEPT_EACH_SECOND = 1 << 26, 100_000
OVERHEAD, WORD = 1000, 100  # bytes of a message, and of each word that is read in it


class State(Enum):
    """How far a conversation has come."""

    OPEN = "the service has not said yet that it hears"
    BEGUN = "audio may flow"
    ENDING = "the service was told that no more audio comes"
    FINISHED = "it has said its last word, as asked"
    CLOSED = "the connection is closed"


_NEXT = {
    State.OPEN: (State.BEGUN, State.ENDING, State.CLOSED),
    State.BEGUN: (State.ENDING, State.CLOSED),
    State.ENDING: (State.FINISHED, State.CLOSED),
    State.FINISHED: (State.CLOSED,),
    State.CLOSED: (),
}


class Conversation:
    """Both sides of what is said over one connection; it listens from when it is made.

    `begin` and `end`, in this order, each inside `while_open`; `close`, whatever happened.

    Attributes
    ----------
    connection : Connection
    kernel : Kernel
        The kernel's view of it, if available.
    state : State
    given_up : ServiceError or Termination or None
        The message with which the service ended the session by itself. It then ignores everything,
        whether or not it closes the connection.
    complaint : ServiceError or None
        The last that it said was wrong.
    closed : Closed or None
        How the connection ended.
    awaited : type or None
        What the step waits for that is being taken to the session's end.
    plan : Plan or None
        Of the audio that is sent, once it flows.
    chunks_sent : int
        How many of its chunks have been sent.
    """

    def __init__(self, connection: Connection, recorder: Recorder, timeline: SessionTime) -> None:
        self.connection = connection
        self.kernel: Kernel = getattr(connection, "kernel", NOTHING)
        self.dialect = dialect_of(recorder.settings.service)
        self.state = State.OPEN
        self.given_up: messages.ServiceError | messages.Termination | None = None
        self.complaint: messages.ServiceError | None = None
        self.closed: Closed | None = None
        self.awaited: type[messages.Reply] | type[Closed] | None = None
        self.plan: Plan | None = None
        self.chunks_sent = 0
        self._recorder, self._timeline = recorder, timeline
        self._heard = 0  # bytes
        self._news = asyncio.Event()
        self._staying: asyncio.Task[None] | None = None
        self.listening = asyncio.create_task(self._listen(), name="rtkit-listen")

    @property
    def audio_sent(self) -> float:
        """How many seconds of audio have been sent."""
        return 0.0 if self.plan is None else self.plan.edges[self.chunks_sent] / self.plan.rate

    async def begin(self, opening: Iterable[str] = ()) -> None:
        """Say what comes first, and wait for the service's first word, if it has one."""
        with contextlib.suppress(Closed):  # the listener knows why
            for frame in opening:
                await self.connection.send(frame)
        if not self.dialect.begins and self.state is State.OPEN:
            self._go(State.BEGUN)
        await self._until(lambda: self.state is not State.OPEN)
        if self.dialect.keep_alive is not None:
            self._staying = asyncio.create_task(self._stay(*self.dialect.keep_alive))

    def audio_flows(self, plan: Plan) -> None:
        """From here on audio is sent by this plan, and nothing else keeps the session alive."""
        self.plan = plan
        self._stay_no_more()

    def _stay_no_more(self) -> None:
        if self._staying is not None:
            self._staying.cancel()

    async def end(self, *, wait: bool = True) -> None:
        """Take the dialect's steps to the session's end, with or without what they wait for."""
        self._timeline.event("terminate")
        self._go(State.ENDING)
        for step in self.dialect.shutdown(self.chunks_sent):
            self.awaited = step.until
            if step.frame is not None:
                try:
                    await self.connection.send(step.frame)
                except Closed:  # the listener knows why
                    return
            if wait:
                try:
                    async with asyncio.timeout(step.within):
                        await self._until(lambda: self.awaited is None or self.listening.done())
                except TimeoutError:  # it need not reply
                    self.awaited = None
                if self.awaited is not None:
                    return
        if self.awaited is None and self.given_up is None:
            self._go(State.FINISHED)

    async def goodbye(self) -> None:
        """End a session that is stopped, because the service bills until it is told."""
        if self.closed is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                if self.state in (State.OPEN, State.BEGUN):
                    await self.end()
                await asyncio.wait({self.listening})

    async def close(self) -> None:
        """Close the connection, and listen no more."""
        self._stay_no_more()
        await self.connection.close()
        self.listening.cancel()
        await asyncio.wait({self.listening})
        self._timeline.event("closed")
        self._go(State.CLOSED)

    async def while_open(
        self,
        coroutine: Coroutine[Any, Any, object],
        *,
        timeout: float | None = None,
        unless: asyncio.Future[None] | None = None,
    ) -> None:
        """Await the coroutine, as long as the connection lasts.

        Raises
        ------
        TimeoutError
            If it takes longer than `timeout`, or than until `unless` is done.
        Failure
            If the service ends the session, or the connection breaks.
        """
        task = asyncio.create_task(coroutine, name="rtkit-step")
        others = {self.listening} if unless is None else {self.listening, unless}
        try:
            done, _ = await asyncio.wait(
                {task, *others}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if task in done:
                await task
            elif self.listening not in done:
                raise TimeoutError
            else:
                self.listening.result()  # an error in the caller's `on_event` comes out here
                raise self.failure()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def failure(self) -> Failure:
        """The failure that the service's last message and close code describe."""
        closed = self.closed or Closed(None)
        code, text = closed.code, closed.reason
        if self.complaint is not None:
            code, text = self.complaint.code or code, told(self.complaint.text)
        closure = closed.why or explain(code, text, dialect=self._recorder.settings.dialect)
        unsaid = code is None and closed.why is None
        early = unsaid and isinstance(self.given_up, messages.Termination)
        again = closure.retry and self.state is State.OPEN and not early
        wait = closure.wait if again else None
        if early or closure.name == "complete":
            closure = CLOSED_EARLY
        said = f' and the message "{text}"' if text else ""
        with_code = "without a close code" if code is None else f"with code {code}"
        return Failure(
            f"{closure.cause} {closure.fix} "
            f"(It ended {with_code}{said}, after {self.audio_sent:.1f} s of audio.)",
            wait,
            closure,
        )

    async def _listen(self) -> None:
        """Record every message; ends when the connection does, or the service gives up."""
        read = self.dialect.reader(self._recorder.settings.rate).read
        until: float | None = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while True:
                async with asyncio.timeout_at(until):
                    text = await self.connection.recv()
                at, waited = self._timeline.now(), self.kernel.waited()
                if isinstance(text, bytes):
                    text = text.decode("utf-8", "replace")
                replies = read(text)
                words = sum(len(one.words) for one in replies if isinstance(one, messages.Turn))
                self._heard += OVERHEAD + sys.getsizeof(text) + WORD * words
                lasts = max(loop.time() - began, self.audio_sent)
                if self._heard > KEPT + KEPT_EACH_SECOND * lasts:
                    raise Closed(None, why=FLOOD)
                self._recorder.add(Message(at, text, replies, waited))
                for reply in replies:
                    self._hear(reply)
                if until is None and self.given_up is not None:
                    until = loop.time() + LAST_WORDS
        except Closed as closed:
            self.closed = closed
            if self.awaited is Closed and closed.code == 1000:
                self.awaited = None
        except TimeoutError:
            pass
        finally:
            self._news.set()

    def _hear(self, reply: messages.Reply) -> None:
        asked = self.state not in (State.OPEN, State.BEGUN)
        if isinstance(reply, messages.Begin) and self.state is State.OPEN:
            self._go(State.BEGUN)
        elif isinstance(reply, messages.ServiceError):
            self.complaint = reply
            self.given_up = reply if reply.ends else self.given_up
        elif isinstance(reply, messages.Termination) and not asked:
            self.given_up = self.given_up or reply
        if self.awaited is not None and isinstance(reply, self.awaited):
            self.awaited = None
        self._news.set()

    async def _stay(self, frame: str | bytes, every: float) -> None:
        """Until audio flows, send keep-alive messages."""
        with contextlib.suppress(Closed):  # the listener knows why
            while True:
                await asyncio.sleep(every)
                await self.connection.send(frame)

    async def _until(self, true: Callable[[], bool]) -> None:
        """Wait until it is true, checking again after each message."""
        while not true():
            self._news.clear()
            await self._news.wait()

    def _go(self, state: State) -> None:
        assert state in _NEXT[self.state], f"{self.state} -> {state}"
        self.state = state
