"""The vendors' own clients, and others, through one tap at the same time: byte for byte.

The bytes are taken on either side of the tap, by connections that know nothing of it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import websocket
from assemblyai.streaming.v3 import (
    AsyncRealTimeTranscriber,
    RealTimeParameters,
    RealTimeTranscriber,
    RealTimeTranscriberOptions,
    SpeechModel,
)
from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from doubles import SDK_RATE, SDK_SCRIPT, silence
from odd_endings import KILLED, try_them
from openai import AsyncOpenAI
from remains import linux, nothing_remains
from soniox import AsyncSonioxClient
from soniox.types.realtime import RealtimeSTTConfig
from speechmatics.rt import (
    AsyncClient,
    AudioEncoding,
    AudioFormat,
    ConversationConfig,
    TranscriptionConfig,
)
from websockets.exceptions import ConnectionClosed
from wires import Wire, frames, texts, wires

import rtkit
from rtkit.loopback.options import Options
from rtkit.loopback.server import serve_loopback
from rtkit.services.service import dialects, part_of
from rtkit.tap.tap import Tap

# What of websockets these use and websockets 17 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

KEY = "sesame-that-opens-17"
SECONDS, PATIENCE = 2.0, 60.0
Client = Callable[[str], Awaitable[object]]


async def paced(send: Callable[[bytes], Awaitable[object]], *, rate: int = SDK_RATE) -> None:
    for chunk in silence(SECONDS, rate=rate):
        await send(chunk)
        await asyncio.sleep(0.1)


async def rest(connection: Any) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.recv()


def assemblyai_options(host: str) -> tuple[RealTimeTranscriberOptions, RealTimeParameters]:
    options = RealTimeTranscriberOptions(
        api_host=f"ws://{host}",
        api_key=KEY,
        connect_timeout=PATIENCE,
        terminate_timeout=PATIENCE,
    )
    asked: dict[str, Any] = {"speech_model": SpeechModel.universal_streaming_english}
    return options, RealTimeParameters(sample_rate=SDK_RATE, **asked)


async def assemblyai_with_threads(host: str) -> None:
    options, asked = assemblyai_options(host)
    client = RealTimeTranscriber(options)
    await asyncio.to_thread(client.connect, asked)
    await paced(lambda chunk: asyncio.to_thread(client.stream, chunk))
    await asyncio.to_thread(client.disconnect, terminate=True)


async def assemblyai_with_coroutines(host: str) -> None:
    options, asked = assemblyai_options(host)
    async with AsyncRealTimeTranscriber(options) as client:
        await client.connect(asked)
        await paced(client.stream)


def deepgram(host: str) -> Any:
    ours = dict.fromkeys(("base", "agent_rest"), f"http://{host}")
    theirs = dict.fromkeys(("production", "agent"), f"ws://{host}")
    there = DeepgramClientEnvironment(**ours, **theirs)
    return AsyncDeepgramClient(api_key=KEY, environment=there).listen


async def deepgram_v1(host: str) -> None:
    how = {"encoding": "linear16", "sample_rate": str(SDK_RATE), "interim_results": "true"}
    async with deepgram(host).v1.connect(model="nova-3", endpointing="300", **how) as connection:
        await paced(connection.send_media)
        await connection.send_close_stream()
        await rest(connection)


async def deepgram_flux(host: str) -> None:
    how = {"encoding": "linear16", "sample_rate": str(SDK_RATE)}
    async with deepgram(host).v2.connect(model="flux-general-en", **how) as connection:
        await paced(connection.send_media)
        await connection.send_close_stream()
        await rest(connection)


async def soniox(host: str) -> None:
    config = RealtimeSTTConfig(
        model="stt-rt-v5",
        audio_format="pcm_s16le",
        sample_rate=SDK_RATE,
        num_channels=1,
        enable_endpoint_detection=True,
    )
    client = AsyncSonioxClient(api_key=KEY, websocket_base_url=f"ws://{host}/transcribe-websocket")
    async with client.realtime.stt.connect(config=config) as session:
        await paced(session.send_byte_chunk)
        await session.finish()
        async for _event in session.receive_events():
            pass


async def speechmatics(host: str) -> None:
    audio = AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=SDK_RATE)
    async with AsyncClient(api_key=KEY, url=f"ws://{host}/v2") as client:
        ends = ConversationConfig(end_of_utterance_silence_trigger=0.5)
        await client.start_session(
            transcription_config=TranscriptionConfig(language="en", conversation_config=ends),
            audio_format=audio,
        )
        await paced(client.send_audio)
        await client.stop_session()


async def openai(host: str) -> None:
    vad = {"type": "server_vad", "silence_duration_ms": 500}
    heard: dict[str, Any] = {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "gpt-live-transcribe"},
        "turn_detection": vad,
    }
    async with (
        AsyncOpenAI(api_key=KEY, websocket_base_url=f"ws://{host}/v1") as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        session: Any = {"type": "transcription", "audio": {"input": heard}}
        await connection.session.update(session=session)
        buffer = connection.input_audio_buffer
        await paced(lambda one: buffer.append(audio=base64.b64encode(one).decode()), rate=24000)
        await connection.input_audio_buffer.commit()
        while "bye" not in getattr(await connection.recv(), "transcript", ""):
            pass


async def websocket_client(host: str) -> None:
    """Which sends an Origin, and does not compress."""

    def session() -> None:
        client = websocket.create_connection(
            f"ws://{host}/v3/ws?sample_rate={SDK_RATE}",
            header={"Authorization": KEY},
            timeout=PATIENCE,
        )
        for chunk in silence(SECONDS):
            client.send_binary(chunk)
            time.sleep(0.1)
        client.send(json.dumps({"type": "Terminate"}))
        with contextlib.suppress(websocket.WebSocketConnectionClosedException):
            while client.recv():
                pass
        client.shutdown()  # type: ignore[no-untyped-call]

    await asyncio.to_thread(session)


async def rtkits_own(host: str) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=SECONDS)
    await rtkit.stream(clip, service=rtkit.AssemblyAI(key=KEY, host=f"ws://{host}"), chunk=0.1)


CLIENTS: dict[str, Client] = {
    one.__name__: one
    for one in (
        *(assemblyai_with_threads, assemblyai_with_coroutines, deepgram_v1, deepgram_flux),
        *(soniox, speechmatics, openai, websocket_client, rtkits_own),
    )
}


@contextlib.asynccontextmanager
async def services() -> AsyncIterator[Callable[[str], int]]:
    """The double of each vendor; by a path, whose port it is."""
    ports: dict[str, int] = {}
    async with contextlib.AsyncExitStack() as stack:
        for vendor in {one.partition(".")[0] for one in dialects()}:
            how = Options(protocol=vendor, script=SDK_SCRIPT, delay=0.0, max_speed=1e6, key=KEY)
            server = await stack.enter_async_context(serve_loopback(0, how))
            port = server.sockets[0].getsockname()[1]
            ports |= dict.fromkeys(part_of(vendor, "server").Server.PATHS, port)
        yield ports.__getitem__


class Seen:
    """Each client once without the tap and once through it, all at the same time."""

    def __init__(self, record: Path) -> None:
        self.record = record
        self.direct: dict[str, Wire] = {}
        self.tapped: dict[str, Wire] = {}
        self.behind: list[Wire] = []
        self.hosts: dict[str, str] = {}
        self.sessions: list[rtkit.Session] = []
        self.told: list[str] = []

    async def run(self) -> None:
        async with (
            asyncio.timeout(2 * PATIENCE),
            services() as port_for,
            wires(port_for) as (behind, self.behind),
            Tap(f"ws://{behind}", record=self.record, tell=self.told.append) as tap,
            asyncio.TaskGroup() as group,
        ):
            self.hosts["behind"] = behind
            port = int(tap.url.rpartition(":")[2])
            for name, client in CLIENTS.items():
                for kept, ports in ((self.direct, port_for), (self.tapped, lambda _: port)):
                    group.create_task(self._one(name, client, kept, ports))
        self.sessions = list(tap.sessions)

    async def _one(
        self,
        name: str,
        client: Client,
        kept: dict[str, Wire],
        port_for: Callable[[str], int],
    ) -> None:
        async with wires(port_for) as (host, made):
            await client(host)
        (kept[name],) = made
        if kept is self.tapped:
            self.hosts[name] = host


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    seen = Seen(tmp_path_factory.mktemp("record"))
    with nothing_remains():
        asyncio.run(seen.run())
    return seen


each = pytest.mark.parametrize("client", CLIENTS)


@each
def test_a_client_sends_the_same_frames_with_and_without_the_tap(seen: Seen, client: str) -> None:
    with_it, without = (list(frames(one[client].up)) for one in (seen.tapped, seen.direct))
    assert with_it == without
    assert len(with_it) >= 20


@each
def test_what_comes_out_of_the_tap_is_what_went_in_byte_for_byte(seen: Seen, client: str) -> None:
    """But for the host, in the head alone."""
    before = seen.tapped[client]
    (behind,) = (one for one in seen.behind if one.name == before.name)
    assert behind.down == before.down
    head, empty, rest = bytes(before.up).partition(b"\r\n\r\n")
    host, host_behind = (seen.hosts[one].encode() for one in (client, "behind"))
    assert behind.up == head.replace(host, host_behind) + empty + rest


@each
def test_its_session_is_complete(seen: Seen, client: str) -> None:
    """Every chunk and message is in it, and its latency is known."""
    said = texts(seen.tapped[client].down)
    (session,) = (one for one in seen.sessions if [m.text for m in one.messages] == said)
    assert session.complete, session.ending
    rate = session.settings.rate
    assert [one.stop - one.start for one in session.chunks] == [rate // 10] * 20
    turns = rtkit.turn_latency(session)
    assert session.transcript.lower().startswith("hello there")
    (line,) = (one for one in seen.told if f"{session.settings.recording}: " in one)
    if client != "openai":  # which does not say when a word was spoken
        assert np.isfinite(turns.latency).any()
        assert "turn latency p50" in line
    assert "failed" not in line


def test_all_is_in_files_and_no_key(seen: Seen) -> None:
    kept = [rtkit.load_session(file) for file in seen.record.iterdir()]
    assert sorted(one.started for one in kept) == sorted(one.started for one in seen.sessions)
    assert len(kept) == len(CLIENTS) == len(seen.told) // 2
    for text in (*seen.told, *(file.read_text() for file in seen.record.iterdir())):
        assert KEY not in text


def test_the_embedded_service_speaks_to_each_client_by_its_path() -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=0.5)

    async def run() -> Tap:
        async with Tap("embedded") as tap:
            there: dict[str, Any] = {"key": KEY, "host": tap.url}
            await asyncio.gather(
                rtkit.stream(clip, service=rtkit.Deepgram(**there)),
                rtkit.stream(clip, service=rtkit.Soniox(**there)),
            )
        return tap

    sessions = asyncio.run(run()).sessions
    assert {one.settings.dialect for one in sessions} == {"deepgram", "soniox"}
    assert all(one.complete for one in sessions)
    assert {one.settings.service["name"] for one in sessions} == {"embedded"}


@linux
def test_whoever_goes_at_an_odd_moment_leaves_files_that_can_be_read(tmp_path: Path) -> None:
    """``tests/whole/odd_endings.py`` tries more of them."""
    with nothing_remains():
        found = asyncio.run(try_them(6, 1, tmp_path))
    assert found["cut off"] + found["killed before anything was written"] == KILLED
    assert "complete" not in found
