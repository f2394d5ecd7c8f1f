"""The panel's fields for the recording: the file, the excerpt, and the channel."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets

from rtkit.audio import SUFFIXES, AudioError, Clip, bundled, open_clip
from rtkit.boundary.text import clean, told
from rtkit.widgets.fields import FieldError, NumberField, dropdown, mark, text

__all__ = ["RecordingBox"]

AVERAGED = ("all, averaged", -1)


class RecordingBox:
    """`file` stands with the choices that come first, and `more` holds the others."""

    def __init__(
        self,
        folder: str | Path | None,
        *,
        say: Callable[[str], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._say, self._fail = say, fail
        self._uploads: tempfile.TemporaryDirectory[str] | None = None
        self.file = dropdown("file", "recording", (), "What to stream")
        self.folder = text(
            *("folder", "folder", "a folder with more recordings"),
            "A folder of this computer's whose recordings to offer",
            value="" if folder is None else str(folder),
            continuous_update=False,
        )
        self.upload = ipywidgets.FileUpload(
            description="upload a file",
            accept=",".join((*SUFFIXES, ".json")),
            multiple=True,
            layout={"width": "auto", "align_self": "flex-end"},
            tooltip="A recording, and its reference (JSON) if there is one",
        ).add_class("rt-upload")
        self.start = NumberField(
            0,
            description="start (s)",
            unit="s",
            css="start",
            tooltip="Where in the recording to begin, in seconds",
        )
        self.seconds = NumberField(
            25,
            description="length (s)",
            unit="s, or nothing for all",
            empty=0,
            css="seconds",
            placeholder="all of it",
            tooltip="How much of it to stream, in seconds; 0 or nothing takes all of it",
        )
        why = "Of a call each speaker often has a channel: choose one"
        self.channel = dropdown("channel", "channel", [AVERAGED], why)
        self.more = (self.start, self.seconds, self.channel, self.folder, self.upload)
        self.folder.observe(self._folder_named, "value")
        self.upload.observe(self._uploaded, "value")
        self.file.observe(self._chosen, "value")
        self._offer()
        self._chosen()

    def clip(self) -> Clip:
        """What is chosen, as a clip.

        Raises
        ------
        FieldError, AudioError, SidecarError
            If there is none.
        """
        if self.file.value is None:
            raise FieldError("There is no recording to choose. Name a folder, or upload one.")
        start, seconds = self.start.number(), self.seconds.number()
        channel = None if self.channel.value < 0 else self.channel.value
        whole = open_clip(self.file.value, channel=channel)
        if start >= whole.seconds:
            why = f"{start:g} is beyond the end of {whole.name}, {whole.seconds:.1f} s"
            self.start.complain(f"{why}. Type less.")
            raise FieldError(f"{self.start.text.description}: {why}. Type less.")
        return open_clip(self.file.value, start=start, seconds=seconds or None, channel=channel)

    def whole(self) -> Clip | None:
        """All of the file that is chosen, if it can be read."""
        if self.file.value is not None:
            with contextlib.suppress(OSError, ValueError):
                return open_clip(self.file.value)
        return None

    def without_folder(self, sentence: str) -> str:
        """A sentence without the folder of uploads, which means nothing to users."""
        if self._uploads is None:
            return sentence
        return sentence.replace(str(Path(self._uploads.name) / "_")[:-1], "")

    def close(self) -> None:
        if self._uploads is not None:
            self._uploads.cleanup()

    def _folder_named(self, _: Mapping[str, Any]) -> None:
        self._say("")
        self._offer()

    def _offer(self) -> None:
        """Offer uploaded recordings, the folder's, and those that come with rtkit; each once."""
        uploads = [] if self._uploads is None else _recordings(Path(self._uploads.name))
        named, there, error = self.folder.value.strip(), list[Path](), None
        if named:
            try:
                there = _recordings(Path(named).expanduser())
            except (OSError, RuntimeError) as caught:  # RuntimeError: ~somebody unknown
                error = caught
        files = _named([*uploads, *there, *bundled()], uploads)
        mark(self.folder, refused=error is not None)
        chosen = self.file.value
        self.file.options = [(name, str(path)) for path, name in files.items()]
        self.file.value = chosen if chosen in map(str, files) else next(iter(map(str, files)), None)
        if error is not None:
            reason = getattr(error, "strerror", None) or str(error)
            self._fail(AudioError(f"The folder {named} cannot be read ({reason}). Check its name."))
        elif named and not there:
            self._say(f"The folder {named} holds no recording; it takes {', '.join(SUFFIXES)}.")

    def _chosen(self, _: object = None) -> None:
        """Offer the recording's channels; whatever was said of another one is over."""
        self._say("")
        self.start.check()
        channels = 1
        if self.file.value is not None:
            with contextlib.suppress(OSError, ValueError):  # said when it is to be streamed
                channels = open_clip(self.file.value, seconds=1).channels
        before = self.channel.value
        each = [(f"{number + 1} of {channels}", number) for number in range(channels)]
        self.channel.options = [AVERAGED, *(each if channels > 1 else ())]
        self.channel.value = before if before < channels and channels > 1 else -1
        self.channel.layout.display = "flex" if channels > 1 else "none"

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
        except ValueError as error:
            self._fail(error)
        else:
            self._say(f"{clip.name}: {clip.seconds:.1f} s at {clip.rate} Hz.")


def _kept(folder: Path, name: str, content: bytes) -> Path:
    """The file of an upload, whose name anybody may have chosen."""
    last = Path(name).name
    try:
        if last in ("", ".."):
            raise ValueError("it is not a file name")
        path = folder / last
        path.write_bytes(content)
    except (OSError, ValueError) as error:  # ValueError: a NUL, or half a character
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(
            f"The upload {told(repr(name), 60)} cannot be kept ({reason}). Rename the file and "
            "upload it again."
        ) from None
    return path


def _recordings(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]


def _named(paths: Iterable[Path], uploads: Collection[Path]) -> dict[Path, str]:
    """Each file once, by whatever way it was found; where names repeat, with their folders."""
    files: dict[Path, Path] = {}
    for path in paths:
        files.setdefault(path.resolve(), path)
    names = [path.name for path in files.values()]
    named = {}
    for path in files.values():
        where = "uploaded" if path in uploads else path.parent.name
        named[path] = clean(path.name + f" ({where})" * (names.count(path.name) > 1))
    return named
