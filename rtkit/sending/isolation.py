"""The sender away from the caller's loop: in a thread with a loop of its own, or in a process.

A notebook's kernel runs cells, widgets and plots in one loop and under one lock; a sender in that
loop is late whenever they are busy. ``python -m rtkit.sending.isolation`` is the process: it reads
what to do from its standard input, streams, writes each fact to its standard output, and stops when
its input closes, so that it ends with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from rtkit.audio import Clip
from rtkit.clock.real import running_clock
from rtkit.recording import StreamError, load_session
from rtkit.reference import Reference
from rtkit.sending.run import run_session
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import Service
from rtkit.session import Event, Fact, Session, Settings, read_fact, write_fact

__all__ = ["run_in_process", "run_in_thread"]

T = TypeVar("T")


async def run_in_thread(
    clip: Clip,
    settings: Settings,
    *,
    on_event: Callable[[Fact], object] | None,
    **options: Any,
) -> Session:
    """`run_session` in a thread; `on_event` is called in the caller's loop all the same."""
    inner: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Session]]] = Future()

    async with _watching(settings, on_event) as see:

        async def session() -> Session:
            task = asyncio.create_task(run_session(clip, settings, on_event=see, **options))
            inner.set_result((asyncio.get_running_loop(), task))
            return await task

        def run() -> Session:
            with asyncio.Runner() as runner:
                return runner.run(session())

        def stop() -> None:
            loop, task = inner.result()
            with contextlib.suppress(RuntimeError):  # the session has ended, and its loop with it
                loop.call_soon_threadsafe(task.cancel)

        return await _or_stop(_in_a_thread("rtkit-sender", run), inner, stop)


async def run_in_process(
    clip: Clip,
    settings: Settings,
    *,
    work: object,
    service: Service,
    record: str | Path | None,
    on_event: Callable[[Fact], object] | None,
    begin_timeout: float,
    termination_timeout: float,
) -> Session:
    """`run_session` in a child process; the same facts come back."""
    if clip.header is not None:
        raise ValueError("isolation='process' opens the clip anew, with open_clip; leave it out")
    if not clip.path.is_file():
        raise ValueError(
            f"isolation='process' reads the clip from its file; there is no {clip.path}"
        )
    endpoint = await service.connect_info(clip.rate, clip.reference)
    with tempfile.TemporaryDirectory(prefix="rtkit-") as folder:
        path = Path(record) if record is not None else Path(folder) / "session.jsonl"
        path.unlink(missing_ok=True)  # an older session must not pass for this one
        request = {
            "clip": {
                "path": str(clip.path.absolute()),
                "rate": clip.rate,
                "first": clip.first,
                "samples": clip.samples,
                "channels": clip.channels,
                "coding": clip.coding,
            },
            "reference": clip.reference and clip.reference.to_json(),
            "settings": asdict(settings),
            "record": str(path.absolute()),
            "begin_timeout": begin_timeout,
            "termination_timeout": termination_timeout,
        }
        started: Future[subprocess.Popen[str]] = Future()

        async with _watching(settings, on_event) as see:

            def read() -> str:
                last = ""
                # Closes the pipes and waits for its end; if it died at once, its exit code tells.
                with contextlib.suppress(BrokenPipeError), _start_child() as child:
                    writing, reading = cast(IO[str], child.stdin), cast(IO[str], child.stdout)
                    try:
                        # Never in a variable, which a traceback might show: it holds the key.
                        writing.write(json.dumps(request | asdict(endpoint)) + "\n")
                        writing.flush()
                    finally:
                        started.set_result(child)
                    for line in reading:
                        if line.startswith('{"outcome"'):
                            last = line
                        else:
                            see(read_fact(line))
                return last

            def stop() -> None:
                with contextlib.suppress(OSError):
                    cast(IO[str], started.result().stdin).close()

            last = await _or_stop(_in_a_thread("rtkit-facts", read), started, stop)
        said: Mapping[str, Any] = json.loads(last)["outcome"] if last else {}
        if said.get("how") == "complete":
            whole: Session = await asyncio.to_thread(load_session, path)
            return whole
        sentence = said.get("sentence") or (
            "The sender's process ended unexpectedly (exit code "
            f"{started.result().returncode}); its own error stands in this program's standard "
            "error."
        )
        try:
            session = load_session(path)
        except (OSError, ValueError):  # it got nowhere
            raise RuntimeError(sentence) from None
        raise StreamError(sentence, session)


def _start_child() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "rtkit.sending.isolation"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt is for the parent, which then says stop
    )


def _in_a_thread(name: str, work: Callable[[], T]) -> Future[T]:
    """What `work` comes to, on a thread that does not keep the interpreter alive."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except asyncio.CancelledError:
            outcome.cancel()
            outcome.set_running_or_notify_cancel()
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome


@contextlib.asynccontextmanager
async def _watching(
    settings: Settings, on_event: Callable[[Fact], object] | None
) -> AsyncIterator[Callable[[Fact], None]]:
    """What the sender calls with each fact: hands it on to the caller's loop.

    Stalls on demand belong to the caller's loop too; they start with the sender's time.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []
    begun = False

    def seen(fact: Fact) -> None:
        nonlocal begun
        if not begun and not (isinstance(fact, Event) and fact.at < 0):
            begun = True
            now, block = loop.time(), running_clock().block
            timers.extend(loop.call_at(now + at, block, time) for at, time in settings.blocks)
        if on_event is not None:
            on_event(fact)

    def see(fact: Fact) -> None:
        with contextlib.suppress(RuntimeError):  # the caller's loop is closed: nobody watches
            loop.call_soon_threadsafe(seen, fact)

    try:
        yield see
    finally:
        for timer in timers:
            timer.cancel()


async def _or_stop(outcome: Future[T], started: Future[Any], stop: Callable[[], object]) -> T:
    """Wait for the outcome; when cancelled, stop what has started and wait until it has ended."""
    waiting = asyncio.wrap_future(outcome)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        started.add_done_callback(lambda _: stop())
        await asyncio.wait({waiting})
        if not waiting.cancelled():
            waiting.exception()  # it was stopped: what it says of that is not news
        raise


# The child.


@dataclass(frozen=True)
class _Given:
    """A service whose endpoint the parent has asked for already."""

    given: Endpoint

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        return self.given

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {}


async def _child(request: Mapping[str, Any]) -> dict[str, str]:
    reference = request["reference"] and Reference.from_json(request["reference"])
    clip = Clip(**{**request["clip"], "path": Path(request["clip"]["path"])}, reference=reference)
    settings = Settings.from_json(request["settings"])
    facts: queue.SimpleQueue[Fact | None] = queue.SimpleQueue()

    def write() -> None:  # in a thread: a parent that does not read must not make the sender late
        while (fact := facts.get()) is not None:
            try:
                sys.stdout.write(write_fact(fact))
                sys.stdout.flush()
            except BrokenPipeError:  # the parent was killed: nobody is there to read, or to tell
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(
        run_session(
            clip,
            settings,
            work=float(settings.work),
            service=_Given(Endpoint(request["url"], request["headers"])),
            record=request["record"],
            on_event=facts.put,
            begin_timeout=request["begin_timeout"],
            termination_timeout=request["termination_timeout"],
        )
    )

    def listen() -> None:
        sys.stdin.read()
        with contextlib.suppress(RuntimeError):  # the session has ended, and its loop with it
            loop.call_soon_threadsafe(task.cancel)

    writing = threading.Thread(target=write)
    writing.start()
    threading.Thread(target=listen, daemon=True).start()
    try:
        await asyncio.wait({task})
    finally:
        facts.put(None)
        await asyncio.to_thread(writing.join)
    if task.cancelled():
        return {"how": "stopped"}
    error = task.exception()
    if error is None:
        return {"how": "complete"}
    return {
        "how": "failed" if isinstance(error, StreamError) else "refused",
        "sentence": str(error),
    }


def main() -> None:
    request = json.loads(sys.stdin.readline())
    outcome = asyncio.run(_child(request))
    print(json.dumps({"outcome": outcome}), flush=True)


if __name__ == "__main__":
    main()
