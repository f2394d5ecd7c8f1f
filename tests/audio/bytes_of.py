"""Files of sound as programs really leave them, made by hand."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import soundfile

from rtkit.audio.file_types import mpeg_frame

RATE = 16000


def speech(seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    """A voice's like: a gliding buzz in syllables, with some noise, shape (samples,)."""
    t = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 12))
    noise = np.random.default_rng(5).standard_normal(len(t))
    syllables: np.ndarray = np.clip(np.sin(2 * np.pi * 2.5 * t), 0, None) * buzz
    return 0.2 * syllables + 0.001 * noise


def encoded(samples: np.ndarray, kind: str, subtype: str | None = None, **how: Any) -> bytes:
    """A sound file's bytes, at 16 kHz."""
    held = io.BytesIO()
    soundfile.write(held, samples, RATE, format=kind, subtype=subtype, **how)
    return held.getvalue()


def mp3_without_xing(samples: np.ndarray, **how: Any) -> bytes:
    """As ``ffmpeg -write_xing 0`` leaves it: no frame says how many there are."""
    whole = encoded(samples, "MP3", **how)
    size = mpeg_frame(whole)
    assert size is not None
    assert b"Xing" in whole[:size] or b"Info" in whole[:size]
    return whole[size:]


def id3(size: int = 2048) -> bytes:
    """An ID3v2 tag of so many bytes, as of a picture."""
    return b"ID3\x03\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)


def wav(data: bytes, size: int | None = None, *, riff: int | None = None) -> bytes:
    """A WAV file of 16-bit mono whose header promises `size` bytes, truly or not."""
    size = len(data) if size is None else size
    riff = (size + 36) % 2**32 if riff is None else riff
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return (
        b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + form + b"data"
        + struct.pack("<I", size) + data
    )  # fmt: skip


def pcm(samples: np.ndarray, kind: str = "<i2") -> bytes:
    """Samples of 1 at full scale as bare 16-bit ones."""
    held: bytes = np.clip(np.rint(samples * 32768), -32768, 32767).astype(kind).tobytes()
    return held
