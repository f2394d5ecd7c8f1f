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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

from rtkit.boundary.children import child_command, child_environment
from rtkit.loopback.admission import Admission
from rtkit.loopback.conversation import MAX_DURATION, Behavior
from rtkit.loopback.faults import Written, read_faults
from rtkit.loopback.recognizer import recognizer_name
from rtkit.reference import Reference, read_reference
from rtkit.services.assemblyai.client import DEFAULT_MODEL, endpoint
from rtkit.services.endpoint import Endpoint, is_secret
from rtkit.services.service import ASSEMBLYAI

__all__ = ["Loopback", "embedded"]

ENGINES = ("script", "recognizer")


class Loopback:
    """The embedded service, in a process of its own, bound to 127.0.0.1.

    It starts when it is first needed and ends with `close`, with the ``with`` block, or with this
    process. It speaks the words of a script once the audio that holds them has arrived, plus a
    stated delay; audio without a script it marks by energy and invents no words. Or it has a
    recognizer hear the audio: then its words, its errors and its computing time are real.

    Parameters
    ----------
    engine : {"script", "recognizer"}
        What it hears with. The recognizer is pocketsphinx, in a process of its own; it comes with
        ``pip install 'rtkit[recognizer]'``, understands US English, and gives no punctuation.
    script : str or Path or Reference, optional
        What is said, for every session; without it, each session brings its clip's reference.
    delay, delay_spread : float
        Seconds from hearing to answering, and up to how many more, drawn evenly. The delay is 0.15
        with a script, and 0 with a recognizer, which takes its own time.
    seed : int
        Of the spread.
    max_speed : float
        It hears at most so many seconds of audio a second, as the real one does.
    backlog : float
        Seconds of audio that may wait before it closes the session.
    speech_model : str
        By whose rules it ends turns: a model's of Universal-Streaming, or a newer one's.
    format_turns : bool
        Casing and punctuation in what it says; newer models always have them.
    finals : int
        With `format_turns`: 1 final message a turn, or 2, the second one formatted.
    faults : str or iterable of str
        What it does wrong, on demand: ``"drop@2.5"`` breaks the connection after 2.5 s of audio,
        ``"refuse=503x2"`` refuses the first two sessions. `rtkit.loopback.faults` lists all.
    max_duration : float
        It closes a session after so many seconds, as the real one does after three hours.
    key : str, optional
        A made-up key, the only one that it takes; any will do without it.
    max_sessions, sessions_per_minute : int, optional
        How many sessions may be open at once, and how many may be opened within a minute.
    compression : bool
        Whether it compresses for clients that offer to.
    parameters : mapping, optional
        Further parameters of rtkit's own sessions, by the protocol's own names, such as
        ``{"min_turn_silence": 160}``.

    Raises
    ------
    ValueError
        If a number is out of range, a fault unknown, or something is asked of a recognizer that
        it cannot give.
    ImportError
        If the recognizer is not installed.
    SidecarError
        If the script cannot be read.
    """

    def __init__(
        self,
        *,
        engine: str = "script",
        script: str | Path | Reference | None = None,
        delay: float | None = None,
        delay_spread: float = 0.0,
        seed: int = 0,
        max_speed: float = 1.25,
        backlog: float = 300.0,
        speech_model: str = DEFAULT_MODEL,
        format_turns: bool = False,
        finals: int = 1,
        faults: str | Iterable[str] = (),
        max_duration: float = MAX_DURATION,
        key: str | None = None,
        max_sessions: int | None = None,
        sessions_per_minute: int | None = None,
        compression: bool = True,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"unknown engine {engine!r}; one of {', '.join(map(repr, ENGINES))}")
        self._recognizer = recognizer_name() if engine == "recognizer" else None
        if self._recognizer is not None and (script is not None or format_turns):
            raise ValueError(
                "a recognizer hears for itself and gives words without casing and punctuation; "
                "leave script and format_turns out"
            )
        if delay is None:
            delay = 0.15 if self._recognizer is None else 0.0
        self._behavior = Behavior(
            delay, delay_spread, seed, max_speed, backlog, finals, max_duration
        )
        self._faults = read_faults(faults)
        Admission(key, max_sessions, sessions_per_minute)  # raises here what would be wrong there
        self._key = key
        self._house = {
            "admission": {
                "key": key,
                "max_sessions": max_sessions,
                "sessions_per_minute": sessions_per_minute,
            },
            "compression": compression,
        }
        self._script = read_reference(Path(script)) if isinstance(script, str | Path) else script
        self._asks = {"speech_model": speech_model, "format_turns": format_turns}
        self._parameters = dict(parameters or {})
        self._lock = threading.Lock()
        self._child: _Child | None = None

    async def connect_info(self, rate: int, reference: Reference | None = None) -> Endpoint:
        """Where a session with audio of `rate` samples per second connects.

        Hands the service the session's script, under an id in the URL.
        """
        name = uuid.uuid4().hex
        script = self._script or reference if self._recognizer is None else None
        port = await asyncio.to_thread(self._hand_over, name, script)
        parameters = {**self._asks, **self._parameters, "script": name}
        return endpoint(f"ws://127.0.0.1:{port}", self._key or name, rate, parameters)

    def describe(self, reference: Reference | None = None) -> dict[str, Any]:
        """What a session records of its service."""
        hears = {"engine": "energy" if (self._script or reference) is None else "script"}
        if self._recognizer is not None:
            hears = {"engine": "recognizer", "recognizer": self._recognizer}
        return {
            "name": "embedded",
            "dialect": ASSEMBLYAI,
            **hears,
            "delay": self._behavior.delay,
            "delay_spread": self._behavior.delay_spread,
            "seed": self._behavior.seed,
            "max_speed": self._behavior.max_speed,
            **self._asks,
            "usual": {**self._behavior.usual, "speech_model": DEFAULT_MODEL, "format_turns": False},
            "parameters": {
                name: value for name, value in self._parameters.items() if not is_secret(name)
            },
            **({"faults": [str(fault) for fault in self._faults]} if self._faults else {}),
        }

    @property
    def url(self) -> str | None:
        """Where other clients can reach it; None while it does not run."""
        return None if self._child is None else f"ws://127.0.0.1:{self._child.port}/v3/ws"

    def close(self) -> None:
        """End the process; it starts anew if it is needed again."""
        with self._lock:
            if self._child is not None:
                self._child.end()
            self._child = None

    async def __aenter__(self) -> Loopback:
        await asyncio.to_thread(self._start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def _start(self) -> None:
        with self._lock:
            self._started()

    def _started(self) -> _Child:
        """The running child; called with the lock held."""
        if self._child is None or not self._child.alive:
            recognizer = self._recognizer is not None
            self._child = _Child(
                self._behavior, self._script, recognizer, self._house, self._faults
            )
        return self._child

    def _hand_over(self, name: str, script: Reference | None) -> int:
        with self._lock:
            child = self._started()
            child.ask({"id": name, "script": script and script.to_json()})
            return child.port

    def __getstate__(self) -> dict[str, Any]:
        """What a copy in another process needs: there it starts a process of its own."""
        return {**vars(self), "_lock": None, "_child": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        state = "not running" if self.url is None else self.url
        return f"<Loopback, delay {self._behavior.delay * 1000:g} ms, {state}>"


@functools.cache
def embedded(engine: str = "script") -> Loopback:
    """The service of sessions that name none: one for the whole process, by its engine."""
    return Loopback(engine=engine)


class _Child:
    """The process, asked over its standard input; when that closes, it ends."""

    def __init__(
        self,
        behavior: Behavior,
        script: Reference | None,
        recognizer: bool,
        house: Mapping[str, Any],
        faults: Sequence[Written] = (),
    ) -> None:
        # A session of its own keeps an interrupt at the terminal from reaching the service before
        # the sender has said Terminate.
        self._process = subprocess.Popen(
            child_command("rtkit.loopback", "--child"),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, _end, self._process)
        script_json = script and script.to_json()
        answer = self.ask(
            {
                "behavior": asdict(behavior),
                "script": script_json,
                "recognizer": recognizer,
                "faults": [str(fault) for fault in faults],
                **house,
            }
        )
        self.port = int(answer["port"])

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a line and read the answer's line."""
        writing, reading = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        try:
            writing.write(json.dumps(question) + "\n")
            writing.flush()
            answer = reading.readline()
        except (OSError, ValueError):  # it ended, or was closed
            answer = ""
        if not answer:
            raise RuntimeError(
                "The embedded service ended unexpectedly "
                f"(exit code {self._process.wait()}); its own error stands in this program's "
                "standard error. Run `python -m rtkit.loopback` to see it alone."
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
