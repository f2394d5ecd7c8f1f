"""The options of a session, and what it records of them."""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from rtkit.audio import Clip, Resampled
from rtkit.boundary.secrets import StrikeOut, plain
from rtkit.boundary.text import unknown
from rtkit.boundary.values import check_numbers
from rtkit.pacing import Plan
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import dialect_of, public_part
from rtkit.session import Fact, Settings

__all__ = ["Options", "Shutdown", "host", "settings_of", "without_secrets"]

ISOLATIONS = ("loop", "thread", "process")


class Calibration(Protocol):
    """What a session keeps of `rtkit.calibrate`."""

    def to_json(self) -> Mapping[str, Any]: ...


class Shutdown(Enum):
    """What a session does when all audio is sent; only mistakes on purpose do not wait."""

    WAIT = "ends the session and waits for the service's last word"
    HASTY = "ends the session and closes at once"
    NONE = "closes"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a session is run, as `rtkit.stream` describes it; checked when it is made.

    `tee` is called with whatever a session's file would get.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    work: float | Callable[[bytes], object] = 0.0
    blocks: Sequence[tuple[float, float]] = ()
    isolation: str = "loop"
    calibration: Calibration | None = None
    record: str | Path | None = None
    on_event: Callable[[Fact], object] | None = None
    tee: Callable[[Fact | str], object] | None = None
    begin_timeout: float = 10.0
    termination_timeout: float = 10.0
    shutdown: Shutdown = Shutdown.WAIT

    def __post_init__(self) -> None:
        work, isolation = self.work, self.isolation
        if isolation not in ISOLATIONS:
            raise ValueError(unknown("isolation", isolation, ISOLATIONS))
        if isolation == "process" and callable(work):
            raise ValueError(
                "isolation='process' takes work in seconds: a function cannot be sent to a process"
            )
        check_numbers(work=0 if callable(work) else work)
        check_numbers(optional=True, begin_timeout=self.begin_timeout)
        check_numbers(termination_timeout=self.termination_timeout)
        if not callable(work) and not 0 <= work < float("inf"):
            raise ValueError(
                f"work={work:g} is not a duration; give 0 or more seconds, or a function"
            )
        for at, seconds in self.blocks:
            if not (0 <= at < float("inf") and 0 <= seconds < float("inf")):
                raise ValueError(
                    f"blocks={list(self.blocks)!r}: each must be (at, seconds), both 0 or more"
                )


def settings_of(
    clip: Clip, plan: Plan, service: Mapping[str, Any], options: Options | None = None
) -> Settings:
    """What a session records of its clip, its service, and how it is to be sent."""
    options = options or Options()
    work, calibration = options.work, options.calibration
    return Settings(
        recording=clip.name,
        rate=clip.rate,
        first=clip.first,
        resampled_from=clip.source.rate if isinstance(clip, Resampled) else None,
        samples=clip.samples,
        channels=clip.channels,
        coding=clip.coding,
        chunk=plan.chunk,
        pacing=plan.pacing,
        phase=plan.phase,
        catch_up=plan.catch_up,
        work=getattr(work, "__name__", repr(work)) if callable(work) else float(work),
        blocks=tuple((float(at), float(seconds)) for at, seconds in options.blocks),
        isolation=options.isolation,
        service=public_part(plain(service)),
        calibration=None if calibration is None else calibration.to_json(),
        header=None if clip.header is None else asdict(clip.header),
        channel=clip.channel,
        total=clip.total,
        looks_like=clip.looks_like,
    )


@functools.cache
def host() -> dict[str, str]:
    """What a reader of the figures wants to know of the machine."""
    return {
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": str(os.cpu_count()),
        **{name: version(name) for name in ("rtkit", "websockets", "numpy")},
    }


def without_secrets(settings: Settings, endpoint: Endpoint) -> Settings:
    """What a session records, even if its service's description contains a secret."""
    strike_out = StrikeOut(endpoint.secrets(dialect_of(settings.service).public))
    return replace(settings, service=json.loads(strike_out(json.dumps(settings.service))))
