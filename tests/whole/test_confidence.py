"""No frame that leaves rtkit holds a key, whatever ends the session; no second host is told it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import MakeClip
from stack_data.core import FrameInfo
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import rtkit
from rtkit.audio import Clip
from rtkit.recording import StreamError
from rtkit.reference import Reference
from rtkit.sending.stream import stream
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import vendors

KEY = "sk-planted-0123456789abcdef"  # what must be found nowhere
PARAMETERS = {"token": KEY, "jwt": KEY, "x": {"deep": [KEY]}}
ISOLATIONS = ("loop", "thread", "process")
HERE = Path(__file__).parents[2]


def everything(error: BaseException) -> str:
    """All that a traceback may show: variables, too, and the causes that are not to be shown.

    IPython's verbose ones also show what the lines name, ``self.key``. Of frames that are not the
    tests' own: these hold the key, of course.
    """
    seen: list[str] = []
    left: list[BaseException | None] = [error]
    while left:
        if (one := left.pop()) is None:
            continue
        seen += [repr(one), str(one), *getattr(one, "__notes__", ())]
        shown = traceback.TracebackException.from_exception(one, capture_locals=True)
        seen += [f"{frame.name} {frame.locals}" for frame in shown.stack if not is_own(frame)]
        if one.__traceback__ is not None:
            for info in FrameInfo.stack_data(one.__traceback__):
                named: Any = () if is_own(info) else getattr(info, "variables", ())
                seen += [f"{each.name}={each.value!r}" for each in named]
        left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return "\n".join(seen)


def is_own(frame: Any) -> bool:
    return not hasattr(frame, "filename") or Path(frame.filename).is_relative_to(HERE / "tests")


@dataclass(frozen=True)
class Anywhere:
    """A service like AssemblyAI, with secrets in all places that there are."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        query = f"sample_rate={rate}&sig={KEY}"
        headers = {"Authorization": f"Token {KEY}", "X-Api-Key": KEY, **self.headers}
        return Endpoint(f"{self.url}?{query}", headers)

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {"name": "anywhere", "note": f"with {KEY}", "parameters": PARAMETERS}


@contextlib.asynccontextmanager
async def listening(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any] | None = None,
) -> AsyncIterator[str]:
    """Something that listens, and says nothing unless told to."""
    open_now: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.append(writer)
        if handle is not None:
            await handle(reader, writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_now:
            writer.close()


def answering(answer: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer.replace(b"REQUEST", request))
            await writer.drain()
            writer.close()

    return handle


def told_of(error: BaseException) -> str:
    text = everything(error)
    assert KEY not in text, text[max(0, text.index(KEY) - 500) : text.index(KEY) + 100]
    if isinstance(error, StreamError):
        assert KEY not in repr(error.session.settings)
    return str(error)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_interruption_while_connecting_shows_no_key(make_clip: MakeClip, isolation: str) -> None:
    clip = make_clip(0.2)

    async def run() -> BaseException:
        asked = asyncio.Event()

        async def heard(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()

        async with listening(heard) as host:
            there = Anywhere(f"ws://{host}")
            task = asyncio.create_task(stream(clip, service=there, isolation=isolation))
            await asyncio.wait_for(asked.wait(), 30)
            task.cancel("enough")
            await asyncio.wait({task})
            with pytest.raises(asyncio.CancelledError) as stopped:
                await task
            return stopped.value

    error = asyncio.run(run())
    assert isinstance(error, asyncio.CancelledError)
    told_of(error)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_no_way_of_not_connecting_shows_a_key(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    """Each with its sentence; the service says back all that it was told."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "socks_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    clip = make_clip(0.2)
    echo = b"HTTP/1.1 500 No\r\nConnection: close\r\n\r\nREQUEST"

    async def failing(url: str, timeout: float = 20.0) -> str:
        with pytest.raises((StreamError, ValueError, RuntimeError)) as failure:
            await stream(clip, service=Anywhere(url), isolation=isolation, begin_timeout=timeout)
        return told_of(failure.value)

    async def few() -> dict[str, str]:
        found = {"bad host": await failing("ws://[x")}
        async with listening(answering(echo)) as says_it_back:
            found["echo"] = await failing(f"ws://{says_it_back}")
        with monkeypatch.context() as patch:
            patch.setenv("https_proxy", f"socks5://me:{quote(KEY)}@127.0.0.1:9")
            found["socks"] = await failing("wss://example.com")
        return found

    async def many() -> dict[str, str]:
        found = await few()
        async with listening() as silent:
            found["silent"] = await failing(f"ws://{silent}", 0.3)
            found["no TLS"] = await failing(f"wss://{silent}", 0.3)
        found["gone"] = await failing(f"ws://{silent}", 0.3)
        async with listening(answering(b"REQUEST")) as gibberish:
            found["gibberish"] = await failing(f"ws://{gibberish}", 0.3)
        found["no address"] = await failing("nonsense")
        found["bad port"] = await failing("ws://127.0.0.1:99999", 0.3)
        found["in the clear"] = await failing("ws://example.com")
        with monkeypatch.context() as patch:
            patch.setenv("https_proxy", f"http://me:{quote(KEY)}@127.0.0.1:9")
            found["proxy"] = await failing("wss://example.com", 0.3)
            patch.setenv("https_proxy", f"nonsense://me:{KEY}@127.0.0.1:9")
            found["no proxy"] = await failing("wss://example.com", 0.3)
        return found

    found = asyncio.run(many() if isolation == "loop" else few())
    assert "HTTP status 500" in found["echo"]
    assert "address is not valid" in found["bad host"]
    assert "python-socks" in found["socks"]
    if isolation != "loop":
        return
    assert "did not reply within" in found["silent"]
    for name in ("no TLS", "gone", "gibberish"):
        assert "cannot be reached" in found[name] or "did not reply" in found[name], found[name]
    assert "address is not valid" in found["no address"]
    assert "unencrypted" in found["in the clear"]
    for name in ("proxy", "no proxy", "bad port"):
        assert "cannot be reached" in found[name]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_what_cannot_be_asked_for_shows_no_key(make_clip: MakeClip, isolation: str) -> None:
    clip = make_clip(0.2)
    circle: dict[str, Any] = {"a": KEY}
    circle["b"] = [circle, circle]
    anything: list[Any] = [KEY.encode(), [KEY], KEY + "\nx", [("token", KEY)], {1: KEY}]
    wrong: list[tuple[AssemblyAI, str]] = [
        (AssemblyAI(KEY, parameters={**PARAMETERS, "y": object()}), r"parameters\['y'\] cannot"),
        (AssemblyAI(KEY, parameters={**PARAMETERS, "y": {"a": {1}, "b": KEY}}), r"\['y'\] cannot"),
        (AssemblyAI(KEY, host=f"ftp://me:{KEY}@h", parameters=PARAMETERS), "host='ftp://h' is no"),
        (AssemblyAI(KEY, host=f"wss://h:port/?a={KEY}"), "host='wss://h:port/' is not a websocket"),
        (AssemblyAI(KEY, host="ws://[h"), "is not a websocket address"),
        (AssemblyAI(KEY, parameters={"y": KEY + "\ud800"}), r"\['y'\] cannot"),
        (AssemblyAI(KEY, parameters={"k": KEY, "y": float("nan")}), r"\['y'\] cannot"),
        (AssemblyAI(KEY, parameters={"k": KEY, "y": circle}), r"\['y'\] cannot"),
        (AssemblyAI(KEY, parameters={"y": KEY.encode()}), r"\['y'\] cannot"),
        (AssemblyAI(KEY, parameters=anything[3]), ", not list"),
        (AssemblyAI(KEY, parameters=anything[0]), "not bytes"),
        (AssemblyAI(anything[0]), "takes the API key as a string"),
        (AssemblyAI(anything[1]), "takes the API key as a string"),
        (AssemblyAI(anything[2]), "contains a space or another character"),
    ]
    for service, sentence in wrong[: None if isolation == "loop" else 2]:
        with pytest.raises(ValueError, match=sentence) as failure:
            asyncio.run(stream(clip, service=service, isolation=isolation))
        told_of(failure.value)
        assert KEY not in repr(service)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_process_that_cannot_start_shows_no_environment(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, isolation: str
) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setenv("ASSEMBLYAI_API_KEY", KEY)
    monkeypatch.setattr(subprocess, "Popen", no_room)
    service = AssemblyAI(host="ws://127.0.0.1:9") if isolation == "process" else rtkit.Loopback()
    with pytest.raises(RuntimeError, match=r"process can be started \(Too many") as failure:
        asyncio.run(stream(make_clip(0.2), service=service, isolation=isolation))
    told_of(failure.value)


@pytest.mark.parametrize("vendor", [rtkit.Loopback, *dict.fromkeys(vendors().values())])
def test_a_service_shows_nothing_and_goes_to_another_process_with_all(
    make_clip: MakeClip, vendor: Any
) -> None:
    asked = {"token": KEY, "n": [1, {"deep": KEY}]}
    service = vendor(key=KEY, parameters=asked)
    there = pickle.loads(pickle.dumps(service))
    assert (there.key, there.parameters, type(there)) == (KEY, asked, vendor)
    assert KEY not in repr([there.key, there.parameters, there, there.describe(None)])
    for wrong in ({"y": KEY + "\ud800"}, {"y": {1, KEY}}):
        with pytest.raises(ValueError, match=r"\['y'\] cannot be sent") as failure:
            asyncio.run(stream(make_clip(0.2), service=vendor(key=KEY, parameters=wrong)))
        told_of(failure.value)
    if vendor is not rtkit.Loopback:
        with pytest.raises(ValueError, match="contains a space") as failure:
            asyncio.run(stream(make_clip(0.2), service=vendor(key=f"Token {KEY}")))
        told_of(failure.value)


CHILD = """
import asyncio, signal, sys, traceback
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {tests!r})
import rtkit
from whole.test_confidence import Anywhere, told_of
clip = rtkit.open_clip({clip!r})
try:
    rtkit.run(rtkit.stream(clip, service=Anywhere({url!r}), isolation={isolation!r}))
except BaseException as error:
    assert isinstance(error, KeyboardInterrupt), error
    told_of(error)
    print("hidden", flush=True)
"""


@pytest.mark.parametrize("isolation", ["loop", "process"])
def test_an_interrupt_at_the_keyboard_shows_no_key(make_clip: MakeClip, isolation: str) -> None:
    """SIGINT while the connection is being opened, in a program of its own."""
    clip: Clip = make_clip(0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        script = CHILD.format(
            tests=str(HERE / "tests"), clip=str(clip.path), url=url, isolation=isolation
        )
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )
        server.settimeout(60)
        line, _ = server.accept()
        with line:
            assert line.recv(100)  # the request: it is connecting
            child.send_signal(signal.SIGINT)
            told, wrong = child.communicate(timeout=60)
    assert told == "hidden\n", wrong


def test_an_error_of_ones_own_in_a_session_shows_no_key(make_clip: MakeClip) -> None:
    """In `work` and `on_event`, while a service that is told the key listens."""
    clip = make_clip(0.3)

    async def run(**how: Any) -> BaseException:
        async def service(connection: ServerConnection) -> None:
            await connection.send(json.dumps({"type": "Begin", "id": KEY, "expires_at": 1}))
            while isinstance(await connection.recv(), bytes):  # audio, until it says goodbye
                pass

        async with serve(service, "127.0.0.1", 0) as server:
            there = Anywhere(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            with pytest.raises(ZeroDivisionError) as failure:
                await stream(clip, service=there, **how)
            return failure.value

    told_of(asyncio.run(run(work=lambda audio: 1 / 0)))
    told_of(asyncio.run(run(on_event=lambda fact: 1 / 0)))


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 304])
def test_a_redirect_is_refused_and_the_second_host_hears_nothing(
    make_clip: MakeClip, status: int
) -> None:
    clip = make_clip(0.2)
    heard: list[Any] = []

    async def second(connection: ServerConnection) -> None:
        heard.append(connection.request)

    async def run(*locations: str) -> str:
        async with serve(second, "127.0.0.1", 0) as other:
            there = f"127.0.0.1:{other.sockets[0].getsockname()[1]}"

            def first(connection: ServerConnection, request: Request) -> Response:
                response = connection.respond(HTTPStatus(status), f"gone with {KEY}")
                for location in locations:
                    response.headers["Location"] = location.format(there)
                return response

            async with serve(second, "127.0.0.1", 0, process_request=first) as server:
                url = f"ws://localhost:{server.sockets[0].getsockname()[1]}"
                with pytest.raises(StreamError) as failure:
                    await stream(clip, service=Anywhere(url))
        return told_of(failure.value)

    sentence = asyncio.run(run(f"ws://me:{KEY}@{{}}/v3/ws?token={KEY}"))
    assert "localhost redirects to ws://127.0.0.1" in sentence
    assert "does not follow" in sentence
    assert "redirects to /elsewhere, //b/c." in asyncio.run(run("/elsewhere", f"//{KEY}@b/c#d"))
    assert "redirects to /[secret]." in asyncio.run(run(f"/{KEY[:20]}"))
    assert "redirects to nowhere" in asyncio.run(run())
    assert heard == []


# What is kept of a service that says everything back.


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_nothing_that_was_told_is_kept_in_any_form(
    make_clip: MakeClip, tmp_path: Path, isolation: str
) -> None:
    clip, path = make_clip(0.3), tmp_path / "a.jsonl"
    mine = "my key&of/0123456789+letters=="
    cookie = {"Cookie": "session=abcdef0123456789; theme=dark", "xi-api-key": mine}

    async def service(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        told = [*(value for _, value in request.headers.raw_items()), request.path]
        begin = {"type": "Begin", "id": " ".join(told), "expires_at": 1}
        await connection.send(json.dumps(begin))
        await connection.send(json.dumps(begin).replace("&", "\\u0026").encode())
        await connection.send("".join(f"%{ord(sign):02x}" for sign in " ".join(told)))
        await connection.recv()
        await connection.send(json.dumps({"type": "Error", "error": quote(" ".join(told))}))
        await connection.close(3006, quote(mine, safe=""))

    async def run() -> StreamError:
        async with serve(service, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v"
            there = Anywhere(url, cookie)
            with pytest.raises(StreamError) as failure:
                await stream(clip, service=there, isolation=isolation, record=path)
            return failure.value

    error = asyncio.run(run())
    shown = [
        path.read_text(),
        json.dumps(path.read_text()),
        repr(error.session.messages),
        repr(error.session.ending),
        repr(error.session.settings),
        str(error),
        everything(error),
        rtkit.summarize(error.session)._repr_html_(),
        rtkit.save_transcript(error.session, tmp_path / "a.txt").read_text(),
    ]
    for text in shown:
        for secret in (KEY, "abcdef0123456789", mine, quote(mine), "0123456789+", "%30%31%32%33"):
            assert secret not in text, text[max(0, text.index(secret) - 300) :][:600]
    assert error.session.settings.service == {"name": "anywhere", "note": "with [secret]"} | {
        "parameters": {}
    }
    assert len(error.session.messages) == 4


@pytest.mark.parametrize("dialect", vendors())
def test_no_vendors_key_is_kept_of_a_service_that_says_it_back(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dialect: str
) -> None:
    """By the vendor's own variable, in whichever way its dialect introduces itself."""
    clip, path, heard = make_clip(0.3), tmp_path / "a.jsonl", list[str]()
    vendor: Any = vendors()[dialect]
    monkeypatch.setenv(vendor.KEY_VARIABLE, KEY)

    async def service(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        told = " ".join([*(value for _, value in request.headers.raw_items()), request.path])
        heard.append(told)
        for said in (told, json.dumps({"type": "Begin", "id": told}), quote(told)):
            await connection.send(said)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    frame = await connection.recv()
                    await connection.send(frame)
        await connection.close(1011, told[-100:])

    async def run() -> StreamError:
        async with serve(service, "127.0.0.1", 0) as server:
            host = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            there = vendor(host=host, parameters=PARAMETERS)
            assert KEY not in repr(there) + repr(there.describe())
            with pytest.raises(StreamError) as failure:
                await stream(clip, service=there, record=path, begin_timeout=1.0)
            return failure.value

    error = asyncio.run(run())
    assert KEY in heard[0]
    shown = [path.read_text(), told_of(error), repr(error.session), repr(error.session.messages)]
    shown += [rtkit.summarize(error.session)._repr_html_(), repr(error.session.settings)]
    for text in shown:
        assert KEY not in text, text[max(0, text.index(KEY) - 300) :][:600]
    assert error.session.messages
