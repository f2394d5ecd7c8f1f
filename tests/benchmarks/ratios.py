"""How a benchmark says its ratios: one line each, for people and for the page.

    = lateness p99 / asyncio's wall clock: 0.035 (aim: at most 0.1: met)
    = first chunk: 0.025 s (aim: at most 0.2 s: met)
    = CPU / tasks: 0.41

A ratio has no unit; a figure that is held against an aim of its own has one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

NUMBER = r"-?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf)"
LINE = re.compile(
    rf"^= (?P<what>.+?): (?P<value>{NUMBER})(?: (?P<unit>[^(\s].*?))?"
    rf"(?: \(aim: at most (?P<aim>{NUMBER})(?: .*)?: (?:met|NOT MET|not measured)\))?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Ratio:
    """What was measured, to the four digits that are printed; not measured, it is NaN."""

    what: str
    value: float
    aim: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(f"{self.value:.4g}"))

    @property
    def met(self) -> bool | None:
        """None where nothing is aimed at, or nothing was measured."""
        return None if self.aim is None or math.isnan(self.value) else self.value <= self.aim

    def in_unit(self, number: float) -> str:
        return f"{number:.4g} {self.unit}".strip()

    def __str__(self) -> str:
        line = f"= {self.what}: {self.in_unit(self.value)}"
        if self.aim is None:
            return line
        verdict = {True: "met", False: "NOT MET", None: "not measured"}[self.met]
        return f"{line} (aim: at most {self.in_unit(self.aim)}: {verdict})"


def ratio(what: str, value: float, aim: float | None = None, *, unit: str = "") -> None:
    """Print a ratio, or a figure in a unit, and whether it is at most what is aimed at."""
    print(Ratio(what, value, aim, unit), flush=True)


def read(text: str) -> Iterator[Ratio]:
    """The ratios in what a benchmark printed."""
    for found in LINE.finditer(text):
        aim = None if found["aim"] is None else float(found["aim"])
        yield Ratio(found["what"], float(found["value"]), aim, found["unit"] or "")
