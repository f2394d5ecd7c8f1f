"""Work in a thread that does not keep the interpreter alive."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

__all__ = ["in_loop", "in_thread"]

T = TypeVar("T")


def in_thread(name: str, work: Callable[[], T]) -> Future[T]:
    """What `work` comes to, on a thread that does not keep the interpreter alive."""
    outcome: Future[T] = Future()
    threading.Thread(target=_settle, args=(outcome, work), name=name, daemon=True).start()
    return outcome


def in_loop(
    name: str,
    work: Callable[[], Coroutine[Any, Any, T]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Future[T]:
    """What a coroutine comes to, on such a thread, in an event loop of its own.

    It is known before the loop is closed: that waits for whatever the loop's own threads still do.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            _settle(outcome, lambda: runner.run(work()))

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome


def _settle(outcome: Future[T], work: Callable[[], T]) -> None:
    with contextlib.suppress(InvalidStateError):  # nobody waits for it any more
        try:
            outcome.set_result(work())
        except asyncio.CancelledError:
            outcome.cancel()
            outcome.set_running_or_notify_cancel()
        except BaseException as error:
            outcome.set_exception(error)
