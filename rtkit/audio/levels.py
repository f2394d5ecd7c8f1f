"""How loud audio is, channel by channel and mixed down, measured while it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from rtkit.boundary.values import Count, Within

__all__ = ["FLOOR", "FULL_SCALE", "Level", "Meter", "decibels"]

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
    """Measures audio piece by piece; `levels` tells of all that it was given."""

    def __init__(self, rate: int) -> None:
        self._block = max(1, round(BLOCK * rate))
        self._tracks: list[_Track] = []

    def measure(self, channels: np.ndarray, mix: np.ndarray) -> None:
        """Take the next samples, shape (samples, channels), 1 at full scale.

        `mix` is what is sent of them, before it is clipped, shape (samples,).
        """
        tracks = [mix] if channels.shape[1] == 1 else [mix, *channels.T]
        self._tracks = self._tracks or [_Track() for _ in tracks]
        for track, samples in zip(self._tracks, tracks, strict=True):
            track.add(samples, self._block)

    def levels(self) -> tuple[Level, ...]:
        """First what is sent, then each channel where there are several; empty without audio."""
        return tuple(
            track.level(None if number == 0 else number - 1)
            for number, track in enumerate(self._tracks)
        )


class _Track:
    """Sums over the samples of one channel."""

    def __init__(self) -> None:
        self._samples = self._full = self._invalid = self._blocks = 0
        self._square = self._peak = 0.0
        self._loudest = np.empty(0)

    def add(self, samples: np.ndarray, block: int) -> None:
        sizes = np.abs(samples)
        peak = float(sizes.max(initial=0.0))
        if not math.isfinite(peak):
            valid = np.isfinite(sizes)
            self._invalid += int(len(sizes) - valid.sum())
            sizes = np.where(valid, sizes, 0.0)
            peak = float(sizes.max(initial=0.0))
        if peak >= FULL_SCALE:
            full = sizes >= FULL_SCALE
            beside = full[1:] & full[:-1]
            self._full += int(np.count_nonzero(np.append(beside, False) | np.append(False, beside)))
        starts = np.arange(0, len(sizes), block)
        squares = np.add.reduceat(np.square(sizes), starts)
        means = squares / np.diff(np.append(starts, len(sizes)))
        self._loudest = np.sort(np.append(self._loudest, means))[-MOST:]
        self._blocks += len(means)
        self._samples += len(sizes)
        self._square += float(squares.sum())
        self._peak = max(self._peak, peak)

    def level(self, channel: int | None) -> Level:
        return Level(
            rms=math.sqrt(self._square / self._samples),
            loud=math.sqrt(float(self._loudest[-min(MOST, max(1, self._blocks // 3))])),
            peak=self._peak,
            clipped=self._full / self._samples,
            invalid=self._invalid,
            channel=channel,
        )
