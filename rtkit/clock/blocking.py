"""`run`: await from where nothing can be awaited."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run"]

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result: for scripts, and cells that cannot await.

    In a plain script this is `asyncio.run`. Inside a running event loop, as in a notebook's cell,
    it nests with nest-asyncio2, which from then on slows the tasks of the whole process down: in
    a notebook prefer ``await``. An interrupt stops the coroutine cleanly.
    """
    with contextlib.suppress(RuntimeError):  # no loop runs
        asyncio.get_running_loop()
        import nest_asyncio2

        nest_asyncio2.apply()
    return asyncio.run(coroutine)
