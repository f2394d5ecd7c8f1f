"""What a test leaves behind: threads, child processes, open files. On Linux, by /proc."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells by /proc")


def open_files() -> Counter[str]:
    """How many open files this process has of each kind; those on disk by their path."""
    kinds = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one through which the folder is read
            kinds.append(re.sub(r":\[\d+\]$", "", str(link.readlink())))
    return Counter(kinds)


def timers() -> int:
    """How many timerfds this process has."""
    return open_files()["anon_inode:[timerfd]"]


def children(process: int | str = "self") -> dict[int, str]:
    """The child processes, and their command lines."""
    found = {}
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            for child in tasks.read_text(encoding="ascii").split():
                found[int(child)] = command_line(child)
    return found


def command_line(process: int | str) -> str:
    """Empty for a process that has ended."""
    try:
        text = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return ""
    return text.replace(b"\0", b" ").decode(errors="replace")


def senders(process: int | str = "self") -> list[int]:
    """The isolated senders among the child processes."""
    return [child for child, line in children(process).items() if "rtkit.sending.process" in line]


@contextlib.contextmanager
def nothing_remains() -> Iterator[None]:
    """What was there before is there afterwards, and no more."""
    threads, files, processes = set(threading.enumerate()), open_files(), set(children())
    yield
    assert soon(lambda: set(threading.enumerate()) <= threads), threading.enumerate()
    assert not (more := open_files() - files), more
    assert set(children()) <= processes, children()


def soon(true: Callable[[], bool], *, within: float = 10.0) -> bool:
    """Whether it comes true in time: a thread that has said its last word still has to end."""
    deadline = time.monotonic() + within
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()
