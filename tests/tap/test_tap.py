"""The tap between clients and doubles, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate
from doubles import KEY, SDK_SCRIPT, replayed, speaking
from remains import children, command_line, nothing_remains

import rtkit
from rtkit.loopback.options import Options
from rtkit.loopback.server import serve_loopback
from rtkit.loopback.tls import local_ca
from rtkit.services.messages import Turn
from rtkit.services.service import dialects, vendors
from rtkit.session import Chunk, Ending, Message
from rtkit.tap.passed import Passed
from rtkit.tap.tap import Tap

MANY = 1 << 26  # bytes, more than the kernel keeps
SECRET = "a-key-that-nobody-may-see"
HEAD = (
    b"GET /v3/ws?sample_rate=8000 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nX-Odd:  kept \r\nSec-WebSocket-Key: eA==\r\n\r\n"
)


def through(
    clip: rtkit.Clip, dialect: str, *, pacing: str = "wall_clock", work: float = 0.0, **how: Any
) -> tuple[rtkit.Session, rtkit.Session]:
    """A session as its client saw it, and as the tap did."""
    service: Any = vendors()[dialect]

    async def run() -> tuple[rtkit.Session, Tap]:
        async with speaking(dialect) as host, Tap(f"ws://{host}", **how) as tap:
            there = service(key=KEY, host=tap.url)
            return await rtkit.stream(
                clip, service=there, chunk=0.05, pacing=pacing, work=work
            ), tap

    own, tap = asyncio.run(run())
    (seen,) = tap.sessions
    return own, seen


@pytest.mark.parametrize("dialect", dialects())
def test_a_session_is_what_its_client_says_it_is(
    make_clip: MakeClip, tmp_path: Path, dialect: str
) -> None:
    rate = 24000 if dialect == "openai" else 16000
    clip = make_clip(1.0, rate=rate, reference=SDK_SCRIPT)

    with nothing_remains():
        own, seen = through(clip, dialect, record=tmp_path, keep_audio=True)
    assert seen.settings.dialect.partition(".")[0] == dialect
    assert seen.complete
    assert seen.transcript == own.transcript != ""
    mine, theirs = ([(c.start, c.stop, c.bytes) for c in one.chunks] for one in (seen, own))
    assert mine == theirs
    assert seen.settings.samples == clip.samples
    assert seen.lateness.min() == pytest.approx(0)
    apart = seen.sent - own.sent
    assert np.median(np.abs(apart - np.median(apart))) < 0.2  # a stall moves a few of them
    assert all(c.sent <= c.returned for c in seen.chunks)
    (note,) = (note for note in rtkit.validity(seen).notes if "Seen from between" in note)
    assert "The tap itself delayed chunks by" in note
    if sys.platform == "linux":
        assert seen.settings.service["arrivals"] in ("kernel", "both")
    latency = rtkit.turn_latency(seen).latency - rtkit.turn_latency(own).latency
    assert latency == pytest.approx(0 * latency, abs=5, nan_ok=True)  # the same turns' latencies
    (file,) = tmp_path.glob("*.jsonl")
    assert rtkit.load_session(file) == seen
    assert KEY not in file.read_text()
    with wave.open(str(file.with_suffix(".wav"))) as audio:
        assert (audio.getnframes(), audio.getframerate()) == (clip.samples, clip.rate)
    again = simulate(replayed(clip, file, pacing="fixed_sleep", work=0.005))
    assert again.complete
    assert again.transcript == seen.transcript


@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep", "unpaced"])
def test_its_pacing_is_told(make_clip: MakeClip, pacing: str) -> None:
    told: list[str] = []
    facts: list[Any] = []

    clip = make_clip(1.0, reference=SDK_SCRIPT)
    how: dict[str, Any] = {"tell": told.append, "on_event": lambda *one: facts.append(one)}
    _, seen = through(clip, "assemblyai", pacing=pacing, work=0.004, **how)
    assert seen.settings.pacing == pacing
    assert told[0] == "client 1 came: assemblyai, /v3/ws"
    how_paced = {"fixed_sleep": "paced by fixed sleep", "unpaced": "not paced"}
    assert told[1].startswith(f"client 1: {how_paced.get(pacing, 'paced by the wall clock')}, ")
    assert "; the tap delayed chunks by " in told[1]
    assert ("turn latency p50" in told[1]) == (pacing != "unpaced")
    assert {number for number, _ in facts} == {1}
    live = [fact for _, fact in facts]
    assert [one.index for one in live if isinstance(one, Chunk)] == list(range(len(seen.chunks)))
    heard = [one for one in live if isinstance(one, Message)]
    assert [one.text for one in heard] == [one.text for one in seen.messages]
    assert any(isinstance(reply, Turn) for one in heard for reply in one.replies or ())
    assert isinstance(live[-1], Ending)


# Byte for byte.


@contextlib.asynccontextmanager
async def between(
    service: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any], **how: Any
) -> AsyncIterator[tuple[Tap, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A tap between a bare service and a bare client."""
    server = await asyncio.start_server(service, "127.0.0.1", 0)
    async with server, Tap(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", **how) as tap:
        reader, writer = await asyncio.open_connection(*tap.url.removeprefix("ws://").split(":"))
        try:
            yield tap, reader, writer
        finally:
            writer.close()


def test_only_the_head_is_rewritten_and_each_side_may_end_first() -> None:
    up, down = random.Random(1).randbytes(300_000), random.Random(2).randbytes(300_000)
    got: list[bytes] = []

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())  # up to the client's half of the end
        writer.write(down)
        await writer.drain()
        writer.close()

    async def run() -> tuple[int, bytes]:
        async with between(service) as (tap, reader, writer):
            port = int(tap.url.rpartition(":")[2])
            writer.write(HEAD % port + up)
            writer.write_eof()
            return port, await reader.read()

    port, back = asyncio.run(run())
    assert back == down
    head, _, rest = got[0].partition(b"\r\n\r\n")
    assert rest == up
    asked, host, *others = head.split(b"\r\n")
    assert asked == b"GET /v3/ws?sample_rate=8000 HTTP/1.1"
    assert host.startswith(b"Host: 127.0.0.1:")
    assert host != b"Host: 127.0.0.1:%d" % port
    assert others == (HEAD % port).split(b"\r\n")[2:-2]


@pytest.mark.parametrize("way", ["up", "down"])
def test_who_does_not_read_holds_the_other_up_and_the_tap_keeps_little(way: str) -> None:
    done = asyncio.Event()
    sent = 0

    async def fill(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(TimeoutError):
            while sent < MANY:
                writer.write(bytes(1 << 20))
                async with asyncio.timeout(0.5):
                    await writer.drain()
                sent += 1 << 20
        writer.transport.abort()
        done.set()

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if way == "down":
            await fill(writer)
        else:
            await done.wait()
            writer.transport.abort()

    async def run() -> None:
        async with between(service) as (tap, _, writer):
            writer.write(HEAD % int(tap.url.rpartition(":")[2]))
            if way == "up":
                await fill(writer)
            await done.wait()

    asyncio.run(run())
    assert sent < MANY


def test_a_request_for_something_else_is_answered_by_the_service() -> None:
    async def run() -> tuple[bytes, Tap]:
        async with speaking("assemblyai") as host, Tap(f"ws://{host}") as tap:
            reader, writer = await asyncio.open_connection(
                *tap.url.removeprefix("ws://").split(":")
            )
            head = f"GET /v3/token?expires_in_seconds=60 HTTP/1.1\r\nHost: {tap.url[5:]}\r\n"
            writer.write(f"{head}Authorization: {KEY}\r\n\r\n".encode())
            answer = await reader.read()  # to the end: a second request would not be looked at
            writer.close()
            return answer, tap

    answer, tap = asyncio.run(run())
    assert b" 200 " in answer.partition(b"\r\n")[0]
    assert b'"token"' in answer
    assert not tap.sessions


def test_both_ways_may_be_encrypted_and_a_stranger_is_not_told_anything(
    make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trustme")
    clip = make_clip(0.5, reference=SDK_SCRIPT)
    trusted = tmp_path / "ca.pem"
    encrypts, other = local_ca(trusted), local_ca(tmp_path / "other.pem")
    own = tmp_path / "own.pem"

    async def session(upstream: ssl.SSLContext) -> rtkit.Session:
        async with (
            serve_loopback(0, Options(script=SDK_SCRIPT, delay=0.0), tls=upstream) as server,
            Tap(f"wss://localhost:{server.sockets[0].getsockname()[1]}", tls=own) as tap,
        ):
            monkeypatch.setenv("SSL_CERT_FILE", str(own))
            there = rtkit.AssemblyAI(key=KEY, host=tap.url)
            with contextlib.suppress(rtkit.StreamError):
                await rtkit.stream(clip, service=there, chunk=0.05)
        return tap.sessions[0]

    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    assert asyncio.run(session(encrypts)).complete
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    ending = asyncio.run(session(other)).ending
    assert ending is not None
    assert "certificate verify failed" in ending.error


# What goes wrong.


def test_a_relay_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_: str) -> subprocess.Popen[str]:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
        relay = subprocess.Popen([sys.executable, "-c", ""], **pipes)
        relay.wait()
        return relay

    async def run() -> None:
        async with Tap("ws://127.0.0.1:9"):
            pass

    monkeypatch.setattr("rtkit.tap.tap.start_child", ended)
    with nothing_remains(), pytest.raises(RuntimeError, match="relay ended at once"):
        asyncio.run(run())


@pytest.mark.parametrize("upstream", ["ws://127.0.0.1:9", "wss://a..b"])
def test_a_service_that_is_not_there_is_told(upstream: str) -> None:
    async def run() -> tuple[bytes, rtkit.Session]:
        async with Tap(upstream) as tap:
            port = int(tap.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD % port)
            answer = await reader.read()
            writer.close()
        return answer, tap.sessions[0]

    answer, session = asyncio.run(run())
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert session.ending is not None
    assert session.ending.how == "failed"
    assert f"{upstream.partition('//')[2]} cannot be reached" in session.ending.error


def test_a_ca_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    pytest.importorskip("trustme")
    (tmp_path / "file").touch()

    async def run() -> None:
        async with Tap("ws://127.0.0.1:9", tls=tmp_path / "file" / "ca.pem"):
            pass

    with pytest.raises(ValueError, match=r"ca\.pem cannot be written \(.*\); give --tls another"):
        asyncio.run(run())


def test_a_file_that_cannot_be_written_costs_the_file_alone(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    told: list[str] = []
    (tmp_path / "file").touch()
    how: dict[str, Any] = {"record": tmp_path / "file" / "folder", "tell": told.append}
    own, seen = through(make_clip(0.3, reference=SDK_SCRIPT), "assemblyai", **how)
    assert len(seen.chunks) == len(own.chunks)
    assert seen.complete
    assert told[0].startswith("client 1 is not saved: ")


def test_audio_that_cannot_be_written_costs_the_audio_alone(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    told: list[str] = []

    def tell(line: str) -> None:
        if not told:  # it has come, and sent nothing yet
            (tmp_path / "client-1.wav").mkdir()
        told.append(line)

    how: dict[str, Any] = {"record": tmp_path, "keep_audio": True, "tell": tell}
    own, seen = through(make_clip(0.3, reference=SDK_SCRIPT), "assemblyai", **how)
    assert len(seen.chunks) == len(own.chunks)
    assert seen == rtkit.load_session(tmp_path / "client-1.jsonl")
    assert "; the audio is not saved (Is a directory)" in told[1]


@pytest.mark.parametrize("who", ["client", "service", "relay"])
@pytest.mark.parametrize("after", [0, 1, 7])
def test_whoever_goes_at_any_moment_leaves_a_file_that_can_be_read(
    tmp_path: Path, who: str, after: int
) -> None:
    enough = asyncio.Event()
    chunks = 0

    def see(_: int, fact: object) -> None:
        nonlocal chunks
        chunks += isinstance(fact, Chunk)
        if chunks >= after:
            enough.set()

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await enough.wait()
        if who == "service":
            writer.transport.abort()
        await reader.read()
        writer.close()

    async def run() -> None:
        how = {"record": tmp_path, "on_event": see, "tell": partial(see, 0)}
        async with between(service, **how) as (tap, reader, writer):
            writer.write(HEAD % int(tap.url.rpartition(":")[2]))
            async with asyncio.timeout(20):
                while not enough.is_set():
                    writer.write(b"\x82\xfe\x06\x40" + bytes(4 + 1600))
                    await asyncio.sleep(0.005)
                if who == "client":
                    writer.transport.abort()
                elif who == "relay":
                    (relay,) = (one for one, line in children().items() if "tap.child" in line)
                    os.kill(relay, signal.SIGKILL)
                else:
                    await reader.read()
                    writer.close()
                while not tap.sessions:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    with nothing_remains():
        asyncio.run(run())
    kept = [rtkit.load_session(file) for file in tmp_path.glob("*.jsonl")]
    assert len(kept) == 1
    (session,) = kept
    assert len(session.chunks) >= after
    assert session.ending is not None
    assert session.ending.how == ("stopped" if who == "client" else "failed")
    assert ("relay ended" in session.ending.error) == (who == "relay")


def test_what_a_slow_network_held_when_it_broke_keeps_no_session_open() -> None:
    """Its client left first, while its last bytes were still on their way."""

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> None:
        async with between(service, faults=["up.delay=30", "drop@0.2"]) as (tap, _, writer):
            writer.write(HEAD % int(tap.url.rpartition(":")[2]))
            await asyncio.sleep(0.05)
            writer.write(b"more")
            await asyncio.sleep(0.05)
            line = writer.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()  # by a reset
            async with asyncio.timeout(20):
                while not tap.sessions:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    asyncio.run(run())


def test_an_unknown_protocol_is_recorded_as_bytes(tmp_path: Path) -> None:
    told: list[str] = []

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello")
        await reader.readexactly(2 + 4 + 2 + 6 * (4 + 4 + 1600))
        writer.write(b"\x88\x02\x03\xe8")
        writer.close()

    async def run() -> None:
        async with between(service, record=tmp_path, tell=told.append) as (tap, reader, writer):
            head = HEAD % int(tap.url.rpartition(":")[2])
            writer.write(head.replace(b"/v3/ws", b"/somebody/else"))
            writer.write(b"\x81\x82\0\0\0\0{}")
            for _ in range(6):
                writer.write(b"\x82\xfe\x06\x40" + bytes(4 + 1600))
            await reader.read()

    asyncio.run(run())
    session = rtkit.load_session(tmp_path / "client-1.jsonl")
    assert session.complete
    assert [one.bytes for one in session.chunks] == [2, *[1600] * 6]
    assert [one.text for one in session.messages] == ["hello"]
    assert not session.replies
    assert all(one.sent <= one.returned for one in session.chunks)
    assert np.isnan(session.lateness).all()
    says = "the duration of its chunks is not known"
    assert says in str(rtkit.pacing_of(session))
    assert says in str(rtkit.validity(session))
    assert not rtkit.diagnose(session)
    assert told[0] == "client 1 came: unknown protocol, /somebody/else"
    assert told[1].startswith("client 1: 7 chunks, 9602 bytes; unknown: ")
    assert "chunks sent" in str(rtkit.summarize(session))


# Who may come in, and what is kept.


@pytest.mark.parametrize(
    ("header", "whose"),
    [
        (b"Origin: https://evil.example", "evil.example"),
        (b"Origin: null", "null"),
        (b"Host: evil.example", "evil.example"),  # whose name is ours since a moment
    ],
)
def test_a_foreign_page_does_not_come_in(header: bytes, whose: str) -> None:
    async def run() -> bytes:
        async with Tap("ws://127.0.0.1:9") as tap:
            port = int(tap.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            name = header.partition(b":")[0]
            lines = [one for one in (HEAD % port).split(b"\r\n")[:-2] if not one.startswith(name)]
            writer.write(b"\r\n".join([*lines, header, b"", b""]))
            answer = await reader.read()
            writer.close()
            assert not tap.sessions
            return answer

    answer = asyncio.run(run()).decode()
    assert answer.startswith("HTTP/1.1 403 ")
    assert f"Pages from {whose} are not allowed." in answer


def test_a_key_does_not_leave_this_machine_in_the_clear() -> None:
    with pytest.raises(ValueError, match=r"unencrypted to 192\.0\.2\.1; give wss://192\.0\.2\.1"):
        Tap("ws://192.0.2.1")


def test_no_repr_shows_what_passed() -> None:
    assert SECRET not in repr(Passed(b"h", 1, 0.0, 0.0, None, SECRET.encode()))


@pytest.mark.parametrize("place", ["header", "query", "protocol", "message"])
def test_what_is_told_in_confidence_is_kept_nowhere(tmp_path: Path, place: str) -> None:
    """Not even where the service says it again."""
    told: list[str] = []
    frame = b"\x81" + bytes([len(SECRET)]) + SECRET.encode()

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        if place == "message":
            await reader.readexactly(1)
            await asyncio.sleep(0.05)
        writer.write(frame)
        writer.write(b"\x88" + bytes([2 + len(SECRET)]) + (4001).to_bytes(2) + SECRET.encode())
        await writer.drain()
        writer.close()

    async def run() -> Tap:
        async with between(service, record=tmp_path, tell=told.append) as (tap, reader, writer):
            port = int(tap.url.rpartition(":")[2])
            head = (HEAD % port).decode()
            if place == "query":
                head = head.replace("?", f"?token={SECRET}&")
            elif place == "protocol":
                head = head.replace("X-Odd", f"Sec-WebSocket-Protocol: token, {SECRET}\r\nX-Odd")
            elif place == "header":
                head = head.replace("X-Odd", f"Authorization: {SECRET}\r\nX-Odd")
            else:
                head = head.replace("/v3/ws?sample_rate=8000", "/transcribe-websocket")
            writer.write(head.encode())
            if place == "message":
                text = f'{{"api_key": "{SECRET}"}}'.encode()
                writer.write(b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text)
            await reader.read()
        return tap

    (session,) = asyncio.run(run()).sessions
    assert len(session.messages) == 1
    assert session.ending is not None
    assert session.ending.code == 4001
    for text in (repr(session), *told, *(file.read_text() for file in tmp_path.iterdir())):
        assert SECRET not in text
    assert "[secret]" in session.messages[0].text


@pytest.mark.parametrize(
    "upstream",
    [
        *("ftp://somewhere", "wss://", "wss://host/v3/ws", "ws://h:x", "ws://[::1"),
        *("wss://me:secret@host", "wss://host?token=secret"),
    ],
)
def test_what_is_no_service_is_refused(upstream: str) -> None:
    with pytest.raises(ValueError, match=r"give wss://HOST, or ws://HOST:PORT") as refused:
        Tap(upstream)
    assert "secret" not in str(refused.value)


def test_what_a_killed_tap_has_seen_can_be_read(make_clip: MakeClip, tmp_path: Path) -> None:
    file = tmp_path / "client-1.jsonl"

    def seen() -> bool:
        return file.exists() and '"chunk", ' in file.read_text()

    async def run() -> None:
        async with speaking("assemblyai") as host:
            command = [sys.executable, "-m", "rtkit.tap", "--port", "0", "--upstream"]
            tap = await asyncio.create_subprocess_exec(
                *command, f"ws://{host}", "--record", str(tmp_path), stdout=subprocess.PIPE
            )
            assert tap.stdout is not None
            line = (await tap.stdout.readline()).decode()
            there = rtkit.AssemblyAI(key=KEY, host=line.split()[2].rstrip(";"))
            streaming = asyncio.create_task(rtkit.stream(make_clip(9.0), service=there, chunk=0.05))
            async with asyncio.timeout(20):
                while not seen():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            (relay,) = children(tap.pid)
            tap.kill()
            with pytest.raises(rtkit.StreamError):
                await streaming
            await tap.wait()
            async with asyncio.timeout(20):
                while "rtkit.tap.child" in command_line(relay):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    with nothing_remains():
        asyncio.run(run())
    session = rtkit.load_session(file)
    assert session.ending is None
    assert session.chunks


def test_the_command_serves_until_it_is_told_to_end() -> None:
    command = [sys.executable, "-m", "rtkit.tap", "--port", "0", "--upstream", "ws://127.0.0.1:9"]
    with (
        nothing_remains(),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as tap,
    ):
        assert tap.stdout is not None
        assert tap.stdout.readline().startswith("Listening on ws://127.0.0.1:")
        tap.send_signal(signal.SIGTERM)
        assert tap.wait(10) == 0
