"""Speechmatics' protocol by hand: what its messages come to, and what its double refuses."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import simulate
from doubles import talk, unmarked
from facts import CALL

import rtkit
from rtkit.analysis.timing.attribution import confirmed_at
from rtkit.analysis.timing.latency import turn_latency
from rtkit.audio import open_clip
from rtkit.services.messages import (
    Audio,
    Begin,
    Configure,
    Other,
    Receipt,
    Refusal,
    Reply,
    Termination,
    Turn,
)
from rtkit.services.speechmatics.client import DIALECT, Speechmatics
from rtkit.services.speechmatics.server import Server


def word(text: str, start: float) -> dict[str, Any]:
    times = {"start_time": start, "end_time": start + 0.2}
    return {"type": "word", **times, "alternatives": [{"content": text, "confidence": 0.9}]}


def mark(text: str) -> dict[str, Any]:
    return {
        "type": "punctuation",
        "attaches_to": "previous",
        "start_time": 9.0,
        "end_time": 9.0,
        "alternatives": [{"content": text}],
    }


def final(*results: dict[str, Any]) -> dict[str, Any]:
    return {"message": "AddTranscript", "results": list(results)}


def partial(*results: dict[str, Any]) -> dict[str, Any]:
    return {"message": "AddPartialTranscript", "results": list(results)}


END, OVER = {"message": "EndOfUtterance"}, {"message": "EndOfTranscript"}


def read(*messages: dict[str, Any]) -> list[Reply]:
    reader = DIALECT.reader(16000)
    return [reply for one in messages for reply in reader.read(json.dumps(one))]


def test_finals_are_added_up_into_turns() -> None:
    replies = read(
        {"message": "RecognitionStarted", "id": "x"},
        {"message": "AudioAdded", "seq_no": 1},
        partial(),
        partial(word("hello", 0.0)),
        final(word("Hello", 0.0)),
        partial(word("you", 0.3)),
        final(word("you", 0.3)),
        final(mark(".")),
        END,
        END,
        partial(word("bye", 1.0)),
        final(word("Bye", 1.0), mark("!")),
        OVER,
    )
    turns = [one for one in replies if isinstance(one, Turn)]
    assert [(one.order, one.transcript, one.end_of_turn, one.cause) for one in turns] == [
        (0, "hello", False, None),
        (0, "Hello", False, None),
        (0, "Hello you", False, None),
        (0, "Hello you", False, None),
        (0, "Hello you.", False, None),
        (0, "Hello you.", True, None),
        (1, "bye", False, None),
        (1, "Bye!", False, None),
        (1, "Bye!", True, "terminate"),
    ]
    assert [(one.start, one.end, one.final) for one in turns[2].words] == [
        (0.0, 0.2, True),
        (0.3, 0.5, False),
    ]
    assert turns[5].words[1].end == 0.5  # not the mark's
    kinds = [type(one) for one in replies if not isinstance(one, Turn)]
    assert kinds == [Begin, Receipt, Other, Other, Termination]


def test_receipts_tell_the_way_there_and_back_and_bound_what_decided() -> None:
    """100 ms each way; under fixed sleeps, fewer chunks can have decided than had been sent."""
    clip = open_clip(CALL, seconds=12)
    how: dict[str, Any] = {"pacing": "fixed_sleep", "work": 0.003, "network": 0.1}
    session = unmarked(simulate(talk(clip, "speechmatics", **how)))
    after = confirmed_at(session) - session.sent
    assert after == pytest.approx(np.full(len(session.chunks), 0.2), abs=1e-6)
    kept = [one for one in session.messages if "AudioAdded" not in one.text]
    without = replace(session, messages=tuple(kept))
    assert np.isnan(confirmed_at(without)).all()
    one, other = turn_latency(session), turn_latency(without)
    assert one.latency.tolist() == other.latency.tolist()
    assert (one.half_width <= other.half_width).all()
    assert one.half_width[one.counted].sum() < other.half_width[one.counted].sum()
    assert "chunk confirmed after p50, ms" in str(rtkit.summarize(session))
    assert "confirmed" not in str(rtkit.summarize(without))


def test_what_was_guessed_behind_a_final_still_stands() -> None:
    replies = read(
        partial(word("hello", 0.0), word("you", 0.3)),
        final(word("Hello", 0.0), mark(",")),
        partial(word("you", 0.3), word("there", 0.6)),
        final(word("You", 0.3), word("their", 0.6)),
    )
    texts = [one.transcript for one in replies if isinstance(one, Turn)]
    assert texts == ["hello you", "Hello, you", "Hello, you there", "Hello, You their"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("not_authorised", "key refused"),
        ("insufficient_funds", "no credit"),
        ("invalid_audio_type", "bad input"),
        ("buffer_error", "sent too fast"),
        ("quota_exceeded", "too many new sessions"),
        ("timelimit_exceeded", "session too long"),
        ("idle_timeout", "idle"),
        ("unknown_error", "service fault"),
    ],
)
def test_each_type_of_error_is_explained(kind: str, name: str) -> None:
    error = {"message": "Error", "type": kind, "reason": "because"}
    assert rtkit.explain(error, dialect="speechmatics").name == name


def started(**audio: Any) -> Server:
    server = Server({}, "/v2")
    usual = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}
    config = {"language": "en"}
    start = {"message": "StartRecognition", "audio_format": {**usual, **audio}}
    (said,) = server.read(json.dumps({**start, "transcription_config": config}))
    assert isinstance(said, Configure)
    assert said.rules.max_silence == float("inf")  # no trigger, no end of an utterance
    return server


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        ({"type": "file"}, "not one of raw"),
        ({"encoding": "pcm_f32le"}, "not one of pcm_s16le, mulaw"),
        ({"sample_rate": "fast"}, "not a number"),
    ],
)
def test_audio_that_its_double_does_not_take(audio: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=words):
        started(**audio)


def test_a_part_that_is_none_is_refused() -> None:
    config = {"language": "en", "conversation_config": "quick"}
    audio = {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}
    start = {"message": "StartRecognition", "audio_format": audio, "transcription_config": config}
    with pytest.raises(Refusal, match="invalid_config: 'conversation_config' is not an object"):
        Server({}, "/v2").read(json.dumps(start))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("{", "is not a message"),
        ('{"message": "Sing"}', "not supported by the embedded service"),
        (b"123", "not whole samples"),
        (
            '{"message": "SetRecognitionConfig", "transcription_config": {"language": "de"}}',
            "invalid_config: 'language' cannot change",
        ),
        ('{"message": "EndOfStream", "last_seq_no": 2}', "not between 0 and 1"),
    ],
)
def test_what_is_wrong_in_the_middle(frame: str | bytes, words: str) -> None:
    server = started()
    assert isinstance(server.read(bytes(200))[0], Audio)
    with pytest.raises(Refusal, match=words):
        server.read(frame)


def test_delay_and_partials_may_change_in_the_middle() -> None:
    change = {"language": "en", "max_delay": 2.0, "enable_partials": True}
    message = {"message": "SetRecognitionConfig", "transcription_config": change}
    (said,) = started().read(json.dumps(message))
    assert isinstance(said, Configure)


def test_the_confidence_of_a_guess_means_nothing() -> None:
    best = [{"content": "a", "confidence": 0.9}]
    heard = {"type": "word", "start_time": 0.0, "end_time": 0.1, "alternatives": best}
    for kind, sure in (("AddPartialTranscript", 0.0), ("AddTranscript", 0.9)):
        (turn,) = DIALECT.reader(8000).read(json.dumps({"message": kind, "results": [heard]}))
        assert isinstance(turn, Turn)
        assert turn.words[0].confidence == sure


def test_a_start_without_a_format_begins_nothing() -> None:
    """A tap reads on: the real service may take it."""
    server = Server({}, "/v2")
    with pytest.raises(Refusal, match="Give audio_format"):
        server.read('{"message": "StartRecognition", "transcription_config": {"language": "en"}}')
    assert server.read(bytes(200)) == (Audio(bytes(200), 200),)


def test_nothing_comes_before_the_start() -> None:
    with pytest.raises(Refusal, match="before StartRecognition"):
        Server({}, "/v2").read('{"message": "EndOfStream"}')


def test_the_key_goes_in_a_header_alone() -> None:
    asked = {"max_delay": 1.0}
    service = Speechmatics("k" * 20, host="ws://127.0.0.1:1", parameters=asked)
    url, headers, (start,) = asyncio.run(service.connect_info(8000)).reveal()
    assert (url, headers) == ("ws://127.0.0.1:1/v2", {"Authorization": f"Bearer {'k' * 20}"})
    config = json.loads(start)["transcription_config"]
    assert (config["model"], config["max_delay"]) == ("enhanced", 1.0)
    assert config["enable_partials"] is True
    assert "k" * 20 not in repr(service) + start
