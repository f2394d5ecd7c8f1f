"""Watching another client while it streams through the tap."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from rtkit.loopback.process import Loopback
from rtkit.session import Ending, Fact, Session
from rtkit.tap.tap import Tap
from rtkit.widgets.live import Watched
from rtkit.widgets.live_box import REFRESH, LiveBox

__all__ = ["watch_clients"]

LONG = 3600.0  # seconds: how long a client will stream is not known, and its trace stays small


async def watch_clients(
    upstream: str | Loopback,
    *,
    folder: Path,
    live: LiveBox,
    keep: Callable[[str, Session, Path], object],
    show: Callable[[], Awaitable[object]],
) -> None:
    """Relay clients to a service until cancelled, which is its usual end.

    `keep` gets the session of each client that sent something. `show` draws what was kept, while
    nobody streams: it would hold the relay up.
    """
    news, told = asyncio.Event(), ""
    clients: dict[int, Watched] = {}
    known = 0

    def tell(line: str) -> None:
        nonlocal told
        told = line.replace(f"{folder.absolute()}{os.sep}", "")  # the list of files has it
        news.set()

    def see(number: int, fact: Fact) -> None:
        if isinstance(fact, Ending):
            clients.pop(number, None)
        else:
            clients.setdefault(number, Watched(LONG, news)).see(fact)
            news.set()  # by a message, too: what comes last is seen, though nothing is sent anymore

    def kept() -> bool:
        """Keep those that have gone meanwhile; whether there are any."""
        nonlocal known
        gone = list(tap.sessions)[known:]
        known += len(gone)
        for session in gone:
            if session.chunks:
                name = session.settings.recording
                keep(name, session, folder / f"{name.replace(' ', '-')}.jsonl")
        return any(session.chunks for session in gone)

    tap = Tap(upstream, record=folder, on_event=see, tell=tell)
    live.say("Starting …")
    try:
        with contextlib.suppress(asyncio.CancelledError):
            async with tap:
                while True:
                    live.listening(tap.url, told)
                    await news.wait()
                    news.clear()
                    streaming = {
                        f"client {number}": one for number, one in clients.items() if one.points
                    }
                    if streaming:
                        live.draw(streaming, streaming)
                    elif kept():
                        await show()
                    await asyncio.sleep(REFRESH if streaming else 0)
    finally:
        kept()
