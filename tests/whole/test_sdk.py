"""The official Python SDK, its threads and its coroutines, in sessions with the embedded service.

It takes a plain ``ws://`` host as `api_host`; nothing of it is patched for sessions. Only its
requests for tokens always go to https: there its HTTP client is given another address.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from assemblyai.streaming.v3 import (
    AsyncRealTimeTranscriber,
    BeginEvent,
    Encoding,
    RealTimeError,
    RealTimeEvents,
    RealTimeParameters,
    RealTimeSessionParameters,
    RealTimeTranscriber,
    RealTimeTranscriberOptions,
    SilenceEvent,
    SpeechModel,
    SpeechStartedEvent,
    TerminationEvent,
    TurnEvent,
)
from conftest import spoken

from rtkit.loopback.process import Loopback

# What of websockets the SDK uses and websockets 17 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:connect.. must be used as a context manager:DeprecationWarning",
    "ignore:ConnectionClosed.code is deprecated:DeprecationWarning",
    "ignore:ConnectionClosed.reason is deprecated:DeprecationWarning",
)

RATE = 8000
KEY = "sesame"
PATIENCE = 30.0  # for what must come, however busy the machine is
SCRIPT = spoken(("Hello", 0.1, 0.3), ("there.", 0.35, 0.6), ("Good", 1.3, 1.6), ("bye.", 1.6, 1.9))
ALL = RealTimeEvents.__members__.values()

Call = tuple[str, Any]  # a method of the client, and its argument


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    """Hears as fast as it is spoken to: the SDK does not pace."""
    service = Loopback(script=SCRIPT, delay=0.0, max_speed=1e6, key=KEY)
    asyncio.run(service.connect_info(RATE))
    yield service
    service.close()


@pytest.fixture(autouse=True)
def straight(monkeypatch: pytest.MonkeyPatch) -> None:
    """To this host without a proxy, whatever the environment says."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def host(service: Loopback, scheme: str = "ws") -> str:
    assert service.url is not None
    return f"{scheme}://{urlsplit(service.url).netloc}"


def options(service: Loopback, **credential: Any) -> RealTimeTranscriberOptions:
    return RealTimeTranscriberOptions(
        api_host=host(service),
        connect_timeout=PATIENCE,
        terminate_timeout=PATIENCE,
        **(credential or {"api_key": KEY}),
    )


def parameters(**more: Any) -> RealTimeParameters:
    model = SpeechModel.universal_streaming_english
    return RealTimeParameters(**{"sample_rate": RATE, "speech_model": model, **more})


def by_threads(options: RealTimeTranscriberOptions, calls: Sequence[Call]) -> list[Any]:
    """What the client with threads tells of a session in which these of its methods are called."""
    client, heard = RealTimeTranscriber(options), []
    for event in ALL:
        client.on(event, lambda _, message: heard.append(message))
    for name, argument in calls:
        getattr(client, name)(*([] if argument is None else [argument]))
    client.disconnect(terminate=True)
    return heard


def by_coroutines(options: RealTimeTranscriberOptions, calls: Sequence[Call]) -> list[Any]:
    heard: list[Any] = []

    async def session() -> None:
        async with AsyncRealTimeTranscriber(options) as client:
            for event in ALL:
                client.on(event, lambda _, message: heard.append(message))
            for name, argument in calls:
                await getattr(client, name)(*([] if argument is None else [argument]))

    asyncio.run(session())
    return heard


both = pytest.mark.parametrize("talk", [by_threads, by_coroutines], ids=["threads", "coroutines"])


def silence(seconds: float, *, chunk: float = 0.1, width: int = 2) -> Call:
    return "stream", [bytes(round(chunk * RATE) * width)] * round(seconds / chunk)


def turns(heard: list[Any]) -> list[TurnEvent]:
    return [event for event in heard if isinstance(event, TurnEvent)]


def finals(heard: list[Any]) -> list[tuple[int, str]]:
    return [(turn.turn_order, turn.transcript) for turn in turns(heard) if turn.end_of_turn]


def error(heard: list[Any]) -> tuple[int | None, str]:
    """The error, of which the client is told once."""
    errors = [event for event in heard if isinstance(event, RealTimeError)]
    assert len(errors) == 1
    return errors[0].code, str(errors[0])


@both
def test_a_session_from_begin_to_termination(talk: Any, service: Loopback) -> None:
    heard = talk(options(service), [("connect", parameters()), silence(2.5)])
    begin, *said, end = heard
    assert isinstance(begin, BeginEvent)
    assert begin.expires_at.timestamp() == pytest.approx(time.time() + 10800, abs=PATIENCE)
    assert begin.configuration is not None
    assert begin.configuration.model == "universal-streaming-english"
    assert turns(heard) == said
    assert finals(heard) == [(0, "hello there"), (1, "good bye"), (2, "")]
    first = [turn.transcript for turn in said if turn.turn_order == 0]
    assert first == ["", "hello", "hello there"]
    assert [(word.start, word.end) for word in said[1].words] == [(100, 300), (350, 600)]
    assert isinstance(end, TerminationEvent)
    assert end.audio_duration_seconds == 2
    assert end.session_duration_seconds is not None
    assert 1 <= end.session_duration_seconds <= PATIENCE


@both
def test_force_endpoint_ends_the_turn_in_the_middle(talk: Any, service: Loopback) -> None:
    heard = talk(
        options(service),
        [("connect", parameters()), silence(0.4), ("force_endpoint", None), silence(2.0)],
    )
    assert finals(heard) == [(0, "hello"), (1, "there"), (2, "good bye"), (3, "")]


@both
def test_the_configuration_changes_in_the_middle(talk: Any, service: Loopback) -> None:
    change = RealTimeSessionParameters(format_turns=True, min_turn_silence=900)
    heard = talk(
        options(service),
        [
            ("connect", parameters(keyterms_prompt=["Hello", "bye"], include_partial_turns=False)),
            silence(0.4),
            ("set_params", change),
            ("keep_alive", None),
            silence(2.1),
        ],
    )
    # 0.7 s of silence between them are not enough any more.
    assert finals(heard) == [(0, "Hello there. Good bye.")]
    assert turns(heard) == [turn for turn in turns(heard) if turn.turn_is_formatted]


@both
def test_mu_law_and_a_short_tail(talk: Any, service: Loopback) -> None:
    asked = parameters(encoding=Encoding.pcm_mulaw, format_turns=True)
    heard = talk(
        options(service),
        [("connect", asked), silence(1.0, width=1), ("stream", bytes(RATE * 30 // 1000))],
    )
    assert finals(heard) == [(0, "Hello there."), (1, "")]
    assert isinstance(heard[-1], TerminationEvent)


@both
def test_newer_models_say_that_speech_started(talk: Any, service: Loopback) -> None:
    asked = parameters(speech_model=SpeechModel.u3_rt_pro)
    heard = talk(options(service), [("connect", asked), silence(2.5)])
    assert finals(heard) == [(0, "Hello there."), (1, "Good bye.")]
    started = [event.timestamp for event in heard if isinstance(event, SpeechStartedEvent)]
    assert started == [100, 1300]


@both
def test_silence_is_acknowledged_to_who_asks(talk: Any, service: Loopback) -> None:
    asked = parameters(speech_model=SpeechModel.universal_3_5_pro, acknowledge_silence=True)
    heard = talk(options(service), [("connect", asked), silence(4.0)])
    told = [(event.start_ms, event.end_ms) for event in heard if isinstance(event, SilenceEvent)]
    assert told == [(1900, 2900), (2900, 3900)]


@both
@pytest.mark.parametrize(
    ("credential", "told"),
    [
        ({"api_key": "another"}, "Invalid API key"),
        ({"api_key": f"Bearer {KEY}"}, "Invalid API key"),
        ({"token": "another"}, "Invalid API key"),
    ],
)
def test_a_refused_key(talk: Any, service: Loopback, credential: dict[str, str], told: str) -> None:
    heard = talk(options(service, **credential), [("connect", parameters())])
    assert error(heard) == (1008, f"Unauthorized Connection: {told}")
    assert len(heard) == 1


@both
@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ([2000], "2000.0 ms"),
        ([100, 20, 20], "20.0 ms"),
    ],
)
def test_a_chunk_out_of_bounds_is_a_3007(
    talk: Any, service: Loopback, chunks: list[int], told: str
) -> None:
    audio = [bytes(2 * RATE * length // 1000) for length in chunks]
    heard = talk(options(service), [("connect", parameters()), ("stream", audio)])
    code, text = error(heard)
    assert code == 3007
    assert text.endswith(f"Input Duration Violation: {told}. Expected between 50 and 1000 ms")
    assert isinstance(heard[0], BeginEvent)
    assert not any(isinstance(event, TerminationEvent) for event in heard)


@both
def test_audio_sent_too_fast_is_a_3007(talk: Any) -> None:
    """By a service that hears no faster than the real one, and has less patience."""
    service = Loopback(backlog=2.0)
    try:
        asyncio.run(service.connect_info(RATE))
        heard = talk(options(service), [("connect", parameters()), silence(10.0)])
    finally:
        service.close()
    code, text = error(heard)
    assert code == 3007
    assert "Audio Transmission Rate Exceeded: Received 2." in text


@both
def test_a_parameter_out_of_range_is_a_3006(talk: Any, service: Loopback) -> None:
    heard = talk(options(service), [("connect", parameters(vad_threshold=2.0))])
    code, text = error(heard)
    assert code == 3006
    assert "Invalid 'vad_threshold': 2.0 is not between 0 and 1" in text


def token_by_threads(service: Loopback, key: str, **asked: int) -> str:
    client = RealTimeTranscriber(options(service, api_key=key))
    http = client._client._http_client
    http.base_url = host(service, "http")
    with http:
        return client.create_temporary_token(**asked)


def token_by_coroutines(service: Loopback, key: str, **asked: int) -> str:
    async def ask() -> str:
        client = AsyncRealTimeTranscriber(options(service, api_key=key))
        http = client._client._get_or_create_client()
        http.base_url = host(service, "http")
        async with http:
            return await client.create_temporary_token(**asked)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("talk", "mint"),
    [(by_threads, token_by_threads), (by_coroutines, token_by_coroutines)],
    ids=["threads", "coroutines"],
)
def test_a_temporary_token_opens_sessions(talk: Any, mint: Any, service: Loopback) -> None:
    token = mint(service, KEY, expires_in_seconds=60, max_session_duration_seconds=120)
    for _ in range(2):  # as the real one does, although its documents say once
        heard = talk(options(service, token=token), [("connect", parameters()), silence(0.2)])
        assert isinstance(heard[-1], TerminationEvent)
        assert heard[0].expires_at.timestamp() == pytest.approx(time.time() + 120, abs=PATIENCE)


@pytest.mark.parametrize("mint", [token_by_threads, token_by_coroutines])
@pytest.mark.parametrize(("key", "seconds", "status"), [(KEY, 0, 422), ("another", 60, 401)])
def test_a_refused_token(mint: Any, service: Loopback, key: str, seconds: int, status: int) -> None:
    with pytest.raises(Exception, match=str(status)):
        mint(service, key, expires_in_seconds=seconds)
