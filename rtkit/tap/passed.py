"""What the relay's process tells the one that observes: a copy of what passed, and the instants."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

__all__ = ["Passed", "blocks"]

_HEADER = struct.Struct("=cIdddI")
BLOCK = 1 << 16  # bytes that are read at a time


class Passed(NamedTuple):
    """Something that passed.

    Attributes
    ----------
    kind : {b"h", b"u", b"d", b"e", b"l", b"s", b"n"}
        The head of a client's request, bytes up, bytes down, a client's end (by whom, and after a
        line's end why), from where on copies are lost, a stall of the relay, of so many seconds
        until it came, and a path that was passed on and is no session's.
    client : int
    came, went : float
        When the relay's loop saw it, and when it had handed it on, on the monotonic clock.
    waited : float or None
        For how many seconds it had lain in the kernel when it came, where that tells.
    data : bytes
    """

    kind: bytes
    client: int
    came: float
    went: float
    waited: float | None
    data: bytes

    def __repr__(self) -> str:  # asyncio logs the arguments of a callback that fails
        return f"<Passed {self.kind!r}>"

    def pack(self) -> bytes:
        waited = math.nan if self.waited is None else self.waited
        header = (self.kind, self.client, self.came, self.went, waited, len(self.data))
        return _HEADER.pack(*header) + self.data


def blocks(file: BufferedReader) -> Iterator[list[Passed]]:
    """What is in a file, as far as it has come; waits for more until its end."""
    data = b""
    while more := file.read1(BLOCK):
        data += more
        at, found = 0, []
        while len(data) - at >= _HEADER.size:
            kind, client, came, went, waited, size = _HEADER.unpack_from(data, at)
            begin = at + _HEADER.size
            if len(data) - begin < size:
                break
            at = begin + size
            waited = None if math.isnan(waited) else waited
            found.append(Passed(kind, client, came, went, waited, data[begin:at]))
        data = data[at:]
        if found:
            yield found
