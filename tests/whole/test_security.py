"""The key goes to the service alone; the embedded service is this machine's, and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import MakeClip, spoken
from nbclient import NotebookClient
from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

import rtkit
from rtkit.loopback.options import Options
from rtkit.loopback.scripts import Scripts
from rtkit.loopback.server import LONGEST_FRAME, serve_loopback
from rtkit.recording import StreamError
from rtkit.reference import Reference
from rtkit.sending.stream import stream
from rtkit.services.assemblyai import client as protocol
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.services.endpoint import Endpoint
from rtkit.session import Session

KEY = "sk-planted-0123456789abcdef"  # what must be found nowhere
PATIENCE = 30.0


@dataclass(frozen=True)
class At:
    """AssemblyAI, at another address; with a token in the address, too."""

    url: str
    service: AssemblyAI

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        given = await self.service.connect_info(rate, reference)
        return Endpoint(f"{self.url}?{given.url.partition('?')[2]}&token={KEY}", given.headers)

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return self.service.describe(reference)


async def talkative(connection: ServerConnection) -> None:
    """A service that says back whatever it was told in confidence."""
    assert connection.request is not None
    told = connection.request.headers["Authorization"]
    begin = {"type": "Begin", "id": told, "expires_at": 1}
    await connection.send(json.dumps(begin))
    await connection.send(json.dumps({"type": "Told", "path": connection.request.path}).encode())
    await connection.recv()
    await connection.send(json.dumps({"type": "Error", "error_code": 3006, "error": told}))
    await connection.close(3006, f"not with {told}")


@contextlib.asynccontextmanager
async def served(
    handler: Callable[[ServerConnection], Any], **how: Any
) -> AsyncIterator[tuple[Server, str]]:
    told = logging.Logger("the service's own", logging.CRITICAL)
    async with serve(handler, "127.0.0.1", 0, logger=told, **how) as server:
        scheme = "wss" if how.get("ssl") else "ws"
        yield server, f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v3/ws"


def everything(error: BaseException) -> str:
    """All that a traceback may show: variables, too, and the causes that are not to be shown."""
    seen: list[str] = []
    left: list[BaseException | None] = [error]
    while left:
        if (one := left.pop()) is None:
            continue
        seen += [repr(one), str(one)]
        seen += traceback.TracebackException.from_exception(one, capture_locals=True).format()
        left += [one.__cause__, one.__context__]
    return "\n".join(seen)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Everything that anybody has logged, at the lowest level."""
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "asyncio", "rtkit"):
        caplog.set_level(logging.DEBUG, logger=name)
    return lambda: "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)


@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.parametrize("isolation", ["loop", "thread", "process"])
def test_the_key_is_in_no_file_log_repr_or_traceback(
    make_clip: MakeClip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    logged: Callable[[], str],
    given: str,
    isolation: str,
) -> None:
    path = tmp_path / "runs" / "a.jsonl"
    monkeypatch.delenv(protocol.KEY_VARIABLE, raising=False)
    service = AssemblyAI(
        key=KEY if given == "argument" else None,
        parameters={"webhook_auth_header_value": KEY, "token": KEY},
    )
    if given == "environment":
        monkeypatch.setenv(protocol.KEY_VARIABLE, KEY)
    clip = make_clip(0.3)
    heard: list[str] = []

    async def listening(connection: ServerConnection) -> None:
        assert connection.request is not None
        heard.append(connection.request.headers["Authorization"])
        await talkative(connection)

    async def run() -> tuple[StreamError, Endpoint]:
        async with served(listening) as (_, url):
            at = At(url, service)
            with pytest.raises(StreamError) as failure:
                await stream(clip, service=at, isolation=isolation, record=path)
            return failure.value, await at.connect_info(8000, None)

    error, endpoint = asyncio.run(run(), debug=True)
    assert heard == [KEY]  # it was told
    session = error.session
    assert "[secret]" in str(error)  # and it was said back
    assert len(session.messages) == 3
    shown = [
        path.read_text(),
        logged(),
        *capfd.readouterr(),
        *map(repr, (service, endpoint, session, session.settings, session.messages, error)),
        *map(str, (service, endpoint, session, error)),
        rtkit.summarize(session)._repr_html_(),
        everything(error),
    ]
    for text in shown:
        assert KEY not in text
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert path in files
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda c, r: c.respond(HTTPStatus.FORBIDDEN, str(r.headers)), id="403"),
        pytest.param(None, id="not there"),
    ],
)
def test_the_key_is_in_no_refusal(
    make_clip: MakeClip, logged: Callable[[], str], answer: Any
) -> None:
    clip, service = make_clip(0.3), AssemblyAI(key=KEY)

    async def run() -> StreamError:
        async with served(talkative, process_request=answer) as (server, url):
            if answer is None:
                server.close()
                await server.wait_closed()
            with pytest.raises(StreamError) as failure:
                await stream(clip, service=At(url, service), begin_timeout=2.0)
            return failure.value

    error = asyncio.run(run())
    for text in (everything(error), logged(), repr(error.session)):
        assert KEY not in text


@pytest.mark.parametrize("key", [f"Bearer {KEY}", f"{KEY}\n{KEY}", f"{KEY}é"])
def test_a_key_that_is_none_is_not_shown_either(make_clip: MakeClip, key: str) -> None:
    with pytest.raises(ValueError, match="API key contains") as failure:
        asyncio.run(stream(make_clip(0.3), service=AssemblyAI(key=key)))
    shown = traceback.TracebackException.from_exception(failure.value, capture_locals=True)
    package = Path(rtkit.__file__).parent
    rtkits = [frame for frame in shown.stack if Path(frame.filename).is_relative_to(package)]
    assert rtkits
    for frame in rtkits:
        assert KEY not in str(frame.locals)


def test_the_key_is_in_no_output_of_a_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The panel with a key pasted in, the service shown, and an error with all variables."""
    monkeypatch.setenv(protocol.KEY_VARIABLE, KEY)
    clip = Path(__file__).parents[2] / "data" / "library_call.wav"
    cells = [
        f"import rtkit\nclip = rtkit.open_clip({str(clip)!r}, seconds=0.3)",
        "panel = rtkit.panel()\npanel",
        "service = rtkit.AssemblyAI(host='127.0.0.1:9')\nservice",
        "%xmode Verbose",
        "await rtkit.stream(clip, service=service, begin_timeout=0.2)",
    ]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    client = NotebookClient(
        notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    text = nbformat.writes(notebook)
    assert "StreamError" in text
    assert "cannot be reached" in text
    assert "AssemblyAI(" in text
    assert KEY not in text
    assert KEY not in json.dumps(client.widget_state, default=str)


# TLS, and what goes in the clear.


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("ws://127.0.0.1:1/v3/ws", True),
        ("ws://localhost:1/", True),
        ("ws://[::1]:1/", True),
        ("ws://127.0.0.1.example.com/", False),
        ("ws://127.example.com/", False),
        ("ws://10.0.0.1:8080/", False),
        ("ws://localhost.example.com/", False),
        ("ws://127.0.0.1@example.com/", False),
    ],
)
def test_a_key_goes_in_the_clear_to_this_machine_only(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, url: str, local: bool
) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise AssertionError("it was connected to")

    assert Endpoint(url, {"Authorization": KEY}).private is local
    assert Endpoint(f"{url}?token={KEY}", {}).private is local
    assert Endpoint(url, {}).private
    assert Endpoint(url.replace("ws:", "wss:"), {"Authorization": KEY}).private
    if not local:
        monkeypatch.setattr("websockets.asyncio.client.connect", nobody)
        with pytest.raises(StreamError, match=r"unencrypted.*use wss://") as failure:
            asyncio.run(stream(make_clip(0.3), service=At(url, AssemblyAI(key=KEY))))
        assert KEY not in str(failure.value)


def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_key_is_told(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = {"-keyout": tmp_path / "key.pem", "-out": tmp_path / "certificate.pem"}
    made += [str(part) for pair in files.items() for part in pair]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["-out"], files["-keyout"])
    heard: list[ServerConnection] = []
    clip, service = make_clip(0.3), AssemblyAI(key=KEY)

    async def run(**how: Any) -> str:
        async def listening(connection: ServerConnection) -> None:
            heard.append(connection)
            await talkative(connection)

        async with served(listening, ssl=context) as (_, url):
            with pytest.raises(StreamError) as failure:
                await stream(clip, service=At(url, service))
            return str(failure.value)

    told = asyncio.run(run())
    assert "127.0.0.1 could not prove its identity" in told
    assert "SSL_CERT_FILE" in told
    assert heard == []
    with pytest.MonkeyPatch.context() as patch:  # the fix that it names
        patch.setenv("SSL_CERT_FILE", str(files["-out"]))
        assert "rejected a parameter" in asyncio.run(run())
    assert len(heard) == 1


def test_nothing_in_rtkit_switches_the_verification_off() -> None:
    off = re.compile(
        r"CERT_NONE|check_hostname|_create_unverified|verify_mode|ssl\s*=\s*(?!=|(self\._)?tls\b)"
    )
    for path in Path(rtkit.__file__).parent.rglob("*.py"):
        assert not off.search(path.read_text(encoding="utf-8")), path


# The embedded service.


@contextlib.asynccontextmanager
async def embedded(**how: Any) -> AsyncIterator[tuple[Server, str]]:
    scripts = how.pop("scripts", None) or Scripts(spoken(("Hello.", 0.0, 0.1)))
    async with serve_loopback(0, Options(delay=0.0, **how), scripts=scripts) as server:
        yield server, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def opened(url: str, **how: Any) -> connect:
    return connect(url, additional_headers={"Authorization": "any"}, proxy=None, **how)


def test_no_path_from_a_client_reaches_the_file_system() -> None:
    touched: list[str] = []
    watching = threading.Event()

    def audit(event: str, arguments: tuple[Any, ...]) -> None:  # hooks stay: this one falls silent
        if watching.is_set() and event in ("open", "os.listdir", "os.scandir", "os.remove"):
            touched.append(str(arguments[0]))

    sys.addaudithook(audit)
    paths = ("/etc/passwd", "../../data/library_call.json", "file:///etc/passwd", "%2e%2e%2f")

    async def run() -> list[str]:
        said = []
        async with embedded() as (_, url):
            for path in paths:
                async with opened(f"{url}/v3/ws?sample_rate=8000&script={path}&token={path}") as c:
                    watching.set()
                    await c.send(bytes(1600))
                    await c.send(json.dumps({"type": "UpdateConfiguration", "script": path}))
                    await c.send(protocol.TERMINATE)
                    said += [str(message) async for message in c]
                    watching.clear()
                with pytest.raises(InvalidStatus):
                    async with opened(f"{url}/v3/ws/../../../../{path}"):
                        pass
        return said

    said = asyncio.run(run())
    assert touched == []
    assert not any("root:" in message for message in said)
    assert sum("Hello" in m or "hello" in m for m in said) >= len(paths)  # the default script


def test_a_page_from_elsewhere_cannot_use_the_service() -> None:
    async def run() -> None:
        async with embedded() as (_, url):
            with pytest.raises(InvalidStatus) as refused:
                async with opened(f"{url}/v3/ws", origin="https://example.com"):
                    pass
            assert refused.value.response.status_code == HTTPStatus.FORBIDDEN

    asyncio.run(run())


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1.example.com:{port}", "http://localhost:1", "http://localhost", "null",
     "file://", "http://[::1", "http://127.0.0.1:{port}@example.com", "http://localhost:x"],
)  # fmt: skip
def test_nor_can_one_that_only_looks_like_it_comes_from_here(origin: str) -> None:
    async def run() -> None:
        async with embedded() as (_, url):
            port = url.rpartition(":")[2].partition("/")[0]
            with pytest.raises(InvalidStatus) as refused:
                async with opened(f"{url}/v3/ws", origin=origin.format(port=port)):
                    pass
            assert refused.value.response.status_code == HTTPStatus.FORBIDDEN

    asyncio.run(run())


@pytest.mark.parametrize("frame", [bytes(LONGEST_FRAME + 1), "x" * (LONGEST_FRAME + 1)])
def test_a_message_that_is_too_large_ends_its_session_only(frame: bytes | str) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            embedded() as (_, url),
            opened(url) as other,
            opened(url) as connection,
        ):
            await connection.send(frame)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await connection.recv()
            assert connection.close_code == 1009
            await other.send(protocol.TERMINATE)
            last = [str(message) async for message in other][-1]
            assert json.loads(last)["type"] == "Termination"

    asyncio.run(run())


def test_sessions_are_bounded_in_number() -> None:
    async def run() -> None:
        async with embedded(max_connections=2) as (_, url), asyncio.timeout(PATIENCE):
            async with opened(url) as one, opened(url) as two:
                await one.recv(), await two.recv()
                with pytest.raises(InvalidStatus) as refused:
                    async with opened(url):
                        pass
                assert refused.value.response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
                assert b"2 sessions are open" in refused.value.response.body
            for _ in range(100):  # until it knows that they have left
                with contextlib.suppress(InvalidStatus):
                    async with opened(url) as three:
                        assert "Begin" in str(await three.recv())
                        return
                await asyncio.sleep(0.05)
            raise AssertionError("those that have left still count")

    asyncio.run(run())


def test_scripts_that_nobody_comes_for_are_bounded_in_number() -> None:
    scripts = Scripts()
    for number in range(3 * Scripts.KEPT):
        scripts.add(str(number), spoken(("Hello.", 0.0, 0.1)))
    assert len(scripts._waiting) == Scripts.KEPT


def test_a_recorded_session_can_be_given_away(make_clip: MakeClip, tmp_path: Path) -> None:
    """Of a recording its name only, no folder; of the host no name and no user."""
    path = tmp_path / "a.jsonl"
    with pytest.raises(StreamError):
        asyncio.run(
            stream(make_clip(0.3), service=At("ws://10.0.0.1/", AssemblyAI(KEY)), record=path)
        )
    text = path.read_text()
    assert str(tmp_path) not in text
    assert isinstance(rtkit.load_session(path), Session)
