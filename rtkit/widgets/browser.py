"""What only the browser can do: download a file, and report that the page is still open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import anywidget

from rtkit.markup import asset

__all__ = ["Browser"]

ABSENT = 90.0  # seconds without a word; browsers let a page in the background speak once a minute


class Browser(anywidget.AnyWidget):
    """The page that shows the panel.

    Parameters
    ----------
    left : callable
        Called when a page whose kernel is its own (Voila's) was closed, or has said nothing for
        90 s. A notebook's page says nothing, and may close and open as it likes.
    """

    _esm: ClassVar[str] = asset("widgets/browser.js")
    _absent: asyncio.TimerHandle | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, *, left: Callable[[], object]) -> None:
        self._loop, self._left = loop, left
        super().__init__()
        self.on_msg(lambda _, said, __: loop.call_soon_threadsafe(self._hear, said))

    def download(self, name: str, content: bytes, *, type: str) -> None:
        """Have the browser save a file."""
        self.send({"name": name, "type": type}, [content])

    def close(self) -> None:
        """Listen no longer."""
        if self._absent is not None:
            self._absent.cancel()
        super().close()

    def _hear(self, said: Mapping[str, Any]) -> None:
        if self._absent is not None:
            self._absent.cancel()
        if said.get("page") == "closed":
            self._left()
        else:
            self._absent = self._loop.call_later(ABSENT, self._left)
