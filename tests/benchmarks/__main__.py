"""Runs all benchmarks on this machine, one after the other, and writes a page about them.

    python tests/benchmarks [--quick] [--only NAME ...] [--output build/benchmarks.html]

A benchmark that breaks off, for want of a tool say, does not keep the others from running; the page
says so, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import host
from page import Outcome, page

QUIET = 0.05  # of the processors, that others may keep busy without a word
FOLDER = Path(__file__).resolve().parent
PACKAGES = (
    *("rtkit", "websockets", "websocket-client", "numpy", "matplotlib", "soundfile", "pandas"),
    *("pocketsphinx", "soxr", "jiwer", "ipywidgets", "ipykernel"),
)


@dataclass(frozen=True)
class Benchmark:
    """A command, with what to tell it for a whole run and for a quick one, and what these take."""

    name: str
    whole: str
    takes: float  # seconds, about, on two cores
    quick: str
    quick_takes: float


BENCHMARKS = (
    Benchmark(
        *("pacing", "--seconds 24 --rounds 4", 300),
        *("--seconds 6 --rounds 2 --only asyncio rtkit ffmpeg clocksync", 50),
    ),
    Benchmark("isolation", "--seconds 9", 115, "--seconds 3", 45),
    Benchmark("live_trace", "--seconds 10 --rounds 3", 65, "--seconds 6 --rounds 1", 20),
    Benchmark("simulation", "--hours 3", 10, "--hours 1", 5),
    Benchmark("calibration", "--rounds 10", 150, "--rounds 3 --seconds 2", 35),
    Benchmark("coverage", "--rounds 500", 600, "--rounds 50", 60),
    Benchmark("recognizer", "--seconds 10 --rounds 5", 125, "--seconds 8 --rounds 1", 30),
    Benchmark("long_files", "--hours 3", 70, "--hours 0.5", 20),
    Benchmark("tap", "--seconds 20", 60, "--seconds 5", 25),
    Benchmark(
        *("scale", "--sessions 50 500 2000 --seconds 10 --rounds 2", 190),
        *("--sessions 500 2000 --seconds 3 --rounds 1 --only rtkit tasks", 35),
    ),
)


class Progress:
    """Prints a benchmark's lines as they come, each with the time that is left, about."""

    def __init__(self, benchmarks: Sequence[Benchmark], quick: bool) -> None:
        self._takes = [one.quick_takes if quick else one.takes for one in benchmarks]
        self._done = 0
        self._began = time.monotonic()

    def begin(self, command: str) -> None:
        self._began = time.monotonic()
        self.line(f"{self._done + 1} of {len(self._takes)}: {command}")

    def line(self, text: str) -> None:
        now, *later = self._takes[self._done :]
        left = round(max(0.0, now - (time.monotonic() - self._began)) + sum(later))
        print(f"{left // 60:3d}:{left % 60:02d} left | {text}", flush=True)

    def end(self) -> None:
        self._done += 1


def run(benchmark: Benchmark, arguments: Sequence[str], progress: Progress, most: float) -> Outcome:
    """One benchmark in a process of its own; after so many seconds it is given up."""
    path = FOLDER / f"{benchmark.name}.py"
    command = [sys.executable, str(path), *arguments]
    shown = shlex.join(["python", f"tests/benchmarks/{path.name}", *arguments])
    progress.begin(shown)
    began, host_began, own_began = time.monotonic(), host.cpu_time(), _own_cpu_time()
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    ) as process:
        alarm = threading.Timer(most, process.kill)
        alarm.start()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                progress.line(line.rstrip())
            process.wait()
        finally:
            alarm.cancel()
    seconds = time.monotonic() - began
    if seconds >= most:
        lines.append(f"It was given up after {most:.0f} s.\n")
    others = (host.cpu_time() - host_began) - (_own_cpu_time() - own_began)
    progress.end()
    return Outcome(
        benchmark.name,
        (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0],
        shown,
        "".join(lines),
        seconds,
        process.returncode,
        max(0.0, others) / seconds if others == others else others,
    )


def _own_cpu_time() -> float:
    """Of this process and of all children that have ended, with theirs."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run_all(benchmarks: Sequence[Benchmark], quick: bool) -> tuple[list[Outcome], list[Any]]:
    """All of them, as far as nobody interrupts; and the figures of scale."""
    progress, outcomes = Progress(benchmarks, quick), []
    with tempfile.TemporaryDirectory() as folder:
        scale = Path(folder) / "scale.json"
        try:
            for one in benchmarks:
                takes = one.quick_takes if quick else one.takes
                arguments = shlex.split(one.quick if quick else one.whole)
                if one.name == "scale":
                    arguments += ["--json", str(scale)]
                outcomes.append(run(one, arguments, progress, 5 * takes + 60))
        except KeyboardInterrupt:
            print("Interrupted; the page holds what there is so far.")
        return outcomes, json.loads(scale.read_text()) if scale.is_file() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    names = [one.name for one in BENCHMARKS]
    parser.add_argument("--quick", action="store_true", help="in minutes, and less sure")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks.html"))
    options = parser.parse_args()
    benchmarks = [one for one in BENCHMARKS if one.name in options.only]
    before, began = host.load(), time.monotonic()
    outcomes, scale = run_all(benchmarks, options.quick)
    took = time.monotonic() - began
    if not outcomes:
        raise SystemExit("no benchmark ended, so there is no page")
    busy = sum(one.others * one.seconds for one in outcomes) / took
    cores = os.cpu_count() or 1
    lede = (
        f"{host.machine()}, in {took / 60:.1f} minutes{' (a quick run)' if options.quick else ''}."
    )
    if busy > QUIET * cores:
        lede += (
            f" Not a quiet machine: other programs kept {busy:.2f} of its {cores} processors busy. "
            "The aims are for a quiet one."
        )
    described = {
        "machine": host.machine(),
        "processor": host.processor(),
        "others": f"kept {busy:.2f} processors busy, on average",
        "load": f"{before} before, {host.load()} after (over 1, 5 and 15 minutes)",
        "versions": ", ".join(host.versions(PACKAGES)),
        "sources": host.revision() or "not told by git",
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(
        page(
            outcomes,
            lede=lede,
            host=described,
            scale=scale,
            made=f"Made {datetime.now().astimezone().isoformat(' ', 'minutes')} by make bench.",
        ),
        encoding="utf-8",
    )
    print(f"\n{lede}\n")
    for one in outcomes:
        for found in one.ratios:
            print(f"{one.name:11} {found}")
        for note in one.notes:
            print(f"{one.name:11} {note}")
    print(f"\n{options.output}")
    raise SystemExit(any(one.status for one in outcomes))


if __name__ == "__main__":
    main()
