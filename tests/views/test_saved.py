"""What was said, kept: files read back by their own rules, and words shown as they were heard."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from facts import call, session, turn

import rtkit
from rtkit.reference import Cue, read_reference
from rtkit.session import Message, Session
from rtkit.views.captions import LINE, LONGEST, cues
from rtkit.views.transcript import _round_edges, tints

TEN = [0.001 * i for i in range(10)]
EVIL = "<script>alert('x')</script>"
BEGIN = Message(-0.1, '{"type": "Begin", "id": "a1/../b2", "expires_at": 1}')


def said(*words: tuple[str, float, float], **how: Any) -> Session:
    """One final turn with these words, in a session that is long enough."""
    ends = 1 + max(end for _, _, end in words)
    return session([0.0] * round(10 * ends), BEGIN, turn(ends, *words, final=True), **how)


def evenly(text: str, each: float = 0.3, start: float = 0.0) -> list[tuple[str, float, float]]:
    return [(w, start + i * each, start + (i + 0.8) * each) for i, w in enumerate(text.split())]


def parsed(text: str, point: str) -> list[Cue]:
    """The cues of a file of captions."""
    stamp = rf"(\d\d+):([0-5]\d):([0-5]\d){re.escape(point)}(\d\d\d)"
    found = []
    for block in re.split(r"\n\n", text.removeprefix("WEBVTT\n").strip("\n")):
        match = re.fullmatch(rf"(?:\d+\n)?{stamp} --> {stamp}\n(.+)", block, re.DOTALL)
        assert match is not None, block
        *numbers, lines = match.groups()
        start, end = (
            int(h) * 3600 + int(m) * 60 + int(s) + int(t) / 1000
            for h, m, s, t in (numbers[:4], numbers[4:])
        )
        found.append(Cue(start, end, tuple(lines.split("\n"))))
    return found


# Text.


def test_text_says_what_was_streamed_and_how_then_a_line_a_turn(tmp_path: Path) -> None:
    one = session(
        [0.0] * 20,
        BEGIN,
        turn(0.9, ("Good", 0.0, 0.2), ("day.", 0.2, 0.5), final=True),
        turn(1.9, ("Bye.", 1.0, 1.4), final=True, order=1),
        service={"name": "x", "parameters": {"keyterms": ["goat"], "token": "the-token"}},
    )
    text = rtkit.save_transcript(one, tmp_path / "a.txt").read_text(encoding="utf-8")
    assert "Session: a1/../b2\nAudio file: call.wav\nAudio duration: 2.000 s\n" in text
    assert "\n  pacing: wall_clock\n" in text
    assert '"keyterms": ["goat"]' in text
    assert "the-token" not in text
    assert text.endswith("\nTranscript\n[Turn #1]: Good day.\n[Turn #2]: Bye.\n")


def test_a_formatted_final_is_one_line(tmp_path: Path) -> None:
    one = session(
        TEN,
        turn(0.9, ("good", 0.0, 0.2), ("day", 0.2, 0.5), final=True),
        turn(1.0, ("Good", 0.0, 0.2), ("day.", 0.2, 0.5), final=True, formatted=True),
    )
    text = rtkit.save_transcript(one, tmp_path / "a.txt").read_text(encoding="utf-8")
    assert text.endswith("Transcript\n[Turn #1]: Good day.\n")
    assert [cue.lines for cue in cues(one)] == [("Good day.",)]


def test_a_folder_gets_a_file_named_after_recording_and_session(tmp_path: Path) -> None:
    path = rtkit.save_transcript(said(("hm", 0.1, 0.4)), tmp_path)
    assert path == tmp_path / "call_a1----b2.txt"  # what the service says climbs out of no folder
    assert path.is_file()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.doc", r"unknown suffix '\.doc'; one of '\.txt', '\.srt', '\.vtt', '\.json'"),
        ("call.json", "call_heard.json"),
        ("call.wav.json", "taken for it"),
    ],
)
def test_a_name_that_will_not_do_is_loud(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        rtkit.save_transcript(said(("hm", 0.1, 0.4)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_never_began_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never began"):
        rtkit.save_transcript(session(), tmp_path)


# JSON.


def test_json_is_a_reference_in_the_recordings_time(tmp_path: Path) -> None:
    one = said(("Good", 0.1, 0.3), ("däy.", 0.3, 0.5), first=2000)  # an excerpt from 2 s on
    path = rtkit.save_transcript(one, tmp_path / "heard.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["session"] == "a1/../b2"
    assert data["transcript"] == "Good däy."
    (spoken,) = read_reference(path).turns
    assert (spoken.start, spoken.end, spoken.text) == (2.1, 2.5, "Good däy.")
    assert [(word.text, word.start, word.end) for word in spoken.words] == [
        ("Good", 2.1, 2.3),
        ("däy.", 2.3, 2.5),
    ]


# Captions.


def test_subrip_to_the_letter(tmp_path: Path) -> None:
    one = session(
        [0.0] * 20,
        turn(0.9, ("Good", 0.25, 0.5), ("day.", 0.5, 1.4), final=True),
        turn(1.9, ("Tea & <b>?", 1.5, 1.7), final=True, order=1),
        first=3599_000,
    )
    assert rtkit.save_transcript(one, tmp_path / "a.srt").read_bytes() == (
        b"1\n00:59:59,250 --> 01:00:00,400\nGood day.\n\n"
        b"2\n01:00:00,500 --> 01:00:01,500\nTea & <b>?\n"
    )


def test_webvtt_to_the_letter(tmp_path: Path) -> None:
    one = said(("Tea", 0.25, 0.5), ("&", 0.5, 0.6), ("<b>?", 0.6, 1.4))
    assert rtkit.save_transcript(one, tmp_path / "a.vtt").read_bytes() == (
        b"WEBVTT\n\n00:00:00.250 --> 00:00:01.400\nTea &amp; &lt;b&gt;?\n"
    )


@pytest.mark.parametrize(("suffix", "point"), [("srt", ","), ("vtt", ".")])
def test_captions_are_read_back(tmp_path: Path, suffix: str, point: str) -> None:
    one = call(25)
    text = rtkit.save_transcript(one, tmp_path / f"a.{suffix}").read_text(encoding="utf-8")
    back, made = parsed(text, point), cues(one)
    assert [cue.lines for cue in back] == [cue.lines for cue in made]
    assert [cue.start for cue in back] == pytest.approx([cue.start for cue in made], abs=0.0006)
    assert [cue.end for cue in back] == pytest.approx([cue.end for cue in made], abs=0.0006)
    assert " ".join(" ".join(cue.lines) for cue in back) == one.transcript


def test_a_long_turn_is_cut_into_cues_that_can_be_read() -> None:
    text = "they meet in the garden room at half past six, and there is always tea. " * 4
    made = cues(said(*evenly(text)))
    assert " ".join(" ".join(cue.lines) for cue in made).split() == text.split()
    assert all(len(cue.lines) <= 2 and max(map(len, cue.lines)) <= LINE for cue in made)
    assert all(0 < cue.end - cue.start <= LONGEST for cue in made)
    assert all(before.end <= after.start for before, after in pairwise(made))
    assert all(cue.lines[-1].endswith((".", ",")) for cue in made)  # cut where a clause ends


def test_a_pause_ends_a_cue() -> None:
    made = cues(said(*evenly("one two three"), *evenly("four five six", start=4.0)))
    assert [cue.lines for cue in made] == [("one two three",), ("four five six",)]
    assert [cue.start for cue in made] == [0.0, 4.0]


def test_a_short_cue_stays_for_a_second_if_the_next_leaves_it_that() -> None:
    one = session(
        [0.0] * 40,
        turn(0.9, ("yes", 0.0, 0.2), final=True),
        turn(1.9, ("no", 0.5, 0.7), final=True, order=1),
    )
    assert [(cue.start, cue.end) for cue in cues(one)] == [(0.0, 0.5), (0.5, 1.5)]


def test_a_word_longer_than_a_line_is_kept_whole() -> None:
    assert cues(said(("a" * 60, 0.0, 1.0)))[0].lines == ("a" * 60,)


def test_a_turn_without_word_times_is_not_captioned(tmp_path: Path) -> None:
    message = turn(0.9, final=True)
    bare = replace(message, text=message.text.replace('"transcript": ""', '"transcript": "hm"'))
    with pytest.raises(ValueError, match=r"turn 1 has text but no word times.*\.txt"):
        rtkit.save_transcript(session(TEN, bare), tmp_path / "a.srt")
    assert list(tmp_path.iterdir()) == []


def test_nothing_heard_is_a_file_all_the_same(tmp_path: Path) -> None:
    for suffix, text in (("srt", ""), ("vtt", "WEBVTT\n")):
        path = rtkit.save_transcript(session(TEN), tmp_path / f"a.{suffix}")
        assert path.read_text(encoding="utf-8") == text


# Words by latency.


def test_words_are_colored_by_their_latency() -> None:
    one = session(
        [0.0] * 10,
        turn(0.45, ("one", 0.0, 0.2), ("two", 0.2, 0.4), final=True),
        reference=[("one", 0.0, 0.2), ("two", 0.2, 0.4)],
    )
    shown = rtkit.show_transcript(one, edges=(0.1, 0.2, 0.3, 0.4))
    ((first, second),) = shown.turns
    assert first[1] is not None
    assert second[1] is not None
    assert first[1]["latency"] == pytest.approx(0.25)
    assert second[1]["latency"] == pytest.approx(0.05)
    page = shown._repr_html_()
    assert re.search(rf'{re.escape(tints("latency")[2])}[^>]*latency 250 ms[^>]*">one<', page)
    assert re.search(rf'{re.escape(tints("latency")[0])}[^>]*latency 50 ms[^>]*">two<', page)
    assert str(shown) == "one two"


def test_a_word_that_is_not_in_the_reference_has_no_latency() -> None:
    one = session(
        TEN,
        turn(0.9, ("one", 0.0, 0.15), ("too", 0.3, 0.45), final=True),
        reference=[("one", 0.0, 0.15), ("two", 0.3, 0.45)],
    )
    shown = rtkit.show_transcript(one)
    assert [parts is None for _, parts in shown.turns[0]] == [False, True]
    assert "not in the reference" in shown._repr_html_()


@pytest.mark.parametrize("part", ["latency", "chunk_wait", "lateness", "service_time"])
def test_any_part_can_be_shown_and_round_edges_hold_the_middle(part: str) -> None:
    one = call(12, pacing="fixed_sleep", work=0.005)
    shown = rtkit.show_transcript(one, part=part)
    expected = getattr(rtkit.word_latency(one), part)
    found = [parts[part] for words in shown.turns for _, parts in words if parts is not None]
    assert found == pytest.approx(list(expected))
    assert all(low < high for low, high in pairwise(shown.edges))


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"part": "delay"}, "unknown part 'delay'; one of 'latency'"),
        ({"edges": (0.1, 0.2)}, "must be four rising numbers"),
        ({"edges": (0.4, 0.3, 0.2, 0.1)}, "must be four rising numbers"),
    ],
)
def test_a_wrong_wish_is_loud(how: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        rtkit.show_transcript(session(TEN), **how)


def test_what_was_heard_is_shown_and_never_becomes_part_of_the_page() -> None:
    one = session(
        TEN,
        turn(0.3, (EVIL, 0.0, 0.15)),
        turn(0.9, (EVIL + "!", 0.0, 0.15), ("<i>", 0.2, 0.4), final=True),
        reference=[("fine", 0.0, 0.15)],
    )
    for shown in (rtkit.show_transcript(one), rtkit.show_partials(one)):
        page = shown._repr_html_()
        assert "<script" not in page
        assert "<i>" not in page
        assert "&lt;script" in page


def test_no_words_are_said_to_be_none() -> None:
    assert "No words came back." in rtkit.show_transcript(session(TEN))._repr_html_()
    assert "0 of 0 word forms" in rtkit.show_partials(session(TEN))._repr_html_()


def test_the_colors_share_the_words_about_evenly_and_edges_are_round() -> None:
    latencies = [0.11, 0.12, 0.13, 0.42, 0.45, 0.71, 0.74, 1.31, 1.33, 5.0]
    edges = _round_edges(np.array(latencies))
    counts = np.bincount(np.searchsorted(edges, latencies, side="right"), minlength=5)
    assert len(edges) == 4
    assert counts.sum() == 10
    assert counts.max() <= 4
    assert all(edge == round(edge, 2) for edge in edges)


def test_words_that_were_all_as_late_get_one_color() -> None:
    edges = _round_edges(np.full(20, 0.254))
    assert all(low < high for low, high in pairwise(edges))
    assert len(set(np.searchsorted(edges, [0.254, 0.2541]))) == 1


# Partials.


def test_partials_show_what_was_later_revised() -> None:
    one = session(
        TEN,
        turn(0.2, ("a", 0.0, 0.1)),
        turn(0.4, ("a", 0.0, 0.1), ("funny", 0.1, 0.3), ("coat", 0.3, 0.4)),
        turn(0.9, ("A", 0.0, 0.1), ("funny", 0.1, 0.3), ("goat.", 0.3, 0.45), final=True),
    )
    found = rtkit.show_partials(one)
    assert (found.shown, found.revised) == (3, 1)
    assert repr(found) == "<Partials: 2 in 1 turn; 1 of 3 word forms shown were revised>"
    (history,) = found.turns
    assert history.partials == 2
    (guess,) = history.guesses
    assert guess.at == 0.4
    assert guess.pieces == (("a funny", "coat", "goat."),)
    page = found._repr_html_()
    assert "1 of 3 word forms that partials showed were later revised (33%)" in page
    assert "1 of 2 partials were revised" in page
    assert "<s>coat</s> <mark>goat.</mark>" in page


def test_a_partial_that_only_grows_or_is_formatted_is_not_revised() -> None:
    one = session(
        TEN,
        turn(0.2, ("good", 0.0, 0.1)),
        turn(0.9, ("Good", 0.0, 0.1), ("day.", 0.1, 0.3), final=True),
    )
    found = rtkit.show_partials(one)
    assert (found.shown, found.revised) == (1, 0)
    assert found.turns[0].guesses == ()


def test_a_turn_that_was_cut_off_is_said_to_be() -> None:
    one = session(TEN, turn(0.2, ("good", 0.0, 0.1)), ending=None)
    assert "it never ended" in rtkit.show_partials(one)._repr_html_()
