"""In which coding bytes hold samples: told by which reading of them is smoothest.

Neighboring samples of sound are alike, and bytes that are read in a wrong way are noise. So a
reading is judged by how much its samples differ from their neighbors, against how much they differ
from silence: 2 in white noise, and little in speech.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Coding:
    """What samples seem to be in place of 16-bit little-endian ones.

    Attributes
    ----------
    name : str
        ``"stereo"``, ``"odd offset"``, ``"big-endian"``, ``"float32"``, ``"float64"``,
        ``"32-bit"``, ``"24-bit"``, ``"8-bit"``, ``"mu-law"`` or ``"A-law"``.
    roughness, as_sent : float
        Of this reading, and of the one as 16-bit samples: 2 in white noise.
    """

    name: str
    roughness: float
    as_sent: float


def coding_of(data: bytes) -> Coding | None:
    """What the bytes are, if they are not 16-bit little-endian samples; None if they may be."""
    data = data[:MOST]
    if len(data) < ENOUGH:
        return None
    as_sent = _roughness(_integers(data, "<i2"))
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


def _integers(data: bytes, kind: str) -> np.ndarray:
    size = np.dtype(kind).itemsize
    found = np.frombuffer(data[: len(data) // size * size], kind)
    return found.astype(np.float64) / 2.0 ** (8 * size - 1)


def _louder_channel(data: bytes) -> np.ndarray:
    both = _integers(data[: len(data) // 4 * 4], "<i2").reshape(-1, 2)
    louder: np.ndarray = both[:, np.square(both).sum(axis=0).argmax()]
    return louder


def _floats(data: bytes, kind: str) -> np.ndarray:
    """Floats; what no program writes into a sound file as one makes it no number."""
    size = np.dtype(kind).itemsize
    with np.errstate(invalid="ignore"):
        found = np.frombuffer(data[: len(data) // size * size], kind).astype(np.float64)
    sizes = np.abs(found)
    odd = (sizes > 1e6) | ((sizes < 1e-20) & (sizes > 0))
    return found if np.isfinite(found).all() and odd.mean() < 0.001 else np.full(FRAME, np.nan)


def _mu_law(data: bytes) -> np.ndarray:
    """ITU-T G.711: an inverted byte of sign, exponent and mantissa."""
    byte = ~np.frombuffer(data, np.uint8)
    exponent, mantissa = (byte >> 4 & 7).astype(np.int64), (byte & 15).astype(np.int64)
    sizes = ((mantissa << 3) + 132 << exponent) - 132
    return np.where(byte & 0x80, -sizes, sizes) / 32768


def _a_law(data: bytes) -> np.ndarray:
    """ITU-T G.711: every other bit is inverted."""
    byte = np.frombuffer(data, np.uint8) ^ 0x55
    exponent, mantissa = (byte >> 4 & 7).astype(np.int64), (byte & 15).astype(np.int64)
    sizes = np.where(
        exponent > 0, (mantissa << 4) + 264 << np.maximum(exponent - 1, 0), (mantissa << 4) + 8
    )
    return np.where(byte & 0x80, sizes, -sizes) / 32768


def _24_bit(data: bytes) -> np.ndarray:
    found = np.frombuffer(data[: len(data) // 3 * 3], np.uint8).reshape(-1, 3)
    high = found[:, 2].view(np.int8).astype(np.float64)
    return (high * 65536 + found[:, 1].astype(np.float64) * 256 + found[:, 0]) / 2**23


_READINGS: Mapping[str, Callable[[bytes], np.ndarray]] = {
    "stereo": _louder_channel,
    "odd offset": lambda data: _integers(data[1:], "<i2"),
    "big-endian": lambda data: _integers(data, ">i2"),
    "float32": lambda data: _floats(data, "<f4"),
    "float64": lambda data: _floats(data, "<f8"),
    "32-bit": lambda data: _integers(data, "<i4"),
    "24-bit": _24_bit,
    "8-bit": lambda data: np.frombuffer(data, np.uint8) / 128 - 1,
    "mu-law": _mu_law,
    "A-law": _a_law,
}
