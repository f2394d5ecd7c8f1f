"""The official soniox client in whole sessions with the embedded service."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from doubles import KEY, SDK_RATE, silence, speaking
from soniox import AsyncSonioxClient
from soniox.errors import SonioxRealtimeError
from soniox.types.realtime import RealtimeSTTConfig


@contextlib.asynccontextmanager
async def connected(
    asked: dict[str, Any] | None = None, key: str = KEY, **options: Any
) -> AsyncIterator[Any]:
    how = {"enable_endpoint_detection": True, "max_endpoint_delay_ms": 500, **(asked or {})}
    config = RealtimeSTTConfig(
        model="stt-rt-v5",
        audio_format="pcm_s16le",
        sample_rate=SDK_RATE,
        num_channels=1,
        **how,
    )
    async with speaking("soniox", **options) as host:
        url = f"ws://{host}/transcribe-websocket"
        client = AsyncSonioxClient(api_key=key, websocket_base_url=url)
        async with client.realtime.stt.connect(config=config) as session:
            yield session


async def rest(session: Any) -> list[Any]:
    async with asyncio.timeout(30):
        return [event async for event in session.receive_events()]


def said(event: Any) -> list[tuple[str, bool]]:
    return [(token.text, token.is_final) for token in event.tokens]


@pytest.mark.usefixtures("way")
def test_a_session_from_the_first_token_to_finished() -> None:
    async def talk() -> list[Any]:
        async with connected() as session:
            await session.keep_alive()
            await session.send_byte_chunk(b"")  # which the real service passes over
            for chunk in silence(2.0):
                await session.send_byte_chunk(chunk)
            await session.finish()
            return await rest(session)

    *events, last = asyncio.run(talk())
    assert [said(event) for event in events] == [
        [("Hell", False), ("o", False)],
        [("Hell", True), ("o", True), (" ther", False), ("e.", False)],
        [(" ther", True), ("e.", True), ("<end>", True)],
        [(" Good", False)],
        [(" Good", True), (" bye.", False)],
        [(" bye.", True)],
    ]
    assert [token.end_ms for token in events[1].tokens] == [200, 300, 475, 600]
    assert [event.total_audio_proc_ms for event in events] == [300, 600, 1100, 1600, 1900, 2000]
    assert events[2].final_audio_proc_ms == 600
    assert last.finished
    assert last.total_audio_proc_ms == 2000


def test_finalize_settles_what_is_open_and_the_session_goes_on() -> None:
    async def talk() -> list[Any]:
        async with connected() as session:
            for chunk in silence(0.4):
                await session.send_byte_chunk(chunk)
            await session.finalize()
            for chunk in silence(1.6):
                await session.send_byte_chunk(chunk)
            await session.finish()
            return await rest(session)

    texts = ["".join(text for text, _ in said(event)) for event in asyncio.run(talk())]
    assert texts[:3] == ["Hello", "Hello", "<fin>"]
    assert texts[3:5] == [" there.", " there.<end>"]


def test_a_refused_key() -> None:
    async def talk() -> None:
        async with connected(key="another"):
            pass

    with pytest.raises(SonioxRealtimeError):
        asyncio.run(talk())


@pytest.mark.parametrize(
    ("asked", "options", "code", "words"),
    [
        ({}, {"faults": "error=503@0.3"}, 503, "Cannot continue request"),
        ({"endpoint_sensitivity": 0.5}, {}, 400, "does not implement 'endpoint_sensitivity'"),
        ({}, {"max_duration": 0.2}, 503, "Please restart the request"),
    ],
)
def test_an_error_in_the_middle(
    asked: dict[str, Any], options: dict[str, Any], code: int, words: str
) -> None:
    async def talk() -> list[Any]:
        async with connected(asked, **options) as session:
            with contextlib.suppress(SonioxRealtimeError):  # it may be closed already
                for chunk in silence(0.3):
                    await session.send_byte_chunk(chunk)
            return await rest(session)

    *_, error = asyncio.run(talk())
    assert error.error_code == code
    assert words in error.error_message
