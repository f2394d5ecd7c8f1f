"""Sessions by their names, services by what tells them apart, and figures side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from rtkit.services.assemblyai.client import DEFAULT_MODEL, AssemblyAI
from rtkit.services.endpoint import is_secret
from rtkit.session import Session

__all__ = ["Sessions", "named", "parameters_of", "said", "service_of"]

Sessions = Session | Iterable[Session] | Mapping[str, Session]

DURATIONS = ("delay", "delay_spread", "network", "network_spread")
AS_USUAL = {
    "delay_spread": 0,
    "network": 0,
    "network_spread": 0,
    "max_speed": 1.25,
    "finals": 1,
    "format_turns": False,
    "host": AssemblyAI.host,
}
# Seeds make repeats and limits end sessions; neither makes another service. The others are said
# in their own words.
PASSED_OVER = ("name", "engine", "parameters", "seed", "backlog", "max_duration", "simulated")


def named(sessions: Sessions) -> dict[str, Session]:
    """Sessions by name: given names, or labels of their settings, numbered where they repeat."""
    if isinstance(sessions, str | Path):
        raise TypeError(f"{str(sessions)!r} is no session; give rtkit.load_session(PATH)")
    if isinstance(sessions, Mapping):
        return dict(sessions)
    result: dict[str, Session] = {}
    for session in [sessions] if isinstance(sessions, Session) else sessions:
        name, number = session.label, 1
        while name in result:
            number += 1
            name = f"{session.label} ({number})"
        result[name] = session
    return result


def said(name: str) -> str:
    """A session's name as it is printed."""
    return name.replace("fixed_sleep", "fixed sleep").replace("wall_clock", "wall clock")


def service_of(session: Session) -> str:
    """The session's service in a line: its name, and all that makes another service of it.

    Two sessions whose services read alike here may be put together. What is as it always is goes
    without saying: ``"embedded, delay 150 ms"``.
    """
    service = session.settings.service
    simulated = service.get("simulated") or {}
    network = {name: simulated[name] for name in DURATIONS if name in simulated}
    said = [str(service.get("name", "unknown service"))]
    if service.get("engine") == "energy":
        said.append("marks speech")
    for name, value in {**service, **network}.items():
        usual = name in AS_USUAL and value == AS_USUAL[name]
        its_own = name == "speech_model" and value == DEFAULT_MODEL and "engine" in service
        if not (usual or its_own or name in PASSED_OVER or is_secret(name)):
            said.append(_in_words(name, value))
    said += [f"{name}={_plain(value)}" for name, value in parameters_of(session).items()]
    return ", ".join(said)


def parameters_of(session: Session) -> dict[str, object]:
    """The further parameters that its service was asked for; what may be secret is not in it."""
    parameters = session.settings.service.get("parameters") or {}
    return {name: value for name, value in parameters.items() if not is_secret(name)}


def _in_words(name: str, value: object) -> str:
    if name in ("speech_model", "recognizer"):
        return str(value)
    if name in DURATIONS and isinstance(value, int | float):
        return f"{name.replace('_', ' ')} {value * 1000:g} ms"
    return f"{name}={_plain(value)}"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
