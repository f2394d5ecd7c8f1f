"""`run`, the synchronous wrapper."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["run"]

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result, in scripts and in cells that cannot await.

    In a script, this is `asyncio.run`. Inside a running event loop, as in a notebook cell, it
    applies nest-asyncio2, which slows down all tasks of the process from then on, so prefer
    ``await`` in notebooks. If the loop cannot be patched, because it is not asyncio's own (uvloop)
    or nest-asyncio has already patched it, the coroutine runs in a thread with its own loop while
    the caller's loop waits, and nothing is patched. An interrupt ends the coroutine properly.

    Raises
    ------
    TypeError
        If it is not a coroutine.
    """
    given: object = coroutine
    if not inspect.iscoroutine(given):
        raise TypeError(
            f"rtkit.run takes a coroutine, such as rtkit.stream(clip), not {type(given).__name__}"
        )
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # none runs
        why = None
    else:
        why = _nest(loop)
    if why is not None:
        return _in_a_thread(coroutine, why)
    return asyncio.run(coroutine)


def _nest(loop: asyncio.AbstractEventLoop) -> str | None:
    """Make the running loop nestable, or return why it cannot be."""
    if hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2"):
        return "nest_asyncio, which loses a notebook's cells, has patched this loop"
    if not isinstance(loop, asyncio.BaseEventLoop):
        return f"{type(loop).__module__}'s loop cannot be nested"
    import nest_asyncio2

    nest_asyncio2.apply()
    return None


def _in_a_thread(coroutine: Coroutine[Any, Any, T], why: str) -> T:
    """Run it in a loop of its own, and wait; what belongs to the caller's loop fails there."""
    began: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()
    outcome: Future[T] = Future()

    async def body() -> T:
        task = asyncio.current_task()
        assert task is not None
        began.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    def work() -> None:
        try:
            # asyncio's own loop: another may have been chosen for the process.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                outcome.set_result(runner.run(body()))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=work, name="rtkit-run")
    thread.start()
    try:
        return outcome.result()
    except BaseException as error:
        if not outcome.done():  # an interrupt: end what runs, and only then give way
            loop, task = began.result()
            loop.call_soon_threadsafe(task.cancel)
        elif isinstance(error, RuntimeError) and "different" in str(error) and "loop" in str(error):
            error.add_note(
                f"rtkit.run used a thread with a loop of its own, because {why}; what was begun in "
                "the caller's loop cannot be used there: await it instead."
            )
        raise
    finally:
        thread.join()
