"""How precisely rtkit paces, beside what people use instead, at one receiver and in one run.

    python tests/benchmarks/pacing.py [--seconds 60] [--chunk-ms 100] [--rounds 6] [--only NAME ...]

Every sender reads the same WAV (16 kHz, mono, 16 bit) and sends it in chunks of `--chunk-ms` to a
receiver on 127.0.0.1 that has the kernel stamp each arrival (SO_TIMESTAMPNS; where that is
missing, the receiver's own clock, and the output says so). Sender and receiver are processes of
their own. A chunk has arrived with its last byte; audio travels as websocket messages, without
compression, or as bare TCP where the sender speaks no websocket.

The senders run one after the other in slices of `--seconds` / `--rounds`, and again in each
round, so that a busy minute of the host does not hit one sender only. A second of audio before
and after each slice is left out of everything: start-up and shutdown are not pacing.

lateness
    arrival - (anchor + i * chunk). Not every sender tells when it started, so the anchor is the
    same for all: the most punctual chunk of the slice (the lower envelope), which has lateness 0.
    What is constant, the way through the kernel, falls out; what varies counts, the sending too.
at sender
    What the sender itself saw just before it sent, against its own start: no anchor, and no way
    through the kernel. rtkit's is the lateness that its sessions record.
jitter
    How far the arrival lies from the least-squares line through its slice, moved so that half of
    the chunks lie on either side: what `rtkit.analysis.timing.lateness.jitter` computes.
drift
    That line's slope, in parts per million of real time; the median of the slices.
CPU
    User and system time of the sender's process, in per cent of one core.
others
    What all other processes took meanwhile, in per cent of the whole host.

A busy host makes everyone late, up to a point where nobody can be told from anybody, and a virtual
one stops now and then without a trace in its own statistics. So there are two tables: all slices,
and each sender's best quarter, by lateness p99: what disturbs only adds, which is why timeit, too,
takes the best of its repetitions. The project's aims are for a quiet machine and are held against
the second table; the first one tells how far this machine was from that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import importlib
import importlib.util
import json
import os
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import host
from ratios import ratio

RATE = 16000
MARGIN = 1.0  # seconds before and after a slice that do not count
QUIET = 3.0  # per cent of the host that others may take without a word
PATIENCE = 10.0  # seconds until a sender that does not come is given up
SO_TIMESTAMPNS = 35  # Linux; Python's socket module does not name it
BEGIN = json.dumps({"type": "Begin", "id": "benchmark", "expires_at": 0})
TERMINATE = json.dumps({"type": "Terminate"})
TERMINATION = json.dumps(
    {"type": "Termination", "audio_duration_seconds": 0, "session_duration_seconds": 0}
)


# The receiver.


class RawFrames:
    """Counts chunks in a bare stream of bytes."""

    def __init__(self, size: int) -> None:
        self._size, self._received = size, 0
        self.finished = False

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """How many chunks these bytes complete, and what to answer."""
        before = self._received // self._size
        self._received += len(data)
        return self._received // self._size - before, b""


class WebSocketFrames:
    """Counts the binary messages of a websocket; says Begin and Termination."""

    def __init__(self) -> None:
        from websockets.server import ServerProtocol

        self._protocol = ServerProtocol()
        self.finished = False

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """How many chunks these bytes complete, and what to answer."""
        from websockets.frames import Frame, Opcode
        from websockets.http11 import Request

        chunks = 0
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
                self._protocol.send_text(BEGIN.encode())
            elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                chunks += 1
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._protocol.send_text(TERMINATION.encode())
                self._protocol.send_close(1000)
        self.finished = self._protocol.close_expected()
        return chunks, b"".join(self._protocol.data_to_send())


def receive(speaks: str, size: int, first: int, last: int) -> None:
    """Stamp one sender's chunks; tell the parent when the `first` and the `last` one arrived."""
    frames = WebSocketFrames() if speaks == "websocket" else RawFrames(size)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        server.settimeout(PATIENCE)
        connection, _ = server.accept()
    connection.settimeout(None)
    with connection, contextlib.suppress(ConnectionError):
        kernel = _ask_for_stamps(connection)
        began = _calendar_minus_monotonic()
        stamps: list[int] = []
        merged = 0
        while read := _read(connection):
            data, at = read
            chunks, answer = frames.feed(data)
            before = len(stamps)
            stamps += [at] * chunks
            merged += max(0, chunks - 1)
            for mark, name in ((first, "first"), (last, "last")):
                if before <= mark < len(stamps):
                    print(name, flush=True)
            if answer:
                connection.sendall(answer)
            if frames.finished:
                break
    moved = _calendar_minus_monotonic() - began
    print(json.dumps({"kernel": kernel, "stamps": stamps, "merged": merged, "moved": moved}))


def _ask_for_stamps(connection: socket.socket) -> bool:
    if sys.platform != "linux":
        return False
    connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return True


def _read(connection: socket.socket) -> tuple[bytes, int] | None:
    """What has come and when it came, in ns of calendar time; None at the end of either peer."""
    ready, _, _ = select.select([connection, sys.stdin], [], [])
    if sys.stdin in ready:
        return None  # the parent has gone, and this process must not outlive it
    data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(16))
    at = time.time_ns()
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", payload)
            at = seconds * 10**9 + nanoseconds
    return (data, at) if data else None


def _calendar_minus_monotonic() -> int:
    """In ns; the kernel stamps by the calendar, so its being set must be noticed.

    An interruption between the two looks makes the difference smaller: the largest is the truth.
    """
    return max(time.time_ns() - time.monotonic_ns() for _ in range(9))


# The senders that are written here. Each prints its own lateness, a chunk each, in seconds.


def send_rtkit(port: int, recording: Path, chunk: float) -> list[float]:
    """rtkit.stream as everybody calls it, but for the service."""
    from receiver import Receiver

    import rtkit

    clip = rtkit.open_clip(recording)
    session = asyncio.run(rtkit.stream(clip, chunk=chunk, service=Receiver(port)))
    return [float(late) for late in session.lateness]


def send_asyncio(port: int, recording: Path, chunk: float) -> list[float]:
    """The wall clock as people write it with asyncio."""

    async def send() -> list[float]:
        from websockets.asyncio.client import connect

        loop = asyncio.get_running_loop()
        late = []
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as connection:
            await connection.recv()
            zero = loop.time()
            for i, audio in enumerate(_read_chunks(recording, chunk)):
                await asyncio.sleep(zero + i * chunk - loop.time())
                late.append(loop.time() - (zero + i * chunk))
                await connection.send(audio)
            await connection.send(TERMINATE)
            await connection.recv()
        return late

    return asyncio.run(send())


def send_asyncio_naive(port: int, recording: Path, chunk: float) -> list[float]:
    """Send, sleep a chunk's duration, and again."""

    async def send() -> list[float]:
        from websockets.asyncio.client import connect

        loop = asyncio.get_running_loop()
        late = []
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as connection:
            await connection.recv()
            zero = loop.time()
            for i, audio in enumerate(_read_chunks(recording, chunk)):
                late.append(loop.time() - (zero + i * chunk))
                await connection.send(audio)
                await asyncio.sleep(chunk)
            await connection.send(TERMINATE)
            await connection.recv()
        return late

    return asyncio.run(send())


def send_guide(port: int, recording: Path, chunk: float) -> list[float]:
    """The loop of AssemblyAI's guide: websocket-client, and a sleep until a deadline."""
    connection = _websocket_client(port)
    late = []
    zero = time.monotonic()
    for i, audio in enumerate(_read_chunks(recording, chunk)):
        time.sleep(max(0.0, zero + i * chunk - time.monotonic()))
        late.append(time.monotonic() - (zero + i * chunk))
        connection.send_binary(audio)
    _say_goodbye(connection)
    return late


def send_guide_naive(port: int, recording: Path, chunk: float) -> list[float]:
    """websocket-client, and a sleep of a chunk's duration."""
    connection = _websocket_client(port)
    late = []
    zero = time.monotonic()
    for i, audio in enumerate(_read_chunks(recording, chunk)):
        late.append(time.monotonic() - (zero + i * chunk))
        connection.send_binary(audio)
        time.sleep(chunk)
    _say_goodbye(connection)
    return late


def _websocket_client(port: int) -> Any:
    connection = importlib.import_module("websocket").create_connection(f"ws://127.0.0.1:{port}/")
    connection.recv()
    return connection


def _say_goodbye(connection: Any) -> None:
    connection.send(TERMINATE)
    connection.recv()
    connection.close()


class TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def send_nanosleep(port: int, recording: Path, chunk: float) -> list[float]:
    """The floor: the kernel's own sleep until an instant, and nothing above TCP."""
    sleep = ctypes.CDLL(None).clock_nanosleep
    absolute = 1  # TIMER_ABSTIME
    step = round(chunk * 1e9)
    late = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        zero = time.monotonic_ns()
        for i, audio in enumerate(_read_chunks(recording, chunk)):
            due = zero + i * step
            until = TimeSpec(*divmod(due, 10**9))
            while sleep(time.CLOCK_MONOTONIC, absolute, ctypes.byref(until), None):
                pass  # a signal woke it
            late.append((time.monotonic_ns() - due) / 1e9)
            connection.sendall(audio)
    return late


def _read_chunks(recording: Path, chunk: float) -> Iterator[bytes]:
    with wave.open(str(recording)) as file:
        while audio := file.readframes(round(chunk * RATE)):
            yield audio


# Who takes part.


@dataclass(frozen=True)
class Sender:
    """A way to pace: a function above or a command, and what it needs."""

    name: str
    label: str
    speaks: str
    what: Callable[[int, Path, float], list[float]] | Callable[[int, Path, int], list[str]]
    needs: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        return self.what.__name__.startswith("send_")

    def command(self, port: int, recording: Path, chunk: float) -> list[str]:
        if self.ours:
            return _self("send", self.name, str(port), str(recording), str(chunk))
        command: Any = self.what
        return [str(part) for part in command(port, recording, 2 * round(chunk * RATE))]


def ffmpeg(port: int, recording: Path, size: int) -> list[str]:
    quiet = ["ffmpeg", "-nostdin", "-loglevel", "error"]
    # Left alone, the reader makes packets of 4096 bytes.
    paced = ["-re", "-max_size", str(size), "-i", str(recording)]
    return [*quiet, *paced, "-f", "s16le", "-flush_packets", "1", f"tcp://127.0.0.1:{port}"]


def identity_sync(port: int, recording: Path, size: int) -> list[str]:
    return _gstreamer(port, recording, size, "identity", "sync=true")


def clocksync(port: int, recording: Path, size: int) -> list[str]:
    return _gstreamer(port, recording, size, "clocksync")


def _gstreamer(port: int, recording: Path, size: int, *pacer: str) -> list[str]:
    # Left alone, the parser makes buffers of 4096 bytes.
    split = ["audiobuffersplit", f"output-buffer-duration={size // 2}/{RATE}"]
    sink = ["tcpclientsink", "host=127.0.0.1", f"port={port}", "sync=false"]
    read = ["filesrc", f"location={recording}", "!", "wavparse"]
    return ["gst-launch-1.0", "-q", *read, "!", *split, "!", *pacer, "!", *sink]


GSTREAMER = ("gst-launch-1.0", "gst:audiobuffersplit", "gst:tcpclientsink", "gst:wavparse")
SENDERS = (
    Sender("asyncio", "asyncio.sleep to a wall clock, websockets", "websocket", send_asyncio),
    Sender("rtkit", "rtkit.stream, websockets", "websocket", send_rtkit),
    Sender(
        "guide",
        "time.sleep to a deadline, websocket-client",
        "websocket",
        send_guide,
        ("module:websocket",),
    ),
    Sender("asyncio-naive", "asyncio.sleep(chunk), websockets", "websocket", send_asyncio_naive),
    Sender(
        "guide-naive",
        "time.sleep(chunk), websocket-client",
        "websocket",
        send_guide_naive,
        ("module:websocket",),
    ),
    Sender("nanosleep", "clock_nanosleep, TCP", "raw", send_nanosleep, ("libc:clock_nanosleep",)),
    Sender("ffmpeg", "ffmpeg -re, TCP", "raw", ffmpeg, ("ffmpeg",)),
    Sender(
        "identity",
        "GStreamer identity sync, TCP",
        "raw",
        identity_sync,
        (*GSTREAMER, "gst:identity"),
    ),
    Sender(
        "clocksync", "GStreamer clocksync, TCP", "raw", clocksync, (*GSTREAMER, "gst:clocksync")
    ),
)


def missing(need: str) -> str | None:
    """Why a sender cannot take part, if it cannot."""
    kind, _, name = need.rpartition(":")
    if kind == "module":
        there = importlib.util.find_spec(name) is not None
        return None if there else "the package websocket-client is not installed"
    if kind == "gst":
        probe = ["gst-inspect-1.0", "--exists", name]
        there = shutil.which(probe[0]) is not None and not subprocess.run(probe).returncode
        return None if there else f"GStreamer's element {name} is not installed"
    if kind == "libc":
        return None if hasattr(ctypes.CDLL(None), name) else f"this platform has no {name}"
    return None if shutil.which(name) else f"{name} is not installed"


# One slice, measured.


class Failure(RuntimeError):
    """A slice that gave nothing, as one sentence."""


@dataclass(frozen=True)
class Slice:
    """What one sender did in one slice; in seconds, and shares of 1.

    `offsets` are arrivals less i * chunk, from an arbitrary origin.
    """

    chunk: float
    offsets: list[float]
    own: list[float]
    cpu: float
    others: float
    merged: int
    kernel: bool

    @property
    def lateness(self) -> list[float]:
        anchor = min(self.offsets)
        return [offset - anchor for offset in self.offsets]

    @property
    def drift(self) -> float:
        times = [i * self.chunk for i in range(len(self.offsets))]
        return statistics.linear_regression(times, self.offsets).slope

    @property
    def jitter(self) -> list[float]:
        step = self.drift * self.chunk
        residuals = [offset - i * step for i, offset in enumerate(self.offsets)]
        middle = statistics.median(residuals)
        return [abs(residual - middle) for residual in residuals]


def measure(sender: Sender, recording: Path, chunk: float, chunks: int) -> Slice:
    """Run one sender once."""
    margin = max(1, round(MARGIN / chunk))
    marks = [str(margin), str(chunks - margin)]
    size = 2 * round(chunk * RATE)
    with _child(_self("receive", sender.speaks, str(size), *marks), stdin=subprocess.PIPE) as told:
        port = int(_line(told))
        with _child(sender.command(port, recording, chunk), stdin=subprocess.DEVNULL) as process:
            usages = []
            for mark in ("first", "last"):
                if _line(told) != mark:
                    raise Failure(f"it broke off: {_last_words(process)}")
                usages.append(Usage.now(process.pid, told.pid))
            facts = json.loads(_line(told))
            said, _ = process.communicate(timeout=PATIENCE)
    if abs(facts["moved"]) > 100_000:
        raise Failure("the calendar clock, by which the kernel stamps, was set meanwhile")
    arrivals = facts["stamps"][margin : chunks - margin]
    return Slice(
        chunk,
        [(at - arrivals[0]) / 1e9 - i * chunk for i, at in enumerate(arrivals)],
        json.loads(said)[margin : chunks - margin] if sender.ours else [],
        *usages[0].until(usages[1]),
        facts["merged"],
        facts["kernel"],
    )


@dataclass(frozen=True)
class Usage:
    """CPU time up to an instant, in seconds; NaN where the platform does not tell."""

    at: float
    sender: float
    ours: float
    host: float

    @classmethod
    def now(cls, sender: int, receiver: int) -> Usage:
        spent = _cpu_time(sender)
        ours = spent + _cpu_time(receiver) + time.process_time()
        return cls(time.monotonic(), spent, ours, host.cpu_time())

    def until(self, later: Usage) -> tuple[float, float]:
        """The sender's share of one core, and the others' share of the host."""
        seconds = later.at - self.at
        others = (later.host - self.host) - (later.ours - self.ours)
        cores = os.cpu_count() or 1
        return (later.sender - self.sender) / seconds, max(0.0, others) / seconds / cores


def _cpu_time(process: int) -> float:
    """Of all threads; the scheduler's own count, because ticks of 10 ms are too coarse."""
    tasks = list(Path(f"/proc/{process}/task").glob("*/schedstat"))
    if not tasks:
        return float("nan")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@contextlib.contextmanager
def _child(command: list[str], *, stdin: int) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block, however that ends."""
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _self(*arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), *arguments]


def _line(receiver: subprocess.Popen[str]) -> str:
    assert receiver.stdout is not None
    return receiver.stdout.readline().strip()


def _last_words(process: subprocess.Popen[str]) -> str:
    process.kill()
    _, errors = process.communicate()
    return errors.strip().splitlines()[-1] if errors.strip() else "without a word"


# The tables.


@dataclass(frozen=True)
class Row:
    """All slices of one sender; milliseconds, ppm and per cent."""

    label: str
    late_p50: float
    late_p99: float
    late_max: float
    own_p99: float
    jitter_p99: float
    drift: float
    cpu: float
    others: float

    @classmethod
    def of(cls, label: str, slices: Sequence[Slice]) -> Row:
        late = [1000 * x for one in slices for x in one.lateness]
        own = [1000 * x for one in slices for x in one.own]
        jitter = [1000 * x for one in slices for x in one.jitter]
        return cls(
            label,
            quantile(late, 0.5),
            quantile(late, 0.99),
            max(late),
            quantile(own, 0.99) if own else float("nan"),
            quantile(jitter, 0.99),
            1e6 * statistics.median(one.drift for one in slices),
            100 * statistics.fmean(one.cpu for one in slices),
            100 * statistics.fmean(one.others for one in slices),
        )

    HEADS = (
        f"{'':44}|      lateness, ms       |at sender| jitter |  drift  | CPU  | others\n"
        f"{'':44}|   p50     p99     max   |   p99   |  p99   |   ppm   |  %   |   %"
    )

    def __str__(self) -> str:
        return (
            f"{self.label:44}|{self.late_p50:7.3f} {self.late_p99:8.3f}{self.late_max:8.2f} "
            f"|{_number(self.own_p99, 8, 3)} |{self.jitter_p99:7.3f} |{self.drift:8.1f} "
            f"|{_number(self.cpu, 5, 2)} |{_number(self.others, 5, 1)}"
        )


def quantile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * len(ordered) * 1e6) // 10**6) - 1)]


def _number(value: float, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value != value else f"{value:{width}.{digits}f}"


def print_ratios(rows: dict[str, Row]) -> None:
    """rtkit's figures as multiples of others', where both were measured."""
    if (ours := rows.get("rtkit")) is None:
        return
    if plain := rows.get("asyncio"):
        name = "asyncio's wall clock"
        ratio(f"lateness p99 / {name}", ours.late_p99 / plain.late_p99, 0.1)
        ratio(f"lateness p99 at the sender / {name}", ours.own_p99 / plain.own_p99, 0.1)
        ratio(f"CPU / {name}", ours.cpu / plain.cpu, 1.3)
    if steady := rows.get("clocksync"):
        ratio("jitter p99 / GStreamer clocksync", ours.jitter_p99 / steady.jitter_p99, 1)
    if common := rows.get("ffmpeg"):
        ratio("jitter p99 / ffmpeg -re", ours.jitter_p99 / common.jitter_p99, 0.2)
    ratio("drift, either way", abs(ours.drift), 5, unit="ppm")


def print_results(slices: dict[str, list[Slice]]) -> None:
    measured = {name: several for name, several in slices.items() if several}
    best = {name: best_quarter(several) for name, several in measured.items()}
    print_table("All slices", measured)
    rows = print_table("Each sender's best quarter", best)
    print()
    every = [one for several in measured.values() for one in several]
    if not all(one.kernel for one in every):
        print("Arrivals bear the receiver's own stamps; its wake-up is in all of them.")
    if merged := sum(one.merged for one in every):
        print(f"{merged} chunks arrived together with the next one and bear its stamp.")
    if (busiest := max((row.others for row in rows.values()), default=0.0)) > QUIET:
        print(f"Not a quiet machine: even there others took up to {busiest:.0f} % of it.")
    print("rtkit at its best, as a multiple of what others are at theirs:")
    print_ratios(rows)


def best_quarter(slices: Sequence[Slice]) -> list[Slice]:
    ordered = sorted(slices, key=lambda one: quantile(one.lateness, 0.99))
    return ordered[: -(-len(ordered) // 4)]


def print_table(title: str, slices: dict[str, list[Slice]]) -> dict[str, Row]:
    labels = {sender.name: sender.label for sender in SENDERS}
    rows = {name: Row.of(labels[name], several) for name, several in slices.items()}
    print(f"\n{title}\n{Row.HEADS}")
    for row in rows.values():
        print(row)
    return rows


def run(seconds: float, chunk: float, rounds: int, names: Sequence[str]) -> None:
    print(f"{host.machine()}, load {host.load()}")
    print(", ".join(host.versions(("rtkit", "websockets", "websocket-client"))))
    wanted = [sender for sender in SENDERS if not names or sender.name in names]
    slices: dict[str, list[Slice]] = {}
    for sender in wanted:
        if reason := next(filter(None, map(missing, sender.needs)), None):
            print(f"Without {sender.label}: {reason}.")
        else:
            slices[sender.name] = []
    chunks = round((seconds / rounds + 2 * MARGIN) / chunk)
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.wav"
        _write(recording, chunks * round(chunk * RATE))
        try:
            for number in range(1, rounds + 1):
                for sender in wanted:
                    if sender.name in slices:
                        slices[sender.name] += _attempt(number, sender, recording, chunk, chunks)
        except KeyboardInterrupt:
            print("Interrupted; so far:")
    print_results(slices)


def _attempt(
    number: int, sender: Sender, recording: Path, chunk: float, chunks: int
) -> list[Slice]:
    """One slice, and a line about it; none, and why, if the sender failed."""
    try:
        one = measure(sender, recording, chunk, chunks)
    except Failure as failure:
        print(f"Without {sender.label} in round {number}: {failure}.", flush=True)
        return []
    row = Row.of(sender.label, [one])
    print(
        f"round {number}  {sender.name:14} lateness p99 {row.late_p99:8.3f}  jitter p99 "
        f"{row.jitter_p99:7.3f}  CPU {_number(row.cpu, 5, 2)}  others {_number(row.others, 5, 1)}",
        flush=True,
    )
    return [one]


def _write(recording: Path, samples: int) -> None:
    with wave.open(str(recording), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * samples))


def main() -> None:
    summary = str(__doc__).splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--seconds", type=float, default=60.0, help="of audio a sender, in all")
    parser.add_argument("--chunk-ms", type=float, default=100.0)
    parser.add_argument("--rounds", type=int, default=6, help="slices a sender")
    parser.add_argument("--only", nargs="+", choices=[s.name for s in SENDERS], default=())
    options = parser.parse_args()
    run(options.seconds, options.chunk_ms / 1000, options.rounds, options.only)


def be_child(role: str, arguments: list[str]) -> None:
    if role == "receive":
        speaks, *numbers = arguments
        receive(speaks, *map(int, numbers))
    else:
        name, port, recording, chunk = arguments
        what: Any = next(sender.what for sender in SENDERS if sender.name == name)
        print(json.dumps(what(int(port), Path(recording), float(chunk))))


if __name__ == "__main__":
    if sys.argv[1:2] in (["receive"], ["send"]):
        be_child(sys.argv[1], sys.argv[2:])
    else:
        main()
