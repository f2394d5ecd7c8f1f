"""A bad network on demand: computes when bytes are passed on. Arithmetic only, no clock."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rtkit.boundary.text import told

__all__ = ["FAULTS", "SIDES", "Network", "read_network"]

SIDES = ("up", "down")


class Fault(Protocol):
    """What one way of a connection suffers from; times in seconds since it was opened."""

    def leaves(self, at: float, size: int) -> float:
        """When so many bytes go on that would at `at`; they keep their order."""


@dataclass(frozen=True)
class Delay:
    """delays everything by the given seconds"""

    seconds: float

    def leaves(self, at: float, size: int) -> float:
        return at + self.seconds


class Spread:
    """adds a random delay of up to the given seconds"""

    def __init__(self, seconds: float, seed: str) -> None:
        self._seconds, self._random = seconds, random.Random(seed)

    def leaves(self, at: float, size: int) -> float:
        return at + self._random.uniform(0, self._seconds)


class Rate:
    """limits the speed, in bytes per second"""

    def __init__(self, rate: float) -> None:
        self._rate, self._free = rate, 0.0

    def leaves(self, at: float, size: int) -> float:
        self._free = max(at, self._free) + size / self._rate
        return self._free


@dataclass(frozen=True)
class Stall:
    """passes nothing on for the given seconds"""

    seconds: float
    begin: float

    def leaves(self, at: float, size: int) -> float:
        return max(at, self.begin + self.seconds) if at >= self.begin else at


FAULTS = {
    "delay=SECONDS": Delay.__doc__,
    "spread=SECONDS": Spread.__doc__,
    "rate=BYTES": Rate.__doc__,
    "stall=SECONDS@TIME": Stall.__doc__,
    "drop@TIME": "breaks the connection",
}


class Network:
    """One way of one connection.

    Parameters
    ----------
    faults : sequence of Fault
    drop : float
        When the connection breaks.
    """

    def __init__(self, faults: Iterable[Fault] = (), drop: float = math.inf) -> None:
        self._faults, self.drop = tuple(faults), drop
        self._last = 0.0

    def __bool__(self) -> bool:
        return bool(self._faults)

    def leaves(self, at: float, size: int) -> float:
        """When so many bytes go on that came at `at`: in order, whatever is drawn."""
        for fault in self._faults:
            at = fault.leaves(at, size)
        self._last = max(self._last, at)
        return self._last


def read_network(written: Iterable[str], side: str, *, seed: str = "") -> Network:
    """What one side suffers from, from how faults are written: ``"up.delay=0.08"``.

    Without a side before it, a fault is for both.

    Raises
    ------
    ValueError
        If one is not valid.
    """
    faults: list[Fault] = []
    drop = math.inf
    for text in written:
        found = re.fullmatch(r"(?:(up|down)\.)?([a-z]+)(?:=([\d.]+))?(?:@([\d.]+))?", text)
        try:
            if found is None:
                raise ValueError
            value, at = (None if one is None else float(one) for one in found.group(3, 4))
            kind = found[2] + ("=" if value else "") + ("@" if at is not None else "")
            if kind not in ("delay=", "spread=", "rate=", "stall=@", "drop@"):
                raise ValueError
        except ValueError:
            known = ", ".join(FAULTS)
            raise ValueError(
                f"{told(text, 60)!r} is not a network fault; give {known}, with or without up. or "
                "down. before it"
            ) from None
        if found[1] not in (None, side):
            continue
        if at is not None and kind == "drop@":
            drop = min(drop, at)
        elif value is not None and at is not None:
            faults.append(Stall(value, at))
        elif value is not None and kind == "delay=":
            faults.append(Delay(value))
        elif value is not None and kind == "spread=":
            faults.append(Spread(value, f"{seed} {side}"))
        elif value is not None:
            faults.append(Rate(value))
    return Network(faults, drop)
