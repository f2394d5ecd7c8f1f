"""The head of an HTTP request, and how it is passed on to the service. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from rtkit.boundary.secrets import Confidential
from rtkit.boundary.text import told
from rtkit.services.endpoint import (
    OWN_HOSTS,
    PLAIN_HEADERS,
    Address,
    Endpoint,
    origin_of,
    sounds_secret,
)

__all__ = ["LONGEST_HEAD", "Request", "Upstream"]

LONGEST_HEAD = 1 << 16  # bytes


@dataclass(frozen=True)
class Upstream:
    """Where the service is: ``wss://HOST`` or ``ws://HOST:PORT``.

    Raises
    ------
    ValueError
        If it is no websocket address, or has a path: that is the client's; or if what clients
        bring would leave this machine unencrypted.
    """

    url: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url if "://" in self.url else f"wss://{self.url}")
            fits = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
            fits = fits and not (parts.path.strip("/") or parts.query or parts.username)
        except ValueError:  # of a port, or of brackets
            fits = False
        if not fits:
            raise ValueError(
                f"upstream={Address(told(self.url, 60))!r} is not the address of a service; give wss://HOST"
                ", or ws://HOST:PORT, without a path: that is the client's"
            )
        object.__setattr__(self, "url", f"{parts.scheme}://{parts.netloc}")
        if not self.encrypted and not Endpoint(self.url, {}).local:
            raise ValueError(
                f"Refusing to pass on the clients' API keys unencrypted to {parts.netloc}; give "
                f"wss://{parts.netloc}"
            )

    @property
    def encrypted(self) -> bool:
        return self.url.startswith("wss:")

    @property
    def netloc(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.encrypted else 80)


@dataclass(frozen=True)
class Request:
    """A request as it came: its first line, and each header's line.

    Raises
    ------
    ValueError
        If it is not valid.
    """

    lines: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, head: bytes) -> Request:
        """By all bytes up to the empty line."""
        request = cls(tuple(head.split(b"\r\n")))
        if not re.fullmatch(rb"[A-Z]+ /\S* HTTP/1\.1", request.lines[0]):
            raise ValueError("this is not a request of HTTP/1.1")
        return request

    @property
    def path(self) -> str:
        return self._target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self._target.partition("?")[2]))

    @property
    def headers(self) -> dict[str, str]:
        """By names in lower case; what comes several times is joined."""
        found: dict[str, str] = {}
        for name, value in self._headers():
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def upgrades(self) -> bool:
        """Whether it asks for a websocket."""
        return self.headers.get("upgrade", "").casefold() == "websocket"

    def told_in_confidence(self, public: frozenset[str]) -> Iterator[str]:
        """Whatever in it may be a secret; parameters with one of the `public` names are none."""
        for name, value in self._headers():
            if name not in PLAIN_HEADERS:
                yield Confidential(value)
                if name in ("cookie", "sec-websocket-protocol"):
                    parts = re.split(r"[;,]\s*", value)
                    yield from (Confidential(part.partition("=")[2] or part) for part in parts)
        for name, value in self.query.items():
            if name not in public or sounds_secret(name):
                yield Confidential(value)

    def foreign(self, port: int) -> str | None:
        """Whose web page asks, if one from elsewhere does, or one that gives itself our address."""
        own = {("http", host, port) for host in OWN_HOSTS}
        origin, host = self.headers.get("origin"), f"http://{self.headers.get('host', '')}"
        for one in (origin, host):
            if one is not None and origin_of(one) not in own:
                return told(re.sub(r"^\w+://", "", one), 60) or "nowhere"
        return None

    def onward(self, upstream: Upstream) -> bytes:
        """The same for the service: for its host, and from a page of its own if from any."""
        scheme = "https" if upstream.encrypted else "http"
        lines = []
        for line in self.lines:
            name = line.partition(b":")[0].strip().lower()
            if name == b"host":
                line = f"Host: {upstream.netloc}".encode()
            elif name == b"origin":
                line = f"Origin: {scheme}://{upstream.netloc}".encode()
            elif name == b"connection" and not self.upgrades:
                continue
            lines.append(line)
        if not self.upgrades:  # a second request on the connection would go on unchanged
            lines.append(b"Connection: close")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def _target(self) -> str:
        return self.lines[0].split(b" ")[1].decode("latin-1")

    def _headers(self) -> Iterator[tuple[str, str]]:
        for line in self.lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            yield name.strip().casefold(), value.strip()
