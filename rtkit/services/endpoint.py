"""Where a session connects, and what must stay secret on the way."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from rtkit.boundary.text import told

if TYPE_CHECKING:
    from rtkit.services.closures import Closure

__all__ = ["Closed", "Endpoint", "is_secret", "strike_out"]

SECRETS = ("token", "auth", "secret", "api_key", "apikey", "password")  # in parameters' names


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, how to introduce oneself, and the frames that are said first.

    All of it may hold secrets: never shown.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    opening: tuple[str, ...] = field(default=(), repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def local(self) -> bool:
        """Whether it is this machine."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def private(self) -> bool:
        """Whether no secret goes in the clear over a network."""
        return urlsplit(self.url).scheme == "wss" or self.local or not self.secrets

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is told to it in confidence."""
        told = (*self.headers.items(), *parse_qsl(urlsplit(self.url).query))
        return tuple(value for name, value in told if value and is_secret(name))


def is_secret(name: str) -> bool:
    """Whether a header or parameter of that name holds what nobody else may know."""
    return any(secret in name.casefold() for secret in SECRETS)


def strike_out(secrets: Iterable[str], text: str) -> str:
    """A text from outside without these; what is shorter than any key may be a word, and stays."""
    for secret in secrets:
        if len(secret) >= 8:
            text = text.replace(secret, "[secret]")
    return text


class Closed(Exception):
    """The other side closed the connection; `code` is None where it broke without a word.

    `why` is set where this side had to break it off.
    """

    def __init__(self, code: int | None, reason: str = "", why: Closure | None = None) -> None:
        self.code, self.reason, self.why = code, told(reason), why
        super().__init__(code, self.reason)
