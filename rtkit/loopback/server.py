"""The embedded service on a websocket: a thin skin around a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rtkit.loopback.admission import Admission, Visit
from rtkit.loopback.conversation import MAX_DURATION, Behavior, Close, Conversation
from rtkit.loopback.engines import Energy, Engine, Script, SlowEngine
from rtkit.loopback.faults import Fault, Faults, FaultyConnection
from rtkit.loopback.log import Log
from rtkit.loopback.recognizer import Recognizer, Recognizers
from rtkit.reference import Reference

__all__ = ["Scripts", "serve_loopback"]

PATHS = ("/", "/v3/ws")
TOKEN_PATH = "/v3/token"
HEALTH_PATH = "/v3/ws/health"
LONGEST_FRAME = 1 << 20  # bytes; a second of audio at the highest rate is a fifth of it
MOST_SESSIONS = 1024  # at once; each may have some frames waiting,
FRAMES = 4  # so many
PATIENCE = 30.0  # seconds that a client may take to read a message


class Scripts:
    """What the service knows of coming sessions: a script each, under an id in the URL."""

    KEPT = 256  # of more the oldest are forgotten; a client may come twice for one

    def __init__(self, default: Reference | None = None) -> None:
        self._default = default
        self._waiting: dict[str, Reference | None] = {}

    def add(self, name: str, script: Reference | None) -> None:
        self._waiting[name] = script
        while len(self._waiting) > self.KEPT:
            del self._waiting[next(iter(self._waiting))]

    def engine(self, name: str | None) -> Callable[[int], Engine]:
        """What a session with that id listens with; by energy where there is no script."""
        script = self._default if name is None else self._waiting.get(name, self._default)
        if script is None:
            return Energy
        return lambda rate: Script(script, rate)


async def serve_loopback(
    port: int,
    *,
    scripts: Scripts,
    behavior: Behavior,
    recognizers: Recognizers | None = None,
    admission: Admission | None = None,
    compression: bool = True,
    faults: Sequence[Fault] = (),
    log: Log | None = None,
) -> Server:
    """Listen on 127.0.0.1; port 0 takes a free one. With recognizers, no script is spoken."""
    admission = admission or Admission()
    log = log or Log()
    demand = Faults(faults, log.note)
    open_now = 0

    async def session(connection: ServerConnection) -> None:
        nonlocal open_now
        open_now += 1
        line = demand.of(connection)
        try:
            with _visit(admission, connection) as visit:
                if recognizers is None or visit.refused:
                    await talk(connection, _Skin(line, scripts, behavior, visit))
                    return
                async with recognizers.lend() as recognizer:
                    await talk(connection, _Skin(line, scripts, behavior, visit, recognizer))
        finally:
            open_now -= 1

    async def talk(connection: ServerConnection, skin: _Skin) -> None:
        conversation, faults = skin.conversation, skin.faults
        log.opened(connection, conversation, faults)
        begins = conversation.refusal is None
        try:
            await skin.run()
        finally:
            if begins:
                log.closed(connection, conversation)

    async def let_in(connection: ServerConnection, request: Request) -> Response | None:
        if urlsplit(request.path).path == TOKEN_PATH:
            return _token(admission, connection, request)
        refusal = _process_request(connection, request)
        if refusal is None and open_now >= MOST_SESSIONS:
            return connection.respond(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{open_now} sessions are open; end some first.\n"
            )
        return refusal or await demand.at_the_door(connection, request)

    def answered(connection: ServerConnection, request: Request, response: Response) -> None:
        path, status = urlsplit(request.path).path, response.status_code
        if path != HEALTH_PATH and status != HTTPStatus.SWITCHING_PROTOCOLS:
            how = "answered" if status < 300 else "refused"
            log.note(connection, f"{how}: HTTP {status} {response.reason_phrase} for {path[:60]}")

    return await serve(
        session,
        "127.0.0.1",
        port,
        process_request=let_in,
        process_response=answered,
        # Any web page may open a websocket to this host. A browser then says where the page came
        # from, and cannot be kept from it; other clients have no origin. So: those only.
        origins=[None],
        compression="deflate" if compression else None,
        max_size=LONGEST_FRAME,
        max_queue=FRAMES,
        ping_interval=None,  # a client that computes for long is late, not gone
        server_header=None,
    )


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(request.path).query))


def _credential(request: Request) -> str | None:
    return ", ".join(request.headers.get_all("Authorization")) or None


def _visit(
    admission: Admission, connection: ServerConnection
) -> contextlib.AbstractContextManager[Visit]:
    request = connection.request
    assert request is not None
    token = _query(request).get("token")
    return admission.visit(_credential(request), token, asyncio.get_running_loop().time())


def _token(admission: Admission, connection: ServerConnection, request: Request) -> Response:
    now = asyncio.get_running_loop().time()
    status, answer = admission.answer(_query(request), _credential(request), now)
    response = connection.respond(HTTPStatus(status), json.dumps(answer))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def _process_request(connection: ServerConnection, request: Request) -> Response | None:
    path = urlsplit(request.path).path
    if path == HEALTH_PATH:
        return connection.respond(HTTPStatus.OK, "ok\n")
    if path not in PATHS:
        return connection.respond(
            HTTPStatus.NOT_FOUND, f"Nothing here. Connect to one of {', '.join(PATHS)}.\n"
        )
    return None


class _Skin:
    """Carries frames between a connection and its conversation, by the loop's clock."""

    def __init__(
        self,
        connection: ServerConnection | FaultyConnection,
        scripts: Scripts,
        behavior: Behavior,
        visit: Visit,
        recognizer: Recognizer | None = None,
    ) -> None:
        request = connection.request
        assert request is not None
        query = _query(request)
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self.faults = connection.faults if isinstance(connection, FaultyConnection) else ""
        self._changed = asyncio.Event()
        self._gone = False
        self._recognizer = recognizer
        engine: Callable[[int], Engine | SlowEngine] = (
            scripts.engine(query.get("script")) if recognizer is None else recognizer.begin
        )
        max_duration = min(behavior.max_duration or MAX_DURATION, visit.max_duration or math.inf)
        self.conversation = Conversation(
            query,
            engine=engine,
            behavior=replace(behavior, max_duration=max_duration),
            now=self._loop.time(),
            session_id=str(uuid.uuid4()),
            expires_at=int(time.time() + max_duration),
            refused=visit.refused,
        )

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._listen())]
        if self._recognizer is not None:
            tasks.append(asyncio.create_task(self._understand(self._recognizer)))
        try:
            await self._speak()
        except (ConnectionClosed, TimeoutError):
            pass  # the client left, or does not read; there is nobody to speak to
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _listen(self) -> None:
        try:
            async for frame in self._connection:
                self.conversation.receive(frame, self._loop.time())
                self._changed.set()
        except ConnectionClosed:
            pass
        finally:  # a fault of our own, too, must not leave the client waiting: `run` raises it
            self._gone = True
            self._changed.set()

    async def _understand(self, recognizer: Recognizer) -> None:
        """Pass on what the recognizer hears, as it comes."""
        try:
            async for sounds in recognizer.answers():
                self.conversation.answer(sounds, self._loop.time())
                self._changed.set()
            self.conversation.fail("The recognizer ended unexpectedly", self._loop.time())
        except BaseException:  # as above
            self._gone = True
            raise
        finally:
            self._changed.set()

    async def _speak(self) -> None:
        while not self._gone:
            for message in self.conversation.take(self._loop.time()):
                if isinstance(message, Close):
                    await self._connection.close(message.code, message.reason)
                    return
                async with asyncio.timeout(PATIENCE):  # or what is to be said would pile up
                    await self._connection.send(message.text)
            await self._next_message()

    async def _next_message(self) -> None:
        """Wait until a message's time has come, a frame arrived, or the client left."""
        coming = self.conversation.next
        timer = None if coming is None else self._loop.call_at(coming, self._changed.set)
        await self._changed.wait()
        self._changed.clear()
        if timer is not None:
            timer.cancel()
