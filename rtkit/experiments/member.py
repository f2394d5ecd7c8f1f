"""One of many sessions: called whenever a chunk is due, without its own task."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from rtkit.audio import AudioError, Clip, Level, Meter
from rtkit.clock.timetable import Timetable
from rtkit.pacing import Plan
from rtkit.sending.connect import Way
from rtkit.sending.kernel import EVERY, LONG, Kernel
from rtkit.sending.listen import Conversation
from rtkit.sending.run import Run
from rtkit.sending.websocket import Failure
from rtkit.services.service import Connection, Dialect
from rtkit.session import Chunk, Fact

__all__ = ["Audio", "Member", "Sent", "WritableConnection", "read_once"]

AGAIN = 0.01  # seconds until a full connection is tried again


class WritableConnection(Connection, Protocol):
    """A connection that also sends without a coroutine."""

    def write(self, frame: bytes | str) -> bool:
        """Send at once and return True; False if the way out is full, and nothing was sent."""


@dataclass(frozen=True)
class Audio:
    """A clip's chunks by its plan as they are sent, for one of the sessions that stream it."""

    plan: Plan
    reading: Generator[bytes, None, None]  # the same for all of them
    frames: Iterator[bytes | str]
    meter: Meter  # of that reading


def read_once(
    clips: Sequence[Clip], chunk: float, phase: str, dialects: Sequence[Dialect]
) -> list[Audio]:
    """The audio of each; that of a clip which comes several times is read once for all.

    As far as the services that it goes to take it alike.
    """
    whose = [(id(clip), one.limits, one.audio) for clip, one in zip(clips, dialects, strict=True)]
    times = Counter(whose)
    shared: dict[tuple[object, ...], Iterator[Audio]] = {}
    for clip, key in zip(clips, whose, strict=True):
        if key not in shared:
            _, limits, travels = key
            plan = Plan.of(clip, chunk=chunk, phase=phase, limits=limits)
            meter = Meter(clip.rate)
            reading = clip.chunks(plan.edges, meter)
            copies = itertools.tee(_frames(reading, plan.least, travels), times[key])
            shared[key] = iter([Audio(plan, reading, one, meter) for one in copies])
    return [next(shared[key]) for key in whose]


def _frames(
    reading: Iterator[bytes], least: int, travels: Callable[[bytes], bytes | str]
) -> Iterator[bytes | str]:
    """Chunks as they are sent."""
    for payload in reading:
        yield travels(payload.ljust(least, b"\0"))


class Sent:
    """What has been sent of a plan, as plain numbers: facts are made of them when there is time.

    With many connections a question finds nothing in the caches: one for each chunk would cost a
    tenth of all the rest. So the kernel is asked before one in `every`.
    """

    __slots__ = (
        "_asked", "_least", "_left", "_times", "_told", "due", "edges", "every", "zero"
    )  # fmt: skip

    def __init__(self, plan: Plan) -> None:
        self.edges: list[int] = plan.edges.tolist()
        self.due: list[float] = plan.due.tolist()
        self.every = max(1, round(EVERY / plan.chunk))
        self.zero = 0.0
        self._times = array("d")  # when each was sent, and when `send` came back
        self._asked = array("q")  # two of each that is asked of; -1 for None
        self._left: dict[int, float] = {}
        self._least = plan.least
        self._told = 0

    def __len__(self) -> int:
        return len(self._times) // 2

    def ask(self, kernel: Kernel) -> None:
        """Before one in `every` chunks is sent, what the kernel reports about those before it."""
        self._asked.extend(-1 if told is None else told for told in kernel.outgoing())

    def ask_when_left(self, kernel: Kernel, sent: float, returned: float) -> None:
        """After a send that took long, when the bytes of that chunk left, if the kernel tells."""
        left = kernel.left(sent, returned)
        if left is not None:
            self._left[len(self)] = left

    def add(self, sent: float, returned: float) -> None:
        """The next chunk left at `sent`, and `send` came back at `returned`, in the loop's time.

        From here on it may be written to a file, with all that is known of it.
        """
        self._times.append(sent)
        self._times.append(returned)

    def chunk(self, index: int) -> Chunk:
        start, stop = self.edges[index : index + 2]
        sent, returned = self._times[2 * index : 2 * index + 2]
        size, left = max(2 * (stop - start), self._least), self._left.get(index)
        return Chunk(
            index,
            start,
            stop,
            self.due[index],
            sent - self.zero,
            returned - self.zero,
            size,
            size - 2 * (stop - start),
            *self._told_of(index),
            None if left is None else left - self.zero,
        )

    def _told_of(self, index: int) -> tuple[int | None, int | None]:
        asked, rest = divmod(index, self.every)
        if rest:
            return None, None
        there, window = self._asked[2 * asked : 2 * asked + 2]
        return (None if there < 0 else there), (None if window < 0 else window)

    def chunks(self) -> Iterator[Chunk]:
        return map(self.chunk, range(len(self)))

    def new(self) -> list[Chunk]:
        """Those that this has not returned before."""
        first, self._told = self._told, len(self)
        return [self.chunk(index) for index in range(first, self._told)]


class Member:
    """One session among many: a timetable asks it for its next chunk whenever one is due."""

    def __init__(self, run: Run, way: Way, audio: Audio, sent: Sent) -> None:
        self.run, self.way, self.sent = run, way, sent
        self.failure: Failure | None = None
        self.on_event: Callable[[Fact], object] | None = None
        self.plan, self._audio = audio.plan, audio
        # With what went wrong: StopIteration could not be a future's exception.
        self._done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def open(self) -> None:
        """Have the first audio at hand: opening a file takes its time."""
        first = next(self._audio.frames, None)
        if first is None:
            raise self._cut_short()
        self._frames = itertools.chain((first,), self._audio.frames)

    async def send(
        self,
        conversation: Conversation,
        timetable: Timetable,
        zero: float,
        last: Callable[[], object],
    ) -> None:
        """Send every chunk when it is due; t = 0 is `zero`. Calls `last` after the last one.

        Returns a chunk's duration later: what ends a session costs much more than a send, and
        those that end within the same chunk still send.
        """
        self.sent.zero = zero
        timetable.follow(self._send(conversation, last))
        if (error := await self._done) is not None:
            raise error

    def _send(
        self, conversation: Conversation, last: Callable[[], object]
    ) -> Generator[float, None, None]:
        """Send a chunk whenever asked for the next instant to be asked at."""
        # In local variables: with thousands of sessions, whatever is looked up is in no cache.
        sent, outlet, kernel = self.sent, self.run.outlet, conversation.kernel
        zero, due, every, on_event = sent.zero, sent.due, sent.every, self.on_event
        write = cast(WritableConnection, conversation.connection).write
        time, done, add = asyncio.get_running_loop().time, self._done.done, sent.add
        failure: Exception | None = None
        try:
            for index, frame in enumerate(self._frames):  # read right after the last one was sent
                yield zero + due[index]
                if done():  # the session ended otherwise
                    return
                if index % every == 0:
                    sent.ask(kernel)
                leaving = outlet.leaving = time()
                while not write(frame):
                    yield time() + AGAIN
                    if done():
                        return
                returned = time()
                if returned - leaving > LONG:
                    sent.ask_when_left(kernel, leaving, returned)
                add(leaving, returned)
                outlet.leaving = None
                if on_event is not None:
                    on_event(sent.chunk(index))
                conversation.chunks_sent = index + 1
            if len(sent) < len(due):
                raise self._cut_short()
            last()
            yield returned + self.plan.chunk
        except Exception as error:
            failure = error  # `send` raises it
        if not done():
            self._done.set_result(failure)

    def _cut_short(self) -> AudioError:
        """What there is to say where the reading is shared, and another session met its fault."""
        name = self.run.recorder.settings.recording
        return AudioError(
            f"{name} cannot be read to its end: it was cut, damaged or changed. Record or "
            f"copy it again."
        )

    def levels(self) -> tuple[Level, ...]:
        """How loud it was, once all of it has been sent."""
        return self._audio.meter.levels()

    def close(self) -> None:
        """Close the recordings, the one that was read and the one that was written."""
        self._audio.reading.close()
        with contextlib.suppress(OSError):  # the session's end has told of it
            self.run.recorder.close()
