"""`Tap`: stands between any client and a service, and keeps a session of each client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import numpy as np

from rtkit.analysis.timing.latency import senders_share, turn_latency
from rtkit.analysis.timing.lateness import pacing_of
from rtkit.boundary.text import told
from rtkit.clock.stalls import Lookout
from rtkit.loopback.process import Loopback
from rtkit.services.service import ASSEMBLYAI, dialect_named
from rtkit.session import Fact, Session
from rtkit.tap.network import SIDES, Network, read_network
from rtkit.tap.relay import Observer, Relay
from rtkit.tap.request_head import Request, Upstream
from rtkit.tap.tapped import Tapped, dialect_at
from rtkit.writing import Writer

__all__ = ["Tap", "verdict"]

GOODBYE = 1.0  # seconds in which clients may still end when the tap does


class Tap:
    """Relay clients to a service, byte for byte, and measure their sessions on the way.

    Parameters
    ----------
    upstream : str or Loopback
        The service: ``"wss://streaming.assemblyai.com"``, or ``"embedded"`` for the embedded
        service.
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
    tls : SSLContext, optional
        For clients that accept only encrypted connections; `rtkit.loopback.tls` makes one.
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
        If `upstream` is not the address of a service, or the protocol is unknown.

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
        tls: ssl.SSLContext | None = None,
        keep: int | None = None,
        tell: Callable[[str], object] | None = None,
        on_event: Callable[[int, Fact], object] | None = None,
    ) -> None:
        if protocol is not None:
            dialect_named(protocol)
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
        self._relays: set[Relay] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._open: set[Tapped] = set()
        self._stack = contextlib.AsyncExitStack()
        self._tls, self._faults, self._seed = tls, tuple(faults), seed
        self._networks()
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
            upstream = self._there
            tls = ssl.create_default_context() if upstream.encrypted else None
            if self._record is not None:
                self._writer = Writer()
                stack.callback(self._writer.close)
                there_are = (re.match(r"client-(\d+)", one.name) for one in _files(self._record))
                self._clients = max((int(one[1]) for one in there_are if one), default=0)
            loop = asyncio.get_running_loop()

            def client() -> asyncio.Protocol:
                relay = Relay(upstream, tls, self._admit, self._gone, *self._networks())
                self._relays.add(relay)
                self._nobody.clear()
                return relay.client

            server = await loop.create_server(client, "127.0.0.1", self._port, ssl=self._tls)
            self._port = server.sockets[0].getsockname()[1]
            lookout = Lookout(self._stalled)
            stack.callback(lookout.close)
            stack.push_async_callback(self._end)
            stack.callback(server.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _networks(self) -> tuple[Network, Network]:
        seed = f"{self._seed} {self._clients}"
        up, down = (read_network(self._faults, side, seed=seed) for side in SIDES)
        return up, down

    def _gone(self, relay: Relay) -> None:
        self._relays.discard(relay)
        if not self._relays:
            self._nobody.set()

    async def _end(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._nobody.wait()
        for relay in tuple(self._relays):
            await relay.close()
        await asyncio.sleep(0)
        for one in tuple(self._open):
            one.ended("client")

    def _admit(self, request: Request) -> Observer | str:
        upstream = self._there
        if (whose := request.foreign(self._port)) is not None:
            return f"Pages from {whose} are not allowed."
        name = self._protocol or dialect_at(request.path)
        if not request.upgrades or name is None:
            self._tell(f"passed on without measuring: {told(request.path, 60)}")
            return _Unseen()
        self._clients += 1
        number = self._clients
        record = None if self._record is None else self._record / f"client-{number}.jsonl"
        one = Tapped(
            number,
            request,
            name,
            upstream,
            record,
            keep_audio=self._keep_audio,
            network=self._faults,
            writer=self._writer,
            over=self._over,
            on_event=partial(self._on_event, number),
        )
        self._open.add(one)
        self._tell(f"client {number} came: {name}, {request.path}")
        return one

    def _over(self, one: Tapped) -> None:
        self._open.discard(one)
        if one.session is None:
            return
        self.sessions.append(one.session)
        kept = "" if one.path is None else f" ({one.path})"
        unread = f"; {one.unread}" if one.unread else ""
        self._tell(f"client {one.number}: {verdict(one.session)}{unread}{kept}")

    def _stalled(self, at: float, seconds: float) -> None:
        for one in self._open:
            one.stalled(at, seconds)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


class _Unseen:
    """Of what is passed on without a look."""

    def up(self, data: bytes, came: float, went: float, waited: float | None) -> None: ...

    def down(self, data: bytes, came: float, went: float, waited: float | None) -> None: ...

    def ended(self, by: str, error: str = "") -> None: ...


def verdict(session: Session) -> str:
    """How a client paced, and whose the latency was, in a sentence."""
    if not session.chunks:
        return f"{session.ending.how if session.ending else 'ended'}, no audio came"
    late, seconds = session.lateness[-1], session.settings.seconds
    text = f"{pacing_of(session)}; {late:.2f} s late after {seconds:.0f} s"
    turns = turn_latency(session)
    if turns.counted.any():
        text += f"; turn latency p50 {np.median(turns.latency[turns.counted]) * 1000:.0f} ms"
        share = senders_share(turns)
        if not np.isnan(share):
            text += f", of which your client caused {100 * share:.0f} %"
    return text
