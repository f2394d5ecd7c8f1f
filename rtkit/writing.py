"""Writing the facts of sessions to their files as they happen, in a separate thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rtkit.boundary.files import AsideFile
from rtkit.session import Chunk, Ending, Fact, Message, write_fact

__all__ = ["FactFile", "Writer"]

BEAT = 0.5  # seconds from one writing of what is new to the next


class Writer:
    """A thread that writes the facts of running sessions to their files, twice a second.

    One serves any number of files, a file at a time: between two the sender's loop gets the
    interpreter back.
    """

    def __init__(self) -> None:
        self.files: list[FactFile] = []
        self._next: queue.SimpleQueue[FactFile | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="rtkit-record", daemon=True)
        self._thread.start()

    def hurry(self, file: FactFile) -> None:
        """Write this one now: once it holds its first line, it can be read whatever happens."""
        self._next.put(file)

    def close(self) -> None:
        """End the thread; what is left to be written, each file's `close` writes."""
        self._next.put(None)
        self._thread.join()

    def _run(self) -> None:
        again = time.monotonic() + BEAT
        while True:
            try:
                file = self._next.get(timeout=max(0.0, again - time.monotonic()))
            except queue.Empty:
                for each in tuple(self.files):
                    each.write()
                again = time.monotonic() + BEAT
            else:
                if file is None:
                    return
                file.write()


class FactFile:
    """A session's file, and what is still to be written to it.

    `elsewhere` is asked, in the writer's thread, for facts that were not put here since it was
    asked last.
    """

    def __init__(self, path: Path, elsewhere: Callable[[], Iterable[Fact]]) -> None:
        self._file = AsideFile(path)
        self._elsewhere = elsewhere
        self._queue: queue.SimpleQueue[Fact | str] = queue.SimpleQueue()
        self._lock = threading.Lock()  # the writer's thread, and whoever closes
        self._begun = self._worth = self._closed = False
        self._fault: OSError | None = None

    @property
    def path(self) -> Path:
        return self._file.path

    def put(self, fact: Fact | str) -> None:
        if not self._closed:
            self._queue.put(fact)

    def write(self) -> None:
        """Write what there is by now."""
        with self._lock:
            new: list[Fact | str] = []
            while not self._queue.empty():
                new.append(self._queue.get())
            new += self._elsewhere()
            if not new or self._fault is not None or self._closed:
                return
            # The first line is the first to come, and how it ended the last one.
            new.sort(key=lambda fact: isinstance(fact, Ending))
            self._worth = self._worth or any(isinstance(fact, Chunk | Message) for fact in new)
            try:
                self._file.write("".join(map(_as_line, new)))
                if not self._begun:
                    self._file.take_name()
                self._begun = True
            except OSError as error:  # a full disk must not end the session; `close` tells of it
                self._fault = error

    def close(self, *, whole: bool) -> None:
        self.write()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._file.close(whole=whole and self._fault is None, worth=self._worth)
            except OSError as error:
                self._fault = self._fault or error
        if self._fault is not None:
            raise self._fault


def _as_line(fact: Fact | str) -> str:
    return fact if isinstance(fact, str) else write_fact(fact)
