"""`stream` in virtual time, where every instant is exact, and every way in which it can fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, spoken, virtual_loop
from scripted import BEGIN, ENDED, NORMAL, Scripted, error
from websockets.utils import accept_key

import rtkit
from rtkit.audio import Clip
from rtkit.clock.alarm import sleep_until
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Energy, Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.pacing import PACINGS
from rtkit.recording import StreamError, load_session
from rtkit.sending.listen import GOODBYE
from rtkit.sending.run import SEND_TIMEOUT
from rtkit.sending.stream import stream
from rtkit.services import messages
from rtkit.services.assemblyai import client as protocol
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.services.endpoint import Closed, Endpoint
from rtkit.services.messages import Termination, Turn
from rtkit.session import Chunk, Fact, Message, Session

EXACT = 1e-9


async def converse(
    clip: Clip,
    *,
    behavior: Behavior | None = None,
    query: dict[str, str] | None = None,
    **how: Any,
) -> Session:
    """Stream to the embedded service in memory."""
    script = clip.reference
    connection = InMemoryConnection(
        Energy if script is None else lambda rate: Script(script, rate),
        rate=clip.rate,
        behavior=behavior,
        parameters=query,
    )
    return await stream(clip, connection=connection, **how)


def turns(session: Session) -> list[tuple[float, Turn]]:
    return [(at, reply) for at, reply in session.replies if isinstance(reply, Turn)]


def termination(session: Session) -> tuple[float, Termination]:
    at, reply = session.replies[-1]
    assert isinstance(reply, Termination)
    return at, reply


# The claim.


@pytest.mark.parametrize(
    ("pacing", "work", "last"),
    [
        ("fixed_sleep", 0.003, 0.3),
        ("wall_clock", 0.003, 0.0),
        ("fixed_sleep", 0.0, 0.0),
        ("wall_clock", 0.0, 0.0),
        ("fixed_sleep", 0.05, 5.0),
        ("wall_clock", 0.05, 0.0),
        ("wall_clock", 0.1, 0.0),
        ("wall_clock", 0.15, 5.0),  # work that takes longer than a chunk lasts
    ],
)
def test_the_101st_chunk_is_late_by_the_work_of_100_under_naive_pacing_only(
    make_clip: MakeClip, pacing: str, work: float, last: float
) -> None:
    session = simulate(converse(make_clip(10.1), pacing=pacing, work=work))
    assert len(session.chunks) == 101
    assert session.lateness[0] == pytest.approx(0, abs=EXACT)
    assert session.lateness[-1] == pytest.approx(last, abs=EXACT)
    np.testing.assert_allclose(session.lateness, np.linspace(0, last, 101), rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("pacing", "catch_up", "ends"),
    [("wall_clock", None, 0.0), ("wall_clock", 2.0, 0.0), ("fixed_sleep", None, 0.5)],
)
def test_wall_clock_makes_up_for_a_stall_and_fixed_sleep_never_does(
    make_clip: MakeClip, pacing: str, catch_up: float | None, ends: float
) -> None:
    sent = 0

    def stall(_: bytes) -> None:
        nonlocal sent
        sent += 1
        if sent == 50:
            virtual_loop().block(0.5)

    session = simulate(converse(make_clip(10.1), pacing=pacing, catch_up=catch_up, work=stall))
    late = session.lateness
    assert late[:50] == pytest.approx(0, abs=EXACT)
    assert late[50] == pytest.approx(0.4 if pacing == "wall_clock" else 0.5, abs=EXACT)
    assert late[-1] == pytest.approx(ends, abs=EXACT)
    assert session.settings.work == "stall"
    (recorded,) = session.stalls
    assert (recorded.at, recorded.seconds) == pytest.approx((5.5, 0.5), abs=EXACT)


def test_no_stall_is_recorded_where_there_is_none(make_clip: MakeClip) -> None:
    assert simulate(converse(make_clip(5.0), work=0.01)).stalls == ()


@pytest.mark.parametrize("pacing", PACINGS)
@pytest.mark.parametrize(("phase", "first"), [("end", 0.1), ("start", 0.0)])
def test_every_pacing_sends_chunk_0_when_it_is_due(
    make_clip: MakeClip, pacing: str, phase: str, first: float
) -> None:
    session = simulate(converse(make_clip(1.0), pacing=pacing, phase=phase, work=0.02))
    assert session.sent[0] == session.due[0] == pytest.approx(first, abs=EXACT)


def test_phase_start_sends_each_chunk_one_chunk_earlier(make_clip: MakeClip) -> None:
    clip = make_clip(2.0)
    ends = simulate(converse(clip, phase="end"))
    starts = simulate(converse(clip, phase="start"))
    np.testing.assert_allclose(ends.sent - starts.sent, 0.1, rtol=0, atol=EXACT)


def test_unpaced_sends_everything_at_once(make_clip: MakeClip) -> None:
    session = simulate(converse(make_clip(10.0), pacing="unpaced"))
    assert np.ptp(session.sent) == pytest.approx(0, abs=EXACT)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 48000])
@pytest.mark.parametrize("seconds", [0.06, 0.73, 1.04])
@pytest.mark.parametrize("chunk", [0.05, 0.1, 1.0])
def test_the_service_receives_every_sample_once(
    make_clip: MakeClip, rate: int, seconds: float, chunk: float
) -> None:
    clip = make_clip(seconds, rate=rate)
    received: list[bytes] = []
    session = simulate(converse(clip, chunk=chunk, work=received.append))
    audio = b"".join(received)
    assert audio[: 2 * clip.samples] == b"".join(clip.chunks(np.array([0, clip.samples])))
    assert len(audio) == session.bytes_sent == 2 * clip.samples
    assert session.bytes_sent == termination(session)[1].bytes_received
    assert {sent.padding for sent in session.chunks} == {0}


@pytest.mark.parametrize("seconds", [0.000125, 0.02, 0.049])
def test_a_clip_under_50_ms_is_padded_and_the_padding_counted_apart(
    make_clip: MakeClip, seconds: float
) -> None:
    clip = make_clip(seconds)
    session = simulate(converse(clip))
    (sent,) = session.chunks
    assert (sent.bytes, sent.padding) == (800, 800 - 2 * clip.samples)
    assert (sent.start, sent.stop) == (0, clip.samples)
    assert termination(session)[1].bytes_received == 800


def test_due_times_come_from_sample_counts(make_clip: MakeClip) -> None:
    """50 ms at 11025 Hz is 552 samples: nominal durations would be 0.4 ms off after 6 chunks."""
    session = simulate(converse(make_clip(10.0, rate=11025), chunk=0.05))
    assert session.sent.tolist() == pytest.approx(
        [chunk.stop / 11025 for chunk in session.chunks], abs=EXACT
    )
    assert session.due[5] == 6 * 552 / 11025


# What comes back.

HELLO = spoken(("Hello", 0.2, 0.45), ("there.", 0.5, 0.93))


def test_a_word_is_answered_when_its_chunk_has_come_and_the_delay_is_over(
    make_clip: MakeClip,
) -> None:
    clip = make_clip(2.0, reference=HELLO)
    session = simulate(converse(clip, behavior=Behavior(delay=0.15)))
    (hello, first), (there, second), (final, third), *_ = turns(session)
    assert hello == pytest.approx(0.5 + 0.15, abs=EXACT)
    assert there == pytest.approx(1.0 + 0.15, abs=EXACT)
    assert final == pytest.approx(1.4 + 0.15, abs=EXACT)  # 0.93 s and 400 ms of silence
    assert [w.text for w in first.words] == ["hello"]
    assert [w.text for w in second.words] == ["hello", "there"]
    assert (third.end_of_turn, third.stamp and third.stamp.cause) == (True, "silence")
    assert session.transcript == "hello there"
    assert session.reference == HELLO


def test_a_turn_that_terminate_ends_says_so(make_clip: MakeClip) -> None:
    session = simulate(converse(make_clip(1.0, reference=HELLO)))
    (turn,) = session.turns
    assert turn.stamp is not None
    assert turn.stamp.cause == "terminate"
    assert session.terminated == pytest.approx(1.0, abs=EXACT)


def test_what_comes_before_the_first_chunks_time_is_negative_or_zero(make_clip: MakeClip) -> None:
    class Slow(InMemoryConnection):
        async def recv(self) -> str:
            message = await super().recv()
            if "Begin" in message:
                await asyncio.sleep(0.7)
            return message

    async def late() -> Session:
        return await stream(make_clip(0.2), connection=Slow(Energy, rate=8000))

    begin, started = simulate(late()).replies[0]
    assert isinstance(started, messages.Begin)
    assert begin <= 0
    session = simulate(late())
    assert session.zero == pytest.approx(0.7, abs=EXACT)
    assert session.sent[0] == pytest.approx(0.1, abs=EXACT)


@pytest.mark.parametrize("max_speed", [1.25, 2.5])
def test_unpaced_audio_waits_in_a_service_that_hears_so_fast(
    make_clip: MakeClip, max_speed: float
) -> None:
    reference = spoken(("early", 0.5, 1.0), ("late", 8.0, 9.0))
    clip = make_clip(10.0, reference=reference)
    behavior = Behavior(delay=0.15, max_speed=max_speed)
    paced = simulate(converse(clip, behavior=behavior))
    unpaced = simulate(converse(clip, behavior=behavior, pacing="unpaced"))
    for session in (paced, unpaced):
        assert [w.text for turn in session.turns for w in turn.words] == ["early", "late"]
    # All audio is there at 0.1 s, and 10 s of it take 10 / max_speed to hear.
    waited = termination(unpaced)[0]
    assert waited == pytest.approx(10 / max_speed + 0.15, abs=0.2)
    assert termination(paced)[0] == pytest.approx(10.15, abs=EXACT)
    stamp = unpaced.turns[-1].stamp
    assert stamp is not None
    assert stamp.left - stamp.arrived > 7 / max_speed


def test_watch_sees_every_fact_as_it_is_recorded(make_clip: MakeClip) -> None:
    facts: list[Fact] = []
    session = simulate(converse(make_clip(1.0, reference=HELLO), on_event=facts.append))
    assert [fact for fact in facts if isinstance(fact, Chunk)] == list(session.chunks)
    assert [fact for fact in facts if isinstance(fact, Message)] == list(session.messages)
    assert facts[-1] == session.ending


def test_a_recorded_session_is_the_returned_one(make_clip: MakeClip, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "a.jsonl"
    session = simulate(converse(make_clip(1.0, reference=HELLO), record=path))
    assert load_session(path) == session
    assert session.complete
    assert [event.name for event in session.events] == ["terminate", "closed"]
    assert (session.ending and session.ending.code) == 1000


def test_a_long_session_keeps_its_instants_exact(make_clip: MakeClip) -> None:
    session = simulate(converse(make_clip(600.0), chunk=0.5, work=0.003, pacing="wall_clock"))
    assert np.abs(session.lateness).max() <= EXACT
    naive = simulate(converse(make_clip(600.0), chunk=0.5, work=0.003, pacing="fixed_sleep"))
    assert naive.lateness[-1] == pytest.approx(1199 * 0.003, abs=1e-6)


def test_a_connection_in_memory_stays_closed() -> None:
    async def after_the_end() -> None:
        connection = InMemoryConnection(Energy, rate=8000)
        await connection.send(protocol.TERMINATE)
        told = [await connection.recv() for _ in range(3)]
        assert [json.loads(text)["type"] for text in told] == ["Begin", "Turn", "Termination"]
        for _ in range(2):
            with pytest.raises(Closed) as closed:
                await connection.recv()
            assert closed.value.code == 1000
        with pytest.raises(Closed):
            await connection.send(bytes(1600))

    simulate(after_the_end())


# What can go wrong.

TOO_FAST = "Audio Transmission Rate Exceeded: Received 314.9 sec. audio in 1.312326 sec"
DETAILS = "See Error message for details"


def failing(
    clip: Clip, make: Callable[[], Scripted], **how: Any
) -> tuple[StreamError, Scripted, float]:
    """What a session that must fail raises, what its service heard, and when it was over."""

    async def run() -> tuple[StreamError, Scripted, float]:
        service = make()
        with pytest.raises(StreamError) as failure:
            await stream(clip, connection=service, **how)
        return failure.value, service, virtual_loop().time()

    return simulate(run())


@pytest.mark.parametrize(
    ("timeline", "shutdown", "chunks", "sentences"),
    [
        pytest.param([], NORMAL, 0, ["no Begin within 10 s"], id="no Begin"),
        pytest.param(
            [(0.2, error(1008, "Invalid API key")), (0.2, Closed(1008, DETAILS))],
            NORMAL,
            0,
            ["does not know this API key", "Copy the key again", "code 1008"],
            id="refused before Begin",
        ),
        pytest.param(
            [(0.2, Closed(1013))],
            NORMAL,
            0,
            ["overloaded", "code 1013"],
            id="closed before Begin",
        ),
        pytest.param(
            [(0.0, BEGIN), (0.55, error(3007, TOO_FAST)), (0.55, Closed(3007, DETAILS))],
            NORMAL,
            5,
            ["faster than real time", "pacing='wall_clock'", "code 3007", "after 0.5 s"],
            id="closed in the middle",
        ),
        pytest.param(
            [(0.0, BEGIN), (0.55, error(3007, TOO_FAST)), (0.75, Closed(3007, DETAILS))],
            NORMAL,
            7,
            ["faster than real time"],
            id="closed a while after the error",
        ),
        pytest.param(
            [(0.0, BEGIN), (0.55, Closed(3008, "Session Expired: Maximum"))],
            NORMAL,
            5,
            ["maximum duration", "code 3008", '"Session Expired: Maximum"'],
            id="the reason in the close only",
        ),
        pytest.param(
            [(0.0, BEGIN), (0.55, Closed(None))],
            NORMAL,
            5,
            ["broke without a close frame", "without a close code"],
            id="broken",
        ),
        pytest.param(
            [(0.0, BEGIN), (0.55, Closed(1000))],
            NORMAL,
            5,
            ["closed the session early"],
            id="closed in the middle as if all were well",
        ),
        pytest.param(
            [(0.0, BEGIN), (0.55, ENDED), (0.55, Closed(3008, "Session Expired"))],
            NORMAL,
            5,
            ["maximum duration"],
            id="expired in the middle, with a Termination",
        ),
        pytest.param([(0.0, BEGIN)], (), 10, ["no Termination within 10 s"], id="no Termination"),
        pytest.param(
            [(0.0, BEGIN)],
            (Closed(1000),),
            10,
            ["closed the session early"],
            id="closed without a Termination",
        ),
        pytest.param(
            [(0.0, BEGIN)],
            (error(3005, "Session Cancelled: An error occurred"), Closed(3005, DETAILS)),
            10,
            ["canceled the session"],
            id="an error after Terminate",
        ),
    ],
)
def test_a_session_that_breaks_off_says_why_and_keeps_its_facts(
    make_clip: MakeClip,
    tmp_path: Path,
    timeline: list[tuple[float, str | bytes | Closed]],
    shutdown: tuple[str | Closed, ...],
    chunks: int,
    sentences: list[str],
) -> None:
    path = tmp_path / "a.jsonl"
    failure, service, _ = failing(make_clip(1.0), lambda: Scripted(timeline, shutdown), record=path)
    for sentence in sentences:
        assert sentence in str(failure)
    assert len(failure.session.chunks) == chunks
    assert failure.session.ending is not None
    assert (failure.session.ending.how, failure.session.ending.error) == ("failed", str(failure))
    assert load_session(path) == failure.session
    assert service.closed >= 1


@pytest.mark.parametrize(
    ("timeline", "shutdown", "how", "over"),
    [
        ([], NORMAL, {}, 10.0),
        ([], NORMAL, {"begin_timeout": 2.0}, 2.0),
        ([(0.0, BEGIN)], (), {}, 11.0),
        ([(0.0, BEGIN)], (), {"termination_timeout": 3.0}, 4.0),
        # All sent at once, the service may listen until the audio would have ended.
        ([(0.0, BEGIN)], (), {"termination_timeout": 3.0, "pacing": "unpaced"}, 4.0),
        ([(0.0, BEGIN), (0.55, Closed(None))], NORMAL, {}, 0.55),
        # The last word comes in the very instant in which nobody waits for it any more.
        ([(0.0, BEGIN), (4.0, ENDED)], (), {"termination_timeout": 3.0}, 4.0),
    ],
)
def test_patience_ends_when_it_should(
    make_clip: MakeClip,
    timeline: list[tuple[float, str | bytes | Closed]],
    shutdown: tuple[str | Closed, ...],
    how: dict[str, Any],
    over: float,
) -> None:
    _, _, ended = failing(make_clip(1.0), lambda: Scripted(timeline, shutdown), **how)
    assert ended == pytest.approx(over, abs=EXACT)


def test_a_service_that_stops_reading_is_given_up(make_clip: MakeClip) -> None:
    failure, service, ended = failing(make_clip(1.0), lambda: Scripted([(0.0, BEGIN)], deaf=True))
    assert "stopped reading" in str(failure)
    assert failure.session.chunks == ()
    assert ended == pytest.approx(0.1 + SEND_TIMEOUT, abs=EXACT)
    assert service.closed >= 1


def test_a_close_that_only_the_sender_sees_is_told_of(make_clip: MakeClip) -> None:
    class Torn(Scripted):
        async def send(self, frame: bytes | str) -> None:
            if len(self.heard) == 3:
                raise Closed(3008, "Session Expired: Maximum session duration exceeded")
            await super().send(frame)

    failure, service, _ = failing(make_clip(1.0), lambda: Torn([(0.0, BEGIN)]))
    assert "maximum duration" in str(failure)
    assert len(failure.session.chunks) == 3
    assert service.closed >= 1


def test_a_file_that_ends_too_early_fails_the_session_after_a_goodbye(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    clip = make_clip(2.0)
    make_clip(1.0)
    clip.path.write_bytes((tmp_path / "noise-1s-8000.wav").read_bytes())
    failure, service, _ = failing(clip, lambda: Scripted([(0.0, BEGIN)]))
    assert "too early" in str(failure)
    assert len(failure.session.chunks) == 10
    assert service.terminates == 1  # it bills until it hears Terminate


def test_messages_that_cannot_be_read_are_recorded_and_the_session_goes_on(
    make_clip: MakeClip,
) -> None:
    odd: list[str | bytes] = [
        "no JSON",
        "[]",
        '{"type": "Turn"}',
        '{"type": "FromTheFuture", "n": 1}',
        b"\xff\xfe",
        json.dumps({"type": "Termination", "audio_duration_seconds": 10**400}),
    ]

    async def run() -> Session:
        told = [(0.3 + 0.05 * i, message) for i, message in enumerate(odd)]
        return await stream(make_clip(1.0), connection=Scripted([(0.0, BEGIN), *told]))

    session = simulate(run())
    assert session.complete
    kinds = [getattr(reply, "type", None) for _, reply in session.replies[1:-1]]
    assert kinds == ["unreadable", "unreadable", "unreadable", "FromTheFuture", *["unreadable"] * 2]
    assert len(session.chunks) == 10


@pytest.mark.parametrize(
    ("moment", "chunks"),
    [
        pytest.param(0.5, 0, id="before Begin"),
        pytest.param(1.05, 0, id="before the first chunk"),
        pytest.param(1.35, 3, id="waiting for a chunk"),
        pytest.param(1.302, 3, id="working"),
        pytest.param(2.5, 10, id="waiting for Termination"),
    ],
)
@pytest.mark.parametrize("silent", [False, True])
def test_a_cancelled_session_says_terminate_and_leaves_a_file(
    make_clip: MakeClip, tmp_path: Path, moment: float, chunks: int, silent: bool
) -> None:
    path = tmp_path / "a.jsonl"
    clip = make_clip(1.0)

    async def run() -> tuple[Scripted, float]:
        # It has no last words until it is asked twice, or ever.
        service = Scripted([(1.0, BEGIN)], () if silent or moment > 2 else NORMAL)
        task = asyncio.create_task(
            stream(clip, connection=service, record=path, work=0.005, begin_timeout=5.0)
        )
        await sleep_until(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return service, virtual_loop().time() - moment

    service, lasted = simulate(run())
    assert service.terminates == 1
    assert service.closed >= 1
    assert lasted <= GOODBYE + EXACT
    session = load_session(path)
    assert session.ending is not None
    assert session.ending.how == "stopped"
    assert len(session.chunks) == chunks


def test_a_second_cancel_cuts_the_goodbye_short_and_still_leaves_a_whole_file(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    clip = make_clip(1.0)

    async def run() -> tuple[Scripted, float]:
        service = Scripted([(0.0, BEGIN)], ())
        task = asyncio.create_task(stream(clip, connection=service, record=path))
        for moment in (0.35, 0.45):
            await sleep_until(moment)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return service, virtual_loop().time()

    service, ended = simulate(run())
    assert ended == pytest.approx(0.45, abs=EXACT)
    assert service.closed >= 1
    ending = load_session(path).ending
    assert ending is not None
    assert ending.how == "stopped"


class Clumsy(Exception):
    pass


def always(fact: Fact) -> bool:
    return True


def a_chunk(fact: Fact) -> bool:
    return isinstance(fact, Chunk)


def a_message_while_sending(fact: Fact) -> bool:
    return isinstance(fact, Message) and fact.at > 0.25


def never(fact: Fact) -> bool:
    return False


@pytest.mark.parametrize("watched", [never, always, a_chunk, a_message_while_sending])
def test_an_error_in_what_the_caller_gave_comes_out_after_a_goodbye(
    make_clip: MakeClip, tmp_path: Path, watched: Callable[[Fact], bool]
) -> None:
    path = tmp_path / "a.jsonl"
    clip = make_clip(1.0)

    def work(_: bytes) -> None:
        if watched is never:
            raise Clumsy("dropped it")

    def on_event(fact: Fact) -> None:
        if watched(fact):
            raise Clumsy("dropped it")

    async def run() -> Scripted:
        service = Scripted([(0.0, BEGIN), (0.3, '{"type": "Heartbeat"}')])
        with pytest.raises(Clumsy):
            await stream(clip, connection=service, work=work, on_event=on_event, record=path)
        return service

    service = simulate(run())
    assert service.terminates == 1
    assert service.closed >= 1
    ending = load_session(path).ending
    assert ending is not None
    assert (ending.how, ending.error) == ("failed", "Clumsy: dropped it")


class Untouched:
    """A service that must not be asked."""

    async def connect_info(self, rate: int, reference: object) -> Endpoint:
        raise AssertionError("a service was started")

    def describe(self, reference: object) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"chunk": 0.02}, "chunk=0.02"),
        ({"chunk": 100}, "chunk=100"),
        ({"chunk": math.nan}, "chunk=nan"),
        ({"pacing": "walclock"}, "unknown pacing 'walclock'"),
        ({"phase": "middle"}, "unknown phase 'middle'"),
        ({"work": -0.1}, "work=-0.1"),
        ({"work": math.inf}, "work=inf"),
        ({"work": math.nan}, "work=nan"),
        ({"catch_up": 1.0}, "catch_up=1"),
        ({"catch_up": 2.0, "pacing": "unpaced"}, "catch_up needs pacing"),
    ],
)
def test_a_bad_parameter_is_refused_before_anything_happens(
    make_clip: MakeClip, tmp_path: Path, how: dict[str, Any], told: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("an older session")
    clip = make_clip(1.0)

    async def run() -> Scripted:
        service = Scripted([(0.0, BEGIN)])
        with pytest.raises(ValueError, match=told):
            await stream(clip, connection=service, record=path, **how)
        with pytest.raises(ValueError, match=told):
            await stream(clip, service=Untouched(), record=path, **how)
        return service

    service = simulate(run())
    assert service.heard == []
    assert path.read_text() == "an older session"


def test_sessions_at_the_same_time_do_not_disturb_each_other(make_clip: MakeClip) -> None:
    clip = make_clip(3.0, reference=HELLO)

    async def together() -> tuple[Session, Session, Session]:
        return await asyncio.gather(
            converse(clip, pacing="wall_clock", work=0.003),
            converse(clip, pacing="fixed_sleep", work=0.003),
            converse(clip, chunk=0.3),
        )

    wall, naive, coarse = simulate(together())
    assert wall.lateness[-1] == pytest.approx(0, abs=EXACT)
    assert naive.lateness[-1] == pytest.approx(29 * 0.003, abs=EXACT)
    assert len(coarse.chunks) == 10
    assert wall.transcript == naive.transcript == coarse.transcript == "hello there"


@pytest.mark.parametrize(
    ("clip", "how", "fix"),
    [
        ("call.wav", {}, r"rtkit\.open_clip\(PATH\)"),
        (None, {"service": AssemblyAI}, "an instance"),
        (None, {"service": "assemblyai"}, "an instance"),
    ],
)
def test_the_likeliest_mistakes_are_told_with_their_cure(
    make_clip: MakeClip, clip: Any, how: dict[str, Any], fix: str
) -> None:
    with pytest.raises(TypeError, match=fix):
        simulate(stream(clip or make_clip(0.5), **how))


def test_a_missing_key_does_not_cost_an_older_recording(
    make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    path = tmp_path / "old.jsonl"
    path.write_text("precious")
    with pytest.raises(ValueError, match="needs an API key"):
        simulate(stream(make_clip(0.5), service=AssemblyAI(), record=path))
    assert path.read_text() == "precious"


@pytest.mark.parametrize("recorded", [True, False])
def test_what_stops_a_session_tells_where_its_facts_are(
    make_clip: MakeClip, tmp_path: Path, recorded: bool
) -> None:
    path = tmp_path / "a.jsonl" if recorded else None

    async def stopped() -> list[str]:
        task = asyncio.create_task(converse(make_clip(9.0), record=path))
        await asyncio.sleep(2.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.__notes__

    (note,) = simulate(stopped())
    assert "after 2.0 s of audio" in note
    assert (str(path) if recorded else "record=PATH") in note


def test_a_service_that_pings_and_reads_nothing_does_not_make_it_grow(make_clip: MakeClip) -> None:
    """What is owed for its pings is cut off, in a second and not when a chunk cannot leave."""
    owed = 0

    async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal owed
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = request.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
        answer = "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{answer}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())
        hello = BEGIN.encode()
        writer.write(bytes([0x81, len(hello)]) + hello)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            while owed < 100 << 20:
                writer.write((b"\x89\x7d" + bytes(125)) * 500)
                owed += 500 * 127
                await writer.drain()
        writer.close()

    async def run() -> StreamError:
        async with await asyncio.start_server(ping, "127.0.0.1", 0) as server:
            host = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(StreamError) as failure:
                await stream(make_clip(20.0), service=AssemblyAI("any", host=host))
            return failure.value

    assert rtkit.explain(asyncio.run(run())).name == "flood"
    assert owed < 100 << 20
