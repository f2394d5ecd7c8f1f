"""A clip: a recording, or an excerpt of one, as mono 16-bit chunks by sample position."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtkit.audio.decoding import decoder, read_on_from
from rtkit.audio.levels import Level, Meter
from rtkit.boundary.text import clean, counted, short_name, told
from rtkit.boundary.values import check_numbers
from rtkit.reference import Reference

if TYPE_CHECKING:
    import soundfile

__all__ = ["AudioError", "Clip", "Header", "check_clip", "silence"]


class AudioError(ValueError):
    """A recording that cannot be used; the message gives the file, the problem and the fix."""

    def __init__(self, sentence: str) -> None:
        super().__init__(clean(str(sentence)))


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a WAV file: `bits` per sample, and `size` bytes before the audio."""

    rate: int
    channels: int
    bits: int
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording, or an excerpt of one, read lazily.

    Attributes
    ----------
    path : Path
        The recording.
    rate : int
        The file's sample rate, in samples per second.
    first : int
        Where the clip begins in the file, in samples.
    samples : int
        Length of the clip, in samples per channel.
    channels : int
        Number of channels in the file; they are averaged into one.
    coding : str
        The file's format and sample coding, for example ``"WAV PCM_16"``.
    reference : Reference or None
        What is said in the clip, with times from the clip's start, if there is a sidecar file.
    header : Header or None
        From `open_raw`: the file's header, which was ignored.
    channel : int or None
        The only channel that is used, counted from 0, instead of the average.
    total : int or None
        Number of samples in the whole recording, if known.
    looks_like : str or None
        From `open_raw`: what the bytes appear to be, if not 16-bit little-endian samples.
    """

    path: Path
    rate: int
    first: int
    samples: int
    channels: int
    coding: str
    reference: Reference | None = None
    header: Header | None = None
    channel: int | None = None
    total: int | None = None
    looks_like: str | None = None

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @property
    def name(self) -> str:
        """The file's name, as it can be printed."""
        return clean(self.path.name)

    @property
    def stem(self) -> str:
        """The name without its suffix, and as short as what is named after it needs."""
        return short_name(self.path.stem)

    def chunks(self, edges: np.ndarray, meter: Meter | None = None) -> Generator[bytes, None, None]:
        """Yield the audio between neighboring `edges` as little-endian 16-bit mono.

        Parameters
        ----------
        edges : ndarray of int, shape (chunks + 1,)
            Sample positions counted from the clip's start, rising.
        meter : Meter, optional
            Measures what is read, before it is clipped to 16 bits.

        Raises
        ------
        AudioError
            If the file ends before the clip does, or is damaged.
        """
        import soundfile

        try:
            with decoder(self.path) as sound:
                read_on_from(self.first + int(edges[0]), sound)
                held, left = b"", int(edges[-1] - edges[0])
                for start, stop in pairwise(edges.tolist()):
                    size = 2 * (stop - start)
                    if len(held) < size:
                        # A second at a time: a read costs more by the call than by the sample.
                        frames = min(left, max(stop - start, self.rate))
                        held += _read_mono(sound, frames, self.channel, meter)
                        left -= frames
                    if len(held) < size:
                        raise AudioError(
                            f"{self.path} ends {counted((size - len(held)) // 2, 'sample')} too "
                            "early: it was cut or changed while it was read. Copy or record it "
                            "again."
                        )
                    yield held[:size]
                    held = held[size:]
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(
                f"{self.path} cannot be read further ({reason(error)}): it was damaged, moved "
                "or changed. Copy or record it again."
            ) from error

    def levels(self) -> tuple[Level, ...]:
        """How loud the clip is: first as it is sent, then each channel where there are several.

        The clip is read once for that, and the result remembered.

        Raises
        ------
        AudioError
            If the file cannot be read to the clip's end.
        """
        try:
            state = self.path.stat()
        except OSError:  # there is none: a clip of silence
            return ()
        return _measured(self, state.st_size, state.st_mtime_ns)

    def __repr__(self) -> str:
        spoken = "no reference"
        if self.reference is not None:
            spoken = counted(len(self.reference.words), "word")
        # What `open_raw` skips is a header, not audio.
        start = f" from {self.first / self.rate:.2f} s" if self.first and not self.header else ""
        chosen = "" if self.channel is None else f", channel {self.channel}"
        return (
            f"<Clip {self.name}: {self.seconds:.2f} s{start}, {self.rate} Hz, "
            f"{self.channels} ch{chosen}, {self.coding}, {spoken}>"
        )


@lru_cache(maxsize=256)
def _measured(clip: Clip, size: int, changed: int) -> tuple[Level, ...]:
    meter = Meter(clip.rate)
    edges = np.arange(0, clip.samples, clip.rate)
    for _ in clip.chunks(np.append(edges, clip.samples), meter):
        pass
    return meter.levels()


def silence(seconds: float, *, rate: int = 16000) -> Clip:
    """A clip of silence, without a file; its reference has no words.

    Raises
    ------
    ValueError
        If `seconds` is not a valid length.
    """
    check_numbers(seconds=seconds, rate=rate)
    if not 0 < rate < math.inf:
        raise ValueError(f"rate={rate:g} is not a sample rate; give samples per second, as 16000")
    if not 0 < seconds < math.inf:
        raise ValueError(f"{seconds:g} s of silence cannot be streamed; give seconds above 0")
    samples = max(1, round(seconds * rate))
    return _Silence(Path("silence"), rate, 0, samples, 1, "none", Reference(()))


class _Silence(Clip):
    def chunks(self, edges: np.ndarray, meter: Meter | None = None) -> Generator[bytes, None, None]:
        for start, stop in pairwise(edges.tolist()):
            yield bytes(2 * (stop - start))

    def levels(self) -> tuple[Level, ...]:
        return ()  # it is silent on purpose


def check_clip(what: object) -> None:
    """Refuse what is not a clip."""
    if not isinstance(what, Clip):
        raise TypeError(f"{told(repr(what), 60)} is not a clip; give rtkit.open_clip(PATH)")


def reason(error: Exception) -> str:
    """What an error says, in few words."""
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return str(said).strip().rstrip(".")


def _read_mono(
    sound: soundfile.SoundFile, frames: int, channel: int | None, meter: Meter | None
) -> bytes:
    """The next frames as little-endian 16-bit mono; fewer where the file ends."""
    if sound.channels == 1 and sound.subtype == "PCM_16":
        samples = sound.read(frames, dtype="int16")
        if meter is not None and len(samples):
            mono = samples * np.float32(1 / 32768)
            meter.measure(mono[:, None], mono)
        pcm: bytes = samples.astype("<i2", copy=False).tobytes()
        return pcm
    read = sound.read(frames, dtype="float64", always_2d=True)
    mono = read.mean(axis=1) if channel is None else read[:, channel]
    if meter is not None and len(read):
        meter.measure(read, mono)
    # What is no number is silent.
    whole = np.rint(np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0) * 32768)
    pcm = np.clip(whole, -32768, 32767).astype("<i2").tobytes()
    return pcm
