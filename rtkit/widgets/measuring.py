"""Running the panel's sessions, in turn or to several services concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from rtkit.audio import Clip
from rtkit.experiments.many import stream_many
from rtkit.recording import StreamError, load_session
from rtkit.sending.stream import stream
from rtkit.session import Fact, Session
from rtkit.widgets.live import Watched
from rtkit.widgets.live_box import LiveBox
from rtkit.widgets.sending_box import Planned

__all__ = ["in_rounds", "measure"]


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
        What `rtkit.stream` is told of each; or all ``"services"`` by name, which hear the same
        audio at the same time.
    folder : Path
        Where they are recorded.
    whom : str
        Whose service is connected to, in words.
    spacing : float
        Seconds from one session's beginning to the next one's, at least.
    """
    sent, now, loop = asyncio.Event(), datetime.now(), asyncio.get_running_loop()
    earliest = loop.time()
    rounds = [
        {
            one.name: Watched(clip.seconds, sent, pacing=one.pacing, chunk=one.chunk / 1000)
            for one in together
        }
        for together in in_rounds(planned)
    ]
    async with live.watching(rounds, seconds=clip.seconds, sent=sent):
        for together, watched in zip(in_rounds(planned), rounds, strict=True):
            paths = {one.name: folder / one.file_name(clip, now) for one in together}
            found: Mapping[str, Session] = {}
            if (wait := earliest - loop.time()) > 0:
                live.say(f"Few sessions may begin in a minute ({whom}): waiting for {wait:.0f} s …")
                await asyncio.sleep(wait)
            earliest = loop.time() + spacing
            live.connecting(", ".join(watched), whom)
            see = {name: one.see for name, one in watched.items()}
            try:
                found = await _measured(clip, together, options, paths, see)
            except StreamError as error:
                found = error.sessions
                raise
            except asyncio.CancelledError:
                found = {name: load_session(path) for name, path in paths.items() if path.exists()}
                raise
            finally:
                for name, session in found.items():
                    if session.chunks:
                        keep(name, session, paths[name])


def in_rounds(planned: Iterable[Planned]) -> list[tuple[Planned, ...]]:
    """What was planned, in order; what differs in nothing but the service runs at once."""
    grouped = groupby(planned, key=lambda one: (one.repeat, one.chunk, one.pacing))
    return [tuple(together) for _, together in grouped]


async def _measured(
    clip: Clip,
    together: Sequence[Planned],
    options: Mapping[str, Any],
    paths: Mapping[str, Path],
    see: Mapping[str, Callable[[Fact], object]],
) -> dict[str, Session]:
    """The sessions of a round by name; an error's `sessions` has them, too."""
    if "services" in options:
        found = await stream_many(
            [clip] * len(together),
            service=[options["services"][one.service] for one in together],
            chunk=together[0].chunk / 1000,
            calibration=options["calibration"],
            record=list(paths.values()),
            on_event=list(see.values()),
        )
        sessions = dict(zip(paths, found.sessions, strict=True))
        errors = (*found.errors, *found.unwritten)
        if not errors:
            return sessions
        by_session = {id(session): name for name, session in sessions.items()}
        said = [f"{by_session[id(one.session)]}: {one}" for one in errors]
        error = StreamError(" ".join(said), errors[0].session)
        error.sessions = sessions
        raise error
    (one,) = together
    try:
        session = await stream(
            clip,
            pacing=one.pacing,
            chunk=one.chunk / 1000,
            record=paths[one.name],
            on_event=see[one.name],
            **options,
        )
    except StreamError as error:
        error.sessions = {one.name: error.session}
        raise
    return {one.name: session}
