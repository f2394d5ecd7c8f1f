"""Faults on demand, of a service or the network.

A fault is written ``NAME[=VALUE][@SECONDS][xTIMES]``: ``"drop@2.5"`` breaks the connection once 2.5
s of audio have come, ``"refuse=503x2"`` refuses the first two sessions, ``"late_begin=3"`` says
Begin 3 s late. Each fault is one class that contains everything it does, attached to a
`rtkit.loopback.line.Line`: the frames of a session in either direction. `FAULTS` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rtkit.loopback.faults.connections import Close, Drop, Garbage, NoAnswer, Refuse, SlowClose
from rtkit.loopback.faults.fault import Fault, Written, read_written
from rtkit.loopback.faults.flow import Deaf, Mute
from rtkit.loopback.faults.messages import (
    BadJson,
    Error,
    Huge,
    OneBegin,
    OneTermination,
    OneTurn,
    Unknown,
)
from rtkit.loopback.faults.order import (
    DuplicateFinals,
    LateBegin,
    LateFinal,
    NoBegin,
    NoTermination,
)

__all__ = ["FAULTS", "Fault", "Written", "read_faults"]

FAULTS: Mapping[str, type[Fault]] = {
    # Before there is a session.
    "refuse": Refuse,
    "no_answer": NoAnswer,
    # At one moment: once so much audio has come; without a time, before Begin.
    "drop": Drop,
    "close": Close,
    "error": Error,
    "deaf": Deaf,
    "mute": Mute,
    "bad_json": BadJson,
    "unknown": Unknown,
    "begin": OneBegin,
    "turn": OneTurn,
    "termination": OneTermination,
    "garbage": Garbage,
    "huge": Huge,
    # In what is said, and when.
    "no_begin": NoBegin,
    "late_begin": LateBegin,
    "duplicate_finals": DuplicateFinals,
    "late_final": LateFinal,
    "no_termination": NoTermination,
    "slow_close": SlowClose,
}


def read_faults(written: str | Iterable[str]) -> tuple[Written, ...]:
    """One fault, or several, from how they are written.

    Raises
    ------
    ValueError
        If one is not valid.
    """
    texts = [written] if isinstance(written, str) else written
    return tuple(read_written(text, FAULTS) for text in texts)
