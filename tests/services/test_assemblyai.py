"""Streaming v3 without I/O: the URL, the messages, and what each ending means."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rtkit.services.assemblyai.client import (
    DEFAULT_MODEL,
    DIALECT,
    KEY_VARIABLE,
    AssemblyAI,
    endpoint,
    update_configuration,
)
from rtkit.services.messages import (
    Begin,
    Other,
    Reply,
    ServiceError,
    Stamp,
    Termination,
    Turn,
    Word,
)

KEY = "sesame0123456789"


def word(text: str, start: int, end: int, *, final: bool = True) -> dict[str, Any]:
    return {
        "text": text,
        "start": start,
        "end": end,
        "confidence": 0.9,
        "word_is_final": final,
    }


def turn(**changes: Any) -> dict[str, Any]:
    return {
        "type": "Turn",
        "turn_order": 2,
        "turn_is_formatted": False,
        "end_of_turn": False,
        "transcript": "green",
        "utterance": "",
        "end_of_turn_confidence": 0.25,
        "words": [word("green", 640, 880), word("lan", 880, 960, final=False)],
        **changes,
    }


PARTIAL = Turn(
    order=2,
    transcript="green",
    words=(Word("green", 0.64, 0.88, 0.9, True), Word("lan", 0.88, 0.96, 0.9, False)),
    end_of_turn=False,
    confidence=0.25,
)
STAMP = {"arrived": 10.5, "left": 10.75, "samples": 1600, "cause": "silence"}


@pytest.mark.parametrize(
    ("message", "reply"),
    [
        ({"type": "Begin", "id": "x", "expires_at": 1790007200}, Begin("x", 1790007200)),
        (
            {"type": "Begin", "id": "x", "expires_at": 1, "configuration": {"model": "u3-rt-pro"}},
            Begin("x", 1, "u3-rt-pro"),
        ),
        ({"type": "Begin", "id": "x", "expires_at": 1, "configuration": None}, Begin("x", 1)),
        (turn(), PARTIAL),
        # Two finals of one turn, as the classic form has it.
        (turn(end_of_turn=True), dataclasses.replace(PARTIAL, end_of_turn=True)),
        (
            turn(end_of_turn=True, turn_is_formatted=True, transcript="Green."),
            dataclasses.replace(PARTIAL, end_of_turn=True, formatted=True, transcript="Green."),
        ),
        # U3: always formatted, partials hold the whole text and no final word.
        (
            turn(
                turn_is_formatted=True,
                transcript="Green lan —",
                words=[word("Green", 640, 880, final=False)],
                speaker_label="A",
                language_code="en",
            ),
            Turn(
                2,
                "Green lan —",
                (Word("Green", 0.64, 0.88, 0.9, False),),
                False,
                True,
                0.25,
            ),
        ),
        (turn(words=[], transcript=""), dataclasses.replace(PARTIAL, words=(), transcript="")),
        (
            turn(loopback=STAMP),
            dataclasses.replace(PARTIAL, stamp=Stamp(10.5, 10.75, 1600, "silence"), heard=0.1),
        ),
        (
            {"type": "Termination", "audio_duration_seconds": 7, "session_duration_seconds": 9},
            Termination(7.0, 9.0),
        ),
        (
            {
                "type": "Termination",
                "audio_duration_seconds": 7,
                "session_duration_seconds": 9,
                "loopback": {"bytes": 224000, "samples": 112000},
            },
            Termination(7.0, 9.0, 224000),
        ),
        ({"type": "Error", "error_code": 3006, "error": "no"}, ServiceError(3006, "no")),
        ({"type": "Error", "error": "no"}, ServiceError(None, "no")),
        ({"error": "no"}, ServiceError(None, "no")),
        ({"type": "Warning", "warning_code": 1, "warning": "w"}, Other("Warning")),
        ({"type": "SpeechStarted", "timestamp": 10, "confidence": 0.5}, Other("SpeechStarted")),
        ({"type": "Heartbeat", "realtime_factor": 1.0}, Other("Heartbeat")),
        ({"type": "SpeakerRevision", "revisions": []}, Other("SpeakerRevision")),
        ({"type": "FromTheFuture"}, Other("FromTheFuture")),
        ({"hello": "there"}, Other("None")),
    ],
)
def test_every_kind_of_message_is_read(message: dict[str, Any], reply: object) -> None:
    assert parse(json.dumps(message)) == reply
    assert parse(json.dumps(message).encode()) == reply


def without(key: str) -> str:
    message = turn()
    del message[key]
    return json.dumps(message)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "JSONDecodeError"),
        ("{", "JSONDecodeError"),
        ("null", "AttributeError"),
        ("[]", "AttributeError"),
        ('"Turn"', "AttributeError"),
        ("3", "AttributeError"),
        (b"\xff\x00\xfe", "UnicodeDecodeError"),
        ("[" * 100_000, "RecursionError"),
        ('{"type":' * 100_000, "RecursionError"),
        ('{"type": "Begin"}', "KeyError: 'id'"),
        (without("turn_order"), "KeyError: 'turn_order'"),
        (without("transcript"), "KeyError: 'transcript'"),
        (without("words"), "KeyError: 'words'"),
        (without("end_of_turn"), "KeyError: 'end_of_turn'"),
        (json.dumps(turn(words=[{"text": "x", "start": 0}])), "KeyError: 'end'"),
        (json.dumps(turn(words=[word("x", 0, 1) | {"end": "soon"}])), "ValueError"),
        (json.dumps(turn(words=3)), "TypeError"),
        (json.dumps(turn(words=["x"])), "TypeError"),
        (json.dumps(turn(loopback={"arrived": 1})), "KeyError: 'left'"),
        (json.dumps(turn(turn_order=float("inf"))), "OverflowError"),
        (json.dumps(turn(words=[word("x", 0, 10**400)])), "OverflowError"),
        ('{"type": "Termination"}', "KeyError"),
        ('{"type": "Error", "error_code": "high"}', "ValueError"),
    ],
)
def test_what_cannot_be_read_says_why_and_raises_nothing(text: str | bytes, fault: str) -> None:
    reply = parse(text)
    assert isinstance(reply, Other)
    assert reply.type == "unreadable"
    assert reply.fault is not None
    assert reply.fault.startswith(fault)


def parse(text: str | bytes) -> Reply:
    (reply,) = DIALECT.reader(16000).read(text)
    return reply


def query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, strict_parsing=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (160, "160"),
        (0.4, "0.4"),
        ("a b&c=d", "a b&c=d"),
        (["fish & chips", "50 %"], '["fish & chips", "50 %"]'),
        ({"model": "x"}, '{"model": "x"}'),
    ],
)
def test_a_parameter_travels_as_text(value: Any, text: str) -> None:
    url = endpoint("ws://host", "any", 44100, {"name": value}).url
    assert query(url) == {
        "sample_rate": ["44100"],
        "encoding": ["pcm_s16le"],
        "name": [text],
    }


def endpoint_url(service: AssemblyAI) -> str:
    return asyncio.run(service.connect_info(16000)).url


def test_a_model_is_always_asked_for_and_parameters_go_along() -> None:
    assert query(endpoint_url(AssemblyAI(KEY)))["speech_model"] == [DEFAULT_MODEL]
    service = AssemblyAI(KEY, format_turns=True, parameters={"min_turn_silence": 160})
    asked = query(endpoint_url(service))
    assert (asked["format_turns"], asked["min_turn_silence"]) == (["true"], ["160"])


def test_the_key_goes_into_the_header_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f" {KEY}\n")
    for service in (AssemblyAI(), AssemblyAI(KEY)):
        endpoint = asyncio.run(service.connect_info(16000))
        assert endpoint.headers == {"Authorization": KEY}
        shown = (service, endpoint, service.describe(), endpoint.url)
        assert KEY not in "".join(f"{thing!r} {thing!s} {thing}" for thing in shown)
        assert KEY not in json.dumps(service.describe())


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_no_key_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(KEY_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(KEY_VARIABLE, value)
    with pytest.raises(ValueError, match=KEY_VARIABLE):
        endpoint_url(AssemblyAI())


@pytest.mark.parametrize("key", ["Bearer sesame", "sesame\nagain", "sésame", "ses\x00ame"])
def test_a_key_that_cannot_be_one_is_refused_unshown(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as refusal:
        endpoint_url(AssemblyAI(key))
    assert key not in str(refusal.value)


def test_a_change_of_configuration_keeps_its_lists() -> None:
    assert json.loads(update_configuration(keyterms_prompt=["a"], min_turn_silence=160)) == {
        "type": "UpdateConfiguration",
        "keyterms_prompt": ["a"],
        "min_turn_silence": 160,
    }


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("streaming.eu.assemblyai.com", "wss://streaming.eu.assemblyai.com/v3/ws?"),
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765/v3/ws?"),
        ("wss://gateway.example/", "wss://gateway.example/v3/ws?"),
    ],
)
def test_a_host_may_come_with_its_scheme(host: str, base: str) -> None:
    assert asyncio.run(AssemblyAI(key=KEY, host=host).connect_info(16000)).url.startswith(base)


def test_a_web_address_is_no_host() -> None:
    with pytest.raises(ValueError, match="is not a websocket address"):
        asyncio.run(AssemblyAI(key=KEY, host="https://gateway.example").connect_info(16000))
