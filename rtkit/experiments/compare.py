"""The same clip with several pacings, or to several services, in turn or concurrently."""

from __future__ import annotations

import inspect
import itertools
import random
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rtkit.audio import Clip
from rtkit.experiments.many import stream_many
from rtkit.pacing import choose_pacing
from rtkit.recording import StreamError
from rtkit.sending.stream import check_sides, stream
from rtkit.services.service import Service
from rtkit.session import Session

__all__ = ["compare"]

AT_ONCE = tuple(
    name
    for name in inspect.signature(stream_many).parameters
    if name not in ("clips", "service", "connections", "sessions_per_minute", "record")
)


async def compare(
    clip: Clip,
    *,
    pacings: Iterable[str] | None = None,
    services: Mapping[str, Service | None] | None = None,
    concurrent: bool = True,
    seed: int = 0,
    record: str | Path | None = None,
    **options: Any,
) -> dict[str, Session]:
    """Stream the clip once with each pacing, one after another, or to each of several services.

    Parameters
    ----------
    clip : Clip
    pacings : iterable of str, optional
        By default ``("fixed_sleep", "wall_clock")``, in this order; with `services`, only
        ``"wall_clock"``.
    services : mapping of str to service, optional
        Services by the names to use in tables and figures; None is the embedded service.
    concurrent : bool
        Whether all services receive the same audio at the same time, with wall-clock pacing. Their
        chunks are sent a fraction of a chunk apart, so that none delays another. Otherwise they run
        one after another, in random order.
    seed : int
        Seed of that order.
    record : str or Path, optional
        A folder; each session is saved as ``NAME.jsonl`` in it. Files of earlier runs are kept:
        those of the second run are named ``NAME-2.jsonl``, and so on.
    **options
        Other parameters of `rtkit.stream`, the same for all sessions: `chunk`, `work`, `service`,
        ... `catch_up` applies only to the wall clock. Concurrent sessions take those of
        `rtkit.stream_many`.

    Returns
    -------
    dict of str to Session
        By pacing, or by service, or by ``"SERVICE, PACING"`` if there are several of both; in the
        order in which they were given.

    Raises
    ------
    ValueError, StreamError
        As for `rtkit.stream`; invalid parameters are refused before anything is sent. The error's
        `sessions` holds the sessions that were measured.
    """
    if pacings is None:
        pacings = ("wall_clock",) if services else ("fixed_sleep", "wall_clock")
    pacings = [pacings] if isinstance(pacings, str) else list(dict.fromkeys(pacings))
    catch_up = {pacing: options.get("catch_up") for pacing in pacings if pacing == "wall_clock"}
    for pacing in pacings:
        choose_pacing(pacing, catch_up=catch_up.get(pacing))
    if services is not None:
        _check_services(clip, services, pacings, concurrent, options)
    cells = {
        ", ".join(part for part in (name, pacing) if part): (pacing, service)
        for name, service in (services or {"": options.pop("service", None)}).items()
        for pacing in pacings
    }
    if services and len(pacings) == 1:
        cells = dict(zip(services, cells.values(), strict=True))
    paths = {} if record is None else _free_paths(Path(record), cells)
    if services and concurrent:
        return await _at_once(clip, {name: one for name, (_, one) in cells.items()}, paths, options)
    order = list(cells) if services is None else random.Random(seed).sample(list(cells), len(cells))
    sessions: dict[str, Session] = {}
    for name in order:
        pacing, service = cells[name]
        try:
            sessions[name] = await stream(
                clip,
                pacing=pacing,
                record=paths.get(name),
                **{**options, "service": service, "catch_up": catch_up.get(pacing)},
            )
        except StreamError as error:
            error.sessions = {**sessions, name: error.session}
            raise
    return {name: sessions[name] for name in cells}


async def _at_once(
    clip: Clip,
    services: Mapping[str, Service | None],
    paths: Mapping[str, Path],
    options: Mapping[str, Any],
) -> dict[str, Session]:
    record = list(paths.values()) or None
    try:
        found = await stream_many(
            [clip] * len(services), service=list(services.values()), record=record, **options
        )
    except StreamError as first:  # none could begin
        first.sessions = {next(iter(services)): first.session}
        raise
    sessions = dict(zip(services, found.sessions, strict=True))
    for error in (*found.errors, *found.unwritten):
        error.sessions = dict(sessions)
        raise error
    return sessions


def _check_services(
    clip: Clip,
    services: Mapping[str, Service | None],
    pacings: list[str],
    concurrent: bool,
    options: Mapping[str, Any],
) -> None:
    if not isinstance(services, Mapping):
        raise TypeError('services needs names: services={"A": rtkit.AssemblyAI(), "B": ...}')
    for service in services.values():
        check_sides(clip, service)
    if one := {"service", "connection"} & set(options):
        raise ValueError(f"give services or {min(one)}, not both")
    if not concurrent:
        return
    if pacings != ["wall_clock"]:
        raise ValueError(
            "concurrent sessions are paced by the wall clock; for other pacings, give "
            "concurrent=False"
        )
    if others := sorted(set(options) - set(AT_ONCE)):
        raise ValueError(
            f"concurrent sessions have no {others[0]}; give concurrent=False, or only "
            f"{', '.join(AT_ONCE)}"
        )


def _free_paths(folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """A file for each session, numbered alike, so that files of one run are known by it."""
    stems = {name: re.sub(r"[^\w.-]+", "-", name).strip("-.") or "session" for name in names}
    if len(set(stems.values())) < len(stems):
        raise ValueError(f"{', '.join(stems)} lead to the same file names; give them other names")
    for number in itertools.count(1):
        ending = f"-{number}" if number > 1 else ""
        paths = {name: folder / f"{stem}{ending}.jsonl" for name, stem in stems.items()}
        if not any(path.exists() for path in paths.values()):
            break
    return paths
