"""How loud a recording is: measured as it is sent, told in dBFS, with what to do."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bytes_of import RATE, speech
from conftest import simulate
from facts import converse, session

import rtkit
from rtkit.audio import Clip, Meter, open_clip
from rtkit.audio.levels import decibels
from rtkit.session import Session

SPEECH = speech(4.0)
NOISE = np.random.default_rng(3).standard_normal(len(SPEECH))


def clip_of(path: Path, *channels: np.ndarray, subtype: str = "PCM_16", **how: int) -> Clip:
    soundfile.write(path / "a.wav", np.stack(channels, axis=1), RATE, subtype=subtype)
    return open_clip(path / "a.wav", **how)


def streamed(clip: Clip) -> Session:
    spoken = dataclasses.replace(clip, reference=rtkit.Reference(()))
    return simulate(converse(spoken))


def test_amplitudes_are_dbfs() -> None:
    assert [decibels(a) for a in (1.0, 0.1, 10.0, 0.0)] == pytest.approx([0, -20, 20, -100])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("piece", [RATE, 1000, 37])
def test_levels_are_those_of_the_samples(tmp_path: Path, subtype: str, piece: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    clip = clip_of(tmp_path, np.concatenate([np.zeros(2 * RATE), tone]), subtype=subtype)
    meter = Meter(RATE)
    for _ in clip.chunks(np.append(np.arange(0, clip.samples, piece), clip.samples), meter):
        pass
    (level,) = meter.levels()
    assert level.channel is None
    assert level.rms == pytest.approx(0.25, rel=1e-3)  # half of it is silent
    assert level.loud == pytest.approx(0.5 / 2**0.5, rel=1e-2)  # and the tone is not
    assert level.peak == pytest.approx(0.5, rel=1e-3)
    assert (level.clipped, level.invalid) == (0, 0)


def test_a_click_does_not_make_silence_loud(tmp_path: Path) -> None:
    click = np.zeros(10 * RATE)
    click[500:800] = 0.9
    (level,) = clip_of(tmp_path, click).levels()
    assert level.peak == pytest.approx(0.9, rel=1e-3)
    assert decibels(level.loud) == -100
    assert "silent" in rtkit.diagnose(open_clip(tmp_path / "a.wav")).names


def test_a_few_words_in_an_hour_of_silence_are_heard(tmp_path: Path) -> None:
    hour = np.zeros(3600 * 8000, dtype=np.float32)
    hour[8000 * 1800 :][: len(SPEECH)] = SPEECH
    soundfile.write(tmp_path / "a.wav", hour, 8000)
    assert rtkit.diagnose(open_clip(tmp_path / "a.wav")) == ()


def test_sound_speech_has_nothing_wrong_with_it(tmp_path: Path) -> None:
    for channels in ((SPEECH,), (SPEECH, 0.5 * SPEECH), (SPEECH, 0.1 * NOISE)):
        clip = clip_of(tmp_path, *channels)
        assert rtkit.diagnose(clip) == ()
        assert rtkit.diagnose(streamed(clip)) == ()
        assert "silent" not in [problem.name for problem in rtkit.validity(streamed(clip)).problems]


@pytest.mark.parametrize(
    ("channels", "name", "evidence", "fix"),
    [
        ((SPEECH, -SPEECH), "channels cancel", "mixed down -96.3 dBFS; channel 0 -", "channel=0"),
        ((SPEECH, -0.95 * SPEECH), "channels cancel", "mixed down -", "channel=0"),
        ((SPEECH, 0 * SPEECH), "one channel silent", "6 dB quieter than channel 0", "channel=0"),
        ((0 * SPEECH, SPEECH), "one channel silent", "6 dB quieter than channel 1", "channel=1"),
        ((SPEECH, 0 * SPEECH, 0 * SPEECH), "channels silent", "10 dB quieter", "channel=0"),
        ((0 * SPEECH,), "silent", "-100.0 dBFS", "microphone"),
        ((0 * SPEECH, 0 * SPEECH), "silent", "channel 1 -100.0 dBFS", "microphone"),
        ((0.00002 * NOISE,), "silent", "dBFS", "microphone"),
        ((0.01 * SPEECH,), "very quiet", "in the loudest second", "loudnorm"),
        ((np.clip(9 * SPEECH, -1, 1),), "clipped", "at full scale, the loudest at +0.0", "lower"),
    ],
)
def test_what_cannot_be_heard_is_named(
    tmp_path: Path, channels: tuple[np.ndarray, ...], name: str, evidence: str, fix: str
) -> None:
    clip = clip_of(tmp_path, *channels)
    for what in (clip, streamed(clip)):
        (found,) = rtkit.diagnose(what)
        assert found.name == name
        assert evidence in found.evidence
        assert "dBFS" in found.evidence
        assert fix in found.fix


@pytest.mark.parametrize("mixed", [(SPEECH, -SPEECH), (0 * SPEECH,)])
def test_silence_is_not_valid(tmp_path: Path, mixed: tuple[np.ndarray, ...]) -> None:
    found = rtkit.validity(streamed(clip_of(tmp_path, *mixed)))
    assert not found
    assert "the audio that was sent is silent, -" in str(found)


def test_a_channel_that_is_chosen_is_sent_alone(tmp_path: Path) -> None:
    other = 0.3 * np.sin(2 * np.pi * 300 * np.arange(len(SPEECH)) / RATE)
    for channel, said in enumerate((SPEECH, other)):
        clip = clip_of(tmp_path, SPEECH, other, channel=channel)
        assert (clip.channel, clip.channels) == (channel, 2)
        assert f"2 ch, channel {channel}," in repr(clip)
        (audio,) = clip.chunks(np.array([0, clip.samples]))
        np.testing.assert_allclose(np.frombuffer(audio, "<i2") / 32768, said, atol=1 / 30000)
        one = streamed(clip)
        assert one.settings.channel == channel
        assert rtkit.diagnose(one) == ()
        assert [level.channel for level in one.levels] == [None, 0, 1]


def test_a_channel_that_is_silent_points_to_the_other(tmp_path: Path) -> None:
    (found,) = rtkit.diagnose(clip_of(tmp_path, SPEECH, 0 * SPEECH, channel=1))
    assert found.name == "silent"
    assert "channel=0" in found.fix


@pytest.mark.parametrize(
    ("channel", "error", "told"),
    [
        (2, rtkit.AudioError, r"channel=2 is not in .*a\.wav, which has channels 0 to 1"),
        (-1, rtkit.AudioError, "channel=-1 is not in"),
        ("left", TypeError, "channel='left' is not a channel; give its number, counting from 0"),
        (True, TypeError, "channel=True is not a channel"),
    ],
)
def test_a_channel_that_is_not_there_is_refused(
    tmp_path: Path, channel: int, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        clip_of(tmp_path, SPEECH, SPEECH, channel=channel)


def test_floats_on_the_scale_of_integers_are_named(tmp_path: Path) -> None:
    clip = clip_of(tmp_path, SPEECH * 32768, subtype="FLOAT")
    (found,) = rtkit.diagnose(clip)
    assert found.name == "clipped"
    assert "square waves" in found.sentence
    assert "Divide the samples by 32768" in found.fix
    (audio,) = clip.chunks(np.array([0, clip.samples]))
    assert set(np.abs(np.frombuffer(audio, "<i2").astype(int)) > 32000) == {True, False}


def test_what_is_not_a_number_is_silence_and_is_named(tmp_path: Path) -> None:
    broken = SPEECH.copy()
    broken[1000:1100], broken[5000], broken[5001] = np.nan, np.inf, -np.inf
    clip = clip_of(tmp_path, broken, subtype="FLOAT")
    (audio,) = clip.chunks(np.array([0, clip.samples]))
    heard = np.frombuffer(audio, "<i2")
    assert not heard[1000:1100].any()
    assert not heard[5000:5002].any()
    (found,) = rtkit.diagnose(clip)
    assert (found.name, found.evidence) == ("not a number", "102 samples")
    every = clip_of(tmp_path, np.full(RATE, np.nan), subtype="FLOAT")
    assert rtkit.diagnose(every).names == ("not a number", "silent")


def test_only_the_stretch_that_is_sent_counts(tmp_path: Path) -> None:
    clip_of(tmp_path, np.concatenate([0 * SPEECH, SPEECH]))
    assert rtkit.diagnose(open_clip(tmp_path / "a.wav", seconds=3)).names == ("silent",)
    assert rtkit.diagnose(open_clip(tmp_path / "a.wav", start=4, seconds=3)) == ()


def test_levels_come_back_from_a_sessions_file(tmp_path: Path) -> None:
    one = streamed(clip_of(tmp_path, SPEECH, -SPEECH))
    assert len(one.levels) == 3
    again = rtkit.load_session(one.save(tmp_path / "a.jsonl"))
    assert isinstance(again, Session)
    assert again.levels == one.levels
    assert again.settings == one.settings
    assert session().levels == ()  # a session that nobody measured is none the worse


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_levels_come_from_wherever_the_sender_runs(tmp_path: Path, isolation: str) -> None:
    clip = clip_of(tmp_path, SPEECH[:8000], -SPEECH[:8000], channel=1)

    async def once() -> Session:
        async with rtkit.Loopback() as service:
            return await rtkit.stream(
                clip, service=service, isolation=isolation, record=tmp_path / "a.jsonl"
            )

    one = asyncio.run(once())
    assert one.levels == clip.levels()
    assert one.settings.channel == 1
    assert rtkit.load_session(tmp_path / "a.jsonl").levels == one.levels


def test_measuring_is_cheap_and_done_once(tmp_path: Path) -> None:
    samples = np.tile(SPEECH, 150)
    clip = clip_of(tmp_path, samples)
    edges = np.append(np.arange(0, clip.samples, RATE), clip.samples)

    def took(meter: Meter | None) -> float:
        began = time.perf_counter()
        for _ in clip.chunks(edges, meter):
            pass
        return time.perf_counter() - began

    # A second of audio costs far less than a millisecond.
    bare = min(took(None) for _ in range(3))
    assert min(took(Meter(RATE)) for _ in range(3)) - bare < 0.001 * clip.seconds
    first = clip.levels()
    assert clip.levels() is first
