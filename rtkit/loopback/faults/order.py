"""Messages sent too late, twice, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rtkit.loopback.faults.fault import Fault, Line, On, Sent, Written
from rtkit.services.messages import Begin, Termination, Turn


class NoBegin(Fault):
    does = "sends no Begin"

    async def down(self, frame: Sent, on: On) -> None:
        if not isinstance(frame.reply, Begin):
            await on(frame)


class LateBegin(Fault):
    does = "sends Begin late, by the given seconds"
    usual: ClassVar[float | None] = 1

    async def down(self, frame: Sent, on: On) -> None:
        if isinstance(frame.reply, Begin):
            await asyncio.sleep(self.value)
        await on(frame)


class DuplicateFinals(Fault):
    does = "sends every final result twice"

    async def down(self, frame: Sent, on: On) -> None:
        await on(frame)
        if isinstance(frame.reply, Turn) and frame.reply.end_of_turn:
            await on(frame)


class LateFinal(Fault):
    does = "sends the last final result after Termination"

    def __init__(self, written: Written) -> None:
        super().__init__(written)
        self._held: list[Sent] = []

    async def down(self, frame: Sent, on: On) -> None:
        if isinstance(frame.reply, Turn) and frame.reply.cause == "terminate":
            self._held.append(frame)
            return
        await on(frame)
        if isinstance(frame.reply, Termination):
            for held in self._held:
                await on(held)


class NoTermination(Fault):
    does = "sends no Termination, and stays connected"

    async def down(self, frame: Sent, on: On) -> None:
        if not isinstance(frame.reply, Termination):
            await on(frame)

    async def close(self, line: Line, on: Callable[[], Awaitable[None]]) -> None:
        await line.wire.wait_closed()
        await on()
