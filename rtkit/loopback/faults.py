"""Faults on demand: what a service, or the network before it, may do wrong.

A fault is written ``NAME[=VALUE][@SECONDS][xTIMES]``: ``"drop@2.5"`` breaks the connection once
2.5 s of audio have come, ``"refuse=503x2"`` refuses the first two sessions, ``"late_begin=3"`` says
Begin 3 s late. `FAULTS` lists them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

if TYPE_CHECKING:  # a session's own process reads faults, but has none
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

__all__ = ["FAULTS", "Fault", "Faults", "FaultyConnection", "read_faults"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a name stands for; `value` is the default, and `least` to `most` what it may be."""

    does: str
    value: float | None = None
    least: float = 0.0
    most: float = 600.0
    timed: bool = False


FAULTS: Mapping[str, _Kind] = {
    # Before there is a session.
    "refuse": _Kind("refuses the connection with an HTTP status", 503, 400, 599),
    "no_answer": _Kind("never answers the request for a connection"),
    # At one moment: once so much audio has come; without a time, before Begin.
    "drop": _Kind("breaks the connection without a close frame", timed=True),
    "close": _Kind("closes with a code", 1011, 1000, 4999, timed=True),
    "error": _Kind("sends an Error and closes with its code", 3005, 1000, 4999, timed=True),
    "deaf": _Kind("stops reading for so many seconds", 60, timed=True),
    "mute": _Kind("stops sending for so many seconds", 600, timed=True),
    "bad_json": _Kind("sends a message that is no JSON", timed=True),
    "unknown": _Kind("sends a message of an unknown type", timed=True),
    "begin": _Kind("sends a Begin too many", timed=True),
    "turn": _Kind("sends a Turn that nobody has said", timed=True),
    "termination": _Kind("sends a Termination that nobody has asked for", timed=True),
    "garbage": _Kind("sends bytes that are no websocket frame", timed=True),
    "huge": _Kind("sends a message of so many bytes", 1 << 21, 64, 1 << 26, timed=True),
    # In what it says, and when.
    "no_begin": _Kind("leaves Begin out"),
    "late_begin": _Kind("says Begin so many seconds late", 1),
    "duplicate_finals": _Kind("says every final twice"),
    "late_final": _Kind("says the last final after Termination"),
    "no_termination": _Kind("leaves Termination out, and stays"),
    "slow_close": _Kind("takes so many seconds to close, and reads nothing meanwhile", 60),
}

_WRITTEN = re.compile(
    r"(?P<name>[a-z_]+)(=(?P<value>\d+(\.\d+)?))?(@(?P<at>\d+(\.\d+)?))?(x(?P<times>\d+))?"
)

# What the service says of the codes that it closes with.
_TEXTS: Mapping[int, str] = {
    1008: "Unauthorized Connection: Invalid API key",
    3005: "Session Cancelled: An error occurred",
    3006: "User Input Validation Error: Invalid Message Type: Chatter",
    3007: "Input Duration Error: Audio Transmission Rate Exceeded: Received 314.9 sec. audio "
    "in 1.3 sec",
    3008: "Session Expired: Maximum session duration exceeded",
    3009: "Unauthorized Connection: Too many concurrent sessions",
}
_GARBAGE = b"\xff\xfe\x00 neither a frame nor HTTP \r\n\r\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the service does wrong.

    Attributes
    ----------
    name : str
        One of `FAULTS`.
    value : float or None
        By how much, or with which code; each name has its own default.
    at : float or None
        Once so many seconds of audio have come; None for before Begin.
    times : int or None
        In how many sessions, the service's first ones; None for all.
    """

    name: str
    value: float | None = None
    at: float | None = None
    times: int | None = None

    def __post_init__(self) -> None:
        kind = FAULTS.get(self.name)
        if kind is None:
            raise ValueError(f"unknown fault {self.name!r}; one of {', '.join(FAULTS)}")
        if self.value is None:
            object.__setattr__(self, "value", kind.value)
        elif kind.value is None:
            raise ValueError(f"fault {self}: {self.name} takes no value")
        elif not kind.least <= self.value <= kind.most:
            raise ValueError(
                f"fault {self}: the value must be from {kind.least:g} to {kind.most:g}"
            )
        # The codes between are kept for the protocol's own use, or mean that none came.
        closing = self.code in (1000, 1001, 1008, *range(1011, 1015)) or self.code >= 3000
        if self.name in ("close", "error") and not closing:
            raise ValueError(f"fault {self}: {self.code} is no code to close with")
        if self.at is not None and not kind.timed:
            raise ValueError(f"fault {self}: {self.name} knows no moment; leave out @{self.at:g}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"fault {self}: x{self.times} sessions are none")

    @property
    def code(self) -> int:
        return int(self.value or 0)

    @property
    def timed(self) -> bool:
        """Whether it happens at one moment."""
        return FAULTS[self.name].timed

    @classmethod
    def read(cls, text: str) -> Fault:
        """From how it is written.

        Raises
        ------
        ValueError
            If it is none.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ValueError(
                f"{text!r} is no fault; write NAME[=VALUE][@SECONDS][xTIMES] with a name of "
                f"{', '.join(FAULTS)}"
            )
        value, at, times = found["value"], found["at"], found["times"]
        return cls(
            found["name"],
            None if value is None else float(value),
            None if at is None else float(at),
            None if times is None else int(times),
        )

    def __str__(self) -> str:
        parts = (("=", self.value), ("@", self.at), ("x", self.times))
        return self.name + "".join(f"{sign}{n:.10g}" for sign, n in parts if n is not None)


def read_faults(written: str | Iterable[str]) -> tuple[Fault, ...]:
    """One fault, or several."""
    return tuple(map(Fault.read, [written] if isinstance(written, str) else written))


class Faults:
    """A service's faults, and how many sessions each is still for.

    `note` is told of each that is committed at one moment.
    """

    def __init__(
        self, faults: Sequence[Fault], note: Callable[[ServerConnection, str], object]
    ) -> None:
        self._note = note
        self._left = {fault: fault.times for fault in faults}
        self._plotted: WeakKeyDictionary[ServerConnection, list[Fault]] = WeakKeyDictionary()

    async def at_the_door(self, connection: ServerConnection, request: Request) -> Response | None:
        """What happens to a request for a connection; None lets it in."""
        plotted = [fault for fault, left in self._left.items() if left != 0]
        for fault in plotted:
            if (left := self._left[fault]) is not None:
                self._left[fault] = left - 1
        self._plotted[connection] = plotted
        for fault in plotted:
            if fault.name in ("refuse", "no_answer") or (
                fault.name == "garbage" and fault.at is None
            ):
                self._note(connection, f"let down: {fault}")
            if fault.name == "refuse":
                status = HTTPStatus(fault.code) if fault.code in _STATUSES else _STATUSES[500]
                return connection.respond(status, "Refused on demand.\n")
            if fault.name == "garbage" and fault.at is None:
                connection.transport.write(_GARBAGE)
                connection.transport.close()
                await connection.wait_closed()
            elif fault.name == "no_answer":
                await connection.wait_closed()
        return None

    def of(self, connection: ServerConnection) -> FaultyConnection | ServerConnection:
        """The connection, or what stands for it where it has faults."""
        plotted = self._plotted.pop(connection, [])
        return FaultyConnection(connection, plotted, self._note) if plotted else connection


_STATUSES = {int(status): status for status in HTTPStatus}


class FaultyConnection:
    """A connection with faults: it stands between the service and its client."""

    def __init__(
        self,
        connection: ServerConnection,
        faults: Sequence[Fault],
        note: Callable[[ServerConnection, str], object],
    ) -> None:
        self.faults = ", ".join(map(str, faults))
        self._note = note
        self._connection = connection
        self._coming = sorted(
            (fault for fault in faults if fault.timed),
            key=lambda fault: -1.0 if fault.at is None else fault.at,
        )
        self._habits = {fault.name: fault for fault in faults if not fault.timed}
        self._mute_until = self._deaf_until = 0.0
        self._held: list[str] = []
        self._heard = 0  # bytes of audio
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        width = 1 if query.get("encoding") == ["pcm_mulaw"] else 2
        rate = query.get("sample_rate", ["16000"])[0]
        self._second = width * (int(rate) if rate.isdecimal() and int(rate) else 16000)  # bytes
        if any(fault.name == "deaf" for fault in faults):
            # Or else the host itself would take in minutes of audio before the client feels it.
            plug: socket.socket = connection.transport.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    @property
    def request(self) -> Request | None:
        return self._connection.request

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        await self._commit(None)
        await self._pause(self._deaf_until)
        async for frame in self._connection:
            yield frame
            if isinstance(frame, bytes):
                self._heard += len(frame)
                await self._commit(self._heard / self._second)
            await self._pause(self._deaf_until)

    async def send(self, text: str) -> None:
        message = json.loads(text)
        kind = message["type"]
        if kind == "Begin":
            await self._commit(None)
            if "no_begin" in self._habits:
                return
            if (late := self._habits.get("late_begin")) is not None:
                await asyncio.sleep(late.value or 0)
        if kind == "Termination" and "no_termination" in self._habits:
            return
        if message.get("loopback", {}).get("cause") == "terminate" and "late_final" in self._habits:
            self._held.append(text)
            return
        await self._say(text)
        if message.get("end_of_turn") and "duplicate_finals" in self._habits:
            await self._say(text)
        if kind == "Termination":
            for held in self._held:
                await self._say(held)

    async def close(self, code: int, reason: str) -> None:
        if "no_termination" in self._habits:
            await self._connection.wait_closed()
        if (slow := self._habits.get("slow_close")) is not None:
            self._connection.transport.pause_reading()  # the client's own Close goes unanswered
            try:
                await asyncio.sleep(slow.value or 0)
            finally:
                self._connection.transport.resume_reading()
        await self._connection.close(code, reason)

    async def _say(self, text: str) -> None:
        await self._pause(self._mute_until)
        await self._connection.send(text)

    async def _pause(self, until: float) -> None:
        """Until then, or until the client has left."""
        if until > asyncio.get_running_loop().time():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._connection.wait_closed()

    async def _commit(self, heard: float | None) -> None:
        """What is due once so much audio has come; None for before Begin."""
        while self._coming:
            at = self._coming[0].at
            if at is not None and (heard is None or heard < at):
                return
            await self._act(self._coming.pop(0))

    async def _act(self, fault: Fault) -> None:
        connection, value = self._connection, fault.value or 0.0
        self._note(connection, f"let down: {fault}")
        now = asyncio.get_running_loop().time()
        match fault.name:
            case "drop":
                connection.transport.abort()
            case "close":
                await connection.close(fault.code, "On demand")
            case "error":
                text = _TEXTS.get(fault.code, "An error on demand")
                await connection.send(
                    json.dumps({"type": "Error", "error_code": fault.code, "error": text})
                )
                await connection.close(fault.code, "See Error message for details")
            case "deaf":
                self._deaf_until = now + value
            case "mute":
                self._mute_until = now + value
            case "bad_json":
                await connection.send(json.dumps(_TURN)[:50])
            case "unknown":
                await connection.send(json.dumps({"type": "Chatter", "on": "demand"}))
            case "begin":
                await connection.send(json.dumps(_BEGIN))
            case "turn":
                await connection.send(json.dumps(_TURN))
            case "termination":
                await connection.send(json.dumps(_TERMINATION))
            case "garbage":
                connection.transport.write(_GARBAGE)
            case "huge":
                padding = "x" * (int(value) - len(json.dumps({"type": "Chatter", "padding": ""})))
                await connection.send(json.dumps({"type": "Chatter", "padding": padding}))


_BEGIN = {"type": "Begin", "id": "one too many", "expires_at": 0}
_TURN = {
    "type": "Turn",
    "turn_order": 0,
    "turn_is_formatted": False,
    "end_of_turn": False,
    "transcript": "",
    "utterance": "",
    "end_of_turn_confidence": 0.0,
    "words": [
        {"text": "boo", "start": 0, "end": 80, "confidence": 0.1, "word_is_final": False},
    ],
}
_TERMINATION = {
    "type": "Termination",
    "audio_duration_seconds": 0,
    "session_duration_seconds": 1,
}
