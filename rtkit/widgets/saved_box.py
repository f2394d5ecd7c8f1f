"""The panel's list of saved sessions, to show, rename and delete."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from rtkit.boundary.text import counted
from rtkit.widgets.fields import button, disclosure, in_a_row, stacked, text
from rtkit.widgets.saved_files import SavedFile, as_lines, saved_files

__all__ = ["SavedBox"]

ROWS = 8
MOST = 200  # files in the list


class SavedBox(ipywidgets.VBox):  # type: ignore[misc]
    """Sessions saved before, behind a box to tick."""

    def __init__(
        self, folder: Path, loop: asyncio.AbstractEventLoop, *, say: Callable[[str], None]
    ) -> None:
        self._folder, self._loop, self._say = folder, loop, say
        self._files: list[SavedFile] = []
        self._verdicts: dict[tuple[Path, int, int], str] = {}
        self._halt = threading.Event()
        self._judging: asyncio.Future[Any] | None = None
        self.filter = text(
            *("filter", "filter", "words of its line, for example: wall valid"),
            "Show only sessions whose line holds all of these words",
        )
        self.file = stacked(
            ipywidgets.SelectMultiple(
                description="sessions",
                rows=ROWS,
                tooltip=f"Sessions saved in {folder}, the newest first",
            )
        ).add_class("rt-earlier")
        self.name = text(
            *("new-name", "new name", "for one session"),
            "What to call the chosen session; figures call it so, too",
        )
        self.add, self.remove, self.rename, self.delete = (
            button(css, name, icon, tooltip, disabled=True)
            for css, name, icon, tooltip in (
                ("add", "Show in the figures", "plus", "Show them beside what was measured now"),
                ("remove", "Show none", "minus", "Show again only what was measured now"),
                ("rename", "Rename", "pencil", "Call the chosen session by the new name"),
                ("delete", "Delete", "trash", "Delete the files of the chosen sessions"),
            )
        )
        inside = ipywidgets.VBox(
            [
                self.filter,
                self.file,
                in_a_row(self.add, self.remove, self.name, self.rename, self.delete),
            ],
            layout={"overflow": "visible"},
        )
        inside.add_class("rt-others")
        self.switch = disclosure("Saved sessions", inside, tooltip=f"What lies in {folder}")
        super().__init__([self.switch, inside], layout={"overflow": "visible"})
        self.switch.add_class("rt-shelf")
        self._resting, self._added = True, False
        self.filter.observe(lambda _: self._list(), "value")
        self.file.observe(lambda _: self._chosen(), "value")
        self.rename.on_click(lambda _: self._rename())
        self.delete.on_click(lambda _: self._delete())
        self.offer()

    @property
    def chosen(self) -> list[SavedFile]:
        return [one for one in self._files if str(one.path) in self.file.value]

    def offer(self) -> None:
        """Offer what is in the folder now, the newest first; a thread finds out what is valid."""
        self._files = saved_files(self._folder, most=MOST)
        self.switch.description = f"Saved sessions ({len(self._files)})"
        self._list()
        files, self._halt = self._files, threading.Event()
        halt = self._halt

        def judge() -> None:
            for one in files:
                if not halt.is_set() and one.key not in self._verdicts:
                    self._verdicts[one.key] = one.judge()

        self._judging = self._loop.run_in_executor(None, judge)
        self._judging.add_done_callback(lambda _: None if halt.is_set() else self._list())

    async def halt(self) -> None:
        """End what reads files: it would make a sender late."""
        self._halt.set()
        if self._judging is not None:
            await asyncio.wait({self._judging})

    def rest(self, resting: bool, *, added: bool) -> None:
        """Whether buttons can be pressed: no session runs, and there is something to press for."""
        self._resting, self._added = resting, added
        if resting:
            self.offer()
        self._chosen()

    def _list(self) -> None:
        """List what the filter lets through; what was chosen stays chosen."""
        words = self.filter.value.casefold().split()
        lines = zip(as_lines(self._files, self._verdicts), self._files, strict=True)
        shown = [
            (line, str(one.path))
            for line, one in lines
            if all(word in line.replace("\N{NO-BREAK SPACE}", " ").casefold() for word in words)
        ]
        chosen = [path for _, path in shown if path in self.file.value]
        if self.file.options != tuple(shown):
            self.file.options = shown
            self.file.value = chosen
        self._chosen()

    def _chosen(self) -> None:
        count = len(self.file.value)
        self.add.disabled = self.delete.disabled = not (self._resting and count)
        self.rename.disabled = not (self._resting and count == 1)
        self.remove.disabled = not (self._resting and self._added)
        self.delete.description = "Delete"

    def _rename(self) -> None:
        name = self.name.value.strip()
        for one in self.chosen[:1]:
            new = one.path.with_name(f"{name}.jsonl") if _fits(name) else None
            if new is None or new.exists():
                why = "another session is called so" if new else "it is no name for a file"
                self._say(f"{name!r} cannot be the new name: {why}. Type another one.")
                return
            try:
                one.path.rename(new)
            except OSError as error:
                self._say(f"It cannot be renamed ({error.strerror}). Look at who may write there.")
                return
            self.name.value = ""
            self.offer()
            self.file.value = (str(new),)
            self._say(f"Renamed: {name}.")

    def _delete(self) -> None:
        """Delete at the second press, because it cannot be undone."""
        files = self.chosen
        sure = f"Really delete {len(files)}"
        if self.delete.description != sure:
            self.delete.description = sure
            return
        said = f"Deleted: {counted(len(files), 'session')}."
        try:
            for one in files:
                one.path.unlink(missing_ok=True)
        except OSError as error:
            said = f"It cannot be deleted ({error.strerror}). Look at who may write there."
        self.offer()
        self._say(said)


def _fits(name: str) -> bool:
    return bool(name) and not (set(name) & set("/\\:\0")) and name[0] != "." and len(name) < 100
