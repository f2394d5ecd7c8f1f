"""Between a client's line and its conversation: frames are carried, by the loop's clock."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.exceptions import ConnectionClosed

from rtkit.loopback.conversation import Conversation
from rtkit.loopback.line import Line
from rtkit.loopback.recognizer import Recognizer
from rtkit.services.messages import Close

__all__ = ["Skin"]

PATIENCE = 30.0  # seconds that a client may take to read a message


class Skin:
    """Carries frames between a connection and its conversation, by the loop's clock."""

    def __init__(
        self,
        line: Line,
        conversation: Conversation,
        recognizer: Recognizer | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._line, self._conversation = line, conversation
        self._recognizer = recognizer
        self._changed = asyncio.Event()
        self._gone = False

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._listen())]
        if self._recognizer is not None:
            tasks.append(asyncio.create_task(self._understand(self._recognizer)))
        try:
            await self._speak()
        except (ConnectionClosed, TimeoutError):
            pass  # the client left, or does not read; there is nobody to speak to
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _listen(self) -> None:
        try:
            async for frame in self._line.frames_up():
                self._conversation.receive(frame, self._loop.time())
                self._changed.set()
        except ConnectionClosed:
            pass
        finally:  # a fault of our own, too, must not leave the client waiting: `run` raises it
            self._gone = True
            self._changed.set()

    async def _understand(self, recognizer: Recognizer) -> None:
        """Pass on the recognizer's results as they arrive."""
        try:
            async for sounds in recognizer.answers():
                self._conversation.answer(sounds, self._loop.time())
                self._changed.set()
            self._conversation.fail("The recognizer ended unexpectedly", self._loop.time())
        except BaseException:  # as above
            self._gone = True
            raise
        finally:
            self._changed.set()

    async def _speak(self) -> None:
        while not self._gone:
            for message in self._conversation.take(self._loop.time()):
                if isinstance(message, Close):
                    await self._line.close(message.code, message.reason)
                    return
                async with asyncio.timeout(PATIENCE):  # or what is to be said would pile up
                    await self._line.send(message)
            await self._next_message()

    async def _next_message(self) -> None:
        """Wait until a message's time has come, a frame arrived, or the client left."""
        coming = self._conversation.next
        timer = None if coming is None else self._loop.call_at(coming, self._changed.set)
        await self._changed.wait()
        self._changed.clear()
        if timer is not None:
            timer.cancel()
