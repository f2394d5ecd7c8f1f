"""The same clip under several pacings, and the figures of sessions side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rtkit.audio import Clip
from rtkit.pacing import choose_pacing
from rtkit.recording import StreamError
from rtkit.sending.stream import stream
from rtkit.session import Session

__all__ = ["compare"]


async def compare(
    clip: Clip,
    *,
    pacings: Iterable[str] = ("fixed_sleep", "wall_clock"),
    record: str | Path | None = None,
    **options: Any,
) -> dict[str, Session]:
    """Stream the clip once under each pacing, one after the other.

    Parameters
    ----------
    clip : Clip
    pacings : iterable of str
        Which, in which order; each once.
    record : str or Path, optional
        A folder; each session goes to ``PACING.jsonl`` in it.
    **options
        The other parameters of `rtkit.stream`, the same for all: `chunk`, `work`, `service`...
        Only `catch_up` is for the wall clock alone.

    Returns
    -------
    dict of str to Session
        By pacing.

    Raises
    ------
    ValueError, StreamError
        As `rtkit.stream` does; an unknown pacing before anything is sent. The error's `sessions`
        holds those that were measured before it, too.
    """
    pacings = [pacings] if isinstance(pacings, str) else list(dict.fromkeys(pacings))
    catch_up = {pacing: options.get("catch_up") for pacing in pacings if pacing == "wall_clock"}
    for pacing in pacings:
        choose_pacing(pacing, catch_up=catch_up.get(pacing))
    sessions: dict[str, Session] = {}
    for pacing in pacings:
        path = None if record is None else Path(record) / f"{pacing}.jsonl"
        try:
            options["catch_up"] = catch_up.get(pacing)
            sessions[pacing] = await stream(clip, pacing=pacing, record=path, **options)
        except StreamError as error:
            error.sessions = {**sessions, **error.sessions}
            raise
    return sessions
