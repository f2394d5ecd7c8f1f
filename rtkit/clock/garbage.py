"""Garbage collection, which stalls everything while it looks through many objects."""

from __future__ import annotations

import contextlib
import gc
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


@contextlib.contextmanager
def without_old_objects() -> Iterator[None]:
    """For a while that may be long: what there is already is not looked through for garbage.

    A full collection takes longer the more objects there are, in a notebook's loop too.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
