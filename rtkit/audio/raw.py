"""A file's bytes as raw samples, as a script that ignores the header reads them."""

from __future__ import annotations

import math
import struct
from collections.abc import Generator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from rtkit.audio.clip import AudioError, Clip, Header, reason
from rtkit.audio.file_types import START, is_wav, kind_of
from rtkit.audio.levels import Meter
from rtkit.audio.opening import check_file
from rtkit.audio.sample_format import MOST, coding_of
from rtkit.boundary.values import check_numbers
from rtkit.reference import find_reference

__all__ = ["open_raw"]


def open_raw(
    path: str | Path,
    *,
    rate: int | None = None,
    keep_header: bool = False,
    seconds: float | None = None,
) -> Clip:
    """Read a file's bytes as mono 16-bit samples, as a script that ignores the header would.

    Most audio that services misunderstand is made this way; `rtkit.diagnose` says what is wrong
    with such a clip. To open a recording correctly, use `open_clip`.

    Parameters
    ----------
    path : str or Path
        A WAV file, or raw samples without a header.
    rate : int, optional
        The sample rate to declare, in samples per second; by default, that of the WAV file.
    keep_header : bool
        Treat the header as audio, too.
    seconds : float, optional
        Length of the excerpt, at the recording's true sample rate.

    Raises
    ------
    AudioError
        If the file is missing or contains no samples, or if its sample rate is unknown.
    """
    path = check_file(path)
    check_numbers(optional=True, seconds=seconds, rate=rate)
    if seconds is not None and not 0 < seconds < math.inf:
        raise AudioError(f"{path}: seconds={seconds:g} is not a length; give seconds above 0.")
    header = read_header(path)
    if rate is None:
        if header is None:
            raise AudioError(f"{path} has no WAV header; give its sample rate: rate=16000")
        rate = header.rate
    if rate < 1:
        raise AudioError(
            f"rate={rate} is not a sample rate; give samples per second, such as 16000."
        )
    skipped = 0 if header is None else header.size
    size = path.stat().st_size - skipped
    if seconds is not None:
        a_second = 2 * rate if header is None else header.rate * header.channels * header.bits // 8
        size = min(size, round(seconds * a_second))
    if keep_header:
        size, skipped = size + skipped, 0
    if size < 2:
        raise AudioError(f"{path} holds no samples. Record or convert it again.")
    if header is not None and seconds is not None:
        header = replace(header, seconds=min(seconds, header.seconds))
    reference = find_reference(path)
    if reference is not None and header is not None:
        reference = reference.excerpt(0.0, header.seconds)
    channels = 1 if header is None else header.channels
    return _Raw(
        path,
        rate,
        skipped // 2,
        size // 2,
        channels,
        "bytes",
        reference,
        header,
        looks_like=_looks_like(path, skipped, size, header),
    )


def _looks_like(path: Path, skipped: int, size: int, header: Header | None) -> str | None:
    """What the bytes are that are taken for samples, if the header does not tell."""
    with path.open("rb") as file:
        file.seek(skipped)
        data = file.read(min(size, MOST))
    kind = kind_of(data[:START])
    if kind is not None:
        return None if is_wav(data) else kind.name
    if header is not None and (header.bits, header.channels) != (16, 1):
        return None
    coding = coding_of(data)
    return None if coding is None else coding.name


class _Raw(Clip):
    def chunks(self, edges: np.ndarray, meter: Meter | None = None) -> Generator[bytes, None, None]:
        try:
            with self.path.open("rb") as file:
                file.seek(2 * (self.first + int(edges[0])))
                for start, stop in pairwise(edges.tolist()):
                    piece = file.read(2 * (stop - start))
                    if len(piece) < 2 * (stop - start):
                        raise AudioError(
                            f"{self.path} was cut while it was read. Copy or record it again."
                        )
                    if meter is not None:
                        samples = np.frombuffer(piece, "<i2").astype(np.float32) / 32768
                        meter.measure(samples[:, None], samples)
                    yield piece
        except OSError as error:
            raise AudioError(f"{self.path} can no longer be opened: {reason(error)}.") from error


def read_header(path: Path) -> Header | None:
    """The header of a WAV file; None for other files."""
    with path.open("rb") as file:
        if not is_wav(file.read(12)):
            return None
        channels = rate = bits = 0
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                frame = rate * channels * bits // 8
                there = path.stat().st_size - file.tell()
                held = min(size or there, there)  # recorders that were killed leave a 0
                return Header(rate, channels, bits, file.tell(), held / frame) if frame else None
            body = file.read(size + size % 2)
            if name == b"fmt " and len(body) >= 16:
                _, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    return None
