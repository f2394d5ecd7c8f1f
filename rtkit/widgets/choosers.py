"""What the panel offers to choose: the recording, how it is sent, and sessions saved before.

Each box knows its own widgets and nothing of a session that runs. What there is to say goes to the
panel, by the two functions that it hands over.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ipywidgets

from rtkit.audio import SUFFIXES, AudioError, Clip, bundled, open_clip
from rtkit.loopback.process import embedded
from rtkit.reference import SidecarError
from rtkit.sending.stream import Service
from rtkit.services.assemblyai import client as protocol
from rtkit.session import Session

__all__ = ["Earlier", "Recording", "Sending", "name_of"]

STYLE = {"description_width": "7em"}
WIDE = {"width": "calc(100% - 4px)"}  # a widget has 2 px of margin
SHORT = {"width": "14em"}
BESIDE = "2px 2px 2px 7.6em"  # below the fields, not below their names
COMPARISON = ("fixed_sleep", "wall_clock")
FILE = re.compile(r"(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)_(.+)_(\d+)ms_([a-z_]+)")  # `Sending.file_name`
STAMP = "%Y-%m-%d_%H-%M-%S"


class Recording(ipywidgets.VBox):  # type: ignore[misc]
    """Which recording, and how much of it."""

    def __init__(
        self,
        folder: str | Path | None,
        *,
        say: Callable[[str], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._say, self._fail = say, fail
        self._uploads: tempfile.TemporaryDirectory[str] | None = None
        self.file = ipywidgets.Dropdown(
            description="recording", style=STYLE, layout=WIDE, tooltip="What to stream"
        )
        self.folder = ipywidgets.Text(
            description="folder",
            value="" if folder is None else str(folder),
            placeholder="a folder with more recordings",
            continuous_update=False,
            style=STYLE,
            layout=WIDE,
            tooltip="A folder of this computer's whose recordings to offer",
        )
        self.upload = ipywidgets.FileUpload(
            description="upload a recording",
            accept=",".join((*SUFFIXES, ".json")),
            multiple=True,
            layout={"width": "auto", "margin": BESIDE},
            tooltip="A recording, and its reference (JSON) if there is one",
        )
        self.start = ipywidgets.BoundedFloatText(
            0,
            min=0,
            max=1e6,
            step=1,
            description="start (s)",
            style=STYLE,
            layout=SHORT,
            tooltip="Where in the recording to begin, in seconds",
        )
        self.seconds = ipywidgets.BoundedFloatText(
            25,
            min=0,
            max=1e6,
            step=5,
            description="length (s)",
            style=STYLE,
            layout=SHORT,
            tooltip="How much of it to stream, in seconds; 0 takes the whole recording",
        )
        self.folder.observe(self._folder_named, "value")
        self.upload.observe(self._uploaded, "value")
        rows = [self.file, self.folder, self.upload, _in_a_row(self.start, self.seconds)]
        super().__init__(rows, layout={"overflow": "visible"})
        for widget, name in (
            (self.file, "rt-file"),
            (self.seconds, "rt-seconds"),
            (self.upload, "rt-upload"),
        ):
            widget.add_class(name)
        self._offer()

    def clip(self) -> Clip:
        """What is chosen, as a clip."""
        if self.file.value is None:
            raise AudioError("There is no recording to choose. Name a folder, or upload one.")
        return open_clip(
            self.file.value, start=self.start.value, seconds=self.seconds.value or None
        )

    def close(self) -> None:
        if self._uploads is not None:
            self._uploads.cleanup()
        super().close()

    def _folder_named(self, _: Mapping[str, Any]) -> None:
        self._say("")
        self._offer()

    def _offer(self) -> None:
        """Offer uploaded recordings, the folder's, and those that come with rtkit."""
        found = [] if self._uploads is None else list(_recordings(Path(self._uploads.name)))
        named = self.folder.value.strip()
        if named:
            try:
                found += _recordings(Path(named).expanduser())
            except (OSError, RuntimeError) as error:  # RuntimeError: ~somebody unknown
                reason = getattr(error, "strerror", None) or str(error)
                self._fail(
                    AudioError(f"The folder {named} cannot be read ({reason}). Check its name.")
                )
        chosen = self.file.value
        files = {str(path): path.name for path in (*found, *bundled())}
        self.file.options = [(name, path) for path, name in files.items()]
        self.file.value = chosen if chosen in files else next(iter(files), None)

    def _uploaded(self, change: Mapping[str, Any]) -> None:
        if not change["new"]:
            return
        if self._uploads is None:
            self._uploads = tempfile.TemporaryDirectory(prefix="rtkit-")
        paths = []
        for item in change["new"]:
            path = Path(self._uploads.name) / Path(item["name"]).name
            path.write_bytes(item["content"])
            paths.append(path)
        self.upload.value = ()  # the bytes need not stay in the widget, nor in a saved notebook
        recordings = [path for path in paths if path.suffix.lower() in SUFFIXES]
        self._offer()
        for path in recordings[:1]:
            self.file.value = str(path)
            self._try_to_open()
        if not recordings:
            names = ", ".join(path.name for path in paths)
            self._fail(
                AudioError(f"{names} is no recording by its name; it takes {', '.join(SUFFIXES)}.")
            )

    def _try_to_open(self) -> None:
        try:
            clip = self._opened()
        except (AudioError, SidecarError) as error:
            self._fail(error)
        else:
            self._say(f"{clip.path.name}: {clip.seconds:.1f} s at {clip.rate} Hz.")

    def _opened(self, **part: Any) -> Clip:
        """What is chosen; nobody knows where uploads lie, so that errors leave it out."""
        try:
            return open_clip(self.file.value, **part)
        except (AudioError, SidecarError) as error:
            if self._uploads is None:
                raise
            folder = str(Path(self._uploads.name) / "_")[:-1]
            raise type(error)(str(error).replace(folder, "")) from None


class Sending(ipywidgets.VBox):  # type: ignore[misc]
    """How it is sent, and to whom."""

    def __init__(self) -> None:
        self._key: str | None = None
        self.chunk = ipywidgets.BoundedIntText(
            100,
            min=50,
            max=1000,
            step=10,
            description="chunk (ms)",
            style=STYLE,
            layout=SHORT,
            tooltip="How much audio goes into a message: 50 to 1000 ms",
        )
        self.presets = ipywidgets.ToggleButtons(
            options=[("50", 50), ("100", 100), ("200", 200)],
            value=100,
            style={"button_width": "4em"},
            tooltips=[
                "50 ms, closest to a microphone",
                "100 ms, usual",
                "200 ms, fewer messages",
            ],
        )
        self.pacing = ipywidgets.Dropdown(
            description="pacing",
            options=[
                ("compare naive with wall clock", "compare"),
                ("wall clock", "wall_clock"),
                ("naive (fixed sleep)", "fixed_sleep"),
                ("unpaced", "unpaced"),
            ],
            style=STYLE,
            layout=WIDE,
            tooltip="How the sender waits between two chunks",
        )
        self.work = ipywidgets.BoundedFloatText(
            5,
            min=0,
            max=1000,
            step=1,
            description="extra work per chunk (ms)",
            style={"description_width": "initial"},
            layout=WIDE,
            tooltip="What the sender does after each chunk, besides sending",
        )
        self.stall = ipywidgets.BoundedFloatText(
            0,
            min=0,
            max=10000,
            step=100,
            description="stall (ms)",
            style=STYLE,
            layout=SHORT,
            tooltip="Block the loop once, for so long, to see each pacing recover or not",
        )
        self.stall_at = ipywidgets.BoundedFloatText(
            5,
            min=0,
            max=1e6,
            step=1,
            description="at (s)",
            style=STYLE,
            layout=SHORT,
            tooltip="When the stall comes, in seconds after the start",
        )
        self.isolation = ipywidgets.Dropdown(
            description="sender",
            options=[
                ("in the notebook's loop", "loop"),
                ("in a thread of its own", "thread"),
                ("in a process of its own", "process"),
            ],
            style=STYLE,
            layout=WIDE,
            tooltip="Where the sender runs: further away, a busy notebook disturbs it less",
        )
        self.service = ipywidgets.Dropdown(
            description="service",
            options=[
                ("embedded (no key, offline)", "embedded"),
                ("embedded, with a real recognizer", "recognizer"),
                ("AssemblyAI", "assemblyai"),
            ],
            style=STYLE,
            layout=WIDE,
            tooltip="Who listens",
        )
        self.key = ipywidgets.Password(
            description="API key",
            continuous_update=False,
            style=STYLE,
            layout=WIDE,
            tooltip="Stays in memory; it is neither shown nor saved",
        )
        self.presets.observe(self._preset_chosen, "value")
        self.chunk.observe(self._chunk_chosen, "value")
        self.service.observe(lambda _: self._show_key(), "value")
        self.key.observe(self._key_typed, "value")
        rows = [
            self.pacing,
            _in_a_row(self.chunk, self.presets),
            self.work,
            _in_a_row(self.stall, self.stall_at),
            self.isolation,
            self.service,
            self.key,
        ]
        super().__init__(rows, layout={"overflow": "visible"})
        self.pacing.add_class("rt-pacing")
        self.chunk.add_class("rt-chunk")
        self._show_key()

    @property
    def pacings(self) -> tuple[str, ...]:
        return COMPARISON if self.pacing.value == "compare" else (self.pacing.value,)

    def options(self) -> dict[str, Any]:
        """What `rtkit.stream` is to be told; raises ValueError where a key is needed and none is.

        Read once: both sessions of a comparison are to have the same.
        """
        return {
            "chunk": self.chunk.value / 1000,
            "work": self.work.value / 1000,
            "blocks": [(self.stall_at.value, self.stall.value / 1000)] if self.stall.value else [],
            "isolation": self.isolation.value,
            "service": self._find_service(),
        }

    def file_name(self, clip: Clip, pacing: str, at: datetime) -> str:
        return f"{at:{STAMP}}_{clip.path.stem}_{self.chunk.value}ms_{pacing}.jsonl"

    def _find_service(self) -> Service | None:
        if self.service.value == "assemblyai":
            _key_present(self._key)
            return protocol.AssemblyAI(key=self._key)
        return embedded("recognizer") if self.service.value == "recognizer" else None

    def _preset_chosen(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self.chunk.value = change["new"]

    def _chunk_chosen(self, change: Mapping[str, Any]) -> None:
        offered = [value for _, value in self.presets.options]
        self.presets.value = change["new"] if change["new"] in offered else None

    def _show_key(self) -> None:
        self.key.layout.display = "flex" if self.service.value == "assemblyai" else "none"
        try:
            _key_present(self._key)
            self.key.placeholder = "a key is there; it stays in memory only"
        except ValueError:
            self.key.placeholder = f"paste a key, or set {protocol.KEY_VARIABLE}"

    def _key_typed(self, change: Mapping[str, Any]) -> None:
        """Take the key out of the widget at once: a saved notebook keeps its widgets' values."""
        if change["new"]:
            self._key = change["new"].strip()
            self.key.value = ""
            self._show_key()


class Earlier(ipywidgets.VBox):  # type: ignore[misc]
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
        buttons = _in_a_row(self.add, self.remove)
        buttons.layout.margin = BESIDE
        super().__init__([self.file, buttons], layout={"overflow": "visible"})
        self.file.add_class("rt-earlier")
        self.offer()

    def offer(self) -> None:
        """Offer what is in the folder now, the newest first."""
        chosen = self.file.value
        files = {str(path): _titled(path.relative_to(self._folder)) for path in self._saved()}
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
                    if not path.parent.name.startswith("."):  # as a notebook's checkpoints are
                        found.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(found, reverse=True)]

    def rest(self, resting: bool, *, added: bool) -> None:
        """Whether buttons can be pressed: no session runs, and there is something to press for."""
        if resting:
            self.offer()
        self.add.disabled = not (resting and self.file.value)
        self.remove.disabled = not (resting and added)


def name_of(session: Session, taken: Mapping[str, Session]) -> str:
    """What a saved session is called in figures: its pacing and when it was, and no name twice."""
    name = session.settings.pacing
    with contextlib.suppress(ValueError):  # a simulated one has no date
        name += f", {datetime.fromisoformat(session.started).astimezone():%d %b %H:%M}"
    numbered = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 2)))
    return next(one for one in numbered if one not in taken)


def _in_a_row(*widgets: ipywidgets.Widget) -> ipywidgets.Widget:
    layout = {"flex_flow": "row wrap", "align_items": "baseline", "overflow": "visible"}
    return ipywidgets.HBox(list(widgets), layout=layout)


def _recordings(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)


def _titled(name: Path) -> str:
    """What tells a file from others first, since a narrow list cuts off the end."""
    parts = FILE.fullmatch(name.stem)
    if parts is None:
        return name.with_suffix("").as_posix()
    at, recording, chunk, pacing = parts.groups()
    said = pacing.replace("_", " ")
    return f"{datetime.strptime(at, STAMP):%d %b %H:%M:%S} {said}, {chunk} ms, {recording}"


def _key_present(key: str | None) -> None:
    """Raise the same sentence as a session would, before anything is begun."""
    protocol.AssemblyAI(key=key).find_key()
