"""Opening a recording or an excerpt, and checking that it can be used."""

from __future__ import annotations

import math
import os
import re
import stat
from numbers import Integral
from pathlib import Path

from rtkit.audio.clip import AudioError, Clip, reason
from rtkit.audio.decoding import Contents, contents, count
from rtkit.audio.file_types import START, kind_of
from rtkit.audio.lengths import JOINED, NotWhole
from rtkit.boundary.values import check_numbers
from rtkit.reference import Reference, check_within, find_reference

__all__ = ["SUFFIXES", "bundled", "check_file", "open_clip"]

LOWEST, HIGHEST = 100, 1_000_000  # samples a second
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".au", ".w64", ".caf", ".opus")


def open_clip(
    path: str | Path,
    *,
    seconds: float | None = None,
    start: float = 0.0,
    channel: int | None = None,
) -> Clip:
    """Open a recording, or an excerpt of one.

    Parameters
    ----------
    path : str or Path
        Anything that soundfile opens: WAV of any width, FLAC, OGG, MP3, and more.
    seconds : float, optional
        Length of the excerpt; by default, the rest of the file. If the file is shorter, so is the
        excerpt.
    start : float
        Where the excerpt begins, in seconds.
    channel : int, optional
        The only channel to use, counted from 0; recorded calls often have one speaker per channel.
        By default, channels are averaged.

    Returns
    -------
    Clip

    Raises
    ------
    AudioError
        If the file is missing, empty, truncated, not audio, or several files joined together, or if
        it does not contain the excerpt or the channel.
    SidecarError
        If there is a sidecar file beside the recording that cannot be read, or whose times are not
        in seconds.

    Notes
    -----
    If a file does not say how long it is (an MP3 without a Xing header, for example), it is decoded
    once, up to the end of the clip.
    """
    path = check_file(path)
    check_numbers(start=start)
    check_numbers(optional=True, seconds=seconds)
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes). Record or copy it again.")
    held = _look(path)
    rate = held.rate
    if not LOWEST <= rate <= HIGHEST:
        raise AudioError(
            f"{path} says that its rate is {rate} Hz, which no sound has. Convert it "
            f"again from its source, or open its samples with rtkit.open_raw(path, rate=16000)."
        )
    _check_channel(channel, path, held.channels)
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise AudioError(f"seconds={seconds:g} is not a length; give a number of seconds above 0.")
    wanted = None
    if seconds is not None and math.isfinite(start):
        wanted = max(0, round(start * rate)) + max(1, round(seconds * rate))
    frames = _count(path, wanted) if held.frames is None else held.frames
    if frames == 0:
        raise AudioError(f"{path} has a header but no samples. Record or convert it again.")
    if not (math.isfinite(start) and 0 <= start < frames / rate):
        raise AudioError(
            f"start={start:g} s is outside {path}, which is {frames / rate:.3f} s long."
        )
    first = min(round(start * rate), frames - 1)
    samples = frames - first
    if seconds is not None:
        samples = min(samples, max(1, round(seconds * rate)))
    total = held.frames if wanted is not None else frames
    reference = find_reference(path)
    if reference is not None:
        _check_times(reference, path, rate, total)
        reference = reference.excerpt(first / rate, (first + samples) / rate)
    return Clip(
        path,
        rate,
        first,
        samples,
        held.channels,
        held.coding,
        reference,
        channel=None if channel is None else int(channel),
        total=total,
    )


def bundled() -> list[Path]:
    """The paths of the recordings that are included in rtkit."""
    here = Path(__file__).parents[1]
    for folder in (here / "data", here.parent / "data"):  # installed; a checkout
        if folder.is_dir():
            return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    return []


def check_file(path: str | Path) -> Path:
    """Check that a path is a file; for a folder, the error lists some recordings."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"a {type(path).__name__} is not a recording; give the path of a file")
    name = os.fsdecode(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name):
        raise AudioError(f"{name} is a URL; download it first, and open the file: curl -LO {name}")
    path = Path(name)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise AudioError(
                f"{path} is a link to {path.readlink()}, which does not exist. Fetch it, for "
                f"example: git annex get"
            ) from None
        seen = "" if path.is_absolute() else f", searched from {Path.cwd()}"
        raise AudioError(f"There is no file {path}{seen}. Check the name and the folder.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise AudioError(f"{path} cannot be opened: {reason(error)}.") from error
    if stat.S_ISDIR(mode):
        raise AudioError(f"{path} is a folder. {_recordings_in(path)}")
    if not stat.S_ISREG(mode):
        raise AudioError(
            f"{path} is not a regular file, so it cannot be read twice. Record to a file."
        )
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise AudioError(
            f"{path} cannot be read: {reason(error)}. Check its permissions."
        ) from error
    return path


def _recordings_in(folder: Path) -> str:
    try:
        found = sorted(each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES)
    except OSError as error:
        return f"It cannot be read: {reason(error)}."
    some = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
    return f"Open one of its recordings: {some}" if found else "It contains no recording."


def _look(path: Path) -> Contents:
    import soundfile

    try:
        return contents(path)
    except NotWhole as error:
        raise AudioError(f"{path} {error}. {_fix(error)}") from error
    except (soundfile.LibsndfileError, OSError) as error:
        with path.open("rb") as file:
            kind = kind_of(file.read(START), least_text=1)
        if kind is not None and not kind.sound:
            raise AudioError(
                f"{path} cannot be read as audio: it is {kind.name} (it begins {kind.shown_by}). "
                f"{kind.fix}"
            ) from error
        found = "" if kind is None else f"it is {kind.name}, and "
        raise AudioError(
            f"{path} cannot be read as audio ({found}{reason(error)}). rtkit reads WAV, FLAC, "
            f"OGG and MP3; convert others"
            ", for example: ffmpeg -i INPUT -ac 1 OUTPUT.wav"
        ) from error


def _count(path: Path, until: int | None) -> int:
    try:
        return count(path, until)
    except NotWhole as error:
        raise AudioError(f"{path} {error}. {_fix(error)}") from error


def _fix(error: NotWhole) -> str:
    if str(error) == JOINED:
        return "Open the parts separately, or join them with an audio editor."
    return "Copy or record it again."


def _check_channel(channel: int | None, path: Path, channels: int) -> None:
    if channel is None:
        return
    if not isinstance(channel, Integral) or isinstance(channel, bool):
        raise TypeError(f"channel={channel!r} is not a channel; give its number, counting from 0")
    if not 0 <= channel < channels:
        have = "one channel, 0" if channels == 1 else f"channels 0 to {channels - 1}"
        raise AudioError(f"channel={channel} is not in {path}, which has {have}.")


def _check_times(reference: Reference, path: Path, rate: int, total: int | None) -> None:
    """Refuse words beyond the end, as milliseconds are: they would be left out in silence."""
    last = max((word.start for word in reference.words), default=0.0)
    if total is None and math.isfinite(last):
        total = _count(path, math.ceil(last * rate) + 1)
    if total is not None:
        check_within(reference, total / rate, f"The reference beside {path.name}", "the recording")
