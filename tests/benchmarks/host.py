"""The machine that a benchmark ran on: what it is, and how busy it was."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


def machine() -> str:
    return f"{platform.platform()}, {os.cpu_count()} cores"


def processor() -> str:
    """Its name, where the platform tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> str:
    """Processes that wanted to run: over the last one, five and fifteen minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def versions(packages: Sequence[str]) -> list[str]:
    """Of Python, of the packages, and of other senders, as far as they are there."""
    found = [f"{platform.python_implementation()} {platform.python_version()}"]
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    for command in (["ffmpeg", "-version"], ["gst-launch-1.0", "--version"]):
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True).stdout
            found.append(" ".join(said.split()[:3]))
    return found


def cpu_time() -> float:
    """Seconds that all processes ran, and that a hypervisor's other guests took from us.

    NaN where the platform does not tell.
    """
    try:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    except OSError:
        return float("nan")
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def revision() -> str:
    """Which state of the sources this is, where git tells."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except OSError:
        return ""
    return done.stdout.strip()
