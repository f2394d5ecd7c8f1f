"""One precise timer for a loop: the kernel's if available, otherwise the loop's own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import os
import struct
import sys
import time
from collections.abc import Callable

__all__ = ["Timer", "open_timerfd", "set_timerfd"]


class Timer:
    """Calls `ring` in the running loop at about the instant that it was last set to.

    A loop's own timers ring up to a millisecond late, because the selector rounds its time-outs
    up. On Linux a timerfd rings within some tenths of one; elsewhere the loop's have to do.

    Attributes
    ----------
    expect : callable, optional
        Called with each instant for which a timer is set that the loop does not know of.
    """

    def __init__(self, ring: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self.expect: Callable[[float], object] | None = None
        self._file = open_timerfd(self._loop)
        if self._file is not None:
            self._loop.add_reader(self._file, self._read)

    def set(self, when: float) -> None:
        """Ring at `when`, and no more at the instant that was set before."""
        if self._file is None:
            self.clear()
            self._handle = self._loop.call_at(when, self._ring)
        else:
            set_timerfd(self._file, when)
            if self.expect is not None:
                self.expect(when)

    def clear(self) -> None:
        """Forget the loop's timer; a timerfd that was set may still ring, which costs less."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        """Give the timer back; a second time does nothing."""
        self.clear()
        if self._file is not None:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = None

    def _read(self) -> None:
        if self._file is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._file, 8)
        self._ring()


_TFD_TIMER_ABSTIME = 1
_ITIMERSPEC = struct.Struct("@4l")  # interval and value, each in seconds and nanoseconds


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    # Told once, for a call that is made for every chunk.
    libc.timerfd_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    return libc


def open_timerfd(loop: asyncio.AbstractEventLoop) -> int | None:
    """A timerfd on the loop's clock, or None if not available.

    Through ctypes, because Python's own wrapping of it only comes with 3.13.
    """
    kernels = getattr(type(loop), "time", None) is asyncio.SelectorEventLoop.time
    if sys.platform != "linux" or not kernels:
        return None  # a loop that keeps a clock of its own would be woken by another
    timer: int = _libc().timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    return timer if timer >= 0 else None


def set_timerfd(timer: int, when: float) -> None:
    """Have it ring at `when`, in seconds on the kernel's monotonic clock."""
    spec = _ITIMERSPEC.pack(0, 0, *divmod(max(1, round(when * 1e9)), 10**9))  # 0 would disarm it
    if _libc().timerfd_settime(timer, _TFD_TIMER_ABSTIME, spec, None):
        raise OSError(ctypes.get_errno(), "the timer could not be set")
