"""Arbitrary frames at both ends: neither crashes, hangs, or grows without bound."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import odd_files
import pytest
from conftest import simulate, spoken
from doubles import talk
from facts import CALL
from hypothesis import given, settings
from hypothesis import strategies as some
from scripted import BEGIN, NORMAL, Scripted
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

import rtkit
from rtkit.analysis.checks.validity import validity
from rtkit.analysis.timing.latency import turn_latency, word_latency
from rtkit.audio import open_clip
from rtkit.clock.alarm import sleep_until
from rtkit.loopback.conversation import Behavior, Conversation, Say
from rtkit.loopback.engines import Script
from rtkit.loopback.options import Options
from rtkit.loopback.scripts import Scripts
from rtkit.loopback.server import serve_loopback
from rtkit.recording import StreamError, load_session
from rtkit.sending.listen import LAST_WORDS
from rtkit.sending.stream import stream
from rtkit.services.assemblyai import client as protocol
from rtkit.services.assemblyai.server import Server
from rtkit.services.endpoint import Closed, Endpoint
from rtkit.services.explain import explain
from rtkit.services.messages import Close, Other, Turn
from rtkit.services.service import dialect_named, part_of
from rtkit.session import Session

settings.register_profile("rtkit", derandomize=True, database=None, deadline=None)
settings.load_profile("rtkit")

PATIENCE = 30.0
HELLO = spoken(("Hello", 0.1, 0.3), ("there.", 0.35, 0.6))
CLIP = open_clip(CALL, seconds=0.6)
CODES = (1000, 1001, 1008, 1011, 3005, 3006, 3007, 3008, 3009, 4999)

anything = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=12),
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def messages(types: Sequence[str], fields: Sequence[str]) -> some.SearchStrategy[str]:
    """Messages of known types whose fields may be missing, and hold anything."""
    return some.builds(
        lambda kind, values: json.dumps({"type": kind, **values}),
        some.sampled_from(types) | anything,
        some.dictionaries(some.sampled_from(fields), anything, max_size=5),
    )


# The service's end.

ASKED = ("sample_rate", "encoding", "speech_model", "format_turns", "max_turn_silence", "script")
told = messages(
    ["Terminate", "ForceEndpoint", "UpdateConfiguration", "KeepAlive"],
    [*ASKED[1:], "min_turn_silence", "end_of_turn_confidence_threshold", "keyterms_prompt"],
)
audio = some.integers(0, 4000).map(lambda samples: bytes(2 * samples))
frames = some.one_of(some.binary(max_size=4000), some.text(max_size=200), audio, told)
queries = some.dictionaries(some.sampled_from(ASKED), some.text(max_size=12), max_size=4)
steps = some.lists(some.tuples(some.floats(0, 2), frames), max_size=40)


def conversation(query: dict[str, str], backlog: float) -> Conversation:
    return Conversation(
        Server(query),
        engine=lambda rate: Script(HELLO, rate),
        behavior=Behavior(delay=0.1, backlog=backlog),
        now=0.0,
        session_id="x",
        expires_at=1,
    )


@settings(max_examples=200)
@given(queries, steps, some.floats(0.5, 10))
def test_the_service_answers_any_frames_and_comes_to_an_end(
    query: dict[str, str], steps: list[tuple[float, bytes | str]], backlog: float
) -> None:
    """Every message is of a known form, the close is the last, and it never speaks before now."""
    service, now = conversation({"sample_rate": "8000", **query}, backlog), 0.0
    said: list[Say | Close] = service.take(now)
    for pause, frame in steps:
        now += pause
        service.receive(frame, now)
        said += service.take(now)
    service.receive(protocol.TERMINATE, now)
    for _ in range(10_000):
        if (coming := service.next) is None:
            break
        assert coming <= now + 100  # what it hears waits for a bounded time
        now = max(now, coming)
        said += service.take(now)
    assert service.next is None
    assert isinstance(said[-1], Close)
    assert 1000 <= said[-1].code < 5000
    assert len(said[-1].reason.encode()) <= 123
    assert not any(isinstance(message, Close) for message in said[:-1])
    for message in said[:-1]:
        assert isinstance(message, Say)
        for reply in protocol.DIALECT.reader(16000).read(message.text):
            assert not (isinstance(reply, Other) and reply.fault), message.text
    assert len(said) <= 2 * len(steps) + 20  # what it says is bounded by what it was told


# The other dialects: what their clients and services say, with anything in the place of anything.

DIALECTS = [
    *("assemblyai", "deepgram", "deepgram.flux", "openai", "openai.vllm"),
    *("soniox", "speechmatics"),
]
CONTROLS = (
    *('{"type": "Configure", "thresholds": {"eot_threshold": 0.6}}', '{"type": "finalize"}'),
    '{"message": "SetRecognitionConfig", "transcription_config": {"max_delay": 1.0}}',
    '{"type": "session.update", "session": {"type": "transcription"}}',
)


@some.composite
def altered(draw: some.DrawFn, known: Sequence[str]) -> str:
    """One of the known frames, mostly with anything in the place of a part of it."""
    frame = draw(some.sampled_from(known))
    for _ in range(draw(some.integers(0, 2))):
        frame = json.dumps(with_anything(draw, json.loads(frame or "null")))
    return frame


def with_anything(draw: some.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(some.booleans()):
        name = draw(some.sampled_from(sorted(value)))
        return {**value, name: with_anything(draw, value[name])}
    if isinstance(value, list) and value and draw(some.booleans()):
        return [*value[:-1], with_anything(draw, value[-1])]
    return draw(anything)


@cache
def known_frames(dialect: str) -> tuple[Endpoint, list[str], list[str]]:
    """How its clients begin, what else they say, and what its service says."""
    spoken_to = dialect_named(dialect)
    said = simulate(talk(open_clip(CALL, seconds=6), dialect)).messages
    endpoint = spoken_to.endpoint("ws://127.0.0.1", "any", 8000, {})
    ends = [step.frame for step in spoken_to.shutdown(3)] + [spoken_to.audio(bytes(200))]
    told = [*endpoint.reveal()[2], *CONTROLS, *(one for one in ends if isinstance(one, str))]
    return endpoint, told, [message.text for message in said]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_both_ends_of_every_dialect_bear_anything(dialect: str) -> None:
    endpoint, told, said = known_frames(dialect)
    url = urlsplit(endpoint.url)
    query = dict(parse_qsl(url.query))
    frame = some.one_of(some.binary(max_size=100), some.text(max_size=30), altered(told))

    @settings(max_examples=100)
    @given(some.booleans(), some.lists(frame, max_size=8), some.lists(altered(said), max_size=8))
    def bear(begins: bool, sent: list[bytes | str], heard: list[str]) -> None:
        service = Conversation(
            part_of(dialect, "server").Server(query, url.path),
            engine=lambda rate: Script(HELLO, rate),
            behavior=Behavior(delay=0.1),
            now=0.0,
            session_id="x",
            expires_at=1,
        )
        reader = dialect_named(dialect).reader(8000)
        for now, one in enumerate([*(endpoint.reveal()[2] if begins else ()), *sent]):
            service.receive(one, float(now))
            for message in service.take(now + 0.5):
                if isinstance(message, Close):
                    assert message.code in range(1000, 5000)
                    assert len(message.reason.encode()) <= 123
                else:
                    assert not [r for r in reader.read(message.text) if getattr(r, "fault", None)]
        reader = dialect_named(dialect).reader(8000)
        for text in heard:
            assert isinstance(reader.read(text), tuple)

    bear()


def test_a_chatterbox_does_not_make_a_conversation_grow() -> None:
    """A megabyte of ever new names in parameters, and none of it is kept."""
    service = conversation({"sample_rate": "8000"}, 10.0)
    service.take(0.0)
    for number in range(2000):
        changes = {"type": "UpdateConfiguration", f"name{number}": "x" * 500}
        service.receive(json.dumps(changes), number * 0.01)
        service.take(number * 0.01)
    assert deep_size(service) < 200_000


def deep_size(thing: object) -> int:
    """Bytes of an object and of all that it holds."""
    seen: set[int] = set()
    left, size = [thing], 0
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        size += sys.getsizeof(one)
        if isinstance(one, dict):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            left += one
        left += [*vars(one).values()] if hasattr(one, "__dict__") else []
        left += [getattr(one, name, None) for name in getattr(type(one), "__slots__", ())]
    return size


async def spoken_to(url: str, sent: Sequence[bytes | str]) -> int | None:
    """With what code a session ends to which this is sent; None where it was refused."""
    connection: ClientConnection | None = None
    try:
        connection = await connect(url, additional_headers={"Authorization": "any"}, proxy=None)
        for frame in sent:
            await connection.send(frame)
        await connection.send(protocol.TERMINATE)
        while True:
            json.loads(await connection.recv())
    except ConnectionClosed:
        assert connection is not None
        return connection.close_code
    except WebSocketException:
        return None


def test_the_server_survives_any_frames_and_any_bytes() -> None:
    """Over real sockets, in one server: each session ends by a code, and the next one is well."""
    logged: list[Any] = []

    @settings(max_examples=60)
    @given(some.lists(frames, max_size=8), queries, some.binary(max_size=300))
    def throw(sent: list[bytes | str], query: dict[str, str], raw: bytes) -> None:
        asyncio.run(once(sent, query, raw))

    async def once(sent: list[bytes | str], query: dict[str, str], raw: bytes) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: logged.append(fault))
        async with serve_loopback(0, Options(delay=0.0), scripts=Scripts(HELLO)) as server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(PATIENCE):
                url = protocol.endpoint(f"ws://127.0.0.1:{port}", "any", 8000, query).url
                code = await spoken_to(url, sent)
                assert code in (1000, 1007, 1008, 3006, 3007), code
                for opening in (b"", handshake(port)):
                    await asyncio.to_thread(thrown, port, opening + raw)
                well = protocol.endpoint(f"ws://127.0.0.1:{port}", "any", 8000, {}).url
                assert await spoken_to(well, [bytes(1600)]) == 1000

    throw()
    assert logged == []


def handshake(port: int) -> bytes:
    lines = [
        "GET /v3/ws HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        "Authorization: any",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def thrown(port: int, data: bytes) -> None:
    line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    with line, contextlib.suppress(ConnectionError):
        line.sendall(data)
        line.shutdown(socket.SHUT_WR)
        while line.recv(4096):
            pass


# The client's end.

TURN_FIELDS = ("turn_order", "transcript", "words", "end_of_turn", "turn_is_formatted", "loopback")
answers = some.one_of(
    messages(
        ["Begin", "Turn", "Termination", "Error", "Warning", "Heartbeat"],
        [*TURN_FIELDS, "id", "expires_at", "configuration", "error", "error_code"],
    ),
    some.text(max_size=100),
    some.binary(max_size=100),
    some.builds(Closed, some.sampled_from(CODES) | some.none(), some.text(max_size=20)),
    some.just(BEGIN),
)
timelines = some.lists(some.tuples(some.floats(0, 0.2), answers), max_size=12)


@settings(max_examples=200)
@given(timelines, some.booleans())
def test_the_client_bears_any_answers_and_comes_to_an_end(
    timeline: list[tuple[float, str | bytes | Closed]], begins: bool
) -> None:
    """It is complete or fails with one sentence, in time; its facts can be saved and read again."""

    async def run() -> tuple[Session, str | None, float]:
        now, said = 0.0, [(0.0, BEGIN)] if begins else []
        for pause, answer in timeline:
            now += pause
            said.append((now, answer))  # type: ignore[arg-type]
        service = Scripted(list(said), NORMAL)
        try:
            session = await stream(CLIP, connection=service, begin_timeout=5.0)
        except StreamError as failure:
            return failure.session, str(failure), asyncio.get_running_loop().time()
        return session, None, asyncio.get_running_loop().time()

    session, told, ended = simulate(run())
    assert ended <= 5.0 + 0.6 + 10.0 + LAST_WORDS + 3.0
    assert session.complete is (told is None)
    assert session.ending is not None
    assert session.ending.how in ("complete", "failed")
    assert told is None or (len(told) > 20 and not told.startswith("Traceback"))
    assert len(session.messages) <= len(timeline) + 2
    # What is made of the facts bears them, too.
    validity(session)
    for measured in (word_latency(session), turn_latency(session)):
        assert all(map(math.isfinite, measured.latency))


def test_whatever_was_recorded_is_read_again(tmp_path: Path) -> None:
    @settings(max_examples=50)
    @given(timelines)
    def again(timeline: list[tuple[float, str | bytes | Closed]]) -> None:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"  # none replaces another

        async def run() -> Session:
            said = [(0.0, BEGIN), *((0.05 * i, told) for i, (_, told) in enumerate(timeline))]
            try:
                return await stream(CLIP, connection=Scripted(said, NORMAL), record=path)
            except StreamError as failure:
                return failure.session

        session = simulate(run())
        assert load_session(path) == session

    again()


@settings(max_examples=500)
@given(some.text() | some.binary() | anything.map(json.dumps) | answers)
def test_no_message_is_beyond_reading(message: Any) -> None:
    if not isinstance(message, Closed):
        assert protocol.DIALECT.reader(16000).read(message)


@settings(max_examples=200)
@given(some.integers() | some.none(), some.text(max_size=50))
def test_every_ending_has_a_cause_and_a_cure(code: int | None, text: str) -> None:
    closure = explain(code, text)
    assert closure.cause.endswith(".")
    assert closure.fix.endswith(".")


def test_a_flood_of_messages_ends_with_the_session() -> None:
    """A service that talks without end neither delays the sender nor keeps the session open."""

    class Flood(Scripted):
        async def recv(self) -> str | bytes:
            if self._terminated.is_set():
                return await super().recv()
            await sleep_until(asyncio.get_running_loop().time() + 0.0005)
            return BEGIN

    async def run() -> Session:
        return await stream(CLIP, connection=Flood([], NORMAL))

    session = simulate(run())
    assert session.complete
    assert session.lateness.tolist() == pytest.approx([0.0] * 6, abs=1e-6)
    assert 1000 < len(session.messages) < 1300


def test_what_is_kept_of_a_flood_is_bounded_and_said() -> None:
    """Large messages or many small ones: the session ends, and its file says so, too."""
    words = [{"text": "a", "start": 1, "end": 2}] * 25_000  # more in memory than on the wire
    turn = {"type": "Turn", "turn_order": 0, "transcript": "\U0001f600" * 100_000, "words": words}

    async def run(said: str, seconds: float) -> tuple[StreamError, float]:
        class Flood(Scripted):
            async def recv(self) -> str | bytes:
                await sleep_until(asyncio.get_running_loop().time() + seconds)
                return said

        service = Flood([], NORMAL)
        with pytest.raises(StreamError) as failure:
            await stream(CLIP, connection=service)
        assert service.closed
        return failure.value, asyncio.get_running_loop().time()

    large = json.dumps({**turn, "end_of_turn": False}, ensure_ascii=False)
    for said, kept, seconds in (
        (BEGIN.ljust(1 << 20), 1 << 26, 0.001),
        (BEGIN.ljust(100), 1 << 21, 1e-5),
        (large, 1 << 24, 0.001),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rtkit.sending.listen.KEPT", kept)
            error, ended = simulate(run(said, seconds))
        assert "sent more than rtkit accepts" in str(error)
        assert rtkit.explain(error).name == "flood"
        told = error.session.messages
        texts = sum(sys.getsizeof(message.text) + 1000 for message in told)
        heard = sum(len(one.words) for _, one in error.session.replies if isinstance(one, Turn))
        assert texts + 100 * heard <= kept + 100_000
        assert ended < 0.6


def test_whatever_loads_can_be_used(tmp_path: Path) -> None:
    """A value in a session's file is odd: it is refused with a sentence, or everything bears it."""
    lines = odd_files.example()
    asked = odd_files.cheap(tmp_path)
    path = tmp_path / "odd.jsonl"

    @settings(max_examples=100)
    @given(
        some.sampled_from(odd_files.places(lines)),
        some.sampled_from(odd_files.ODD),
        some.sampled_from(sorted(asked)),
    )
    def use(place: odd_files.Place, value: Any, what: str) -> None:
        path.write_text(odd_files.changed(lines, place, value))
        try:
            session = load_session(path)
        except ValueError as error:
            told = str(error)
        else:
            told = "odd.jsonl"
            assert odd_files.fault(asked[what], session) is None
        assert "odd.jsonl" in told
        assert len(told) < 500 + len(str(path))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        use()


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"a":' * 50_000, "1" * 5000, '{"kind": "message", "at": 1e999}', "\0"]
)
def test_one_damaged_file_loses_no_folder(tmp_path: Path, line: str) -> None:
    lines = odd_files.example()
    (tmp_path / "good.jsonl").write_text("\n".join(lines))
    (tmp_path / "first.jsonl").write_text("\n".join([line, *lines[1:]]))
    (tmp_path / "second.jsonl").write_text("\n".join([lines[0], line, *lines[1:]]))
    with pytest.warns(UserWarning, match="was left out") as warned:
        assert list(load_session(tmp_path)) == ["good"]
    assert len(warned) == 2
