"""The sender in a process of its own, away from the caller's loop and lock.

A notebook's kernel runs cells, widgets and plots in one loop and under one lock; a sender in that
loop is late whenever they are busy. ``python -m rtkit.sending.isolation`` is the process: it reads
what to do from its standard input and streams. On its standard output it writes the session's
facts as they happen, and how it ended: an object a line, each of which says its kind. It stops when
its input closes, so that it ends with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar, cast

from rtkit.audio import Clip
from rtkit.boundary.children import child_command, child_environment
from rtkit.clock.thread import in_thread
from rtkit.pacing import Plan
from rtkit.recording import StreamError, fact_of, load_session
from rtkit.reference import Reference
from rtkit.sending.connect import way_to
from rtkit.sending.options import Options
from rtkit.sending.session import run_session
from rtkit.sending.thread import or_stop, watching
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import Service, dialect_of
from rtkit.session import Fact, Message, Session, Settings, write_fact

__all__ = ["run_in_process"]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How it ended: ``"complete"``, ``"stopped"``, or else why not, in a sentence."""

    kind: ClassVar[str] = "outcome"
    how: str
    sentence: str = ""

    def to_line(self) -> str:
        return json.dumps({"kind": self.kind, **asdict(self)}) + "\n"


def _read(line: str) -> Fact | _Outcome:
    said = json.loads(line)
    if said["kind"] == _Outcome.kind:
        return _Outcome(said["how"], said["sentence"])
    return fact_of(said)


async def run_in_process(
    clip: Clip, plan: Plan, settings: Settings, options: Options, service: Service
) -> Session:
    """`run_session` in a child process; the same facts come back."""
    if clip.header is not None:
        raise ValueError("isolation='process' opens the clip anew, with open_clip; leave it out")
    if not clip.path.is_file():
        raise ValueError(
            f"isolation='process' reads the clip from its file; there is no {clip.path}"
        )
    there = replace(clip, path=clip.path.absolute())
    endpoint = await service.connect_info(clip.rate, clip.reference)
    with tempfile.TemporaryDirectory(prefix="rtkit-") as folder:
        path = _cleared(options.record or f"{folder}/session.jsonl")
        how = replace(options, record=path, on_event=None, calibration=None)
        started: Future[subprocess.Popen[str]] = Future()

        async with watching(settings, options.on_event) as see:

            def read() -> _Outcome | None:
                outcome = None
                # Closes the pipes and waits for its end; if it died at once, its exit code tells.
                with contextlib.suppress(BrokenPipeError), _start_child() as child:
                    writing = cast(TextIOWrapper, child.stdin)
                    try:
                        pickle.dump((there, plan, settings, how, endpoint), writing.buffer)
                        writing.flush()
                    finally:
                        started.set_result(child)
                    reader = dialect_of(settings.service).reader(settings.rate)
                    for said in map(_read, cast(TextIOWrapper, child.stdout)):
                        if isinstance(said, _Outcome):
                            outcome = said
                        elif isinstance(said, Message):  # what it says does not cross over
                            see(replace(said, replies=reader.read(said.text)))
                        else:
                            see(said)
                return outcome

            def stop() -> None:
                with contextlib.suppress(OSError):
                    cast(TextIOWrapper, started.result().stdin).close()

            outcome = await or_stop(in_thread("rtkit-facts", read), started, stop)
        if outcome is not None and outcome.how == "complete":
            whole: Session = await asyncio.to_thread(load_session, path)
            return whole
        sentence = (outcome and outcome.sentence) or (
            "The sender's process ended unexpectedly (exit code "
            f"{started.result().returncode}); its own error stands in this program's standard "
            "error."
        )
        try:
            session = load_session(path)
        except (OSError, ValueError):  # it got nowhere
            raise RuntimeError(sentence) from None
        raise StreamError(sentence, session)


def _cleared(record: str | Path) -> Path:
    """Where the child writes: an older session that lies there must not pass for this one."""
    path = Path(record).absolute()
    path.unlink(missing_ok=True)
    return path


def _start_child() -> subprocess.Popen[str]:
    return subprocess.Popen(
        child_command("rtkit.sending.isolation"),
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt is for the parent, which then says stop
    )


# The child.


@dataclass(frozen=True)
class _Given:
    """A service whose endpoint the parent has asked for already."""

    given: Endpoint

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        return self.given

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {}


async def _child(
    clip: Clip, plan: Plan, settings: Settings, options: Options, endpoint: Endpoint
) -> _Outcome:
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
    options = replace(options, on_event=facts.put)
    task = asyncio.create_task(
        run_session(clip, plan, settings, options, way_to(_Given(endpoint), clip))
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
        return _Outcome("stopped")
    error = task.exception()
    if error is None:
        return _Outcome("complete")
    return _Outcome("failed" if isinstance(error, StreamError) else "refused", str(error))


def main() -> None:
    outcome = asyncio.run(_child(*pickle.load(sys.stdin.buffer)))
    sys.stdout.write(outcome.to_line())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
