"""The official openai client in whole sessions with the embedded service."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from doubles import KEY, silence, speaking
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus

RATE = 24000
KIND = "conversation.item.input_audio_transcription"


@contextlib.asynccontextmanager
async def connected(key: str = KEY, **options: Any) -> AsyncIterator[Any]:
    async with (
        asyncio.timeout(30),
        speaking("openai", **options) as host,
        AsyncOpenAI(api_key=key, websocket_base_url=f"ws://{host}/v1") as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        yield connection


async def update(connection: Any, model: str = "gpt-live-transcribe", **asked: Any) -> None:
    vad = {"type": "server_vad", "silence_duration_ms": 500}
    audio = {
        "format": {"type": "audio/pcm", "rate": RATE},
        "transcription": {"model": model},
        "turn_detection": vad,
        **asked,
    }
    session = {"type": "transcription", "audio": {"input": audio}}
    await connection.session.update(session=session)


async def send(connection: Any, seconds: float) -> None:
    for chunk in silence(seconds, rate=RATE):
        await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())


async def until(connection: Any, true: Callable[[Any], bool]) -> list[Any]:
    """What the client is told up to an event of which it is true, or to the end."""
    heard: list[Any] = []
    while not heard or not true(heard[-1]):
        try:
            heard.append(await connection.recv())
        except ConnectionClosed:
            break
    return heard


def finals(heard: list[Any]) -> list[tuple[str, str]]:
    completed = [one for one in heard if one.type == f"{KIND}.completed"]
    return [(one.item_id, one.transcript) for one in completed]


@pytest.mark.usefixtures("way")
def test_a_session_from_created_to_the_last_item() -> None:
    async def talk() -> list[Any]:
        async with connected() as connection:
            await update(connection)
            await send(connection, 2.0)
            await connection.input_audio_buffer.commit()
            return await until(connection, lambda one: "bye" in getattr(one, "transcript", ""))

    created, updated, *heard = asyncio.run(talk())
    assert (created.type, updated.type) == ("session.created", "session.updated")
    assert updated.session.audio.input.transcription.model == "gpt-live-transcribe"
    assert finals(heard) == [("item_0", "Hello there."), ("item_1", "Good bye.")]
    assert [one.type for one in heard[:6]] == [
        "input_audio_buffer.speech_started",
        f"{KIND}.delta",
        f"{KIND}.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        f"{KIND}.completed",
    ]
    assert [one.delta for one in heard[1:3]] == ["Hello", " there."]
    assert (heard[0].audio_start_ms, heard[3].audio_end_ms) == (100, 1100)
    assert [one.previous_item_id for one in heard if one.type.endswith("committed")] == [
        None,
        "item_0",
    ]


def test_without_voice_detection_a_commit_ends_the_turn_and_an_empty_one_is_an_error() -> None:
    async def talk() -> list[Any]:
        async with connected() as connection:
            await update(connection, "gpt-realtime-whisper", turn_detection=None)
            await send(connection, 1.2)
            await connection.input_audio_buffer.commit()
            await connection.input_audio_buffer.commit()
            await send(connection, 0.8)
            await connection.input_audio_buffer.commit()
            return await until(connection, lambda one: "bye" in getattr(one, "transcript", ""))

    heard = asyncio.run(talk())
    assert finals(heard) == [("item_0", "Hello there."), ("item_1", "Good bye.")]
    errors = [one.error.code for one in heard if one.type == "error"]
    assert errors == ["input_audio_buffer_commit_empty"]
    assert not any("speech" in one.type for one in heard)


def test_a_refused_key() -> None:
    async def talk() -> None:
        async with connected(key="another"):
            pass

    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(talk())
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    ("asked", "options", "code", "words"),
    [
        ({}, {"faults": "error=1011@0.3"}, "server_error", "The server had an error"),
        (
            {"model": "gpt-realtime-whisper"},
            {},
            "invalid_request_error",
            "turn_detection must be null",
        ),
        (
            {"turn_detection": {"type": "semantic_vad"}},
            {},
            "invalid_request_error",
            "not one of server_vad",
        ),
        (
            {"format": {"type": "audio/pcm", "rate": 16000}},
            {},
            "invalid_request_error",
            "not between 24000 and 24000",
        ),
        ({}, {"max_duration": 0.2}, "session_expired", "maximum duration"),
    ],
)
def test_an_error_in_the_middle(
    asked: dict[str, Any], options: dict[str, Any], code: str, words: str
) -> None:
    async def talk() -> list[Any]:
        async with connected(**options) as connection:
            await update(connection, **asked)
            with contextlib.suppress(ConnectionClosed):
                await send(connection, 0.3)
            return await until(connection, lambda one: one.type == "error")

    *_, error = asyncio.run(talk())
    assert error.error.code == code
    assert words in error.error.message
