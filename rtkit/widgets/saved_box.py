"""The panel's box for sessions saved before, to be seen beside today's."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import ipywidgets

from rtkit.analysis.naming import said
from rtkit.recording import read_opening
from rtkit.session import Session
from rtkit.widgets.fields import BESIDE, STYLE, WIDE, in_a_row

__all__ = ["SavedBox", "name_of"]


class SavedBox(ipywidgets.VBox):  # type: ignore[misc]
    """Sessions saved before, to be seen beside today's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = ipywidgets.Dropdown(
            description="saved session",
            style=STYLE,
            layout=WIDE,
            tooltip=f"A session that was saved in {folder}, the newest first",
        )
        self.add = ipywidgets.Button(
            description="Add to the figures",
            icon="plus",
            layout={"width": "auto"},
            tooltip="Show the saved session beside what was measured now",
        )
        self.remove = ipywidgets.Button(
            description="Remove added",
            icon="minus",
            layout={"width": "auto"},
            tooltip="Show again only what was measured now",
            disabled=True,
        )
        buttons = in_a_row(self.add, self.remove)
        buttons.layout.margin = BESIDE
        super().__init__([self.file, buttons], layout={"overflow": "visible"})
        self.file.add_class("rt-earlier")
        self.add.add_class("rt-add")
        self.remove.add_class("rt-remove")
        self.offer()

    def offer(self) -> None:
        """Offer what is in the folder now, the newest first."""
        chosen = self.file.value
        files = {str(path): self._titled(path) for path in self._saved()}
        none = [(f"none in {self._folder} yet", "")]
        self.file.options = [(title, path) for path, title in files.items()] or none
        self.file.value = chosen if chosen in files else next(iter(files), "")
        self.add.disabled = not files

    def _saved(self) -> list[Path]:
        """Sessions in the folder, and in the folders in it: `rtkit.compare` makes some."""
        found = []
        for pattern in ("*.jsonl", "*/*.jsonl"):
            for path in self._folder.glob(pattern):
                with contextlib.suppress(OSError):  # it was there a moment ago
                    # Not a notebook's checkpoints, and nothing that opening it would wait for.
                    if not path.parent.name.startswith(".") and path.is_file():
                        found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found, reverse=True)]

    def rest(self, resting: bool, *, added: bool) -> None:
        """Whether buttons can be pressed: no session runs, and there is something to press for."""
        if resting:
            self.offer()
        self.add.disabled = not (resting and self.file.value)
        self.remove.disabled = not (resting and added)

    def _titled(self, path: Path) -> str:
        """What tells a file from others first, since a narrow list cuts off the end."""
        try:
            session = read_opening(path)
        except (OSError, ValueError):
            return path.relative_to(self._folder).with_suffix("").as_posix()
        asked = session.settings
        when = _when(session, "%d %b %H:%M:%S ")
        pacing, recording = said(asked.pacing), Path(asked.recording).stem
        return f"{when}{pacing}, {asked.chunk * 1000:g} ms, {recording}"


def name_of(session: Session, taken: Mapping[str, Session]) -> str:
    """What a saved session is called in figures: its pacing and when it was, and no name twice."""
    name = session.settings.pacing + _when(session, ", %d %b %H:%M")
    numbered = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 2)))
    return next(one for one in numbered if one not in taken)


def _when(session: Session, form: str) -> str:
    """When it started, on this computer's calendar; empty where that is not told."""
    try:
        return f"{datetime.fromisoformat(session.started).astimezone():{form}}"
    except (ValueError, OverflowError):  # OverflowError: no calendar of this computer's has it
        return ""
