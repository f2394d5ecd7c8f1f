"""What the tap adds to each message's way, beside a direct connection and in one run.

    python tests/benchmarks/tap.py [--seconds 20] [--clients 1 200]
    python tests/benchmarks/tap.py --soak 600 --clients 5    # the tap's memory, each minute
    python tests/benchmarks/tap.py --truth    # rtkit's own sessions, as the tap saw them

A service in a process of its own, the tap in another one, and here the clients: half of them
connect directly, half through the tap, all at the same time, each with its own phase. Each sends
100 ms of audio (3200 bytes) ten times a second, and gets a short message back. Both carry the
instant at which they were sent, on the machine's monotonic clock, and are read on arrival. The tap
records what passes, as it always does, and its own figure of what it adds is printed, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from ratios import ratio

import rtkit

ROOT = Path(__file__).parents[2]
CHUNK, BYTES = 0.1, 3200
PATH = "/v3/ws?sample_rate=16000"
STAMP = struct.Struct("<q")
FRAME = bytes([0x82, 0x80 | 126, *BYTES.to_bytes(2), 0, 0, 0, 0])  # masked by zeros: unchanged
HEAD = (
    b"GET " + PATH.encode() + b" HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
)
AIMS = {1: (0.15, 0.3), 200: (None, 1.0)}  # ms added, p50 and p99, each way


class Service(asyncio.Protocol):
    """Answers each chunk with how long it took, and the instant of the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._data, self._open = cast(asyncio.Transport, transport), b"", False

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._data += data
        if not self._open:
            _, self._open, self._data = _opened(self._data)
            if self._open:
                self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        while self._open and len(self._data) >= len(FRAME) + BYTES:
            took = now - STAMP.unpack_from(self._data, len(FRAME))[0]
            self._data = self._data[len(FRAME) + BYTES :]
            said = b'{"took": %12d, "at": %20d}' % (took, time.monotonic_ns())
            self._transport.write(bytes([0x81, len(said)]) + said)


def _opened(data: bytes) -> tuple[bytes, bool, bytes]:
    """The head, if all of it is there, and what follows."""
    head, end, rest = data.partition(b"\r\n\r\n")
    return (head, True, rest) if end else (b"", False, data)


async def service() -> None:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(Service, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


class Client(asyncio.Protocol):
    """One client, and its ways up and down in nanoseconds."""

    def __init__(self, host: str, chunks: int, phase: float) -> None:
        self._host, self._left, self._phase = host, chunks, phase
        self._loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        self._data, self._open = b"", False
        self.ways: list[tuple[int, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(HEAD % self._host.encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._data += data
        if not self._open:
            _, self._open, self._data = _opened(self._data)
            if self._open:
                self._send(self._loop.time() + self._phase)
        while self._open and self._data and len(self._data) >= 2 + self._data[1]:
            said, self._data = self._data[: 2 + self._data[1]], self._data[2 + self._data[1] :]
            answer = json.loads(said[2:])
            self.ways.append((answer["took"], now - answer["at"]))

    def connection_lost(self, _: Exception | None) -> None:
        self.ended.set()

    def _send(self, due: float) -> None:
        if (wait := due - self._loop.time()) > 0:
            self._loop.call_later(wait, self._send, due)
        elif self._left:
            self._left -= 1
            stamp = STAMP.pack(time.monotonic_ns())
            self._transport.write(FRAME + stamp + bytes(BYTES - len(stamp)))
            self._loop.call_later(CHUNK / 2, self._send, due + CHUNK)
        else:
            self._loop.call_later(0.2, self._transport.close)


def _same(one: Client) -> Client:
    return one


async def clients(hosts: tuple[str, str], count: int, seconds: float) -> list[np.ndarray]:
    loop, drawn = asyncio.get_running_loop(), random.Random(0)
    half = max(1, count // 2)
    phases = [drawn.random() for _ in range(half)]
    every = [  # half a chunk apart, so that neither finds the service just woken by the other
        Client(host, round(seconds / CHUNK), (phase + shift) % 1 * CHUNK)
        for host, shift in zip(hosts, (0.0, 0.5), strict=True)
        for phase in phases
    ]
    gc.collect()
    gc.freeze()
    gc.disable()
    for one in every:
        host, _, port = one._host.partition(":")
        await loop.create_connection(partial(_same, one), host, int(port))
    await asyncio.gather(*(one.ended.wait() for one in every))
    skip = round(1 / CHUNK)  # the first second is not the rule
    ways = [one.ways[skip:] for one in every]
    return [np.concatenate(ways[at : at + half]) / 1e6 for at in (0, half)]


@contextlib.contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line for each client that comes and goes
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def delays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the tap says that it added up and down, p50 and p99, in ms; takes the files away."""
    time.sleep(2)  # until it has taken down how the last client ended
    sessions = [rtkit.load_session(path) for path in folder.glob("*.jsonl")]
    for path in folder.glob("*.jsonl"):
        path.unlink()
    up = [one.returned - one.sent for session in sessions for one in session.chunks]
    down = [one.waited or 0.0 for session in sessions for one in session.messages]
    return np.quantile(up, (0.5, 0.99)) * 1000, np.quantile(down, (0.5, 0.99)) * 1000


def memory(process: int | str) -> float:
    """What a process and its children hold, in MB."""
    held = int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    return held / 1e6 + sum(map(memory, children))


async def soak(tapped: str, tap: int, count: int, seconds: float) -> None:
    """Print what the tap holds, each minute."""
    running = asyncio.create_task(clients((tapped, tapped), count, seconds))
    held = []
    for minute in range(int(seconds / 60) + 1):
        await asyncio.sleep(10 if minute == 0 else 60 if minute > 1 else 50)
        held.append(memory(tap))
        print(f"{minute} min: {held[-1]:.1f} MB", flush=True)
    await running
    ratio(
        f"memory, last / second minute, {count} clients",
        held[-1] / held[min(1, len(held) - 1)],
        1.05,
    )


def truth(seconds: float) -> None:
    """Print what the tap made of rtkit's own sessions, against what these say themselves.

    All after the constant is taken out, by which the two differ: the most punctual chunk's own
    lateness and its way to the tap, which nobody between can see.
    """
    script = ROOT / "data" / "library_call.json"
    clip = rtkit.open_clip(script.with_suffix(".wav"), seconds=seconds)
    cases: list[dict[str, Any]] = [
        *({"pacing": pacing, "chunk": chunk, "work": 0.004}
          for pacing in ("wall_clock", "fixed_sleep", "unpaced")
          for chunk in (0.05, 0.1, 0.25, 1.0)),
        {"pacing": "wall_clock", "chunk": 0.05, "blocks": ((2.0, 0.5),)},
        {"pacing": "wall_clock", "chunk": 0.1, "blocks": ((2.0, 0.3),), "catch_up": 2},
        {"pacing": "fixed_sleep", "chunk": 0.1, "blocks": ((2.0, 0.3),)},
    ]  # fmt: skip
    serve = ("-m", "rtkit.loopback", "--port", "0", "--script", str(script))
    print("differences in ms: lateness p50, p99, max | turn latency max | constant | pacing_of")
    worst = np.zeros(2)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, child(*serve) as answers:
        assert answers.stdout is not None
        upstream = "/".join(answers.stdout.readline().split()[2].split("/")[:3]).rstrip(";")
        tap = ("-m", "rtkit.tap", "--upstream", upstream, "--port", "0", "--record", folder)
        with child(*tap) as process:
            assert process.stdout is not None
            host = process.stdout.readline().split()[2].rstrip(";")
            service = rtkit.AssemblyAI(key="none", host=host)
            owns = [asyncio.run(rtkit.stream(clip, service=service, **case)) for case in cases]
            time.sleep(1)
        for number, (case, own) in enumerate(zip(cases, owns, strict=True), start=1):
            seen = rtkit.load_session(Path(folder) / f"client-{number}.jsonl")
            late = seen.lateness - own.lateness
            constant = float(np.median(late))
            late = np.abs(late - constant) * 1000
            turns = rtkit.turn_latency(seen).latency - rtkit.turn_latency(own).latency - constant
            turn = float(np.abs(turns).max(initial=0)) * 1000
            told = rtkit.pacing_of(seen).name
            p99 = float(np.quantile(late, 0.99))
            if case["pacing"] != "unpaced":
                worst = np.maximum(worst, (p99, turn))
            wrong += told != case["pacing"]
            what = " ".join(f"{name}={value}" for name, value in case.items())
            print(f"{what}: {np.median(late):.2f} {p99:.2f} {late.max():.2f} | {turn:.2f} | "
                  f"{constant * 1000:.2f} | {told}")  # fmt: skip
    ratio("lateness, tap - sender, worst p99", worst[0], 1.0, unit="ms")
    ratio("turn latency, tap - sender, worst", worst[1], 1.0, unit="ms")
    ratio("sessions whose pacing was told wrong", wrong, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 200], help="through the tap")
    parser.add_argument("--service", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="print the tap's memory")
    parser.add_argument("--truth", action="store_true", help="compare with the sender's figures")
    options = parser.parse_args()
    if options.truth:
        truth(min(options.seconds, 8.0))
        return
    if options.service:
        asyncio.run(service())
        return
    with tempfile.TemporaryDirectory() as folder, child(__file__, "--service") as answers:
        assert answers.stdout is not None
        direct = f"127.0.0.1:{int(answers.stdout.readline())}"
        tap = ("-m", "rtkit.tap", "--upstream", f"ws://{direct}", "--port", "0")
        with child(*tap, "--record", folder) as process:
            assert process.stdout is not None
            tapped = process.stdout.readline().split()[2].removeprefix("ws://").rstrip(";")
            if options.soak:
                asyncio.run(soak(tapped, process.pid, 2 * options.clients[0], options.soak))
                return
            for count in options.clients:
                both = asyncio.run(clients((direct, tapped), 2 * count, options.seconds))
                own = delays(Path(folder))
                print(f"\n{count} through the tap, as many directly; ms, p50 and p99")
                for way, (name, said) in enumerate(zip(("up", "down"), own, strict=True)):
                    straight, through = (np.quantile(one[:, way], (0.5, 0.99)) for one in both)
                    print(f"{name:5} direct {straight.round(3)}  tap {through.round(3)}; "
                          f"the tap says that it added {said.round(3)}")  # fmt: skip
                    aims = AIMS.get(count, (None, None))
                    for added, which, aim in zip(
                        through - straight, ("p50", "p99"), aims, strict=True
                    ):
                        ratio(f"added {name}, {which}, {count} clients", added, aim, unit="ms")


if __name__ == "__main__":
    main()
