"""A running session: what its parts share, and how it ends, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any

from rtkit.audio import AudioError
from rtkit.boundary.text import told
from rtkit.clock.real import running_clock
from rtkit.clock.stalls import Lookout
from rtkit.pacing import Plan
from rtkit.recording import Recorder
from rtkit.sending.listen import GOODBYE, LAST_WORDS, Conversation, State
from rtkit.sending.session_time import SessionTime
from rtkit.sending.websocket import Failure
from rtkit.services.endpoint import Closed
from rtkit.services.service import Connection
from rtkit.session import Ending, Stall

__all__ = ["Outlet", "Run", "Unwritten"]

SEND_TIMEOUT = 30.0  # seconds that one chunk may take to leave


class Unwritten(Failure):
    """The session is complete, and its file is not."""


class Outlet:
    """Sees, as rarely as will do, whether a chunk has been on its way out for too long.

    Attributes
    ----------
    leaving : float or None
        Since when a chunk has been on its way out, in the loop's own time.
    stuck : Future
        Done when that was too long ago.
    """

    __slots__ = ("_loop", "_timer", "leaving", "stuck")  # with many sessions, each look-up counts

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.leaving: float | None = None
        self.stuck: asyncio.Future[None] = self._loop.create_future()

    def look(self) -> None:
        """From here on, look."""
        since = self._loop.time() if self.leaving is None else self.leaving
        if self._loop.time() >= since + SEND_TIMEOUT:
            self.stuck.set_result(None)
        else:
            self._timer = self._loop.call_at(since + SEND_TIMEOUT, self.look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


class Run:
    """One session while it runs.

    `begin` a conversation, `start` the time, send what there is inside `sending`, and `terminate`;
    all of it inside `ending`.

    Attributes
    ----------
    recorder : Recorder
    timeline : SessionTime
    outlet : Outlet
    conversation : Conversation or None
        The one that goes on, or went on last.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder, self.timeline, self.outlet = recorder, SessionTime(recorder), Outlet()
        self.conversation: Conversation | None = None
        self._blocks: list[asyncio.TimerHandle] = []
        self._lookout: Lookout | None = None
        self._over = False

    @property
    def audio_sent(self) -> float:
        """How many seconds of audio have been sent."""
        return 0.0 if self.conversation is None else self.conversation.audio_sent

    async def begin(
        self, connection: Connection, *, opening: Iterable[str] = (), timeout: float
    ) -> Conversation:
        """Begin a conversation over this connection; raises TimeoutError if that takes longer."""
        conversation = Conversation(connection, self.recorder, self.timeline)
        self.conversation = conversation
        await conversation.while_open(conversation.begin(opening), timeout=timeout)
        return conversation

    async def leave(self) -> None:
        """Close a conversation that failed, and forget it; what was said stays recorded."""
        if self.conversation is not None:
            await self.conversation.close()
            self.conversation = None

    def start(self, zero: float, plan: Plan) -> None:
        """Time starts: t = 0 is `zero`, now or soon, and audio is sent by the plan."""
        self.timeline.start(zero)
        if self.conversation is not None:
            self.conversation.audio_flows(plan)
        self.outlet.look()
        settings, loop = self.recorder.settings, asyncio.get_running_loop()
        if settings.isolation == "loop":  # or else the caller's loop is elsewhere
            block = running_clock().block
            self._blocks = [loop.call_at(zero + at, block, time) for at, time in settings.blocks]

    def look_out(self) -> Callable[[float], object]:
        """Record the loop's stalls until the end; returns what is to be told of each wake-up."""
        self._lookout = Lookout(self.stalled)
        return self._lookout.expect

    def stalled(self, at: float, seconds: float) -> None:
        """Record a stall of the loop that ended `at`."""
        if not self._over:  # it may be told when the session has just ended
            self.recorder.add(Stall(at - self.timeline.zero, seconds))

    async def sending(
        self, conversation: Conversation, coroutine: Coroutine[Any, Any, object]
    ) -> None:
        """Await the coroutine that sends the audio, or explain why it failed."""
        try:
            await conversation.while_open(coroutine, unless=self.outlet.stuck)
        except AudioError as error:
            raise Failure(str(error)) from error
        except TimeoutError:
            raise Failure(
                f"A chunk could not be sent within {SEND_TIMEOUT:g} s: the service has "
                f"stopped reading, or the network is down. Try again."
            ) from None
        except Closed as closed:
            # The last words of a service that closes say why; give them a moment to arrive.
            await asyncio.wait({conversation.listening}, timeout=LAST_WORDS)
            conversation.closed = conversation.closed or closed
            raise conversation.failure() from None

    async def terminate(self, conversation: Conversation, timeout: float) -> None:
        """End the session as its service wants it, and wait until that has said its last word.

        A service that received audio faster than real time may need until the audio's nominal end
        to process it; `timeout` counts from then.
        """
        left = max(0.0, self.recorder.settings.seconds - self.timeline.now())
        try:
            await conversation.while_open(conversation.end(), timeout=left + timeout)
        except TimeoutError:
            awaited = conversation.awaited  # None: it came just as nobody waited any more
            missing = "close" if awaited is Closed else getattr(awaited, "__name__", "last word")
            raise Failure(
                f"The service sent no {missing} within {timeout:g} s after it was asked to "
                f"end; its last words may be missing. Increase termination_timeout, or try again."
            ) from None
        if conversation.state is not State.FINISHED:
            raise conversation.failure()
        if conversation.dialect.closes:
            await asyncio.wait({conversation.listening}, timeout=GOODBYE)

    @contextlib.asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """Whatever happens inside: say goodbye, close, and record how it ended."""
        ending, raised = Ending("complete"), None
        try:
            yield
            if self._state is not State.FINISHED:
                ending = Ending("stopped")  # nobody waited for the service's last word
        except BaseException as error:
            ending, raised = _ending_by(error), error
            asked = isinstance(error, Failure) and self._state in (State.ENDING, State.FINISHED)
            if self.conversation is not None and not asked:
                await self.conversation.goodbye()
            raise
        finally:
            await self._close()
            closed = self.conversation and self.conversation.closed
            if closed:
                ending = replace(ending, code=closed.code, reason=closed.reason)
            self.timeline.end(ending)
            try:
                self.recorder.close()
            except OSError as error:
                _tell_of(error, raised)

    @property
    def _state(self) -> State | None:
        return None if self.conversation is None else self.conversation.state

    async def _close(self) -> None:
        for timer in self._blocks:
            timer.cancel()
        self.outlet.close()
        if self._lookout is not None:
            self._lookout.close()
        self._over = True
        if self.conversation is not None:
            await self.conversation.close()


def _ending_by(error: BaseException) -> Ending:
    if isinstance(error, asyncio.CancelledError):
        return Ending("stopped")
    if not isinstance(error, Failure):
        return Ending("failed", f"{type(error).__name__}: {told(error)}")
    closure = "" if error.closure is None else error.closure.name
    return Ending("failed", str(error), closure=closure)


def _tell_of(unwritten: OSError, raised: BaseException | None) -> None:
    """A file that could not be written is told of beside what was raised before, if anything."""
    sentence = (
        f"The session's file could not be written ({unwritten.strerror}). The session itself "
        f"is complete in memory: save it elsewhere with session.save(PATH)."
    )
    if raised is None:
        raise Unwritten(sentence) from unwritten
    if isinstance(raised, Failure):
        raised.args = (f"{raised} {sentence}",)
    else:
        raised.add_note(sentence)
