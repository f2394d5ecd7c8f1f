"""A session's websocket: opening, sending, closing, and explaining failures."""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import ssl
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from rtkit.boundary.secrets import StrikeOut, without_user
from rtkit.boundary.text import told
from rtkit.sending.kernel import Kernel
from rtkit.sending.reach import reached
from rtkit.services.close_codes import Closure
from rtkit.services.endpoint import Address, Closed, Endpoint
from rtkit.services.explain import FLOOD, explain_own, explain_status
from rtkit.services.service import dialect_named

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed
    from websockets.http11 import Response

__all__ = ["Failure", "WebSocket", "open_websocket"]

CLOSE_TIMEOUT = 2.0  # seconds that the other side may take to close
UNREAD = 1 << 22  # bytes that the other side may leave unread: audio is refused long before
LONGEST_MESSAGE = 1 << 20  # bytes; three hours of words in one turn are less


class Failure(Exception):
    """Why the session cannot go on, as one sentence.

    `wait` is set (in seconds) if the connection may be retried, `closure` if `rtkit.explain` knows
    the ending.
    """

    def __init__(
        self, sentence: str, wait: float | None = None, closure: Closure | None = None
    ) -> None:
        super().__init__(sentence)
        self.wait, self.closure = wait, closure


class WebSocket:
    """A websocket that ends with `Closed`, and on which a secret that comes back is struck out."""

    FULL = 1 << 15  # bytes that wait for the network: a second of audio at 16 kHz
    # A thousand sessions leave nothing in the caches: each look-up on the way of a chunk counts.
    __slots__ = (
        "_closed", "_connection", "_not_open", "_protocol", "_strike_out", "_transport", "kernel"
    )  # fmt: skip

    def __init__(self, connection: ClientConnection, strike_out: StrikeOut) -> None:
        from websockets.exceptions import ConnectionClosed, InvalidState

        self._connection, self._closed, self._not_open = connection, ConnectionClosed, InvalidState
        self._transport, self._protocol = connection.transport, connection.protocol
        self._strike_out = strike_out
        self.kernel = Kernel(self._transport)

    # What is raised here is raised after `except`, so that nothing of the network's goes along.

    async def send(self, frame: bytes | str) -> None:
        if self._transport.get_write_buffer_size() + len(frame) <= self.FULL:
            try:
                self.write(frame)
                return
            except Closed:  # how, the other way tells
                pass
        try:
            return await self._connection.send(frame)
        except self._closed as closed:
            failed = self._as_closed(closed)
        raise failed

    async def recv(self) -> str | bytes:
        try:
            frame = await self._connection.recv()
            text = frame.decode("utf-8", "replace") if isinstance(frame, bytes) else frame
            return self._strike_out(text)
        except self._closed as closed:
            failed = self._as_closed(closed)
        raise failed

    async def close(self) -> None:
        # websockets bounds its wait for the other side's Close, but not for its own to leave: the
        # one that a service keeps waiting that has stopped reading.
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT + 1.0):
                await self._connection.close()
        except TimeoutError:
            self._transport.abort()
            await self._connection.wait_closed()

    def _as_closed(self, closed: ConnectionClosed) -> Closed:
        """By the close frame that came; a broken connection has none."""
        if closed.sent is not None and not closed.rcvd_then_sent and closed.sent.code != 1000:
            return Closed(None, why=explain_own(closed.sent.code))
        if closed.rcvd is None:
            return Closed(None, why=getattr(self._connection, "why", None))
        return Closed(closed.rcvd.code, self._strike_out(closed.rcvd.reason))

    def write(self, frame: bytes | str) -> bool:
        """Send at once, unless the way out is full: then not, and False.

        What `send` does, without a coroutine and the locks around it: these cost as much as all
        the rest of sending.
        """
        transport, protocol = self._transport, self._protocol
        if transport.get_write_buffer_size() > self.FULL:
            return False
        try:
            if isinstance(frame, str):
                protocol.send_text(frame.encode())
            else:
                protocol.send_binary(frame)
        except self._not_open:
            pass
        else:
            for data in protocol.data_to_send():
                transport.write(data)
            return True
        raise Closed(None)  # `recv` tells how


async def open_websocket(endpoint: Endpoint, dialect: str) -> WebSocket:
    """Connect, or say in one sentence why not; the caller limits the time.

    What websockets raises holds the headers in its frames, and so does an interruption: neither
    leaves this function.
    """
    public, host = dialect_named(dialect).public, endpoint.host
    if not host:
        raise Failure(
            "The service's address is not valid; give wss://HOST and a path, if it needs one."
        )
    if endpoint.exposes(public):
        raise Failure(
            f"Refusing to send the API key unencrypted to {host}; use wss:// (ws:// is for "
            f"this machine only)."
        )

    strike_out = StrikeOut([*endpoint.secrets(public), *_of_proxies()])
    failure, stopped = Failure(""), None
    try:
        place: dict[str, Any] = {}
        if not (endpoint.local or getproxies()):
            port = urlsplit(endpoint.url).port or (80 if endpoint.url.startswith("ws:") else 443)
            place = {"sock": await reached(host, port, socket.socket)}
        return WebSocket(await _connect(endpoint, place), strike_out)
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit) as interruption:
        stopped = type(interruption), interruption.args
    except Exception as error:
        failure = _failure(error, host, dialect, strike_out)
    if stopped is not None:
        raise stopped[0](*stopped[1])
    raise failure


def _of_proxies() -> list[str]:
    """Users and passwords in the addresses of this computer's proxies."""
    users = (proxy.rpartition("@")[0].rpartition("/")[2] for proxy in getproxies().values())
    return [unquote(part) for user in users for part in user.split(":", 1)]


def _failure(error: Exception, host: str, dialect: str, strike_out: StrikeOut) -> Failure:
    """Why there is no connection."""
    from websockets.exceptions import InvalidStatus

    if isinstance(error, InvalidStatus):
        return _refused(error.response, host, dialect, strike_out)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(
            f"{host} could not prove its identity ({error.verify_message}), so nothing was "
            f"sent to it. Check the host name, and whether a proxy intercepts the connection; "
            f"to trust the proxy, set SSL_CERT_FILE to its certificate."
        )
    if isinstance(error, ImportError):
        return Failure(
            f"{host} cannot be reached: this computer uses a SOCKS proxy, which needs a "
            f"package that is not installed. Run pip install python-socks[asyncio], or unset "
            f"the proxy (all_proxy, https_proxy, socks_proxy)."
        )
    why = told(strike_out(without_user(f"{type(error).__name__}: {error}")))
    return Failure(
        f"{host} cannot be reached ({why}). Check the network and the host name.",
        0.0 if _passing(error) else None,
    )


def _refused(response: Response, host: str, dialect: str, strike_out: StrikeOut) -> Failure:
    """By the answer to the request for a websocket, which was none."""
    status = response.status_code
    if 300 <= status < 400:
        places = map(Address, response.headers.get_all("Location"))
        to = strike_out(", ".join(place.shown for place in places))
        return Failure(
            f"{host} redirects to {told(to) or 'nowhere'}. rtkit does not follow, because it "
            f"would send the key and the audio there. If you trust it, use it as the host."
        )
    said = response.headers.get(dialect_named(dialect).error_header or "-")
    said = said or (response.body or b"")[:2000].decode("utf-8", "replace")
    words = told(strike_out(said)) if "<" not in said else ""  # a page is nothing to quote
    closure = explain_status(status, words, dialect)
    return Failure(
        f"{host} refused the connection with HTTP status {status}"
        + (f' and the message "{words}". ' if words else ". ")
        + f"{closure.cause} {closure.fix}",
        closure=closure,
    )


async def _connect(endpoint: Endpoint, place: Mapping[str, Any]) -> ClientConnection:
    from websockets.asyncio.client import ClientConnection, connect

    class Connection(ClientConnection):
        """One that ends with a service that makes it say much, pongs for pings, and reads none."""

        why: Closure | None = None

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.get_write_buffer_size() > UNREAD:
                self.why = FLOOD
                self.transport.abort()

    class Connect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc  # the key and the audio are for this host alone

    return await Connect(
        str(endpoint.url),
        additional_headers=dict(endpoint.headers),
        create_connection=Connection,
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
