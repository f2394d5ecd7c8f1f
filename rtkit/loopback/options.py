"""The options of the embedded service, defined once for code, command line and child process."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from rtkit.audio import open_clip
from rtkit.boundary.secrets import hidden
from rtkit.boundary.text import unknown
from rtkit.boundary.values import check_numbers
from rtkit.loopback.admission import Admission
from rtkit.loopback.behavior import MAX_DURATION, TIMINGS, Behavior
from rtkit.loopback.faults import read_faults
from rtkit.loopback.recognizer import recognizer_name
from rtkit.loopback.replay import Record
from rtkit.loopback.script_position import recording_beside
from rtkit.reference import Reference, read_reference
from rtkit.services.service import ASSEMBLYAI, dialect_named, dialects, part_of

__all__ = ["ENGINES", "Options"]

ENGINES = ("script", "recognizer")


def _asked(default: Any, told: str, **how: Any) -> Any:
    """A field, with its text for ``--help``."""
    return field(default=default, metadata={"help": told, **how})


def _end(between: str, name: str) -> Any:
    real = TIMINGS["real"][name]
    return _asked(None, f"seconds from {between}; real: {real:g}", type=float)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the service is to be like; `rtkit.Loopback` describes each. Checked when it is made.

    Raises
    ------
    ValueError
        If a number is out of range, a fault or protocol unknown, or something is asked of a
        recognizer that it cannot give.
    ImportError
        If the recognizer is not installed.
    AudioError, SidecarError
        If the recording, or the script, cannot be read.
    """

    protocol: str = _asked(
        ASSEMBLYAI, f"protocol to implement: {', '.join(dialects())} (%(default)s)"
    )
    engine: str = _asked(
        ENGINES[0],
        "what produces the words; the recognizer needs pip install 'rtkit[recognizer]'",
        choices=ENGINES,
    )
    script: str | Path | Reference | None = field(
        default=None,
        metadata={
            "help": "a reference (JSON) to read from; without it, speech is detected by energy",
            "type": Path,
        },
    )
    recording: str | Path | None = field(
        default=None,
        metadata={
            "help": "the script's recording, to locate the clients' audio in; the default is "
            "the recording beside the script, if there is one",
            "type": Path,
        },
    )
    replay: str | Path | None = field(
        default=None,
        metadata={
            "help": "a recorded session (JSON lines) to replay to clients that send its audio: the "
            "same messages with the same service times, in its protocol",
            "type": Path,
        },
    )
    delay: float | None = _asked(
        None,
        f"seconds from receiving audio to sending its result ({Behavior.delay:g}; with the "
        f"recognizer, 0)",
        type=float,
    )
    delay_spread: float = _asked(
        Behavior.delay_spread,
        "maximum random extra delay of each result, in seconds, uniformly distributed "
        "(%(default)g)",
    )
    seed: int = _asked(
        Behavior.seed,
        "seed of the random numbers of --delay-spread, the same in each session (%(default)s)",
    )
    timing: str = _asked(
        "quick",
        "how fast sessions begin and end: quick, for tests, or real, as measured with "
        "AssemblyAI (Begin after 1.2 s, Termination after 0.6 to 1.2). The next four options "
        "set each delay (%(default)s)",
        choices=tuple(TIMINGS),
    )
    begin_delay: float | None = _end("a client's connection to Begin", "begin_delay")
    refusal_delay: float | None = _end("a mistake to the error message", "refusal_delay")
    endpoint_delay: float | None = _end("ForceEndpoint to the final result", "endpoint_delay")
    finish_delay: float | None = _end(
        "Terminate to an open turn's final result, and from there to Termination", "finish_delay"
    )
    max_speed: float = _asked(
        Behavior.max_speed,
        "maximum speed, in seconds of audio per second; audio that arrives faster is queued "
        "(%(default)g)",
    )
    backlog: float | None = _asked(
        None,
        f"maximum seconds of audio in the queue; a session with more is closed "
        f"({Behavior.backlog:g}); without it, Deepgram's only delays results",
        type=float,
    )
    finals: int = _asked(
        Behavior.finals, "final messages per formatted turn (%(default)s)", choices=(1, 2)
    )
    faults: str | Iterable[str] = _asked(
        (),
        "a fault to produce, from the list below; can be repeated",
        action="append",
        metavar="NAME[=VALUE][@SECONDS][xTIMES]",
        flag="--fault",
    )
    max_duration: float | None = _asked(
        None,
        f"maximum duration of a session, in seconds, as its vendor documents it ({MAX_DURATION:g})",
        type=float,
    )
    key: str | None = field(
        default=None,
        repr=False,
        metadata={"help": "an invented API key; all others are refused", "type": str},
    )
    max_sessions: int | None = _asked(None, "maximum number of open sessions", type=int)
    max_connections: int = _asked(
        1024,
        "maximum number of connections, to protect this computer (%(default)s); more are "
        "refused with HTTP 503",
    )
    sessions_per_minute: int | None = _asked(
        None, "maximum number of new sessions per minute", type=int
    )
    origins: tuple[str, ...] = _asked(
        (),
        "allow web pages from this origin, such as http://localhost:3000; can be repeated. "
        "Pages from its own address, and clients that are not web pages, are always allowed",
        action="append",
        metavar="ORIGIN",
        flag="--origin",
    )
    compression: bool = _asked(True, "compress messages for clients that support it")

    def __post_init__(self) -> None:
        dialect_named(self.protocol)
        if self.engine not in ENGINES:
            raise ValueError(unknown("engine", self.engine, ENGINES))
        if self.timing not in TIMINGS:
            raise ValueError(unknown("timing", self.timing, TIMINGS))
        check_numbers(unit="", max_connections=self.max_connections)
        if self.max_connections < 1:
            raise ValueError(f"max_connections={self.max_connections} must be 1 or more")
        written = [self.faults] if isinstance(self.faults, str) else self.faults
        settled: dict[str, Any] = {} if self.replay is None else self._replayed(self.replay)
        settled |= {"faults": tuple(map(str, read_faults(written)))}
        settled |= {"origins": _origins(self.origins), "key": hidden(self.key)}
        if self.recognizer is not None and self.script is not None:
            raise ValueError("a recognizer needs no script; leave script out")
        if self.delay is None and self.replay is None:
            settled["delay"] = Behavior.delay if self.recognizer is None else 0.0
        server = part_of(settled.get("protocol", self.protocol), "server").Server
        usual = {"backlog": server.BACKLOG, "max_duration": server.MAX_DURATION}
        for name, value in {**usual, **TIMINGS[self.timing]}.items():
            if getattr(self, name) is None:
                settled[name] = value
        if isinstance(self.script, str | Path):
            settled["script"] = read_reference(Path(self.script))
            settled["recording"] = self.recording or recording_beside(Path(self.script))
        recording = settled.get("recording", self.recording)
        if recording is not None:
            if self.script is None:
                raise ValueError("a recording needs its script; give script, too")
            settled["recording"] = open_clip(recording).path
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        _ = self.behavior, self.admission  # they refuse what cannot be

    def _replayed(self, path: str | Path) -> dict[str, Any]:
        """What a recorded session settles."""
        decides = ("script", "recording", "delay")
        given = [name for name in decides if getattr(self, name) not in (None, 0.0)]
        given += ["engine"] if self.engine != ENGINES[0] else []
        if given:
            raise ValueError(f"a replay says what was recorded, as it was; leave {given[0]} out")
        dialect = Record(Path(path)).dialect
        if self.protocol not in (ASSEMBLYAI, dialect, dialect.partition(".")[0]):
            raise ValueError(
                f"{path} was recorded from a service that speaks {dialect}, and "
                f"protocol={self.protocol!r} was asked for; leave protocol out"
            )
        return {"replay": Path(path).absolute(), "protocol": dialect, "delay": 0.0}

    @property
    def behavior(self) -> Behavior:
        """How it behaves in time."""
        return Behavior(**{one.name: getattr(self, one.name) for one in fields(Behavior)})

    @property
    def admission(self) -> Admission:
        """A new admission with these limits."""
        return Admission(self.key, self.max_sessions, self.sessions_per_minute)

    @property
    def recognizer(self) -> str | None:
        """The recognizer's name and version, if one is used."""
        return recognizer_name() if self.engine == "recognizer" else None

    @property
    def reference(self) -> Reference | None:
        """The script, as it was read."""
        return cast("Reference | None", self.script)

    @property
    def heard_in(self) -> Path | None:
        """The script's recording, as it was found."""
        return cast("Path | None", self.recording)

    def to_json(self) -> dict[str, Any]:
        """What another process makes the same of; the key is in it."""
        said = {one.name: getattr(self, one.name) for one in fields(Options)}
        said |= {name: said[name] and str(said[name]) for name in ("recording", "replay")}
        return {**said, "script": self.reference and self.reference.to_json()}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Options:
        script = said["script"] and Reference.from_json(said["script"])
        there = said["recording"] and Path(said["recording"]).is_file()  # it may be another host
        recording = said["recording"] if there else None
        return cls(**{**said, "script": script, "recording": recording})


def _origins(said: str | Iterable[str]) -> tuple[str, ...]:
    origins = (said,) if isinstance(said, str) else tuple(said)
    for origin in origins:
        if not re.fullmatch(r"null|[a-z][a-z0-9+.-]*://[^/\s]+/?", origin, re.IGNORECASE):
            raise ValueError(
                f"origin {origin!r} is not valid; give scheme and host, such as "
                f"http://localhost:3000"
            )
    return origins
