"""What the tap adds to each message's way, beside a direct connection and in one run.

    python tests/benchmarks/tap.py [--seconds 20] [--clients 1 200]

A service in a process of its own, the tap in another one, and here the clients: half of them
connect directly, half through the tap, all at the same time, each with its own phase. Each sends
100 ms of audio (3200 bytes) ten times a second, and gets a short message back. Both carry the
instant at which they were sent, on the machine's monotonic clock, and are read on arrival. The tap
records what passes, as it always does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO

import numpy as np
from ratios import ratio
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

CHUNK, BYTES = 0.1, 3200
PATH = "/v3/ws?sample_rate=16000"
STAMP = struct.Struct("<q")
AIMS = {1: (0.15, 0.3), 200: (None, 1.0)}  # ms added, p50 and p99, each way


async def service() -> None:
    """Answers each chunk with how long it took, and the instant of the answer."""

    async def session(connection: ServerConnection) -> None:
        async for frame in connection:
            took = time.monotonic_ns() - STAMP.unpack_from(frame)[0]  # type: ignore[arg-type]
            await connection.send(json.dumps({"took": took, "at": time.monotonic_ns()}))

    async with serve(session, "127.0.0.1", 0, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def client(host: str, seconds: float, phase: float) -> list[tuple[int, int]]:
    """One client's ways up and down, in nanoseconds."""
    ways: list[tuple[int, int]] = []

    async def listen(connection: ClientConnection) -> None:
        async for text in connection:
            said = json.loads(text)
            ways.append((said["took"], time.monotonic_ns() - said["at"]))

    loop = asyncio.get_running_loop()
    async with connect(f"ws://{host}{PATH}", compression=None, proxy=None) as connection:
        listening = asyncio.create_task(listen(connection))
        begin = loop.time() + phase
        for index in range(round(seconds / CHUNK)):
            await asyncio.sleep(begin + index * CHUNK - loop.time())
            stamp = STAMP.pack(time.monotonic_ns())
            await connection.send(stamp + bytes(BYTES - len(stamp)))
        await asyncio.sleep(0.2)
    await listening
    return ways[round(1 / CHUNK) :]  # the first second is not the rule


async def clients(hosts: tuple[str, str], count: int, seconds: float) -> list[np.ndarray]:
    drawn = random.Random(0)
    half = max(1, count // 2)
    every = [(host, drawn.random() * CHUNK) for host in hosts for _ in range(half)]
    found = await asyncio.gather(*(client(host, seconds, phase) for host, phase in every))
    return [np.concatenate(found[at : at + half]) / 1e6 for at in (0, half)]


@contextlib.contextmanager
def child(*command: str) -> Iterator[IO[str]]:
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line for each client that comes and goes
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 200], help="through the tap")
    parser.add_argument("--service", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.service:
        asyncio.run(service())
        return
    with tempfile.TemporaryDirectory() as folder, child(__file__, "--service") as told:
        direct = f"127.0.0.1:{int(told.readline())}"
        tap = ("-m", "rtkit.tap", "--upstream", f"ws://{direct}", "--port", "0")
        with child(*tap, "--record", folder) as listening:
            tapped = listening.readline().split()[2].removeprefix("ws://").rstrip(";")
            for count in options.clients:
                both = asyncio.run(clients((direct, tapped), 2 * count, options.seconds))
                print(f"\n{count} through the tap, as many directly; ms, p50 and p99")
                for way, name in enumerate(("up", "down")):
                    straight, through = (np.quantile(one[:, way], (0.5, 0.99)) for one in both)
                    print(f"{name:5} direct {straight.round(3)}  tap {through.round(3)}")
                    aims = AIMS.get(count, (None, None))
                    for added, which, aim in zip(
                        through - straight, ("p50", "p99"), aims, strict=True
                    ):
                        ratio(f"added {name}, {which}, {count} clients", added, aim, unit="ms")


if __name__ == "__main__":
    main()
