"""Garbage collection, which stalls everything while it looks through many objects."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

__all__ = ["without_collecting", "without_old_objects"]


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """For a while in which much is made and nothing thrown away: do not look for garbage."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _WithoutOldObjects:
    """For a while that may be long: what there is already is not looked through for garbage.

    A full collection takes longer the more objects there are, in a notebook's loop too. They are
    frozen for the whole process: where several sessions ask for it, the last one to end gives them
    back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # sessions may run in several threads
        self._sessions = 0

    def __enter__(self) -> None:
        with self._lock:
            self._sessions += 1
            gc.freeze()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._sessions -= 1
            if not self._sessions:
                gc.unfreeze()


without_old_objects = _WithoutOldObjects()
