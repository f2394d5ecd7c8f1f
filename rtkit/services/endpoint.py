"""Where a session connects, and the secrets that it sends there."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rtkit.boundary.secrets import Confidential, Told, Unfit, plain
from rtkit.boundary.text import told

if TYPE_CHECKING:
    from rtkit.services.close_codes import Closure

__all__ = [
    "OWN_HOSTS",
    "PLAIN_HEADERS",
    "Address",
    "Closed",
    "Endpoint",
    "as_json",
    "as_texts",
    "only_public",
    "origin_of",
    "sounds_secret",
]


OWN_HOSTS = ("127.0.0.1", "localhost", "::1")  # what a service is called on its own machine
# Headers of every client's that hold no secret; all others may.
PLAIN_HEADERS = frozenset(
    (
        *("host", "origin", "connection", "upgrade", "user-agent", "accept", "accept-encoding"),
        *("accept-language", "cache-control", "pragma", "content-type", "content-length"),
        *("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"),
        *("sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site"),
        *("assemblyai-version", "openai-beta"),
    )
)
USER = "user@"  # under which name a URL's user goes: no secret, and better not shown


class Address(str):
    """A host, or a websocket address; shown without what may be secret in it."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """Without a user, a password, and parameters."""
        return re.sub(r"^(\w*:?//)?.*@", r"\1", re.sub(r"[?#].*", "", str(self)))

    def __repr__(self) -> str:
        return repr(self.shown)

    def base(self, path: str = "") -> Address:
        """The beginning of a URL, with ``wss://`` where nothing is said, and without the `path`.

        Raises
        ------
        ValueError
            If it is not a websocket address.
        """
        base = Address(self if "://" in self else f"wss://{self}")
        parts = None
        try:
            parts = urlsplit(base)
            good = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
            good = good and not parts.query and not parts.fragment
        except ValueError:  # of a port, or of brackets
            good = False
        if good and not re.search(r"\s", base):
            return Address(base.rstrip("/").removesuffix(path))
        del parts  # which shows what this does not
        raise ValueError(
            f"host={self!r} is not a websocket address; give a host name, or one with "
            "wss:// before it, or ws:// on this machine"
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, how to introduce oneself, and the frames that are said first.

    All of it may hold secrets: nothing shows it, and it cannot be pickled. `reveal` gives it away.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    opening: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", Confidential(self.url))
        object.__setattr__(self, "headers", Told(self.headers))
        object.__setattr__(self, "opening", tuple(map(Confidential, self.opening)))

    def reveal(self) -> tuple[str, dict[str, str], tuple[str, ...]]:
        """All of it in plain text, to be handed on at once and kept nowhere."""
        headers = {name: str(value) for name, value in self.headers.items()}
        return str(self.url), headers, tuple(map(str, self.opening))

    @property
    def host(self) -> str:
        """The name of the other side; empty where the URL is none."""
        try:
            return urlsplit(self.url).hostname or ""
        except ValueError:
            return ""

    @property
    def local(self) -> bool:
        """Whether it is this machine."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def private(self) -> bool:
        """Whether nothing at all goes in the clear over a network."""
        return not self.exposes()

    @property
    def bearer(self) -> bool:
        """Whether the word Bearer stands before the key."""
        return str(self.headers.get("Authorization", "")).lower().startswith("bearer ")

    def exposes(self, public: Collection[str] = ()) -> bool:
        """Whether a secret goes in the clear over a network; `public` as for `secrets`."""
        clear = not self.url.lower().startswith("wss:")
        return clear and not self.local and any(self.secrets({*public, USER}))

    def secrets(self, public: Collection[str] = ()) -> Iterator[Confidential]:
        """What is told to it in confidence: everything but what has one of the `public` names."""
        known = {name.casefold() for name in public}
        for name, value in self._named():
            if value and name.casefold() not in known:
                yield Confidential(value)

    def _named(self) -> Iterator[tuple[str, str]]:
        yield from self.headers.items()
        address, _, query = self.url.partition("?")
        user, _, _ = address.partition("//")[2].rpartition("@")
        name, _, password = user.partition(":")
        yield from ((USER, unquote(name)), ("", unquote(password)))
        for pair in query.partition("#")[0].split("&"):
            name, _, value = pair.partition("=")
            yield unquote(name), unquote(value.replace("+", " "))
        for frame in self.opening:
            yield from _leaves("", frame)


def _leaves(name: str, frame: str) -> Iterator[tuple[str, str]]:
    """The texts in a frame, with the name under which each stands."""
    try:
        left = [(name, json.loads(frame))]
    except (ValueError, RecursionError):
        left = [(name, frame)]
    while left:
        name, value = left.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, list):
            left += [(name, one) for one in value]
        elif isinstance(value, dict):
            left += value.items()


def as_json(parameters: Mapping[str, object]) -> Told:
    """Parameters, if they can be sent at all.

    Raises
    ------
    ValueError
        If one is nothing that JSON has.
    """
    parameters = Told(parameters)
    unfit = None
    for name in parameters:
        try:
            json.dumps(parameters[name], ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            unfit = name
            break
    if unfit is not None:  # out here, where the error carries nothing along
        raise ValueError(
            f"parameters[{unfit!r}] cannot be sent as JSON. Give a string, a number, True or "
            f"False, or a list or dict of these."
        )
    return parameters


def as_texts(parameters: Mapping[str, object]) -> Told:
    """Parameters as a URL has them: lists and objects as JSON, booleans in lower case.

    Raises
    ------
    ValueError
        As `as_json`.
    """
    parameters = Told(parameters)  # shows nothing, should one be refused
    parameters = as_json(parameters)
    return Told(
        {name: one if isinstance(one, str) else json.dumps(one) for name, one in parameters.items()}
    )


def only_public(parameters: Mapping[str, object], public: Collection[str]) -> dict[str, object]:
    """Of parameters, or headers, those that anybody may read, by their names.

    Raises
    ------
    ValueError
        If they are not names and values.
    """
    if not isinstance(parameters, Mapping):
        kind = parameters.kind if isinstance(parameters, Unfit) else type(parameters).__name__
        raise ValueError(
            f"parameters= takes names and values, such as {{'keyterms': ['rtkit']}}, not {kind}"
        )
    known = {name.casefold() for name in public}
    return {name: plain(one) for name, one in parameters.items() if name.casefold() in known}


def sounds_secret(name: str) -> bool:
    """Whether the value of a name not declared public should be hidden.

    For what a service says of itself: what it is told in confidence is known without guessing.
    """
    words = ("token", "auth", "secret", "api_key", "apikey", "password")
    return any(word in name.casefold() for word in words)


class Closed(Exception):
    """The other side closed the connection; `code` is None where it broke.

    `why` is set where this side had to break it off.
    """

    def __init__(self, code: int | None, reason: str = "", why: Closure | None = None) -> None:
        self.code, self.reason, self.why = code, told(reason), why
        super().__init__(code, self.reason)


def origin_of(said: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of an origin; with and without encryption it is the same."""
    try:
        parts = urlsplit(said.strip().lower())
        usual = {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(parts.scheme)
        scheme = "http" if usual is not None else parts.scheme
        return scheme, parts.hostname or "", parts.port or usual
    except ValueError:  # no port that can be
        return "", said, None
