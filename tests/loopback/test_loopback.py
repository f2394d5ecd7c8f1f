"""The embedded service over a real websocket, in a process that never outlives its own."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import MakeClip, spoken
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import rtkit
from rtkit.loopback.log import Log
from rtkit.loopback.options import Options
from rtkit.loopback.process import Loopback, embedded
from rtkit.loopback.server import serve_loopback
from rtkit.recording import StreamError
from rtkit.reference import Reference
from rtkit.sending.stream import stream
from rtkit.services.assemblyai.client import TERMINATE
from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import Termination, Turn
from rtkit.session import Chunk, Fact, Session

PATIENCE = 30.0  # for what must come, however busy the machine is
HELLO = spoken(("Hello", 0.1, 0.3), ("there.", 0.35, 0.6))
BYE = spoken(("Bye.", 0.2, 0.5))


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    service = Loopback(delay=0.02)
    asyncio.run(service.connect_info(8000))
    yield service
    service.close()


def port_of(service: Loopback) -> int:
    assert service.url is not None
    port = urlsplit(service.url).port
    assert port is not None
    return port


def listens(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def ends(port: int) -> bool:
    """Whether nobody listens there, sooner or later."""
    until = time.monotonic() + PATIENCE
    while listens(port):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


async def talk(url: str, *frames: bytes | str, key: str | None = "any") -> tuple[list[Any], int]:
    """What a plain websocket client hears, and the code with which it ends."""
    headers = {} if key is None else {"Authorization": key}
    heard = []
    async with asyncio.timeout(PATIENCE):
        async with connect(url, additional_headers=headers, proxy=None) as connection:
            for frame in frames:
                await connection.send(frame)
            with suppress(ConnectionClosed):
                while True:
                    heard.append(json.loads(await connection.recv()))
    assert connection.close_code is not None
    return heard, connection.close_code


SECOND = [bytes(1600)] * 10  # of silence, at 8000 Hz


def said(session: Session) -> Termination:
    reply = session.replies[-1][1]
    assert isinstance(reply, Termination)
    return reply


def test_a_session_without_a_service_uses_the_embedded_one(make_clip: MakeClip) -> None:
    try:
        session = asyncio.run(stream(make_clip(1.0, reference=HELLO)))
        port = port_of(embedded())
    finally:
        embedded().close()
    assert session.complete
    assert session.transcript == "hello there"
    assert session.bytes_sent == said(session).bytes_received == 16000
    assert session.settings.service["name"] == "embedded"
    assert session.events[0].name == "connecting"
    assert session.events[0].at < session.messages[0].at <= 0
    assert not listens(port)


def test_lateness_tells_the_naive_pacing_from_the_other(
    make_clip: MakeClip, service: Loopback
) -> None:
    """On the real clock: 20 ms of work a chunk is far more than a busy machine adds."""
    clip = make_clip(2.0)

    async def usual(pacing: str) -> float:
        session = await stream(clip, pacing=pacing, work=0.02, service=service)
        assert session.lateness.min() >= 0
        return float(np.median(session.lateness))

    naive, wall = asyncio.run(usual("fixed_sleep")), asyncio.run(usual("wall_clock"))
    assert naive >= 9.5 * 0.02
    assert wall < naive / 2


def test_stamps_and_the_sessions_instants_are_on_one_clock(
    make_clip: MakeClip, service: Loopback
) -> None:
    session = asyncio.run(stream(make_clip(1.5, reference=HELLO), service=service))
    received = 2 * np.cumsum([chunk.stop - chunk.start for chunk in session.chunks])
    stamped = [
        (at, reply.stamp) for at, reply in session.replies if isinstance(reply, Turn) if reply.stamp
    ]
    assert len(stamped) >= 3
    for at, stamp in stamped:
        deciding = int(np.searchsorted(received, 2 * stamp.samples))
        assert received[deciding] == 2 * stamp.samples
        sent = session.zero + session.chunks[deciding].sent
        assert sent <= stamp.arrived
        assert stamp.arrived + 0.02 <= stamp.left <= session.zero + at


def test_each_session_has_its_own_script(make_clip: MakeClip, service: Loopback) -> None:
    async def together() -> list[Session]:
        clips = [make_clip(0.8, reference=script) for script in (HELLO, BYE, None)]
        return await asyncio.gather(*(stream(clip, service=service) for clip in clips))

    assert [session.transcript for session in asyncio.run(together())] == [
        "hello there",
        "bye",
        "",
    ]


def test_a_service_with_a_script_speaks_it_to_everyone(make_clip: MakeClip, tmp_path: Path) -> None:
    path = tmp_path / "bye.json"
    path.write_text(json.dumps(BYE.to_json()))

    async def both() -> tuple[Session, list[Any]]:
        async with Loopback(script=path, format_turns=True, finals=2) as service:
            session = await stream(make_clip(0.8, reference=HELLO), service=service)
            assert service.url is not None
            heard, _ = await talk(f"{service.url}?sample_rate=8000", *SECOND, TERMINATE)
            return session, heard

    session, heard = asyncio.run(both())
    finals = [reply for _, reply in session.replies if isinstance(reply, Turn) if reply.end_of_turn]
    assert [(turn.transcript, turn.formatted) for turn in finals[:2]] == [
        ("bye", False),
        ("Bye.", True),
    ]
    assert session.transcript == "Bye."
    assert any(message.get("transcript") == "bye" for message in heard)


ASKED = {"max_turn_silence": 150, "webhook_auth_header_value": "secret"}


def test_sessions_of_ones_own_ask_for_a_model_and_parameters(make_clip: MakeClip) -> None:
    two = spoken(("One", 0.1, 0.3), ("two", 0.5, 0.8))
    service = Loopback(speech_model="u3-rt-pro", parameters=ASKED, max_speed=100)
    unknown = Loopback(speech_model="u3")
    try:
        session = asyncio.run(
            stream(make_clip(1.2, reference=two), pacing="unpaced", service=service)
        )
        with pytest.raises(StreamError, match="'u3' is not one of universal-streaming-english"):
            asyncio.run(stream(make_clip(0.5), service=unknown))
    finally:
        service.close()
        unknown.close()
    finals = [reply for _, reply in session.replies if isinstance(reply, Turn) if reply.end_of_turn]
    assert [turn.transcript for turn in finals] == ["One", "two"]
    assert session.settings.service["speech_model"] == "u3-rt-pro"
    assert session.settings.service["parameters"] == {"max_turn_silence": 150}


@pytest.mark.parametrize("path", ["/", "/v3/ws"])
@pytest.mark.parametrize(("key", "query"), [("any", ""), (None, "&token=any")])
def test_any_websocket_client_gets_a_session(
    service: Loopback, path: str, key: str | None, query: str
) -> None:
    url = f"ws://127.0.0.1:{port_of(service)}{path}?sample_rate=8000{query}"
    heard, code = asyncio.run(talk(url, *SECOND, TERMINATE, key=key))
    assert [message["type"] for message in heard] == ["Begin", "Turn", "Termination"]
    assert heard[-1]["audio_duration_seconds"] == 1
    assert heard[0]["expires_at"] > time.time()
    assert code == 1000


@pytest.mark.parametrize(
    ("query", "key", "frames", "code"),
    [
        ("sample_rate=8000", None, (), 1008),
        ("sample_rate=8000", "", (), 1008),
        ("sample_rate=80", "any", (), 3006),
        ("sample_rate=8000", "any", ("hello",), 3006),
        ("sample_rate=8000", "any", (bytes(32000),), 3007),
    ],
)
def test_a_refusal_is_an_error_and_a_close_with_its_code(
    service: Loopback, query: str, key: str | None, frames: tuple[bytes | str, ...], code: int
) -> None:
    heard, closed = asyncio.run(talk(f"{service.url}?{query}", *frames, key=key))
    assert (heard[-1]["type"], heard[-1]["error_code"]) == ("Error", code)
    assert closed == code


def test_other_paths_are_not_found_and_health_is_well(service: Loopback) -> None:
    port = port_of(service)
    with pytest.raises(InvalidStatus, match="404"):
        asyncio.run(talk(f"ws://127.0.0.1:{port}/v2/ws"))
    page = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        page.request("GET", "/v3/ws/health")
        answer = page.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok\n")
    finally:
        page.close()


def fetch(service: Loopback, path: str, **headers: str) -> tuple[int, str | None, Any]:
    page = http.client.HTTPConnection("127.0.0.1", port_of(service), timeout=PATIENCE)
    try:
        page.request("GET", path, headers=headers)
        answer = page.getresponse()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())
    finally:
        page.close()


@pytest.fixture(scope="module")
def strict() -> Iterator[Loopback]:
    """A service with rules of its own."""
    service = Loopback(key="sesame", max_sessions=1, max_duration=2.5, compression=False)
    asyncio.run(service.connect_info(8000))
    yield service
    service.close()


@pytest.mark.parametrize(
    ("key", "query", "told"),
    [
        (None, "", "Missing Authorization header"),
        ("another", "", "Invalid API key"),
        ("Bearer sesame", "", "Invalid API key"),
        (None, "&token=garbage", "Invalid API key"),
    ],
)
def test_a_wrong_key_is_refused_after_the_upgrade(
    strict: Loopback, key: str | None, query: str, told: str
) -> None:
    heard, code = asyncio.run(talk(f"{strict.url}?sample_rate=8000{query}", key=key))
    error = {"type": "Error", "error_code": 1008, "error": f"Unauthorized Connection: {told}"}
    assert (heard, code) == ([error], 1008)


def test_sessions_of_ones_own_know_the_key(make_clip: MakeClip, strict: Loopback) -> None:
    assert asyncio.run(stream(make_clip(0.5), service=strict)).complete
    assert "sesame" not in f"{strict!r} {strict.describe()}"


def test_a_temporary_token_opens_sessions_in_the_url_and_limits_them(service: Loopback) -> None:
    asked = "expires_in_seconds=600&max_session_duration_seconds=60"
    status, kind, answer = fetch(service, f"/v3/token?{asked}", Authorization="Bearer any")
    assert (status, kind, answer["expires_in_seconds"]) == (200, "application/json", 600)
    url = f"{service.url}?sample_rate=8000&token={answer['token']}"
    heard, code = asyncio.run(talk(url, TERMINATE, key=None))
    assert (heard[-1]["type"], code) == ("Termination", 1000)
    assert heard[0]["expires_at"] == pytest.approx(time.time() + 60, abs=PATIENCE)
    told, code = asyncio.run(talk(url[:-1], key=None))
    assert (told[-1]["error"], code) == ("Unauthorized Connection: Invalid API key", 1008)


def test_the_token_endpoint_says_what_is_wrong(service: Loopback, strict: Loopback) -> None:
    status, _, answer = fetch(service, "/v3/token")
    assert status == 422
    assert "expires_in_seconds is missing; give a whole number of 1 to 600" in answer["error"]
    asked = "/v3/token?expires_in_seconds=60"
    assert fetch(strict, asked, Authorization="another")[0] == 401
    assert fetch(strict, asked, Authorization="sesame")[0] == 200


def test_a_session_too_many_is_refused_and_one_too_long_is_ended(strict: Loopback) -> None:
    url, headers = f"{strict.url}?sample_rate=8000", {"Authorization": "sesame"}

    async def result() -> tuple[list[Any], list[str], int | None]:
        async with connect(url, additional_headers=headers, proxy=None) as first:
            heard = [json.loads(await first.recv())["type"]]
            second = await talk(url, key="sesame")
            heard.append(json.loads(await first.recv())["error"])
            await first.wait_closed()
            return [*second], heard, first.close_code

    refused, heard, code = asyncio.run(result())
    told = "Unauthorized Connection: Too many concurrent sessions"
    assert refused == [[{"type": "Error", "error_code": 3009, "error": told}], 3009]
    assert heard == ["Begin", "Session Expired: Maximum session duration exceeded"]
    assert code == 3008
    assert asyncio.run(talk(url, TERMINATE, key="sesame"))[1] == 1000


@pytest.mark.parametrize("offers", [True, False])
def test_it_compresses_for_clients_that_offer_to_unless_it_is_told_not_to(
    service: Loopback, strict: Loopback, offers: bool
) -> None:
    async def extensions(service: Loopback) -> str | None:
        headers, compression = {"Authorization": "sesame"}, "deflate" if offers else None
        async with connect(
            f"{service.url}?sample_rate=8000",
            additional_headers=headers,
            compression=compression,
            proxy=None,
        ) as connection:
            assert json.loads(await connection.recv())["type"] in ("Begin", "Error")
            assert connection.response is not None
            return connection.response.headers.get("Sec-WebSocket-Extensions")

    agreed = asyncio.run(extensions(service))
    assert agreed is not None if offers else agreed is None
    assert agreed is None or agreed.startswith("permessage-deflate")
    assert asyncio.run(extensions(strict)) is None


def test_it_listens_on_127_0_0_1_only(service: Loopback) -> None:
    assert listens(port_of(service))
    assert not listens(port_of(service), host="127.0.0.2")


def test_a_closed_service_is_gone_and_starts_anew_when_needed(make_clip: MakeClip) -> None:
    clip = make_clip(0.5)
    service = Loopback()
    try:
        assert service.url is None
        asyncio.run(stream(clip, service=service))
        first = port_of(service)
        service.close()
        service.close()
        assert service.url is None
        assert not listens(first)
        assert asyncio.run(stream(clip, service=service)).complete
        assert listens(port_of(service))
    finally:
        service.close()


def kill_child(service: Loopback) -> None:
    assert service._running._child is not None
    service._running._child._process.kill()
    service._running._child._process.wait()


def test_a_service_that_crashed_fails_the_session_and_starts_anew_for_the_next(
    make_clip: MakeClip,
) -> None:
    service = Loopback()

    def crash(fact: Fact) -> None:
        if isinstance(fact, Chunk) and fact.index == 3:
            kill_child(service)

    try:
        with pytest.raises(StreamError, match="broke without a close frame") as failure:
            asyncio.run(stream(make_clip(2.0), service=service, on_event=crash))
        assert len(failure.value.session.chunks) >= 4
        assert asyncio.run(stream(make_clip(0.5), service=service)).complete
    finally:
        service.close()


def test_a_cancelled_session_leaves_the_service_well(
    make_clip: MakeClip, service: Loopback
) -> None:
    async def stop() -> list[Fact]:
        facts: list[Fact] = []
        begun = asyncio.Event()

        def on_event(fact: Fact) -> None:
            facts.append(fact)
            if isinstance(fact, Chunk):
                begun.set()

        task = asyncio.create_task(stream(make_clip(60.0), service=service, on_event=on_event))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return facts

    ending = asyncio.run(stop())[-1]
    assert (ending.kind, getattr(ending, "how", None)) == ("ending", "stopped")
    assert getattr(ending, "code", None) == 1000  # it heard Terminate
    assert asyncio.run(stream(make_clip(0.5), service=service)).complete


PARENT = """
import asyncio, sys, time
from rtkit.loopback.process import Loopback

service = Loopback()
asyncio.run(service.connect_info(8000))
print(service.url, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_the_service_ends_with_its_parent_however_that_ends(way: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port = urlsplit(parent.stdout.readline().strip()).port
        assert port is not None
        assert listens(port)
        parent.send_signal(way)
        # The child holds the same standard error: its end is the end of both.
        _, fault = parent.communicate(timeout=PATIENCE)
    assert ends(port)
    assert fault == ""


def test_many_services_leave_no_process_when_the_program_just_ends() -> None:
    script = PARENT.replace("time.sleep(600)", "")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")
    port = urlsplit(done.stdout.strip()).port
    assert port is not None
    assert ends(port)


# python -m rtkit.loopback


def default_interrupt() -> None:
    """A shell that starts pytest in the background lets it, and its children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def command(*options: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "rtkit.loopback", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_interrupt,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_its_script_until_it_is_told_to_end(
    tmp_path: Path, way: signal.Signals
) -> None:
    script = tmp_path / "hello.json"
    script.write_text(json.dumps(HELLO.to_json()))
    options = ("--port", "0", "--delay", "0.01", "--key", "sesame", "--no-compression")
    with command(*options, "--script", script) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Listening on ws://127.0.0.1:")
        url = line.split()[2].rstrip(";")
        query = "sample_rate=8000&format_turns=True&speech_model=universal-streaming-english"
        assert asyncio.run(talk(f"{url}?{query}", key="another"))[1] == 1008
        heard, code = asyncio.run(talk(f"{url}?{query}", *SECOND, TERMINATE, key="sesame"))
        finals = [m["transcript"] for m in heard if m.get("end_of_turn")]
        assert finals[0] == "Hello there."
        assert code == 1000
        process.send_signal(way)
        rest, told = process.communicate(timeout=PATIENCE)
        assert (process.returncode, rest) == (0, "")
        assert [re.sub(r"in \d\.\d s", "in _ s", line[9:]) for line in told.splitlines()] == [
            "client 1 refused: 1008 Unauthorized Connection: Invalid API key",
            "client 2 opened: sample_rate=8000 encoding=pcm_s16le "
            "speech_model=universal-streaming-english format_turns=true min_turn_silence=400 "
            "max_turn_silence=1280",
            "client 2 closed by the service: 1000 Session Ended; 1.0 s of audio in _ s; "
            "Terminate came",
        ]


def test_the_command_tells_how_clients_fare_and_no_secret() -> None:
    """A key, its own or a client's, stays untold wherever a client puts it."""
    wrong, other = "0123456789abcdef0123456789abcdef", "its-own-token"
    with command("--port", "0", "--key", "sesame", "--fault", "drop@0.5x1") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(";")

        def comes(query: str = "", *frames: bytes | str, key: str | None = "sesame") -> None:
            with suppress(ConnectionClosed):
                asyncio.run(talk(f"{url}?sample_rate=8000{query}", *frames, key=key))

        comes("", *SECOND)
        comes("&speech_model=sesame")
        comes(f"&encoding={wrong}", key=f"Bearer {wrong}")
        comes(f"&token={other}&speech_model=one%0Aclient", key=None)
        comes("", json.dumps("sesame"))
        comes("", bytes(160), bytes(160))
        with pytest.raises(InvalidStatus):
            asyncio.run(talk(url.replace("/v3/ws", "/v3/sesame")))
        asyncio.run(left(url))
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE)
    for secret in ("sesame", wrong, other, wrong[:20]):
        assert secret not in told
    lines: dict[int, list[str]] = {}
    for line in told.splitlines():  # of two clients, the second may come before the first is gone
        found = re.fullmatch(r"\d\d:\d\d:\d\d client (\d) (.*)", line)
        assert found is not None, line
        lines.setdefault(int(found[1]), []).append(found[2])
    opened = lines[1].pop(0), lines[5].pop(0), lines[6].pop(0), lines[8].pop(0)
    assert all(line.startswith("opened: sample_rate=8000 ") for line in opened[:3])
    assert ["faults requested: drop@0.5x1" in line for line in opened] == [True] + [False] * 3
    unauthorised = "refused: 1008 Unauthorized Connection: Invalid API key"
    heard = r" s of audio in \d\.\d s; no Terminate"
    expected = {
        1: [
            r"fault: drop@0\.5x1",
            r"lost: the connection broke without a close frame; (0\.[5-9]|1\.0)" + heard,
        ],
        2: [r"refused: 3006 .*'speech_model': '\[secret\]' is not one of .*"],
        3: [unauthorised],
        4: [unauthorised],
        5: [r"closed by the service: 3006 .*Invalid Message: \"\[secret\]\"; 0\.0" + heard],
        6: [r"closed by the service: 3007 .* 10\.0 ms\. Expected.*; 0\.0" + heard],
        7: [r"refused: HTTP 404 Not Found for /v3/\[secret\]"],
        8: [r"closed by the client: 1001 off; 0\.1" + heard],
    }
    assert lines.keys() == expected.keys()
    for number, patterns in expected.items():
        for line, pattern in zip(lines[number], patterns, strict=True):
            assert re.fullmatch(pattern, line), line


async def left(url: str) -> None:
    """Says something and goes."""
    headers = {"Authorization": "sesame"}
    async with asyncio.timeout(PATIENCE):
        async with connect(url, additional_headers=headers, proxy=None) as connection:
            await connection.recv()
            await connection.send(bytes(3200))
            await connection.close(1001, "off")


def test_the_command_keeps_still_if_it_is_told_to() -> None:
    with command("--port", "0", "--quiet") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(";")
        assert asyncio.run(talk(f"{url}?sample_rate=8000", *SECOND, TERMINATE))[1] == 1000
        process.terminate()
        assert process.communicate(timeout=PATIENCE) == ("", "")


def test_the_command_ends_although_a_client_is_there() -> None:
    with command("--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(";")

        async def stay() -> int:
            headers = {"Authorization": "any"}
            async with connect(url, additional_headers=headers, proxy=None) as connection:
                await connection.recv()
                process.terminate()
                with pytest.raises(ConnectionClosed) as closed:
                    await connection.recv()
                assert closed.value.rcvd is not None
                return closed.value.rcvd.code

        assert asyncio.run(stay()) == 1001
        assert process.wait(timeout=PATIENCE) == 0


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--script", "nowhere.json"), 2, "nowhere.json cannot be read"),
        (("--delay", "-1"), 2, "delay=-1"),
        (("--finals", "3"), 2, "invalid choice"),
        (("--max-duration", "0"), 2, "max_duration=0"),
        (("--max-sessions", "0"), 2, "max_sessions=0"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(
    options: tuple[str, ...], code: int, told: str
) -> None:
    with command("--port", "0", *options) as process:
        _, fault = process.communicate(timeout=PATIENCE)
        assert process.returncode == code
        assert told in fault


def test_the_command_says_so_if_the_port_is_taken(service: Loopback) -> None:
    port = str(port_of(service))
    with command("--port", port) as process:
        _, fault = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert f"Port {port} is not available" in fault
        assert "Traceback" not in fault


# A service that is not there.


class At:
    """A service at an address."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        return Endpoint(self.url, {"Authorization": "sesame0123456789"})

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {"name": "elsewhere"}


@contextmanager
def taken_port(*, listening: bool) -> Iterator[int]:
    """A port on which nobody listens, or somebody who never answers."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        if listening:
            holder.listen()
        yield holder.getsockname()[1]


@pytest.mark.parametrize(
    ("listening", "told"),
    [(False, "127.0.0.1 cannot be reached"), (True, "127.0.0.1 did not reply within 0.2 s")],
)
def test_a_service_that_is_not_there_is_told_of_without_the_key(
    make_clip: MakeClip, tmp_path: Path, listening: bool, told: str
) -> None:
    path = tmp_path / "a.jsonl"
    with taken_port(listening=listening) as port:
        service = At(f"ws://127.0.0.1:{port}/v3/ws")
        with pytest.raises(StreamError, match=told) as failure:
            asyncio.run(stream(make_clip(0.5), service=service, begin_timeout=0.2, record=path))
    assert failure.value.session.chunks == ()
    assert "sesame" not in f"{failure.value!r} {failure.value.session!r} {path.read_text()}"


def test_a_refused_upgrade_is_told_of_with_its_status(
    make_clip: MakeClip, service: Loopback
) -> None:
    elsewhere = At(f"ws://127.0.0.1:{port_of(service)}/elsewhere")
    with pytest.raises(StreamError, match="HTTP status 404"):
        asyncio.run(stream(make_clip(0.5), service=elsewhere))


@pytest.mark.parametrize("said", ["http://127.0.0.1:{port}", "http://localhost:{port}",
                                  "ws://127.0.0.1:{port}", "https://[::1]:{port}/"])  # fmt: skip
@pytest.mark.parametrize("path", ["/v3/ws", "/v3/ws/"])
def test_a_client_that_names_the_service_as_its_origin_comes_in(said: str, path: str) -> None:
    """As websocket-client does, and Go's x/net/websocket."""

    async def run() -> None:
        async with serve_loopback(0) as server:
            port = server.sockets[0].getsockname()[1]
            url = f"ws://127.0.0.1:{port}{path}?sample_rate=8000"
            headers = {"Authorization": "any", "Origin": said.format(port=port)}
            async with connect(url, additional_headers=headers) as connection:
                assert json.loads(await connection.recv())["type"] == "Begin"

    asyncio.run(run())


def test_websocket_client_gets_a_session() -> None:
    websocket = pytest.importorskip("websocket")

    async def begun() -> None:
        async with rtkit.Loopback() as service:
            await asyncio.to_thread(begins, f"{service.url}?sample_rate=8000")

    def begins(url: str) -> None:
        connection = websocket.create_connection(
            url, header={"Authorization": "any"}, timeout=PATIENCE
        )
        assert json.loads(connection.recv())["type"] == "Begin"
        connection.close()

    asyncio.run(begun())


def test_an_origin_comes_in_where_it_is_named_and_the_log_names_the_cause_where_not() -> None:
    named = ("--origin", "http://localhost:3000", "--origin", "null")  # null: a page from a file
    with command("--port", "0", *named) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2].rstrip(";") + "?sample_rate=8000"

        async def come(origin: str) -> None:
            headers = {"Authorization": "any", "Origin": origin}
            async with connect(url, additional_headers=headers) as connection:
                assert json.loads(await connection.recv())["type"] == "Begin"

        asyncio.run(come("http://localhost:3000"))
        asyncio.run(come("null"))
        with pytest.raises(InvalidStatus):
            asyncio.run(come("https://example.com"))
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE)
    assert (
        "client 3 refused: HTTP 403 Forbidden for /v3/ws. Pages from https://example.com are not "
        "allowed; allow them with --origin https://example.com." in told
    )


@pytest.mark.parametrize("origin", ["localhost", "http://", "http://a b"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="give scheme and host"):
        rtkit.Loopback(origins=(origin,))


def test_the_log_tells_the_code_that_was_sent_and_not_the_clients_echo() -> None:
    """websocket-client and browsers answer any close with 1000."""
    told: list[str] = []

    async def run() -> None:
        async with serve_loopback(0, log=Log(told.append)) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET /v3/ws?sample_rate=8000 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nAuthorization: any\r\n\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
            mask = bytes(4)  # a mask of zeros leaves frames as they are
            for _ in range(40):  # far too short, again and again
                writer.write(b"\x82\x88" + mask + bytes(8))
            async with asyncio.timeout(PATIENCE):
                while b"\x88" not in (said := await reader.read(1 << 16)):
                    assert said
                writer.write(b"\x88\x82" + mask + (1000).to_bytes(2, "big"))
                assert await reader.read() == b""
                writer.close()

    asyncio.run(run())
    assert "closed by the service: 3007 " in told[1]
    assert told[1].endswith("; 0.0 s of audio in 0.0 s; no Terminate")


def test_the_log_tells_what_a_client_that_left_was_about_to_be_told() -> None:
    told: list[str] = []

    async def run() -> None:
        options = Options(refusal_delay=60.0)
        async with serve_loopback(0, options, log=Log(told.append)) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v3/ws?sample_rate=8000"
            async with connect(url, additional_headers={"Authorization": "any"}) as connection:
                await connection.recv()
                await connection.send("[]")
                await connection.close()

    asyncio.run(run())
    assert "closed by the client: 1000 (no reason), after 3006 User Input" in told[1]


def test_the_printed_address_is_a_host_that_assemblyai_takes() -> None:
    async def run() -> None:
        async with rtkit.Loopback() as service:
            assert service.url is not None
            for host in (service.url, service.url + "/", service.url.removesuffix("/v3/ws")):
                there = await rtkit.AssemblyAI(key="any", host=host).connect_info(8000)
                assert there.url.startswith(f"{service.url}?")

    asyncio.run(run())
