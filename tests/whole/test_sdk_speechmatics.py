"""The official speechmatics-rt client in whole sessions with the embedded service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from doubles import KEY, SDK_RATE, silence, speaking
from speechmatics.rt import (
    AsyncClient,
    AudioEncoding,
    AudioFormat,
    ConversationConfig,
    ServerMessageType,
    TranscriptionConfig,
    TranscriptionError,
    TransportError,
)

AUDIO = AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=SDK_RATE)
Heard = list[dict[str, Any]]


def connected(
    session: Callable[[AsyncClient], Awaitable[None]], key: str = KEY, **options: Any
) -> None:
    async def run() -> None:
        async with (
            asyncio.timeout(30),
            speaking("speechmatics", **options) as host,
            AsyncClient(api_key=key, url=f"ws://{host}/v2") as client,
        ):
            await session(client)

    asyncio.run(run())


def talk(
    seconds: float,
    *,
    forced_at: float | None = None,
    key: str = KEY,
    asked: dict[str, Any] | None = None,
    **options: Any,
) -> Heard:
    """What the client is told in a session of so much audio, at whose end it says goodbye."""
    config = TranscriptionConfig(
        **{
            "language": "en",
            "enable_partials": True,
            "conversation_config": ConversationConfig(end_of_utterance_silence_trigger=0.5),
            **(asked or {}),
        }
    )
    heard: Heard = []

    async def session(client: AsyncClient) -> None:
        for kind in ServerMessageType:
            client.on(kind, heard.append)
        await client.start_session(transcription_config=config, audio_format=AUDIO)
        for index, chunk in enumerate(silence(seconds), 1):
            await client.send_audio(chunk)
            if forced_at is not None and index == round(10 * forced_at):
                await client.force_end_of_utterance()
        await client.stop_session()

    connected(session, key, **options)
    return heard


def said(heard: Heard) -> list[tuple[str, str]]:
    """Without receipts."""
    told = [one for one in heard if one["message"] != "AudioAdded"]
    return [(one["message"], one.get("metadata", {}).get("transcript", "")) for one in told]


@pytest.mark.usefixtures("way")
def test_a_session_from_recognition_started_to_end_of_transcript() -> None:
    heard = talk(2.0)
    assert heard[0]["message"] == "RecognitionStarted"
    assert heard[0]["id"]
    assert said(heard)[1:] == [
        ("AddPartialTranscript", "Hello "),
        ("AddTranscript", "Hello "),
        ("AddPartialTranscript", "there. "),
        ("AddTranscript", "there. "),
        ("EndOfUtterance", ""),
        ("AddPartialTranscript", "Good "),
        ("AddTranscript", "Good "),
        ("AddPartialTranscript", "bye. "),
        ("AddTranscript", "bye. "),
        ("EndOfTranscript", ""),
    ]
    receipts = [one["seq_no"] for one in heard if one["message"] == "AudioAdded"]
    assert receipts == list(range(1, 21))
    (there,) = [one for one in heard if one.get("metadata", {}).get("transcript") == "there. "][1:]
    word, mark = there["results"]
    assert (word["type"], word["start_time"], word["end_time"]) == ("word", 0.35, 0.6)
    assert (mark["type"], mark["alternatives"][0]["content"]) == ("punctuation", ".")
    assert (mark["attaches_to"], mark["is_eos"]) == ("previous", True)


def test_an_end_of_utterance_may_be_forced_and_partials_left_out() -> None:
    heard = talk(2.0, forced_at=0.4, asked={"enable_partials": False})
    assert said(heard)[1:] == [
        ("AddTranscript", "Hello "),
        ("EndOfUtterance", ""),
        ("AddTranscript", "there. "),
        ("EndOfUtterance", ""),
        ("AddTranscript", "Good "),
        ("AddTranscript", "bye. "),
        ("EndOfTranscript", ""),
    ]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"key": "another"}, "API key was not recognized"),
        ({"asked": {"language": ""}}, "Give transcription_config.language"),
        ({"asked": {"diarization": "speaker"}}, "does not implement 'diarization'"),
        ({"asked": {"max_delay": 9.0}}, "9.0 is not between 0.7 and 4"),
    ],
)
def test_a_refused_session_says_why(how: dict[str, Any], words: str) -> None:
    with pytest.raises((TranscriptionError, TransportError), match=words):
        talk(0.2, **how)


def test_an_error_in_the_middle() -> None:
    heard: Heard = []

    async def session(client: AsyncClient) -> None:
        over = asyncio.Event()

        def tell(message: dict[str, Any]) -> None:
            heard.append(message)
            over.set()

        client.on(ServerMessageType.ERROR, tell)
        await client.start_session(audio_format=AUDIO)
        for chunk in silence(0.3):
            await client.send_audio(chunk)
        await over.wait()

    connected(session, faults="error=4013@0.3")
    (error,) = heard
    assert error["type"] == "job_error"
