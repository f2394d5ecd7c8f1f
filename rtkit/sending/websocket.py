"""The websocket that a session speaks through: opened, sent to, closed, and its faults told."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import ssl
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from rtkit.clock.thread import in_thread
from rtkit.sending.kernel import Kernel
from rtkit.services.closures import Closure
from rtkit.services.endpoint import Closed, Endpoint, strike_out
from rtkit.services.explain import explain, explain_own

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

__all__ = ["Failure", "WebSocket", "open_websocket"]

CLOSE_TIMEOUT = 2.0  # seconds that the other side may take to close
LONGEST_MESSAGE = 1 << 20  # bytes; three hours of words in one turn are less


class Failure(Exception):
    """Why the session cannot go on, as one sentence.

    `wait` is set where the connection may be tried again after so many seconds, `closure` where
    `rtkit.explain` knows that ending.
    """

    def __init__(
        self, sentence: str, wait: float | None = None, closure: Closure | None = None
    ) -> None:
        super().__init__(sentence)
        self.wait, self.closure = wait, closure


class WebSocket:
    """A websocket that ends with `Closed`, and on which a secret that comes back is struck out."""

    FULL = 1 << 15  # bytes that wait for the network: a second of audio at 16 kHz

    def __init__(self, connection: ClientConnection, endpoint: Endpoint) -> None:
        from websockets.exceptions import ConnectionClosed, InvalidState

        self._connection, self._closed, self._not_open = connection, ConnectionClosed, InvalidState
        self._secrets = endpoint.secrets
        self.kernel = Kernel(connection.transport)

    async def send(self, frame: bytes | str) -> None:
        try:
            await self._connection.send(frame)
        except self._closed as closed:
            raise self._as_closed(closed) from None

    async def recv(self) -> str | bytes:
        try:
            frame = await self._connection.recv()
        except self._closed as closed:
            raise self._as_closed(closed) from None
        if isinstance(frame, bytes):
            frame = frame.decode("utf-8", "replace")
        return strike_out(self._secrets, frame)

    async def close(self) -> None:
        # websockets bounds its wait for the other side's Close, but not for its own to leave: the
        # one that a service keeps waiting that has stopped reading.
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT + 1.0):
                await self._connection.close()
        except TimeoutError:
            self._connection.transport.abort()
            await self._connection.wait_closed()

    def _as_closed(self, closed: ConnectionClosed) -> Closed:
        """By the close frame that came; a broken connection has none."""
        if closed.sent is not None and not closed.rcvd_then_sent and closed.sent.code != 1000:
            return Closed(None, why=explain_own(closed.sent.code))
        if closed.rcvd is None:
            return Closed(None)
        return Closed(closed.rcvd.code, strike_out(self._secrets, closed.rcvd.reason))

    def write(self, frame: bytes | str) -> bool:
        """Send at once, unless the way out is full: then not, and False.

        What `send` does, without a coroutine and the locks around it: these cost as much as all
        the rest of sending.
        """
        if self._connection.transport.get_write_buffer_size() > self.FULL:
            return False
        try:
            if isinstance(frame, str):
                self._connection.protocol.send_text(frame.encode())
            else:
                self._connection.protocol.send_binary(frame)
        except self._not_open:
            raise Closed(None) from None  # `recv` tells how
        self._connection.send_data()
        return True


async def open_websocket(endpoint: Endpoint, dialect: str) -> WebSocket:
    """Connect, or tell in one sentence why not; for as long as the caller cares to wait."""
    from websockets.exceptions import InvalidStatus, WebSocketException

    host = endpoint.host
    if not endpoint.private:
        raise Failure(
            f"{host} would be told the key without encryption, for all on the way to read; "
            "connect with wss:// (ws:// is for this machine only)."
        )
    try:
        for place, last in await _places(endpoint):
            try:
                return WebSocket(await _connect(endpoint, place), endpoint)
            except OSError:
                if last:
                    raise
        raise AssertionError
    except InvalidStatus as refused:
        status = refused.response.status_code
        closure = explain(status, dialect=dialect)
        raise Failure(
            f"{host} refused the connection with HTTP status {status}. "
            f"{closure.cause} {closure.fix}",
            closure=closure,
        ) from None
    except ssl.SSLCertVerificationError as error:
        raise Failure(
            f"{host} could not prove that it is {host} ({error.verify_message}), so it was told "
            "nothing. Look at the host's name, and for a proxy that reads along; if that one is to "
            "be trusted, name its certificate in SSL_CERT_FILE."
        ) from None
    except (OSError, WebSocketException, ValueError) as error:
        told = strike_out(endpoint.secrets, f"{type(error).__name__}: {error}")
        raise Failure(
            f"{host} cannot be reached ({told}). Look at the network and at the host's name.",
            0.0 if _passing(error) else None,
        ) from None


async def _connect(endpoint: Endpoint, place: Mapping[str, Any]) -> ClientConnection:
    from websockets.asyncio.client import connect

    return await connect(
        endpoint.url,
        additional_headers=dict(endpoint.headers),
        compression=None,  # it would cost the sender more than it saves
        open_timeout=None,
        close_timeout=CLOSE_TIMEOUT,
        max_size=LONGEST_MESSAGE,
        ping_interval=None,  # a busy notebook must not look like a dead network
        proxy=None if endpoint.local else True,
        logger=_quiet_logger(),
        user_agent_header=f"rtkit/{version('rtkit')}",
        **place,
    )


async def _places(endpoint: Endpoint) -> list[tuple[dict[str, Any], bool]]:
    """Where the host can be reached, and whether that is the last place.

    A loop resolves names on threads of its own, and whoever closes it waits for them, however long
    a resolver takes; for this one nobody waits. This machine needs no resolver, and a proxy asks
    its own.
    """
    if endpoint.local or getproxies():
        return [({}, True)]
    ask = partial(socket.getaddrinfo, endpoint.host, None, type=socket.SOCK_STREAM)
    found = await asyncio.wrap_future(in_thread("rtkit-resolve", ask))
    hosts = list(dict.fromkeys(str(address[0]) for *_, address in found))
    return [({"host": host}, host == hosts[-1]) for host in hosts]


def _passing(error: Exception) -> bool:
    """Whether the network did it, and may do better the next time."""
    cut_off = isinstance(error.__cause__, EOFError | OSError)
    return (isinstance(error, OSError) and not isinstance(error, ssl.SSLError)) or cut_off


@functools.cache
def _quiet_logger() -> logging.Logger:
    """At its level DEBUG websockets logs the headers, and with them the key."""
    logger = logging.getLogger("rtkit.sending.websocket")
    logger.setLevel(logging.INFO)
    return logger
