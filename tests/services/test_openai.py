"""OpenAI's protocol, and vLLM's, by hand: what events come to, and who is told which key."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

import pytest
from conftest import MakeClip, simulate, spoken
from doubles import speaking, talk

import rtkit
from rtkit.loopback.engines import Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.sending.stream import stream
from rtkit.services.endpoint import Closed
from rtkit.services.messages import Finalized, Other, Rejected, Reply, ServiceError, Turn
from rtkit.services.openai.client import DIALECT, VARIANTS, OpenAI
from rtkit.services.openai.server import Server
from rtkit.session import Session

KIND = "conversation.item.input_audio_transcription"


def read(*events: dict[str, Any], dialect: Any = DIALECT) -> list[Reply]:
    reader = dialect.reader(24000)
    return [reply for one in events for reply in reader.read(json.dumps(one))]


def delta(item: str, text: str) -> dict[str, Any]:
    return {"type": f"{KIND}.delta", "item_id": item, "delta": text}


def completed(item: str, text: str) -> dict[str, Any]:
    return {"type": f"{KIND}.completed", "item_id": item, "transcript": text}


def stopped(item: str, at: int) -> dict[str, Any]:
    return {"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": at}


def committed(item: str) -> dict[str, Any]:
    return {"type": "input_audio_buffer.committed", "item_id": item}


EMPTY = {
    "type": "error",
    "error": {"type": "x", "code": "input_audio_buffer_commit_empty", "message": "none"},
}


def test_deltas_are_added_up_and_items_may_be_completed_out_of_order() -> None:
    replies = read(
        delta("a", "Hel"),
        delta("a", "lo you"),
        stopped("a", 1500),
        committed("a"),
        stopped("b", 3000),
        committed("b"),
        delta("b", "Bye"),
        completed("b", "Bye."),
        completed("a", "Hello, you."),
    )
    turns = [one for one in replies if isinstance(one, Turn)]
    assert [(one.order, one.transcript, one.end_of_turn, one.heard) for one in turns] == [
        (0, "Hel", False, None),
        (0, "Hello you", False, None),
        (1, "Bye", False, None),
        (1, "Bye.", True, 3.0),
        (0, "Hello, you.", True, 1.5),
    ]
    assert [word.final for word in turns[1].words] == [True, False]
    assert {word.end for one in turns for word in one.words} == {None}
    assert turns[-1].cause == "silence"
    assert not any(isinstance(one, Finalized) for one in replies)  # nobody asked


@pytest.mark.parametrize(
    ("events", "settled"),
    [
        ([EMPTY], [0]),
        ([committed("a"), completed("a", "Hi.")], [1]),
        # An earlier item is still on its way: its completion answers for nothing.
        ([stopped("a", 9), committed("a"), EMPTY, completed("a", "Hi.")], [3]),
        (
            [
                *(stopped("a", 9), committed("a"), committed("b")),
                *(completed("a", "Hi."), completed("b", "")),
            ],
            [4],
        ),
        (
            [
                committed("a"),
                {"type": f"{KIND}.failed", "item_id": "a", "error": {"message": "no"}},
            ],
            [1],
        ),
        ([stopped("a", 9), committed("a"), completed("a", "Hi.")], []),
    ],
)
def test_all_is_settled_once_the_clients_own_commit_is(
    events: list[dict[str, Any]], settled: list[int]
) -> None:
    reader = DIALECT.reader(24000)
    replies = [reader.read(json.dumps(one)) for one in events]
    found = [i for i, some in enumerate(replies) if any(isinstance(one, Finalized) for one in some)]
    assert found == settled


def test_an_error_is_explained() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "Why?"}}
    (found,) = read(error)
    assert found == ServiceError(None, "invalid_request_error: Why?")
    assert rtkit.explain(error, dialect="openai").name == "bad input"
    (found,) = read({"type": "error", "error": "Full", "code": "buffer_full"}, dialect=VLLM)
    assert rtkit.explain(found, dialect="openai.vllm").name == "sent too fast"


VLLM = VARIANTS["vllm"]


def test_vllm_says_all_of_it_in_one_turn() -> None:
    replies = read(
        {"type": "session.created", "id": "s"},
        {"type": "transcription.delta", "delta": "Hello"},
        {"type": "transcription.delta", "delta": " you"},
        {"type": "transcription.done", "text": "Hello you."},
        {"type": "else"},
        dialect=VLLM,
    )
    turns = [one for one in replies if isinstance(one, Turn)]
    assert [(one.transcript, one.end_of_turn, one.cause) for one in turns] == [
        ("Hello", False, None),
        ("Hello you", False, None),
        ("Hello you.", True, "terminate"),
    ]
    assert isinstance(replies[-2], Finalized)
    assert isinstance(replies[-1], Other)


def test_a_vllm_server_needs_no_key_and_is_not_told_openais(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole session by the name that people give; 8 kHz become 16."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai-alone")
    script = spoken(("Hello", 0.05, 0.2), ("there.", 0.25, 0.4))
    clip = make_clip(0.6, reference=script)

    async def session() -> Any:
        async with speaking("openai.vllm", script=script, key=None) as host:
            service = OpenAI(host=f"ws://{host}", dialect="vllm")
            url, headers, opening = (await service.connect_info(16000)).reveal()
            assert (url, headers) == (f"ws://{host}/v1/realtime", {})
            assert [json.loads(one) for one in opening] == [
                {"type": "session.update", "model": service.model},
                {"type": "input_audio_buffer.commit"},
            ]
            return await stream(clip, service=service)

    found = asyncio.run(session())
    assert found.complete
    assert found.transcript == "Hello there."
    assert (found.settings.rate, found.settings.resampled_from) == (16000, 8000)
    assert found.ending.code == 1000


def test_a_recognizers_second_thoughts_take_nothing_back() -> None:
    """What was told stays, and the completed transcript has what was meant."""
    server = Server({}, "")
    states = ["Hello", "Hello their", "Hello there", "Hello there you"]
    deltas = []
    for text in states:
        words = read(delta("a", text))[0].words  # type: ignore[union-attr]
        for frame in server.write(Turn(0, text, words, end_of_turn=False)):
            deltas.append(frame["delta"])  # type: ignore[index]
    assert deltas == ["Hello", " their"]


@pytest.mark.parametrize(
    ("model", "detection"),
    [
        ("gpt-live-transcribe", {"type": "server_vad", "silence_duration_ms": 500}),
        ("gpt-realtime-whisper", None),
    ],
)
def test_the_key_goes_in_a_header_and_the_model_into_the_session(
    model: str, detection: object
) -> None:
    asked = {"transcription": {"language": "en"}}
    service = OpenAI("k" * 20, model=model, host="ws://127.0.0.1:1", parameters=asked)
    url, headers, (update,) = asyncio.run(service.connect_info(24000)).reveal()
    assert url == "ws://127.0.0.1:1/v1/realtime?intent=transcription"
    assert headers == {"Authorization": f"Bearer {'k' * 20}"}
    assert json.loads(update)["session"]["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": model, "language": "en"},
        "turn_detection": detection,
    }
    assert "k" * 20 not in repr(service) + update
    assert service.describe()["speech_model"] == model


@pytest.mark.parametrize("asked", [{"transcription": None}, {"model": 3}])
def test_what_openai_may_refuse_is_sent(asked: dict[str, Any]) -> None:
    service = OpenAI("k" * 20, host="ws://127.0.0.1:1", parameters=asked)
    _, _, (update,) = asyncio.run(service.connect_info(24000)).reveal()
    told = json.loads(update)["session"]["audio"]["input"]["transcription"]
    assert told == {"model": asked.get("model", "gpt-live-transcribe")}


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown dialect 'sglang'; one of 'openai', 'vllm'"):
        _ = OpenAI(dialect="sglang").speaks


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("{", "is not a message"),
        ({"type": "response.create"}, "not supported by the embedded service"),
        ({"type": "session.update", "session": {}}, "session.type is missing"),
        ({"type": "session.update", "session": {"type": "realtime"}}, "not one of transcription"),
        ({"type": "session.update", "session": {"type": "transcription"}}, "model is missing"),
        (
            {"type": "session.update", "session": {"type": "transcription", "audio": 7}},
            "'audio' is not an object",
        ),
        ({"type": "input_audio_buffer.append", "audio": "!"}, "not base64"),
        ({"type": "input_audio_buffer.append", "audio": "é"}, "not base64"),
        (
            {"type": "input_audio_buffer.append", "audio": base64.b64encode(b"123").decode()},
            "not whole samples",
        ),
        ({"type": "input_audio_buffer.append"}, "not base64|whole samples"),
    ],
)
def test_what_its_double_cannot_take_is_an_error_and_the_session_goes_on(
    event: Any, words: str
) -> None:
    server = Server({}, "")
    (rejected,) = server.read(event if isinstance(event, str) else json.dumps(event))
    assert isinstance(rejected, Rejected)
    (error,) = server.write(rejected)
    assert isinstance(error, dict)
    assert error["error"]["type"] == "invalid_request_error"
    assert re.search(words, error["error"]["message"])


class Misspoken:
    """A connection on which the client says something wrong, which the service may not forgive."""

    def __init__(self, connection: InMemoryConnection, *, forgives: bool) -> None:
        self._connection, self._forgives, self._chunks = connection, forgives, 0
        self.describe, self.close = connection.describe, connection.close
        self._over: asyncio.Event = asyncio.Event()

    async def send(self, frame: bytes | str) -> None:
        await self._connection.send(frame)
        self._chunks += "append" in str(frame)
        if self._chunks == 3:
            await self._connection.send('{"type": "response.create"}')

    async def recv(self) -> str:
        if self._over.is_set():
            raise Closed(1008)
        text = await self._connection.recv()
        if '"error"' in text and not self._forgives:
            self._over.set()
        return text


@pytest.mark.parametrize("forgives", [True, False])
def test_an_error_ends_a_session_only_if_the_service_does(
    make_clip: MakeClip, forgives: bool
) -> None:
    clip = make_clip(1.0, rate=24000, reference=spoken(("Hi.", 0.1, 0.3)))

    async def session() -> Session:
        connection = InMemoryConnection(
            lambda rate: Script(spoken(("Hi.", 0.1, 0.3)), rate), rate=24000, dialect="openai"
        )
        return await stream(clip, connection=Misspoken(connection, forgives=forgives))

    if forgives:
        found = simulate(session())
        assert found.complete
        assert found.transcript == "Hi."
        assert rtkit.explain(found).name == "complete"
    else:
        with pytest.raises(rtkit.StreamError, match=r"response\.create.*not supported") as failure:
            simulate(session())
        assert rtkit.explain(failure.value).name == "bad input"


def test_an_error_before_the_session_begins_ends_it() -> None:
    error = {"type": "invalid_request_error", "code": None, "message": "no"}
    (found,) = DIALECT.reader(24000).read(json.dumps({"type": "error", "error": error}))
    assert found == ServiceError(None, "invalid_request_error: no")


def test_a_session_waits_for_nothing_once_all_is_settled(make_clip: MakeClip) -> None:
    """The service does not close; so this side does, and at once."""
    session = simulate(talk(make_clip(0.5, reference=spoken(("Hi.", 0.1, 0.3))), "openai"))
    assert session.complete
    ends = {event.name: event.at for event in session.events}
    assert ends["closed"] - ends["terminate"] == pytest.approx(0.15)
