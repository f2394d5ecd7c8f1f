"""The embedded service on a websocket: a thin skin around a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary, WeakSet

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from rtkit.boundary.text import counted, told
from rtkit.loopback.admission import Visit
from rtkit.loopback.conversation import MAX_DURATION, Conversation
from rtkit.loopback.engines import Engine, SlowEngine
from rtkit.loopback.faults import read_faults
from rtkit.loopback.line import Demand, Line
from rtkit.loopback.log import Log
from rtkit.loopback.options import Options
from rtkit.loopback.recognizer import Recognizer, Recognizers
from rtkit.loopback.replay import Record, Replay
from rtkit.loopback.scripts import Scripts
from rtkit.loopback.skin import Skin
from rtkit.services.endpoint import OWN_HOSTS, origin_of
from rtkit.services.messages import Refusal
from rtkit.services.service import Server as Protocol
from rtkit.services.service import dialect_named, part_of, vendors

__all__ = ["serve_loopback"]

# Bytes: of a second of audio, at five times the highest rate; and of as much as OpenAI takes.
LONGEST_FRAME, LONGEST_OF_ALL = 1 << 20, 15 << 20
FRAMES = 4  # that may wait in each session
UNREAD = 1 << 20  # bytes that a client may leave unread; pongs, say, for its pings
FIRST_FRAME = 60.0  # seconds that a client may take to say anything
GOODBYE = 1.0  # seconds in which sessions may still close when the service ends
HTTP_REFUSALS = range(400, 600)


@contextlib.asynccontextmanager
async def serve_loopback(
    port: int,
    options: Options | None = None,
    *,
    scripts: Scripts | None = None,
    log: Log | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """Listen on 127.0.0.1; port 0 takes a free one. At the end sessions are closed, or cut off.

    With `tls` it speaks wss and https, and nothing else.
    """
    options = options or Options()
    host = _Host(options, scripts or Scripts(options.reference, options.heard_in), log or Log())
    server = None
    try:
        if host.recognizers is not None:
            await host.recognizers.prepare()
        server = await serve(
            host.session,
            "127.0.0.1",
            port,
            process_request=host.let_in,
            process_response=host.answered,
            compression="deflate" if options.compression else None,
            max_size=host.longest_frame,
            select_subprotocol=host.subprotocol,
            max_queue=FRAMES,
            create_connection=host.connection,  # type: ignore[arg-type]  # it is called
            ping_interval=None,  # a client that computes for long is late, not gone
            logger=_logger(),
            server_header=None,
            ssl=tls,
        )
        yield server
    finally:
        if server is not None:
            server.close()
            with contextlib.suppress(TimeoutError):  # a fault does not hold up who ends it
                async with asyncio.timeout(GOODBYE):
                    await server.wait_closed()
            host.cut_off()
        if host.recognizers is not None:
            await host.recognizers.close()


@cache
def _logger() -> logging.Logger:
    """Logs the service's own faults only; websockets 15 logs a traceback for silent clients."""
    logger = logging.getLogger(__name__)
    logger.addFilter(lambda record: record.msg != "opening handshake failed")
    return logger


class _Connection(ServerConnection):
    """One that ends with a client that makes it say much and reads nothing."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > UNREAD:
            self.transport.abort()


class _Host:
    """What all sessions of a service share, and who gets one."""

    def __init__(self, options: Options, scripts: Scripts, log: Log) -> None:
        self._protocol: type[Protocol] = part_of(options.protocol, "server").Server
        self._behavior, self._admission = options.behavior, options.admission
        dialect = dialect_named(options.protocol)
        self._error_header = dialect.error_header
        short = (dialect.limits.max_chunk or math.inf) <= 1.0
        self.longest_frame = LONGEST_FRAME if short else LONGEST_OF_ALL
        self._record = None if options.replay is None else Record(Path(options.replay))
        self._protocols = dict.fromkeys(self._protocol.PATHS, self._protocol)
        if self._record is not None:  # of several dialects at one host, only one was recorded
            self._protocols = {dialect_named(self._record.dialect).path: self._protocol}
        else:  # the path picks any other
            for vendor in vendors():
                other: type[Protocol] = part_of(vendor, "server").Server
                for path in other.PATHS:
                    if path != "/":
                        self._protocols.setdefault(path, other)
        self._scripts, self._log = scripts, log
        self._origins = {origin_of(one) for one in options.origins}
        self._demand = Demand(read_faults(options.faults))
        self._lines: WeakKeyDictionary[ServerConnection, Line] = WeakKeyDictionary()
        self._open, self._most = 0, options.max_connections
        self._connections: WeakSet[ServerConnection] = WeakSet()  # those that are closing, too
        self.recognizers = None if options.recognizer is None else Recognizers()

    def connection(self, *what: Any, **how: Any) -> ServerConnection:
        connection = _Connection(*what, **how)
        self._connections.add(connection)
        return connection

    def subprotocol(
        self, _: ServerConnection, offered: Sequence[Subprotocol]
    ) -> Subprotocol | None:
        """The one that is known: a browser asks for some, and wants one of them."""
        return next((one for one in offered if one in self._protocol.SUBPROTOCOLS), None)

    def cut_off(self) -> None:
        """End what is still open."""
        for connection in self._connections:
            if hasattr(connection, "transport"):
                connection.transport.abort()

    async def let_in(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request for anything but a session; None goes on to the session."""
        path, query = _path(request), _query(request)
        page = self._protocol.page(path, query, _headers(request), self._admission, _now())
        if page is not None:
            return _response(*page)
        protocol = self._protocols.get(path.rstrip("/") or "/")
        if protocol is None:
            paths = ", ".join(self._protocols)
            return _response(404, f"Not found. Connect to one of {paths}.\n")
        if (foreign := self._foreign(connection, request)) is not None:
            return _response(
                403, f"Pages from {foreign} are not allowed; allow them with --origin {foreign}.\n"
            )
        if self._open >= max(self._most, self._scripts.expected):
            return _response(
                503,
                f"{counted(self._open, 'session is', 'sessions are')} open, and the service "
                "accepts no more; end some first, or raise max_connections.\n",
            )
        server, refusal = protocol(query, path.rstrip("/")), None
        try:
            credential = protocol.credential(query, _headers(request))
            cause = self._admission.look(credential, _now()).refused
            if cause is not None:
                raise protocol.refusal(cause)
            server.open()
        except Refusal as refused:  # by a websocket's code it is told once that is open
            refusal = refused
        if refusal is not None and refusal.code in HTTP_REFUSALS:
            response = _response(refusal.code, refusal.text + "\n")
            if self._error_header:
                said = told(refusal.text, 200).encode("ascii", "replace")
                response.headers[self._error_header] = said.decode()
            return response
        line = Line(
            connection,
            server,
            self._demand.next(),
            partial(self._log.note, connection),
        )
        self._lines[connection] = line
        status = await line.request()
        return None if status is None else _response(status, "Refused on demand.\n")

    def _foreign(self, connection: ServerConnection, request: Request) -> str | None:
        """The origin of a web page that is not allowed, if it is one.

        Any web page may open a websocket to this host, and its browser says where the page came
        from. Some clients say so too, and name this service itself: websocket-client, Go's.
        """
        said = request.headers.get("Origin")
        if said is None:
            return None
        port = connection.local_address[1]
        own = {("http", host, port) for host in OWN_HOSTS}
        return None if origin_of(said) in own | self._origins else told(said, 60)

    def answered(self, connection: ServerConnection, request: Request, response: Response) -> None:
        """Log a response that opens no session."""
        status = response.status_code
        if status != HTTPStatus.SWITCHING_PROTOCOLS and response.body != b"ok\n":
            path, how = _path(request), "answered" if status < 300 else "refused"
            why = ""
            if status == HTTPStatus.FORBIDDEN and response.body is not None:
                why = f". {response.body.decode().strip()}"
            self._log.note(
                connection, f"{how}: HTTP {status} {response.reason_phrase} for {path[:60]}{why}"
            )

    async def session(self, connection: ServerConnection) -> None:
        self._open += 1
        line = self._lines.pop(connection)
        assert connection.request is not None
        query, headers = _query(connection.request), _headers(connection.request)
        path = _path(connection.request).rstrip("/")
        protocol = self._protocols[path or "/"]
        try:
            try:
                credential, refused = protocol.credential(query, headers), None
            except Refusal as refusal:
                credential, refused = None, refusal
            with self._admission.visit(credential, _now()) as visit:
                if visit.refused is not None and refused is None:
                    refused = protocol.refusal(visit.refused)
                server = protocol(query, path)
                if self.recognizers is None or refused is not None:
                    await self._talk(connection, line, server, visit, refused)
                    return
                async with self.recognizers.lend() as recognizer:
                    await self._talk(connection, line, server, visit, None, recognizer)
        finally:
            self._open -= 1

    async def _talk(
        self,
        connection: ServerConnection,
        line: Line,
        server: Protocol,
        visit: Visit,
        refused: Refusal | None,
        recognizer: Recognizer | None = None,
    ) -> None:
        engine: Callable[[int], Engine | SlowEngine | Replay]
        if self._record is not None:
            engine = self._record
        elif recognizer is not None:
            engine = recognizer.begin
        else:
            assert connection.request is not None
            engine = self._scripts.engine(_query(connection.request).get("script"))
        lasts = min(self._behavior.max_duration or MAX_DURATION, visit.max_duration or math.inf)
        conversation = Conversation(
            server,
            engine=engine,
            behavior=replace(self._behavior, max_duration=lasts),
            now=_now(),
            session_id=str(uuid.uuid4()),
            expires_at=int(time.time() + lasts),
            refused=refused,
            patience=FIRST_FRAME,
        )
        line.heard = lambda: conversation.seconds
        line.begin()
        self._log.opened(connection, conversation, line.to_come)
        begins = conversation.refusal is None
        try:
            await Skin(line, conversation, recognizer).run()
        finally:
            if begins:
                self._log.closed(connection, conversation)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _path(request: Request) -> str:
    return request.path.partition("?")[0]  # whatever stands there: it need be no URL


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.path.partition("?")[2]))


def _headers(request: Request) -> dict[str, str]:
    """By names in lower case; what comes several times is joined."""
    names = {name.lower() for name in request.headers}
    return {name: ", ".join(request.headers.get_all(name)) for name in names}


def _response(status: int, said: str | Mapping[str, Any]) -> Response:
    kind, text = "text/plain; charset=utf-8", said
    if not isinstance(text, str):
        kind, text = "application/json", json.dumps(text)
    body = text.encode()
    headers = Headers(
        {"Connection": "close", "Content-Length": str(len(body)), "Content-Type": kind}
    )
    phrase = HTTPStatus(status).phrase if status in {int(one) for one in HTTPStatus} else "Refused"
    return Response(status, phrase, headers, body)
