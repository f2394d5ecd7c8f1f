"""The same clip under several pacings, one after the other."""

from __future__ import annotations

import itertools
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
        A folder; each session goes to ``PACING.jsonl`` in it. Earlier runs there stay: the second
        one's files are called ``PACING-2.jsonl``, and so on.
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
    paths: dict[str, Path] = {} if record is None else _free_paths(Path(record), pacings)
    sessions: dict[str, Session] = {}
    for pacing in pacings:
        try:
            options["catch_up"] = catch_up.get(pacing)
            sessions[pacing] = await stream(
                clip, pacing=pacing, record=paths.get(pacing), **options
            )
        except StreamError as error:
            error.sessions = {**sessions, **error.sessions}
            raise
    return sessions


def _free_paths(folder: Path, pacings: Iterable[str]) -> dict[str, Path]:
    """A file for each pacing, numbered alike, so that files of one run are known by it."""
    for number in itertools.count(1):
        ending = f"-{number}" if number > 1 else ""
        paths = {pacing: folder / f"{pacing}{ending}.jsonl" for pacing in pacings}
        if not any(path.exists() for path in paths.values()):
            break
    return paths
