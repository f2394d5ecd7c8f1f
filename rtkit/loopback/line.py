"""A session's frames in both directions, with the faults that apply to them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rtkit.loopback.faults import FAULTS
from rtkit.loopback.faults.fault import Fault, On, Sent, Wire, Written
from rtkit.services.messages import CAUSES, Begin, Close, Reply
from rtkit.services.service import Server

__all__ = ["Demand", "Line"]

_Step = Callable[[Any, On], Awaitable[None]]
EXAMPLE = {"received": "314.9", "took": "1.3", "seconds": "5"}  # facts of refusals on demand


class Demand:
    """A service's faults, and how many sessions each is still for."""

    def __init__(self, faults: Sequence[Written]) -> None:
        self._left = {fault: fault.times for fault in faults}

    def next(self) -> list[Written]:
        """Those of the session that comes now."""
        due = [fault for fault, left in self._left.items() if left != 0]
        for fault in due:
            if (left := self._left[fault]) is not None:
                self._left[fault] = left - 1
        return due


class Line:
    """One session: what goes up and down passes its faults, in their order.

    Parameters
    ----------
    wire : Wire
    server : Server
        The vendor's protocol, opened, to word what is wrong.
    faults : sequence of Written
    note : callable
        Told of each fault that happens at one moment.
    """

    def __init__(
        self,
        wire: Wire,
        server: Server,
        faults: Sequence[Written],
        note: Callable[[str], object],
    ) -> None:
        self.wire, self._server, self._note = wire, server, note
        self.heard: Callable[[], float] = float  # seconds of audio that have come
        self._faults = [FAULTS[fault.name](fault) for fault in faults]
        timed = [fault for fault in self._faults if fault.timed]
        self._coming = sorted(timed, key=_when)

    @property
    def to_come(self) -> str:
        return ", ".join(str(fault.written) for fault in self._faults)

    # The session's side.

    async def request(self) -> int | None:
        """An HTTP status that refuses the client, or None for letting it in."""
        for fault in self._faults:
            if (status := await fault.request(self)) is not None:
                return status
        return None

    def begin(self) -> None:
        for fault in self._faults:
            fault.begin(self)

    async def frames_up(self) -> AsyncIterator[str | bytes]:
        """What the client sends."""
        await self._commit(None)
        async for frame in self.wire:
            passed: list[str | bytes] = []

            async def on(frame: str | bytes, passed: list[str | bytes] = passed) -> None:
                passed.append(frame)

            await self._through([fault.up for fault in self._faults], on, frame)
            for one in passed:
                yield one
            await self._commit(self.heard())

    async def send(self, frame: Sent) -> None:
        """Send what the service says."""
        if isinstance(frame.reply, Begin):
            await self._commit(None)
        await self._through([fault.down for fault in self._faults], self._deliver, frame)

    async def close(self, code: int, reason: str) -> None:
        on: Callable[[], Awaitable[None]] = partial(self.wire.close, code, reason)
        for fault in reversed(self._faults):
            on = partial(fault.close, self, on)
        await on()

    # The faults' side.

    def tell(self, fault: Fault) -> None:
        self._note(f"fault: {fault.written}")

    def frames(self, reply: Reply) -> list[str | Close]:
        """What the vendor sends for it."""
        found = self._server.write(reply)
        return [json.dumps(frame) if isinstance(frame, Mapping) else frame for frame in found]

    async def say(self, reply: Reply, *, close: bool = True) -> None:
        """Say it to the client at once, past all faults, and close as it asks for."""
        for frame in self.frames(reply):
            if not isinstance(frame, Close):
                await self.wire.send(frame)
            elif close:
                await self.wire.close(frame.code, frame.reason)

    def words_for(self, code: int) -> str:
        """What the vendor says with a code, if it has words for that."""
        for cause in ("fault", *CAUSES):
            refusal = self._server.refusal(cause, **EXAMPLE)
            if refusal.code == code:
                return refusal.text
        return "An error on demand"

    async def _deliver(self, frame: Sent) -> None:
        await self.wire.send(frame.text)

    async def _through(self, steps: Sequence[_Step], on: On, frame: Any) -> None:
        """Have the steps pass it on, from one to the next, and the last one `on`."""
        if steps:
            await steps[0](frame, partial(self._through, steps[1:], on))
        else:
            await on(frame)

    async def _commit(self, heard: float | None) -> None:
        """What is due once so much audio has come; None for before Begin."""
        while self._coming:
            at = self._coming[0].written.at
            if at is not None and (heard is None or heard < at):
                return
            fault = self._coming.pop(0)
            self.tell(fault)
            await fault.now(self)


def _when(fault: Fault) -> float:
    return -1.0 if fault.written.at is None else fault.written.at
