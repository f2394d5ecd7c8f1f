"""The sender in a thread or a process of its own: the same facts, however busy the caller."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip
from facts import CALL
from remains import children, command_line, linux, nothing_remains, senders, soon

from rtkit.analysis.timing.latency import word_latency
from rtkit.audio import Clip, open_clip, silence
from rtkit.loopback.engines import Energy
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.loopback.process import Loopback
from rtkit.recording import StreamError, load_session
from rtkit.reference import Reference
from rtkit.sending import process as isolation_room
from rtkit.sending import thread as thread_module
from rtkit.sending.stream import stream
from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import Termination
from rtkit.session import Chunk, Ending, Fact, Session

AWAY = ("thread", "process")
away = pytest.mark.parametrize("isolation", AWAY)


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    """One embedded service for all, which runs already."""
    service = Loopback(delay=0.05)
    asyncio.run(service.connect_info(16000))
    yield service
    service.close()


@pytest.fixture(autouse=True)
def clean(service: Loopback) -> Iterator[None]:
    with nothing_remains():
        yield


def clip(seconds: float = 2.0) -> Clip:
    return open_clip(CALL, seconds=seconds)


# The same.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, service: Loopback) -> dict[str, Any]:
    """The same session under each isolation, all at once; by isolation, with its file."""
    folder = tmp_path_factory.mktemp("recorded")

    async def one(isolation: str) -> tuple[Session, Path]:
        path = folder / f"{isolation}.jsonl"
        return await stream(clip(), service=service, isolation=isolation, record=path), path

    async def all_of_them() -> dict[str, Any]:
        names = ("loop", *AWAY)
        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))

    with nothing_remains():
        return asyncio.run(all_of_them())


@away
def test_the_facts_are_the_same(recorded: dict[str, Any], isolation: str) -> None:
    (here, _), (there, _) = recorded["loop"], recorded[isolation]
    assert there.complete
    assert there.settings.isolation == isolation
    assert replace(there.settings, isolation="loop") == here.settings
    assert there.reference == here.reference
    assert there.host == here.host
    assert [(c.start, c.stop, c.due, c.bytes, c.padding) for c in there.chunks] == [
        (c.start, c.stop, c.due, c.bytes, c.padding) for c in here.chunks
    ]
    assert there.transcript == here.transcript == "good morning this is the"
    assert [type(reply) for _, reply in there.replies] == [type(reply) for _, reply in here.replies]
    assert [event.name for event in there.events] == [event.name for event in here.events]
    assert len(word_latency(there)) == len(word_latency(here)) == 5


@pytest.mark.parametrize("isolation", ["loop", *AWAY])
def test_the_file_is_the_session(recorded: dict[str, Any], isolation: str) -> None:
    session, path = recorded[isolation]
    assert load_session(path) == session


@pytest.mark.parametrize("isolation", ["loop", *AWAY])
def test_every_fact_is_watched_in_the_callers_loop(service: Loopback, isolation: str) -> None:
    seen: list[Fact] = []
    where: set[object] = set()

    def on_event(fact: Fact) -> None:
        seen.append(fact)
        where.add((threading.get_ident(), asyncio.get_running_loop()))

    async def session() -> Session:
        found = await stream(clip(0.5), service=service, isolation=isolation, on_event=on_event)
        assert where == {(threading.get_ident(), asyncio.get_running_loop())}
        return found

    found = asyncio.run(session())
    assert [fact for fact in seen if isinstance(fact, Chunk)] == list(found.chunks)
    assert {fact for fact in seen if not isinstance(fact, Chunk)} == {
        *found.messages,
        *found.events,
        *found.stalls,
        found.ending,
    }
    assert isinstance(seen[-1], Ending)


# A busy caller.


def test_a_busy_caller_makes_a_sender_in_its_loop_late_and_no_other(service: Loopback) -> None:
    async def latest(isolation: str) -> float:
        looks = [time.monotonic()]

        async def look() -> None:
            while True:
                await asyncio.sleep(0.02)
                looks.append(time.monotonic())

        looking = asyncio.create_task(look())
        session = await stream(
            clip(1.5), service=service, isolation=isolation, blocks=[(0.5, 0.7)], chunk=0.05
        )
        looking.cancel()
        assert max(np.diff(looks)) >= 0.7  # the caller was busy indeed
        assert session.settings.blocks == ((0.5, 0.7),)
        return float(session.lateness.max())

    late = {isolation: asyncio.run(latest(isolation)) for isolation in ("loop", *AWAY)}
    assert late["loop"] > 0.3
    assert late["thread"] < late["loop"] / 2
    assert late["process"] < late["loop"] / 2


# How it ends.


@away
def test_cancelling_says_terminate_and_leaves_a_file(
    service: Loopback, tmp_path: Path, isolation: str
) -> None:
    path = tmp_path / "stopped.jsonl"

    async def stopped() -> None:
        sending = asyncio.Event()

        def on_event(fact: Fact) -> None:
            if isinstance(fact, Chunk):
                sending.set()

        task = asyncio.create_task(
            stream(clip(), service=service, isolation=isolation, record=path, on_event=on_event)
        )
        async with asyncio.timeout(30):
            await sending.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert senders() == []
        session = load_session(path)  # it is whole by now
        assert session.ending is not None
        assert session.ending.how == "stopped"
        assert session.terminated is not None
        assert isinstance(session.replies[-1][1], Termination)
        assert 0 < len(session.chunks) < 20

    asyncio.run(stopped())


@away
@pytest.mark.parametrize("turns", [0, 1, 3, 10])
def test_cancelling_before_it_has_begun_leaves_nothing(
    service: Loopback, isolation: str, turns: int
) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(stream(clip(), service=service, isolation=isolation))
        for _ in range(turns):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert senders() == []

    asyncio.run(cancelled())


@away
def test_a_session_that_fails_brings_its_facts(isolation: str) -> None:
    async def failing() -> Session:
        async with Loopback(max_speed=0.1, backlog=0.3) as slow:
            with pytest.raises(StreamError, match=r"code 3\d\d\d") as caught:
                await stream(clip(), service=slow, isolation=isolation)
        return caught.value.session

    session = asyncio.run(failing())
    assert session.ending is not None
    assert session.ending.how == "failed"
    assert session.settings.isolation == isolation
    assert 0 < len(session.chunks) < 20


@dataclass(frozen=True)
class Nowhere:
    """A service at a port where nobody listens."""

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        return Endpoint("ws://127.0.0.1:9/v3/ws", {"Authorization": "none"})

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {"name": "nowhere"}


@away
def test_a_service_that_is_not_there_is_told(isolation: str) -> None:
    with pytest.raises(StreamError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        asyncio.run(stream(clip(), service=Nowhere(), isolation=isolation))
    assert caught.value.session.chunks == ()
    assert {event.name for event in caught.value.session.events} == {"connecting"}


@linux
@pytest.mark.parametrize("facts", [0, 15])
def test_a_child_that_is_killed_is_told(service: Loopback, tmp_path: Path, facts: int) -> None:
    """Before anything is written to the file, or after."""
    path = tmp_path / "killed.jsonl"
    chunks = 0

    def on_event(fact: Fact) -> None:
        nonlocal chunks
        chunks += isinstance(fact, Chunk)
        if chunks >= facts:
            for sender in senders():
                os.kill(sender, signal.SIGKILL)

    with pytest.raises(RuntimeError, match=r"ended unexpectedly \(exit code -9\)") as caught:
        asyncio.run(
            stream(clip(), service=service, isolation="process", record=path, on_event=on_event)
        )
    if facts:
        assert isinstance(caught.value, StreamError)
        session = caught.value.session
        assert session.ending is None
        assert 0 < len(session.chunks) < 20


@pytest.mark.parametrize("dead", [False, True], ids=["reads nothing", "dead already"])
def test_a_child_that_cannot_start_is_told_and_an_older_file_is_not_taken_for_its_own(
    service: Loopback,
    recorded: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dead: bool,
) -> None:
    def fails() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "raise SystemExit(3)"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if dead:
            child.wait()
        return child

    monkeypatch.setattr(isolation_room, "_start_child", fails)
    path = recorded["loop"][0].save(tmp_path / "older.jsonl")
    with pytest.raises(RuntimeError, match=r"ended unexpectedly \(exit code 3\)") as caught:
        asyncio.run(stream(clip(), service=service, isolation="process", record=path))
    assert not isinstance(caught.value, StreamError)


# What cannot be, and what must not.


def test_work_as_a_function_runs_in_the_thread_with_each_chunks_bytes(service: Loopback) -> None:
    worked: list[bytes] = []
    where: set[int] = set()

    async def work(payload: bytes) -> None:
        await asyncio.sleep(0)
        worked.append(payload)
        where.add(threading.get_ident())

    found = asyncio.run(stream(clip(0.5), service=service, isolation="thread", work=work))
    assert [len(payload) for payload in worked] == [chunk.bytes for chunk in found.chunks]
    assert found.settings.work == "work"
    assert len(where) == 1
    assert threading.get_ident() not in where


def test_an_error_in_the_work_reaches_the_caller_from_the_thread(service: Loopback) -> None:
    def work(_: bytes) -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        asyncio.run(stream(clip(0.5), service=service, isolation="thread", work=work))


async def in_memory(isolation: str) -> Session:
    connection = InMemoryConnection(Energy, rate=16000)
    return await stream(clip(0.5), isolation=isolation, connection=connection)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"isolation": "fiber"}, "unknown isolation 'fiber'; one of 'loop', 'thread', 'process'"),
        ({"isolation": "process", "work": print}, "isolation='process' takes work in seconds"),
        ({"isolation": "process", "clip": silence(1.0)}, "there is no file 'silence'"),
    ],
)
def test_what_cannot_be_is_loud_before_anything_starts(
    service: Loopback, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        asyncio.run(stream(**{"clip": clip(0.5), "service": service, **options}))
    assert senders() == []


@away
def test_a_connection_that_is_open_already_cannot_go_elsewhere(isolation: str) -> None:
    with pytest.raises(ValueError, match=f"isolation='{isolation}' opens its own connection"):
        asyncio.run(in_memory(isolation))


KEY = "a-key-that-nobody-else-may-see"


@dataclass(frozen=True)
class Keyed:
    """The embedded service, asked with a key."""

    service: Loopback

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        endpoint = await self.service.connect_info(rate, reference)
        return Endpoint(endpoint.url, {"Authorization": KEY})

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return self.service.describe(reference)


@linux
def test_the_key_is_on_no_command_line_in_no_environment_and_in_no_file(
    service: Loopback, tmp_path: Path
) -> None:
    seen: list[str] = []

    def on_event(_: Fact) -> None:
        for sender in senders():
            environment = Path(f"/proc/{sender}/environ").read_bytes()
            seen.append(command_line(sender) + environment.decode(errors="replace"))

    path = tmp_path / "keyed.jsonl"
    asyncio.run(
        stream(
            clip(0.3), service=Keyed(service), isolation="process", record=path, on_event=on_event
        )
    )
    assert seen
    assert all("rtkit.sending.process" in text and KEY not in text for text in seen)
    assert KEY not in path.read_text(encoding="utf-8")


PARENT = """
import asyncio, rtkit
clip = rtkit.open_clip({path!r})
told = lambda fact: print("fact", flush=True)
asyncio.run(rtkit.stream(clip, isolation="process", on_event=told))
"""


@linux
def test_the_children_end_quietly_when_the_parent_is_killed(make_clip: MakeClip) -> None:
    script = PARENT.format(path=str(make_clip(60.0, rate=16000).path))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "fact\n"
        orphans = children(parent.pid)
        assert len(orphans) == 2  # the service and the sender
        parent.kill()
        assert soon(lambda: not any(map(command_line, orphans)))
        assert parent.stderr is not None
        assert parent.stderr.read() == ""


# Bounds.


@linux
def test_stop_ends_a_child_that_stands_still(
    service: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked, then ended, then killed; what it had told and written by then is kept."""
    monkeypatch.setattr(isolation_room, "PATIENCE", 0.3)
    path = tmp_path / "frozen.jsonl"

    async def frozen() -> float:
        begun = asyncio.Event()

        def on_event(fact: Fact) -> None:
            if isinstance(fact, Chunk) and fact.index == 14:
                begun.set()

        task = asyncio.create_task(
            stream(clip(), service=service, isolation="process", record=path, on_event=on_event)
        )
        await begun.wait()
        for sender in senders():
            os.kill(sender, signal.SIGSTOP)
        stopped = time.monotonic()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        return time.monotonic() - stopped

    assert asyncio.run(frozen()) < 30
    assert senders() == []
    assert load_session(path).ending is None


@linux
def test_a_child_that_never_begins_is_ended(
    service: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation_room, "START", 0.1)

    def deaf() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "import time; time.sleep(60)"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(isolation_room, "_start_child", deaf)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"had not started within 0\.6 s"):
        asyncio.run(stream(clip(), service=service, isolation="process", begin_timeout=0.5))
    assert time.monotonic() - began < 30


SLOW = """
import socket, time
from functools import wraps

resolve = socket.getaddrinfo

@wraps(resolve)
def slowly(host, *args, **more):
    if str(host).endswith(".example"):
        time.sleep(20)
        raise socket.gaierror("at last")
    return resolve(host, *args, **more)

socket.getaddrinfo = slowly
"""


@dataclass(frozen=True)
class Faraway:
    """A service whose name takes a resolver long."""

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        return Endpoint("wss://faraway.example/v3/ws", {"Authorization": "none"})

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {"name": "faraway"}


SCRIPT = """
import asyncio, sys
sys.path.insert(0, {folder!r})
import sitecustomize_slow, rtkit
from test_isolation import Faraway, clip

async def main():
    try:
        await rtkit.stream(
            clip(0.5), service=Faraway(), isolation={isolation!r}, begin_timeout=0.5
        )
    except rtkit.StreamError as error:
        print(error)

asyncio.run(main())
"""


@linux
@pytest.mark.parametrize("isolation", ["loop", *AWAY])
def test_a_slow_resolver_is_not_waited_for(tmp_path: Path, isolation: str) -> None:
    """Neither by the session, nor by whoever closes the loop or the process after it."""
    for name in ("sitecustomize", "sitecustomize_slow"):
        (tmp_path / f"{name}.py").write_text(SLOW)
    script = SCRIPT.format(folder=str(tmp_path), isolation=isolation)
    paths = [str(tmp_path), *filter(None, sys.path)]
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.casefold()}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**clean, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "faraway.example did not reply within 0.5 s" in done.stdout, done.stderr
    assert time.monotonic() - began < 15


@dataclass(frozen=True)
class Undecided:
    """A service that does not say where it is."""

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        await asyncio.sleep(60)
        raise AssertionError

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {"name": "undecided"}


@pytest.mark.parametrize("isolation", ["loop", *AWAY])
def test_a_service_that_does_not_say_where_it_is_is_given_up(isolation: str) -> None:
    began = time.monotonic()
    with pytest.raises(StreamError, match=r"did not say within 0\.2 s where to connect") as caught:
        asyncio.run(stream(clip(), service=Undecided(), isolation=isolation, begin_timeout=0.2))
    assert time.monotonic() - began < 15
    assert caught.value.session.settings.isolation == isolation


def test_stop_does_not_wait_for_work_that_never_returns(
    service: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_module, "PATIENCE", 0.3)
    working, free = threading.Event(), threading.Event()

    def work(_: bytes) -> None:
        working.set()
        free.wait(60)

    async def stopped() -> float:
        task = asyncio.create_task(stream(clip(), service=service, isolation="thread", work=work))
        await asyncio.to_thread(working.wait)
        began = time.monotonic()
        task.cancel()
        await asyncio.wait({task})
        return time.monotonic() - began

    try:
        assert asyncio.run(stopped()) < 10
    finally:
        free.set()


# The disk.


@linux
@pytest.mark.parametrize("isolation", ["loop", *AWAY])
def test_a_folder_that_is_removed_costs_the_file_alone(
    service: Loopback, tmp_path: Path, isolation: str
) -> None:
    folder = tmp_path / "runs"

    def on_event(fact: Fact) -> None:
        if isinstance(fact, Chunk) and fact.index == 9:
            shutil.rmtree(folder)

    with pytest.raises(StreamError, match="file could not be written") as caught:
        asyncio.run(
            stream(
                clip(),
                service=service,
                isolation=isolation,
                record=folder / "a.jsonl",
                on_event=on_event,
            )
        )
    session = caught.value.session
    assert session.complete
    assert len(session.chunks) == 20
    assert session.transcript == "good morning this is the"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="There is no device that is full.")
@pytest.mark.parametrize("isolation", ["loop", *AWAY])
def test_a_full_disk_costs_the_file_alone(service: Loopback, isolation: str) -> None:
    with pytest.raises(StreamError, match="No space left on device") as caught:
        asyncio.run(stream(clip(0.5), service=service, isolation=isolation, record="/dev/full"))
    assert caught.value.session.complete
    assert caught.value.session.levels
    assert len(caught.value.session.chunks) == 5


@pytest.mark.parametrize("isolation", ["loop", *AWAY])
def test_two_senders_on_one_path_are_told_in_every_isolation(
    service: Loopback, tmp_path: Path, isolation: str
) -> None:
    path = tmp_path / "a.jsonl"

    async def both() -> Session:
        begun = asyncio.Event()
        first = asyncio.create_task(
            stream(clip(), service=service, record=path, on_event=lambda _: begun.set())
        )
        await begun.wait()
        with pytest.raises(ValueError, match=r"a\.jsonl is being written by another session"):
            await stream(clip(0.5), service=service, isolation=isolation, record=path)
        return await first

    first = asyncio.run(both())
    assert load_session(path) == first
