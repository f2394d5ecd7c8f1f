"""A conversation without a network: an in-memory connection, for tests and for virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from rtkit.loopback.conversation import Behaviour, Close, Conversation
from rtkit.loopback.ears import Ears
from rtkit.protocol import Closed

__all__ = ["MemoryConnection"]


class MemoryConnection:
    """Both ends in one loop: what is sent is heard at the same instant.

    Made inside the running loop on whose clock the session is to take place.
    """

    def __init__(
        self,
        ears: Callable[[int], Ears],
        *,
        rate: int,
        behaviour: Behaviour | None = None,
        query: Mapping[str, str] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox: asyncio.Queue[str | Close] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._closed: Close | None = None
        self._conversation = Conversation(
            {"sample_rate": str(rate), **(query or {})},
            authorized=True,
            ears=ears,
            behaviour=behaviour or Behaviour(delay=0.0),
            now=self._loop.time(),
            session_id="00000000-0000-4000-8000-000000000000",
            expires_at=0,
        )
        self._pump()

    async def send(self, frame: bytes | str) -> None:
        if self._closed is not None:
            raise Closed(self._closed.code, self._closed.reason)
        self._conversation.receive(frame, self._loop.time())
        self._pump()

    async def recv(self) -> str:
        if self._closed is not None and self._inbox.empty():
            raise Closed(self._closed.code, self._closed.reason)
        message = await self._inbox.get()
        if isinstance(message, Close):
            raise Closed(message.code, message.reason)
        return message

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._closed is None:
            self._closed = Close(1000, "")

    def _pump(self) -> None:
        for message in self._conversation.take(self._loop.time()):
            if isinstance(message, Close):
                self._closed = message
                self._inbox.put_nowait(message)
            else:
                self._inbox.put_nowait(message.text)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if (coming := self._conversation.next) is not None:
            self._timer = self._loop.call_at(coming, self._pump)
