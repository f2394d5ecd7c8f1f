"""A clip is as long as its audio: what headers only guess is counted, what is cut is refused."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bytes_of import RATE, encoded, id3, mp3_without_xing, pcm, speech, wav

from rtkit.audio import AudioError, Clip, open_clip, open_raw

SPEECH = speech(8.0)
PCM = pcm(SPEECH)
MODES = ("CONSTANT", "AVERAGE", "VARIABLE")


def heard(clip: Clip) -> np.ndarray:
    edges = np.append(np.arange(0, clip.samples, clip.rate // 10), clip.samples)
    return np.frombuffer(b"".join(clip.chunks(edges)), "<i2") / 32768


# MP3.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("before", [b"", id3(), id3() + id3(40)], ids=["bare", "ID3", "two ID3"])
@pytest.mark.parametrize("behind", [b"", b"TAG" + bytes(125)], ids=["", "ID3v1"])
def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(
    tmp_path: Path, mode: str, before: bytes, behind: bytes
) -> None:
    quiet_then_loud = np.concatenate([np.zeros(4 * RATE), SPEECH])  # misleads an estimate
    path = tmp_path / "a.mp3"
    path.write_bytes(before + mp3_without_xing(quiet_then_loud, bitrate_mode=mode) + behind)
    clip = open_clip(path)
    # The encoder's delay and padding stay, which a Xing header would have told of.
    assert 12.0 <= clip.seconds < 12.25
    assert clip.total == clip.samples
    sound = heard(clip)
    lag = 1105  # an encoder's 576 samples and a decoder's 529
    inside = sound[lag : lag + len(quiet_then_loud)]
    assert np.std(inside[1600:-1600] - quiet_then_loud[1600:-1600]) < 0.05 * np.std(SPEECH)


@pytest.mark.parametrize("start", [0.0, 0.7, 9.3])
def test_an_excerpt_of_such_an_mp3_is_the_same_audio(tmp_path: Path, start: float) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3_without_xing(np.concatenate([np.zeros(4 * RATE), SPEECH])))
    whole = heard(open_clip(path))
    cut = open_clip(path, start=start, seconds=1.5)
    assert cut.seconds == 1.5
    assert cut.total is None  # nobody has counted so far
    first = round(start * RATE)
    np.testing.assert_allclose(heard(cut), whole[first : first + cut.samples], atol=1 / 16384)
    rest = open_clip(path, start=start, seconds=100)
    assert first + rest.samples == len(whole)
    with pytest.raises(AudioError, match=r"start=13 s is outside .*, which is 12\.\d+ s long"):
        open_clip(path, start=13)


def test_joined_mp3s_without_xing_are_all_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(2 * mp3_without_xing(SPEECH))
    assert 16.0 <= open_clip(path).seconds < 16.5


def test_what_was_counted_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3_without_xing(np.tile(SPEECH, 40)))
    began = time.perf_counter()
    first = open_clip(path)
    counted = time.perf_counter()
    assert open_clip(path) == first
    again = time.perf_counter()
    open_clip(path, seconds=2)
    excerpt = time.perf_counter()
    assert again - counted < (counted - began) / 3
    assert excerpt - again < (counted - began) / 3
    path.write_bytes(mp3_without_xing(SPEECH))
    assert open_clip(path).seconds < 9


# Sizes that stand in for one.

PLACEHOLDERS = (
    0, 0x7FFFF000, 0x7FFF0000, 0x7FFFFFFF, 0x7FFFFFFF - 44, 0x80000000, 2_000_000_000,
    0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF - 44,
)  # fmt: skip


@pytest.mark.parametrize("size", PLACEHOLDERS, ids=hex)
@pytest.mark.parametrize("riff", [None, 0, 0xFFFFFFFF], ids=["fits", "0", "largest"])
def test_a_wav_that_was_never_closed_is_read_to_its_end(
    tmp_path: Path, size: int, riff: int | None
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(PCM, size, riff=riff))
    clip = open_clip(path)
    assert (clip.samples, clip.total) == (len(PCM) // 2,) * 2
    np.testing.assert_array_equal(heard(clip), np.frombuffer(PCM, "<i2") / 32768)
    raw = open_raw(path)
    assert raw.header is not None
    assert (raw.samples, raw.header.seconds) == (clip.samples, clip.seconds)


def test_a_header_that_was_written_once_does_not_hide_what_came_later(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(PCM, 32000))
    np.testing.assert_array_equal(heard(open_clip(path)), np.frombuffer(PCM, "<i2") / 32768)


@pytest.mark.parametrize(
    "behind",
    [
        b"LIST\x04\0\0\0INFO",
        b"id3 \x02\0\0\0ab",
        b"\0LIST\x04\0\0\0INFO",
        b"ID3\x03\0\0\0\0\0\x04abcd",
        bytes(4096),
        b"junk",
    ],
)
def test_what_stands_behind_the_audio_is_not_heard(tmp_path: Path, behind: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(PCM[:-1] + b"\0" if behind[:1] == b"\0" else PCM, len(PCM)) + behind)
    assert open_clip(path).samples == len(PCM) // 2


@pytest.mark.parametrize("promised", [len(PCM) + 2, 2 * len(PCM), 500_000_000, 1_900_000_000])
def test_a_wav_that_was_cut_is_still_refused(tmp_path: Path, promised: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(PCM, promised))
    told = rf"a\.wav is truncated: its header promises {promised} bytes of audio and it holds "
    told += str(len(PCM))
    with pytest.raises(AudioError, match=told):
        open_clip(path)


@pytest.mark.parametrize("promised", [0, 0xFFFFFFFF, (3 * 2**31) % 2**32])
def test_a_wav_of_more_than_four_gigabytes_is_not_shorter_than_it_is(
    tmp_path: Path, promised: int
) -> None:
    path = tmp_path / "a.wav"
    with path.open("wb") as file:
        file.write(wav(b"", promised))
        file.truncate(44 + 3 * 2**31)  # six gigabytes that take no room on the disk
    clip = open_clip(path, start=190_000)
    assert clip.total == 3 * 2**30
    assert clip.samples == clip.total - 190_000 * RATE


# Where each format keeps the size of its audio.
FIELDS = {
    "AU": (8, ">I"),
    "CAF": (None, ">q"),
    "AIFF": (None, ">I"),
    "W64": (None, "<q"),
    "RF64": (None, "<Q"),
}
UNKNOWN = {
    "AU": (0, 2**32 - 1),
    "CAF": (0, -1),
    "AIFF": (0, 2**31 - 1, 2**32 - 1),
    "W64": (0, 24, 2**63 - 1),
    "RF64": (0, 2**63 - 1, 2**64 - 1),
}


@pytest.mark.parametrize(
    ("kind", "size"), [(kind, size) for kind, sizes in UNKNOWN.items() for size in sizes]
)
def test_other_formats_have_placeholders_too(tmp_path: Path, kind: str, size: int) -> None:
    whole = bytearray(encoded(SPEECH, kind))
    at, form = FIELDS[kind]
    if at is None:
        mark = {"AIFF": b"SSND", "RF64": b"ds64"}.get(kind, b"data")
        at = whole.index(mark) + {"W64": 16, "RF64": 16}.get(kind, 4)
    whole[at : at + struct.calcsize(form)] = struct.pack(form, size)
    path = tmp_path / "a.bin"
    path.write_bytes(whole)
    assert open_clip(path).samples == len(SPEECH)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC", "OGG", "MP3"])
def test_what_was_cut_is_refused_in_any_format(tmp_path: Path, kind: str) -> None:
    whole = encoded(SPEECH, kind)
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(whole[: len(whole) * 2 // 3 + 1])
    with pytest.raises(AudioError, match=r"a\.\w+ is truncated: .*Copy or record it again\."):
        open_clip(path)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", None), ("AIFF", None), ("AU", None), ("CAF", None), ("W64", None), ("RF64", None),
     ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)  # fmt: skip
def test_files_that_were_joined_byte_by_byte_are_not_heard_in_part(
    tmp_path: Path, kind: str, subtype: str | None
) -> None:
    """Programs read the first alone, and nothing tells that the rest was never sent."""
    path = tmp_path / "a.bin"
    for part in (SPEECH, SPEECH[: len(SPEECH) // 4]):  # short ones, too
        path.write_bytes(2 * encoded(part, kind, subtype))
        with pytest.raises(AudioError, match=r"a\.bin is several files joined together"):
            open_clip(path)
        path.write_bytes(encoded(part, kind, subtype))
        assert open_clip(path).samples == len(part)


# FLAC that came through a pipe.


def flac_without_total() -> bytearray:
    whole = bytearray(encoded(SPEECH, "FLAC"))
    whole[21] &= 0xF0
    whole[22:26] = bytes(4)
    return whole


@pytest.mark.parametrize("start", [0.0, 4.5])
def test_a_flac_without_a_total_is_counted(tmp_path: Path, start: float) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(flac_without_total())
    clip = open_clip(path, start=start)
    assert clip.samples == len(SPEECH) - round(start * RATE)
    whole = soundfile.read(io.BytesIO(encoded(SPEECH, "FLAC")))[0]
    np.testing.assert_array_equal(heard(clip), whole[clip.first :])


def test_a_flac_without_a_total_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    whole = flac_without_total()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match=r"a\.flac is truncated or damaged: .* beyond \d+ samples"):
        open_clip(path)
    assert open_clip(path, seconds=1.0).seconds == 1.0  # what is there is there
