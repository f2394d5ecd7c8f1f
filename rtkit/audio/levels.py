"""Levels of audio, per channel and mixed down, measured while it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from rtkit.boundary.values import Count, Within

__all__ = ["Level", "Meter", "decibels"]

BLOCK = 0.1  # seconds
MOST = 10  # loud blocks: a second in all
FLOOR = -100.0  # dBFS, below what 16 bits can hold
FULL_SCALE = 32767 / 32768

Amplitude = Annotated[float, Within(0, 1e300)]


@dataclass(frozen=True, slots=True)
class Level:
    """How loud one channel was, or all of them mixed down; amplitudes are shares of full scale.

    Attributes
    ----------
    rms : float
        Root of the mean square of all samples.
    loud : float
        The root mean square of 100 ms that was reached for a second in all, or for a third of what
        is shorter than three: what speech comes to also where most is silence, and a click does
        not.
    peak : float
        Of the loudest sample, before it was clipped.
    clipped : float
        Share of the samples that stand at full scale or beyond it beside another such.
    invalid : int
        Samples that are not a number; they are sent as silence.
    channel : int or None
        Counted from 0; None for what is sent, which is the mix or the channel that was chosen.
    """

    kind: ClassVar[str] = "level"
    rms: Amplitude
    loud: Amplitude
    peak: Amplitude
    clipped: Annotated[float, Within(0, 1)] = 0.0
    invalid: Count = 0
    channel: Count | None = None


def decibels(amplitude: float) -> float:
    """An amplitude as dBFS, no lower than -100: 20 log10(amplitude)."""
    return 20 * math.log10(max(amplitude, 10 ** (FLOOR / 20)))


class Meter:
    """Measures audio piece by piece; `levels` returns the result so far."""

    def __init__(self, rate: int) -> None:
        self._block = max(1, round(BLOCK * rate))
        self._tracks: list[_Track] = []
        self._levels: tuple[Level, ...] | None = None  # told since it was given any

    def measure(self, channels: np.ndarray, mix: np.ndarray) -> None:
        """Take the next samples, shape (samples, channels), 1 at full scale.

        `mix` is what is sent of them, before it is clipped, shape (samples,).
        """
        self._levels = None
        tracks = [mix] if channels.shape[1] == 1 else [mix, *channels.T]
        self._tracks = self._tracks or [_Track() for _ in tracks]
        for track, samples in zip(self._tracks, tracks, strict=True):
            track.add(samples, self._block)

    def levels(self) -> tuple[Level, ...]:
        """First what is sent, then each channel where there are several; empty without audio."""
        if self._levels is None:
            self._levels = tuple(
                track.level(None if number == 0 else number - 1)
                for number, track in enumerate(self._tracks)
            )
        return self._levels


class _Track:
    """Sums over the samples of one channel."""

    def __init__(self) -> None:
        self._samples = self._full = self._invalid = 0
        self._peak = 0.0
        self._squares: list[float] = []  # sums over blocks, which the end of a piece cuts short
        self._sizes: list[int] = []

    def add(self, samples: np.ndarray, block: int) -> None:
        # Few calls: it is done between two chunks, where each finds its code cold.
        peak = max(float(samples.max()), -float(samples.min()))
        if not math.isfinite(peak):
            valid = np.isfinite(samples)
            self._invalid += int(len(samples) - valid.sum())
            samples = np.where(valid, samples, 0.0)
            peak = float(np.abs(samples).max())
        if peak >= FULL_SCALE:
            full = np.abs(samples) >= FULL_SCALE
            beside = full[1:] & full[:-1]
            self._full += int(np.count_nonzero(np.append(beside, False) | np.append(False, beside)))
        starts = range(0, len(samples), block)
        self._squares += np.add.reduceat(samples * samples, starts).tolist()
        self._sizes += [min(block, len(samples) - start) for start in starts]
        self._samples += len(samples)
        self._peak = max(self._peak, peak)

    def level(self, channel: int | None) -> Level:
        squares = np.array(self._squares)
        loudest = np.sort(squares / self._sizes)
        return Level(
            rms=math.sqrt(float(squares.sum()) / self._samples),
            loud=math.sqrt(float(loudest[-min(MOST, max(1, len(loudest) // 3))])),
            peak=self._peak,
            clipped=self._full / self._samples,
            invalid=self._invalid,
            channel=channel,
        )
