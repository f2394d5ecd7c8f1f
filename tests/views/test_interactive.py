"""The interactive timeline without a browser: what it is told. whole/test_browser.py clicks."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import MakeClip, spoken
from facts import call, said, saying, turn, unstamped
from facts import session as facts_session

import rtkit
from rtkit.analysis.timing.latency import Latency
from rtkit.audio import Clip
from rtkit.session import Session, Stall
from rtkit.views.explained import explained, in_ms
from rtkit.views.interactive import SILENCE, Timeline, is_of, live
from rtkit.views.sound import MOST

TENTH = 0.05 + 1e-6  # of a millisecond: as far as rounding moves one


@pytest.fixture(scope="module")
def clip() -> Clip:
    return rtkit.open_clip(rtkit.bundled()[0], seconds=8)


@pytest.fixture(scope="module")
def naive() -> Session:
    return call(25, pacing="fixed_sleep", work=0.0073)


def sound(player: Timeline) -> tuple[np.ndarray, int]:
    """What the page's audio element plays, and at which rate."""
    kind, _, content = player.data["audio"].partition(";base64,")
    assert kind in ("data:audio/mpeg", "data:audio/flac")
    return soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="int16")  # type: ignore[no-any-return]


def samples(clip: Clip) -> np.ndarray:
    (content,) = clip.chunks(np.array([0, clip.samples]))
    return np.frombuffer(content, dtype="<i2")


def likeness(heard: np.ndarray, said: np.ndarray) -> float:
    """1 for the same sound, whatever compressing it did to the samples; else far less."""
    assert len(heard) >= len(said)
    return float(np.corrcoef(heard[: len(said)], said)[0, 1])


def words(player: Timeline) -> list[tuple[str, float, float]]:
    """The words of all rows: text, when it was said, when it was seen."""
    return [
        (word["text"], word["start"], word["received"])
        for one in player.data["sessions"]
        for word in one["words"]
    ]


# What is told of each chunk, word and turn.


def as_measured(told: list[dict[str, Any]], latency: Latency) -> None:
    """What is told is what was measured, to a tenth of a millisecond, and adds up as written."""
    assert [one["text"] for one in told] == list(latency.texts)
    for i, one in enumerate(told):
        assert one["received"] == pytest.approx(latency.received[i], abs=1e-4)
        assert one["latency"] == pytest.approx(latency.latency[i] * 1000, abs=TENTH)
        assert round(sum(one["parts"].values()), 1) == one["latency"]
        for name, shown in one["parts"].items():
            assert shown == round(shown, 1)
            assert shown == pytest.approx(getattr(latency, name)[i] * 1000, abs=2 * TENTH)
        assert one["decided"] == latency.deciding[i]
        assert (one["out"] == "") is bool(latency.counted[i])


@pytest.mark.parametrize("stamped", [True, False])
def test_the_parts_of_each_turn_and_word_are_those_that_are_measured(
    naive: Session, stamped: bool
) -> None:
    one = naive if stamped else unstamped(naive)
    told, turns = explained(one), rtkit.turn_latency(one)
    as_measured(told["turns"], turns)
    as_measured(told["words"], rtkit.word_latency(one, unmatched=True))
    named = {"chunk_wait", "endpoint_wait", "lateness", "queue_wait", "service_time"}
    if not stamped:
        named = {"chunk_wait", "lateness", "queue_wait", "since_sent"}
    assert all(set(turn["parts"]) == named for turn in told["turns"])
    assert {turn["known"] for turn in told["turns"]} == {"stamped" if stamped else "bounded"}
    assert any(turn["unsure"] for turn in told["turns"]) is not stamped
    assert {word["known"] for word in told["words"]} == {"held"}


def test_each_chunk_has_its_audio_and_its_instants(naive: Session) -> None:
    told = explained(naive, offset=2.0)["chunks"]
    rate = naive.settings.rate
    for shown, chunk in zip(told, naive.chunks, strict=True):
        facts = (chunk.start / rate, chunk.stop / rate, chunk.due, chunk.sent)
        assert shown == [round(fact + 2.0, 4) for fact in facts]


def test_what_decided_is_said_with_how_that_is_known() -> None:
    late = [0.01 * i for i in range(10)]
    goat = ("goat", 0.1, 0.25)
    one = facts_session(late, turn(0.66, goat, final=True, decided=500), reference=[goat])
    (told,) = explained(one)["turns"]
    assert told["parts"] == {
        "chunk_wait": 50.0,
        "endpoint_wait": 200.0,
        "lateness": 40.0,
        "queue_wait": 0.0,
        "service_time": 120.0,
    }
    assert (told["latency"], told["chunk"], told["decided"]) == (410.0, 2, 4)
    assert told["how"].startswith("Chunk 4 decided: the service stamped")
    (told,) = explained(unstamped(one))["turns"]
    assert told["how"].startswith("One of chunks 2 to 5 decided: the service does not say")
    unsure = dict.fromkeys(("lateness", "queue_wait", "since_sent"), 15.0)
    assert (told["latency"], told["unsure"]) == (410.0, unsure)
    stated = saying(one, lambda turn: replace(turn, heard=0.5, stamp=None))
    (told,) = explained(stated)["turns"]
    assert told["how"].startswith("One of chunks 2 to 4 decided: the service stated")
    unsure = dict.fromkeys(("lateness", "queue_wait", "service_time"), 10.0)
    assert (told["latency"], told["unsure"], told["known"]) == (410.0, unsure, "stated")
    (word,) = explained(one)["words"]
    assert word["how"].startswith("Chunk 2 holds the end of the word")


def test_what_does_not_count_says_why() -> None:
    messages = turn(0.66, ("goat", 0.1, 0.25), ("boat", 0.3, 0.35), final=True, decided=500)
    one = facts_session([0.0] * 10, messages, reference=said([("goat", 0.1, 0.25)]), terminated=0.6)
    told = explained(one)
    assert told["words"][0]["out"] == ""
    assert told["words"][1]["out"] == "not in the reference"
    assert told["words"][1]["latency"] == 310.0  # from the end that the service gives
    ended = facts_session(
        [0.0] * 10, turn(1.2, ("goat", 0.1, 0.25), final=True, decided=900), terminated=1.1
    )
    assert explained(unstamped(ended))["turns"][0]["out"] == "ended by the shutdown"


def test_parts_add_up_as_they_are_written() -> None:
    draws = np.random.default_rng(0)
    parts = draws.normal(0, 0.2, (5, 400)) * draws.integers(0, 2, (5, 400))
    shown = in_ms(parts)
    np.testing.assert_allclose(shown, parts * 1000, atol=0.1 + 1e-9)
    np.testing.assert_allclose(shown.sum(axis=0), parts.sum(axis=0) * 1000, atol=TENTH)
    assert not shown[parts == 0].any()


def test_stalls_are_told(naive: Session) -> None:
    one = replace(naive, stalls=(Stall(3.5, 0.25),))
    assert explained(one)["stalls"] == [[3.25, 3.5]]


# The page.


def test_it_is_one_page_that_holds_its_data_and_a_table_of_turns(naive: Session) -> None:
    shown = rtkit.timeline({"a": naive, "b": unstamped(naive)})
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', shown.html)
    assert json.loads(data) == shown.data
    for number, one in enumerate(shown.data["sessions"][1]["turns"], 1):
        assert html.escape(f"b, turn {number}: {one['text']}") in shown.html
    assert "http" not in shown.html.replace("http://www.w3.org/2000/svg", "")
    assert repr(shown) == "<Timeline library_call.wav; a notebook shows it>"
    assert shown._repr_html_() == shown.html


def test_it_lasts_until_the_last_result(naive: Session) -> None:
    data = rtkit.timeline(naive).data
    last = max(turn["received"] for turn in data["sessions"][0]["turns"])
    assert data["seconds"] >= last > 25


def test_the_widget_is_given_the_same_data_once(naive: Session) -> None:
    shown = rtkit.timeline(naive)
    widget = rtkit.TimelineWidget(shown)
    assert widget.data == shown.data
    state = widget.get_state()
    assert state["_esm"].count("export default") == 1
    assert state["data"] == shown.data
    widget.close()


def test_a_running_session_is_told_by_its_chunks() -> None:
    lines = {"fixed_sleep": ([0.1, 0.2], [0.0, 1.5]), "wall_clock, 50 ms": ([], [])}
    data = live(lines, seconds=1.0, pacings=["fixed_sleep", "wall_clock"])
    assert data["seconds"] == 1.7
    first, second = data["sessions"]
    assert first["chunks"] == [[0.1, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 1.7]]
    assert second["chunks"] == []
    assert (first["name"], first["color"]) == ("fixed sleep", "#D55E00")


def test_a_running_session_is_unpaced_by_its_pacing_whatever_its_name() -> None:
    lines = {name: ([0.1], [-9.0]) for name in ("unpaced (2)", "wall_clock (2)")}
    sessions = live(lines, seconds=1.0, pacings=["unpaced", "wall_clock"])["sessions"]
    assert [one["paced"] for one in sessions] == [False, True]


# The sound.


def test_a_clip_alone_is_heard_as_it_is_with_its_references_words(clip: Clip) -> None:
    player = rtkit.play(clip)
    played, rate = sound(player)
    assert rate == clip.rate
    assert likeness(played, samples(clip)) > 0.98
    assert clip.reference is not None
    shown, starts = words(player), [word.start for word in clip.reference.words]
    assert [text for text, _, _ in shown] == [word.text for word in clip.reference.words]
    assert [said for _, said, _ in shown] == pytest.approx(starts, abs=1e-3)
    assert [seen for _, _, seen in shown] == pytest.approx(starts, abs=1e-3)
    assert repr(player) == "<Timeline library_call.wav, 8.0 s; a notebook shows it>"


def test_an_excerpt_is_heard_from_where_it_begins() -> None:
    path = rtkit.bundled()[0]
    whole, part = rtkit.open_clip(path), rtkit.open_clip(path, start=3, seconds=2)
    played, rate = sound(rtkit.play(part))
    assert likeness(played, samples(whole)[3 * rate : 5 * rate]) > 0.97


def test_each_word_has_the_instants_at_which_it_was_said_and_seen(clip: Clip) -> None:
    """With nothing late, a word comes back at its chunk's end and the service's delay."""
    session = rtkit.simulate(clip, work=0, delay=0.15, chunk=0.1)
    player = rtkit.play(clip, session)
    latency = rtkit.word_latency(session)
    assert [seen for _, _, seen in words(player)] == pytest.approx(latency.received, abs=1e-3)
    assert clip.reference is not None
    starts = [word.start for word in clip.reference.words]
    assert [said for _, said, _ in words(player)] == pytest.approx(starts, abs=1e-3)
    again = rtkit.timeline(session, clip=clip)
    assert again.data == player.data


def test_sound_goes_on_in_silence_until_the_last_result(clip: Clip) -> None:
    naive = rtkit.simulate(clip, pacing="fixed_sleep", work=0.02, delay=0.15)
    player = rtkit.play(clip, naive)
    played, rate = sound(player)
    assert player.data["seconds"] >= max(heard for _, _, heard in words(player))
    assert len(played) / rate == pytest.approx(player.data["seconds"], abs=2e-3)
    assert np.abs(played[clip.samples + rate // 20 :]).max() < 200  # as good as nothing


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
        assert {round(seen, 3) for _, _, seen in shown} <= known
    with pytest.raises(ValueError, match=r"another part of library_call\.wav: 8\.0 s from 2\.0 s"):
        rtkit.play(rtkit.open_clip(path, seconds=2), session)


def test_an_excerpt_does_not_wait_for_chunks_beyond_it(naive: Session) -> None:
    player = rtkit.play(rtkit.open_clip(rtkit.bundled()[0], start=2, seconds=3), naive)
    assert player.data["seconds"] < 8
    assert player.data["seconds"] >= max(seen for _, _, seen in words(player))


def test_a_session_of_a_resampled_recording_is_of_its_clip(make_clip: MakeClip) -> None:
    clip = make_clip(1.0)
    one = rtkit.simulate(clip, work=0)
    faster = replace(one.settings, rate=3 * clip.rate, samples=3 * clip.samples)
    assert is_of(clip, one)
    assert not is_of(clip, replace(one, settings=faster))
    assert is_of(clip, replace(one, settings=replace(faster, resampled_from=clip.rate)))


def test_a_session_of_another_recording_is_refused(clip: Clip, make_clip: MakeClip) -> None:
    session = rtkit.simulate(make_clip(1.0))
    with pytest.raises(ValueError, match=r"is a session of noise-1s-8000\.wav at 8000 Hz, not of"):
        rtkit.play(clip, session)


@pytest.mark.parametrize(("wrong", "lower"), [(8000, True), (32000, False), (16001, False)])
def test_a_wrong_rate_plays_the_same_samples_slower_or_faster(
    make_clip: MakeClip, wrong: int, lower: bool
) -> None:
    clip = make_clip(1.0, rate=16000)
    player = rtkit.play(clip, rate=wrong)
    played, rate = sound(player)
    assert rate == wrong
    assert len(played) == pytest.approx(clip.samples, abs=2)
    assert player.data["speed"] == wrong / 16000
    assert player.title.endswith(f"semitones {'lower' if lower else 'higher'}")


@pytest.mark.parametrize("rate", [0, -8000, 7999, 96001])
def test_a_rate_that_the_service_does_not_take_is_refused(make_clip: MakeClip, rate: int) -> None:
    with pytest.raises(ValueError, match=f"rate={rate} is not a sample rate"):
        rtkit.play(make_clip(), rate=rate)


def test_a_long_clip_is_refused_before_it_is_read(make_clip: MakeClip) -> None:
    clip = replace(make_clip(), samples=MOST + 1)
    with pytest.raises(ValueError, match=r"600 s at 8000 Hz is too much .* holds 600 s; open an"):
        rtkit.play(clip)


def test_a_minute_of_speech_takes_a_third_of_a_megabyte_of_the_page(clip: Clip) -> None:
    assert 3_000 < len(rtkit.play(clip).data["audio"]) / clip.seconds < 333_000 / 60


def test_a_session_in_the_clips_place_is_told_where_it_belongs(clip: Clip) -> None:
    with pytest.raises(TypeError, match=r"contains no sound.*rtkit\.play\(clip, session\)"):
        rtkit.play(rtkit.simulate(clip))  # type: ignore[arg-type]


def test_silence_and_a_clip_of_one_sample_can_be_played(make_clip: MakeClip) -> None:
    assert not sound(rtkit.play(rtkit.silence(0.5)))[0].any()
    one = replace(make_clip(), samples=1)
    assert sound(rtkit.play(one))[1] == one.rate
    assert "NaN" not in rtkit.play(one).html


def test_what_recordings_and_words_are_called_never_becomes_part_of_the_page(
    make_clip: MakeClip,
) -> None:
    clip = make_clip(1.0, reference=spoken(("</script><b x='1'>&", 0.1, 0.4)))
    session = rtkit.simulate(clip, work=0)
    player = rtkit.play(clip, {"<i>a</i>": session})
    assert "<i>" not in player.html
    assert "<b x" not in player.html
    assert [text for text, _, _ in words(player)] == ["</script><b x='1'>&"]


def test_an_incomplete_or_empty_session_is_shown_as_far_as_it_came(clip: Clip) -> None:
    session = rtkit.simulate(clip, work=0)
    nothing = replace(session, chunks=(), messages=(), ending=None)
    assert words(rtkit.play(clip, nothing)) == []
    half = replace(session, messages=session.messages[: len(session.messages) // 2])
    assert 0 < len(words(rtkit.play(clip, half))) < len(words(rtkit.play(clip, session)))
    assert rtkit.timeline({}).html


def test_a_word_that_came_hours_later_does_not_fill_the_page_with_silence(clip: Clip) -> None:
    late = turn(1e5, ("Hello", 1.0, 1.5), final=True)
    session = facts_session([0.0], late, recording=clip.path.name, rate=clip.rate, samples=80000)
    player = rtkit.play(clip, session)
    played, rate = sound(player)
    assert len(played) / rate == pytest.approx(clip.seconds + SILENCE, abs=0.01)
    assert words(player) == [("Hello", 1.0, 1e5)]  # outlined to the end
