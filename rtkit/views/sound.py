"""A clip's sound for a page: audio for the browser, and its outline."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import soundfile

from rtkit.audio import Clip, check_clip

__all__ = ["MOST", "check_length", "outline", "samples_of", "sound_url"]

MOST = 4_800_000  # samples, five minutes at 16000 Hz
MP3 = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # the rates that it has
PEAKS = 1000  # of the outline


def check_length(clip: Clip) -> None:
    """Refuse a clip that is too much for a page, before it is read."""
    check_clip(clip)
    if clip.samples > MOST:
        raise ValueError(
            f"{clip.name}: {clip.seconds:.0f} s at {clip.rate} Hz is too much sound for a "
            f"page, which holds"
            f" {MOST // clip.rate} s; open an excerpt: "
            "rtkit.open_clip(PATH, start=0, seconds=60)"
        )


def samples_of(clip: Clip) -> np.ndarray:
    """All samples, int16, shape (samples,)."""
    (content,) = clip.chunks(np.array([0, clip.samples]))
    return np.frombuffer(content, dtype="<i2")


def sound_url(sound: np.ndarray, rate: int, *, seconds: float) -> str:
    """Samples as an address that holds them, with silence behind until `seconds` have passed.

    As MP3, about 3 KB per second of speech; at sample rates that MP3 does not support, as FLAC.
    """
    silence = np.zeros(max(0, math.ceil(seconds * rate) - len(sound)), dtype=np.int16)
    file = io.BytesIO()
    form: dict[str, Any] = {"format": "FLAC", "subtype": "PCM_16"}
    if rate in MP3:
        form = {"format": "MP3", "compression_level": 0.93, "bitrate_mode": "AVERAGE"}
    soundfile.write(file, np.concatenate([sound, silence]), rate, **form)
    kind = "mpeg" if rate in MP3 else "flac"
    return f"data:audio/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def outline(sound: np.ndarray, seconds: float) -> dict[str, Any]:
    """The highest and lowest sample of each of up to 1000 stretches, in % of the loudest."""
    stretches = np.array_split(sound / 32768, min(PEAKS, len(sound)))
    high = np.array([stretch.max() for stretch in stretches])
    low = np.array([stretch.min() for stretch in stretches])
    size = 100 / max(0.05, high.max(), -low.min())
    return {
        "seconds": seconds,
        "high": np.round(high * size).astype(int).tolist(),
        "low": np.round(low * size).astype(int).tolist(),
    }
