"""The sender in a child process, isolated from the caller's loop and lock.

A notebook's kernel runs cells, widgets and plots in one loop and under one lock; a sender in that
loop is late whenever they are busy. ``python -m rtkit.sending.process`` is the process: it reads
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
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar, cast

from rtkit.audio import Clip, Level
from rtkit.boundary.children import start_child
from rtkit.boundary.secrets import Told
from rtkit.clock.thread import in_thread
from rtkit.pacing import Plan
from rtkit.recording import StreamError, fact_of, session_of
from rtkit.reference import Reference
from rtkit.sending.connect import Way, endpoint_of, way_to
from rtkit.sending.listen import Conversation
from rtkit.sending.loop import run_session
from rtkit.sending.options import Options, without_secrets
from rtkit.sending.run import Run
from rtkit.sending.thread import PATIENCE, or_stop, watching
from rtkit.sending.websocket import Failure
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import Service, dialect_of
from rtkit.session import Fact, Message, Session, Settings, write_fact

__all__ = ["run_in_process"]

START = 5.0  # seconds that the child may take until it is ready to connect


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How it ended: ``"complete"``, ``"stopped"``, or else why not, in a sentence.

    `how` is then ``"failed"`` for a session that did not run to its end, ``"refused"`` for one that
    cannot be, and ``"broken"`` for whatever else went wrong.
    """

    kind: ClassVar[str] = "outcome"
    how: str
    sentence: str = ""

    def to_line(self) -> str:
        return json.dumps({"kind": self.kind, **asdict(self)}) + "\n"


async def run_in_process(
    clip: Clip, plan: Plan, settings: Settings, options: Options, service: Service
) -> Session:
    """`run_session` in a child process; the same facts come back."""
    if clip.header is not None:
        raise ValueError(
            "isolation='process' opens the clip again, with open_clip; use another isolation"
        )
    if not clip.path.is_file():
        raise ValueError(
            f"isolation='process' needs the clip's file, and there is no file '{clip.path}'"
        )
    way: Way | None = None
    try:
        endpoint = await endpoint_of(service, clip, options.begin_timeout)
    except Failure as failure:
        way = Way(Told(settings.service), partial(_fail, failure))
    if way is not None:  # out here, where the error carries nothing else along
        return await run_session(clip, plan, settings, options, way)
    settings = without_secrets(settings, endpoint)
    request = _wherever(clip, plan, settings, options)
    async with watching(settings, options.on_event) as see:
        child = _Child(settings, see, options.begin_timeout + START)
        await or_stop(
            in_thread("rtkit-facts", lambda: child.run(request, endpoint)),
            (child.ask, PATIENCE),
            (child.end, 1.0),
            (child.kill, 1.0),
        )
    return child.session()


def _wherever(clip: Clip, plan: Plan, settings: Settings, options: Options) -> tuple[object, ...]:
    """What another process can take, whatever it works in."""
    record = None if options.record is None else Path(options.record).absolute()
    clip = replace(clip, path=clip.path.absolute())
    return clip, plan, settings, replace(options, record=record, on_event=None, calibration=None)


async def _fail(failure: Failure, run: Run, timeout: float) -> Conversation:
    raise failure


class _Child:
    """The child process, as its parent sees it: what it is told, and what it tells.

    Parameters
    ----------
    see : callable
        Called with each event that it reports.
    patience : float
        Seconds until the session must have begun, or have been given up.
    """

    def __init__(self, settings: Settings, see: Callable[[Fact], object], patience: float) -> None:
        self._see, self._patience = see, patience
        self._reader = dialect_of(settings.service).reader(settings.rate)
        self._process: subprocess.Popen[str] | None = None
        self._empty: Session | None = None  # in which nothing has happened yet
        self._facts: list[Fact] = []
        self._outcome: _Outcome | None = None
        self._told = self._unwanted = self._late = False

    def run(self, request: tuple[object, ...], endpoint: Endpoint) -> None:
        """Start it, send its instructions, and record what it reports, until it has ended."""
        # Closes the pipes and waits for its end; if it died at once, its exit code tells.
        with contextlib.suppress(BrokenPipeError), _start_child() as self._process:
            late = threading.Timer(self._patience, self._give_up)
            late.daemon = True
            late.start()
            try:
                writing = cast(TextIOWrapper, self._process.stdin)
                pickle.dump((*request, endpoint.reveal()), writing.buffer)
                writing.flush()
                self._told = True
                if self._unwanted:
                    self.ask()
                for line in cast(TextIOWrapper, self._process.stdout):
                    late.cancel()
                    self._take(json.loads(line))
                    if self._outcome is not None:
                        self._process.wait(PATIENCE)
                        break
            except subprocess.TimeoutExpired:  # it has told all
                self.kill()
            finally:
                late.cancel()

    def session(self) -> Session:
        """What it came to."""
        outcome = self._outcome
        if outcome is None:
            code = None if self._process is None else self._process.returncode
            outcome = _Outcome(
                "broken",
                f"The sender's process was ended because it had not started within "
                f"{self._patience:g} s. Try again, or increase begin_timeout."
                if self._late
                else f"The sender's process ended unexpectedly (exit code {code}); see its "
                f"error on this program's standard error.",
            )
        if self._empty is not None:
            session = self._empty.holding(self._facts)
            if outcome.how == "complete":
                return session
            raise StreamError(outcome.sentence, session)
        raise (ValueError if outcome.how == "refused" else RuntimeError)(outcome.sentence)

    def ask(self) -> None:
        """Ask it to stop: it says goodbye, and how it ended."""
        self._unwanted = True
        if self._process is not None and self._told:
            with contextlib.suppress(OSError, ValueError):  # it has ended, or was asked before
                cast(TextIOWrapper, self._process.stdin).close()

    def end(self) -> None:
        """End it; what it has told is kept."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it, even where it stands still."""
        if self._process is not None:
            self._process.kill()

    def _give_up(self) -> None:
        self._late = True
        self.kill()

    def _take(self, said: dict[str, Any]) -> None:
        if said["kind"] == _Outcome.kind:
            self._outcome = _Outcome(said["how"], said["sentence"])
        elif said["kind"] == "session":
            self._empty = session_of(said)
        else:
            fact = fact_of(said)
            if isinstance(fact, Message):  # what it says does not cross over
                fact = replace(fact, replies=self._reader.read(fact.text))
            self._facts.append(fact)
            if not isinstance(fact, Level):
                self._see(fact)


_start_child = partial(start_child, "rtkit.sending.process")


# The child.


@dataclass(frozen=True)
class _Given:
    """A service whose endpoint the parent has asked for already."""

    given: Endpoint

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        return self.given

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {}


async def _run(
    clip: Clip, plan: Plan, settings: Settings, options: Options, told: tuple[Any, ...]
) -> None:
    """Run the session, and report it on standard output until everything is reported."""
    lines: queue.SimpleQueue[Fact | str | None] = queue.SimpleQueue()

    def write() -> None:  # in a thread: a parent that does not read must not make the sender late
        while (line := lines.get()) is not None:
            try:
                sys.stdout.write(line if isinstance(line, str) else write_fact(line))
                sys.stdout.flush()
            except BrokenPipeError:  # the parent was killed: nobody is there to read, or to tell
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())

    loop, way = asyncio.get_running_loop(), way_to(_Given(Endpoint(*told)), clip)
    options = replace(options, tee=lines.put)
    task = asyncio.create_task(run_session(clip, plan, settings, options, way))

    def listen() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(task.cancel)

    writing = threading.Thread(target=write)
    writing.start()
    threading.Thread(target=listen, daemon=True).start()
    try:
        await asyncio.wait({task})
        lines.put(_outcome_of(task).to_line())
    finally:
        lines.put(None)
        await asyncio.to_thread(writing.join)


def _outcome_of(task: asyncio.Task[Session]) -> _Outcome:
    if task.cancelled():
        return _Outcome("stopped", "The sender's process was asked to stop.")
    error = task.exception()
    if error is None:
        return _Outcome("complete")
    if isinstance(error, StreamError):
        return _Outcome("failed", str(error))
    refused = isinstance(error, ValueError | OSError)
    return _Outcome("refused" if refused else "broken", str(error))


def main() -> None:
    asyncio.Runner().run(_run(*pickle.load(sys.stdin.buffer)))
    os._exit(0)  # all is told; whatever a thread still waits for, a resolver say, nobody does


if __name__ == "__main__":
    main()
