"""Faults in the flow of frames: one direction stops for a while."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import ClassVar

from rtkit.loopback.faults.fault import Fault, Line, On, Sent, Written


class _Stall(Fault):
    """A direction stands still from a moment on, or until the client has left."""

    timed = True

    def __init__(self, written: Written) -> None:
        super().__init__(written)
        self._until = 0.0

    async def now(self, line: Line) -> None:
        self._until = asyncio.get_running_loop().time() + self.value

    def begin(self, line: Line) -> None:
        self._line = line

    async def _wait(self) -> None:
        if self._until > asyncio.get_running_loop().time():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._until):
                    await self._line.wire.wait_closed()


class Deaf(_Stall):
    does = "stops reading for the given seconds"
    usual: ClassVar[float | None] = 60

    def begin(self, line: Line) -> None:
        super().begin(line)
        # Or else the host itself would take in minutes of audio before the client feels it.
        plug: socket.socket = line.wire.transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def up(self, frame: bytes | str, on: On) -> None:
        await self._wait()
        await on(frame)


class Mute(_Stall):
    does = "stops sending for the given seconds"
    usual: ClassVar[float | None] = 600

    async def down(self, frame: Sent, on: On) -> None:
        await self._wait()
        await on(frame)
