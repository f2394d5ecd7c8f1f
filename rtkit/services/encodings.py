"""Encodings of samples other than little-endian 16-bit integers."""

from __future__ import annotations

import numpy as np

__all__ = ["from_mulaw"]


def from_mulaw(frame: bytes) -> bytes:
    """Expand G.711 mu-law to little-endian 16-bit samples."""
    code = ~np.frombuffer(frame, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int16)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(code & 128, -magnitude, magnitude).astype("<i2").tobytes()
