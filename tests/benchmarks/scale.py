"""How many sessions one process holds on time, beside a task per session and library defaults.

    python tests/benchmarks/scale.py [--sessions 50 200 500 1000 2000 4000] [--seconds 10]

Each sender is a process of its own and opens so many websockets to one sink on 127.0.0.1, a second
process, which counts bytes and keeps nothing. All are opened first; then each sends a chunk of
100 ms (3200 bytes) ten times a second, for `--seconds`.

rtkit
    `rtkit.stream_many`: one timetable, phases spread.
tasks
    A task per session that sleeps until its next due time (asyncio.sleep, websockets without
    compression), phases drawn at random: how it is done with care.
defaults
    The same as people write it: `websockets.connect` as it is, so with compression, and all
    sessions in step.

lateness
    What the sender saw just before it sent, minus due; all chunks of all sessions.
CPU
    User and system time of the sender's process from the first due time to the last chunk, divided
    by the chunks sent.

The senders take turns, `--rounds` times at each size, and the round with the lowest p99 counts:
what disturbs on a shared machine only adds.

"saturated" is what `rtkit.stream_many` itself says of its run. A sender whose p99 has
passed half a second is left out at larger sizes: it would only be worse.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ratios import ratio

RATE, CHUNK = 16000, 0.1
BEGIN = json.dumps({"type": "Begin", "id": "benchmark", "expires_at": 0})
TERMINATION = json.dumps(
    {"type": "Termination", "audio_duration_seconds": 0, "session_duration_seconds": 0}
)
HOPELESS = 0.5  # seconds
AIMED = 2000  # sessions, for which the aims hold


# The sink.


class Sink(asyncio.BufferedProtocol):
    """A websocket that reads frames' headers, forgets what is in them, and answers Terminate."""

    def __init__(self, buffer: bytearray) -> None:
        from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
        from websockets.server import ServerProtocol

        self._buffer = buffer  # one for all: nothing is kept between two reads
        deflate = ServerPerMessageDeflateFactory()
        self._handshake: ServerProtocol | None = ServerProtocol(extensions=[deflate])
        self._header, self._left, self._opcode, self._ping = b"", 0, 2, b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        if self._handshake is not None:
            self._shake_hands(bytes(self._buffer[:size]))
        elif not self._header and self._left >= size and self._opcode == 2:  # by far the most
            self._left -= size
        else:
            self._skip(memoryview(self._buffer)[:size])

    def _shake_hands(self, data: bytes) -> None:
        from websockets.http11 import Request

        protocol = self._handshake
        assert protocol is not None
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
                self._transport.write(b"".join(protocol.data_to_send()))
                self._transport.write(_frame(1, BEGIN.encode()))
                self._handshake = None

    def _skip(self, data: memoryview) -> None:
        at = 0
        while at < len(data):
            if not self._left:
                at = self._read_header(data, at)
                continue
            step = min(self._left, len(data) - at)
            if self._opcode == 9:
                self._ping += bytes(data[at : at + step])
            at, self._left = at + step, self._left - step
            if not self._left:
                self._answer()

    def _read_header(self, data: memoryview, at: int) -> int:
        self._header += bytes(data[at : at + 1])
        size = self._header[1] & 127 if len(self._header) > 1 else 0
        wide = {126: 2, 127: 8}.get(size, 0)
        if len(self._header) == 2 + wide:
            if wide:
                size = int.from_bytes(self._header[2:])
            self._opcode = self._header[0] & 15
            self._left, self._header = 4 + size, b""
        return at + 1

    def _answer(self) -> None:
        if self._opcode == 9:
            mask, sent = self._ping[:4], self._ping[4:]
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(sent))
            self._transport.write(_frame(10, payload))
            self._ping = b""
        elif self._opcode in (1, 8):
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        self._transport.write(_frame(1, TERMINATION.encode()) + _frame(8, b"\x03\xe8"))
        self._transport.close()


def _frame(opcode: int, payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes([128 | opcode, len(payload)]) + payload


async def sink() -> None:
    loop = asyncio.get_running_loop()
    buffer = bytearray(1 << 18)
    server = await loop.create_server(lambda: Sink(buffer), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # it ends when its parent does
    server.close()


# The senders. Each gives the lateness of all chunks, CPU and wall seconds, and "saturated".

Result = tuple[list[float], float, float, bool | None]


async def send_rtkit(port: int, recording: Path, sessions: int) -> Result:
    from receiver import Receiver

    import rtkit

    clip = rtkit.open_clip(recording)
    result = await rtkit.stream_many([clip] * sessions, chunk=CHUNK, service=Receiver(port))
    if result.errors:
        raise result.errors[0]
    return result.lateness.tolist(), result.cpu, result.seconds, result.saturated


async def send_tasks(port: int, recording: Path, sessions: int) -> Result:
    drawn = random.Random(0)
    phases = [drawn.random() * CHUNK for _ in range(sessions)]
    return await _send_by_tasks(port, recording, phases, compression=None)


async def send_defaults(port: int, recording: Path, sessions: int) -> Result:
    return await _send_by_tasks(port, recording, [0.0] * sessions)


async def _send_by_tasks(port: int, recording: Path, phases: list[float], **options: Any) -> Result:
    from websockets.asyncio.client import connect

    loop = asyncio.get_running_loop()
    audio = _chunks(recording)
    opening = asyncio.Semaphore(32)
    late: list[float] = []

    async def open_one() -> Any:
        async with opening:
            connection = await connect(f"ws://127.0.0.1:{port}/", proxy=None, **options)
            await connection.recv()
            return connection

    async def send(connection: Any, zero: float) -> None:
        for i, payload in enumerate(audio):
            due = zero + (i + 1) * CHUNK
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            late.append(loop.time() - due)
            await connection.send(payload)

    async def close(connection: Any) -> None:
        async with opening:
            await connection.send(json.dumps({"type": "Terminate"}))
            await connection.recv()
            await connection.close()

    connections = await asyncio.gather(*(open_one() for _ in phases))
    zero, cpu = loop.time() + 0.1, time.process_time()
    await asyncio.gather(
        *(
            send(connection, zero + phase)
            for connection, phase in zip(connections, phases, strict=True)
        )
    )
    cpu, wall = time.process_time() - cpu, loop.time() - zero
    await asyncio.gather(*map(close, connections))
    return late, cpu, wall, None


def _chunks(recording: Path) -> list[bytes]:
    with wave.open(str(recording)) as file:
        return list(iter(lambda: file.readframes(round(CHUNK * RATE)), b""))


SENDERS: dict[str, Callable[[int, Path, int], Coroutine[Any, Any, Result]]] = {
    "tasks": send_tasks,
    "rtkit": send_rtkit,
    "defaults": send_defaults,
}


def send(name: str, port: int, recording: Path, sessions: int) -> None:
    import numpy as np

    late, cpu, wall, saturated = asyncio.run(SENDERS[name](port, recording, sessions))
    p50, p99 = np.quantile(late, (0.5, 0.99)).tolist()
    figures = {"p50": p50, "p99": p99, "max": max(late), "cpu": cpu / len(late)}
    print(json.dumps({**figures, "busy": cpu / wall, "saturated": saturated}))


# The run.


def measure(name: str, port: int, recording: Path, sessions: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--send", name, str(port), str(recording), str(sessions)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [50, 200, 500, 1000, 2000, 4000]
    parser.add_argument("--sessions", type=int, nargs="+", default=sizes)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=SENDERS, default=list(SENDERS))
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--send", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
    if options.sink:
        asyncio.run(sink())
    elif options.send:
        name, port, recording, sessions = options.send
        send(name, int(port), Path(recording), int(sessions))
    else:
        run(options.sessions, options.seconds, options.rounds, options.only, options.json)


def run(sizes: list[int], seconds: float, rounds: int, names: list[str], path: Path | None) -> None:
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"websockets {importlib.metadata.version('websockets')}"
    )
    print(f"{seconds:g} s of 100 ms chunks a session; lateness in ms, CPU in µs a chunk\n")
    print("sessions  sender       p50      p99      max   CPU  core   p99 / tasks")
    rows: list[dict[str, Any]] = []
    names = [name for name in SENDERS if name in names]
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "noise.wav"
        with wave.open(str(recording), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(random.Random(0).randbytes(2 * round(seconds * RATE)))
        for sessions in sizes:
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for _ in range(rounds):
                for name in names:
                    found[name].append(beside_a_sink(name, recording, sessions))
            best = {name: min(found[name], key=lambda one: float(one["p99"])) for name in names}
            names = [name for name in names if best[name]["p99"] < HOPELESS]
            rows += [{"sessions": sessions, "sender": name, **best[name]} for name in best]
            for name, figures in best.items():
                print_row(sessions, name, figures, best.get("tasks"))
    if path is not None:
        path.write_text(json.dumps(rows, indent=1) + "\n")
    print_ratios(rows)


def beside_a_sink(name: str, recording: Path, sessions: int) -> dict[str, Any]:
    with subprocess.Popen(
        [sys.executable, __file__, "--sink"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        figures = measure(name, int(child.stdout.readline()), recording, sessions)
        child.stdin.close()
    return figures


def print_row(
    sessions: int, name: str, figures: dict[str, Any], tasks: dict[str, Any] | None
) -> None:
    late = "".join(f"{figures[part] * 1000:9.2f}" for part in ("p50", "p99", "max"))
    ratio = "" if tasks is None else f"{figures['p99'] / tasks['p99']:.3f}"
    print(
        f"{sessions:8d}  {name:8s}{late}{figures['cpu'] * 1e6:6.0f}{figures['busy']:6.2f}"
        f"{ratio:>13s}" + ("   saturated" if figures["saturated"] else ""),
        flush=True,
    )


def print_ratios(rows: list[dict[str, Any]]) -> None:
    """At the size for which there are aims, or at the largest without any."""
    sizes = {row["sessions"] for row in rows if row["sender"] == "rtkit"}
    if not sizes:
        return
    size = AIMED if AIMED in sizes else max(sizes)
    found = {row["sender"]: row for row in rows if row["sessions"] == size}
    ours, at = found["rtkit"], f"{size} sessions"
    late, beside, cpu = (10, 0.1, 60) if size == AIMED else (None, None, None)
    print()
    if tasks := found.get("tasks"):
        ratio(f"lateness p99 / tasks, {at}", ours["p99"] / tasks["p99"], beside)
        ratio(f"CPU / tasks, {at}", ours["cpu"] / tasks["cpu"])
    else:
        print(f"Without a ratio to tasks: they did not take part at {at}.")
    ratio(f"lateness p99, {at}", ours["p99"] * 1000, late, unit="ms")
    ratio(f"CPU, {at}", ours["cpu"] * 1e6, cpu, unit="µs a chunk")


if __name__ == "__main__":
    main()
