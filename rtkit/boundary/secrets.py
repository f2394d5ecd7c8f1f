"""Secrets: never shown, and removed where they come back."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, NoReturn
from urllib.parse import unquote

__all__ = [
    "Confidential",
    "StrikeOut",
    "Told",
    "Unfit",
    "hidden",
    "plain",
    "reduced",
    "without_user",
]

SECRET = "[secret]"
SHORTEST = 8  # characters of a key; what is shorter may be a word, and stays
DEPTH = 10  # to which what somebody is told may be nested
PART = 12  # of a part of what was told, unless there is a digit in it
# Of a key that was cut, as far as it goes; of a text's end in JSON nothing is taken.
REST = r"(?:\\u[0-9a-fA-F]{4}|\\/|[^\s\\\"'<>()\[\]{},;])*"


class Confidential(str):
    """A text that no repr shows, and so no traceback's variables; it cannot be pickled."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(SECRET)

    def __copy__(self) -> Confidential:
        return self

    def __deepcopy__(self, _: object) -> Confidential:
        return self

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise TypeError(
            "a secret cannot be pickled: it must not reach a file or another process by accident"
        )


class Told(dict[str, Any]):
    """Parameters for a service, whose names are shown and whose values are not."""

    __slots__ = ()

    def __init__(
        self, told: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), depth: int = DEPTH
    ) -> None:
        super().__init__({str(name): hidden(value, depth) for name, value in dict(told).items()})

    def __repr__(self) -> str:
        return repr(dict.fromkeys(self, SECRET))

    def __deepcopy__(self, _: object) -> Told:
        return Told(self)

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise TypeError(
            "secrets cannot be pickled: they must not reach a file or another process by accident"
        )


class Unfit:
    """Stands for a value that cannot be sent; only its type is kept."""

    def __init__(self, value: object) -> None:
        self.kind = type(value).__name__


def hidden(value: Any, depth: int = DEPTH) -> Any:
    """JSON whose texts no repr shows; other or too deeply nested values become `Unfit`."""
    if isinstance(value, str):
        return Confidential(value)
    if value is None or isinstance(value, bool | int | float | Unfit):
        return value
    if depth and isinstance(value, Mapping):
        return Told(value, depth - 1)
    if depth and isinstance(value, list | tuple):
        return [hidden(one, depth - 1) for one in value]
    return Unfit(value)


def plain(value: Any) -> Any:
    """The original value of what was hidden, for immediate use."""
    if isinstance(value, Confidential):
        return str(value)
    if isinstance(value, Told):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if type(value) is list else value


def reduced(one: Any) -> tuple[Callable[[], Any], tuple[()]]:
    """For a dataclass's ``__reduce__``: what is hidden in it goes along to the other process."""
    values = {field.name: plain(getattr(one, field.name)) for field in fields(one)}
    return partial(one.__class__, **values), ()


def without_user(address: str) -> str:
    """An address without the user and the password that may stand before its host."""
    return re.sub(r"(?<=//)\S*@", "", address)


def _parts(value: str) -> Iterator[str]:
    """A value that was told in confidence, and those parts of it that might come back alone."""
    if len(value) >= SHORTEST:
        yield value
    without_scheme = value.partition(" ")[2]
    for text in (*_leaves(value), without_scheme, *_from_basic(value)):
        if len(text) >= SHORTEST:
            yield text
        # Words before a key, other cookies, a proxy's user...
        for part in re.split(r"[\s,;:=]+", text):
            if len(part) >= PART or (len(part) >= SHORTEST and re.search(r"\d", part)):
                yield part


def _leaves(value: str) -> Iterator[str]:
    """All texts in a JSON value; a single text yields itself."""
    try:
        left = [json.loads(value)] if value[:1] in '[{"' else [value]
    except (ValueError, RecursionError):
        left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += one.values()


def _from_basic(value: str) -> Iterator[str]:
    """What stands in an HTTP header after the word Basic."""
    scheme, _, coded = value.partition(" ")
    if scheme.casefold() == "basic":
        try:
            decoded = base64.b64decode(coded, validate=True).decode()
            yield from (decoded, decoded.partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            return


class StrikeOut:
    """Removes secrets from text, in whatever form they come back.

    As they are, in capitals or not; escaped for JSON, for a URL, for HTML, and one within another;
    in base64, whatever stands before them there, and as hexadecimal digits. Of a long one also its
    beginning, if a message was cut behind that.
    """

    __slots__ = ("_ascii", "_forms", "_pattern")

    def __init__(self, secrets: Iterable[str]) -> None:
        values = [form for value in secrets for form in (value, unquote(value))]
        found = {part for value in values for part in _parts(value)}
        forms = sorted(found.union(*map(_coded, found)), key=len, reverse=True)
        heads = sorted({one[:PART] for one in found if len(one) >= 2 * PART})
        self._forms = {form.lower() for form in (*forms, *heads)}
        patterns = [*map(re.escape, forms), *(re.escape(head) + REST for head in heads)]
        self._pattern = re.compile("|".join(patterns), re.IGNORECASE)
        self._ascii = all(one.isascii() for one in found)

    def __repr__(self) -> str:
        return "<StrikeOut>"

    def __call__(self, text: str) -> str:
        """The text without them."""
        if not self._forms:
            return text
        if self._holds_one(text):
            text = self._pattern.sub(SECRET, text)
        # What is escaped is seldom ASCII, and secrets seldom are anything else.
        for _ in range(NESTED):
            may_be = (_MAY_BE_ASCII if self._ascii else _MAY_BE).search(text)
            found = self._escaped(text, NESTED) if may_be else []
            for start, stop in reversed(found):
                text = text[:start] + SECRET + text[stop:]
            if not found:
                break
        return text

    def _holds_one(self, text: str) -> bool:
        """Whether one stands in it as it is; sooner said than where."""
        in_small = text.lower()
        return any(form in in_small for form in self._forms)

    def _escaped(self, text: str, times: int) -> list[tuple[int, int]]:
        """From where to where one stands that was escaped; none overlaps another."""
        plain = _Plain(text, _ASCII if self._ascii else _ANY)
        found: list[tuple[int, int]] = []
        if self._holds_one(plain.text):
            found = [one.span() for one in self._pattern.finditer(plain.text)]
        elif times and plain.text != text:
            found = self._escaped(plain.text, times - 1)
        return [(plain.place(start), plain.place(stop, after=True)) for start, stop in found]


NESTED = 3  # times that a secret may be escaped in one way after another


def _escapes(four: str, two: str) -> re.Pattern[str]:
    """How a character, or in a URL several, may be escaped; also more than once."""
    forms = (
        rf"(?:\\+|%(?:25)*)u(?P<json>{four})",
        rf"\\+x(?P<hex>{two})",
        rf"\\+u\{{0*(?P<braced>{two})\}}",
        rf"(?P<url>(?:%(?:25)*{two})+)",
        r"(?P<html>&(?:\#0*\d{2,6}|\#[xX]0*[0-9a-fA-F]{2,5}|[a-zA-Z]{2,8});)",
        r"\\+(?P<one>[^\w\s])",
    )
    return re.compile("|".join(forms))


_ASCII = _escapes("00[2-7][0-9a-fA-F]", "[2-7][0-9a-fA-F]")
_ANY = _escapes("[0-9a-fA-F]{4}", "[0-9a-fA-F]{2}")


# Whether it is worth looking for them; soon said.
_MAY_BE_ASCII = re.compile(r"[\\%&](?:u(?:00|\{)|[^\w\s]|[2-7x]|[a-zA-Z]{2,8};)")
_MAY_BE = re.compile(r"[\\%&]")


class _Plain:
    """A text with what is escaped in it as it is meant, and where that stands in the text.

    It consists of stretches: what is not escaped, what was escaped as one, and so on in turn. Each
    begins at `_at` in the plain text and at `_where` in the other one.
    """

    def __init__(self, text: str, escape: re.Pattern[str]) -> None:
        self.text = ""
        self._at, self._where = [0], [0]
        pieces: list[str] = []
        length = done = 0
        for found in escape.finditer(text):
            between, meant = text[done : found.start()], _meant(found)
            pieces += (between, meant)
            self._at += (length + len(between), length + len(between) + len(meant))
            self._where += (found.start(), found.end())
            length, done = self._at[-1], found.end()
        self.text = "".join((*pieces, text[done:]))

    def place(self, place: int, *, after: bool = False) -> int:
        """Where in the text it is; within what was escaped as one, before or after that."""
        stretch = bisect_right(self._at, place) - 1
        ahead = place - self._at[stretch]
        if stretch % 2 and ahead:
            return self._where[stretch + after]
        return self._where[stretch] + ahead


def _meant(found: re.Match[str]) -> str:
    """What was escaped."""
    kind = found.lastgroup or ""
    if kind == "url":
        digits = re.sub("%(?:25)*(?=[0-9a-fA-F]{2})", "", found[kind])
        return bytes.fromhex(digits).decode("utf-8", "replace")
    if kind == "html":
        return html.unescape(found[kind])
    return found[kind] if kind == "one" else chr(int(found[kind], 16))


def _coded(secret: str) -> Iterator[str]:
    """In base64, after 0, 1 or 2 other bytes, and as hexadecimal digits."""
    content = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        coded = base64.b64encode(bytes(before) + content).decode()
        first, last = (0, 2, 3)[before], (len(content) + before) * 4 // 3  # all of its own bits
        if last - first >= SHORTEST:
            yield coded[first:last]
            yield coded[first:last].translate(_URL_SAFE)
    yield content.hex()


_URL_SAFE = str.maketrans("+/", "-_")
