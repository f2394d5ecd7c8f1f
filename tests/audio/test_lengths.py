"""A clip is as long as its audio: what headers only guess is counted, what is cut is refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bytes_of import RATE, encoded, id3, mp3_without_xing, pcm, speech, wav

from rtkit.audio import AudioError, Clip, decoding, open_clip, open_raw

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


def test_what_was_counted_is_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[object] = []

    def count(file: object) -> int:
        counted.append(file)
        return 16000

    monkeypatch.setattr(decoding, "mp3_samples", count)
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3_without_xing(SPEECH))
    first = open_clip(path)
    assert open_clip(path) == first
    assert (first.samples, len(counted)) == (16000, 1)
    path.write_bytes(mp3_without_xing(SPEECH[: 2 * RATE]))
    open_clip(path)
    assert len(counted) == 2


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_an_mp3_is_counted_by_its_frames_as_by_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """An hour of it is counted in a fraction of a second."""
    held = [
        mp3_without_xing(SPEECH[: round(8 - seconds) * RATE], bitrate_mode=one) for one in MODES
    ]
    for number, whole in enumerate(held):
        for behind in (b"", b"TAG" + bytes(125)):
            path = tmp_path / f"{number}{len(behind)}.mp3"
            path.write_bytes(whole + behind)
            quickly = open_clip(path).samples
            path.rename(path.with_suffix(".other"))
            with monkeypatch.context() as patch:
                patch.setattr(decoding, "mp3_samples", lambda file: None)
                assert open_clip(path.with_suffix(".other")).samples == quickly


def test_an_info_frame_that_does_not_know_how_many_follow_is_not_believed(tmp_path: Path) -> None:
    whole = bytearray(encoded(SPEECH, "MP3"))
    at = max(whole.find(b"Xing"), whole.find(b"Info"))
    path = tmp_path / "a.mp3"
    for wrong in (whole[: at + 8] + bytes(4), whole[: at + 4] + bytes(4) + whole[at + 8 : at + 12]):
        path.write_bytes(wrong + whole[at + 12 :])
        clip = open_clip(path)
        assert 8.0 <= clip.seconds < 8.25
        assert len(heard(clip)) == clip.samples


# What stands before the audio.


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_a_tag_before_flac_or_ogg_is_passed_over(tmp_path: Path, kind: str, subtype: str) -> None:
    whole, path = encoded(SPEECH, kind, subtype), tmp_path / "a.bin"
    path.write_bytes(whole)
    expected = heard(open_clip(path, start=3.0))
    path.write_bytes(id3(3000) + whole)
    np.testing.assert_array_equal(heard(open_clip(path, start=3.0)), expected)
    path.write_bytes(id3(3000) + whole + whole)
    with pytest.raises(AudioError, match="is several files joined together"):
        open_clip(path)
    path.write_bytes(id3(3000) + whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="is truncated"):
        open_clip(path)


@pytest.mark.parametrize("before", [bytes(777), b"\x35\x9a" * 100, id3(100) + bytes(777)])
def test_a_stream_that_begins_within_a_frame_is_read_from_the_next(
    tmp_path: Path, before: bytes
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(before + mp3_without_xing(SPEECH))
    assert 8.0 <= open_clip(path).seconds < 8.25


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", "GSM610"), ("WAV", "G721_32"), ("WAV", "NMS_ADPCM_16"), ("AU", "G721_32")],
)
def test_what_can_only_be_read_forwards_is_not_called_cut(
    tmp_path: Path, kind: str, subtype: str
) -> None:
    whole, path = encoded(SPEECH, kind, subtype), tmp_path / "a.wav"
    path.write_bytes(whole)
    clip = open_clip(path)
    assert len(SPEECH) <= clip.samples < len(SPEECH) + 500
    rest = open_clip(path, start=5.0, seconds=1.0)
    np.testing.assert_array_equal(heard(rest), heard(clip)[rest.first :][: rest.samples])
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="is truncated"):
        open_clip(path)


# Sizes that stand in for one.

PLACEHOLDERS = (
    0, 0x7FFFF000, 0x7FFF0000, 0x7FFFFFFF, 0x7FFFFFFF - 44, 0x80000000, 2_000_000_000,
    0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF - 44, 0x3FFFFFFF, 1_000_000_000, 4_000_000_000,
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


@pytest.mark.parametrize(
    "kind", ["WAV", "RIFX", "AIFF", "AU", "CAF", "W64", "RF64", "NIST", "FLAC", "OGG", "MP3"]
)
def test_what_was_cut_is_refused_in_any_format(tmp_path: Path, kind: str) -> None:
    whole = rifx(SPEECH) if kind == "RIFX" else encoded(SPEECH, kind)
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


def rifx(samples: np.ndarray, size: int | None = None) -> bytes:
    """A WAV file whose numbers are big-endian."""
    data = pcm(samples, ">i2")
    form = struct.pack(">IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    size = len(data) if size is None else size
    return b"RIFX\0\0\0\0WAVEfmt " + form + b"data" + struct.pack(">I", size) + data


@pytest.mark.parametrize("size", [0, 2**31 - 1, 2**32 - 1, None])
def test_a_big_endian_wav_is_read_to_its_end(tmp_path: Path, size: int | None) -> None:
    (tmp_path / "a.wav").write_bytes(rifx(SPEECH, size))
    assert open_clip(tmp_path / "a.wav").samples == len(SPEECH)


def test_a_chunk_behind_no_audio_is_not_heard(tmp_path: Path) -> None:
    told = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf60.16.100\0"
    (tmp_path / "a.wav").write_bytes(wav(b"") + told)
    with pytest.raises(AudioError, match="has a header but no samples"):
        open_clip(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [1, 2_000_000_000])
def test_a_rate_that_no_sound_has_is_refused(tmp_path: Path, rate: int) -> None:
    whole = wav(PCM).replace(struct.pack("<II", RATE, 2 * RATE), struct.pack("<II", rate, 0), 1)
    (tmp_path / "a.wav").write_bytes(whole)
    with pytest.raises(AudioError, match=rf"a\.wav says that its rate is {rate} Hz"):
        open_clip(tmp_path / "a.wav")


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
