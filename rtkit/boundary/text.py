"""Making text from outside safe to save, show and write."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["LONGEST", "clean", "counted", "short_name", "told", "unknown"]

LONGEST = 300  # characters of what somebody else says, in a sentence of ours

# Control characters but for tab and line feed, and halves of a character, which no encoding takes.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# These make a terminal or a page show what follows in another order.
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
INSTEAD = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """Text made safe to show, in order, and to write as UTF-8."""
    if text.isprintable():
        return text
    return _ODD.sub(INSTEAD, _REORDERING.sub("", text.replace("\r\n", "\n")))


def told(text: object, longest: int = LONGEST) -> str:
    """What is said of a thing, as a part of a sentence: on one line, and not too long."""
    words = str(text)[: 4 * longest]  # or a megabyte would be looked through for its first line
    line = " ".join(clean(words).split())
    return line if len(line) <= longest else f"{line[: longest - 2]} …"


def counted(number: int, one: str, many: str = "") -> str:
    """How many there are of a thing: ``"1 turn"``, ``"2 turns"``."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def unknown(what: str, given: object, known: Iterable[object]) -> str:
    """A sentence about a name that is not known, with the nearest that is, or with all of them."""
    names, said = [str(name) for name in known], told(repr(given), 60)
    begun = [name for name in names if given and name.startswith(str(given))]
    near = begun or get_close_matches(str(given), names, n=1)
    if near:
        return f"unknown {what} {said}; did you mean {near[0]!r}?"
    return f"unknown {what} {said}; one of {', '.join(map(repr, names))}"


def short_name(name: str) -> str:
    """A name that leaves room for more in the 255 bytes that a file's name may have."""
    return clean(name).encode()[:150].decode(errors="ignore")
