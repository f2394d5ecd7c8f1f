"""Reading a recording with libsndfile, and checking what its header claims.

libsndfile trusts headers. It is given a corrected view of the file, so that it reads all of the
audio, and lengths that it only estimates are counted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rtkit.audio.file_types import START, kind_of, mpeg_frame
from rtkit.audio.lengths import (
    JOINED,
    NotWhole,
    audio_extent,
    check_ogg,
    content_start,
    mp3_samples,
    mp3_tagged,
)
from rtkit.boundary.text import counted

if TYPE_CHECKING:
    import soundfile

__all__ = ["Contents", "contents", "count", "decoder", "read_on_from"]

UNKNOWN = 2**62  # frames; libsndfile says 2**63 - 1 where a header tells of none
ENDLESS = 64  # times; more than the largest frame of an MP3 is larger than its smallest
AT_ONCE = 1 << 16  # frames, when counting
BEHIND = 1 << 14  # bytes; more than an encoder of MP3 leaves at the end
SEARCHED = 1 << 26  # bytes of FLAC; to look through more would take longer than opening may


@dataclass(frozen=True, slots=True)
class Contents:
    """What a recording holds; `frames` is None where only reading to the end tells."""

    rate: int
    channels: int
    coding: str
    frames: int | None


def contents(path: Path) -> Contents:
    """Look at a recording, and see that it holds what it promises.

    Raises NotWhole if it was cut, or joined from several files.
    """
    with path.open("rb") as file:
        extent = audio_extent(file, os.fstat(file.fileno()).st_size)
        start = content_start(file)
    if extent is not None and extent.fault is not None:
        raise NotWhole(extent.fault)
    with decoder(path) as sound:
        frames: int | None = int(sound.frames)
        if sound.format == "OGG":
            check_ogg(path, start)
        if sound.frames > UNKNOWN or (isinstance(sound.name, _Guise) and sound.format == "MP3"):
            frames = None
        elif frames and not _can_seek(sound):
            frames = None  # it promises blocks, the last of which may be half
        elif frames:
            _check_end(path, sound, start)
        coding = f"{sound.format} {sound.subtype}"
        return Contents(int(sound.samplerate), int(sound.channels), coding, frames)


def _can_seek(sound: soundfile.SoundFile) -> bool:
    """Whether it is of a kind that can be read from anywhere; GSM and G.721 cannot."""
    import soundfile

    try:
        sound.seek(min(1, sound.frames - 1))
    except soundfile.LibsndfileError:
        return False
    return True


def _check_end(path: Path, sound: soundfile.SoundFile, start: int) -> None:
    """See that the last sample is there, and that no other file follows it."""
    import soundfile

    try:
        sound.seek(sound.frames - 1)
        sound.seekable = lambda: False  # or soundfile would move the decoder on
        whole = len(sound.read(1)) == 1
    except soundfile.LibsndfileError:
        whole = False
    if not whole:
        raise NotWhole(
            f"is truncated: its header promises {counted(sound.frames, 'sample')} but the last "
            "of them cannot be read"
        )
    if sound.format == "MP3" and isinstance(sound.name, int):
        with path.open("rb") as file:
            file.seek(os.lseek(sound.name, 0, os.SEEK_CUR))  # where the decoder stands
            behind = file.read(2 * BEHIND)
        if (len(behind) > BEHIND and mpeg_frame(behind[:4]) is not None) or _tagged_again(behind):
            raise NotWhole(JOINED)
    if sound.format == "FLAC" and path.stat().st_size <= SEARCHED:
        held = path.read_bytes()
        if any(held.find(b"fLaC" + kind + b"\0\0\x22", start + 4) > 0 for kind in (b"\0", b"\x80")):
            raise NotWhole(JOINED)


def _tagged_again(behind: bytes) -> bool:
    """Whether another MP3, shorter than what is held behind a first, says how long it is."""
    at = max(behind.find(b"Xing\0\0\0"), behind.find(b"Info\0\0\0"))
    return any(mpeg_frame(behind[start : start + 4]) for start in range(max(0, at - 36), at))


def count(path: Path, until: int | None = None) -> int:
    """How many frames a recording holds, by reading it once; no further than to `until`.

    Raises NotWhole if it cannot be read to its end.
    """
    state = path.stat()
    return _counted(path, state.st_size, state.st_mtime_ns, until)


@lru_cache(maxsize=1024)
def _counted(path: Path, size: int, changed: int, until: int | None) -> int:
    import soundfile

    with path.open("rb") as file:
        kind = kind_of(file.read(START))
        found = mp3_samples(file) if kind is not None and "MP3" in kind.name else None
    if found is not None:
        return found if until is None else min(found, until)
    frames = 0
    with decoder(path) as sound:
        sound.seekable = lambda: False  # or every read is followed by a seek
        try:
            while until is None or frames < until:
                size = AT_ONCE if until is None else min(AT_ONCE, until - frames)
                read = len(sound.read(size, dtype="int16", always_2d=True))
                if not read:
                    break
                frames += read
        except soundfile.LibsndfileError as error:
            raise NotWhole(
                f"is truncated or damaged: it cannot be read beyond {counted(frames, 'sample')}"
            ) from error
    return frames


def read_on_from(frame: int, sound: soundfile.SoundFile) -> None:
    """Make `frame` the next one to be read, and have the file read forwards only from there.

    soundfile seeks after every read of a file that can seek, and an MP3 decoder that was made to
    seek lacks what earlier frames hold of the next ones: it gives silence in place of speech. So
    the second before `frame` is decoded too.
    """
    import soundfile

    earlier = min(frame, int(sound.samplerate))
    try:
        sound.seek(frame - earlier)
    except soundfile.LibsndfileError:  # of a kind that is read forwards only
        earlier = frame
    sound.seekable = lambda: False
    while earlier and (read := len(sound.read(min(earlier, AT_ONCE)))):
        earlier -= read


class _Guise(io.RawIOBase):
    """A file as libsndfile has to see it: with another `head`, or with its end far away.

    libsndfile never reads more of an MP3 than it estimates from the file's length and the first
    frames; where it believes the file to be longer, it reads to the true end.
    """

    def __init__(self, file: BinaryIO, start: int, head: bytes, *, endless: bool = False) -> None:
        self._file, self._head = file, head
        self._moved = start - len(head)
        self._length = os.fstat(file.fileno()).st_size - self._moved
        self._claimed = self._length * (ENDLESS if endless else 1)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._claimed}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self._at < len(self._head):
            read = self._head[self._at : self._at + len(view)]
        elif self._at < self._length:
            self._file.seek(self._at + self._moved)
            read = self._file.read(min(len(view), self._length - self._at))
        else:  # of what is not there, only an ID3v1 tag is looked for, and there is none
            read = bytes(len(view) if self._at >= self._claimed - 128 else 0)
        view[: len(read)] = read
        self._at += len(read)
        return len(read)


@contextmanager
def decoder(path: Path) -> Iterator[soundfile.SoundFile]:
    """A recording, opened so that all of its audio can be read."""
    with path.open("rb") as file:
        extent = audio_extent(file, os.fstat(file.fileno()).st_size)
        head = None if extent is None else extent.fixed(file)
        guise = None if extent is None or head is None else _Guise(file, extent.start, head)
        start = content_start(file)
        if start:
            guise = _Guise(file, start, b"")
        with _opened(file, guise) as sound:
            estimated = sound.format == "MP3" and not mp3_tagged(path)
            if not estimated:
                yield sound
        if estimated:
            with _opened(file, _Guise(file, start, b"", endless=True)) as sound:
                yield sound


def _opened(file: BinaryIO, guise: _Guise | None) -> soundfile.SoundFile:
    import soundfile

    if guise is not None:
        return soundfile.SoundFile(guise)
    # By its number, because libsndfile takes no names but those in UTF-8.
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return soundfile.SoundFile(file.fileno(), closefd=False)
