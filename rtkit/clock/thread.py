"""Work on a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")


def in_thread(name: str, work: Callable[[], T]) -> Future[T]:
    """What `work` comes to, on a thread that does not keep the interpreter alive."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except asyncio.CancelledError:
            outcome.cancel()
            outcome.set_running_or_notify_cancel()
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome
