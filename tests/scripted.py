"""A service, made up in a test, that says what it was told to, when it was told to."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field

from rtkit.clock.alarm import sleep_until
from rtkit.services.assemblyai import client as protocol
from rtkit.services.endpoint import Closed

BEGIN = json.dumps({"type": "Begin", "id": "x", "expires_at": 1})
ENDED = json.dumps(
    {"type": "Termination", "audio_duration_seconds": 1, "session_duration_seconds": 2}
)
NORMAL = (ENDED, Closed(1000, "Session Ended"))


def error(code: int, text: str) -> str:
    return json.dumps({"type": "Error", "error_code": code, "error": text})


@dataclass
class Scripted:
    """A service that says what it was told to, when it was told to."""

    timeline: list[tuple[float, str | bytes | Closed]] = field(default_factory=list)
    shutdown: tuple[str | Closed, ...] = NORMAL
    heard: list[bytes | str] = field(default_factory=list)
    closed: int = 0
    deaf: bool = False

    def __post_init__(self) -> None:
        self._coming = deque(self.timeline)
        self._last_words = deque(self.shutdown)
        self._terminated = asyncio.Event()
        self._gone: Closed | None = None

    async def send(self, frame: bytes | str) -> None:
        if self._gone is not None:
            raise self._gone
        if self.deaf and isinstance(frame, bytes):
            await asyncio.Event().wait()
        self.heard.append(frame)
        if frame == protocol.TERMINATE:
            self._terminated.set()

    async def recv(self) -> str | bytes:
        told: str | bytes | Closed
        if self._coming and not self._terminated.is_set():
            when, told = self._coming.popleft()
            await sleep_until(when)
        elif self._gone is None:
            await self._terminated.wait()
            if not self._last_words:
                await asyncio.Event().wait()
            told = self._last_words.popleft()
        else:
            told = self._gone
        if isinstance(told, Closed):
            self._gone = told
            raise told
        return told

    async def close(self) -> None:
        self.closed += 1

    @property
    def terminates(self) -> int:
        return self.heard.count(protocol.TERMINATE)
