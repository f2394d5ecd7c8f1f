"""The official deepgram-sdk in whole sessions with the embedded service, v1 and Flux."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from doubles import KEY, SDK_RATE, silence, speaking
from websockets.exceptions import ConnectionClosed

# What of websockets the SDK uses and websockets 17 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:websockets.* is deprecated:DeprecationWarning")

PATIENCE = 30.0


def client(host: str, key: str = KEY) -> AsyncDeepgramClient:
    ours = dict.fromkeys(("base", "agent_rest"), f"http://{host}")
    theirs = dict.fromkeys(("production", "agent"), f"ws://{host}")
    return AsyncDeepgramClient(api_key=key, environment=DeepgramClientEnvironment(**ours, **theirs))


def v1(host: str, key: str = KEY, **asked: Any) -> Any:
    how = {"interim_results": "true", "endpointing": "300", **asked}
    return client(host, key).listen.v1.connect(
        model="nova-3", encoding="linear16", sample_rate=str(SDK_RATE), **how
    )


def flux(host: str, **asked: Any) -> Any:
    return client(host).listen.v2.connect(
        model="flux-general-en", encoding="linear16", sample_rate=str(SDK_RATE), **asked
    )


async def until(connection: Any, true: Any) -> list[Any]:
    """What the client is told up to a message of which it is true, or to the end."""
    heard: list[Any] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                heard.append(await connection.recv())
            except ConnectionClosed as closed:
                heard.append(closed.rcvd)
                return heard
            if true(heard[-1]):
                return heard


def text(result: Any) -> str:
    return str(result.channel.alternatives[0].transcript)


def never(_: object) -> bool:
    return False


@pytest.mark.usefixtures("way")
def test_v1_from_the_first_interim_to_the_metadata() -> None:
    async def session() -> tuple[list[Any], list[Any]]:
        asked = {"smart_format": "true", "vad_events": "true", "utterance_end_ms": "1000"}
        async with speaking("deepgram") as host, v1(host, **asked) as connection:
            await connection.send_keep_alive()
            for chunk in silence(1.8):
                await connection.send_media(chunk)
            await connection.send_finalize()
            said = await until(connection, lambda one: getattr(one, "from_finalize", False))
            for chunk in silence(1.5):
                await connection.send_media(chunk)
            await connection.send_close_stream()
            return said, await until(connection, never)

    said, rest = asyncio.run(session())
    results = [one for one in said if one.type == "Results"]
    assert [(text(one), one.is_final, one.speech_final) for one in results] == [
        ("Hello", False, False),
        ("Hello there.", False, False),
        ("Hello there.", True, True),
        ("Good", False, False),
        ("Good", True, False),
    ]
    assert [(one.start, one.duration) for one in results[2:]] == [
        (0.0, pytest.approx(0.9)),
        (pytest.approx(0.9), pytest.approx(0.7)),
        (pytest.approx(0.9), pytest.approx(0.9)),
    ]
    word = results[1].channel.alternatives[0].words[1]
    assert (word.word, word.punctuated_word, word.start, word.end) == ("there", "there.", 0.35, 0.6)
    started = [one.timestamp for one in said if one.type == "SpeechStarted"]
    assert started == [0.1, 1.3]
    *late, metadata, close = rest
    assert [text(one) for one in late if one.type == "Results" and one.is_final] == ["bye.", ""]
    assert [one.last_word_end for one in late if one.type == "UtteranceEnd"] == [1.9]
    assert (metadata.type, metadata.duration) == ("Metadata", pytest.approx(3.3))
    assert close.code == 1000


@pytest.mark.usefixtures("way")
def test_flux_from_the_start_of_a_turn_to_its_end() -> None:
    async def session() -> list[Any]:
        asked = {"eot_timeout_ms": "1000", "eager_eot_threshold": "0.4"}
        async with speaking("deepgram") as host, flux(host, **asked) as connection:
            for chunk in silence(2.0):
                await connection.send_media(chunk)
            await connection.send_force_end_turn()
            heard = await until(connection, lambda one: getattr(one, "trigger", "") == "manual")
            await connection.send_close_stream()
            return heard + await until(connection, never)

    connected, *turns, close = asyncio.run(session())
    assert (connected.type, connected.sequence_id) == ("Connected", 0)
    assert connected.request_id
    assert [(one.turn_index, one.event, one.transcript) for one in turns] == [
        (0, "StartOfTurn", "Hello"),
        (0, "Update", "Hello there."),
        (0, "EagerEndOfTurn", "Hello there."),
        (0, "EndOfTurn", "Hello there."),
        (1, "StartOfTurn", "Good"),
        (1, "Update", "Good bye."),
        (1, "EndOfTurn", "Good bye."),
    ]
    assert [one.trigger for one in turns if one.event == "EndOfTurn"] == ["model", "manual"]
    assert [one.sequence_id for one in turns] == list(range(1, 8))
    assert turns[3].audio_window_end == pytest.approx(0.9)
    assert [(word.word, word.start) for word in turns[1].words] == [
        ("Hello", 0.1),
        ("there.", 0.35),
    ]
    assert close.code == 1000


@pytest.mark.parametrize(
    ("key", "asked", "status"),
    [
        ("another", {}, 401),
        (KEY, {"diarize": "true"}, 400),
        (KEY, {"utterance_end_ms": "1500"}, 400),
    ],
)
def test_a_refusal_comes_as_an_http_status(key: str, asked: dict[str, str], status: int) -> None:
    """The client keeps nothing of its words."""

    async def session() -> None:
        async with speaking("deepgram") as host, v1(host, key, **asked):
            pass

    with pytest.raises(ApiError) as failure:
        asyncio.run(session())
    assert failure.value.status_code == status


def test_flux_takes_nothing_of_v1() -> None:
    async def session() -> None:
        async with (
            speaking("deepgram") as host,
            client(host).listen.v2.connect(
                model="nova-3", encoding="linear16", sample_rate=str(SDK_RATE)
            ),
        ):
            pass

    with pytest.raises(ApiError) as failure:
        asyncio.run(session())
    assert failure.value.status_code == 400


@pytest.mark.parametrize("connect", [v1, flux])
def test_an_error_in_the_middle(connect: Any) -> None:
    async def session() -> list[Any]:
        async with speaking("deepgram", faults="error@0.5") as host, connect(host) as connection:
            for chunk in silence(0.5):
                await connection.send_media(chunk)
            return await until(connection, never)

    *_, error, close = asyncio.run(session())
    assert error.type == "Error"
    assert error.description == "The service failed"
    assert close.code == 1011
    assert close.reason.startswith("NET-0000")


def test_silence_on_the_line_is_a_net_0001(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtkit.services.deepgram.server.SILENT", 0.2)

    async def session() -> list[Any]:
        async with speaking("deepgram") as host, v1(host) as connection:
            return await until(connection, never)

    error, close = asyncio.run(session())
    assert error.variant == "NET-0001"
    assert (close.code, close.reason[:8]) == (1011, "NET-0001")
