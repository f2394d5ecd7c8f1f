"""What does watching cost the sender? The panel's session in a real kernel, trace on and off.

    python tests/benchmarks/live_trace.py --rounds 3 --seconds 20

Starts a kernel, and in it the panel with all that it shows while a session runs (progress,
transcript, status); a connected client receives every message. Rounds take the trace on and off in
turn, and change which comes first. No browser is in it: drawing is the browser's work, in
processes of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import host
import numpy as np
from jupyter_client.manager import start_new_kernel
from ratios import ratio

AIM = 1.5
PREPARE = """
import asyncio, json, os
import rtkit
from rtkit.widgets import results_box
results_box.draw = lambda sessions: ""  # figures come after the session; they are not waited for
print(os.getpid())
"""
PANEL = """
panel = rtkit.panel(trace={trace}, record={record!r})
panel.pacing.value, panel.chunk.value, panel.work.value = "wall_clock", 50, 0
panel.seconds.value = {seconds}
panel
"""
SESSION = """
panel.run.click()
while panel.task is None:
    await asyncio.sleep(0.01)
await panel.task
assert panel.error is None, panel.error
print(json.dumps(panel.sessions["wall_clock"].lateness.tolist()))
panel.close()
"""


@dataclass(frozen=True)
class Taken:
    """One session: lateness in ms, bytes of messages, and processors that others kept busy."""

    trace: bool
    lateness: np.ndarray
    received: int
    others: float | None


@dataclass(frozen=True)
class Busy:
    """Seconds of processor time, of the whole host and of this program, and when it was read."""

    at: float
    host: float
    own: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of audio a session")
    options = parser.parse_args()
    print(
        f"{options.rounds} rounds of {options.seconds:g} s with the trace and without it: "
        "wall_clock, chunks of 50 ms, no work;\na kernel and a client, no browser.\n",
        flush=True,
    )
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        manager, client = start_new_kernel(kernel_name="python3", cwd=folder)
        try:
            kernel = int(execute(client, PREPARE)[0])
            measure(client, kernel, folder, trace=True, seconds=1)  # starts and imports what it can
            for number in range(options.rounds):
                for trace in (True, False) if number % 2 == 0 else (False, True):
                    one = measure(client, kernel, folder, trace=trace, seconds=options.seconds)
                    taken.append(one)
                    print(line(f"round {number + 1}, {named(trace)}", [one]), flush=True)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    with_trace, without = ([one for one in taken if one.trace is trace] for trace in (True, False))
    print()
    print(line(f"all, {named(True)}", with_trace))
    print(line(f"all, {named(False)}", without))
    on, off = ([p99([one]) for one in ones] for ones in (with_trace, without))
    print(
        "\nWhere others keep processors busy, they make chunks late, with the trace and without it;"
        "\nthen more and shorter sessions tell more, and the last two lines more than the first.\n"
    )
    what = "lateness p99 with the trace / without"
    ratio(f"{what}, all chunks", p99(with_trace) / p99(without), AIM)
    ratio(f"{what}, the median session's", float(np.median(on) / np.median(off)), AIM)
    ratio(f"{what}, the best session's", min(on) / min(off), AIM)


def measure(client: Any, kernel: int, folder: str, *, trace: bool, seconds: float) -> Taken:
    """One session of the panel; fails aloud if it does."""
    execute(client, PANEL.format(trace=trace, record=folder, seconds=seconds))
    before = busy(kernel)
    printed, received = execute(client, SESSION, timeout=seconds + 60)
    after = busy(kernel)
    others = None
    if before is not None and after is not None:
        both = (after.host - before.host) - (after.own - before.own)
        others = both / (after.at - before.at)
    return Taken(trace, np.array(json.loads(printed)) * 1000, received, others)


def named(trace: bool) -> str:
    return "trace on" if trace else "trace off"


def p99(taken: list[Taken]) -> float:
    return float(np.quantile(np.concatenate([one.lateness for one in taken]), 0.99))


def line(name: str, taken: list[Taken]) -> str:
    late = np.concatenate([one.lateness for one in taken])
    p50, high = np.quantile(late, (0.5, 0.99))
    others = [one.others for one in taken if one.others is not None]
    elsewhere = f", others kept {np.mean(others):.2f} processors busy" if others else ""
    return (
        f"{name:18} lateness p50 {p50:7.3f}  p99 {high:7.3f}  max {late.max():7.3f} ms, "
        f"{len(late)} chunks, {sum(one.received for one in taken) / 1000:.0f} kB received"
        f"{elsewhere}"
    )


def execute(client: Any, code: str, timeout: float = 60) -> tuple[str, int]:
    """Run a cell; what it printed, and how many bytes of messages came meanwhile."""
    cell = client.execute(code)
    deadline = time.monotonic() + timeout
    printed, received = "", 0
    while True:
        message = client.get_iopub_msg(timeout=deadline - time.monotonic())
        content = message["content"]
        received += len(json.dumps(content, default=str))
        if message["parent_header"].get("msg_id") != cell:
            continue
        if message["msg_type"] == "stream" and content["name"] == "stdout":
            printed += content["text"]
        if message["msg_type"] == "error":
            raise SystemExit("\n".join(content["traceback"]))
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            return printed, received


def busy(kernel: int) -> Busy | None:
    """The host's processors, and this program's with its kernel and service; None elsewhere."""
    if np.isnan(whole := host.cpu_time()):
        return None
    own = sum(_ticks(process) for process in (os.getpid(), *_with_children(kernel)))
    return Busy(time.monotonic(), whole, own / os.sysconf("SC_CLK_TCK"))


def _with_children(process: int) -> list[int]:
    found = [process]
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        for child in tasks.read_text(encoding="ascii").split():
            found += _with_children(int(child))
    return found


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # in user and in system mode


if __name__ == "__main__":
    main()
