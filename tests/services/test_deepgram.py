"""Deepgram's protocols by hand: what its messages come to, and what its double makes of rules."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from conftest import MakeClip, simulate, spoken
from doubles import KEY, speaking, talk
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

import rtkit
from rtkit.loopback.conversation import Behavior, Conversation, Say
from rtkit.loopback.engines import Energy
from rtkit.sending.stream import stream
from rtkit.services.deepgram.client import DIALECT, VARIANTS, Deepgram
from rtkit.services.deepgram.server import Server
from rtkit.services.messages import (
    Configure,
    Finalized,
    Other,
    Refusal,
    Reply,
    Rules,
    ServiceError,
    Termination,
    Turn,
)

FLUX = VARIANTS["flux"]


def results(*words: str, start: float = 0.0, last: float = 1.0, **flags: bool) -> dict[str, Any]:
    said = [
        {"word": word, "start": start + i / 10, "end": start + i / 10 + 0.1, "confidence": 0.9}
        for i, word in enumerate(words)
    ]
    best = {"transcript": " ".join(words), "confidence": 0.9, "words": said}
    return {
        "type": "Results",
        "start": start,
        "duration": last - start,
        "channel": {"alternatives": [best]},
        **flags,
    }


def read(*messages: dict[str, Any]) -> list[Reply]:
    reader = DIALECT.reader(16000)
    return [reply for one in messages for reply in reader.read(json.dumps(one))]


def told(replies: list[Reply]) -> list[tuple[int, str, bool, float | None, str | None]]:
    turns = [one for one in replies if isinstance(one, Turn)]
    return [(one.order, one.transcript, one.end_of_turn, one.heard, one.cause) for one in turns]


def test_segments_are_folded_into_turns() -> None:
    closed = {"is_final": True}
    replies = read(
        results("good"),
        results("good", "morning", last=1.5),
        results("good", "morning", last=2.0, **closed),
        results("how", start=2.0, last=2.5),
        results("how", "are", start=2.0, last=3.0, **closed),
        results(start=3.0, last=3.5, speech_final=True, **closed),
        results(start=3.5, last=4.0),
        results("bye", start=4.0, last=5.0, speech_final=True, **closed),
    )
    assert told(replies) == [
        (0, "good", False, 1.0, None),
        (0, "good morning", False, 1.5, None),
        (0, "good morning", False, 2.0, None),
        (0, "good morning how", False, 2.5, None),
        (0, "good morning how are", False, 3.0, None),
        (0, "good morning how are", True, 3.5, "silence"),
        (1, "bye", True, 5.0, "silence"),
    ]
    assert [one.final for one in replies[3].words] == [True, True, False]  # type: ignore[union-attr]
    assert isinstance(replies[6], Other)


def test_what_was_guessed_behind_a_closed_segment_still_stands() -> None:
    replies = read(
        results("good", "morning", "how", last=1.0),
        results("good", "morning", last=0.2, is_final=True),
        results("how", start=0.2, last=1.2),
        results("who", start=0.2, last=1.4, is_final=True),
    )
    assert [turn[1] for turn in told(replies)] == [
        "good morning how",
        "good morning how",
        "good morning how",
        "good morning who",
    ]


def test_what_ends_a_turn_besides_an_endpoint() -> None:
    closed, gap = {"is_final": True}, {"type": "UtteranceEnd", "last_word_end": 1.0}
    assert told(read(results("a", **closed), gap, gap)) == [
        (0, "a", False, 1.0, None),
        (0, "a", True, None, "silence"),
    ]
    # Finalize, with something open and with nothing, and neither answers for CloseStream.
    *_, over, done = read(results("a", from_finalize=True, **closed))
    assert isinstance(over, Turn)
    assert (over.end_of_turn, over.cause) == (True, "force_endpoint")
    assert isinstance(done, Finalized)
    assert [type(one) for one in read(results(from_finalize=True, **closed))] == [Finalized]
    last = read(results("a", **closed), {"type": "Metadata", "duration": 1.0})
    assert told(last)[-1] == (0, "a", True, None, "terminate")
    assert isinstance(last[-1], Termination)


@pytest.mark.parametrize(
    ("message", "text", "name"),
    [
        (
            {"type": "Error", "variant": "NET-0001", "description": "late", "message": "so"},
            "NET-0001: late: so",
            "idle",
        ),
        (
            {"type": "Error", "code": "INTERNAL_SERVER_ERROR", "description": "oh"},
            "INTERNAL_SERVER_ERROR: oh",
            "service fault",
        ),
    ],
)
def test_errors_of_both_protocols(message: dict[str, Any], text: str, name: str) -> None:
    (error,) = read(message)
    assert error == ServiceError(1011, text)
    assert rtkit.explain(message, dialect="deepgram").name == name


def test_flux_need_not_time_its_words() -> None:
    def info(event: str, end: float, **more: Any) -> dict[str, Any]:
        words = [{"word": "Hi.", "confidence": 0.9}]
        how = {"turn_index": 3, "transcript": "Hi.", "words": words, "end_of_turn_confidence": 0.5}
        return {"type": "TurnInfo", "event": event, "audio_window_end": end, **how, **more}

    replies = read(
        info("StartOfTurn", 0.2),
        info("EagerEndOfTurn", 0.4),
        info("TurnResumed", 0.5),
        info("EndOfTurn", 1.0, trigger="something new"),
        {"type": "Warning", "code": "X"},
    )
    assert told(replies) == [
        (3, "Hi.", False, 0.2, None),
        (3, "Hi.", False, 0.4, None),
        (3, "Hi.", False, 0.5, None),
        (3, "Hi.", True, 1.0, "silence"),
    ]
    assert [one.eager for one in replies[:4]] == [False, True, False, False]  # type: ignore[union-attr]
    assert replies[0].words[0].start is None  # type: ignore[union-attr]
    assert isinstance(replies[4], Other)


def rules(path: str, **asked: Any) -> Rules:
    query = {"encoding": "linear16", "sample_rate": "16000", **asked}
    (said,) = Server(query, path).open()
    assert isinstance(said, Configure)
    return said.rules


@pytest.mark.parametrize(
    ("asked", "silence", "partials"),
    [
        ({}, 0.01, False),
        ({"endpointing": "true", "interim_results": "true"}, 0.01, True),
        ({"endpointing": "700"}, 0.7, False),
        ({"endpointing": "false"}, float("inf"), False),
        (
            {"endpointing": "false", "interim_results": "true", "utterance_end_ms": "1700"},
            1.7,
            True,
        ),
    ],
)
def test_which_silence_ends_a_turn(asked: dict[str, str], silence: float, partials: bool) -> None:
    found = rules("/v1/listen", model="nova-3", **asked)
    assert (found.min_silence, found.max_silence) == (silence, silence)
    assert found.partials is partials


@pytest.mark.parametrize(
    ("path", "asked", "words"),
    [
        ("/v1/listen", {"encoding": "opus"}, "not one of linear16, mulaw"),
        ("/v1/listen", {"sample_rate": "4000"}, "not between 8000 and 48000"),
        ("/v1/listen", {"channels": "2"}, "'channels'"),
        ("/v1/listen", {"utterance_end_ms": "1000"}, "needs interim_results"),
        ("/v1/listen", {"model": "flux-general-en"}, "at another path"),
        ("/v2/listen", {"model": "nova-3"}, "at another path"),
        *(
            ("/v2/listen", {name: "1"}, f"'{name}' is not known at /v2/listen")
            for name in ("endpointing", "smart_format", "diarize", "channels", "language")
        ),
        ("/v2/listen", {"eot_threshold": "0.2"}, "not between 0.5 and 1"),
        ("/v2/listen", {"eot_timeout_ms": "100"}, "not between 500 and 60000"),
    ],
)
def test_what_cannot_be_asked_for_is_a_400(path: str, asked: dict[str, str], words: str) -> None:
    model = "flux-general-en" if path == "/v2/listen" else "nova-3"
    with pytest.raises(Refusal, match=words) as refused:
        rules(path, **{"model": model, **asked})
    assert refused.value.code == 400
    assert rtkit.explain(400, refused.value.text, dialect="deepgram").name == "bad input"


V1 = {"model": "nova-3", "encoding": "linear16", "sample_rate": "8000"}
V2 = {**V1, "model": "flux-general-en"}


@pytest.mark.parametrize(
    ("path", "query", "message", "kind", "told"),
    [
        ("/v1/listen", V1, {"keyterms": ["rtkit"]}, "Success", {"keyterms": ["rtkit"]}),
        ("/v1/listen", V1, {"features": {"smart_format": True}}, "Success", {"keyterms": []}),
        ("/v1/listen", V1, {"features": 7}, "Failure", {"code": "CONFIGURE_INTERNAL_ERROR"}),
        ("/v1/listen", V1, {"features": {"diarize": True}}, "Failure", {}),
        (
            "/v2/listen",
            V2,
            {"thresholds": {"eot_timeout_ms": 700, "eot_threshold": None}},
            "Success",
            {"thresholds": {"eot_timeout_ms": 700}, "keyterms": [], "sequence_id": 1},
        ),
        ("/v2/listen", V2, {"thresholds": {"eot_threshold": 0.2}}, "Failure", {"sequence_id": 1}),
    ],
)
def test_what_is_configured_in_the_middle_is_answered_and_the_session_goes_on(
    path: str, query: dict[str, str], message: Any, kind: str, told: dict[str, Any]
) -> None:
    talk = Conversation(
        Server(query, path), engine=Energy, behavior=Behavior(), now=0, session_id="s", expires_at=0
    )
    talk.take(0)
    talk.receive(json.dumps({"type": "Configure", **message}), 1)
    (said,) = [json.loads(one.text) for one in talk.take(1) if isinstance(one, Say)]
    assert said["type"] == f"Configure{kind}"
    assert said["request_id"] == "s"
    assert {name: said[name] for name in told} == told
    assert not talk.closed
    assert talk.rules is not None
    assert talk.rules.max_silence == (0.7 if "thresholds" in told else talk.rules.max_silence)
    assert talk.rules.format_turns is (path == "/v2/listen" or "smart_format" in str(message))


def test_flux_tells_what_ended_a_turn(make_clip: MakeClip) -> None:
    """Its model where it was sure, and else the time-out."""
    script = spoken(("Sure.", 0.1, 0.3), ("and", 1.0, 1.2))
    found = simulate(
        talk(make_clip(2.5, reference=script), "deepgram.flux", parameters={"eot_timeout_ms": 500})
    )
    said = [json.loads(message.text) for message in found.messages]
    ends = [(one["transcript"], one["trigger"]) for one in said if "trigger" in one]
    assert ends == [("Sure.", "model"), ("and", "timeout")]
    assert len({one["request_id"] for one in said}) == 1


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Token sesame"}, "sesame"),
        ({"authorization": "Bearer sesame"}, "sesame"),
        ({"sec-websocket-protocol": "token, sesame"}, "sesame"),
        ({"sec-websocket-protocol": "other"}, None),
        ({}, None),
    ],
)
def test_where_a_client_puts_its_key(headers: dict[str, str], key: str | None) -> None:
    assert Server.credential({}, headers) == key


def test_a_browser_gets_the_subprotocol_that_it_asked_for() -> None:
    async def session(*asked: Subprotocol) -> str | None:
        query = "model=nova-3&encoding=linear16&sample_rate=8000"
        async with speaking("deepgram") as host:
            url = f"ws://{host}/v1/listen?{query}"
            async with connect(url, subprotocols=asked, proxy=None) as connection:
                return connection.subprotocol

    assert asyncio.run(session(Subprotocol("token"), Subprotocol(KEY))) == "token"
    with pytest.raises(InvalidStatus) as refused:
        asyncio.run(session(Subprotocol("token"), Subprotocol("other")))
    assert refused.value.response.headers["dg-error"].startswith("INVALID_AUTH")


@pytest.mark.parametrize("frame", ["{", "[]", '{"type": "Dance"}', b"", b"123", '{"type": []}'])
def test_a_frame_that_is_none_is_a_data_0000(frame: str | bytes) -> None:
    server = Server(V1, "/v1/listen")
    server.open()
    with pytest.raises(Refusal, match="DATA-0000"):
        server.read(frame)


def test_a_long_turn_comes_in_segments_and_is_the_same(make_clip: MakeClip) -> None:
    words = [(f"word{n}", n / 2 + 0.1, n / 2 + 0.4) for n in range(18)]
    clip = make_clip(10.0, reference=spoken(*words))
    session = simulate(talk(clip, "deepgram"))
    finals = [one for one in session.messages if '"is_final": true' in one.text]
    assert len(finals) == 5  # two in the middle, the endpoint, and what both goodbyes close
    assert session.transcript == " ".join(word for word, *_ in words)
    assert rtkit.wer(session).rate == 0
    assert rtkit.partial_stability(session).unstable == 0  # nothing flickers between segments


def test_the_model_decides_the_protocol_and_the_key_stays_hidden() -> None:
    for model, path, dialect in (
        ("nova-3", "/v1/listen", "deepgram"),
        ("flux-general-en", "/v2/listen", "deepgram.flux"),
    ):
        service = Deepgram("k" * 20, model=model, host=f"ws://127.0.0.1:1{path}")
        url, headers, opening = asyncio.run(service.connect_info(16000)).reveal()
        assert url.startswith(f"ws://127.0.0.1:1{path}?encoding=linear16&sample_rate=16000&model=")
        assert headers == {"Authorization": f"Token {'k' * 20}"}
        assert opening == ()
        assert service.describe()["dialect"] == dialect
        assert "k" * 20 not in repr(service)
    told = Deepgram(parameters={"endpointing": 900, "jwt": "s"}).describe()["parameters"]
    assert told == {"interim_results": True, "endpointing": 900}


@pytest.mark.parametrize(
    ("how", "dialect", "formatted"),
    [
        ({"protocol": "deepgram", "speech_model": "flux-general-multi"}, "deepgram.flux", True),
        ({"protocol": "deepgram.flux"}, "deepgram.flux", True),
        ({"protocol": "deepgram", "speech_model": "nova-2"}, "deepgram", False),
        ({"protocol": "deepgram", "format_turns": True}, "deepgram", True),
    ],
)
def test_the_embedded_service_goes_by_the_models_name_too(
    make_clip: MakeClip, how: dict[str, Any], dialect: str, formatted: bool
) -> None:
    clip = make_clip(0.5, reference=spoken(("Hello", 0.1, 0.2), ("there.", 0.2, 0.3)))

    async def session() -> Any:
        async with rtkit.Loopback(delay=0.0, **how) as service:
            return await stream(clip, service=service)

    found = asyncio.run(session())
    assert found.settings.dialect == dialect
    assert found.settings.service["name"] == f"embedded {dialect}"
    assert found.transcript == ("Hello there." if formatted else "hello there")


@pytest.mark.parametrize(
    ("rate", "chunk", "words"),
    [
        (8000, 12.0, "0 to 9 s .*NET-0001"),
        (4000, 0.1, "4000 Hz; the service takes 8000 to 48000 Hz"),
    ],
)
def test_limits_are_told_before_connecting(
    make_clip: MakeClip, rate: int, chunk: float, words: str
) -> None:
    clip = make_clip(1.0, rate=rate)
    with pytest.raises(ValueError, match=words):
        rtkit.run(stream(clip, chunk=chunk, service=Deepgram("made-up", host="ws://127.0.0.1:1")))
