"""What the kernel knows of a connection: how long data lay there, and what was not taken."""

from __future__ import annotations

import socket
import struct
import sys
from asyncio import Transport

if sys.platform == "linux":
    import fcntl
    import termios

__all__ = ["NOTHING", "Kernel"]

# Where `struct tcp_info` has them, from linux/tcp.h: 32 bits each, times in milliseconds.
_LAST_DATA_SENT, _LAST_DATA_RECEIVED, _NOT_SENT, _SEND_WINDOW = 44, 52, 144, 228
_WORD = struct.Struct("=I")


class Kernel:
    """Asks about the TCP connection under a transport; about a microsecond a question.

    Every answer is None where the kernel does not tell: it is Linux that does, and only of TCP.

    Parameters
    ----------
    transport : Transport or None
        None for a connection that has none.
    """

    def __init__(self, transport: Transport | None) -> None:
        asked = None if transport is None else transport.get_extra_info("socket")
        self._transport, self._socket, self._count = transport, asked, bytearray(4)
        if self._word(_LAST_DATA_RECEIVED) is None:
            self._socket = None

    def waited(self) -> float | None:
        """For how many seconds the newest of the data that came in has been there."""
        return _seconds(self._word(_LAST_DATA_RECEIVED))

    def unacknowledged(self) -> int | None:
        """How many bytes were written to the transport that the other side has not acknowledged."""
        if self._socket is None or self._transport is None:
            return None
        try:
            fcntl.ioctl(self._socket, termios.TIOCOUTQ, self._count)
        except (OSError, ValueError):  # it is closed
            return None
        in_kernel: int = _WORD.unpack(self._count)[0]
        return in_kernel + self._transport.get_write_buffer_size()

    def window(self) -> int | None:
        """How many bytes more the other side has room for; what it does not read takes it up."""
        return self._word(_SEND_WINDOW)

    def since_sent(self) -> float | None:
        """How many seconds ago the last of the data left; None also where some has not."""
        if self._transport is None or self._transport.get_write_buffer_size():
            return None
        if self._word(_NOT_SENT) != 0:
            return None
        return _seconds(self._word(_LAST_DATA_SENT))

    def _word(self, offset: int) -> int | None:
        if self._socket is None or sys.platform != "linux":
            return None
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, offset + 4)
            word: int = _WORD.unpack_from(told, offset)[0]
        except (AttributeError, TypeError, OSError, struct.error):  # closed, no TCP, an old kernel
            return None
        return word


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


NOTHING = Kernel(None)
