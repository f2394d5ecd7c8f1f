"""Names of sessions and services that distinguish them from each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

from rtkit.boundary.text import LONGEST, clean
from rtkit.services.described import usual_of
from rtkit.services.service import public_part
from rtkit.session import Session, check_session

__all__ = ["Sessions", "named", "parameters_of", "said", "service_of", "told_apart", "when"]

Sessions = Session | Iterable[Session] | Mapping[str, Session]

DURATIONS = ("delay", "delay_spread", "network", "network_spread")
USUAL = {"network": 0, "network_spread": 0}
PASSED_OVER = ("name", "dialect", "engine", "parameters", "simulated", "usual", "arrivals")


def named(sessions: Sessions) -> dict[str, Session]:
    """Sessions by name: given ones, fit to be shown, or labels of their settings.

    They are numbered where they repeat.
    """
    given: Iterable[tuple[object, Session]]
    if isinstance(sessions, Mapping):
        given = sessions.items()
    else:
        one = isinstance(sessions, Session | str | Path) or not isinstance(sessions, Iterable)
        given = ((None, each) for each in cast(Iterable[Session], [sessions] if one else sessions))
    result: dict[str, Session] = {}
    for called, session in given:
        check_session(session)
        label = session.label if called is None else clean(str(called))[:LONGEST]
        name, number = label, 1
        while name in result:
            number += 1
            name = f"{label} ({number})"
        result[name] = session
    return result


def said(name: str) -> str:
    """A session's name, as printed."""
    return name.replace("fixed_sleep", "fixed sleep").replace("wall_clock", "wall clock")


def told_apart(sessions: Iterable[Session]) -> list[str]:
    """A name for each session, from what differs between them; no two are the same.

    The name is built from the recording, the service, the pacing and the chunk; if these are the
    same, from the excerpt, the channel, the work and the sender, or else the time.
    """
    several = [*sessions]
    services = [service_of(session).split(", ") for session in several]
    common = set.intersection(*map(set, services)) if services else set()
    columns = [
        [Path(one.settings.recording).stem for one in several],
        [", ".join(part for part in parts if part not in common) for parts in services],
        [said(one.settings.pacing) for one in several],
        [f"{one.settings.chunk * 1000:g} ms" for one in several],
    ]
    names = [""] * len(several)
    for place, column in enumerate([*columns, *_lesser(several)]):
        longer = [", ".join(filter(None, both)) for both in zip(names, column, strict=True)]
        tells = len(set(column)) > 1 if place < len(columns) else len(set(longer)) > len(set(names))
        names = longer if tells else names
    names = [name or said(one.settings.pacing) for name, one in zip(names, several, strict=True)]
    counts: dict[str, int] = {}
    for place, name in enumerate(names):
        counts[name] = counts.get(name, 0) + 1
        if counts[name] > 1:
            names[place] = f"{name} ({counts[name]})"
    return names


def _lesser(sessions: Sequence[Session]) -> Iterator[list[str]]:
    """Lesser settings, used only if the main ones are all the same."""
    asked = [session.settings for session in sessions]
    ends = [(one.start, (one.first + one.samples) / one.rate) for one in asked]
    yield [f"{start:g} to {end:g} s" for start, end in ends]
    yield ["" if one.channel is None else f"channel {one.channel + 1}" for one in asked]
    works = [one.work for one in asked]
    yield [one if isinstance(one, str) else f"{one * 1000:g} ms of work" for one in works]
    yield [f"sender in a {one.isolation}" for one in asked]
    yield [when(session) for session in sessions]


def when(session: Session) -> str:
    """When it started, in this computer's time zone; empty if unknown."""
    try:
        return f"{datetime.fromisoformat(session.started).astimezone():%d %b %H:%M}"
    except (ValueError, OverflowError):  # OverflowError: no calendar of this computer's has it
        return ""


def service_of(session: Session) -> str:
    """The session's service in one line: its name, and what distinguishes it from other services.

    Sessions with the same line may be combined. Defaults are left out: ``"embedded, delay 150
    ms"``.
    """
    service = public_part(session.settings.service)
    simulated = service.get("simulated") or {}
    network = {name: simulated[name] for name in DURATIONS if name in simulated}
    said = [str(service.get("name", "unknown service"))]
    if session.settings.marks_speech:
        said.append("marks speech")
    usual = {**usual_of(service), **USUAL}
    for name, value in {**service, **network}.items():
        as_usual = name in usual and value == usual[name]
        if not (as_usual or name in PASSED_OVER):
            said.append(_in_words(name, value))
    said += [f"{name}={_plain(value)}" for name, value in parameters_of(session).items()]
    return ", ".join(said)


def parameters_of(session: Session) -> dict[str, object]:
    """The further parameters requested of its service, without anything that may be secret."""
    return public_part(session.settings.service).get("parameters") or {}


def _in_words(name: str, value: object) -> str:
    if name in ("speech_model", "recognizer"):
        return str(value)
    if name in DURATIONS and isinstance(value, int | float):
        return f"{name.replace('_', ' ')} {value * 1000:g} ms"
    return f"{name}={_plain(value)}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
