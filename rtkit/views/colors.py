"""Colors: one palette, with line styles, for sessions, and another for the parts of latency.

A session looks the same in every figure; without color, line styles distinguish sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

__all__ = ["DASHES", "EVERY_PART", "PARTS", "TINTED", "UNDECIDED", "Look", "Part", "looks_for"]


class Look(NamedTuple):
    """A session's; the line style is matplotlib's name for it."""

    color: str
    linestyle: str


class Part(NamedTuple):
    """A part of latency: its name in the data, in words, and how it is filled."""

    name: str
    title: str
    color: str
    hatch: str = ""


# Okabe and Ito's colors, told apart by most color-blind people, and a brown for their black, which
# dark themes swallow.
PACINGS = {
    "fixed_sleep": Look("#D55E00", "--"),
    "wall_clock": Look("#0072B2", "-"),
    "unpaced": Look("#009E73", ":"),
}
OTHERS = ("#CC79A7", "#E69F00", "#56B4E9", "#8B5A2B")
STYLES = ("-.", "-", "--", ":")  # of the others, the next one once the colors are used up
DASHES = {"-": "", "--": "6 3", ":": "2 2", "-.": "7 3 2 3"}  # as SVG writes them

# Shades without a hue, but for what the sender made.
PARTS = (
    Part("chunk_wait", "chunk wait", "#E0D9C6"),
    Part("endpoint_wait", "endpoint wait", "#B3BBC5"),
    Part("lateness", "lateness (the sender's)", "#A3195B", "////"),
    Part("queue_wait", "queue wait (the sender's)", "#5C0B36", "\\\\\\\\"),
    Part("service_time", "service time", "#56657B"),
)
UNDECIDED = Part("since_sent", "endpoint wait + service time", "#848FA0", "..")
# Of a service that confirms each chunk, these take the place of service time, or of that sum.
EVERY_PART = (
    *PARTS,
    UNDECIDED,
    Part("confirmation", "confirmation (there and back)", "#8C8465"),
    Part("after_confirmation", "service time after confirmation", "#2F3B4D"),
    Part("since_confirmed", "endpoint wait + service time after confirmation", "#5E6450", ".."),
)
# Of a word, by what is shown of it: one part, or latency as a whole.
TINTED = {"latency": "#7B5EA7", **{part.name: part.color for part in PARTS}}


def looks_for(pacings: Iterable[str]) -> list[Look]:
    """A look for each session: its pacing's own as long as that is not taken."""
    others = product(STYLES, OTHERS)
    looks: list[Look] = []
    for pacing in pacings:
        look = PACINGS.get(pacing)
        if look is None or look in looks:
            style, color = next(others, (STYLES[0], OTHERS[-1]))
            look = Look(color, style)
        looks.append(look)
    return looks
