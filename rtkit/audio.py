"""A clip: a recording, or an excerpt of one, as mono 16-bit chunks by sample position."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Generator
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Real
from pathlib import Path

import numpy as np
import soundfile

from rtkit.reference import Reference, SidecarError, find_reference

__all__ = ["AudioError", "Clip", "Header", "bundled", "open_clip", "open_raw", "silence"]

MIN_RATE, MAX_RATE = 8000, 96000

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".au", ".w64", ".caf", ".opus")


class AudioError(ValueError):
    """A recording that cannot be used; the message names the file, the fault and the cure."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a WAV file says of itself: `bits` a sample, and `size` bytes before the audio."""

    rate: int
    channels: int
    bits: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a recording, read lazily.

    Attributes
    ----------
    path : Path
        The recording.
    rate : int
        Samples per second, the file's own.
    first : int
        Where in the file the clip begins, in samples.
    samples : int
        How long the clip is, in samples of one channel.
    channels : int
        How many channels the file has; they are averaged into one.
    coding : str
        The file's format and sample coding, for example ``"WAV PCM_16"``.
    reference : Reference or None
        What is truly said in the clip, with times from the clip's start, if a sidecar tells.
    header : Header or None
        From `open_raw`: what the file says of itself, and nobody heeded.
    """

    path: Path
    rate: int
    first: int
    samples: int
    channels: int
    coding: str
    reference: Reference | None = None
    header: Header | None = None

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    def chunks(self, edges: np.ndarray) -> Generator[bytes, None, None]:
        """Yield the audio between neighboring `edges` as little-endian 16-bit mono.

        Parameters
        ----------
        edges : ndarray of int, shape (chunks + 1,)
            Sample positions counted from the clip's start, rising.

        Raises
        ------
        AudioError
            If the file ends before the clip does, or is damaged.
        """
        try:
            with soundfile.SoundFile(self.path) as file:
                _read_on_from(self.first + int(edges[0]), file)
                held, left = b"", int(edges[-1] - edges[0])
                for start, stop in pairwise(edges.tolist()):
                    size = 2 * (stop - start)
                    if len(held) < size:
                        # A second at a time: a read costs more by the call than by the sample.
                        frames = min(left, max(stop - start, self.rate))
                        held += _read_mono(file, frames)
                        left -= frames
                    if len(held) < size:
                        raise AudioError(
                            f"{self.path} ends {(size - len(held)) // 2} samples too early: "
                            "it was cut or changed while it was read. Make the file anew."
                        )
                    yield held[:size]
                    held = held[size:]
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{self.path} cannot be read any further ({_reason(error)}): it was damaged, moved "
                "or changed. Make or copy it anew."
            ) from error

    def __repr__(self) -> str:
        spoken = "no reference" if self.reference is None else f"{len(self.reference.words)} words"
        # What `open_raw` skips is a header, not audio.
        start = f" from {self.first / self.rate:.2f} s" if self.first and not self.header else ""
        return (
            f"<Clip {self.path.name}: {self.seconds:.2f} s{start}, {self.rate} Hz, "
            f"{self.channels} ch, {self.coding}, {spoken}>"
        )


def open_clip(path: str | Path, *, seconds: float | None = None, start: float = 0.0) -> Clip:
    """Open a recording, or an excerpt of one.

    Parameters
    ----------
    path : str or Path
        Anything that soundfile opens: WAV of any width, FLAC, OGG, MP3, and more.
    seconds : float, optional
        Length of the excerpt; the rest of the file without it. A longer length than there is
        gives what there is.
    start : float
        Where the excerpt begins, in seconds.

    Returns
    -------
    Clip

    Raises
    ------
    AudioError
        If the file is missing, empty, not audio, out of the service's range of sample rates,
        or shorter than its own header promises; if the excerpt lies outside the file.
    SidecarError
        If a sidecar lies beside the recording and cannot be read, or its times are no seconds.
    """
    path = Path(path)
    check_numbers(seconds=seconds, start=start)
    _check_file(path)
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes). Make or copy it anew.")
    try:
        with soundfile.SoundFile(path) as file:
            _check_whole(path, file)
            rate, frames, channels = int(file.samplerate), int(file.frames), int(file.channels)
            coding = f"{file.format} {file.subtype}"
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path} cannot be read as audio ({_reason(error)}). It takes WAV, FLAC, OGG and MP3; "
            "convert others, for example: ffmpeg -i INPUT -ac 1 OUTPUT.wav"
        ) from error
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{path} has a sample rate of {rate} Hz; the service takes {MIN_RATE} to {MAX_RATE} "
            "Hz. Resample it, for example: ffmpeg -i INPUT -ar 16000 OUTPUT.wav"
        )
    length = frames / rate
    if not (math.isfinite(start) and 0 <= start < length):
        raise AudioError(f"start={start:g} s lies outside {path}, which is {length:.3f} s long.")
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise AudioError(f"seconds={seconds:g} is no length; give a number of seconds above 0.")
    first = min(round(start * rate), frames - 1)
    samples = frames - first
    if seconds is not None:
        samples = min(samples, max(1, round(seconds * rate)))
    reference = find_reference(path)
    if reference is not None:
        _check_times(reference, path, length)
        reference = reference.excerpt(first / rate, (first + samples) / rate)
    return Clip(path, rate, first, samples, channels, coding, reference)


def open_raw(
    path: str | Path,
    *,
    rate: int | None = None,
    keep_header: bool = False,
    seconds: float | None = None,
) -> Clip:
    """Take a file's bytes for mono 16-bit samples, as a script does that reads no header.

    This is how most wrong audio comes about; `rtkit.diagnose` tells what is wrong with such a
    clip. For recordings that are to be heard right there is `open_clip`.

    Parameters
    ----------
    path : str or Path
        A WAV file, or bare samples without a header.
    rate : int, optional
        What the audio is passed off as, in samples per second; a WAV file's own without it.
    keep_header : bool
        Take the header for audio, too.
    seconds : float, optional
        Length of the excerpt, in the recording's own time.

    Raises
    ------
    AudioError
        If the file is missing or holds no samples, or if nothing tells the rate.
    """
    path = Path(path)
    check_numbers(seconds=seconds, rate=rate)
    _check_file(path)
    header = read_header(path)
    if rate is None:
        if header is None:
            raise AudioError(f"{path} has no WAV header; say its sample rate: rate=16000")
        rate = header.rate
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(f"rate={rate} Hz: the service takes {MIN_RATE} to {MAX_RATE} Hz.")
    skipped = 0 if header is None else header.size
    size = path.stat().st_size - skipped
    if seconds is not None:
        a_second = 2 * rate if header is None else header.rate * header.channels * header.bits // 8
        size = min(size, round(seconds * a_second))
    if keep_header:
        size, skipped = size + skipped, 0
    if size < 2:
        raise AudioError(f"{path} holds no samples. Record or convert it anew.")
    if header is not None and seconds is not None:
        header = replace(header, seconds=min(seconds, header.seconds))
    reference = find_reference(path)
    if reference is not None and header is not None:
        reference = reference.excerpt(0.0, header.seconds)
    channels = 1 if header is None else header.channels
    return _Raw(path, rate, skipped // 2, size // 2, channels, "bytes", reference, header)


class _Raw(Clip):
    def chunks(self, edges: np.ndarray) -> Generator[bytes, None, None]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise AudioError(f"{self.path} cannot be opened any more: {error.strerror}.") from error
        with file:
            file.seek(2 * (self.first + int(edges[0])))
            for start, stop in pairwise(edges.tolist()):
                piece = file.read(2 * (stop - start))
                if len(piece) < 2 * (stop - start):
                    raise AudioError(f"{self.path} was cut while it was read. Make it anew.")
                yield piece


def read_header(path: Path) -> Header | None:
    """What a WAV file says of itself; None for a file that is none."""
    with path.open("rb") as file:
        if not is_wav(file.read(12)):
            return None
        channels = rate = bits = 0
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                frame = rate * channels * bits // 8
                held = min(size, path.stat().st_size - file.tell())
                return Header(rate, channels, bits, file.tell(), held / frame) if frame else None
            body = file.read(size + size % 2)
            if name == b"fmt " and len(body) >= 16:
                _, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    return None


def is_wav(start: bytes) -> bool:
    """Whether bytes begin as a WAV file does; audio does not."""
    return start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE"


def silence(seconds: float, *, rate: int = 16000) -> Clip:
    """A clip of silence that needs no file; its reference holds no words.

    Raises
    ------
    ValueError
        If `seconds` is no length.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"{seconds:g} s of silence cannot be streamed; give seconds above 0")
    samples = max(1, round(seconds * rate))
    return _Silence(Path("silence"), rate, 0, samples, 1, "none", Reference(()))


class _Silence(Clip):
    def chunks(self, edges: np.ndarray) -> Generator[bytes, None, None]:
        for start, stop in pairwise(edges.tolist()):
            yield bytes(2 * (stop - start))


def bundled() -> list[Path]:
    """The recordings that come with rtkit."""
    here = Path(__file__).parent
    for folder in (here / "data", here.parent / "data"):  # installed; a checkout
        if folder.is_dir():
            return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    return []


def check_numbers(**values: object) -> None:
    """Refuse what is neither a number nor left out."""
    for name, value in values.items():
        if value is not None and not isinstance(value, Real):
            unit = "samples a second" if name == "rate" else "seconds"
            raise TypeError(f"{name}={value!r} is no number; give a number of {unit}")


def _check_file(path: Path) -> None:
    """Refuse what is no file; of a folder, name some recordings."""
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
        some = ", ".join(map(str, found[:3])) + (", ..." if len(found) > 3 else "")
        fix = f"Open a recording in it: {some}" if found else "It holds no recording; name a file."
        raise AudioError(f"{path} is a folder. {fix}")
    if not path.is_file():
        raise AudioError(f"There is no file {path}. Check the name and the folder.")


def _check_times(reference: Reference, path: Path, length: float) -> None:
    """Refuse milliseconds, by which every word would lie beyond the end and be left out."""
    if reference.words and (last := reference.words[-1].start) > 100 * length:
        raise SidecarError(
            f"The reference beside {path.name} has its last word at {last:g} s, and the recording "
            f"is {length:.2f} s long. Times are seconds: divide milliseconds by 1000."
        )


def _reason(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).strip().rstrip(".")


def _read_mono(file: soundfile.SoundFile, frames: int) -> bytes:
    """The next frames as little-endian 16-bit mono; fewer where the file ends."""
    if file.channels == 1 and file.subtype == "PCM_16":
        samples: bytes = file.read(frames, dtype="int16").astype("<i2").tobytes()
        return samples
    mono = np.rint(file.read(frames, dtype="float64", always_2d=True).mean(axis=1) * 32768)
    pcm: bytes = np.clip(mono, -32768, 32767).astype("<i2").tobytes()
    return pcm


def _read_on_from(frame: int, file: soundfile.SoundFile) -> None:
    """Make `frame` the next one to be read, and have the file read forwards only from there.

    soundfile seeks after every read of a file that can seek, and an MP3 decoder that was made to
    seek lacks what earlier frames hold of the next ones: it gives silence in place of speech. So
    the second before `frame` is decoded too.
    """
    earlier = min(frame, int(file.samplerate))
    file.seek(frame - earlier)
    file.seekable = lambda: False
    file.read(earlier)


def _check_whole(path: Path, file: soundfile.SoundFile) -> None:
    """Refuse a file that holds nothing, or less than its header promises."""
    if file.frames == 0:
        raise AudioError(f"{path} has a header but no samples. Record or convert it anew.")
    # libsndfile forgives a WAV that was cut, and only its log tells. A size of 2**32 - 1 is the
    # habit of programs that write to a pipe and cannot know the length: no promise was made.
    for promised, held in re.findall(
        r"^\s*(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE
    ):
        if int(held) < int(promised) < 2**32 - 64:
            raise AudioError(
                f"{path} is cut: its header promises {promised} bytes of audio and it holds "
                f"{held}. Copy or record it anew."
            )
    try:
        file.seek(file.frames - 1)
        whole = len(file.read(1)) == 1
    except soundfile.LibsndfileError:
        whole = False
    if not whole:
        raise AudioError(
            f"{path} is cut: its header promises {file.frames} samples and the last of them "
            "cannot be read. Copy or record it anew."
        )
