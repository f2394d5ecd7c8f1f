"""Detecting the coding of samples: the one that gives the smoothest signal.

Neighboring samples of audio are similar, and bytes read in the wrong coding are noise. So a coding
is judged by how much its samples differ from their neighbors, relative to how much they differ from
silence: 2 for white noise, and close to 0 for speech.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["MOST", "Coding", "coding_of"]

ENOUGH = 4096  # bytes that it takes to tell
MOST = 1 << 20  # bytes that are looked at
SMOOTH = 0.4  # at most, is how rough the right reading is, and
SMOOTHER = 0.55  # times as rough as the one as 16-bit samples
ROUGH = 2.0  # is white noise
ALIKE = 1.2  # times as rough is as good
FRAME = 1024  # samples whose roughness is taken at a time

_Reading = Callable[[bytes], np.ndarray]


@dataclass(frozen=True, slots=True)
class Coding:
    """What samples seem to be in place of 16-bit little-endian ones: ``"stereo"``, say.

    `roughness` is that of this reading, and `as_sent` of the one as 16-bit samples.
    """

    name: str
    roughness: float
    as_sent: float


def coding_of(data: bytes) -> Coding | None:
    """What the bytes are, if they are not 16-bit little-endian samples; None if they may be."""
    data = data[:MOST]
    if len(data) < ENOUGH:
        return None
    as_sent = _roughness(_AS_SENT(data))
    if as_sent is None:
        return None
    found = {name: _roughness(read(data)) for name, read in _READINGS.items()}
    judged = {name: rough for name, rough in found.items() if rough is not None}
    if not judged:
        return None
    name = min(judged, key=lambda name: judged[name])
    # What takes turns with its like is as smooth in other readings.
    name = "stereo" if judged.get("stereo", ROUGH) <= ALIKE * judged[name] else name
    right = judged[name] < min(SMOOTH, SMOOTHER * as_sent)
    return Coding(name, judged[name], as_sent) if right else None


def _roughness(samples: np.ndarray) -> float | None:
    """The mean square of differences by that of the samples, in the median frame that has sound."""
    whole = len(samples) // FRAME
    if not whole or not np.isfinite(samples).all():
        return None
    frames = samples[: whole * FRAME].reshape(whole, FRAME)
    frames = frames - frames.mean(axis=1, keepdims=True)
    power = np.square(frames).mean(axis=1)
    if not power.any():
        return None
    loud = power >= float(np.quantile(power[power > 0], 0.5))
    differences = np.square(np.diff(frames[loud], axis=1)).mean(axis=1)
    return float(np.median(differences / power[loud]))


def _read(subtype: str, endian: str = "LITTLE") -> _Reading:
    """Bytes without a header, as libsndfile reads them."""

    def read(data: bytes) -> np.ndarray:
        import soundfile

        file, how = io.BytesIO(data), {"subtype": subtype, "endian": endian}
        samples: np.ndarray = soundfile.read(file, format="RAW", samplerate=1, channels=1, **how)[0]
        return samples

    return read


def _louder_channel(data: bytes) -> np.ndarray:
    both = _AS_SENT(data[: len(data) // 4 * 4]).reshape(-1, 2)
    louder: np.ndarray = both[:, np.square(both).sum(axis=0).argmax()]
    return louder


def _floats(subtype: str, endian: str = "LITTLE") -> _Reading:
    """Floats; what no program writes into a sound file as one makes it no number."""
    read = _read(subtype, endian)

    def sound(data: bytes) -> np.ndarray:
        found = read(data)
        sizes = np.abs(found)
        odd = (sizes > 1e6) | ((sizes < 1e-20) & (sizes > 0))
        return found if np.isfinite(found).all() and odd.mean() < 0.001 else np.full(FRAME, np.nan)

    return sound


_AS_SENT = _read("PCM_16")
_READINGS: Mapping[str, _Reading] = {
    "stereo": _louder_channel,
    "odd offset": lambda data: _AS_SENT(data[1:]),
    "big-endian": _read("PCM_16", "BIG"),
    "float32": _floats("FLOAT"),
    "float64": _floats("DOUBLE"),
    "big-endian float32": _floats("FLOAT", "BIG"),
    "32-bit": _read("PCM_32"),
    "24-bit": _read("PCM_24"),
    "8-bit": _read("PCM_U8"),
    "signed 8-bit": _read("PCM_S8"),
    "mu-law": _read("ULAW"),
    "A-law": _read("ALAW"),
}
