"""File types by their first bytes: audio formats, and what is not audio."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

__all__ = ["START", "Kind", "is_wav", "kind_of", "mpeg_frame", "mpeg_samples", "same_stream"]

START = 4096  # bytes from which `kind_of` can tell any of them
TEXT = 512  # of which so many show what text it is

CONVERT = "Convert it, for example: ffmpeg -i INPUT -ac 1 OUTPUT.wav"
FETCH = "Download the recording itself, signed in if necessary, and check what the URL returns."


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file or a stream of bytes is: ``"an MP3 file"``, say.

    `shown_by` are the bytes that show it, `fix` tells how to get audio from it, and `sound` whether
    there is any in it.
    """

    name: str
    shown_by: str
    fix: str
    sound: bool = True


# Where a format's mark stands in the file, the mark, and the format's name.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"RIFF", "a RIFF file"),
    (0, b"RF64", "an RF64 file"),
    (0, b"BW64", "a BW64 file"),
    (0, b"RIFX", "a RIFX file"),
    (0, b"riff\x2e\x91\xcf\x11", "a Wave64 file"),
    (0, b"fLaC", "a FLAC file"),
    (0, b"OggS", "an Ogg file"),
    (0, b"FORM", "an AIFF file"),
    (0, b"caff\x00\x01", "a CAF file"),
    (0, b".snd", "an AU file"),
    (0, b"Creative Voice File\x1a", "a VOC file"),
    (4, b"ftyp", "an MP4 or M4A file"),
    (0, b"\x1a\x45\xdf\xa3", "a WebM or Matroska file"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMA file"),
    (0, b"#!AMR", "an AMR file"),
    (0, b"#!SILK", "a SILK file"),
    (1, b"#!SILK", "a SILK file"),
    (0, b"NIST_1A", "a NIST SPHERE file"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"MAC ", "a Monkey's Audio file"),
    (0, b"FLV\x01", "a Flash video"),
)
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive", "Unpack it and open one of the files in it."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it and open one of the files in it."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it and open one of the files in it."),
    (b"%PDF", "a PDF document", FETCH),
    (b"{\\rtf", "an RTF document", FETCH),
    (b"[Script Info]", "SubStation captions", FETCH),
    (b"\x89PNG", "a picture", FETCH),
    (b"\xff\xd8\xff", "a picture", FETCH),
    (b"\x93NUMPY", "a NumPy array", "Load it and write it with soundfile.write."),
    (b"\x80\x04\x95", "a Python pickle", "Load it and write it with soundfile.write."),
    (b"bplist", "a property list", FETCH),
    (b"SQLite format 3", "a database", FETCH),
)  # fmt: skip
_POINTERS = re.compile(
    rb"version https://git-lfs\.github\.com/|oid sha256:|(\.\./)*(\.git/annex|/annex)/objects/"
)


def is_wav(start: bytes) -> bool:
    """Whether bytes begin as a WAV file does; audio does not."""
    return start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE"


def kind_of(start: bytes, *, least_text: int = 32) -> Kind | None:
    """What bytes are that begin so; None for what may be bare samples.

    Text needs this many bytes to be distinguished from samples.
    """
    if is_wav(start):
        return Kind("a WAV file", _quoted(start[:4]), CONVERT)
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return Kind("an AVI video", _quoted(start[8:12]), CONVERT)
    for at, mark, name in _MARKS:
        if start[at : at + len(mark)] == mark:
            return Kind(name, _quoted(mark), CONVERT)
    if start[:3] == b"ID3" and len(start) > 3 and start[3] < 5:
        return Kind("an MP3 file", _quoted(start[:3]), CONVERT)
    frame = mpeg_frame(start)
    if frame is not None and (len(start) < frame + 4 or same_stream(start, start[frame:])):
        return Kind("an MP3 file", _quoted(start[:2]), CONVERT)
    if start[:1] == b"\xff" and start[1:2] in (b"\xf1", b"\xf9") and _two_adts(start):
        return Kind("an AAC stream", _quoted(start[:2]), CONVERT)
    for mark, name, fix in _OTHERS:
        if start.startswith(mark):
            return Kind(name, _quoted(mark), fix, sound=False)
    return None if len(start) < least_text else _text_kind(start)


def _text_kind(start: bytes) -> Kind | None:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):  # as UTF-16 begins
        start = start[: len(start) // 2 * 2].decode("utf-16", "replace").encode()
    begin = start[:TEXT].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begin or not _is_text(start[:TEXT]):
        return None
    shown = _quoted(begin.split(b"\n")[0].rstrip()[:24])
    if _POINTERS.match(begin):
        fix = "Fetch the file that it points to: git lfs pull, or git annex get."
        return Kind("a pointer to a file that was not fetched", shown, fix, sound=False)
    if begin[:1] == b"<":
        page = re.search(rb"<(!doctype html|html|head|body)\b", begin, re.IGNORECASE)
        return Kind("a web page" if page else "an XML document", shown, FETCH, sound=False)
    if re.match(rb'\{|\[\s*[\[{"]', begin):
        return Kind("JSON text", shown, FETCH, sound=False)
    encoded = b"".join(begin.split())
    if begin.startswith(b"data:") or _is_base64(encoded):
        fix = "Decode it first: base64.b64decode(text)."
        return Kind("Base64 text", shown, fix, sound=False)
    return Kind("text", shown, FETCH, sound=False)


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else a letter that is cut at the end
            return False
        text = start[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\t\r\n\ufeff" for letter in text)


def _is_base64(text: bytes) -> bool:
    try:
        base64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except binascii.Error:
        return False
    return len(text) >= 32


def _quoted(mark: bytes) -> str:
    text = mark.decode("latin-1")
    return f'"{text}"' if text.isprintable() and text.isascii() else mark.hex(" ")


# MPEG audio. The first index is MPEG 1 or not, the second the layer.
_BITRATES = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_BITRATES[False, 3] = _BITRATES[False, 2]
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mpeg_frame(start: bytes) -> int | None:
    """How many bytes the frame of MPEG audio has that begins here; None where none does."""
    if len(start) < 4 or start[0] != 0xFF or start[1] < 0xE0:
        return None
    version, layer = start[1] >> 3 & 3, 4 - (start[1] >> 1 & 3)
    rate, bits = start[2] >> 2 & 3, start[2] >> 4
    if version == 1 or layer == 4 or rate == 3 or not 0 < bits < 15:
        return None
    bitrate = _BITRATES[version == 3, layer][bits - 1] * 1000
    slot, padding = 4 if layer == 1 else 1, start[2] >> 1 & 1
    return (mpeg_samples(start) // 8 // slot * bitrate // _RATES[version][rate] + padding) * slot


def mpeg_samples(start: bytes) -> int:
    """How many samples such a frame has."""
    version, layer = start[1] >> 3 & 3, 4 - (start[1] >> 1 & 3)
    return 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152


def same_stream(one: bytes, other: bytes) -> bool:
    """Whether two frames are of one MPEG version, layer and rate."""
    return (
        mpeg_frame(other) is not None
        and other[1] & 0xFE == one[1] & 0xFE
        and other[2] & 0x0C == one[2] & 0x0C
    )


def _two_adts(start: bytes) -> bool:
    """Whether a frame of AAC in ADTS is followed by another."""
    if len(start) < 7:
        return False
    size = (start[3] & 3) << 11 | start[4] << 3 | start[5] >> 5
    return size > 7 and (len(start) < size + 2 or start[size : size + 2] == start[:2])
