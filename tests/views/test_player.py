"""The player without a browser: what is in its page. whole/test_browser.py sees that it moves."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from conftest import MakeClip, spoken
from facts import session as facts_session
from facts import turn

import rtkit
from rtkit.audio import Clip
from rtkit.views.player import MOST, SILENCE, Player


@pytest.fixture(scope="module")
def clip() -> Clip:
    return rtkit.open_clip(rtkit.bundled()[0], seconds=8)


def sound(player: Player) -> tuple[np.ndarray, int]:
    """What the page's audio element plays, and at which rate."""
    (content,) = re.findall(r'src="data:audio/flac;base64,([^"]+)"', player.html)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="int16")
    return samples, rate


def samples(clip: Clip) -> np.ndarray:
    (content,) = clip.chunks(np.array([0, clip.samples]))
    return np.frombuffer(content, dtype="<i2")


def words(player: Player) -> list[tuple[str, float, float]]:
    """The words of all rows: text, when it was said, when it was seen."""
    found = re.findall(r'data-said="([\d.-]+)" data-seen="([\d.-]+)">([^<]*)<', player.html)
    return [(html.unescape(text), float(said), float(seen)) for said, seen, text in found]


def test_a_clip_alone_is_heard_as_it_is_with_its_references_words(clip: Clip) -> None:
    player = rtkit.play(clip)
    played, rate = sound(player)
    assert rate == clip.rate
    np.testing.assert_array_equal(played, samples(clip))
    assert clip.reference is not None
    shown, starts = words(player), [word.start for word in clip.reference.words]
    assert [text for text, _, _ in shown] == [word.text for word in clip.reference.words]
    assert [said for _, said, _ in shown] == pytest.approx(starts, abs=1e-3)
    assert [seen for _, _, seen in shown] == pytest.approx(starts, abs=1e-3)
    assert player._repr_html_() == player.html
    assert repr(player) == "<Player library_call.wav, 8.0 s; a notebook shows it>"


def test_an_excerpt_is_heard_from_where_it_begins() -> None:
    path = rtkit.bundled()[0]
    whole, part = rtkit.open_clip(path), rtkit.open_clip(path, start=3, seconds=2)
    played, rate = sound(rtkit.play(part))
    np.testing.assert_array_equal(played, samples(whole)[3 * rate : 5 * rate])


def test_each_word_has_the_instants_at_which_it_was_said_and_seen(clip: Clip) -> None:
    """With nothing late, a word comes back at its chunk's end and the service's delay."""
    session = rtkit.simulate(clip, work=0, delay=0.15, chunk=0.1)
    player = rtkit.play(clip, session)
    latency = rtkit.word_latency(session)
    assert [seen for _, _, seen in words(player)] == pytest.approx(latency.received, abs=1e-3)
    assert clip.reference is not None
    starts = [word.start for word in clip.reference.words]
    assert [said for _, said, _ in words(player)] == pytest.approx(starts, abs=1e-3)
    assert player.html.count("<polyline") == 1


def test_sound_goes_on_in_silence_until_the_last_answer(clip: Clip) -> None:
    naive = rtkit.simulate(clip, pacing="fixed_sleep", work=0.02, delay=0.15)
    played, rate = sound(rtkit.play(clip, naive))
    last = max(heard for _, _, heard in words(rtkit.play(clip, naive)))
    assert len(played) / rate == pytest.approx(last, abs=2e-3)
    assert not played[clip.samples :].any()


def test_a_session_of_another_excerpt_is_shown_where_both_overlap() -> None:
    path = rtkit.bundled()[0]
    session = rtkit.simulate(rtkit.open_clip(path, start=2, seconds=8), work=0)
    early, late = rtkit.open_clip(path, seconds=6), rtkit.open_clip(path, start=4, seconds=3)
    heard = rtkit.word_latency(session)
    for clip, offset in ((early, 2.0), (late, -2.0)):
        shown = words(rtkit.play(clip, session))
        assert shown
        assert all(0 <= said < clip.seconds for _, said, _ in shown)
        known = {round(seen + offset, 3) for seen in heard.received.tolist()}
        assert {seen for _, _, seen in shown} <= known
    with pytest.raises(ValueError, match=r"another part of library_call\.wav: 8\.0 s from 2\.0 s"):
        rtkit.play(rtkit.open_clip(path, seconds=2), session)


def test_a_session_of_another_recording_is_refused(clip: Clip, make_clip: MakeClip) -> None:
    session = rtkit.simulate(make_clip(1.0))
    with pytest.raises(ValueError, match=r"is a session of noise-1s-8000\.wav at 8000 Hz, not of"):
        rtkit.play(clip, session)


@pytest.mark.parametrize(("wrong", "lower"), [(8000, True), (32000, False)])
def test_a_wrong_rate_plays_the_same_samples_slower_or_faster(
    make_clip: MakeClip, wrong: int, lower: bool
) -> None:
    clip = make_clip(1.0, rate=16000)
    player = rtkit.play(clip, rate=wrong)
    played, rate = sound(player)
    assert rate == wrong
    np.testing.assert_array_equal(played, samples(clip))
    assert f'data-speed="{wrong / 16000}"' in player.html
    assert player.title.endswith(f"12 semitones {'lower' if lower else 'higher'}")


@pytest.mark.parametrize("rate", [0, -8000, 7999, 96001])
def test_a_rate_that_the_service_does_not_take_is_refused(make_clip: MakeClip, rate: int) -> None:
    with pytest.raises(ValueError, match=f"rate={rate} is no sample rate"):
        rtkit.play(make_clip(), rate=rate)


def test_a_long_clip_is_refused_before_it_is_read(make_clip: MakeClip) -> None:
    clip = replace(make_clip(), samples=MOST + 1)
    with pytest.raises(ValueError, match=r"600 s at 8000 Hz are too much .* takes 600 s; open an"):
        rtkit.play(clip)


def test_a_second_of_speech_takes_no_more_of_the_page_than_is_said(clip: Clip) -> None:
    assert 10_000 < len(rtkit.play(clip).html) / clip.seconds < 43_000 * clip.rate / 16000


def test_a_session_in_the_clips_place_is_told_where_it_belongs(clip: Clip) -> None:
    with pytest.raises(TypeError, match=r"keeps no sound.*rtkit\.play\(clip, session\)"):
        rtkit.play(rtkit.simulate(clip))  # type: ignore[arg-type]


def test_silence_and_a_clip_of_one_sample_can_be_played(make_clip: MakeClip) -> None:
    assert not sound(rtkit.play(rtkit.silence(0.5)))[0].any()
    one = replace(make_clip(), samples=1)
    assert len(sound(rtkit.play(one))[0]) == 1
    assert "nan" not in rtkit.play(one).html


def test_what_recordings_and_words_are_called_is_escaped(make_clip: MakeClip) -> None:
    clip = make_clip(1.0, reference=spoken(('<b x="">&', 0.1, 0.4)))
    session = rtkit.simulate(clip, work=0)
    player = rtkit.play(clip, {"<i>a</i>": session})
    assert "<i>" not in player.html
    assert "<b x" not in player.html
    assert [text for text, _, _ in words(player)] == ['<b x="">&']


def test_an_incomplete_or_empty_session_is_shown_as_far_as_it_came(clip: Clip) -> None:
    session = rtkit.simulate(clip, work=0)
    nothing = replace(session, chunks=(), messages=(), ending=None)
    assert words(rtkit.play(clip, nothing)) == []
    half = replace(session, messages=session.messages[: len(session.messages) // 2])
    assert 0 < len(words(rtkit.play(clip, half))) < len(words(rtkit.play(clip, session)))


def test_a_word_that_came_hours_later_does_not_fill_the_page_with_silence(clip: Clip) -> None:
    late = turn(1e5, ("Hello", 1.0, 1.5), final=True)
    session = facts_session((), late, recording=clip.path.name, rate=clip.rate, samples=80000)
    played, rate = sound(rtkit.play(clip, session))
    assert len(played) / rate == pytest.approx(clip.seconds + SILENCE)
    assert words(rtkit.play(clip, session)) == [("Hello", 1.0, 1e5)]  # outlined to the end
