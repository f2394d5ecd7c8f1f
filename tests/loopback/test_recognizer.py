"""A real recognizer behind the embedded service: what it hears, when it says it, what it leaves."""

from __future__ import annotations

import asyncio
import html
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
from remains import children, linux, nothing_remains, soon
from websockets.asyncio.client import connect

import rtkit
from rtkit.analysis.timing.alignment import normalize
from rtkit.analysis.timing.latency import turn_latency, word_latency
from rtkit.analysis.timing.turns import heard_words
from rtkit.audio import bundled, open_clip
from rtkit.loopback.conversation import Behavior, Conversation, Say
from rtkit.loopback.engines import Guess, Onset, Phrase, Sound
from rtkit.loopback.process import Loopback
from rtkit.pacing import chunk_edges
from rtkit.recording import StreamError
from rtkit.sending.stream import stream
from rtkit.services.assemblyai.client import FORCE_ENDPOINT, TERMINATE
from rtkit.services.assemblyai.server import Server
from rtkit.services.messages import Close, Termination, Turn
from rtkit.services.service import Limits
from rtkit.session import Chunk, Fact, Session
from rtkit.views.plots import describe

PATIENCE = 60.0  # for what must come, however busy the machine is
CALL = bundled()[0]
RATE = 8000
PIECE = bytes(1600)  # 0.1 s of it

installed = pytest.mark.skipif(
    importlib.util.find_spec("pocketsphinx") is None or importlib.util.find_spec("soxr") is None,
    reason="pocketsphinx is not installed: pip install 'rtkit[recognizer]'",
)


# Slow engines on paper: what the conversation makes of answers that come later.


class Asked:
    """Slow engines that note what they are asked."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int | None, float]] = []

    def ask(self, samples: np.ndarray | None, after: float) -> None:
        self.pieces.append((None if samples is None else len(samples), after))


class Slowly:
    """A conversation with slow engines, whose answers the test gives."""

    def __init__(self, max_speed: float = 1.25) -> None:
        self.engine = Asked()
        self.conversation = Conversation(
            Server({"sample_rate": str(RATE)}),
            engine=lambda rate: self.engine,
            behavior=Behavior(delay=0.0, max_speed=max_speed),
            now=0.0,
            session_id="x",
            expires_at=1,
        )
        assert [message["type"] for message in self.said(0.0)] == ["Begin"]

    def said(self, now: float) -> list[dict[str, Any]]:
        messages = self.conversation.take(now)
        return [json.loads(message.text) for message in messages if isinstance(message, Say)]

    def send(self, frame: bytes | str, now: float) -> None:
        self.conversation.receive(frame, now)

    def answer(self, now: float, *sounds: Sound) -> list[dict[str, Any]]:
        self.conversation.answer(sounds, now)
        return self.said(now)


def phrase(*words: str, final: bool = False, confidence: float = 0.0) -> Phrase:
    """Words of 0.1 s from 0.0 on; as sure as they are final."""
    said = tuple(
        Guess(word, index / 10, (index + 1) / 10, 0.8 if final else 0.0)
        for index, word in enumerate(words)
    )
    return Phrase(len(words) / 10, said, final, confidence)


def texts(turn: dict[str, Any]) -> list[str]:
    return [word["text"] for word in turn["words"]]


def test_answers_are_stamped_with_the_audio_that_they_answer() -> None:
    talk = Slowly()
    talk.send(PIECE, 0.1)
    talk.send(PIECE, 0.2)
    assert talk.said(0.25) == []
    assert talk.answer(0.27, Onset(0.0)) == []
    (turn,) = talk.answer(0.3, phrase("one"))
    assert turn["loopback"] == {"arrived": 0.2, "samples": 1600, "cause": "word", "left": 0.3}


def test_words_are_revised_until_speech_ends_and_no_more() -> None:
    talk = Slowly()
    for now in (0.1, 0.2, 0.3, 0.4):
        talk.send(PIECE, now)
    (turn,) = talk.answer(0.5, Onset(0.0), phrase("a", "nice"))
    assert (texts(turn), turn["transcript"]) == (["a", "nice"], "")
    assert [word["word_is_final"] for word in turn["words"]] == [False, False]
    (turn,) = talk.answer(0.6, phrase("an", "ice", "cream"))
    assert texts(turn) == ["an", "ice", "cream"]
    (turn,) = talk.answer(0.7, phrase("an", "ice", "cream", final=True))
    assert turn["transcript"] == "an ice"
    assert [word["confidence"] for word in turn["words"]] == [0.8] * 3
    (turn,) = talk.answer(0.8, Onset(0.4), phrase("please"))
    assert (texts(turn), turn["transcript"]) == (["an", "ice", "cream", "please"], "an ice cream")


def test_an_empty_phrase_takes_its_guesses_back() -> None:
    talk = Slowly()
    for now in (0.1, 0.2):
        talk.send(PIECE, now)
    talk.answer(0.2, Onset(0.0), phrase("hm"))
    (turn,) = talk.answer(0.3, phrase(final=True))
    assert turn["words"] == []
    talk.send(TERMINATE, 0.4)
    assert [message.get("transcript") for message in talk.answer(0.4)] == ["", None]


@pytest.mark.parametrize(("confidence", "silence"), [(0.5, 0.4), (0.1, 1.28)])
def test_a_turn_ends_by_silence_in_the_audio_that_was_heard(
    confidence: float, silence: float
) -> None:
    """Not by audio that came, nor by the clock."""
    talk = Slowly()
    for number in range(1, 31):
        talk.send(PIECE, number / 10)
    talk.answer(3.0, Onset(0.0), phrase("yes", final=True, confidence=confidence))
    ended = 0
    for number in range(2, 31):
        turns = talk.answer(3.0 + number)
        ended += len(turns)
        for turn in turns:
            assert turn["end_of_turn"]
            assert turn["loopback"]["cause"] == "silence"
            assert turn["loopback"]["samples"] == number * 800
            assert turn["loopback"]["arrived"] == number / 10
            assert number / 10 - 0.1 < 0.1 + silence <= number / 10
    assert ended == 1


def test_a_pause_within_open_speech_ends_no_turn() -> None:
    talk = Slowly()
    for number in range(1, 31):
        talk.send(PIECE, number / 10)
    talk.answer(3.0, Onset(0.0), phrase("yes"))
    assert [talk.answer(3.0) for _ in range(29)] == [[]] * 29


def test_force_endpoint_and_terminate_wait_for_what_came_before_them() -> None:
    talk = Slowly()
    talk.send(PIECE, 0.1)
    talk.send(FORCE_ENDPOINT, 0.15)
    talk.send(PIECE, 0.2)
    talk.send(TERMINATE, 0.25)
    assert [samples for samples, _ in talk.engine.pieces] == [800, None, 800, None]
    assert talk.said(10.0) == []
    talk.answer(10.0, Onset(0.0), phrase("on"))
    *_, forced = talk.answer(11.0, phrase("one", final=True))
    assert (forced["transcript"], forced["end_of_turn"]) == ("one", True)
    assert forced["loopback"]["cause"] == "force_endpoint"
    assert forced["loopback"]["samples"] == 800
    talk.answer(12.0, Onset(0.1), phrase("tw"))
    _, final, end = talk.answer(13.0, phrase("two", final=True))
    assert (final["transcript"], final["loopback"]["cause"]) == ("two", "terminate")
    assert end["type"] == "Termination"
    assert end["loopback"]["samples"] == 1600


def test_a_burst_is_asked_no_faster_than_the_service_hears() -> None:
    talk = Slowly(max_speed=1.25)
    for _ in range(10):
        talk.send(PIECE, 1.0)
    talk.send(TERMINATE, 1.0)
    instants = [after for _, after in talk.engine.pieces]
    assert instants[:10] == pytest.approx(1.0 + np.arange(10) * 0.08)
    assert instants[10] == instants[9]


def test_a_message_on_audio_that_was_heard_does_not_wait_for_later_audio() -> None:
    talk = Slowly(max_speed=1.25)
    for _ in range(10):
        talk.send(PIECE, 1.0)
    (turn,) = talk.answer(1.01, Onset(0.0), phrase("one"))
    assert turn["loopback"]["left"] == 1.01


def test_ears_that_fail_end_the_session_with_an_error() -> None:
    talk = Slowly()
    talk.send(PIECE, 0.1)
    talk.conversation.fail("The recognizer ended unexpectedly", 0.2)
    talk.conversation.answer((Onset(0.0), phrase("late")), 0.2)
    error, close = talk.conversation.take(0.2)
    assert isinstance(error, Say)
    assert json.loads(error.text)["error"] == "The recognizer ended unexpectedly"
    assert isinstance(close, Close)
    assert close.code == 3005


# What is asked of it, and what is not there.


def test_a_missing_package_is_told_of_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "pocketsphinx" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    told = r"pocketsphinx, which is not installed. Run pip install 'rtkit\[recognizer\]'"
    with pytest.raises(ImportError, match=told):
        Loopback(engine="recognizer")

    async def in_the_panel() -> str:
        panel = rtkit.panel(record=tmp_path)
        panel.service.value = "recognizer"
        panel.run.click()
        await asyncio.sleep(0)
        assert panel.task is not None
        await panel.task
        assert 'role="alert"' in panel.status.value
        panel.close()
        return html.unescape(re.sub("<[^>]*>", "", panel.status.value))

    assert re.search(told, asyncio.run(in_the_panel()))
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    for name in ("pocketsphinx", "soxr"):  # what was None once is never found
        (tmp_path / "sitecustomize.py").write_text(
            "import importlib.util as util\nfind = util.find_spec\n"
            f"util.find_spec = lambda name, package=None: "
            f"None if name == {name!r} else find(name, package)\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "rtkit.loopback", "--engine", "recognizer", "--port", "0"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 2
        assert f"needs the package {name}" in done.stderr
        assert "pip install 'rtkit[recognizer]'" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unknown_engine_is_loud() -> None:
    with pytest.raises(ValueError, match="unknown engine 'typist'; one of 'script', 'recog"):
        Loopback(engine="typist")


@installed
@pytest.mark.parametrize("option", [{"script": CALL.with_suffix(".json")}, {"format_turns": True}])
def test_what_a_recognizer_cannot_use_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a recognizer (needs no script|returns words without)"):
        Loopback(engine="recognizer", **option)


# The real one.


def plain(text: str) -> str:
    """The words in lower case, without punctuation."""
    return " ".join(filter(None, map(normalize, re.split(r"[\s—]+", text))))


def errors(session: Session) -> float:
    """The word error rate."""
    assert session.reference is not None
    return float(jiwer.wer(plain(session.reference.transcript), plain(session.transcript)))


@pytest.fixture(scope="module")
def hasty() -> Iterator[Loopback]:
    """Hears unpaced audio as fast as it can."""
    service = Loopback(engine="recognizer", max_speed=1000.0)
    yield service
    service.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    service = Loopback(engine="recognizer")
    yield service
    service.close()


@installed
def test_four_words_of_five_are_right(hasty: Loopback) -> None:
    session = asyncio.run(stream(open_clip(CALL), pacing="unpaced", service=hasty))
    assert errors(session) < 0.20
    assert session.settings.service["engine"] == "recognizer"
    assert re.fullmatch(r"pocketsphinx \d+\.[\d.]+", session.settings.service["recognizer"])
    assert "pocketsphinx" in describe(session)
    assert len(session.turns) > 15  # of 23; the shortest pauses hide some ends
    words = heard_words(session)
    off = [(word.word.end or 0) - word.spoken.end for word in words if word.spoken is not None]
    assert len(off) > 150
    assert abs(np.median(off)) < 0.03
    sure = {word.word.confidence for word in words}
    assert len(sure) > 20
    assert min(sure) >= 0
    assert max(sure) <= 1


@installed
def test_a_distant_microphone_of_1961_is_understood(hasty: Loopback, samples: Path) -> None:
    """More words would be wrong than were said if the cepstral mean were the model's own."""
    session = asyncio.run(stream(open_clip(samples / "jfk.flac"), pacing="unpaced", service=hasty))
    assert errors(session) < 0.30


@installed
def test_what_it_hears_depends_on_the_audio_alone(hasty: Loopback) -> None:
    """Neither on the pieces, nor on who was heard before, by the same process."""

    def heard(start: float, chunk: float) -> list[tuple[str, float | None, float | None]]:
        clip = open_clip(CALL, start=start, seconds=6)
        session = asyncio.run(stream(clip, pacing="unpaced", chunk=chunk, service=hasty))
        return [(word.text, word.start, word.end) for turn in session.turns for word in turn.words]

    first = heard(0, 0.1)
    assert "library" in [text for text, _, _ in first]
    assert heard(20, 0.1) != first
    assert heard(0, 0.25) == first


@installed
@pytest.mark.parametrize("rate", [8000, 44100])
def test_audio_of_other_rates_is_heard_at_the_same_instants(
    hasty: Loopback, tmp_path: Path, rate: int
) -> None:
    import soxr

    samples, own = soundfile.read(CALL, dtype="int16", frames=7 * 16000)
    path = tmp_path / "call.wav"
    soundfile.write(path, soxr.resample(samples, own, rate), rate, subtype="PCM_16")
    clip = replace(open_clip(path), reference=open_clip(CALL, seconds=7).reference)
    session = asyncio.run(stream(clip, pacing="unpaced", service=hasty))
    assert errors(session) < 0.5
    matched = [word for word in heard_words(session) if word.spoken is not None]
    assert len(matched) >= 8
    off = [(word.word.end or 0) - word.spoken.end for word in matched if word.spoken is not None]
    assert abs(np.median(off)) < 0.03


@installed
def test_high_tones_do_not_fold_down_into_speech() -> None:
    """11 kHz would be heard at 5 kHz, as loud as it is, if samples were merely left out."""
    from rtkit.loopback.recognizer import Listener, load_decoder

    tone = (8000 * np.sin(2 * np.pi * 11000 * np.arange(44100) / 44100)).astype(np.int16)
    listener = Listener(load_decoder(), 44100)
    list(listener.hear(tone))
    heard = np.frombuffer(b"".join(frame for frame, _ in listener._window), dtype=np.int16)
    assert np.abs(heard).max() <= 8


@installed
def test_two_sessions_at_once_with_real_words_and_real_computing(service: Loopback) -> None:
    clips = [open_clip(CALL, start=start, seconds=4) for start in (0, 2.9)]

    async def both() -> list[Session]:
        return await asyncio.gather(*(stream(clip, service=service) for clip in clips))

    sessions = asyncio.run(both())
    for session, said in zip(sessions, ("library", "books"), strict=True):
        assert said in session.transcript
        assert isinstance(session.replies[-1][1], Termination)
        assert session.messages[0].at < 0  # Begin does not wait for the other
        words, turns = word_latency(session), turn_latency(session)
        assert words.referenced.all()
        assert len(words) >= 5
        parts = words.chunk_wait + words.lateness + words.service_time
        assert words.latency == pytest.approx(parts)
        assert (turns.service_time > 0).all()
        stamps = [reply.stamp for _, reply in session.replies if isinstance(reply, Turn)]
        computing = [stamp.left - stamp.arrived for stamp in stamps if stamp is not None]
        assert len(computing) >= 4
        assert min(computing) > 0
        assert max(computing) > 0.005  # the first second of speech, at once
        partials = [reply for _, reply in session.replies if isinstance(reply, Turn)]
        assert not partials[0].end_of_turn


@installed
def test_a_comparison_shows_it(service: Loopback) -> None:
    clip = open_clip(CALL, start=2.9, seconds=2)
    sessions = asyncio.run(rtkit.compare(clip, work=0.02, service=service))
    one, other = (session.transcript for session in sessions.values())
    assert "morning" in one
    assert one == other
    text = repr(rtkit.summarize(sessions))
    assert "word latency p50, ms" in text
    naive, wall = sessions["fixed_sleep"].lateness, sessions["wall_clock"].lateness
    assert np.median(naive) > np.median(wall)


@installed
def test_unpaced_audio_is_heard_no_faster_than_the_service_hears(service: Loopback) -> None:
    clip = open_clip(CALL, seconds=3)
    session = asyncio.run(stream(clip, pacing="unpaced", service=service))
    assert "library" in session.transcript
    edges = chunk_edges(clip.samples, clip.rate, 0.1, Limits())
    arrived = dict(zip(edges[1:].tolist(), session.sent.tolist(), strict=True))
    for at, reply in session.replies:
        if isinstance(reply, Turn) and reply.stamp is not None:
            assert reply.stamp.samples in arrived
            begun = reply.stamp.samples / clip.rate - 0.1  # the first piece is heard at once
            assert at >= begun / 1.25 - 0.01
    assert session.sent[-1] < session.messages[-1].at / 2


@installed
def test_a_stopped_session_keeps_what_was_said_and_the_next_one_works(
    service: Loopback, tmp_path: Path
) -> None:
    async def stop() -> None:
        reached = asyncio.Event()

        def on_event(fact: Fact) -> None:
            if isinstance(fact, Chunk) and fact.index == 24:
                reached.set()

        clip = open_clip(CALL, seconds=20)
        task = asyncio.create_task(
            stream(clip, service=service, on_event=on_event, record=tmp_path / "a.jsonl")
        )
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop())
    session = rtkit.load_session(tmp_path / "a.jsonl")
    assert session.ending is not None
    assert (session.ending.how, session.ending.code) == ("stopped", 1000)
    assert "public" in session.transcript  # Terminate flushes the open speech
    clip = open_clip(CALL, start=2.9, seconds=2)
    assert "morning" in asyncio.run(stream(clip, service=service)).transcript


@installed
def test_force_endpoint_flushes_what_was_said(hasty: Loopback) -> None:
    clip = open_clip(CALL, seconds=5)
    edges = chunk_edges(clip.samples, clip.rate, 0.1, Limits())
    forced = 20  # in the middle of "library"

    async def talk() -> list[dict[str, Any]]:
        endpoint = await hasty.connect_info(clip.rate)
        headers = dict(endpoint.headers)
        messages = []
        async with connect(endpoint.url, additional_headers=headers, proxy=None) as connection:
            for index, piece in enumerate(clip.chunks(edges)):
                if index == forced:
                    await connection.send(FORCE_ENDPOINT)
                await connection.send(piece)
            await connection.send(TERMINATE)
            async for message in connection:
                messages.append(json.loads(message))
        return messages

    turns = [message for message in asyncio.run(talk()) if message.get("end_of_turn")]
    assert turns[0]["loopback"]["cause"] == "force_endpoint"
    assert turns[0]["loopback"]["samples"] == edges[forced]
    assert "morning" in turns[0]["transcript"]
    assert "would" in " ".join(turn["transcript"] for turn in turns[1:])
    ends = [word["end"] for turn in turns for word in turn["words"]]
    assert ends == sorted(ends)


# What it leaves.


def recognizers(service: Loopback) -> list[int]:
    """The recognizers among the processes of the service."""
    assert service._running._child is not None
    found = children(service._running._child._process.pid)
    return [child for child, line in found.items() if "rtkit.loopback.recognizer" in line]


def alive(process: int) -> bool:
    return Path(f"/proc/{process}/cmdline").is_file() and bool(
        Path(f"/proc/{process}/cmdline").read_bytes()
    )


@installed
@linux
def test_nothing_remains(tmp_path: Path) -> None:
    async def run() -> list[int]:
        async with Loopback(engine="recognizer") as service:
            clip = open_clip(CALL, start=2.9, seconds=1)
            await asyncio.gather(*(stream(clip, service=service) for _ in range(2)))
            return recognizers(service)

    with nothing_remains():
        found = asyncio.run(run())
    assert 1 <= len(found) <= 2
    assert not any(alive(process) for process in found)


@installed
@linux
def test_a_service_that_is_killed_takes_its_recognizer_with_it() -> None:
    service = Loopback(engine="recognizer")
    asyncio.run(service.connect_info(16000))
    found = recognizers(service)
    assert len(found) == 1
    assert service._running._child is not None
    service._running._child._process.kill()
    assert soon(lambda: not alive(found[0]))
    service.close()


@installed
@linux
def test_a_recognizer_that_is_gone_fails_the_session_and_not_the_next(
    service: Loopback,
) -> None:
    clip = open_clip(CALL, start=2.9, seconds=8)

    def crash(fact: Fact) -> None:
        if isinstance(fact, Chunk) and fact.index == 5:
            for process in recognizers(service):
                os.kill(process, signal.SIGKILL)

    with pytest.raises(StreamError, match="The recognizer ended unexpectedly"):
        asyncio.run(stream(clip, service=service, on_event=crash))
    short = open_clip(CALL, start=2.9, seconds=2)
    assert "morning" in asyncio.run(stream(short, service=service)).transcript


@installed
@linux
def test_a_client_that_leaves_is_not_heard_to_its_end(service: Loopback) -> None:
    clip = open_clip(CALL, seconds=20)

    async def leave() -> None:
        endpoint = await service.connect_info(clip.rate)
        headers = dict(endpoint.headers)
        connection = await connect(endpoint.url, additional_headers=headers, proxy=None)
        for piece in clip.chunks(chunk_edges(clip.samples, clip.rate, 0.1, Limits())):
            await connection.send(piece)
        before.update(recognizers(service))
        await connection.close()

    before: set[int] = set()
    asyncio.run(leave())
    assert before
    assert soon(lambda: not before <= set(recognizers(service)))


@installed
@linux
@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_the_command_hears_until_it_is_told_to_end(way: signal.Signals) -> None:
    def default_interrupt() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        [sys.executable, "-m", "rtkit.loopback", "--engine", "recognizer", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_interrupt,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Listening on ws://127.0.0.1:")
        found = list(children(process.pid))
        assert len(found) == 1
        process.send_signal(way)
        begun = time.monotonic()
        rest, fault = process.communicate(timeout=PATIENCE)
        assert (process.returncode, rest, fault) == (0, "", "")
        assert time.monotonic() - begun < PATIENCE / 2
    assert soon(lambda: not alive(found[0]))
