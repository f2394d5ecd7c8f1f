"""`Tap`: sits between any client and a service, and records a session for each client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Self, cast
from urllib.parse import urlsplit

import numpy as np

from rtkit.analysis.timing.latency import senders_share, turn_latency
from rtkit.analysis.timing.lateness import pacing_of, passing
from rtkit.boundary.children import start_child
from rtkit.boundary.text import counted, told
from rtkit.boundary.values import check_numbers
from rtkit.clock.thread import in_thread
from rtkit.loopback.process import Loopback
from rtkit.services.service import ASSEMBLYAI, UNKNOWN, dialect_at, dialect_named
from rtkit.session import Fact, Session
from rtkit.tap.network import SIDES, read_network
from rtkit.tap.passed import Passed, blocks
from rtkit.tap.request_head import Request, Upstream
from rtkit.tap.tapped import Tapped
from rtkit.writing import Writer

__all__ = ["Tap", "verdict"]

PATIENCE = 5.0  # seconds that the relay may take to end, clients included
READ_AHEAD = 4  # blocks of what passed that may wait for the loop


class Tap:
    """Relay clients to a service, byte for byte, and measure their sessions on the way.

    The relay is a process of its own; here copies of what passed are looked at.

    Parameters
    ----------
    upstream : str or Loopback
        The service: ``"wss://streaming.assemblyai.com"``, or ``"embedded"`` for the embedded
        service, which speaks to each client in its own protocol.
    port : int
        The port for clients, on 127.0.0.1; 0 picks a free one.
    record : str or Path, optional
        A folder for the session files, ``client-1.jsonl`` and so on.
    protocol : str, optional
        The clients' protocol: the name of a folder in `rtkit.services`. By default, the request's
        path decides; connections with any other path are passed on but not measured.
    keep_audio : bool
        Whether the audio is kept as a WAV file beside each session.
    faults : sequence of str
        Network faults, in either direction of each connection: ``"up.delay=0.08"``,
        ``"down.stall=2@10"``; `rtkit.tap.network` lists all. Times count from the start of the
        connection.
    seed : int
        Seed of random delays.
    tls : str or Path, optional
        For clients that accept only encrypted connections: a file to which the CA that they have
        to trust is written. The certificate is for this machine only.
    keep : int, optional
        How many sessions are kept in memory, the latest ones; by default, all.
    tell : callable, optional
        Called with a line of text when a client connects and when it disconnects.
    on_event : callable, optional
        Called with a client's number and each of its chunks and messages while it streams, and then
        its ending. Times count from its first chunk.

    Attributes
    ----------
    sessions : deque of Session
        The sessions of the clients that have disconnected.

    Raises
    ------
    ValueError
        If `upstream` is not the address of a service, the protocol is unknown, `port` is not a
        port, or `record` is a file.

    Notes
    -----
    From outside, it is not known when a chunk was due. t = 0 is the latest instant at which speech
    can have begun, so that no chunk was sent before it was spoken. A constant delay of the sender
    is therefore invisible.
    """

    def __init__(
        self,
        upstream: str | Loopback = "embedded",
        *,
        port: int = 0,
        record: str | Path | None = None,
        protocol: str | None = None,
        keep_audio: bool = False,
        faults: Sequence[str] = (),
        seed: int = 0,
        tls: str | Path | None = None,
        keep: int | None = None,
        tell: Callable[[str], object] | None = None,
        on_event: Callable[[int, Fact], object] | None = None,
    ) -> None:
        if protocol is not None:
            dialect_named(protocol)
        check_numbers(unit="", port=port)
        if not 0 <= port <= 65535:
            raise ValueError(f"port={port} is not a port; give one from 0 to 65535")
        if record is not None and Path(record).is_file():
            raise ValueError(f"record={str(record)!r} is a file; give a folder")
        if keep_audio and record is None:
            raise ValueError("keep_audio=True saves audio beside the sessions: give record=FOLDER")
        if upstream == "embedded":
            upstream = Loopback(protocol=(protocol or ASSEMBLYAI).partition(".")[0])
        self._embedded = upstream if isinstance(upstream, Loopback) else None
        self._upstream = None if isinstance(upstream, Loopback) else Upstream(upstream)
        self._port, self._protocol = port, protocol
        self._record = None if record is None else Path(record)
        self._keep_audio, self._tell = keep_audio, tell or (lambda _: None)
        self._on_event = on_event or (lambda *_: None)
        self._clients = 0
        self._writer: Writer | None = None
        self._open: dict[int, Tapped] = {}  # by the relay's number
        self._stack = contextlib.AsyncExitStack()
        self._tls, self._faults, self._seed = tls, tuple(faults), seed
        for side in SIDES:
            read_network(self._faults, side)
        self._told: Future[None] | None = None  # by the relay, to its end
        self._ending = False
        self.sessions: deque[Session] = deque(maxlen=keep)

    @property
    def url(self) -> str:
        """The address that a client uses instead of the service's."""
        return f"{'ws' if self._tls is None else 'wss'}://127.0.0.1:{self._port}"

    @property
    def _there(self) -> Upstream:
        if self._upstream is None:
            raise RuntimeError("the tap is not running: use async with rtkit.Tap(...) as tap")
        return self._upstream

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            if self._embedded is not None:
                await stack.enter_async_context(self._embedded)
                there = await self._embedded.connect_info(16000)
                self._upstream = Upstream(f"ws://{urlsplit(there.url).netloc}")
            if self._record is not None:
                self._writer = Writer()
                stack.callback(self._writer.close)
                there_are = (re.match(r"client-(\d+)", one.name) for one in _files(self._record))
                self._clients = max((int(one[1]) for one in there_are if one), default=0)
            relay = start_child("rtkit.tap.child")
            stack.push_async_callback(self._end, relay)
            self._port = await asyncio.to_thread(self._start, relay)
            loop = asyncio.get_running_loop()
            self._ending = False
            self._told = in_thread("rtkit-tap", partial(self._read, relay, loop))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _start(self, relay: subprocess.Popen[str]) -> int:
        """Tell the relay what to do; returns its port."""
        asked = {
            "upstream": self._there.url,
            "port": self._port,
            "faults": self._faults,
            "seed": self._seed,
            "tls": None if self._tls is None else str(self._tls),
        }
        writing = cast(TextIOWrapper, relay.stdin)
        with contextlib.suppress(BrokenPipeError):
            writing.write(json.dumps(asked) + "\n")
            writing.flush()
        line = _from(relay).readline()
        if not line:
            raise RuntimeError("The tap's relay ended at once; see its error on standard error.")
        answer = json.loads(line)
        if "error" not in answer:
            return int(answer["port"])
        if answer["number"] is not None:
            raise OSError(answer["number"], answer["error"])
        raise (ImportError if answer["missing"] else ValueError)(answer["error"])

    def _read(self, relay: subprocess.Popen[str], loop: asyncio.AbstractEventLoop) -> None:
        """Take down what the relay tells, no faster than the loop looks at it."""
        ready = threading.Semaphore(READ_AHEAD)
        for block in blocks(_from(relay)):
            ready.acquire()
            for passed in block:
                loop.call_soon_threadsafe(self._see, passed)
            loop.call_soon_threadsafe(ready.release)
        loop.call_soon_threadsafe(self._cut_off, loop)

    def _cut_off(self, loop: asyncio.AbstractEventLoop) -> None:
        """The relay has ended, and all connections with it."""
        for one in tuple(self._open.values()):
            one.ended("tap", loop.time(), "" if self._ending else "The tap's relay ended.")

    async def broken(self) -> None:
        """Wait for the end of the relay's process, which comes by itself only if it was killed."""
        if self._told is not None:
            await asyncio.wait({asyncio.wrap_future(self._told)})

    async def _end(self, relay: subprocess.Popen[str]) -> None:
        """Have the relay end, and see what it still tells."""
        self._ending = True
        with contextlib.suppress(BrokenPipeError):  # it ended before it was told what to do
            cast(TextIOWrapper, relay.stdin).close()
        if self._told is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await asyncio.wrap_future(self._told)
        relay.kill()
        await asyncio.to_thread(relay.wait)
        _from(relay).close()
        self._cut_off(asyncio.get_running_loop())

    def _see(self, passed: Passed) -> None:
        """Observe what passed a moment ago."""
        if passed.kind == b"h":
            self._came(passed)
        elif passed.kind == b"n":
            self._tell(f"passed on without measuring: {passed.data.decode()}")
        elif passed.kind == b"s":
            for one in self._open.values():
                one.stalled(passed.came, passed.waited or 0.0)
        elif (client := self._open.get(passed.client)) is not None:
            if passed.kind == b"e":
                by, _, error = passed.data.decode().partition("\n")
                client.ended(by, passed.came, error)
            elif passed.kind == b"l":
                client.unread = "too much came while this program was busy"
            else:
                client.passed(passed)

    def _came(self, passed: Passed) -> None:
        request = Request.of(passed.data)
        name = self._protocol or dialect_at(request.path) or UNKNOWN
        self._clients += 1
        number = self._clients
        record = None if self._record is None else self._record / f"client-{number}.jsonl"

        def tapped(record: Path | None) -> Tapped:
            return Tapped(
                number,
                request,
                name,
                self._there.netloc if self._embedded is None else self._embedded.describe()["name"],
                record,
                came=passed.came,
                keep=record is None or self.sessions.maxlen != 0,
                keep_audio=self._keep_audio,
                network=self._faults,
                writer=self._writer,
                over=partial(self._over, passed.client),
                on_event=partial(self._on_event, number),
            )

        try:
            self._open[passed.client] = tapped(record)
        except (OSError, ValueError) as error:  # the file costs itself, not the facts
            self._tell(f"client {number} is not saved: {error}")
            self._open[passed.client] = tapped(None)
        protocol = "unknown protocol" if name == UNKNOWN else name
        self._tell(f"client {number} came: {protocol}, {told(request.path, 60)}")

    def _over(self, client: int, one: Tapped) -> None:
        del self._open[client]
        if one.session is None:
            return
        self.sessions.append(one.session)
        kept = "" if one.path is None else f" ({one.path})"
        lost = "".join(f"; {why}" for why in (one.unread, one.unsaved) if why)
        self._tell(f"client {one.number}: {verdict(one.session)}{lost}{kept}")


def _from(relay: subprocess.Popen[str]) -> BufferedReader:
    return cast(BufferedReader, cast(TextIOWrapper, relay.stdout).buffer)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def verdict(session: Session) -> str:
    """How a client paced, and whose the latency was, in a sentence."""
    ending, late = session.ending, session.lateness
    failed = f"; failed: {ending.error}" if ending is not None and ending.how == "failed" else ""
    if not session.chunks:
        return f"no audio came{failed}"
    if not session.settings.timed:
        return (
            f"{counted(len(session.chunks), 'chunk')}, {counted(session.bytes_sent, 'byte')}; "
            f"{pacing_of(session)}; the tap {passing(session)}{failed}"
        )
    pacing, seconds = pacing_of(session).name, f"{session.settings.seconds:.3g} s"
    after = f"{late[-1]:.2f} s late after {seconds}"
    most = f"at most {late.max() * 1000:.0f} ms late"
    took = f"{seconds} of audio in {session.sent[-1] - session.sent[0]:.3g} s"
    text = {
        "wall_clock": f"paced by the wall clock, {most} in {seconds}",
        "fixed_sleep": f"paced by fixed sleep, {after}",
        "bursts": f"sent in bursts, {most} in {seconds}",
        "unpaced": f"not paced, {took}",
        "too fast": f"paced too fast, {took}",
        "unknown": f"too few chunks to tell the pacing, {seconds} of audio",
    }[pacing]
    turns = turn_latency(session)
    if turns.counted.any():
        text += f"; turn latency p50 {np.median(turns.latency[turns.counted]) * 1000:.0f} ms"
        share = senders_share(turns)
        if not np.isnan(share):
            text += f", of which your client caused {round(100 * share)}%"
    return f"{text}; the tap {passing(session)}{failed}"
