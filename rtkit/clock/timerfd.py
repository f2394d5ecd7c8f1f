"""A Linux timer that wakes a loop on the instant."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import sys
import time

from rtkit.clock.virtual import VirtualLoop


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


_TFD_TIMER_ABSTIME = 1


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    # Told once, for a call that is made for every chunk.
    libc.timerfd_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    return libc


def _open_timer(loop: asyncio.AbstractEventLoop) -> int | None:
    """A timerfd on the loop's clock, or None where there is no such thing.

    Through ctypes, because Python's own wrapping of it only comes with 3.13.
    """
    plain = isinstance(loop, asyncio.SelectorEventLoop) and not isinstance(loop, VirtualLoop)
    if sys.platform != "linux" or not plain:
        return None  # another loop's clock need not be the kernel's
    timer: int = _libc().timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    return timer if timer >= 0 else None


def _set_timer(timer: int, when: float) -> None:
    nanoseconds = max(1, round(when * 1e9))  # 0 would disarm it
    spec = _TimerSpec(_TimeSpec(0, 0), _TimeSpec(*divmod(nanoseconds, 10**9)))
    if _libc().timerfd_settime(timer, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None):
        raise OSError(ctypes.get_errno(), "the timer could not be set")
