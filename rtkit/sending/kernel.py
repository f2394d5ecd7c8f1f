"""What the kernel reports about a connection: how long data waited, and what was not accepted."""

from __future__ import annotations

import socket
import struct
import sys
from asyncio import Transport

__all__ = ["EVERY", "LONG", "NOTHING", "Kernel"]

LONG = 0.002  # seconds that a send takes where it is worth asking when its bytes left
EVERY = 0.5  # seconds of audio from one question to the next where there are many connections
# Parts of `struct tcp_info`, from linux/tcp.h; times in milliseconds. The way out: bytes
# acknowledged, not sent yet, sent, sent again, and the other side's window.
_RECEIVED = struct.Struct("=52xI")
_LEFT = struct.Struct("=44xI96xI")  # when data was last sent, and bytes not sent yet
_OUT = struct.Struct("=120xQ16xI52xQQ12xI")


class Kernel:
    """Asks about the TCP connection under a transport; some microseconds a question.

    Every result is None if the kernel does not report it; Linux does since 5.4, for TCP only.

    Parameters
    ----------
    transport : Transport or None
        None for a connection that has none.
    """

    def __init__(self, transport: Transport | None) -> None:
        self._transport, self._socket = transport, None
        if transport is not None and sys.platform == "linux":
            self._socket = transport.get_extra_info("socket")

    def waited(self) -> float | None:
        """For how many seconds the newest of the data that came in has been there."""
        told = self._ask(_RECEIVED)
        return None if told is None else told[0] / 1000

    def outgoing(self) -> tuple[int | None, int | None]:
        """How many bytes the other side has not acknowledged, and for how many it has room.

        Of the bytes that were written to the transport. What the other side acknowledges and does
        not read takes up its room.
        """
        told = self._ask(_OUT)
        if told is None or self._transport is None:
            return None, None
        acknowledged, waiting, sent, again, window = told
        # What opens the connection is acknowledged, too, and counts for a byte.
        there = max(0, sent - again - acknowledged + 1) if sent else 0
        return there + waiting + self._transport.get_write_buffer_size(), window

    def left(self, sent: float, returned: float) -> float | None:
        """When the last of the bytes of a send left that has just returned.

        None also where some of them have not left. It is worth asking where the send took `LONG`.
        """
        told = self._ask(_LEFT)
        if told is None or self._transport is None:
            return None
        since, waiting = told
        if waiting or self._transport.get_write_buffer_size():
            return None
        return max(sent, returned - since / 1000)

    def _ask(self, parts: struct.Struct) -> tuple[int, ...] | None:
        if self._socket is None:
            return None
        try:
            told = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, parts.size)
            return parts.unpack(told)
        except (AttributeError, TypeError, OSError, struct.error):  # closed, no TCP, an old kernel
            return None


NOTHING = Kernel(None)
