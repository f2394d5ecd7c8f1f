"""The panel's sessions, one after the other, while a person watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rtkit.audio import Clip
from rtkit.recording import StreamError, load_session
from rtkit.sending.stream import stream
from rtkit.session import Session
from rtkit.widgets.live import Watched
from rtkit.widgets.live_box import LiveBox
from rtkit.widgets.sending_box import Planned

__all__ = ["measure"]


async def measure(
    clip: Clip,
    planned: Sequence[Planned],
    options: Mapping[str, Any],
    *,
    folder: Path,
    whom: str,
    live: LiveBox,
    keep: Callable[[str, Session, Path], object],
    spacing: float = 0.0,
) -> None:
    """Run what was planned; `keep` gets each session that sent something, also one that failed.

    Parameters
    ----------
    options : mapping
        What `rtkit.stream` is told of each.
    folder : Path
        Where they are recorded.
    whom : str
        Whose service is connected to, in words.
    spacing : float
        Seconds from one session's beginning to the next one's, at least.
    """
    sent, now, loop = asyncio.Event(), datetime.now(), asyncio.get_running_loop()
    earliest = loop.time()
    watched = {
        one.name: Watched(clip.seconds, sent, pacing=one.pacing, chunk=one.chunk / 1000)
        for one in planned
    }
    async with live.watching(watched, seconds=clip.seconds, sent=sent):
        for one in planned:
            path = folder / one.file_name(clip, now)
            session = None
            if (wait := earliest - loop.time()) > 0:
                live.say(f"{whom} lets few sessions begin in a minute: waiting for {wait:.0f} s …")
                await asyncio.sleep(wait)
            earliest = loop.time() + spacing
            live.connecting(one.name, whom)
            try:
                session = await stream(
                    clip,
                    pacing=one.pacing,
                    chunk=one.chunk / 1000,
                    record=path,
                    on_event=watched[one.name].see,
                    **options,
                )
            except StreamError as error:
                session = error.session
                raise
            except asyncio.CancelledError:
                session = load_session(path) if path.exists() else None
                raise
            finally:
                if session is not None and session.chunks:
                    keep(one.name, session, path)
