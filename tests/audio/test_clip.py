"""A clip gives the right bytes of what it opens, lazily, and refuses the rest in one sentence."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from facts import CALL

from rtkit.audio import AudioError, bundled, open_clip, open_raw
from rtkit.audio import Clip as AnyClip
from rtkit.pacing import chunk_edges
from rtkit.reference import SidecarError
from rtkit.services.service import Limits

RATE = 16000
LIMITS = Limits(min_chunk=0.05, max_chunk=1.0)
RNG = np.random.default_rng(7)


def pcm(clip: AnyClip, chunk: float = 0.1) -> np.ndarray:
    """All samples of a clip, by way of its chunks."""
    edges = chunk_edges(clip.samples, clip.rate, chunk, LIMITS)
    return np.frombuffer(b"".join(clip.chunks(edges)), dtype="<i2")


def noise(samples: int = RATE, step: int = 1) -> np.ndarray:
    """Full-scale noise in whole multiples of `step`."""
    most = 32768 // step
    return (RNG.integers(-most, most, samples) * step).astype(np.int16)


def tone(samples: int = RATE, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.wav", "PCM_U8", 256),
        ("a.wav", "PCM_16", 1),
        ("a.wav", "PCM_24", 1),
        ("a.wav", "PCM_32", 1),
        ("a.wav", "FLOAT", 1),
        ("a.wav", "DOUBLE", 1),
        ("a.flac", "PCM_16", 1),
        ("a.flac", "PCM_24", 1),
        ("a.aiff", "PCM_16", 1),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_recordings_come_back_bit_for_bit(
    tmp_path: Path, name: str, subtype: str, step: int, channels: int
) -> None:
    signal = noise(step=step)
    held = signal / 32768 if subtype in ("FLOAT", "DOUBLE") else signal
    soundfile.write(tmp_path / name, np.stack([held] * channels, axis=1), RATE, subtype=subtype)
    clip = open_clip(tmp_path / name)
    assert (clip.rate, clip.samples, clip.channels) == (RATE, RATE, channels)
    assert clip.coding.endswith(subtype)
    np.testing.assert_array_equal(pcm(clip), signal)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_recordings_come_back_by_ear(tmp_path: Path, name: str, channels: int) -> None:
    signal = tone(3 * RATE)
    soundfile.write(tmp_path / name, np.stack([signal] * channels, axis=1), RATE)
    heard = pcm(open_clip(tmp_path / name)) / 32768
    assert len(heard) == len(signal)
    inside = slice(1600, -1600)  # coders blur an abrupt edge
    assert np.std(heard[inside] - signal[inside]) < 0.02 * np.std(signal)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
@pytest.mark.parametrize("start", [0.0, 0.7, 1.9])
def test_chunks_of_lossy_recordings_are_what_one_read_gives(
    tmp_path: Path, name: str, start: float
) -> None:
    """An MP3 decoder that is made to seek between reads gives silence."""
    soundfile.write(tmp_path / name, tone(3 * RATE), RATE)
    whole = soundfile.read(tmp_path / name)[0] * 32768
    clip = open_clip(tmp_path / name, start=start)
    assert np.abs(pcm(clip, 0.05) - whole[clip.first :]).max() <= 2


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.array([[1000, 3000], [-5, -7], [32767, 32767], [-32768, 32766]], dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", np.repeat(both, 1000, axis=0), RATE)
    assert pcm(open_clip(tmp_path / "a.wav"))[::1000].tolist() == [2000, -6, 32767, -1]


def test_louder_than_full_scale_is_clipped_not_wrapped(tmp_path: Path) -> None:
    loud = np.repeat([1.5, 1.0, -1.0, -1.5], 1000)
    soundfile.write(tmp_path / "a.wav", loud, RATE, subtype="FLOAT")
    assert pcm(open_clip(tmp_path / "a.wav"))[::1000].tolist() == [32767, 32767, -32768, -32768]


@pytest.mark.parametrize("chunk", [0.05, 0.33, 1.0])
def test_the_bytes_do_not_depend_on_the_chunks(tmp_path: Path, chunk: float) -> None:
    signal = noise(3 * RATE + 17)
    soundfile.write(tmp_path / "a.wav", signal, RATE)
    np.testing.assert_array_equal(pcm(open_clip(tmp_path / "a.wav"), chunk), signal)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize(
    ("start", "seconds", "first", "samples"),
    [
        (0.0, None, 0, 48000),
        (0.0, 1.0, 0, 16000),
        (1.5, None, 24000, 24000),
        (1.5, 0.25, 24000, 4000),
        (2.0, 100.0, 32000, 16000),
        (2.99999, 5.0, 47999, 1),  # nearer to the end than a sample is long
        (0.0, 1e-9, 0, 1),
    ],
)
def test_an_excerpt_is_cut_by_seconds(
    tmp_path: Path, name: str, start: float, seconds: float | None, first: int, samples: int
) -> None:
    signal = noise(3 * RATE)
    soundfile.write(tmp_path / name, signal, RATE)
    clip = open_clip(tmp_path / name, start=start, seconds=seconds)
    assert (clip.first, clip.samples) == (first, samples)
    np.testing.assert_array_equal(pcm(clip), signal[first : first + samples])


def sidecar(text: str, *words: tuple[str, float, float]) -> str:
    parts = [{"text": word, "start": start, "end": end} for word, start, end in words]
    turn = {"start": words[0][1], "end": words[-1][2], "text": text, "words": parts}
    return json.dumps({"transcript": text, "turns": [turn]})


def test_the_excerpt_takes_its_words_and_their_times_along(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(4 * RATE), RATE)
    words = ("One", 0.5, 0.9), ("two", 0.9, 1.4), ("three", 1.5, 2.0), ("four.", 2.1, 2.7)
    (tmp_path / "a.wav.json").write_text(sidecar("One two three four.", *words))
    cut = open_clip(tmp_path / "a.wav", start=1.0, seconds=1.5).reference
    assert cut is not None
    # The cuts go through "two" and "four.": nobody hears them whole.
    assert [(w.text, w.start, w.end) for w in cut.words] == [("three", 0.5, 1.0)]
    assert cut.transcript == "three"
    whole = open_clip(tmp_path / "a.wav").reference
    assert whole is not None
    assert whole.transcript == "One two three four."


@pytest.mark.parametrize(
    ("sidecars", "transcript"),
    [
        ((), None),
        (("a.json",), "a.json"),
        (("a.wav.json",), "a.wav.json"),
        (("a.json", "a.wav.json"), "a.wav.json"),
    ],
)
def test_a_sidecar_is_found_by_either_name(
    tmp_path: Path, sidecars: tuple[str, ...], transcript: str | None
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    for name in sidecars:
        (tmp_path / name).write_text(sidecar(name, (name, 0.1, 0.5)))
    reference = open_clip(tmp_path / "a.wav").reference
    assert (reference and reference.transcript) == transcript


def test_a_sidecar_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(SidecarError, match=r"a\.json.*beside a\.wav"):
        open_clip(tmp_path / "a.wav")


def no_file(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def no_bytes(path: Path) -> None:
    path.touch()


def no_samples(path: Path) -> None:
    soundfile.write(path, noise(0), RATE)


def text(path: Path) -> None:
    path.write_text("This is a letter, not a recording. " * 20)


def at(rate: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        soundfile.write(path, tone(rate, rate), rate)

    return make


def cut(path: Path) -> None:
    soundfile.write(path, noise(4 * RATE), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("a.wav", no_file, "no file"),
        ("a.wav", folder, "is a folder. It contains no recording"),
        ("a.wav", no_bytes, "0 bytes"),
        ("a.wav", no_samples, "no samples"),
        ("a.wav", text, "cannot be read as audio"),
        ("a.mp3", text, "cannot be read as audio"),
        ("a.wav", cut, "is truncated"),
        ("a.aiff", cut, "is truncated"),
        ("a.flac", cut, "is truncated"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(
    tmp_path: Path, name: str, make: Callable[[Path], None], told: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(AudioError, match=rf"{re.escape(name)}\b.*") as refusal:
        open_clip(tmp_path / name)
    assert told in str(refusal.value)


def test_a_cut_mp3_is_refused(samples: Path, tmp_path: Path) -> None:
    whole = (samples / "jfk.mp3").read_bytes()
    (tmp_path / "whole.mp3").write_bytes(whole)
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 2])
    assert open_clip(tmp_path / "whole.mp3").seconds == pytest.approx(11, abs=0.1)
    with pytest.raises(AudioError, match=r"cut\.mp3 is truncated"):
        open_clip(tmp_path / "cut.mp3")


def test_a_wav_that_came_through_a_pipe_promises_nothing(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    soundfile.write(path, signal := noise(), RATE)
    held = path.read_bytes()
    unknown = b"\xff\xff\xff\xff"
    path.write_bytes(held[:4] + unknown + held[8:40] + unknown + held[44:])
    np.testing.assert_array_equal(pcm(open_clip(path)), signal)


@pytest.mark.parametrize(
    ("excerpt", "told"),
    [
        ({"start": -0.1}, "start=-0.1"),
        ({"start": 1.0}, "start=1 s"),
        ({"start": 7.0}, "start=7 s"),
        ({"start": float("nan")}, "start=nan"),
        ({"seconds": 0.0}, "seconds=0"),
        ({"seconds": -2.0}, "seconds=-2"),
        ({"seconds": float("inf")}, "seconds=inf"),
    ],
)
def test_an_impossible_excerpt_is_refused(
    tmp_path: Path, excerpt: dict[str, Any], told: str
) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    with pytest.raises(AudioError, match=re.escape(told)):
        open_clip(tmp_path / "a.wav", **excerpt)


def test_a_file_that_shrinks_after_it_was_opened_is_told_of(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(4 * RATE), RATE)
    clip = open_clip(tmp_path / "a.wav")
    soundfile.write(tmp_path / "a.wav", noise(RATE), RATE)
    with pytest.raises(AudioError, match=r"a\.wav ends .* too early"):
        pcm(clip)


def test_a_file_that_is_gone_after_it_was_opened_is_told_of(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    clip = open_clip(tmp_path / "a.wav")
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioError, match=r"a\.wav cannot be read further"):
        pcm(clip)


def test_damage_in_the_middle_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(4 * RATE), RATE)
    held = bytearray(path.read_bytes())
    held[len(held) // 2 : len(held) // 2 + 2000] = b"\x55" * 2000
    path.write_bytes(held)
    with pytest.raises(AudioError, match=r"a\.flac cannot be read further"):
        pcm(open_clip(path))


RATES = (8000, 11025, 16000, 22050, 44100, 48000)
CHUNKS = (0.05, 0.1, 0.2, 0.3, 1.0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("tail", [0, 1, 0.049, 0.0499, 0.05, 0.0501, 0.5])
def test_no_chunk_is_outside_what_the_service_takes(rate: int, chunk: float, tail: float) -> None:
    size = -(-round(chunk * 1000) * rate // 1000)
    samples = 7 * size + (1 if tail == 1 else int(tail * rate))
    edges = chunk_edges(samples, rate, chunk, LIMITS).tolist()
    sizes = [b - a for a, b in pairwise(edges)]
    assert (edges[0], edges[-1]) == (0, samples)
    # In integers, as the service counts: 50 ms <= size / rate <= 1000 ms.
    assert all(rate <= 20 * size and size <= rate for size in sizes)
    assert sizes[:-2] == [size] * (len(sizes) - 2)


@pytest.mark.parametrize(
    ("samples", "rate", "chunk", "edges"),
    [
        (4800, 16000, 0.1, [0, 1600, 3200, 4800]),
        (4000, 16000, 0.1, [0, 1600, 3200, 4000]),  # a tail of 50 ms stays
        (3999, 16000, 0.1, [0, 1600, 3999]),  # a shorter one joins its neighbor
        (16100, 16000, 1.0, [0, 8050, 16100]),  # ... or shares with it
        (16101, 16000, 1.0, [0, 8050, 16101]),
        (32100, 16000, 1.0, [0, 16000, 24050, 32100]),
        (16000, 16000, 0.98, [0, 16000]),  # joined, they make 1000 ms and no more
        (799, 16000, 0.05, [0, 799]),  # a whole clip under 50 ms
        (1, 16000, 1.0, [0, 1]),
        (1104, 11025, 0.05, [0, 552, 1104]),  # 551.25 samples are not enough
        (1103, 22050, 0.05, [0, 1103]),  # 1102.5 neither
        (6174, 44100, 0.07, [0, 3087, 6174]),  # 0.07 * 44100 is 3087 in decimals only
    ],
)
def test_chunks_end_where_they_should(
    samples: int, rate: int, chunk: float, edges: list[int]
) -> None:
    assert chunk_edges(samples, rate, chunk, LIMITS).tolist() == edges


@pytest.mark.parametrize("chunk", [0.049, 1.001, 0.0, -1.0, 100.0, float("nan"), float("inf")])
def test_a_chunk_out_of_bounds_is_refused_with_its_value(chunk: float) -> None:
    with pytest.raises(ValueError, match=f"chunk={chunk:g} s is outside"):
        chunk_edges(16000, 16000, chunk, LIMITS)


def test_a_long_recording_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    seconds = 600
    soundfile.write(path, np.zeros(seconds * RATE, dtype=np.int16), RATE)
    tracemalloc.start()
    try:
        clip = open_clip(path)
        first = next(clip.chunks(chunk_edges(clip.samples, clip.rate, 0.1, LIMITS)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(first) == 3200
    assert peak < path.stat().st_size / 10


def test_the_bundled_recording_opens_with_its_reference() -> None:
    assert bundled()
    for path in bundled():
        clip = open_clip(path)
        assert clip.reference is not None
        assert clip.reference.words[-1].end <= clip.seconds


def test_a_folder_is_said_to_be_one_and_its_recordings_are_named(tmp_path: Path) -> None:
    for name in ("notes.txt", "d.wav", "b.flac", "a.MP3", "c.wav"):
        (tmp_path / name).touch()
    first = ", ".join(str(tmp_path / name) for name in ("a.MP3", "b.flac", "c.wav"))
    for opened in (open_clip, open_raw):
        with pytest.raises(AudioError) as refusal:
            opened(tmp_path)
        told = f"{tmp_path} is a folder. Open one of its recordings: {first}, ..."
        assert str(refusal.value) == told


@pytest.mark.parametrize(
    ("called", "how", "told"),
    [
        (open_clip, {"seconds": "2"}, "seconds='2' is not a number; give a number of seconds"),
        (open_clip, {"start": [1]}, "start=[1] is not a number; give a number of seconds"),
        (
            open_raw,
            {"rate": "8000"},
            "rate='8000' is not a number; give a number of samples a second",
        ),
    ],
)
def test_what_is_no_number_is_refused_in_a_sentence(
    called: Callable[..., AnyClip], how: dict[str, Any], told: str
) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(told)}$"):
        called(CALL, **how)


def test_a_chunk_that_is_no_number_is_refused_in_a_sentence() -> None:
    chunk: Any = "0.1"
    with pytest.raises(TypeError, match=r"^chunk='0.1' is not a number; give a number of seconds$"):
        chunk_edges(16000, 16000, chunk, LIMITS)


def test_numbers_of_numpy_are_numbers() -> None:
    two: Any = np.float32(2)
    one: Any = np.int64(1)
    clip = open_clip(CALL, seconds=two, start=one)
    assert clip.seconds == 2.0
    assert chunk_edges(3200, 16000, np.float64(0.1), LIMITS).tolist() == [0, 1600, 3200]


def test_excerpts_are_told_apart_by_where_they_begin() -> None:
    texts = [repr(open_clip(CALL, seconds=2, start=start)) for start in (0, 3, 5.25)]
    assert ["from" in text for text in texts] == [False, True, True]
    assert "2.00 s from 3.00 s, " in texts[1]
    assert "2.00 s from 5.25 s, " in texts[2]
    assert "from" not in repr(open_raw(CALL))  # what it skips is the header


def test_a_reference_in_milliseconds_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    words = [
        {"text": "Good", "start": 40, "end": 300},
        {"text": "day.", "start": 350, "end": 900},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"words": words}))
    with pytest.raises(
        SidecarError, match=r"beside a\.wav has its last word at 350 s.*1\.00 s long"
    ):
        open_clip(tmp_path / "a.wav")
