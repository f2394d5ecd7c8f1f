"""A recorded session, said again: the same words, with the same service times, to any sender."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import MakeClip, simulate
from doubles import SDK_SCRIPT, TURNS, replayed, talk, unmarked
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import rtkit
from rtkit.analysis.timing.attribution import confirmed_at
from rtkit.audio import Clip
from rtkit.loopback.options import Options
from rtkit.services.messages import Begin, Receipt, ServiceError, Turn
from rtkit.services.service import dialect_named, dialects
from rtkit.session import Ending, Message, Session

ALL = (*dialects(), "deepgram.flux", "openai.vllm")
SENDERS: list[dict[str, Any]] = [
    {"pacing": "wall_clock"},
    {"pacing": "fixed_sleep", "work": 0.007},
    {"pacing": "fixed_sleep", "work": 0.007, "chunk": 0.05},
    {"pacing": "unpaced"},
]


def rate_of(dialect: str) -> int:
    return 24000 if dialect.startswith("openai") else 16000


def recorded(clip: Clip, dialect: str, path: Path, **how: Any) -> Session:
    """A session with known delays, as its file holds it."""
    session = simulate(
        talk(clip, dialect, delay=0.23, network=0.02, parameters=TURNS.get(dialect), **how)
    )
    session.save(path)
    return session


def said(session: Session) -> list[str]:
    """The messages about audio, but for receipts, which each client gets for its own chunks."""
    bare = unmarked(session)
    read = dialect_named(session.settings.dialect).reader(session.settings.rate).read
    return [
        message.text
        for message in bare.messages
        if not any(isinstance(reply, Begin | Receipt) for reply in read(message.text))
        and message.at >= session.sent[0] > 0
    ]


def finals(session: Session) -> list[tuple[int, str]]:
    return [
        (reply.order, reply.transcript)
        for _, reply in session.replies
        if isinstance(reply, Turn) and reply.end_of_turn
    ]


@pytest.mark.parametrize("how", SENDERS, ids=lambda how: "-".join(map(str, how.values())))
@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "bare"])
@pytest.mark.parametrize("dialect", ALL)
def test_any_sender_gets_the_same_words_with_the_same_service_times(
    make_clip: MakeClip, tmp_path: Path, dialect: str, stamped: bool, how: dict[str, Any]
) -> None:
    clip = make_clip(3.0, rate=rate_of(dialect), reference=SDK_SCRIPT)
    old = recorded(clip, dialect, tmp_path / "a.jsonl")
    if not stamped:
        old = unmarked(old)
        old.save(tmp_path / "a.jsonl")
    new = simulate(replayed(clip, tmp_path / "a.jsonl", **how))

    assert new.complete, new.ending
    assert new.transcript == old.transcript != ""
    assert finals(new) == finals(old)
    assert said(new) == said(old)
    last, was = (s.messages[-1].at - (s.terminated or 0.0) for s in (new, old))
    if was > 0 and how["pacing"] != "unpaced":  # what answers the shutdown
        assert last == pytest.approx(was, abs=1e-3)
    own = simulate(talk(clip, dialect, parameters=TURNS.get(dialect), **how))
    assert new.lateness == pytest.approx(own.lateness)
    if "chunk" not in how:
        confirmed = [confirmed_at(one) - one.sent for one in (old, new)]
        assert confirmed[1] == pytest.approx(confirmed[0], abs=1e-3, nan_ok=True)
    before, after = (rtkit.turn_latency(one) for one in (old, new))
    if stamped:
        audio = ~before.terminated  # what the shutdown ended counts from that
        assert after.service_time[audio] == pytest.approx(before.service_time[audio], abs=1e-3)
    elif (
        not before.terminated.any() and how["pacing"] != "unpaced" and not how.get("chunk")
    ):  # counted from the last that may have
        since = [one.received - s.sent[one.deciding] for one, s in ((before, old), (after, new))]
        assert since[1] == pytest.approx(since[0], abs=1e-3)


@pytest.mark.parametrize(
    ("seconds", "louder", "sentence"),
    [
        (2.0, 1, "2.0 s of it, and not 3.0 s"),
        (4.0, 1, "it goes on after 3.0 s, where the recorded audio ends"),
        (3.0, 20, "its level is"),
    ],
)
@pytest.mark.parametrize("dialect", ALL)
def test_a_client_that_sends_other_audio_is_told_so(
    tmp_path: Path, dialect: str, seconds: float, louder: int, sentence: str
) -> None:
    rate = rate_of(dialect)

    def noise(name: str, seconds: float, level: int) -> Clip:
        generator = np.random.default_rng(0)
        samples = generator.integers(-300 * level, 300 * level, round(seconds * rate))
        soundfile.write(tmp_path / name, samples.astype(np.int16), rate, subtype="PCM_16")
        return replace(rtkit.open_clip(tmp_path / name), reference=SDK_SCRIPT)

    recorded(noise("one.wav", 3.0, 1), dialect, tmp_path / "a.jsonl")
    other = noise("other.wav", seconds, louder)
    with pytest.raises(rtkit.StreamError) as failed:
        simulate(replayed(other, tmp_path / "a.jsonl"))
    told = failed.value.session
    assert "Send the same recording" in str(failed.value)
    errors = [reply.text for _, reply in told.replies if isinstance(reply, ServiceError)]
    assert any("This replays a.jsonl, and other audio came" in one for one in errors)
    assert any(sentence in one for one in errors)


def test_silence_that_a_client_adds_is_no_other_audio(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(3.0, rate=16000, reference=SDK_SCRIPT)
    old = recorded(clip, "assemblyai", tmp_path / "a.jsonl")
    longer = simulate(replayed(make_clip(5.0, rate=16000), tmp_path / "a.jsonl"))
    assert longer.complete
    assert longer.transcript == old.transcript


def test_a_service_that_gave_up_does_so_again(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(3.0, rate=16000, reference=SDK_SCRIPT)
    old = recorded(clip, "assemblyai", tmp_path / "a.jsonl")
    kept = [message for message in old.messages if message.at < 1.5]
    lost = Ending("failed", "Closed.", code=3008, reason="Session Expired", at=2.02, calendar=2.02)
    chunks = [chunk for chunk in old.chunks if chunk.sent < 2.0]
    replace(
        old, messages=tuple(kept), chunks=tuple(chunks), events=old.events[:2], ending=lost
    ).save(tmp_path / "a.jsonl")
    with pytest.raises(rtkit.StreamError) as failed:
        simulate(replayed(clip, tmp_path / "a.jsonl"))
    new = failed.value.session
    assert new.ending is not None
    assert (new.ending.how, new.ending.code) == ("failed", 3008)
    assert new.ending.at == pytest.approx(2.02, abs=0.001)
    assert [one.at for one in new.messages] == pytest.approx([one.at for one in kept])


def test_what_cannot_be_replayed_is_refused_in_a_sentence(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    clip = make_clip(3.0, rate=16000, reference=SDK_SCRIPT)
    old = recorded(clip, "deepgram.flux", path)
    assert Options(replay=path).protocol == "deepgram.flux"
    for wrong, sentence in (
        ({"protocol": "soniox"}, "speaks deepgram.flux"),
        ({"delay": 0.3}, "leave delay out"),
        ({"script": SDK_SCRIPT}, "leave script out"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Options(replay=path, **wrong)
    with pytest.raises(ValueError, match="is a folder"):
        Options(replay=tmp_path)
    replace(old, messages=()).save(path)
    with pytest.raises(ValueError, match="holds 30 chunks and 0 messages"):
        Options(replay=path)


def test_the_service_replays_to_its_own_and_to_other_clients(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    clip = make_clip(1.2, rate=16000, reference=SDK_SCRIPT)
    old = recorded(clip, "deepgram", tmp_path / "a.jsonl")

    async def run() -> tuple[Session, Session, int]:
        async with rtkit.Loopback(replay=tmp_path / "a.jsonl") as service:
            assert service.url is not None
            other = rtkit.Deepgram(key="any", host=service.url.removesuffix("/v1/listen"))
            own, foreign = await asyncio.gather(
                rtkit.stream(clip, service=service), rtkit.stream(clip, service=other, chunk=0.05)
            )
            with pytest.raises(InvalidStatus) as refused:
                await connect(service.url.replace("/v1/", "/v2/"))
            return own, foreign, refused.value.response.status_code

    own, foreign, status = asyncio.run(run())
    assert own.complete
    assert foreign.complete
    assert own.transcript == foreign.transcript == old.transcript
    assert own.settings.service["replay"] == "a.jsonl"
    assert "delay" not in own.settings.service
    assert status == 404


@pytest.mark.parametrize("samples", ["1" * 400, "-1", "1e999", "null", "[]", '"many"'])
@pytest.mark.parametrize("text", ['{"loopback": {"samples": %s, "cause": "word"}}', "%s", "[%s]"])
def test_any_message_of_a_file_is_replayed(
    make_clip: MakeClip, tmp_path: Path, samples: str, text: str
) -> None:
    clip = make_clip(3.0, rate=16000, reference=SDK_SCRIPT)
    old = recorded(clip, "assemblyai", tmp_path / "a.jsonl")
    odd = Message(1.234, text % samples)
    messages = sorted((*old.messages, odd), key=lambda message: message.at)
    replace(old, messages=tuple(messages)).save(tmp_path / "a.jsonl")
    new = simulate(replayed(clip, tmp_path / "a.jsonl"))
    assert new.transcript == old.transcript
    assert [one.at for one in new.messages if one.text == odd.text] == pytest.approx([1.234])
