"""The embedded service as a child process, which ends with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import subprocess
import threading
import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from rtkit.boundary.children import start_child
from rtkit.boundary.secrets import Confidential, Told, hidden, reduced
from rtkit.loopback.options import Options
from rtkit.recording import read_opening
from rtkit.reference import Reference
from rtkit.services.endpoint import Endpoint, as_json, only_public
from rtkit.services.service import ASSEMBLYAI, dialect_for, dialect_named

__all__ = ["Loopback", "embedded"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Loopback(Options):
    """The embedded service, in its own process, on 127.0.0.1.

    It starts when it is first needed and ends with `close`, with the ``with`` block, or with this
    process. With a script, it sends each word once the audio that holds it has arrived, plus a
    stated delay. Without a script, it marks where there is speech, by energy, and reports no words.
    With a recognizer, its words, its errors and its computing time are real.

    Parameters
    ----------
    protocol : str
        The protocol: the name of a folder in `rtkit.services`, such as ``"deepgram"``.
    engine : {"script", "recognizer"}
        How it recognizes speech. The recognizer is pocketsphinx, in a separate process; install it
        with ``pip install 'rtkit[recognizer]'``. It understands US English and adds no punctuation.
    script : str or Path or Reference, optional
        What is said, in every session; by default, the reference of each session's clip.
    recording : str or Path, optional
        The script's recording, used to locate the audio of other clients; by default, the recording
        beside the script, if there is one.
    replay : str or Path, optional
        The file of a recorded session to replay to any client that sends the same audio: the same
        messages, at the same places in the audio, with the same service times, in its protocol. A
        client that sends other audio gets an error that says so.
    delay, delay_spread : float
        Delay before each message, in seconds, and the maximum of a uniform random addition to it.
        The default delay is 0.15 with a script, and 0 with a recognizer, which takes time itself.
    seed : int
        Seed of the random delay.
    timing : {"quick", "real"}
        When sessions begin and end: quickly, for tests, or as AssemblyAI was measured to.
    begin_delay, refusal_delay, endpoint_delay, finish_delay : float, optional
        Each of these in seconds: from a client's connection to Begin, from a mistake to the error
        message, from ForceEndpoint to the final result, and from Terminate to an open turn's final
        result and from there to Termination.
    max_speed : float
        The maximum speed at which it processes audio, as a multiple of real time. Real services
        have such a limit, too.
    backlog : float
        How many seconds of audio may be queued before it ends the session.
    finals : int
        With formatted turns: 1 final message per turn, or 2, of which the second is formatted.
    faults : str or iterable of str
        Faults to produce on demand: ``"drop@2.5"`` breaks the connection after 2.5 s of audio,
        ``"refuse=503x2"`` refuses the first two sessions. `rtkit.loopback.faults` lists all of
        them.
    max_duration : float
        Maximum duration of a session, in seconds.
    key : str, optional
        A made-up key, and the only one that it accepts. By default, it accepts any key.
    max_sessions, sessions_per_minute : int, optional
        The maximum number of concurrent sessions, and of new sessions per minute, as vendors limit
        them.
    max_connections : int
        The maximum number of connections, to protect this computer. `rtkit.stream_many` raises it
        as needed.
    origins : sequence of str
        Origins of web pages that may connect, such as ``"http://localhost:3000"``. Pages from the
        service's own address, and clients other than browsers, may always connect.
    compression : bool
        Whether to accept compression when a client offers it.
    speech_model : str, optional
        The vendor's model whose rules decide when turns end; by default, the usual one.
    format_turns : bool
        Whether results have casing and punctuation; with some models they always do.
    parameters : mapping, optional
        Further parameters of rtkit's own sessions, under the protocol's own names, such as
        ``{"min_turn_silence": 160}``.

    Raises
    ------
    ValueError
        If a number is out of range, a fault is unknown, the session cannot be replayed, or the
        recognizer does not support an option.
    ImportError
        If the recognizer is not installed.
    SidecarError
        If the script cannot be read.
    """

    speech_model: str | None = None
    format_turns: bool = False
    parameters: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recognizer is not None and self.format_turns:
            raise ValueError(
                "a recognizer returns words without casing and punctuation; leave format_turns out"
            )
        vars(self).update(parameters=hidden(self.parameters or {}), _process=_Process(self))

    async def connect_info(self, rate: int, reference: Reference | None = None) -> Endpoint:
        """Where a session with audio of `rate` samples per second connects.

        Hands the service the session's script, under an id in the URL.
        """
        name = uuid.uuid4().hex
        script = self.reference or reference if self.recognizer is None else None
        port = await asyncio.to_thread(self._running.hand_over, name, script)
        dialect = dialect_named(self._speaks)
        asked = as_json({**self._asks, **(self.parameters or {})})
        dialect.check(asked)
        key = Confidential(self.key or name)
        there = dialect.endpoint(f"ws://127.0.0.1:{port}", key, rate, asked)
        return replace(there, url=f"{there.url}{'&' if '?' in there.url else '?'}script={name}")

    def describe(self, reference: Reference | None = None) -> dict[str, Any]:
        """What a session records of its service."""
        hears = {"engine": "energy" if (self.reference or reference) is None else "script"}
        if self.recognizer is not None:
            hears = {"engine": "recognizer", "recognizer": self.recognizer}
        dialect, behavior = dialect_named(self._speaks), self.behavior
        usual = {"speech_model": dialect.default_model, "format_turns": False, **behavior.usual}
        told = {name: getattr(behavior, name) for name in RECORDED}
        name = "embedded" if self.protocol == ASSEMBLYAI else f"embedded {self._speaks}"
        if self.replay is not None:  # what it knows, and when it says so, is the recorded one's
            recorded = read_opening(Path(self.replay)).settings
            name = f"{recorded.service.get('name', 'service')}, replayed"
            hears = {"engine": recorded.engine} if recorded.engine else {}
            told = {"replay": Path(self.replay).name, "max_speed": behavior.max_speed}
        return {
            "name": name,
            "dialect": self._speaks,
            "usual": usual,
            **hears,
            **told,
            "speech_model": self.speech_model or dialect.default_model,
            "format_turns": self.format_turns,
            "parameters": only_public(self.parameters or {}, dialect.public),
            **({"faults": list(self.faults)} if self.faults else {}),
        }

    @property
    def url(self) -> str | None:
        """The address for other clients; None while it is not running."""
        port, path = self._running.port, dialect_named(self._speaks).path
        return None if port is None else f"ws://127.0.0.1:{port}{path}"

    async def expect(self, sessions: int) -> None:
        """Make it accept this many concurrent sessions, whatever its own limit."""
        await asyncio.to_thread(self._running.expect, sessions)

    def close(self) -> None:
        """End the process; it starts again when needed."""
        self._running.close()

    async def __aenter__(self) -> Loopback:
        await asyncio.to_thread(self._running.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    @property
    def _running(self) -> _Process:
        return cast(_Process, vars(self)["_process"])

    @property
    def _speaks(self) -> str:
        """The dialect of its own sessions: some of a vendor's models have one of their own."""
        return dialect_for(self.protocol, self.speech_model or "")

    @property
    def _asks(self) -> dict[str, Any]:
        """What its own sessions ask for, by the vendor's names."""
        dialect = dialect_named(self._speaks)
        asked = dict(dialect.formatting) if self.format_turns else {}
        if self.speech_model is not None:
            asked[dialect.model_parameter] = self.speech_model
        return asked

    __reduce__ = reduced  # in another process a copy starts one of its own

    def __repr__(self) -> str:
        if "_process" not in vars(self):  # an error while it is made may show it
            return "<Loopback>"
        url = "not running" if self.url is None else self.url
        says = f"delay {self.behavior.delay * 1000:g} ms"
        if self.replay is not None:
            says = f"replays {Path(self.replay).name}"
        return f"<Loopback, {says}, {url}>"


# Seconds in which it answers, and in which it starts: a recognizer's model is large.
PATIENCE, START = 15.0, 120.0
RECORDED = ("delay", "delay_spread", "seed", "max_speed")


@functools.cache
def embedded(engine: str = "script") -> Loopback:
    """The service of sessions that name none: one for the whole process, by its engine."""
    return Loopback(engine=engine)


class _Process:
    """A service's process, which starts when it is first needed."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._child: _Child | None = None

    @property
    def port(self) -> int | None:
        return None if self._child is None else self._child.port

    def start(self) -> None:
        with self._lock:
            self._started()

    def hand_over(self, name: str, script: Reference | None) -> int:
        """Announce a session's script; returns the service's port."""
        with self._lock:
            child = self._started()
            child.ask({"id": name, "script": script and script.to_json()})
            return child.port

    def expect(self, sessions: int) -> None:
        """Make it accept this many concurrent sessions."""
        with self._lock:
            self._started().ask({"expected": sessions})

    def close(self) -> None:
        with self._lock:
            if self._child is not None:
                self._child.end()
            self._child = None

    def _started(self) -> _Child:
        """The running child; called with the lock held."""
        if self._child is None or not self._child.alive:
            self._child = _Child(self._options)
        return self._child


class _Child:
    """The process itself, asked over its standard input; when that closes, it ends."""

    def __init__(self, options: Options) -> None:
        # A session of its own keeps an interrupt at the terminal from reaching the service before
        # the sender has ended its session.
        self._process = start_child("rtkit.loopback.child")
        self._end = weakref.finalize(self, _end, self._process)
        self.port = int(self.ask(Told(options.to_json()), within=START)["port"])

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: dict[str, Any], *, within: float | None = None) -> dict[str, Any]:
        """Send a line and read the answer's line; a process that does not answer is ended."""
        writing, reading = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        late = threading.Timer(within or PATIENCE, self._process.kill)
        late.daemon = True
        late.start()
        try:
            writing.write(json.dumps(question) + "\n")
            writing.flush()
            answer = reading.readline()
        except (OSError, ValueError):  # it ended, or was closed
            answer = ""
        finally:
            late.cancel()
        if not answer:
            raise RuntimeError(
                "The embedded service ended unexpectedly "
                f"(exit code {self._process.wait()}); see its error on this program's "
                f"standard error"
                ". Run `python -m rtkit.loopback` to see it alone."
            )
        return cast(dict[str, Any], json.loads(answer))

    def end(self) -> None:
        self._end()


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it was not told before it ended is moot
                pipe.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
