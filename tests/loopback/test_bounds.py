"""What a client may do to the embedded service, and to whoever else uses it: little."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import MakeClip, spoken
from remains import command_line, linux, soon
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server
from websockets.exceptions import ConnectionClosed, InvalidStatus

import rtkit
from rtkit.loopback import process as embedded_process
from rtkit.loopback import server as embedded_server
from rtkit.loopback.conversation import Behavior, Conversation
from rtkit.loopback.engines import Energy
from rtkit.loopback.log import Log
from rtkit.loopback.options import Options
from rtkit.loopback.scripts import Scripts
from rtkit.loopback.server import UNREAD, serve_loopback
from rtkit.services.assemblyai.client import TERMINATE
from rtkit.services.assemblyai.server import Server as Protocol
from rtkit.services.messages import Close

PATIENCE = 30.0
UPGRADE = (
    b"GET /v3/ws?sample_rate=8000 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Version: 13\r\nAuthorization: any\r\n\r\n"
)
PING = b"\x89\xfd" + bytes(4) + bytes(125)  # 125 bytes, masked by zeros
NO_JSON = b"\x81\x81" + bytes(4) + b"{"


@contextlib.asynccontextmanager
async def service(**how: Any) -> AsyncIterator[tuple[Server, str]]:
    scripts = how.pop("scripts", None) or Scripts(spoken(("Hello.", 0.0, 0.1)))
    log = how.pop("log", None)
    async with serve_loopback(0, Options(delay=0.0, **how), scripts=scripts, log=log) as server:
        yield server, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def opened(url: str) -> connect:
    return connect(url, additional_headers={"Authorization": "any"}, proxy=None)


async def is_well(url: str) -> bool:
    """Whether another client has a whole session."""
    async with opened(f"{url}?sample_rate=8000") as connection:
        await connection.send(bytes(1600))
        await connection.send(TERMINATE)
        last = [str(message) async for message in connection][-1]
        return bool(json.loads(last)["type"] == "Termination")


def test_a_client_that_pings_and_never_reads_does_not_make_it_grow() -> None:
    """Forty megabytes of pings; what the service owes for them is cut off at one."""
    sent, most = 0, 0

    def ping(port: int) -> None:
        nonlocal sent
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.settimeout(PATIENCE)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(UPGRADE)
            with contextlib.suppress(ConnectionError):
                while sent < 40 << 20:
                    line.sendall(PING * 500)
                    sent += len(PING) * 500

    async def run() -> None:
        nonlocal most
        async with service() as (server, url):
            port = server.sockets[0].getsockname()[1]
            pinging = asyncio.create_task(asyncio.to_thread(ping, port))
            while not pinging.done():
                for one in server.connections:
                    most = max(most, one.transport.get_write_buffer_size())
                await asyncio.sleep(0)
            assert await is_well(url)

    asyncio.run(run())
    assert sent < 40 << 20
    assert most < 2 * UNREAD


@pytest.mark.parametrize(
    "request_line",
    ["GET //[x HTTP/1.1", "GET //[x]:y/?a=%ff HTTP/1.1", "GET http://[ HTTP/1.1"],
)
def test_a_request_for_no_url_is_answered(request_line: str) -> None:
    lines: list[str] = []
    faults: list[Any] = []

    async def run() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        async with service(log=Log(lines.append)) as (server, url):
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            request = UPGRADE.replace(UPGRADE.partition(b"\r\n")[0], request_line.encode())
            writer.write(request)
            answer = await asyncio.wait_for(reader.read(), PATIENCE)
            writer.close()
            assert await is_well(url)
        return answer

    answer = asyncio.run(run())
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), answer
    assert faults == []
    assert any("refused: HTTP 40" in line for line in lines)


# Clients that never say anything.


def test_who_never_says_anything_is_shut_out() -> None:
    def conversation(**how: Any) -> Conversation:
        return Conversation(
            Protocol({"sample_rate": "8000"}),
            engine=Energy,
            behavior=Behavior(),
            now=0.0,
            session_id="x",
            expires_at=1,
            **how,
        )

    idle = conversation(patience=60.0)
    idle.take(0.0)
    assert idle.next == 60.0
    assert idle.take(59.9) == []
    error, close = idle.take(60.0)
    assert "No messages received for 60 seconds" in str(error)
    assert isinstance(close, Close)
    busy = conversation(patience=60.0)
    busy.take(0.0)
    busy.receive(json.dumps({"type": "KeepAlive"}), 59.0)
    assert busy.next == 10800.0  # from then on as the vendor does it
    patient = conversation()
    patient.take(0.0)
    assert patient.next == 10800.0


def test_idle_clients_do_not_hold_the_places_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server, "FIRST_FRAME", 0.3)

    async def run() -> None:
        async with service(max_connections=3) as (_, url), asyncio.timeout(PATIENCE):
            idle = [await opened(url) for _ in range(3)]
            with pytest.raises(InvalidStatus) as refused:
                await opened(url)
            assert refused.value.response.status_code == 503
            assert b"max_connections" in (refused.value.response.body or b"")
            for connection in idle:
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await connection.recv()
                assert connection.close_code == 3006
            assert await is_well(url)

    asyncio.run(run())


# How many.


def test_stream_many_lets_it_take_as_many_as_it_opens(make_clip: MakeClip) -> None:
    clip = make_clip(0.1)
    with contextlib.closing(rtkit.Loopback(max_connections=2, delay=0.0)) as loopback:
        result = asyncio.run(rtkit.stream_many([clip] * 5, service=loopback))
        assert [session.complete for session in result.sessions] == [True] * 5
    assert result.errors == ()


def test_its_own_limit_is_told_as_that(make_clip: MakeClip) -> None:
    async def run() -> str:
        async with service(max_connections=1) as (_, url), opened(url):
            aim = rtkit.AssemblyAI(key="any", host=url.rstrip("/"))
            with pytest.raises(rtkit.StreamError) as failure:
                await rtkit.stream(make_clip(0.1), service=aim)
            return str(failure.value)

    sentence = asyncio.run(run())
    assert "HTTP status 503" in sentence
    assert "The service failed" not in sentence
    assert "1 session is open, and the service accepts no more" in sentence


def test_a_page_in_place_of_a_service_is_told_as_that(make_clip: MakeClip) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome")
        writer.close()

    async def run() -> str:
        async with await asyncio.start_server(page, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            aim = rtkit.AssemblyAI(key="any", host=f"ws://127.0.0.1:{port}")
            with pytest.raises(rtkit.StreamError) as failure:
                await rtkit.stream(make_clip(0.1), service=aim)
            return str(failure.value)

    sentence = asyncio.run(run())
    assert (
        'HTTP status 200 and the message "welcome". No server accepts connections at this address.'
        in sentence
    )
    assert "with code 200" not in sentence


def test_numbers_of_connections_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="max_connections=0 must be 1 or more"):
        rtkit.Loopback(max_connections=0)
    scripts = Scripts()
    scripts.expect(5)
    scripts.expect(2)
    assert scripts.expected == 5


# Ends.


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_closes_sessions_as_one_that_goes_away(ending: signal.Signals) -> None:
    """Also twice; and a client that has not read for long does not hold it up."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rtkit.loopback", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(";")

        async def run() -> int | None:
            deaf = socket.create_connection(("127.0.0.1", urlsplit(url).port or 0))
            with deaf:
                deaf.sendall(UPGRADE + 2 * NO_JSON)  # its session is over, its connection is not
                async with opened(f"{url}?sample_rate=8000") as connection:
                    await connection.recv()
                    process.send_signal(ending)
                    process.send_signal(ending)
                    with contextlib.suppress(ConnectionClosed):
                        while True:
                            await connection.recv()
                    began = time.monotonic()
                    _, told = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
                    assert time.monotonic() - began < 5.0  # websockets alone would wait 10 s
                    assert "Traceback" not in told
                    return connection.close_code

        assert asyncio.run(run()) == 1001
    assert process.returncode == 0


@linux
def test_one_that_stands_still_is_ended(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a program that uses it could not end: its thread would wait for the answer."""
    monkeypatch.setattr(embedded_process, "PATIENCE", 0.5)
    service = rtkit.Loopback()

    async def run() -> None:
        async with service:
            os.kill(service._running._child._process.pid, signal.SIGSTOP)  # type: ignore[union-attr]
            with pytest.raises(rtkit.StreamError, match=r"ended unexpectedly \(exit code -9\)"):
                await rtkit.stream(make_clip(0.1), service=service)
            assert (await rtkit.stream(make_clip(0.1), service=service)).complete

    asyncio.run(run())


FORKING = """
import asyncio, os, sys, time
import rtkit
service = rtkit.Loopback()
async def start():
    await service.__aenter__()
asyncio.run(start())
first = service.url
if os.fork() == 0:
    os.close(1)
    with open(sys.argv[1], "w") as file:
        file.write(str(service._running._child.alive))  # the parent's is not this one's
    time.sleep(600)
    os._exit(0)
print(first, flush=True)
time.sleep(600)
"""


@linux
def test_a_fork_does_not_keep_it_alive(tmp_path: Path) -> None:
    """The program is killed, and so its service ends, though a fork of the program goes on."""
    parent = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(tmp_path / "alive")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline().rsplit(":", 1)[1].partition("/")[0])
        group = parent.pid
        assert soon(lambda: (tmp_path / "alive").is_file())
        parent.kill()
        try:
            assert soon(lambda: not listens(port), within=PATIENCE)
            assert (tmp_path / "alive").read_text() == "False"
        finally:
            os.killpg(group, signal.SIGKILL)  # the fork, which is in its parent's session
    assert command_line(group) == ""


def listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
