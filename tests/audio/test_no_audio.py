"""What is no audio is called what it is: bytes by their marks, samples by their sound."""

from __future__ import annotations

import base64
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bytes_of import RATE, encoded, id3, mp3_without_xing, pcm, speech, wav
from conftest import simulate
from facts import converse
from scripted import BEGIN

import rtkit
from rtkit.audio import AudioError, kind_of, open_clip, open_raw
from rtkit.audio.sample_format import coding_of
from rtkit.session import Message

SPEECH = speech(3.0)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>...</body></html>" * 9
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s2540012--5d4f0fbd.wav\n"
S3 = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
JSON = b'{"error": {"code": 401, "message": "Invalid API key", "status": "UNAUTHENTICATED"}}'
REST = bytes(range(256)) * 40
M4A = struct.pack(">I", 32) + b"ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + REST
WEBM = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x84webm" + REST
ADTS = (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9)) * 50
FILES: dict[str, tuple[bytes, str]] = {
    "MP3": (encoded(SPEECH, "MP3"), "an MP3 file"),
    "bare MP3": (mp3_without_xing(SPEECH, bitrate_mode="CONSTANT"), "an MP3 file"),
    "tagged MP3": (id3() + encoded(SPEECH, "MP3"), "an MP3 file"),
    "FLAC": (encoded(SPEECH, "FLAC"), "a FLAC file"),
    "Vorbis": (encoded(SPEECH, "OGG", "VORBIS"), "an Ogg file"),
    "Opus": (encoded(SPEECH, "OGG", "OPUS"), "an Ogg file"),
    "AIFF": (encoded(SPEECH, "AIFF"), "an AIFF file"),
    "CAF": (encoded(SPEECH, "CAF"), "a CAF file"),
    "AU": (encoded(SPEECH, "AU"), "an AU file"),
    "W64": (encoded(SPEECH, "W64"), "a Wave64 file"),
    "M4A": (M4A, "an MP4 or M4A file"),
    "WebM": (WEBM, "a WebM or Matroska file"),
    "AAC": (ADTS, "an AAC stream"),
    "AMR": (b"#!AMR-WB\n" + REST, "an AMR file"),
    "ZIP": (b"PK\x03\x04\x14\0" + REST, "a ZIP archive"),
    "NumPy": (b"\x93NUMPY\x01\0v\0" + REST, "a NumPy array"),
    "page": (PAGE, "a web page"),
    "XML": (S3, "an XML document"),
    "JSON": (JSON, "JSON text"),
    "pointer": (POINTER, "a pointer to a file that was not fetched"),
    "annex": (ANNEX, "a pointer to a file that was not fetched"),
    "base64": (base64.b64encode(pcm(SPEECH)), "Base64 text"),
    "wrapped base64": (base64.encodebytes(pcm(SPEECH)), "Base64 text"),
    "data URL": (b"data:audio/wav;base64," + base64.b64encode(pcm(SPEECH)), "Base64 text"),
    "text": ("Grüß Gott, this is no sound at all. ".encode() * 30, "text"),
}


@pytest.mark.parametrize("name", FILES)
def test_bytes_sent_as_samples_are_called_what_they_are(tmp_path: Path, name: str) -> None:
    data, kind = FILES[name]
    found = kind_of(data)
    assert found is not None
    assert found.name == kind
    (tmp_path / "a.pcm").write_bytes(data)
    clip = open_raw(tmp_path / "a.pcm", rate=RATE)
    (mistake,) = rtkit.diagnose(clip)
    assert mistake.name == "not PCM"
    assert kind in mistake.sentence
    assert "it begins" in mistake.evidence
    again = rtkit.diagnose(simulate(converse(rtkit_reference(clip))))
    assert "not PCM" in again.names
    assert kind in str(again)


def rtkit_reference(clip: rtkit.Clip) -> rtkit.Clip:
    return replace(clip, reference=rtkit.Reference(()))


def test_a_wav_around_a_file_is_seen_through(tmp_path: Path) -> None:
    """Whoever wraps bytes in a WAV header without decoding them makes noise of them."""
    (tmp_path / "a.wav").write_bytes(wav(encoded(SPEECH, "FLAC") + b"\0"))
    assert rtkit.diagnose(open_clip(tmp_path / "a.wav")).names == ("not PCM",)
    (tmp_path / "b.wav").write_bytes(wav(pcm(SPEECH, ">i2")))
    assert rtkit.diagnose(open_clip(tmp_path / "b.wav")).names == ("big-endian",)


@pytest.mark.parametrize("name", ["page", "XML", "JSON", "pointer", "base64", "text", "ZIP"])
def test_a_recording_that_is_none_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    data, kind = FILES[name]
    path = tmp_path / "call.wav"
    path.write_bytes(data)
    told = rf"call\.wav cannot be read as audio: it is {kind} \(it begins .*\)\. \w"
    with pytest.raises(AudioError, match=told):
        open_clip(path)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<html>404</html>", 'a web page \\(it begins "<html>404</html>"\\)'),
        (b'{"error": 1}', "JSON text"),
        (b"Access denied\n", 'text \\(it begins "Access denied"\\)'),
        ("<html>404</html>".encode("utf-16"), "a web page"),
    ],
)
def test_however_short_it_is(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=f"it is {kind}"):
        open_clip(path)


@pytest.mark.parametrize(("name", "kind"), [("M4A", "MP4 or M4A"), ("WebM", "WebM or Matroska")])
def test_sound_that_cannot_be_read_is_named_with_a_way_to_convert_it(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(FILES[name][0])
    with pytest.raises(AudioError, match=rf"it is an? {kind} file, and .*ffmpeg -i INPUT"):
        open_clip(path)


# The test of the signal.

STEREO = np.column_stack([SPEECH, 0.3 * np.sin(np.arange(len(SPEECH)) / 7)])
CODED: dict[str, tuple[bytes, str]] = {
    "float32": (SPEECH.astype("<f4").tobytes(), "not 16-bit"),
    "big-endian float32": (SPEECH.astype(">f4").tobytes(), "not 16-bit"),
    "signed 8-bit": ((SPEECH * 127).astype("i1").tobytes(), "not 16-bit"),
    "float32 of integers": ((SPEECH * 32768).astype("<f4").tobytes(), "not 16-bit"),
    "float64": (SPEECH.tobytes(), "not 16-bit"),
    "32-bit": ((SPEECH * 2**31).astype("<i4").tobytes(), "not 16-bit"),
    "24-bit": (
        (SPEECH * 2**23).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes(),
        "not 16-bit",
    ),
    "8-bit": ((128 + SPEECH * 127).astype(np.uint8).tobytes(), "not 16-bit"),
    "mu-law": (encoded(SPEECH, "AU", "ULAW")[24:], "not 16-bit"),
    "A-law": (encoded(SPEECH, "AU", "ALAW")[24:], "not 16-bit"),
    "big-endian": (pcm(SPEECH, ">i2"), "big-endian"),
    "odd offset": (pcm(SPEECH)[1:], "odd offset"),
    "45 bytes of a header": (wav(pcm(SPEECH))[45:], "odd offset"),
    "stereo": (pcm(STEREO), "stereo"),
}


@pytest.mark.parametrize("name", CODED)
def test_samples_in_another_coding_are_told_by_their_sound(tmp_path: Path, name: str) -> None:
    data, mistake = CODED[name]
    (tmp_path / "a.pcm").write_bytes(data)
    clip = open_raw(tmp_path / "a.pcm", rate=RATE)
    found = rtkit.diagnose(clip)
    assert found.names == (mistake,)
    if mistake == "not 16-bit":
        coding = coding_of(data)
        assert coding is not None
        assert coding.name == name.removesuffix(" of integers")
    assert mistake in rtkit.diagnose(simulate(converse(rtkit_reference(clip)))).names


TIME = np.arange(3 * RATE) / RATE
SOUND = {
    "speech": SPEECH,
    "quiet speech": 0.005 * SPEECH,
    "white noise": 0.1 * np.random.default_rng(0).standard_normal(3 * RATE),
    "faint noise": np.random.default_rng(0).integers(-3, 4, 3 * RATE) / 32768,
    "a low tone": 0.5 * np.sin(2 * np.pi * 50 * TIME),
    "a high tone": 0.5 * np.sin(2 * np.pi * 6000 * TIME),
    "clipped speech": np.clip(20 * SPEECH, -1, 1),
    "silence": np.zeros(3 * RATE),
    "a constant": np.full(3 * RATE, 0.25),
    "clicks": (np.arange(3 * RATE) % 800 == 0) * 0.9,
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_as_it_should_be_is_taken_for_no_other(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pcm").write_bytes(pcm(SOUND[name]))
    clip = open_raw(tmp_path / "a.pcm", rate=RATE)
    assert clip.looks_like is None
    codings = {"not PCM", "not 16-bit", "big-endian", "odd offset", "stereo"}
    assert codings.isdisjoint(rtkit.diagnose(clip).names)


def test_real_speech_is_taken_for_no_other(samples: Path) -> None:
    recordings = [*samples.glob("*.wav"), *samples.glob("*.flac"), *samples.glob("*.mp3")]
    assert recordings
    for path in recordings:
        clip = open_clip(path, seconds=8)
        (audio,) = clip.chunks(np.array([0, clip.samples]))
        assert coding_of(audio) is None, path
        swapped = coding_of(np.frombuffer(audio, "<i2").byteswap().tobytes())
        assert swapped is not None, path
        assert swapped.name == "big-endian", path


# Paths.


def test_an_address_is_no_file() -> None:
    for address in ("https://example.com/a.wav", "s3://bucket/a.wav", "file:///tmp/a.wav"):
        with pytest.raises(AudioError, match=f"{address} is a URL; download it"):
            open_clip(address)


def test_a_missing_file_is_told_with_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = rf"There is no file data/a\.wav, searched from {tmp_path}"
    with pytest.raises(AudioError, match=told):
        open_clip("data/a.wav")
    with pytest.raises(AudioError, match=told):
        open_raw("data/a.wav")


def test_a_link_to_nothing_says_to_what(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to(".git/annex/objects/x.wav")
    with pytest.raises(AudioError, match=r"a\.wav is a link to \.git/annex/objects/x\.wav, which"):
        open_clip(tmp_path / "a.wav")


def test_a_pipe_is_no_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=r"a\.wav is not a regular file"):
        open_clip(tmp_path / "a.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SPEECH, RATE)
    (tmp_path / "a.wav").chmod(0)
    with pytest.raises(AudioError, match=r"a\.wav cannot be read: Permission denied"):
        open_clip(tmp_path / "a.wav")


def test_samples_in_memory_are_no_path() -> None:
    with pytest.raises(TypeError, match="a ndarray is not a recording; give the path of a file"):
        open_clip(SPEECH)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [b"gr\xfc\xdfe.wav", b"x" * 251 + b".wav", "日本.wav".encode()])
def test_any_name_that_a_file_can_have_will_do(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.write_bytes(wav(pcm(SPEECH)))
    except OSError:
        pytest.skip("this file system has no such names")
    for given in (path, os.fsencode(path)):
        clip = open_clip(given)  # type: ignore[arg-type]
        assert clip.seconds == 3
        assert open_raw(given).seconds == 3  # type: ignore[arg-type]
    one = simulate(converse(rtkit_reference(clip)))
    told = [repr(clip), repr(one), clip.name, one.settings.recording, str(rtkit.summarize(one))]
    for text in told:
        text.encode("utf-8")  # can be printed, and shown in a notebook
    saved = rtkit.load_session(one.save(tmp_path / "one.jsonl"))
    assert saved.settings == one.settings
    rtkit.report(one, tmp_path / "page.html")
    rtkit.save_transcript(one, tmp_path / "a.txt")
    begun = replace(one, messages=(Message(-0.1, BEGIN), *one.messages))
    folder = rtkit.save_transcript(begun, tmp_path).parent  # named after the recording
    rtkit.play(clip, one)._repr_html_().encode("utf-8")
    path.write_bytes(b"no sound")
    with pytest.raises(AudioError) as refusal:
        open_clip(path)
    str(refusal.value).encode("utf-8")
    assert folder == tmp_path


def test_a_sidecar_of_a_name_that_is_no_utf8_is_found_and_its_fault_can_be_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / os.fsdecode(b"gr\xfc\xdfe.wav")
    try:
        path.write_bytes(wav(pcm(SPEECH)))
    except OSError:
        pytest.skip("this file system has no such names")
    path.with_suffix(".json").write_text('{"words": [{"text": "hi", "start": 0, "end": 1}]}')
    reference = open_clip(path).reference
    assert reference is not None
    assert reference.transcript == "hi"
    path.with_suffix(".json").write_text('{"words": 3}')
    with pytest.raises(rtkit.SidecarError) as refusal:
        open_clip(path)
    str(refusal.value).encode("utf-8")
