"""One session among many: called whenever a chunk of it is due, without a task of its own."""

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
from rtkit.services.service import Connection, Limits, dialect_of
from rtkit.session import Chunk, Fact

__all__ = ["Audio", "Member", "Sent", "WritableConnection", "read_once"]

AGAIN = 0.01  # seconds until a full connection is tried again


class WritableConnection(Connection, Protocol):
    """A connection that also sends without a coroutine."""

    def write(self, frame: bytes | str) -> bool:
        """Send at once and return True; False if the way out is full, and nothing was sent."""


@dataclass(frozen=True)
class Audio:
    """A clip's chunks by its plan, for one of the sessions that stream it."""

    plan: Plan
    reading: Generator[bytes, None, None]  # the same for all of them
    chunks: Iterator[bytes]
    meter: Meter  # of that reading


def read_once(
    clips: Sequence[Clip], chunk: float, phase: str, limits: Sequence[Limits]
) -> list[Audio]:
    """The audio of each; that of a clip which comes several times is read once for all.

    As far as the services that it goes to have the same `limits`.
    """
    whose = [(id(clip), one) for clip, one in zip(clips, limits, strict=True)]
    times = Counter(whose)
    shared: dict[tuple[int, Limits], Iterator[Audio]] = {}
    for clip, key in zip(clips, whose, strict=True):
        if key not in shared:
            plan = Plan.of(clip, chunk=chunk, phase=phase, limits=key[1])
            meter = Meter(clip.rate)
            reading = clip.chunks(plan.edges, meter)
            copies = itertools.tee(reading, times[key])
            shared[key] = iter([Audio(plan, reading, chunks, meter) for chunks in copies])
    return [next(shared[key]) for key in whose]


class Sent:
    """What has been sent of a plan, as plain numbers: facts are made of them when there is time.

    With many connections a question finds nothing in the caches: one for each chunk would cost a
    tenth of all the rest. So the kernel is asked before one in `every`.
    """

    def __init__(self, plan: Plan) -> None:
        self.edges: list[int] = plan.edges.tolist()
        self.due: list[float] = plan.due.tolist()
        self.every = max(1, round(EVERY / plan.chunk))
        self.zero = 0.0
        self._sent, self._returned = array("d"), array("d")
        self._asked = array("q")  # two of each that is asked of; -1 for None
        self._left: dict[int, float] = {}
        self._least = plan.least
        self._told = 0

    def __len__(self) -> int:
        return len(self._returned)

    def ask(self, kernel: Kernel) -> None:
        """Before one in `every` chunks leaves, what the kernel tells of those before it."""
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
        self._sent.append(sent)
        self._returned.append(returned)

    def chunk(self, index: int) -> Chunk:
        start, stop = self.edges[index : index + 2]
        size, left = max(2 * (stop - start), self._least), self._left.get(index)
        return Chunk(
            index,
            start,
            stop,
            self.due[index],
            self._sent[index] - self.zero,
            self._returned[index] - self.zero,
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
    """One session among many: a timetable calls it whenever a chunk of it is due."""

    def __init__(self, run: Run, way: Way, audio: Audio, sent: Sent) -> None:
        self.run, self.way = run, way
        self.failure: Failure | None = None
        self.on_event: Callable[[Fact], object] | None = None
        self.sent = sent
        self._sent_one, self._outlet = sent.add, run.outlet
        self._audio, self._plan = audio, audio.plan
        self._index, self._count = 0, len(sent.due)
        self._travels = dialect_of(way.described).audio
        self._time = asyncio.get_running_loop().time
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def open(self) -> None:
        """Have the first audio at hand: opening a file takes its time."""
        self._read_next()

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
        self._conversation, self.sent.zero, self._last = conversation, zero, last
        self._write = cast(WritableConnection, conversation.connection).write
        timetable.at(zero + self.sent.due[0], self)
        await self._done

    def __call__(self) -> float | None:
        if self._done.done():  # the session ended otherwise
            return None
        try:
            if self._index < self._count:
                return self._send_next()
            self._done.set_result(None)
            return None
        except Exception as error:  # `send` raises it
            self._done.set_exception(error)
            return None

    def _send_next(self) -> float | None:
        outlet = self._outlet
        leaving = outlet.leaving
        if leaving is None:
            if self._index % self.sent.every == 0:
                self.sent.ask(self._conversation.kernel)
            leaving = outlet.leaving = self._time()
        if not self._write(self._frame):
            return self._time() + AGAIN
        returned = self._time()
        if returned - leaving > LONG:
            self.sent.ask_when_left(self._conversation.kernel, leaving, returned)
        self._sent_one(leaving, returned)
        outlet.leaving = None
        if self.on_event is not None:
            self.on_event(self.sent.chunk(self._index))
        self._index += 1
        self._conversation.chunks_sent = self._index
        self._conversation.audio_sent = self.sent.edges[self._index] / self._plan.rate
        if self._index == self._count:
            self._last()
            return returned + self._plan.chunk
        self._read_next()
        return self.sent.zero + self.sent.due[self._index]

    def _read_next(self) -> None:
        payload = next(self._audio.chunks, None)
        if payload is None:  # the reading is shared, and another session met the fault
            name = self.run.recorder.settings.recording
            raise AudioError(
                f"{name} cannot be read to its end: it was cut, damaged or changed. Record or "
                f"copy it again."
            )
        self._frame = self._travels(payload.ljust(self._plan.least, b"\0"))

    def levels(self) -> tuple[Level, ...]:
        """How loud it was, once all of it has been sent."""
        return self._audio.meter.levels()

    def close(self) -> None:
        """Close the recordings, the one that was read and the one that was written."""
        self._audio.reading.close()
        with contextlib.suppress(OSError):  # the session's end has told of it
            self.run.recorder.close()
