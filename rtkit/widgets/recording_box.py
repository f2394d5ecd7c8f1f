"""The panel's box for the recording: which one, and how much of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ipywidgets

from rtkit.audio import SUFFIXES, AudioError, Clip, bundled, open_clip
from rtkit.boundary.text import clean, told
from rtkit.reference import SidecarError
from rtkit.widgets.fields import BESIDE, SHORT, STYLE, WIDE, in_a_row

__all__ = ["RecordingBox"]


class RecordingBox(ipywidgets.VBox):  # type: ignore[misc]
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
        rows = [self.file, self.folder, self.upload, in_a_row(self.start, self.seconds)]
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

    def without_folder(self, sentence: str) -> str:
        """A sentence without the folder of uploads: nobody knows where they lie."""
        if self._uploads is None:
            return sentence
        return sentence.replace(str(Path(self._uploads.name) / "_")[:-1], "")

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
        files = {str(path): clean(path.name) for path in (*found, *bundled())}
        self.file.options = [(name, path) for path, name in files.items()]
        self.file.value = chosen if chosen in files else next(iter(files), None)

    def _uploaded(self, change: Mapping[str, Any]) -> None:
        if not change["new"]:
            return
        if self._uploads is None:
            self._uploads = tempfile.TemporaryDirectory(prefix="rtkit-")
        folder = Path(self._uploads.name)
        try:
            paths = [_kept(folder, item["name"], item["content"]) for item in change["new"]]
        except AudioError as error:
            self._fail(error)
            return
        finally:  # the bytes need not stay in the widget, nor in a saved notebook
            self.upload.value = ()
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
            clip = open_clip(self.file.value)
        except (AudioError, SidecarError) as error:
            self._fail(error)
        else:
            self._say(f"{clip.name}: {clip.seconds:.1f} s at {clip.rate} Hz.")


def _kept(folder: Path, name: str, content: bytes) -> Path:
    """The file of an upload, whose name anybody may have chosen."""
    last = Path(name).name
    try:
        if last in ("", ".."):
            raise ValueError("it is no file's name")
        path = folder / last
        path.write_bytes(content)
    except (OSError, ValueError) as error:  # ValueError: a NUL, or half a character
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(
            f"The upload {told(repr(name), 60)} cannot be kept ({reason}). Rename the file and "
            "upload it again."
        ) from None
    return path


def _recordings(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)
