"""What do three hours cost: tables, figures, and the reading of a large file?

    python tests/benchmarks/long_files.py [--hours 3]

First a session of so many hours in virtual time, chunks of 100 ms, with the bundled call's turns
said over and over: each table, each figure (drawn, and written as PNG), the page. The reference of
the same run is a bare line through as many points, written as PNG.

Then a FLAC of so many hours, 48 kHz stereo, made in a temporary folder, is read for real and
streamed in virtual time, in a process of its own: how long from opening it to the first chunk, how
much the process grew at its peak with all facts of the session, and how long it took. Its reference
is a bare read of the same file, a second at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from matplotlib.figure import Figure
from ratios import ratio

import rtkit
from rtkit.audio import silence
from rtkit.clock.virtual import VirtualLoop
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Energy
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.reference import Reference, SpokenTurn, SpokenWord
from rtkit.sending.stream import stream
from rtkit.session import Chunk, Fact, Session

RATE = 48000
AIMS = 1, 1, 0.2, 64  # for three hours: s a table, s a figure, s to the first chunk, MB
PLOTS = (
    rtkit.plot_lateness,
    rtkit.plot_lateness_distribution,
    rtkit.plot_turn_latency,
    rtkit.plot_timeline,
    rtkit.plot_rescored,
)


def over_and_over(seconds: float) -> rtkit.Clip:
    """Silence in which the bundled call is said to be spoken once a minute."""
    said = rtkit.open_clip(rtkit.bundled()[0], seconds=58).reference
    assert said is not None
    turns = tuple(
        SpokenTurn(
            turn.start + at,
            turn.end + at,
            turn.text,
            tuple(SpokenWord(word.text, word.start + at, word.end + at) for word in turn.words),
        )
        for at in np.arange(0, seconds - 59, 60).tolist()
        for turn in said.turns
    )
    return replace(silence(seconds), reference=Reference(turns))


def timed(name: str, call: Callable[[], Any], reference: float | None = None) -> float:
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    print(f"{name:34}  {took:7.3f}  {took / (reference or took):11.2f}", flush=True)
    return took


def drawn(draw: Callable[..., Any]) -> None:
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    draw(ax=figure.subplots())
    figure.savefig(io.BytesIO(), format="png", dpi=120)


def tables_and_figures(session: Session, folder: Path) -> tuple[float, float, float]:
    """Seconds for the bare line, the slowest table, and the slowest figure."""
    drawn(lambda ax: ax.plot([0, 1]))  # what is loaded once does not count; pandas neither
    rtkit.to_frame({})
    print(f"{'':34}  took, s  / bare line")
    bare = timed("bare line", lambda: drawn(lambda ax: ax.plot(session.due, session.lateness)))
    tables: dict[str, Callable[[], Any]] = {
        "replies": lambda: session.replies,  # the first to ask pays for all that follow
        "word_latency": lambda: rtkit.word_latency(session),
        "turn_latency": lambda: rtkit.turn_latency(session),
        "first_word_latency": lambda: rtkit.first_word_latency(session),
        "summarize": lambda: rtkit.summarize(session),
        "rescore": lambda: rtkit.rescore(session),
        "to_frame chunks": lambda: rtkit.to_frame(session, "chunks"),
        "to_frame words": lambda: rtkit.to_frame(session, "words"),
        "to_frame turns": lambda: rtkit.to_frame(session, "turns"),
        "to_frame sessions": lambda: rtkit.to_frame(session, "sessions"),
    }
    table = max(timed(name, call, bare) for name, call in tables.items())
    figure = max(
        timed(plot.__name__, lambda plot=plot: drawn(lambda ax: plot(session, ax=ax)), bare)  # type: ignore[misc]
        for plot in PLOTS
    )
    timed("report", lambda: rtkit.report(session, folder / "report.html"), bare)
    print()
    return bare, table, figure


def make_flac(path: Path, seconds: float) -> None:
    """A quiet tone with noise in it, so that there is something to decode."""
    angle = np.arange(RATE)[:, None] * 2 * np.pi * np.array([220, 330]) / RATE
    noise = np.random.default_rng(0).integers(-2, 3, (RATE, 2))
    second = (200 * np.sin(angle) + noise).astype(np.int16)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16", format="FLAC") as file:
        for _ in range(round(seconds)):
            file.write(second)


def peak() -> float:
    """The most memory that this process ever held, in MB.

    On Linux not by getrusage: there, a child's peak begins with its parent's.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (1024**2 if sys.platform == "darwin" else 1024)


def stream_it(path: Path) -> dict[str, float]:
    """Stream a file in virtual time, and tell what that took of real time and memory."""
    rtkit.simulate(2.0)  # what is loaded once does not count
    gc.collect()
    before, began = peak(), time.perf_counter()
    first: list[float] = []

    def see(fact: Fact) -> None:
        if not first and isinstance(fact, Chunk):
            first.append(time.perf_counter() - began)

    async def session() -> Session:
        clip = rtkit.open_clip(path)
        connection = InMemoryConnection(
            Energy, rate=clip.rate, behavior=Behavior(max_duration=None)
        )
        return await stream(clip, connection=connection, on_event=see)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found = runner.run(session())
    return {
        "chunks": len(found.chunks),
        "megabytes": found.bytes_sent / 2**20,
        "first": first[0],
        "took": time.perf_counter() - began,
        "grown": peak() - before,
    }


def bare_read(path: Path) -> None:
    with soundfile.SoundFile(path) as file:
        while len(file.read(RATE, dtype="int16")):
            pass


def large_file(folder: Path, seconds: float) -> dict[str, float]:
    """What `stream_it` found, and the seconds that a bare read takes."""
    path = folder / "long.flac"
    make_flac(path, seconds)
    print(f"a FLAC of {seconds / 3600:g} h, 48 kHz stereo: {path.stat().st_size / 2**20:.0f} MB")
    began = time.perf_counter()
    bare_read(path)
    bare = time.perf_counter() - began
    child = subprocess.run(
        [sys.executable, __file__, "--stream", path], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(child.stdout)
    print(
        f"{found['chunks']:.0f} chunks, {found['megabytes']:.0f} MB sent\n"
        f"first chunk after        {found['first']:7.3f} s\n"
        f"memory grew at most by   {found['grown']:7.1f} MB\n"
        f"all of it took           {found['took']:7.1f} s, a bare read {bare:.1f} s\n"
    )
    return {**found, "bare": bare}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stream is not None:
        print(json.dumps(stream_it(asked.stream)))
        return
    seconds = asked.hours * 3600
    with tempfile.TemporaryDirectory() as folder:
        session = rtkit.simulate(
            over_and_over(seconds), delay=0.15, wake_spread=0.001, blocks=[(seconds / 2, 0.1)]
        )
        print(f"{len(session.chunks)} chunks, {len(session.turns)} turns")
        line, table, figure = tables_and_figures(replace(session), Path(folder))
        del session
        file = large_file(Path(folder), seconds)
    size = f"{asked.hours:g} h"
    table_aim, figure_aim, first_aim, grown_aim = AIMS if asked.hours >= 3 else (None,) * 4
    ratio(f"the slowest figure of {size} / bare line", figure / line)
    ratio(f"{size} of FLAC, streamed in virtual time / bare read", file["took"] / file["bare"])
    ratio(f"the slowest table of {size}", table, table_aim, unit="s")
    ratio(f"the slowest figure of {size}", figure, figure_aim, unit="s")
    ratio(f"first chunk of {size} of FLAC", file["first"], first_aim, unit="s")
    ratio(f"memory grew by, {size} of FLAC", file["grown"], grown_aim, unit="MB")


if __name__ == "__main__":
    main()
