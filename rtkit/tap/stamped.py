"""TCP sockets that know when the kernel got what is read from them."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from typing import Any

__all__ = ["StampedSocket"]

_STAMPNS = 35  # SO_TIMESTAMPNS, which Python does not name; Linux stamps what TCP brings, too
_TIMESPEC = struct.Struct("@ll")
_SPACE = socket.CMSG_SPACE(_TIMESPEC.size) if sys.platform == "linux" else 0


class StampedSocket(socket.socket):
    """A TCP socket as asyncio reads it.

    Attributes
    ----------
    waited : float or None
        For how many seconds the last byte that was read had lain in the kernel by then; None where
        that does not tell.
    """

    def __init__(self, *how: Any, **more: Any) -> None:
        super().__init__(*how, **more)
        self.waited: float | None = None
        self._stamps = False
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # a kernel that only looks like Linux
                self.setsockopt(socket.SOL_SOCKET, _STAMPNS, 1)
                self._stamps = True

    def accept(self) -> tuple[StampedSocket, Any]:
        plain, address = super().accept()
        return StampedSocket(fileno=plain.detach()), address

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if not self._stamps:
            return super().recv(size, flags)
        data, said, _, _ = self.recvmsg(size, _SPACE, flags)
        self._note(said)
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:  # as TLS reads
        if not self._stamps:
            return super().recv_into(buffer, size, flags)
        count, said, _, _ = self.recvmsg_into([buffer], _SPACE, flags)
        self._note(said)
        return count

    def _note(self, said: list[tuple[int, int, bytes]]) -> None:
        self.waited = None
        for level, kind, stamp in said:
            if (level, kind, len(stamp)) == (socket.SOL_SOCKET, _STAMPNS, _TIMESPEC.size):
                seconds, fraction = _TIMESPEC.unpack(stamp)
                # By the calendar, which may have been set meanwhile.
                waited = (time.time_ns() - seconds * 10**9 - fraction) / 1e9
                self.waited = waited if 0 <= waited < LONG else None


LONG = 60.0  # seconds; what is longer, the calendar made
