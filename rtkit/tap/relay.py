"""Relaying bytes between a client's connection and its service's."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from rtkit.boundary.text import told
from rtkit.sending.reach import reached
from rtkit.tap.network import Network
from rtkit.tap.request_head import LONGEST_HEAD, Request, Upstream
from rtkit.tap.stamped import StampedSocket

__all__ = ["Observer", "Relay", "refusal"]

CONNECT_TIMEOUT = 10.0  # seconds


class Observer(Protocol):
    """Keeps a copy of what has passed, with the instants of its coming and its going on.

    `waited` is for how long it had been in the kernel when it came, if that tells. It is called
    before anything else passes, and has to be quick.
    """

    def up(self, data: bytes, came: float, went: float, waited: float | None) -> None: ...

    def down(self, data: bytes, came: float, went: float, waited: float | None) -> None: ...

    def ended(self, by: str, at: float, error: str = "") -> None:
        """Whose end it was: ``"client"`` or ``"service"``; may be called again."""


def refusal(status: str, why: str) -> bytes:
    """A response that opens nothing."""
    body = f"{why}\n".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class _End(asyncio.Protocol):
    """One end: what comes in here goes out at the other one, as soon as the network lets it."""

    HELD = 1 << 16  # bytes that may be on their way, on a network that is slow on demand

    def __init__(self, relay: Relay, name: str, network: Network) -> None:
        self._relay, self._name, self._network = relay, name, network
        self.line: StampedSocket | None = None
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.other: asyncio.Transport | None = None
        self.look: Callable[[bytes, float, float, float | None], None] | None = None
        self._begun = self._loop.time()
        self._held: deque[tuple[float, bytes, float, float | None]] = deque()
        self._full: set[str] = set()  # of what, so that no more is read
        self.eof = self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        came, waited = self._loop.time(), None if self.line is None else self.line.waited
        if self.other is None:
            self._relay.begin(data, came, waited)
        elif self._network:
            when = self._begun + self._network.leaves(came - self._begun, len(data))
            self._held.append((when, data, came, waited))
            if len(self._held) == 1:
                self._loop.call_at(when, self._release)
            self._slow_down()
        else:
            self.pass_on(data, came, waited)

    def pass_on(self, data: bytes, came: float, waited: float | None) -> None:
        assert self.other is not None
        self.other.write(data)
        if self.look is not None:
            self.look(data, came, self._loop.time(), waited)

    def forget(self) -> None:
        """What is on its way does not arrive."""
        held = bool(self._held)
        self._held.clear()
        if held and self._lost:
            self._relay.lost(self._name, None)

    def _release(self) -> None:
        if not self._held:
            return
        while self._held and self._held[0][0] <= self._loop.time():
            _, data, came, waited = self._held.popleft()
            self.pass_on(data, came, waited)
        if self._held:
            self._loop.call_at(self._held[0][0], self._release)
        elif self._lost:
            self._relay.lost(self._name, None)
        elif self.eof and self.other is not None and self.other.can_write_eof():
            self.other.write_eof()
        self._slow_down()

    def _slow_down(self) -> None:
        self.flow("network", sum(len(data) for _, data, _, _ in self._held) < self.HELD)

    def flow(self, what: str, on: bool) -> None:
        """Read on only if nothing is full."""
        (self._full.discard if on else self._full.add)(what)
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.pause_reading if self._full else self.transport.resume_reading)()

    def eof_received(self) -> bool:
        self.eof = True
        self._relay.first = self._relay.first or self._name
        if self.other is None or self.transport is None:
            return False
        if not (self.transport.can_write_eof() and self.other.can_write_eof()):
            return False  # TLS has no half of a connection
        if not self._held:
            self.other.write_eof()
        return not self._relay.silent

    def pause_writing(self) -> None:
        self._relay.other(self).flow("other", False)

    def resume_writing(self) -> None:
        self._relay.other(self).flow("other", True)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        if not self._held:
            self._relay.lost(self._name, error)


class Relay:
    """A client and its service.

    Parameters
    ----------
    line : socket
        The client's.
    upstream : Upstream
    tls : SSLContext or None
        To verify it by.
    admit : callable
        Given the request, why it is refused, or who observes it, if anybody.
    closed : callable
        Called when both connections have ended.
    up, down : Network
        What the client's bytes suffer from, and the service's.
    """

    def __init__(
        self,
        line: socket.socket,
        upstream: Upstream,
        tls: ssl.SSLContext | None,
        admit: Callable[[Request], Observer | str | None],
        closed: Callable[[Relay], object],
        up: Network,
        down: Network,
    ) -> None:
        self._upstream, self._tls = upstream, tls
        self._admit, self._closed = admit, closed
        self.client, self.service = _End(self, "client", up), _End(self, "service", down)
        self.client.line = line if isinstance(line, StampedSocket) else None
        self._drop = min(up.drop, down.drop)
        self.first = ""  # to say that it has no more to say
        self._head = b""
        self._came, self._waited = 0.0, cast(float | None, None)  # the last of it
        self._observer: Observer | None = None
        self._open = 1
        self._connecting: asyncio.Task[None] | None = None

    def begin(self, data: bytes, came: float, waited: float | None) -> None:
        """Of the request's head, these bytes came."""
        assert self.client.transport is not None
        self._head += data
        self._came, self._waited = came, waited
        head, found, _ = self._head.partition(b"\r\n\r\n")
        if self._connecting is not None:
            return
        if not found:
            if len(self._head) > LONGEST_HEAD:
                self._refuse(
                    "431 Request Header Fields Too Large", "The request's head is too long."
                )
            return
        try:
            request = Request.of(head)
        except ValueError as error:
            self._refuse("400 Bad Request", str(error))
            return
        observer = self._admit(request)
        if isinstance(observer, str):
            self._refuse("403 Forbidden", observer)
            return
        self._observer = observer
        self.client.transport.pause_reading()
        self._connecting = asyncio.create_task(self._connect(request), name="rtkit-tap")

    async def _connect(self, request: Request) -> None:
        loop, (host, port) = asyncio.get_running_loop(), self._upstream.place
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                self.service.line = line = await reached(host, port, StampedSocket)
                name = None if self._tls is None else host
                await loop.create_connection(
                    lambda: self.service, sock=line, ssl=self._tls, server_hostname=name
                )
        except (OSError, ValueError) as error:  # the latter of a name that cannot be one
            why = told(str(error)) or f"no reply within {CONNECT_TIMEOUT:g} s"
            self._end("service", f"{self._upstream.netloc} cannot be reached ({why}).")
            self._refuse("502 Bad Gateway", f"{self._upstream.netloc} cannot be reached ({why}).")
            return
        self._open += 1
        client, service, observer = self.client.transport, self.service.transport, self._observer
        assert client is not None
        assert service is not None
        service.write(request.onward(self._upstream))
        self.client.other, self.service.other = service, client
        if observer is not None:
            self.client.look, self.service.look = observer.up, observer.down
        rest, self._head = self._head.partition(b"\r\n\r\n")[2], b""
        if rest:
            self.client.pass_on(rest, self._came, self._waited)
        if self._drop < math.inf:
            loop.call_later(self._drop, self.cut)
        if client.is_closing():
            service.close()
        else:
            client.resume_reading()

    @property
    def silent(self) -> bool:
        """Whether neither side will say any more."""
        return self.client.eof and self.service.eof

    def other(self, end: _End) -> _End:
        """The other one of the two."""
        return self.service if end is self.client else self.client

    def lost(self, name: str, error: Exception | None) -> None:
        """One end is gone: what was on its way to the other one still goes."""
        self._open -= 1
        self._end(self.first or name, "" if error is None else told(error))
        other = self.service if name == "client" else self.client
        if other.transport is not None:
            other.transport.close()
        if self._open == 0:
            asyncio.get_running_loop().call_soon(self._closed, self)

    async def close(self) -> None:
        """Cut both off."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        self.cut()

    def cut(self) -> None:
        """Break both connections."""
        for end in (self.client, self.service):
            end.forget()
            if end.transport is not None:
                end.transport.abort()

    def _refuse(self, status: str, why: str) -> None:
        assert self.client.transport is not None
        self.client.transport.write(refusal(status, why))
        self.client.transport.close()

    def _end(self, by: str, error: str = "") -> None:
        if self._observer is not None:
            self._observer.ended(by, asyncio.get_running_loop().time(), error)
