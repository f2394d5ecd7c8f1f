"""A reference is read whole or refused with its fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtkit.reference import Reference, SidecarError, find_reference, read_reference

HELLO = {"text": "Hello", "start": 0.1, "end": 0.5}
THERE = {"text": "there.", "start": 0.5, "end": 0.9}
BYE = {"text": "Bye.", "start": 2.0, "end": 2.4}


def turn(*words: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"start": 0.0, "end": 3.0, "words": list(words), **more}


def test_words_and_transcript_run_through_the_turns() -> None:
    reference = Reference.from_json({"turns": [turn(HELLO, THERE, speaker="a"), turn(BYE)]})
    assert [word.text for word in reference.words] == ["Hello", "there.", "Bye."]
    assert reference.transcript == "Hello there. Bye."
    assert [said.speaker for said in reference.turns] == ["a", None]


def test_it_survives_json() -> None:
    reference = Reference.from_json({"turns": [turn(HELLO, text="HELLO"), turn(BYE)]})
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


@pytest.mark.parametrize(
    ("start", "stop", "words"),
    [
        (0.0, 3.0, [("Hello", 0.1, 0.5), ("there.", 0.5, 0.9), ("Bye.", 2.0, 2.4)]),
        (0.5, 3.0, [("there.", 0.0, 0.4), ("Bye.", 1.5, 1.9)]),
        (0.2, 2.3, [("there.", 0.3, 0.7)]),
        (1.0, 1.5, []),
    ],
)
def test_an_excerpt_holds_the_words_that_lie_wholly_in_it(
    start: float, stop: float, words: list[tuple[str, float, float]]
) -> None:
    reference = Reference.from_json({"turns": [turn(HELLO, THERE), turn(BYE)]})
    cut = reference.excerpt(start, stop)
    held = [(word.text, round(word.start, 9), round(word.end, 9)) for word in cut.words]
    assert held == words
    assert all(said.words for said in cut.turns)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ([], 'no "turns" and no "words"'),
        (None, 'no "turns" and no "words"'),
        ({}, "turns"),
        ({"turns": [{"start": 0, "end": 1}]}, "words"),
        ({"turns": [turn({"text": "x", "start": 0.0})]}, "end"),
        ({"turns": [turn({"text": "x", "start": "soon", "end": 1.0})]}, "soon"),
        ({"turns": [turn(BYE, HELLO)]}, "'Hello' at 0.1-0.5 s"),
        ({"turns": [turn({"text": "x", "start": 2.0, "end": 1.0})]}, "'x' at 2-1 s"),
        ({"turns": [turn({"text": "x", "start": -1.0, "end": 1.0})]}, "'x' at -1-1 s"),
        ({"turns": [turn({"text": "x", "start": 0.0, "end": float("nan")})]}, "'x' at 0-nan s"),
    ],
)
def test_what_is_no_reference_is_refused_with_its_fault(data: Any, fault: str) -> None:
    with pytest.raises(SidecarError, match=fault):
        Reference.from_json(data)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b'{"turns": 3}', b"null", b"[" * 100_000]
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "call.json").write_bytes(content)
    with pytest.raises(SidecarError, match=r"call\.json cannot be used"):
        read_reference(tmp_path / "call.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match=r"call\.json cannot be read: No such file"):
        read_reference(tmp_path / "call.json")


def test_no_sidecar_is_no_reference(tmp_path: Path) -> None:
    assert find_reference(tmp_path / "call.wav") is None


def test_the_words_of_every_sample_can_be_read(samples: Path) -> None:
    sidecars = list(samples.glob("*.json"))
    assert sidecars
    assert all(read_reference(path).words for path in sidecars)


def test_somebodys_metadata_of_the_same_name_is_no_reference(tmp_path: Path) -> None:
    (tmp_path / "call.json").write_text('{"licence": "CC0"}')
    assert find_reference(tmp_path / "call.wav") is None


@pytest.mark.parametrize("text", [None, "Hello, there. Bye!"])
def test_words_with_times_are_a_reference_of_one_turn(tmp_path: Path, text: str | None) -> None:
    data = {"words": [HELLO, THERE, BYE], **({} if text is None else {"transcript": text})}
    (tmp_path / "call.json").write_text(json.dumps(data))
    reference = find_reference(tmp_path / "call.wav")
    assert reference is not None
    (said,) = reference.turns
    assert (said.start, said.end, said.text) == (0.1, 2.4, text or "Hello there. Bye.")
    assert [word.text for word in said.words] == ["Hello", "there.", "Bye."]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"transcript": "Good morning"}', 'not the times of its words.*"turns": .*rtkit.wer'),
        ('{"words": ["Good", "morning"]}', 'not a reference.*"turns": '),
        ('{"words": [{"value": "Good", "start": 0, "end": 1}]}', "KeyError: 'text'"),
        ('{"words": 197}', "TypeError"),
    ],
)
def test_words_that_cannot_be_used_are_never_passed_over(
    tmp_path: Path, content: str, told: str
) -> None:
    (tmp_path / "call.json").write_text(content)
    with pytest.raises(SidecarError, match=rf"call\.json.*{told}.*beside call\.wav"):
        find_reference(tmp_path / "call.wav")


def test_no_words_are_a_reference_of_silence(tmp_path: Path) -> None:
    (tmp_path / "call.json").write_bytes(b'\xef\xbb\xbf{"words": []}')  # as some editors save it
    assert find_reference(tmp_path / "call.wav") == Reference(())


def test_people_talk_over_one_another(tmp_path: Path) -> None:
    """Who says "mhm" meanwhile speaks within another's turn."""
    long = [
        {"text": "so", "start": 0.0, "end": 0.4},
        {"text": "we", "start": 0.5, "end": 0.7},
        {"text": "went", "start": 0.8, "end": 1.4},
        {"text": "home", "start": 1.5, "end": 2.0},
    ]
    mhm = {"text": "mhm", "start": 0.7, "end": 1.0}
    late = {"text": "right", "start": 1.9, "end": 2.2}
    turns = [
        {"start": 0.0, "end": 2.0, "words": long, "speaker": "a"},
        {"start": 1.9, "end": 2.2, "words": [late], "speaker": "b"},
        {"start": 0.7, "end": 1.0, "words": [mhm], "speaker": "b"},
    ]
    reference = Reference.from_json({"turns": turns})
    assert [turn.text for turn in reference.turns] == ["so we went home", "mhm", "right"]
    said = [word.text for word in reference.words]
    assert said == ["so", "we", "mhm", "went", "home", "right"]  # in the order of their ends
    assert reference.owners == (0, 0, 1, 0, 0, 2)
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference
    (tmp_path / "call.json").write_text(json.dumps({"turns": turns}))
    assert find_reference(tmp_path / "call.wav") == reference
    cut = reference.excerpt(0.6, 2.1)
    assert [(word.text, round(word.start, 9)) for word in cut.words] == [
        ("mhm", 0.1),
        ("went", 0.2),
        ("home", 0.9),
    ]


def test_a_turn_without_word_times_is_kept_if_it_begins_within() -> None:
    turns: list[dict[str, Any]] = [
        {"start": s, "end": s + 1, "text": f"turn {s}", "words": []} for s in (0, 2, 4)
    ]
    cut = Reference.from_json({"turns": turns}).excerpt(1.5, 4.0)
    assert [(turn.start, turn.end, turn.text) for turn in cut.turns] == [(0.5, 1.5, "turn 2")]
