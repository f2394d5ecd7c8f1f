"""Soniox's protocol by hand: what tokens come to, and what its double refuses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import rtkit
from rtkit.services.messages import (
    Close,
    Finalized,
    Other,
    Refusal,
    Reply,
    ServiceError,
    Termination,
    Turn,
)
from rtkit.services.soniox.client import DIALECT, Soniox
from rtkit.services.soniox.server import Server


def token(text: str, start: int | None, end: int | None, final: bool) -> dict[str, Any]:
    return {"text": text, "start_ms": start, "end_ms": end, "is_final": final, "confidence": 0.9}


def message(*tokens: dict[str, Any], heard: int = 1000, **more: Any) -> str:
    told = {"tokens": list(tokens), "final_audio_proc_ms": 0, "total_audio_proc_ms": heard}
    return json.dumps({**told, **more})


END = {"text": "<end>", "is_final": True}
FIN = {"text": "<fin>", "is_final": True}


def read(*messages: str) -> list[Reply]:
    reader = DIALECT.reader(16000)
    return [reply for one in messages for reply in reader.read(one)]


def told(replies: list[Reply]) -> list[tuple[int, str, bool, str | None]]:
    turns = [one for one in replies if isinstance(one, Turn)]
    return [(one.order, one.transcript, one.end_of_turn, one.cause) for one in turns]


def test_tokens_are_folded_into_words_and_turns() -> None:
    replies = read(
        message(token("He", 100, 200, False)),
        message(token("Hel", 100, 200, True), token("lo", 200, 300, False), heard=1200),
        message(token("lo", 200, 300, True), token(" the", 300, 400, False), heard=1400),
        message(heard=1500),  # what it guessed it takes back
        message(token(" there", 300, 500, True), END, token(" Bye", 900, 950, False), heard=2000),
        message(token(" Bye.", 900, 1000, True), heard=2500),
        message(heard=2600, finished=True),
    )
    assert told(replies) == [
        (0, "He", False, None),
        (0, "Hello", False, None),
        (0, "Hello the", False, None),
        (0, "Hello", False, None),
        (0, "Hello there", True, "silence"),
        (1, "Bye", False, None),
        (1, "Bye.", False, None),
        (1, "Bye.", True, "terminate"),
    ]
    turn = replies[2]
    assert isinstance(turn, Turn)
    assert [(word.start, word.end, word.final) for word in turn.words] == [
        (0.1, 0.3, True),
        (0.3, 0.4, False),
    ]
    assert (turn.heard, turn.heard_by) == (1.4, "stated")
    assert isinstance(replies[-1], Termination)


def test_what_tells_nothing_of_a_turn() -> None:
    translated = {**token("Hallo", None, None, True), "translation_status": "translation"}
    assert [type(one) for one in read(message(), message(translated), message(FIN))] == [
        Other,
        Other,
        Finalized,
    ]
    untimed = read(message({"text": "Hi", "is_final": True}, FIN))
    assert told(untimed) == [(0, "Hi", True, "force_endpoint")]
    assert untimed[0].words[0].end is None  # type: ignore[union-attr]
    (error,) = read(json.dumps({"tokens": [], "error_code": 402, "error_message": "budget"}))
    assert error == ServiceError(402, "budget")
    assert rtkit.explain(error, dialect="soniox").name == "no credit"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "Missing model"),
        ({"audio_format": "auto"}, "not one of pcm_s16le, mulaw"),
        ({"audio_format": None, "model": "m"}, "Give audio_format|not one of"),
        ({"num_channels": 2}, "'num_channels'"),
        ({"api_key": "k"}, "the API key once"),
        ({"enable_speaker_diarization": True}, "does not implement 'enable_speaker_diarization'"),
        ({"max_endpoint_delay_ms": 100}, "not between 500 and 3000"),
    ],
)
def test_what_cannot_be_asked_for_is_a_400(config: dict[str, Any], words: str) -> None:
    usual = {"model": "m", "audio_format": "pcm_s16le", "sample_rate": 16000}
    with pytest.raises(Refusal, match=words) as refused:
        Server({}, "").read(json.dumps({**usual, **config} if config else {}))
    assert refused.value.code == 400


def test_null_asks_for_nothing() -> None:
    """As pipecat writes what nobody chose."""
    usual = {"model": "m", "audio_format": "pcm_s16le", "sample_rate": 16000}
    left_out = ("max_endpoint_delay_ms", "num_channels", "enable_endpoint_detection", "translation")
    (with_null,) = Server({}, "").read(json.dumps({**usual, **dict.fromkeys(left_out)}))
    assert (with_null,) == Server({}, "").read(json.dumps(usual))


def test_a_reason_fits_into_a_close_frame() -> None:
    server = Server({}, "")
    with pytest.raises(Refusal) as refused:
        server.read("𝄞" * 100)
    *_, close = server.write(ServiceError(refused.value.code, refused.value.text))
    assert isinstance(close, Close)
    assert 119 < len(close.reason.encode()) <= 123


@pytest.mark.parametrize("frame", ["{", "[]", "7", b"\0\0", "[" * 5000])
def test_what_comes_before_the_config(frame: str | bytes) -> None:
    with pytest.raises(Refusal) as refused:
        Server({}, "").read(frame)
    assert refused.value.code == 400


def test_the_key_goes_in_a_header_alone() -> None:
    service = Soniox("k" * 20, host="ws://127.0.0.1:1", parameters={"language_hints": ["en"]})
    url, headers, (config,) = asyncio.run(service.connect_info(8000)).reveal()
    assert url == "ws://127.0.0.1:1/transcribe-websocket"
    assert headers == {"Authorization": f"Bearer {'k' * 20}"}
    assert json.loads(config) == {
        "model": "stt-rt-v5",
        "audio_format": "pcm_s16le",
        "sample_rate": 8000,
        "num_channels": 1,
        "enable_endpoint_detection": True,
        "language_hints": ["en"],
    }
    assert "k" * 20 not in repr(service)
