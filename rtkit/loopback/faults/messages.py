"""Faulty messages, in the protocol of any vendor."""

from __future__ import annotations

import json
from typing import ClassVar

from rtkit.loopback.faults.connections import Close
from rtkit.loopback.faults.fault import Fault, Line
from rtkit.services.messages import Begin, ServiceError, Termination, Turn, Word

NOBODY = Turn(0, "", (Word("boo", 0.0, 0.08, 0.1),), False)


class Error(Fault):
    does = "sends an error and closes with its code"
    usual: ClassVar[float | None] = 1011
    least, most = 400, 4999
    timed = True

    @classmethod
    def allows(cls, value: float) -> bool:
        return value < 600 or Close.allows(value)

    async def now(self, line: Line) -> None:
        code = int(self.value)
        await line.say(ServiceError(code, line.words_for(code)))


class BadJson(Fault):
    does = "sends a message that is not JSON"
    timed = True

    async def now(self, line: Line) -> None:
        await line.wire.send(str(line.frames(NOBODY)[0])[:50])


class Unknown(Fault):
    does = "sends a message of an unknown type"
    timed = True

    async def now(self, line: Line) -> None:
        await line.wire.send(json.dumps({"type": "Chatter", "on": "demand"}))


class OneBegin(Fault):
    does = "sends an extra Begin"
    timed = True

    async def now(self, line: Line) -> None:
        await line.say(Begin("one too many"))


class OneTurn(Fault):
    does = "sends a Turn that nobody said"
    timed = True

    async def now(self, line: Line) -> None:
        await line.say(NOBODY)


class OneTermination(Fault):
    does = "sends a Termination that was not requested"
    timed = True

    async def now(self, line: Line) -> None:
        await line.say(Termination(0.0, 0.0), close=False)


class Huge(Fault):
    does = "sends a message of the given size in bytes"
    usual: ClassVar[float | None] = 1 << 21
    least, most = 64, 1 << 26
    timed = True

    async def now(self, line: Line) -> None:
        size = int(self.value) - len(json.dumps({"type": "Chatter", "padding": ""}))
        await line.wire.send(json.dumps({"type": "Chatter", "padding": "x" * size}))
