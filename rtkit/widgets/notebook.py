"""The panel in its notebook: what is saved of it there, and interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from types import FrameType

from IPython.display import display, update_display

from rtkit.markup import asset

__all__ = ["Kept", "end_kernel", "interrupts"]

ASKED = "<p>Run this cell to use the panel.</p>"


class Kept:
    """An output beside the panel: what a saved notebook shows of it where no kernel runs.

    Where the panel itself is shown, it is hidden.
    """

    def __init__(self) -> None:
        self._id: str | None = None
        self._held = ""

    def show(self) -> None:
        """Put it below the running cell."""
        self._id = self._id or uuid.uuid4().hex
        display(self._data(), raw=True, display_id=self._id)

    def keep(self, shown: str) -> None:
        """Hold another HTML from here on, wherever it stands."""
        self._held = shown
        if self._id is not None:
            update_display(self._data(), raw=True, display_id=self._id)

    def _data(self) -> dict[str, str]:
        held = f"<p>What the panel showed last:</p>{self._held}" if self._held else ""
        return {
            "text/html": f"<style>{asset('widgets/kept.css')}</style>"
            f'<div class="rt-kept">{held}{ASKED}</div>',
            "text/plain": "The panel: run this cell to use it.",
        }


def end_kernel() -> None:
    """End this process, which no page of Voila's may ask its server to do.

    Without the options of `make app`, the server starts it again, empty.
    """
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def interrupts(stop: Callable[[], object]) -> Iterator[None]:
    """Have an interrupt of the kernel call `stop`, too; a cell that runs is interrupted as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only there can it be asked for
        return
    before, loop = signal.getsignal(signal.SIGINT), asyncio.get_running_loop()
    timer: asyncio.Handle

    def interrupted(number: int, frame: FrameType | None) -> None:
        stop()
        if callable(before):
            before(number, frame)

    def install() -> None:
        """Again and again: where a cell or a click ends, the kernel puts back what was before."""
        nonlocal before, timer
        if (now := signal.getsignal(signal.SIGINT)) is not interrupted:
            before = now
            signal.signal(signal.SIGINT, interrupted)
        timer = loop.call_later(0.1, install)

    timer = loop.call_soon(install)
    try:
        yield
    finally:
        timer.cancel()
        if signal.getsignal(signal.SIGINT) is interrupted:
            signal.signal(signal.SIGINT, before)
