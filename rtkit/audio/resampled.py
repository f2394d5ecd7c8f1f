"""A clip resampled for services that accept only one sample rate."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from rtkit.audio.clip import Clip
from rtkit.audio.levels import Meter

__all__ = ["Resampled", "resample"]


@dataclass(frozen=True, kw_only=True)
class Resampled(Clip):
    """A clip whose samples are made of its `source`'s; `first` and `samples` count the new ones."""

    source: Clip

    def chunks(self, edges: np.ndarray, meter: Meter | None = None) -> Generator[bytes, None, None]:
        skipped = 2 * int(edges[0])
        with closing(self._samples(meter)) as samples:
            held = bytearray()
            for start, stop in pairwise(edges.tolist()):
                size = 2 * (stop - start)
                while len(held) < size + skipped:
                    # The filter may end a sample too early.
                    held += next(samples, b"") or bytes(size + skipped - len(held))
                del held[:skipped]
                skipped = 0
                yield bytes(held[:size])
                del held[:size]

    def _samples(self, meter: Meter | None) -> Generator[bytes, None, None]:
        """All of them, about a second at a time."""
        import soxr

        stream = soxr.ResampleStream(self.source.rate, self.rate, 1, dtype="int16")
        seconds = np.arange(0, self.source.samples, self.source.rate)
        edges = np.append(seconds, self.source.samples)
        with closing(self.source.chunks(edges, meter)) as audio:
            for index, piece in enumerate(audio, start=2):
                samples = np.frombuffer(piece, dtype="<i2")
                resampled = stream.resample_chunk(samples, last=index == len(edges))
                if len(resampled):
                    yield resampled.astype("<i2").tobytes()


def resample(clip: Clip, rate: int) -> Clip:
    """The clip at `rate` samples per second, with the recording's own times.

    Raises
    ------
    ImportError
        If soxr is not installed.
    """
    try:
        import soxr  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"The service takes audio at {rate} Hz, and the recording has {clip.rate} Hz. "
            f"Resampling needs soxr: pip install soxr"
        ) from error
    known: dict[str, Any] = {one.name: getattr(clip, one.name) for one in fields(Clip)}
    counted = {
        name: None if known[name] is None else round(known[name] * rate / clip.rate)
        for name in ("first", "samples", "total")
    }
    counted["samples"] = max(1, counted["samples"] or 0)
    return Resampled(**{**known, **counted, "rate": rate}, source=clip)
