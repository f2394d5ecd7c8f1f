"""The sender in a thread, with its own loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from rtkit.audio import Clip
from rtkit.clock.real import running_clock
from rtkit.clock.thread import in_loop
from rtkit.pacing import Plan
from rtkit.sending.connect import Way
from rtkit.sending.loop import run_session
from rtkit.sending.options import Options
from rtkit.session import Event, Fact, Session, Settings

__all__ = ["PATIENCE", "or_stop", "run_in_thread", "watching"]

T = TypeVar("T")

# Seconds that a sender elsewhere may take to end when it is asked to: it waits for the service's
# last word, closes, and writes what is left.
PATIENCE = 8.0


async def run_in_thread(
    clip: Clip, plan: Plan, settings: Settings, options: Options, way: Way
) -> Session:
    """`run_session` in a thread; `on_event` is called in the caller's loop all the same."""
    inner: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Session]]] = Future()

    async with watching(settings, options.on_event) as see:

        async def session() -> Session:
            there = replace(options, on_event=see)
            task = asyncio.create_task(run_session(clip, plan, settings, there, way))
            inner.set_result((asyncio.get_running_loop(), task))
            return await task

        def stop() -> None:
            loop, task = inner.result()
            with contextlib.suppress(RuntimeError):  # the session has ended, and its loop with it
                loop.call_soon_threadsafe(task.cancel)

        return await or_stop(
            in_loop("rtkit-sender", session),
            (lambda: inner.add_done_callback(lambda _: stop()), PATIENCE),
        )


@contextlib.asynccontextmanager
async def watching(
    settings: Settings, on_event: Callable[[Fact], object] | None
) -> AsyncIterator[Callable[[Fact], None]]:
    """What a sender elsewhere calls with each fact: hands it on to the caller's loop.

    Stalls on demand belong to the caller's loop too; they start with the sender's time.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []
    begun = False

    def seen(fact: Fact) -> None:
        nonlocal begun
        if not begun and not (isinstance(fact, Event) and fact.at < 0):
            begun = True
            now, block = loop.time(), running_clock().block
            timers.extend(loop.call_at(now + at, block, time) for at, time in settings.blocks)
        if on_event is not None:
            on_event(fact)

    def see(fact: Fact) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody watches
            loop.call_soon_threadsafe(seen, fact)

    try:
        yield see
    finally:
        for timer in timers:
            timer.cancel()


async def or_stop(outcome: Future[T], *means: tuple[Callable[[], object], float]) -> T:
    """Wait for the outcome; when cancelled, stop what brings it about, and wait until it has ended.

    Each of the means is a function and the seconds in which it may help; then the next one is
    tried. A second cancel tries the others at once.
    """
    waiting = asyncio.wrap_future(outcome)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        # It is stopped: what it says of that is not news.
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        left = list(means)
        try:
            while left and not waiting.done():
                stop, seconds = left.pop(0)
                stop()
                await asyncio.wait({waiting}, timeout=seconds)
        finally:
            for stop, _ in left if not waiting.done() else ():
                stop()
        raise
