"""A conversation without a network: an in-memory connection, for tests and for virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from rtkit.loopback.conversation import Behavior, Conversation, Say
from rtkit.loopback.engines import Energy, Engine
from rtkit.loopback.replay import Replay
from rtkit.services.endpoint import Closed
from rtkit.services.messages import Close
from rtkit.services.service import ASSEMBLYAI, dialect_named, part_of

__all__ = ["InMemoryConnection"]


class InMemoryConnection:
    """Both ends in one loop: what is sent arrives at the same instant, or `network()` later.

    Made inside the running loop on whose clock the session is to take place. What the dialect's
    clients say first is said already; `parameters` are by its own names.
    """

    def __init__(
        self,
        engine: Callable[[int], Engine | Replay],
        *,
        rate: int,
        behavior: Behavior | None = None,
        parameters: Mapping[str, Any] | None = None,
        network: Callable[[], float] = float,
        dialect: str = ASSEMBLYAI,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[str | Close] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._closed: Close | None = None
        self._network = network
        self._up = _Way(self._loop, self._hear)
        self._down = _Way(self._loop, self._deliver)
        self._behavior = behavior or Behavior(delay=0.0)
        self._dialect = dialect
        self._hears = "energy" if engine is Energy else "script"
        endpoint = dialect_named(dialect).endpoint("ws://127.0.0.1", "any", rate, parameters or {})
        url = urlsplit(endpoint.url)
        self._conversation = Conversation(
            part_of(dialect, "server").Server(dict(parse_qsl(url.query)), url.path),
            engine=engine,
            behavior=self._behavior,
            now=self._loop.time(),
            session_id="00000000-0000-4000-8000-000000000000",
            expires_at=0,
        )
        for frame in endpoint.opening:
            self._conversation.receive(frame, self._loop.time())
        self._pump()

    def describe(self) -> dict[str, Any]:
        """What a session records of its service."""
        return {
            "name": "embedded, in memory",
            "dialect": self._dialect,
            "engine": self._hears,
            **asdict(self._behavior),
            "usual": self._behavior.usual,
        }

    async def send(self, frame: bytes | str) -> None:
        self.write(frame)

    def write(self, frame: bytes | str) -> bool:
        """Send at once; true, because this way is never full."""
        if self._closed is not None:
            raise Closed(self._closed.code, self._closed.reason)
        self._up.carry(self._network(), frame)
        return True

    async def recv(self) -> str:
        if self._closed is not None and self._inbox.empty():
            raise Closed(self._closed.code, self._closed.reason)
        message = await self._inbox.get()
        if isinstance(message, Close):
            raise Closed(message.code, message.reason)
        return message

    async def close(self) -> None:
        self._up.end()
        self._down.end()
        if self._timer is not None:
            self._timer.cancel()
        if self._closed is None:
            self._closed = Close(1000, "")

    def _hear(self, frame: bytes | str) -> None:
        self._conversation.receive(frame, self._loop.time())
        self._pump()

    def _pump(self) -> None:
        for message in self._conversation.take(self._loop.time()):
            self._down.carry(self._network(), message)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if (coming := self._conversation.next) is not None:
            self._timer = self._loop.call_at(coming, self._pump)

    def _deliver(self, message: Say | Close) -> None:
        if isinstance(message, Close):
            self._closed = message
            self._inbox.put_nowait(message)
        else:
            self._inbox.put_nowait(message.text)


class _Way:
    """One direction of a network: things arrive some time later, and none overtakes another."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[Any], None]) -> None:
        self._loop, self._deliver = loop, deliver
        self._last = 0.0
        self._travelling: deque[tuple[asyncio.TimerHandle, object]] = deque()

    def carry(self, seconds: float, thing: object) -> None:
        now = self._loop.time()
        self._last = max(self._last, now + seconds)
        if self._last <= now and not self._travelling:
            self._deliver(thing)
        else:
            self._travelling.append((self._loop.call_at(self._last, self._arrive), thing))

    def end(self) -> None:
        for timer, _ in self._travelling:
            timer.cancel()

    def _arrive(self) -> None:
        # The first in line, whichever timer it was: a loop does not order timers of one instant.
        self._deliver(self._travelling.popleft()[1])
