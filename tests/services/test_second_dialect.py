"""A dialect made up here, unlike the other wherever it can be: whole sessions, the same figures."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, spoken
from doubles import talk, unmarked
from facts import CALL
from scripted import Scripted

import rtkit
import rtkit.services
from rtkit.analysis.timing.latency import Latency, first_word_latency, turn_latency, word_latency
from rtkit.audio import Clip, open_clip
from rtkit.clock.alarm import sleep_until
from rtkit.experiments.many import stream_many
from rtkit.loopback.options import Options
from rtkit.loopback.server import serve_loopback
from rtkit.pacing import Plan
from rtkit.recording import Recorder, StreamError, load_session
from rtkit.reference import Reference
from rtkit.sending.run import Run
from rtkit.sending.stream import stream
from rtkit.services.endpoint import Closed, Endpoint
from rtkit.services.messages import Finalized, Other, Turn
from rtkit.services.service import Step, dialect_named, part_of
from rtkit.session import Session, Settings
from rtkit.views.plots import describe

PARTS = ("chunk_wait", "endpoint_wait", "lateness", "service_time")


@pytest.fixture(autouse=True)
def parrot(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    here = str(Path(__file__).parent / "dialects")
    monkeypatch.setattr(rtkit.services, "__path__", [*rtkit.services.__path__, here])
    yield
    for name in [name for name in sys.modules if name.startswith("rtkit.services.parrot")]:
        del sys.modules[name]


def same(one: Latency, other: Latency) -> None:
    assert one.texts == other.texts
    assert one.turn.tolist() == other.turn.tolist()
    assert one.decided.tolist() == other.decided.tolist()
    assert one.terminated.tolist() == other.terminated.tolist()
    for part in ("end", "received", *PARTS):
        assert getattr(one, part) == pytest.approx(getattr(other, part), abs=1e-9), part
    assert one.latency == pytest.approx(sum(getattr(one, part) for part in PARTS), abs=1e-9)


@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep"])
@pytest.mark.parametrize("delay", [0.0, 0.15])
def test_the_figures_are_those_of_the_other_dialect(pacing: str, delay: float) -> None:
    clip = open_clip(CALL, seconds=25)
    how: dict[str, Any] = {"pacing": pacing, "delay": delay, "work": 0.003}
    one = simulate(talk(clip, "parrot", **how))
    other = simulate(talk(clip, "assemblyai", **how))
    assert one.complete
    assert other.complete
    assert one.settings.dialect == "parrot"
    assert one.transcript == other.transcript
    assert len(one.turns) > 4
    same(turn_latency(one), turn_latency(other))
    same(word_latency(one), word_latency(other))
    same(first_word_latency(one), first_word_latency(other))
    wait = turn_latency(one)
    assert wait.service_time[wait.counted] == pytest.approx(delay, abs=1e-9)
    kinds = {type(reply) for _, reply in one.replies}
    assert kinds == {Turn, Finalized, Other}


def test_what_the_service_states_itself_parts_the_latency_as_its_stamp_does() -> None:
    stamped = simulate(talk(open_clip(CALL, seconds=25), "parrot"))
    stated = unmarked(stamped)
    same(turn_latency(stated), turn_latency(stamped))
    assert {turn.heard_by for turn in stamped.turns} == {"stamped"}
    assert {turn.heard_by for turn in stated.turns} == {"stated"}


def test_a_file_is_read_by_the_dialect_that_it_names(tmp_path: Path) -> None:
    session = simulate(talk(open_clip(CALL, seconds=10), "parrot", record=tmp_path / "a.jsonl"))
    loaded = load_session(tmp_path / "a.jsonl")
    assert loaded == session
    assert [one.replies for one in loaded.messages] == [None] * len(loaded.messages)
    assert loaded.replies == session.replies  # folded again, from the first message on
    assert turn_latency(loaded).latency.tolist() == turn_latency(session).latency.tolist()


def test_each_message_is_read_once_while_the_session_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, read = type(dialect_named("parrot").reader(8000)), []

    def count(self: Any, frame: str) -> Any:
        read.append(frame)
        return super(reader, self).read(frame)

    monkeypatch.setattr(reader, "read", count, raising=False)
    session = simulate(talk(open_clip(CALL, seconds=10), "parrot"))
    assert session.replies
    assert turn_latency(session).texts
    assert read == [message.text for message in session.messages]


@pytest.mark.parametrize(
    "name", ["nobody", "", "assemblyai.client", "..session", "../session", "messages", "os"]
)
def test_a_file_cannot_have_anything_else_imported(tmp_path: Path, name: str) -> None:
    session = simulate(talk(open_clip(CALL, seconds=3), "parrot"))
    service = {**session.settings.service, "dialect": name}
    path = replace(session, settings=replace(session.settings, service=service)).save(
        tmp_path / "a.jsonl"
    )
    with pytest.raises(ValueError, match="unknown dialect"):
        dialect_named("nobody")  # looks for all that there are, which imports rtkit's own
    before = set(sys.modules)
    loaded = load_session(path)
    with pytest.raises(ValueError, match=r"unknown dialect .*; (one of|did you mean) 'assemblyai'"):
        _ = loaded.replies
    new = set(sys.modules) - before  # to name those that there are, their folders are looked into
    assert not [one for one in new if not one.startswith("rtkit.services.")]
    assert f"rtkit.services.{name}" not in new


@pytest.mark.parametrize(
    ("rate", "chunk", "told"),
    [
        (8000, 0.3, r"chunk=0.3 s is outside what the service takes, 0 to 0.25 s .*: it drops the"),
        (44100, 0.1, r"sample rate of 44100 Hz; the service takes 8000, 16000 Hz.*-ar 8000"),
    ],
)
def test_what_it_does_not_take_is_refused_before_connecting(
    make_clip: MakeClip, rate: int, chunk: float, told: str
) -> None:
    clip = replace(make_clip(1.0, rate=rate), reference=spoken(("Yes.", 0.1, 0.4)))
    with pytest.raises(ValueError, match=told):
        simulate(talk(clip, "parrot", chunk=chunk))


@pytest.mark.parametrize("rate", [4000, 192000])
def test_what_assemblyai_does_not_take_is_refused_too(make_clip: MakeClip, rate: int) -> None:
    clip = replace(make_clip(1.0, rate=rate), reference=spoken(("Yes.", 0.1, 0.4)))
    with pytest.raises(ValueError, match=f"rate of {rate} Hz; the service takes 8000 to 96000 Hz"):
        asyncio.run(stream(clip, service=rtkit.AssemblyAI(key="nothing-real")))


@pytest.mark.parametrize("rate", [4000, 16000, 44100])
def test_a_rate_of_its_own_is_made_of_any_and_the_figures_stay(rate: int, tmp_path: Path) -> None:
    """Word ends, and chunks in seconds, are those of the recording; the rate is another."""
    soxr, soundfile = pytest.importorskip("soxr"), pytest.importorskip("soundfile")
    samples, own = soundfile.read(CALL, dtype="int16", frames=16000 * 10)
    path = tmp_path / "call.wav"
    soundfile.write(path, soxr.resample(samples, own, rate), rate, subtype="PCM_16")
    clip = replace(open_clip(path), reference=open_clip(CALL, seconds=10).reference)
    limits = replace(dialect_named("parrot").limits, rates=(24000,), resampled=True)
    object.__setattr__(dialect_named("parrot"), "limits", limits)
    session = simulate(talk(clip, "parrot", record=tmp_path / "a.jsonl"))
    assert (session.settings.rate, session.settings.resampled_from) == (24000, rate)
    assert session.bytes_sent == 2 * 24000 * 10
    assert session.sent == pytest.approx(np.arange(0.1, 10.05, 0.1))
    same(turn_latency(session), turn_latency(simulate(talk(open_clip(CALL, seconds=10), "parrot"))))
    assert load_session(tmp_path / "a.jsonl") == session
    assert f"resampled from {rate} to 24000 Hz" in describe(session)


def test_chunks_are_as_short_as_it_takes_them(make_clip: MakeClip) -> None:
    clip = make_clip(1.005, reference=spoken(("Yes.", 0.1, 0.4)))
    session = simulate(talk(clip, "parrot", chunk=0.02))
    assert np.diff([0, *(chunk.stop for chunk in session.chunks)]).tolist() == [160] * 50 + [40]
    assert session.complete


def test_its_endings_are_explained_by_its_own_tables() -> None:
    assert rtkit.explain(4001, dialect="parrot").name == "bad manners"
    assert rtkit.explain({"oops": "X", "why": "No cracker"}, dialect="parrot").fix == "Say please."
    assert rtkit.explain(1013, dialect="parrot").name == "service busy"
    assert "bad manners" in str(rtkit.close_codes("parrot"))
    assert "bad manners" not in str(rtkit.close_codes())


# Over a websocket.


class Parrot:
    """The service as a person would name it."""

    def __init__(self, base: str, key: str = "seed") -> None:
        self._base, self._key = base, key

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        found = dialect_named("parrot").endpoint(self._base, self._key, rate, {})
        assert isinstance(found, Endpoint)
        return found

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {"name": "Parrot", "dialect": "parrot"}


async def served(clips: list[Clip], key: str = "seed", **behavior: Any) -> list[Session]:
    options = Options(
        protocol="parrot", script=clips[0].reference, delay=0.02, key="seed", **behavior
    )
    async with serve_loopback(0, options) as server:
        service = Parrot(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", key)
        if len(clips) == 1:
            return [await stream(clips[0], service=service)]
        return list((await stream_many(clips, service=service)).sessions)


@pytest.mark.parametrize("count", [1, 3])
def test_whole_sessions_over_a_websocket(make_clip: MakeClip, count: int) -> None:
    clip = make_clip(0.8, reference=spoken(("Hello", 0.02, 0.12), ("there.", 0.15, 0.3)))
    for session in asyncio.run(served([clip] * count)):
        assert session.complete
        assert session.transcript == "hello there"
        assert session.bytes_sent == 12800
        assert rtkit.explain(session).name == "complete"


def test_a_wrong_key_is_refused_as_the_vendor_does_it(make_clip: MakeClip) -> None:
    with pytest.raises(StreamError, match="HTTP status 401") as failure:
        asyncio.run(served([make_clip(0.3)], key="weed"))
    assert rtkit.explain(failure.value).name == "key refused"


def test_a_session_that_breaks_off_says_why_in_its_words(make_clip: MakeClip) -> None:
    with pytest.raises(StreamError, match=r"The parrot was offended\. Say please\.") as failure:
        asyncio.run(served([make_clip(2.0)], max_duration=0.3))
    assert rtkit.explain(failure.value).name == "bad manners"
    assert failure.value.session.chunks


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("drop@0.3", "broke without a close frame"),
        ("close=4001@0.3", "The parrot was offended"),
        ("error=4001@0.3", 'the message "SQUAWK: no cracker'),
        ("refuse=401", "does not know this API key"),
        ("huge@0.3", "larger than rtkit accepts"),
    ],
)
def test_faults_on_demand_speak_its_words(make_clip: MakeClip, fault: str, told: str) -> None:
    with pytest.raises(StreamError, match=told) as failure:
        asyncio.run(served([make_clip(2.0)], faults=fault))
    assert bool(failure.value.session.chunks) is ("@" in fault)


@pytest.mark.parametrize("fault", ["turn", "bad_json@0.2", "unknown@0.2", "duplicate_finals"])
def test_faults_that_can_be_borne_are(make_clip: MakeClip, fault: str) -> None:
    clip = make_clip(0.8, reference=spoken(("Hello", 0.02, 0.12), ("there.", 0.15, 0.3)))
    (session,) = asyncio.run(served([clip], faults=fault))
    assert session.complete
    assert "hello there" in session.transcript


def ending_with(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    """Have clients of the dialect end sessions so."""
    counted = Step(json.dumps({"chunks": 5}))
    ends = replace(dialect_named("parrot"), shutdown=lambda chunks: (counted, *steps))
    monkeypatch.setattr(part_of("parrot", "client"), "DIALECT", ends)


@pytest.mark.parametrize("steps", [(Step("", Closed),), (Step(""),), (Step("", Finalized),)])
def test_a_session_may_end_with_the_close_or_with_nothing_at_all(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, steps: tuple[Step, ...]
) -> None:
    ending_with(monkeypatch, *steps)
    clip = make_clip(0.5, reference=spoken(("Hello", 0.02, 0.12), ("there.", 0.15, 0.3)))
    session = simulate(talk(clip, "parrot"))
    assert session.complete
    assert session.transcript == "hello there"  # what came after the last step was still heard


@pytest.mark.parametrize(("until", "missing"), [(Closed, "close"), (Finalized, "Finalized")])
def test_what_does_not_come_at_the_end_is_named(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, until: Any, missing: str
) -> None:
    ending_with(monkeypatch, Step('{"still": "here"}', until))
    clip = make_clip(0.5, reference=spoken(("Hello", 0.02, 0.12)))
    with pytest.raises(StreamError, match=f"The service sent no {missing} within 2 s"):
        simulate(talk(clip, "parrot", termination_timeout=2.0))


async def kept_alive(clip: Clip) -> list[bytes | str]:
    """What a client says that is let wait for 12 s, and then sends its audio."""
    connection = Scripted([])
    settings = Settings(
        "x.wav", 8000, 0, 8000, 1, "", 0.1, "wall_clock", service={"dialect": "parrot"}
    )
    run = Run(Recorder(settings, {}, None))
    conversation = await run.begin(connection, opening=("hello",), timeout=1.0)
    await sleep_until(12.0)
    conversation.audio_flows(Plan.of(clip))
    await sleep_until(60.0)
    await conversation.close()
    return connection.heard


def test_a_session_is_kept_alive_until_audio_flows(make_clip: MakeClip) -> None:
    heard = simulate(kept_alive(make_clip(1.0)))
    assert heard == ["hello", '{"still": "here"}', '{"still": "here"}']


def test_every_dialect_has_its_three_parts() -> None:
    for name in ("assemblyai", "parrot"):
        assert part_of(name, "server").Server.PATHS
        assert part_of(name, "close_codes").ENDINGS
        assert [type(one) for one in dialect_named(name).reader(8000).read("{")] == [Other]
