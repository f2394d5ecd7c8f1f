"""The score: errors counted by hand, each turn once, and an interval that promises no more."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import simulate
from facts import CALL, call, converse, session, turn

import rtkit
from rtkit.analysis.accuracy.wer_result import Edit, WordErrorRate
from rtkit.audio import open_clip
from rtkit.reference import Reference, SidecarError, SpokenTurn, read_cues
from rtkit.session import Session

TEN = [0.001 * i for i in range(10)]


def heard(text: str, **how: Any) -> Session:
    words = [(word, 0.01 * i, 0.01 * i + 0.005) for i, word in enumerate(text.split())]
    return session([0.0] * 20, turn(1.9, *words, final=True), **how)


def rated(errors: list[int], words: int) -> WordErrorRate:
    """A rate over segments of so many words each, with so many substitutions each."""
    edits = tuple(
        Edit("substitution" if i < wrong else "hit", f"w{i}", "x" if i < wrong else f"w{i}", k)
        for k, wrong in enumerate(errors)
        for i in range(words)
    )
    return WordErrorRate(edits, len(errors), "turns")


# The rate.


def test_errors_are_listed_one_by_one() -> None:
    score = rtkit.wer(heard("the black cat sat down on mat"), "the cat sat on the hat")
    assert [(edit.kind, edit.said, edit.heard) for edit in score.edits] == [
        ("hit", "the", "the"),
        ("insertion", "", "black"),
        ("hit", "cat", "cat"),
        ("hit", "sat", "sat"),
        ("insertion", "", "down"),
        ("hit", "on", "on"),
        ("substitution", "the", "mat"),
        ("deletion", "hat", ""),
    ]
    assert (score.substitutions, score.insertions, score.deletions) == (1, 2, 1)
    assert (score.hits, score.words) == (4, 6)
    assert score.rate == float(score) == pytest.approx(4 / 6)
    text = str(score)
    assert "WER 66.7%: 1 substituted, 2 inserted, 1 deleted, of 6 words" in text
    for line in ("1× insertion: black", "1× deletion: hat", "1× the → mat"):
        assert line in text


def test_errors_are_marked_and_not_by_color_alone() -> None:
    page = rtkit.wer(heard("a big cat sit"), "a cat sat here")._repr_html_()
    assert "<s>here</s>" in page
    assert "<mark><ins>big</ins></mark>" in page


def test_words_are_shown_and_never_become_part_of_the_page() -> None:
    edits = (Edit("hit", "<b>", "<b>", 0), Edit("insertion", "", "<i>", 0))
    page = WordErrorRate(edits, 1, "turns", notes=("<u>",))._repr_html_()
    for tag in ("b", "i", "u"):
        assert f"&lt;{tag}&gt;" in page
    assert "<i>" not in page
    assert "<u>" not in page


def test_an_ellipsis_is_no_word() -> None:
    assert rtkit.wer(heard("well ... yes ..."), "Well, yes.").rate == 0


def test_casing_punctuation_numbers_and_contractions_do_not_count() -> None:
    score = rtkit.wer(
        heard("we're here at 6 in the theater"), "We are HERE, at six; in the theatre!"
    )
    assert score.rate == 0
    assert score.errors == ()


def test_a_formatted_final_counts_once() -> None:
    one = session(
        TEN,
        turn(0.8, ("good", 0.0, 0.2), ("day", 0.2, 0.5), final=True),
        turn(0.9, ("Good", 0.0, 0.2), ("day.", 0.2, 0.5), final=True, formatted=True),
    )
    score = rtkit.wer(one, "Good day.")
    assert (score.rate, score.words, score.insertions) == (0, 2, 0)


def test_a_simulated_call_with_two_finals_a_turn_is_without_error() -> None:
    one = call(25, finals=2, query={"format_turns": "true"})
    finals = [r for _, r in one.replies if getattr(r, "end_of_turn", False)]
    assert len(finals) > len(one.turns)
    score = rtkit.wer(one)
    assert (score.rate, score.unit) == (0, "turns")
    assert any("from a script" in note for note in score.notes)


def test_partials_do_not_count() -> None:
    one = session(TEN, turn(0.3, ("bad", 0.0, 0.1)), turn(0.9, ("good", 0.0, 0.2), final=True))
    assert rtkit.wer(one, "good").rate == 0


def test_more_invented_than_said_is_above_one() -> None:
    assert rtkit.wer(heard("a b c"), "x").rate == 3


def test_nothing_heard_is_all_deleted() -> None:
    score = rtkit.wer(session(TEN), "one word or two")
    assert (score.rate, score.deletions) == (1, 4)


def test_other_languages_keep_their_letters_and_unspaced_ones_count_characters() -> None:
    assert rtkit.wer(heard("schöne grüße"), "Schöne Grüße!", language="de").rate == 0
    score = rtkit.wer(heard("今天天汽好"), "今天天气好。", language="zh")
    assert (score.substitutions, score.words) == (1, 5)
    assert str(score).startswith("CER 20.0%: 1 substituted, 0 inserted, 0 deleted, of 5 char")


# References.


def test_a_reference_comes_as_text_as_a_file_as_a_sidecar_or_with_the_session(
    tmp_path: Path,
) -> None:
    one = heard("two three", reference=[("two", 0.0, 0.2), ("three", 0.3, 0.5)])
    text = tmp_path / "said.txt"
    text.write_text("Two three.\n", encoding="utf-8")
    sidecar = rtkit.save_transcript(one, tmp_path / "said.json")
    for reference in (None, one.reference, "two three", text, str(text), sidecar):
        assert rtkit.wer(one, reference).rate == 0


def test_an_excerpt_is_scored_against_its_own_stretch_of_a_sidecar() -> None:
    sidecar = Path(__file__).parents[3] / "data" / "library_call.json"
    assert rtkit.wer(call(12), sidecar).words == rtkit.wer(call(12)).words < 40


@pytest.mark.parametrize(
    ("text", "unit", "segments"),
    [
        ("Red green. Blue? Grey!", "sentences", 3),
        ("red green\nblue\n\ngrey", "lines", 3),
        ("red green blue grey", "sentences", 1),
    ],
)
def test_text_comes_in_pieces(text: str, unit: str, segments: int) -> None:
    score = rtkit.wer(heard("red green blue grey"), text)
    assert (score.unit, score.segments, score.rate) == (unit, segments, 0)


def test_a_piece_that_ends_in_a_number_keeps_its_errors() -> None:
    """Normalized together "seven. Four" makes one number, apart two."""
    score = rtkit.wer(heard("card seven four books"), "Card seven.\nFour books.\nThank you.")
    assert score.segments == 3
    assert [edit.segment for edit in score.errors] == [2, 2]


@pytest.mark.parametrize(
    ("reference", "kind", "sentence"),
    [
        (None, ValueError, r"no reference for call\.wav; give one: rtkit\.wer"),
        ("", ValueError, "has no words"),
        (" ... ", ValueError, "has no words"),
        ("missing.txt", SidecarError, r"missing\.txt cannot be read: No such file"),
        (3, TypeError, "a int is not a reference"),
    ],
)
def test_a_reference_that_will_not_do_is_loud(
    reference: Any, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        rtkit.wer(heard("a b"), reference)


def test_a_service_that_only_marks_speech_is_not_scored() -> None:
    with pytest.raises(ValueError, match=r"no words to score.*engine='recognizer'"):
        rtkit.wer(heard("a", service={"engine": "energy"}), "a")


def test_a_session_that_was_stopped_says_what_its_rate_is_worth() -> None:
    (note,) = rtkit.wer(heard("a", ending="stopped"), "a b").notes
    assert "2.0 of 2.0 s were sent, and the rest counts as deleted" in note


def test_a_reference_that_no_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alignment takes memory by the product of both lengths; here it may take nine."""
    monkeypatch.setattr(sys.modules["rtkit.analysis.accuracy.wer"], "MOST", 9)
    assert rtkit.wer(heard("cat sat mat"), "cat sat mat").rate == 0.0
    for reference in ("the cat sat on", "seven. Four cats. Mats"):
        with pytest.raises(ValueError, match=r"too long to be scored at once \(its length is \d"):
            rtkit.wer(heard("cat sat mat"), reference)


def test_a_wrong_language_is_loud() -> None:
    with pytest.raises(ValueError, match="'English' is not a language code"):
        rtkit.wer(heard("a"), "a", language="English")


@pytest.mark.parametrize("package", ["jiwer", "whisper_normalizer.basic"])
def test_without_the_extra_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'rtkit\[eval\]'") as caught:
        rtkit.wer(heard("a"), "a")
    assert "\n" not in str(caught.value)


# How sure.


def test_the_same_seed_gives_the_same_interval() -> None:
    score = rated([0, 1, 2, 0, 3, 1, 0, 0, 2, 1] * 11, 13)
    first, second = score.bootstrap(seed=3), score.bootstrap(seed=3)
    assert first == second
    assert len({score.bootstrap(seed=seed).high for seed in range(8)}) > 1
    assert first.low < score.rate < first.high


def test_the_interval_is_the_normal_one_where_that_holds() -> None:
    """Of many segments of equal length: the mean, and 1.96 standard errors about it."""
    wrong = np.random.default_rng(1).binomial(10, 0.2, 400)
    score = rated([int(n) for n in wrong], 10)
    error = (wrong / 10).std(ddof=1) / math.sqrt(400)
    found = score.bootstrap(seed=0)
    assert found.low == pytest.approx(score.rate - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(score.rate + 1.96 * error, abs=0.1 * error)


def test_words_of_a_clump_do_not_make_the_interval_narrow() -> None:
    clumped, spread = rated([10] * 4 + [0] * 16, 10), rated([2] * 20, 10)
    assert clumped.rate == spread.rate == pytest.approx(0.2)
    widths = [score.bootstrap().high - score.bootstrap().low for score in (clumped, spread)]
    assert widths[0] > 0.3
    assert widths[1] == 0


def test_too_few_segments_to_meet_rare_clumps_are_named() -> None:
    errors = [0, 1, 2, 1]
    few, many = rated(errors, 10), rated(errors * 18 + [1], 10)
    almost = rated([*errors * 17, 0, 1, 2], 10)
    assert few.interval.note == "too narrow where errors come in rare clumps: 4 of 72 turns"
    assert almost.interval.note == "too narrow where errors come in rare clumps: 71 of 72 turns"
    assert rated(errors * 18, 10).interval.note == many.interval.note == ""
    assert few.interval.high - few.interval.low > many.interval.high - many.interval.low
    assert f"({few.interval.note}). It shows the effect of chance" in str(few)


def test_few_segments_have_students_interval_of_the_ratio() -> None:
    """Errors 1, 4, 1 of 10, 20, 30 words: the rate is a tenth, and off are 0, 2, -2."""
    edits = tuple(
        Edit("substitution" if i < wrong else "hit", "w", "x" if i < wrong else "w", k)
        for k, (wrong, words) in enumerate(((1, 10), (4, 20), (1, 30)))
        for i in range(words)
    )
    found = WordErrorRate(edits, 3, "turns").interval
    reach = 4.30265 * math.sqrt(8 * 3 / 2) / 60
    assert (found.value, found.count, found.units) == (0.1, 60, 3)
    assert (found.low, found.high) == pytest.approx((0, 0.1 + reach), rel=1e-5)  # never below 0


def test_errors_in_too_few_segments_give_no_upper_bound() -> None:
    found = rated([9] + [0] * 79, 10)
    assert found.interval.high == math.inf
    assert found.interval.note == "errors in too few turns to bound it"
    assert "% or more (errors in too few turns to bound it)" in str(found)
    better = found.difference(rated([0] * 80, 10))
    assert f"{better.interval.low * 100:.1f}% or more (errors" in str(better)
    worse = rated([0] * 80, 10).difference(found)
    assert f"{worse.interval.high * 100:.1f}% or less (errors" in str(worse)


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        ([1], "at least 3 turns are needed to see how they vary, and there is one"),
        ([1, 2], "at least 3 turns are needed to see how they vary, and there are two"),
        ([0] * 30, "by the rule of three, up to 10% of such turns may still contain one"),
    ],
)
def test_too_little_gives_no_interval_and_says_why(errors: list[int], sentence: str) -> None:
    score = rated(errors, 10)
    assert np.isnan([score.interval.low, score.interval.high]).all()
    assert score.interval.note.endswith(sentence)
    assert f"No interval: {score.interval.note}." in str(score)
    assert "(no interval)" in repr(score)


def test_an_interval_is_printed_in_percent() -> None:
    score = rated([1, 0, 2, 0] * 20, 10)
    found = score.interval
    bounds = f"{found.low * 100:.1f} to {found.high * 100:.1f}%"
    assert f"95% interval: {bounds}. It shows the effect of chance for speech" in str(score)
    assert f"(95%: {bounds})" in repr(score)
    assert f"95% interval: {bounds}" in score._repr_html_()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"level": 95}, "level=95 is not a confidence level"),
        ({"resamples": 3}, "resamples=3 is too few"),
    ],
)
def test_an_interval_that_cannot_be_is_loud(how: dict[str, Any], sentence: str) -> None:
    for errors in ([0, 1], [0, 0], [1]):  # also where there is none anyway
        with pytest.raises(ValueError, match=sentence):
            rated(errors, 5).bootstrap(**how)
        with pytest.raises(ValueError, match=sentence):
            rated(errors, 5).difference(rated(errors, 5), **how)


def test_a_difference_is_taken_segment_by_segment() -> None:
    """One makes an error more in each turn, on top of what varies: paired, that is certain."""
    base = [0, 5, 1, 7, 2, 0, 6, 3] * 3
    worse, better = rated([n + 1 for n in base], 10), rated(base, 10)
    found = worse.difference(better)
    assert found.rate == pytest.approx(0.1)
    assert [found.interval.low, found.interval.high] == pytest.approx([0.1, 0.1])
    assert str(found).startswith("+10.0 percentage points. 95% interval: 10.0 to 10.0% (")
    assert "It does not include 0" in str(found)
    assert worse.interval.low < better.interval.high  # the intervals by themselves overlap


def test_a_difference_that_chance_explains_is_said_to_be_none() -> None:
    found = rated([1, 0, 2, 0] * 5, 10).difference(rated([0, 1, 0, 2] * 5, 10))
    assert found.interval.low < 0 < found.interval.high
    assert "It includes 0: no difference is shown" in str(found)


def test_two_segments_show_no_difference() -> None:
    found = rated([1, 3], 10).difference(rated([0, 0], 10))
    assert found.rate == pytest.approx(0.2)
    assert np.isnan(found.interval.low)
    assert "there are two" in str(found)
    assert "It does not include" not in str(found)


def test_equal_scores_show_no_difference_and_do_not_prove_that_there_is_none() -> None:
    one = rated([1, 0, 2], 10)
    assert "does not prove that there is none" in str(one.difference(one))


def test_only_the_same_words_can_be_compared() -> None:
    with pytest.raises(ValueError, match="different references"):
        rated([1, 0], 10).difference(rated([1, 0], 9))


def test_a_turn_without_words_is_no_segment() -> None:
    silent = Reference(
        (
            SpokenTurn(0.0, 0.2, "red", ()),
            SpokenTurn(0.3, 0.4, "[laughs]", ()),
            SpokenTurn(0.5, 0.6, "blue", ()),
        )
    )
    score = rtkit.wer(replace(heard("red blew"), reference=silent))
    assert score.segments == 2
    assert [edit.segment for edit in score.errors] == [1]


# Save, correct by hand, score.


@pytest.fixture(scope="module")
def excerpt() -> Session:
    """Of the call, from 3 s on."""
    return simulate(converse(open_clip(CALL, seconds=20, start=3)))


@pytest.mark.parametrize("suffix", ["txt", "srt", "vtt", "json"])
def test_a_saved_transcript_scores_nothing_against_its_own_session(
    tmp_path: Path, suffix: str, excerpt: Session
) -> None:
    for one in (excerpt, call(25)):
        path = rtkit.save_transcript(one, tmp_path / f"own.{suffix}")
        for reference in (path, str(path)):
            score = rtkit.wer(one, reference)
            assert (score.rate, score.words > 30) == (0, True)


@pytest.mark.parametrize("suffix", ["txt", "srt", "vtt", "json"])
def test_a_word_corrected_in_a_saved_transcript_is_one_error(
    tmp_path: Path, suffix: str, excerpt: Session
) -> None:
    path = rtkit.save_transcript(excerpt, tmp_path / f"own.{suffix}")
    word = max(re.findall(r"[a-z]+", excerpt.transcript), key=len)
    assert excerpt.transcript.count(word) == 1
    text = path.read_text(encoding="utf-8").replace(word, "xylophone")
    path.write_text("\ufeff" * (suffix != "json") + text, encoding="utf-8", newline="\r\n")
    (error,) = rtkit.wer(excerpt, path).errors
    assert (error.kind, error.said, error.heard) == ("substitution", "xylophone", word)


def test_captions_of_the_whole_recording_count_where_they_begin_in_the_excerpt(
    tmp_path: Path, excerpt: Session
) -> None:
    path = rtkit.save_transcript(call(25), tmp_path / "whole.srt")
    texts = [" ".join(cue.lines) for cue in read_cues(path.read_text()) if 3 <= cue.start < 23]
    assert rtkit.wer(excerpt, path).words == rtkit.wer(excerpt, " ".join(texts)).words
    late = replace(excerpt, settings=replace(excerpt.settings, first=10**7))
    with pytest.raises(ValueError, match=r"no caption begins within what was streamed, 625\.000"):
        rtkit.wer(late, path)


def test_a_saved_turn_without_times_is_scored_by_its_text(tmp_path: Path) -> None:
    bare = turn(0.9, final=True)
    bare = replace(bare, text=bare.text.replace('"transcript": ""', '"transcript": "good day"'))
    one = session(TEN, bare)
    score = rtkit.wer(one, rtkit.save_transcript(one, tmp_path / "own.json"))
    assert (score.rate, score.words, score.unit) == (0, 2, "turns")


def test_a_transcript_without_times_is_scored(tmp_path: Path) -> None:
    (tmp_path / "said.json").write_text('{"transcript": "good day"}')
    assert rtkit.wer(heard("good day"), tmp_path / "said.json").rate == 0


@pytest.mark.parametrize(
    "captions",
    [
        "1\n00:00:00,000 --> 00:00:01,000\n<i>Good</i> day,\n\n2\n0:00:01,0 --> 0:00:02,0\nAnna.\n",
        "00:00:00,000 --> 00:00:01,000\n{\\an8}Good\n\nday,\n2\n"
        "00:00:01,000 --> 00:00:02,000\nAnna.",
        "WEBVTT - Title\n\nSTYLE\n::cue { color: red }\n\nNOTE hello\n\nintro\n"
        "00:00.000 --> 00:01.000 line:0\n<v Bert>Good day,\n\nNOTE bye\n\n"
        "00:01.000 --> 00:02.000\n<c.loud>Anna</c>.<00:01.500>\n",
    ],
)
def test_of_any_captions_only_what_is_spoken_counts(captions: str) -> None:
    score = rtkit.wer(heard("good day anna"), captions)
    assert (score.rate, score.words, score.segments) == (0, 3, 2)


def test_bare_text_stays_bare_text() -> None:
    text = "Session: the third.\nTranscript of 12:30.\n1"
    assert rtkit.wer(heard("session the third transcript of 12 30 1"), text).words == 8
