"""Checking the length that a file's header states against the file itself.

Programs that write to a pipe, and recorders that were killed, leave a placeholder instead of the
size; then the audio extends to the end of the file. Any other size larger than the file means that
the file was truncated.
"""

from __future__ import annotations

import math
import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from rtkit.audio.file_types import START, is_wav, kind_of, mpeg_frame, mpeg_samples, same_stream
from rtkit.boundary.text import counted

__all__ = [
    "JOINED",
    "Extent",
    "NotWhole",
    "audio_extent",
    "check_ogg",
    "content_start",
    "mp3_samples",
    "mp3_tagged",
]

NEAR = 0x10000  # how far below or above a power of two a placeholder lies
ROUND = 1_000_000_000  # of which arecord takes the double, and
NEAR_ROUND = 64  # how far that is moved to make whole frames
PADDING = 1 << 20  # bytes at most that some programs leave empty at the end


JOINED = (
    "is several files joined together: another one begins inside it, and most programs read "
    "only the first"
)
Order = Literal["little", "big"]


class NotWhole(ValueError):
    """A file that was cut, or joined from several; the words say how, without its name."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a file's audio lies, in bytes, and where its size is written.

    `size` is what is there, counted as the header counts, also where `written`, the number in the
    header, says otherwise. `fault` tells why the file is not whole, if it is not.
    """

    start: int
    size: int
    written: int
    field: slice
    order: Order
    fault: str | None = None

    def fixed(self, file: BinaryIO) -> bytes | None:
        """What would have to stand before the audio for all of it to be read; None if it does."""
        if self.size == self.written:
            return None
        file.seek(0)
        head = bytearray(file.read(self.start))
        width = self.field.stop - self.field.start
        if self.size >= 2**32 - 1 and width == 4 and head[:4] == b"RIFF":  # RF64 can say so much
            head[self.field] = b"\xff" * 4
            sizes = (self.start + self.size).to_bytes(8, "little") + self.size.to_bytes(8, "little")
            long = b"ds64" + (28).to_bytes(4, "little") + sizes + bytes(12)
            return b"RF64" + b"\xff" * 4 + b"WAVE" + long + bytes(head[12:])
        head[self.field] = min(self.size, 2 ** (8 * width) - 1).to_bytes(width, self.order)
        return bytes(head)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a family of formats writes its chunks.

    `begin` bytes come before the first; a chunk has a mark of `mark` bytes and then its size,
    which counts its own head if `inclusive`; chunks begin at multiples of `align`.
    """

    begin: int
    mark: int
    width: int
    order: Order
    data: bytes
    align: int = 2
    inclusive: bool = False


_W64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # what follows a chunk's four letters
_RIFF = _Form(12, 4, 4, "little", b"data")
_RIFX = _Form(12, 4, 4, "big", b"data")
_AIFF = _Form(12, 4, 4, "big", b"SSND")
_CAF = _Form(8, 4, 8, "big", b"data", align=1)
_WAVE64 = _Form(40, 16, 8, "little", b"data" + _W64, align=8, inclusive=True)


def audio_extent(file: BinaryIO, length: int) -> Extent | None:
    """Where the audio of a WAV, Wave64, AIFF, CAF, AU or NIST file lies; None for other formats.

    `length` is the file's, in bytes.
    """
    file.seek(0)
    start = file.read(START)
    if is_wav(start):
        return _in_chunks(file, length, _RIFF)
    if start[:4] == b"RIFX" and start[8:12] == b"WAVE":
        return _in_chunks(file, length, _RIFX)
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC"):
        return _in_chunks(file, length, _AIFF)
    if start[:4] == b"caff":
        return _in_chunks(file, length, _CAF)
    if start[:4] == b"riff" and start[24:28] == b"wave":
        return _in_chunks(file, length, _WAVE64)
    if start[:4] == b".snd" and len(start) >= 24:
        begin = int.from_bytes(start[4:8], "big")
        return _extent(file, length, begin, slice(8, 12), start[8:12], "big")
    if start[:7] == b"NIST_1A" and b"shorten" not in start:
        sizes = re.findall(rb"^(?:sample_count|channel_count|sample_n_bytes) -i (\d+)", start, re.M)
        begin = int(re.sub(rb"\D", b"", start[8:16]) or 1024)
        written, held = math.prod(map(int, sizes)), length - begin
        fault = _cut(written, held) if len(sizes) == 3 and written > held else None
        return Extent(begin, written, written, slice(0), "little", fault)
    return None


def _in_chunks(file: BinaryIO, length: int, form: _Form) -> Extent | None:
    at, long_size = form.begin, None
    head = form.mark + form.width
    while True:
        file.seek(at)
        read = file.read(head)
        if len(read) < head:
            return None
        mark = read[: form.mark]
        size = int.from_bytes(read[form.mark :], form.order)
        if mark == b"ds64":  # where RF64 keeps the sizes that take more than 32 bits
            body = file.read(16)
            long_size = (slice(at + 16, at + 24), body[8:16])
        elif mark == form.data:
            field, value = slice(at + form.mark, at + head), read[form.mark :]
            if long_size is not None and size >= 2**32 - 1:
                field, value = long_size
            included = head if form.inclusive else 0
            return _extent(file, length, at + head, field, value, form.order, included)
        step = size if form.inclusive else head + size
        if step < head:
            return None
        at += step + -step % form.align if form.inclusive else step + -size % form.align


def _extent(
    file: BinaryIO,
    length: int,
    begin: int,
    field: slice,
    value: bytes,
    order: Order,
    included: int = 0,
) -> Extent:
    """Judge the size that is written in `field`; it counts as many bytes before `begin`."""
    written, held = int.from_bytes(value, order), max(0, length - begin) + included
    if written > held and not _is_placeholder(written):
        return Extent(begin, held, written, field, order, _cut(written, held))
    wrapped = (held - written) % 2**32 == 0  # it took more bits than there are
    if written > held or wrapped:
        return Extent(begin, held, written, field, order)
    empty = written <= included
    file.seek(begin if empty else begin - included + written)
    left, behind = held - written, file.read(64)
    if _is_other_file(behind):
        return Extent(begin, written, written, field, order, JOINED)
    whole = _is_chunk(behind, left, order) or (not empty and _is_padding(behind, left))
    return Extent(begin, written if whole else held, written, field, order)


def _cut(written: int, held: int) -> str:
    promised = counted(written, "byte")
    return f"is truncated: its header promises {promised} of audio and it holds {held}"


def _is_placeholder(size: int) -> bool:
    """Whether no program means such a size: near a power of two, from 2**30 on, or 1e9, 2e9."""
    power = 2 ** round(math.log2(size))
    beside = min(size % ROUND, -size % ROUND)
    return size >= ROUND - NEAR and (
        abs(size - power) <= NEAR or (size < 2**32 and beside <= NEAR_ROUND)
    )


_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")
_FILES = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"caff", b".snd", b"riff")


def _is_other_file(behind: bytes) -> bool:
    found = (behind, behind[1:])  # not every program aligns its chunks
    return any(one[:4] in _FILES and one[4:16] != _W64 for one in found)


def _is_chunk(behind: bytes, left: int, order: Order) -> bool:
    """Whether what stands behind the audio is a chunk, or a tag.

    Otherwise the header was written once, and never again when more was recorded.
    """
    for found in (behind, behind[1:]):
        named = len(found) >= 8 and found[:4].strip(b" ").isalnum()
        fits = found[4:16] == _W64 or int.from_bytes(found[4:8], order) <= left
        if found.startswith(_TAGS) or (named and fits):
            return True
    return False


def _is_padding(behind: bytes, left: int) -> bool:
    return left < 16 or (left < PADDING and not behind.strip(b"\0"))


# MP3 and Ogg.


def _behind_tags(file: BinaryIO) -> int:
    """Where that begins which stands behind a file's ID3 tags."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            return at
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if head[5] & 0x10 else 0)


def _mp3_start(file: BinaryIO) -> int:
    """Where the first frame of an MP3 file begins, behind its ID3 tags."""
    at = _behind_tags(file)
    file.seek(at)
    start = file.read(1 << 16)
    for offset in range(len(start) - 4):  # some tags are padded, some begin within a frame
        frame = mpeg_frame(start[offset : offset + 4])
        if frame is not None and same_stream(start[offset:], start[offset + frame :]):
            return at + offset
    return at


def content_start(file: BinaryIO) -> int:
    """Where a file begins in which libsndfile would not find its start; 0 for others.

    That is FLAC or Ogg behind ID3 tags, and MP3 behind what is neither.
    """
    at = _behind_tags(file)
    file.seek(at)
    start = file.read(START)
    if start[:4] in (b"fLaC", b"OggS"):
        return at
    return _mp3_start(file) if kind_of(start) is None else 0


def mp3_samples(file: BinaryIO) -> int | None:
    """How many samples an MP3 file holds, by its frames' heads; None where only decoding tells."""
    at = _mp3_start(file)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        first, samples = held[at : at + 4], 0
        if b"Xing" in held[at : at + 64] or b"Info" in held[at : at + 64]:
            return None  # a frame that is not heard
        while (frame := mpeg_frame(held[at : at + 4])) and same_stream(first, held[at : at + 4]):
            at, samples = at + frame, samples + mpeg_samples(first)
        whole = at == len(held) or (at < len(held) and held[at : at + 8].startswith(_TAGS))
    return samples if whole else None


def mp3_tagged(path: Path) -> bool:
    """Whether an MP3 file says how many frames it has, in a Xing or Info tag."""
    with path.open("rb") as file:
        file.seek(_mp3_start(file))
        frame = file.read(64)
    if len(frame) < 64:
        return False
    mono, first = frame[3] >= 0xC0, frame[1] & 0x18 == 0x18
    at = 4 + ((17 if mono else 32) if first else (9 if mono else 17))  # behind the side information
    told = frame[at : at + 4] in (b"Xing", b"Info") and frame[at + 7] & 1 == 1
    return told and any(frame[at + 8 : at + 12])


def check_ogg(path: Path, at: int) -> None:
    """Raise NotWhole if an Ogg stream's last page is cut, or a second follows; it begins `at`."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        begun = False
        while pages[at : at + 4] == b"OggS" and at + 27 <= len(pages):
            first = bool(pages[at + 5] & 2)
            if first and begun:
                raise NotWhole(JOINED)
            begun = begun or not first
            sizes = pages[at + 27 : at + 27 + pages[at + 26]]
            end = at + 27 + len(sizes) + sum(sizes)
            if end > len(pages) or len(sizes) < pages[at + 26]:
                raise NotWhole("is truncated: its last page is incomplete")
            at = end
