"""The relay in a process of its own: nothing that observes, draws or computes delays what passes.

It is told over standard input what to do, as a line of JSON, answers with its port, and then with
what passed, in records of `rtkit.tap.passed`. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import queue
import socket
import ssl
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtkit.boundary.text import told
from rtkit.clock.stalls import Lookout
from rtkit.loopback.tls import local_ca
from rtkit.tap.network import SIDES, read_network
from rtkit.tap.passed import Passed
from rtkit.tap.relay import Relay
from rtkit.tap.request_head import Request, Upstream
from rtkit.tap.stamped import StampedSocket

GOODBYE = 1.0  # seconds in which clients may still end when the tap does
PAUSE = 0.01  # seconds between two times of telling what passed
HELD = 1 << 26  # bytes that wait to be told, while whoever observes is busy; then copies are lost
BACKLOG = 1024  # clients that come at once
# Seconds: a loop that sleeps for longer wakes with cold caches, 0.07 ms later (half of what the tap
# adds), and its lookout sees that the host held it up only while something is due.
BEAT = 0.01


class Copies:
    """Tells what passed on standard output, beside the relay: a thread writes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._records: list[bytes] = []
        self._queue: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self._put = self._written = 0  # bytes
        self._thread = threading.Thread(target=self._write, name="rtkit-copies", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        return self._put - self._written > HELD

    def put(self, passed: Passed) -> None:
        if not self._records:
            self._loop.call_later(PAUSE, self._flush)
        record = passed.pack()
        self._records.append(record)
        self._put += len(record)

    def _flush(self) -> None:
        records, self._records = self._records, []
        self._queue.put(records)

    def close(self) -> None:
        """Tell all there is."""
        self._flush()
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (records := self._queue.get()) is not None:
            data = memoryview(b"".join(records))
            with contextlib.suppress(OSError):  # nobody observes any more
                while data:
                    written = os.write(1, data)
                    data, self._written = data[written:], self._written + written


@dataclass
class Copy:
    """Observes a client by copying what passes."""

    client: int
    copies: Copies
    lost: bool = False

    def up(self, data: bytes, came: float, went: float, waited: float | None) -> None:
        self._passed(b"u", data, came, went, waited)

    def down(self, data: bytes, came: float, went: float, waited: float | None) -> None:
        self._passed(b"d", data, came, went, waited)

    def ended(self, by: str, at: float, error: str = "") -> None:
        self.copies.put(Passed(b"e", self.client, at, at, None, f"{by}\n{error}".encode()))

    def _passed(
        self, kind: bytes, data: bytes, came: float, went: float, waited: float | None
    ) -> None:
        if self.copies.full and not self.lost:
            self.lost = True
            self.copies.put(Passed(b"l", self.client, came, came, None, b""))
        if not self.lost:
            self.copies.put(Passed(kind, self.client, came, went, waited, data))


class Relays:
    """All clients of a tap."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._upstream, self._faults = Upstream(asked["upstream"]), asked["faults"]
        self._seed, self._clients = asked["seed"], 0
        self._to_service = ssl.create_default_context() if self._upstream.encrypted else None
        self._tls = None if asked["tls"] is None else local_ca(Path(asked["tls"]))
        self._relays: set[Relay] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._copies = Copies()
        listening = StampedSocket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", asked["port"]))
        listening.listen(BACKLOG)
        listening.setblocking(False)
        self._listening, self.port = listening, listening.getsockname()[1]

    async def serve(self, ended: asyncio.Event) -> None:
        """Relay until told to end."""
        loop = asyncio.get_running_loop()
        lookout = Lookout(self._stalled)
        _beat(loop)
        accepting = asyncio.create_task(self._accept(loop), name="rtkit-accept")
        await ended.wait()
        accepting.cancel()
        self._listening.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._nobody.wait()
        for relay in tuple(self._relays):
            await relay.close()
        await asyncio.sleep(0)
        lookout.close()
        self._copies.close()

    async def _accept(self, loop: asyncio.AbstractEventLoop) -> None:
        tasks: set[asyncio.Task[None]] = set()
        while True:
            try:
                line, _ = await loop.sock_accept(self._listening)
            except OSError:  # no room for one more file
                await asyncio.sleep(0.1)
                continue
            task = asyncio.create_task(self._meet(loop, line), name="rtkit-tap")
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _meet(self, loop: asyncio.AbstractEventLoop, line: socket.socket) -> None:
        self._clients += 1
        client, seed = self._clients, f"{self._seed} {self._clients}"

        def admit(request: Request) -> Copy | str | None:
            if (whose := request.foreign(self.port)) is not None:
                return f"Pages from {whose} are not allowed."
            now = loop.time()
            if not request.upgrades:
                path = told(request.path, 60).encode()
                self._copies.put(Passed(b"n", client, now, now, None, path))
                return None
            head = b"\r\n".join(request.lines)
            self._copies.put(Passed(b"h", client, now, now, None, head))
            return Copy(client, self._copies)

        up, down = (read_network(self._faults, side, seed=seed) for side in SIDES)
        relay = Relay(line, self._upstream, self._to_service, admit, self._gone, up, down)
        self._relays.add(relay)
        self._nobody.clear()
        try:
            await loop.connect_accepted_socket(lambda: relay.client, line, ssl=self._tls)
        except OSError:  # whoever came does not trust us, or does not encrypt
            line.close()
            if relay.client.transport is None:
                self._gone(relay)

    def _gone(self, relay: Relay) -> None:
        self._relays.discard(relay)
        if not self._relays:
            self._nobody.set()

    def _stalled(self, at: float, seconds: float) -> None:
        self._copies.put(Passed(b"s", 0, at, at, seconds, b""))


def _beat(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_later(BEAT, _beat, loop)


async def _serve(asked: dict[str, Any]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        relays = Relays(asked)
    except (OSError, ImportError, ValueError) as error:
        number, why = getattr(error, "errno", None), getattr(error, "strerror", None)
        missing = isinstance(error, ImportError)
        said = {"error": why or str(error), "number": number, "missing": missing}
        print(json.dumps(said), flush=True)
        return
    print(json.dumps({"port": relays.port}), flush=True)

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    gc.collect()
    gc.freeze()  # what is there by now is never looked through again
    await relays.serve(ended)


if __name__ == "__main__":
    if line := sys.stdin.readline():
        asyncio.run(_serve(json.loads(line)))
