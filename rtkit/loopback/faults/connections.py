"""Faults of a connection as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rtkit.loopback.faults.fault import Fault, Line

GARBAGE = b"\xff\xfe\x00 neither a frame nor HTTP \r\n\r\n"


class Refuse(Fault):
    does = "refuses the connection with an HTTP status"
    usual: ClassVar[float | None] = 503
    least, most = 400, 599

    async def request(self, line: Line) -> int | None:
        line.tell(self)
        return int(self.value)


class NoAnswer(Fault):
    does = "never replies to the connection request"

    async def request(self, line: Line) -> int | None:
        line.tell(self)
        await line.wire.wait_closed()
        return None


class Garbage(Fault):
    does = "sends bytes that are not a websocket frame"
    timed = True

    async def request(self, line: Line) -> int | None:
        if self.written.at is None:
            line.tell(self)
            await self.now(line)
            line.wire.transport.close()
            await line.wire.wait_closed()
        return None

    async def now(self, line: Line) -> None:
        line.wire.transport.write(GARBAGE)


class Drop(Fault):
    does = "breaks the connection without a close frame"
    timed = True

    async def now(self, line: Line) -> None:
        line.wire.transport.abort()


class Close(Fault):
    does = "closes with a code"
    usual: ClassVar[float | None] = 1011
    least, most = 1000, 4999
    timed = True

    @classmethod
    def allows(cls, value: float) -> bool:
        # The codes between are kept for the protocol's own use, or mean that none came.
        return value in (1000, 1001, 1008, *range(1011, 1015)) or value >= 3000

    async def now(self, line: Line) -> None:
        await line.wire.close(int(self.value), "On demand")


class SlowClose(Fault):
    does = "takes the given seconds to close, without reading"
    usual: ClassVar[float | None] = 60

    async def close(self, line: Line, on: Callable[[], Awaitable[None]]) -> None:
        line.wire.transport.pause_reading()  # the client's own Close goes unanswered
        try:
            await asyncio.sleep(self.value)
        finally:
            line.wire.transport.resume_reading()
        await on()
