"""A fault: how it is written, and what it may do to a session."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from rtkit.boundary.text import unknown
from rtkit.services.messages import Close, Reply

__all__ = ["Fault", "Line", "On", "Sent", "Wire", "Written", "read_written"]

On = Callable[[Any], Awaitable[None]]  # where a frame goes on to

_WRITTEN = re.compile(
    r"(?P<name>[a-z_]+)(=(?P<value>\d+(\.\d+)?))?(@(?P<at>\d+(\.\d+)?))?(x(?P<times>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Written:
    """A fault, as requested.

    Attributes
    ----------
    name : str
        One of `rtkit.loopback.faults.FAULTS`.
    value : float or None
        The amount or code; each fault has its own default.
    at : float or None
        After how many seconds of audio; None for before Begin.
    times : int or None
        In how many of the service's first sessions; None for all.
    """

    name: str
    value: float | None = None
    at: float | None = None
    times: int | None = None

    def __str__(self) -> str:
        parts = (("=", self.value), ("@", self.at), ("x", self.times))
        return self.name + "".join(f"{sign}{n:.10g}" for sign, n in parts if n is not None)


class Wire(Protocol):
    """The client's end of a connection, as websockets has it."""

    @property
    def transport(self) -> Any: ...

    async def send(self, text: str, /) -> None: ...

    async def close(self, code: int, reason: str, /) -> None: ...

    async def wait_closed(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...


class Sent(Protocol):
    """A frame that the service sends, and what it says."""

    @property
    def text(self) -> str: ...

    @property
    def reply(self) -> Reply: ...


class Line(Protocol):
    """A session as its faults see it: the client's connection, and the vendor's words."""

    wire: Wire

    def tell(self, fault: Fault) -> None:
        """Log what is done now."""

    def frames(self, reply: Reply) -> list[str | Close]:
        """What the vendor sends for it."""

    async def say(self, reply: Reply, *, close: bool = True) -> None:
        """Say it to the client at once, past all faults, and close as it asks for."""

    def words_for(self, code: int) -> str:
        """What the vendor says with a code, if it has words for that."""


class Fault:
    """What is done wrong in one session; a kind of fault each. As it stands, nothing is.

    Attributes
    ----------
    does : str
        What it does, in a few words.
    usual : float or None
        The value that it has without one; None where it takes none.
    least, most : float
        What the value may be.
    timed : bool
        Whether it happens at one moment.
    """

    does: ClassVar[str]
    usual: ClassVar[float | None] = None
    least: ClassVar[float] = 0.0
    most: ClassVar[float] = 600.0
    timed: ClassVar[bool] = False

    def __init__(self, written: Written) -> None:
        self.written = written
        self.value = written.value or 0.0

    @classmethod
    def allows(cls, value: float) -> bool:
        """Whether the value is one that this can be done with."""
        return cls.least <= value <= cls.most

    async def request(self, line: Line) -> int | None:
        """A client asks for a session: answer with an HTTP status, or (None) let it in."""
        return None

    def begin(self, line: Line) -> None:
        """A session begins."""

    async def now(self, line: Line) -> None:
        """The moment has come."""

    async def up(self, frame: bytes | str, on: On) -> None:
        """The client sends a frame: pass it on, or not, or others."""
        await on(frame)

    async def down(self, frame: Sent, on: On) -> None:
        """The service sends a frame: pass it on, or not, or others."""
        await on(frame)

    async def close(self, line: Line, on: Callable[[], Awaitable[None]]) -> None:
        """The service closes the connection: go on with that, or not."""
        await on()


def read_written(text: str, kinds: Mapping[str, type[Fault]]) -> Written:
    """Parse a fault's text, with the default value of its kind if it has none.

    Raises
    ------
    ValueError
        If it is not valid.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is not a fault; write NAME[=VALUE][@SECONDS][xTIMES] with a name of "
            f"{', '.join(kinds)}"
        )
    name, kind = found["name"], kinds.get(found["name"])
    if kind is None:
        raise ValueError(unknown("fault", name, kinds))
    value = kind.usual if found["value"] is None else float(found["value"])
    at = None if found["at"] is None else float(found["at"])
    written = Written(name, value, at, None if found["times"] is None else int(found["times"]))
    if value is not None and kind.usual is None:
        raise ValueError(f"fault {written}: {name} takes no value")
    if value is not None and not kind.least <= value <= kind.most:
        raise ValueError(f"fault {written}: the value must be from {kind.least:g} to {kind.most:g}")
    if value is not None and not kind.allows(value):
        raise ValueError(f"fault {written}: {value:g} is not a close code")
    if at is not None and not kind.timed:
        raise ValueError(
            f"fault {written}: {name} does not happen at a given time; leave out @{at:g}"
        )
    if written.times is not None and written.times < 1:
        raise ValueError(
            f"fault {written}: x{written.times} applies to no session; give x1 or more"
        )
    return written
