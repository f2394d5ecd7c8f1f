"""Many sessions at once: exact in virtual time, and once over real sockets."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, spoken, virtual_loop
from facts import CALL
from remains import linux, nothing_remains, timers

import rtkit
from rtkit.analysis.timing.latency import turn_latency, word_latency
from rtkit.audio import Clip, open_clip
from rtkit.boundary.files import AsideFile
from rtkit.clock.timetable import Timetable
from rtkit.experiments.concurrent_result import ConcurrentResult
from rtkit.experiments.many import stream_many
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Energy, Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.recording import StreamError, load_session
from rtkit.sending.run import SEND_TIMEOUT
from rtkit.sending.stream import stream
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.services.endpoint import Closed
from rtkit.services.messages import Termination
from rtkit.session import Chunk, Message

EXACT = 1e-9


def connection(
    clip: Clip, kind: type[InMemoryConnection] = InMemoryConnection
) -> InMemoryConnection:
    script = clip.reference
    return kind(
        Energy if script is None else lambda rate: Script(script, rate),
        rate=clip.rate,
        behavior=Behavior(0.15),
    )


async def many(
    clips: list[Clip], *, kinds: dict[int, type[InMemoryConnection]] | None = None, **how: Any
) -> ConcurrentResult:
    """Stream them to the embedded service in memory, some through connections of other kinds."""
    kinds = kinds or {}
    connections = [
        connection(clip, kinds.get(index, InMemoryConnection)) for index, clip in enumerate(clips)
    ]
    return await stream_many(clips, connections=connections, **how)


def problems(session: rtkit.session.Session) -> tuple[str, ...]:
    return tuple(one.name for one in rtkit.validity(session).problems)


# Time.


def test_every_chunk_of_every_session_leaves_when_it_is_due(make_clip: MakeClip) -> None:
    result = simulate(many([make_clip(3.0)] * 50 + [make_clip(2.0, rate=11025)] * 50, chunk=0.05))
    assert len(result.sessions) == 100
    assert not result.errors
    assert len(result.lateness) == 50 * 60 + 50 * 39
    assert result.lateness == pytest.approx(0, abs=EXACT)
    assert not result.saturated
    assert {problems(session) for session in result.sessions} == {("no results",)}  # it is noise


@pytest.mark.parametrize("sessions", [2, 10, 100])
def test_sessions_start_apart_but_within_a_chunk(make_clip: MakeClip, sessions: int) -> None:
    result = simulate(many([make_clip(1.0)] * sessions))
    zeros = np.sort([session.zero for session in result.sessions])
    assert zeros[-1] - zeros[0] < 0.1
    around = np.diff(np.append(zeros, zeros[0] + 0.1))
    assert around.min() > 0.38 * 0.1 / sessions  # an even spread would have 1 / sessions


def test_a_session_among_many_measures_what_it_measures_alone() -> None:
    clip = open_clip(CALL, seconds=12)
    alone = simulate(stream_alone(clip))
    for session in simulate(many([clip] * 3)).sessions:
        assert session.transcript == alone.transcript
        assert session.bytes_sent == alone.bytes_sent
        assert session.levels == alone.levels != ()
        assert [(c.start, c.stop, c.due) for c in session.chunks] == [
            (c.start, c.stop, c.due) for c in alone.chunks
        ]
        for measure in (word_latency, turn_latency):
            one, other = measure(session), measure(alone)
            counted = one.counted & other.counted  # Terminate comes a chunk later
            assert counted.sum() >= len(other) - 1
            np.testing.assert_allclose(one.latency[counted], other.latency[counted], atol=EXACT)


@pytest.mark.parametrize("run", [stream_many, stream])
def test_a_session_does_not_wait_for_garbage_among_older_objects(run: Any) -> None:
    """A full collection takes as long as there are objects; in a notebook, tenths of a second."""
    clip, old = open_clip(CALL, seconds=1), gc.get_freeze_count()
    frozen: list[int] = []

    async def watched() -> None:
        def look(_: object) -> None:
            frozen.append(gc.get_freeze_count())

        if run is stream:
            await stream(clip, connection=connection(clip), on_event=look)
        else:
            await many([clip] * 2, on_event=look)

    simulate(watched())
    assert frozen[1] > old + 1000
    assert gc.get_freeze_count() <= old


async def stream_alone(clip: Clip) -> rtkit.Session:
    return await stream(clip, connection=connection(clip))


def test_new_sessions_keep_to_the_rate_that_the_account_allows(make_clip: MakeClip) -> None:
    result = simulate(many([make_clip(1.0)] * 4, sessions_per_minute=30))
    begun = [session.zero + session.messages[0].at for session in result.sessions]
    assert np.diff(begun) == pytest.approx(2.0, abs=EXACT)
    assert result.lateness == pytest.approx(0, abs=EXACT)
    assert result.seconds == pytest.approx(7, abs=0.2)


def test_a_busy_loop_is_called_saturated_and_no_latency_is_shown(make_clip: MakeClip) -> None:
    async def beside_a_hog() -> ConcurrentResult:
        loop = virtual_loop()
        for i in range(30):
            loop.call_later(i * 0.1, loop.block, 0.08)
        return await many(
            [make_clip(3.0, reference=spoken(("hello", 0.25, 0.5), ("there", 0.6, 0.9)))] * 20
        )

    result = simulate(beside_a_hog())
    assert result.saturated
    assert "saturated" in repr(result)
    assert "The host is saturated" in result.summary()
    assert "word latency" not in result.summary()
    assert all(session.stalls for session in result.sessions)
    calm = simulate(
        many([make_clip(3.0, reference=spoken(("hello", 0.25, 0.5), ("there", 0.6, 0.9)))] * 20)
    )
    assert "saturated" not in calm.summary()
    assert "word latency        p50 150.00" in calm.summary()
    assert "word service time   p50 150.00" in calm.summary()


def test_one_of_the_longest_is_watched(make_clip: MakeClip) -> None:
    seen: list[Any] = []
    clips = [make_clip(1.0), make_clip(2.0), make_clip(1.0)]
    result = simulate(many(clips, on_event=seen.append))
    assert seen == [*result.sessions[1].chunks, result.sessions[1].ending]


def test_each_can_be_watched_with_what_it_hears(make_clip: MakeClip) -> None:
    seen: list[list[Any]] = [[], []]
    clip = make_clip(1.0, reference=spoken(("hello", 0.25, 0.5)))
    result = simulate(many([clip] * 2, on_event=[one.append for one in seen]))
    for session, facts in zip(result.sessions, seen, strict=True):
        chunks = [fact for fact in facts if isinstance(fact, Chunk)]
        messages = [fact for fact in facts if isinstance(fact, Message)]
        assert chunks == list(session.chunks)
        assert messages == list(session.messages)
        assert any(fact.replies for fact in messages)
        assert facts[-1] == session.ending
        assert len(facts) == len(chunks) + len(messages) + 1
    with pytest.raises(ValueError, match="1 on_event for 2 clips"):
        asyncio.run(stream_many([clip] * 2, on_event=[seen[0].append]))


# What goes wrong.


@pytest.mark.parametrize("at", [0, 5])
@pytest.mark.parametrize(
    ("error", "comes_out"),
    [(ZeroDivisionError, ZeroDivisionError), (StopIteration, RuntimeError)],
)
def test_an_error_in_watch_ends_every_session_and_comes_out(
    make_clip: MakeClip, at: int, error: type[Exception], comes_out: type[Exception]
) -> None:
    def on_event(fact: Any) -> None:
        if getattr(fact, "index", None) == at:
            raise error

    with pytest.raises(comes_out):  # and `simulate` sees that no task is left
        simulate(many([make_clip(3.0)] * 3, on_event=on_event))


class Breaking(InMemoryConnection):
    """Breaks after ten chunks."""

    written = 0

    def write(self, frame: bytes | str) -> bool:
        self.written += 1
        if self.written > 10:
            raise Closed(None)
        return super().write(frame)


class Full(InMemoryConnection):
    """Lets nothing out for a while."""

    until = 1.0

    def write(self, frame: bytes | str) -> bool:
        if isinstance(frame, bytes) and 0.5 < self._loop.time() < self.until:
            return False
        return super().write(frame)


class FullForGood(Full):
    until = float("inf")


def test_one_that_breaks_does_not_end_the_others(make_clip: MakeClip) -> None:
    result = simulate(many([make_clip(3.0)] * 4, kinds={2: Breaking}))
    assert [len(session.chunks) for session in result.sessions] == [30, 30, 10, 30]
    assert [session.complete for session in result.sessions] == [True, True, False, True]
    (error,) = result.errors
    assert "without a close code" in str(error)
    assert "after 1.0 s of audio" in str(error)
    assert error.session is result.sessions[2]
    assert "1 of 4 sessions failed" in result.summary()


def test_a_full_connection_holds_up_its_own_session_only(make_clip: MakeClip) -> None:
    result = simulate(many([make_clip(3.0)] * 3, kinds={1: Full}))
    assert not result.errors
    held = result.sessions[1]
    assert max(chunk.returned - chunk.sent for chunk in held.chunks) > 0.3
    assert "backpressure" in problems(held)
    assert not result.saturated  # the host is not to blame
    assert "1 of 3 sessions were delayed by a full connection" in result.summary()
    for session in (result.sessions[0], result.sessions[2]):
        assert session.lateness == pytest.approx(0, abs=EXACT)
        assert problems(session) == ("no results",)


def test_a_connection_that_stays_full_is_given_up(make_clip: MakeClip) -> None:
    result = simulate(many([make_clip(3.0)] * 2, kinds={1: FullForGood}))
    (error,) = result.errors
    assert f"could not be sent within {SEND_TIMEOUT:g} s" in str(error)
    assert result.sessions[0].complete


def test_audio_that_ends_early_fails_every_session_that_shares_it(make_clip: MakeClip) -> None:
    clip = make_clip(3.0)
    frames = clip.path.read_bytes()
    clip.path.write_bytes(frames[: len(frames) // 2])
    result = simulate(many([clip, clip, make_clip(2.0)]))
    assert [session.complete for session in result.sessions] == [False, False, True]
    assert all(clip.path.name in str(error) for error in result.errors)
    assert len(result.errors) == 2
    assert result.sessions[0].chunks


class Deaf(InMemoryConnection):
    async def recv(self) -> str:
        await asyncio.Event().wait()
        raise AssertionError


def test_one_without_begin_does_not_keep_the_others_waiting_for_good(make_clip: MakeClip) -> None:
    result = simulate(many([make_clip(1.0)] * 3, kinds={0: Deaf}, begin_timeout=2))
    assert [session.complete for session in result.sessions] == [False, True, True]
    assert "no Begin within 2 s" in str(result.errors[0])
    assert result.sessions[1].lateness == pytest.approx(0, abs=EXACT)


def test_where_none_begins_there_is_an_error(make_clip: MakeClip) -> None:
    with pytest.raises(StreamError, match="no Begin within 2 s"):
        simulate(many([make_clip(1.0)] * 3, kinds=dict.fromkeys(range(3), Deaf), begin_timeout=2))


def test_stopped_sessions_say_terminate_and_are_kept(make_clip: MakeClip, tmp_path: Path) -> None:
    async def stopped() -> None:
        task = asyncio.create_task(many([make_clip(9.0)] * 3, record=tmp_path / "runs"))
        await asyncio.sleep(2.05)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        simulate(stopped())
    sessions = load_session(tmp_path / "runs")
    assert list(sessions) == ["0000", "0001", "0002"]
    for session in sessions.values():
        assert session.ending.how == "stopped"
        assert len(session.chunks) in (19, 20)
        assert session.terminated is not None
        assert isinstance(session.replies[-1][1], Termination)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"chunk": 100}, "chunk is in seconds"),
        ({"phase": "middle"}, "unknown phase"),
        ({"sessions_per_minute": 0}, "sessions_per_minute=0 is not a rate"),
        ({"connections": []}, "0 connections for 2 clips"),
    ],
)
def test_what_cannot_be_is_refused(make_clip: MakeClip, how: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        simulate(stream_many([make_clip(1.0)] * 2, **how))


def test_no_clips_no_clip_and_no_key_are_refused(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="the list of clips is empty"):
        simulate(stream_many([]))
    with pytest.raises(TypeError, match="is not a clip"):
        simulate(stream_many(["call.wav"]))  # type: ignore[list-item]
    with pytest.raises(ValueError, match="ASSEMBLYAI_API_KEY"):
        simulate(stream_many([make_clip(1.0)], service=AssemblyAI()))


def test_sessions_are_written_while_they_run(make_clip: MakeClip, tmp_path: Path) -> None:
    """The writer writes in real time; in virtual time it is given some."""
    seen: list[dict[str, rtkit.Session]] = []

    async def looked_at() -> ConcurrentResult:
        loop, folder = virtual_loop(), tmp_path / "runs"
        loop.call_later(2.05, time.sleep, 1.2)
        loop.call_later(2.06, lambda: seen.append(load_session(folder)))
        return await many([make_clip(3.0)] * 3, record=folder)

    result = simulate(looked_at())
    assert list(seen[0]) == ["0000", "0001", "0002"]
    for session, half in zip(result.sessions, seen[0].values(), strict=True):
        assert half.ending is None
        assert half.chunks == session.chunks[: len(half.chunks)]
        assert len(half.chunks) in (18, 19, 20)
    assert tuple(load_session(tmp_path / "runs").values()) == result.sessions
    assert (
        (tmp_path / "runs" / "0000.jsonl")
        .read_text()
        .splitlines()[-1]
        .startswith('{"kind": "ending"')
    )


def test_a_file_in_use_is_refused_before_anything_is_sent(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    file = AsideFile(tmp_path / "0001.jsonl")
    with pytest.raises(ValueError, match=r"0001\.jsonl is being written by another session"):
        simulate(stream_many([make_clip(1.0)] * 3, service=AssemblyAI("x" * 20), record=tmp_path))
    file.close(whole=False)
    assert list(tmp_path.glob("*.jsonl")) == []
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(OSError, match="file"):
        simulate(stream_many([make_clip(1.0)], service=AssemblyAI("x" * 20), record=path))


def test_a_disk_that_fails_costs_no_session(make_clip: MakeClip, tmp_path: Path) -> None:
    folder = tmp_path / "runs"

    async def without_a_folder() -> ConcurrentResult:
        virtual_loop().call_later(1.0, shutil.rmtree, folder)
        return await many([make_clip(3.0)] * 3, record=folder, kinds={1: Breaking})

    result = simulate(without_a_folder())
    assert [len(session.chunks) for session in result.sessions] == [30, 10, 30]
    (broken,) = result.errors
    assert "without a close code" in str(broken)
    assert [error.session for error in result.unwritten] == [result.sessions[i] for i in (0, 2)]
    assert "2 of 3 sessions were not recorded: The session's file could not be" in str(result)


@linux
def test_more_connections_than_the_process_may_have_are_refused(make_clip: MakeClip) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        with pytest.raises(ValueError, match=r"need 364 open files .* have only 256"):
            simulate(stream_many([make_clip(1.0)] * 300))
        with pytest.raises(ValueError, match=r"need 364 open files .* have only 256"):
            simulate(stream_many([make_clip(1.0)] * 150, record="runs"))
        too_many = before[1]
        if too_many != resource.RLIM_INFINITY:
            with pytest.raises(ValueError, match="Use fewer sessions: this system allows at most"):
                simulate(stream_many([make_clip(1.0)] * too_many))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# The timetable.


def test_the_timetable_calls_each_at_its_instants() -> None:
    calls: list[tuple[str, float]] = []

    def every(name: str, first: float, seconds: float, times: int) -> Iterator[float]:
        for number in range(times):
            yield first + number * seconds
            calls.append((name, virtual_loop().time()))

    async def main() -> None:
        timetable = Timetable()
        timetable.follow(every("a", 1.0, 1.0, 3))
        timetable.follow(every("b", 0.5, 1.0, 2))
        await asyncio.sleep(10)
        timetable.follow(every("c", 10.25, 1.0, 99))
        await asyncio.sleep(1.5)
        timetable.close()
        await asyncio.sleep(5)

    simulate(main())
    assert calls == [
        ("b", 0.5), ("a", 1.0), ("b", 1.5), ("a", 2.0), ("a", 3.0), ("c", 10.25), ("c", 11.25),
    ]  # fmt: skip


def test_many_late_calls_do_not_deafen_the_loop() -> None:
    turns = 0

    async def main() -> int:
        timetable, called = Timetable(), 0

        def steps() -> Iterator[float]:
            nonlocal called
            yield 0.0
            called += 1

        def turn() -> None:
            nonlocal turns
            turns += 1
            if called < 1000:
                virtual_loop().call_soon(turn)

        for _ in range(1000):
            timetable.follow(steps())
        virtual_loop().call_soon(turn)
        await asyncio.sleep(1)
        timetable.close()
        return called

    assert simulate(main()) == 1000
    assert turns >= 4


@linux
def test_on_a_real_loop_it_is_never_early_and_gives_its_timer_back() -> None:
    async def main() -> list[float]:
        loop, late = asyncio.get_running_loop(), []
        before = timers()
        timetable = Timetable()
        assert timers() == before + 1
        done = loop.create_future()

        def steps(due: float) -> Iterator[float]:
            yield due
            late.append(loop.time() - due)
            if len(late) == 200:
                done.set_result(None)

        for i in range(200):
            due = loop.time() + i * 0.0007
            timetable.follow(steps(due))
        await done
        timetable.close()
        assert timers() == before
        return late

    assert min(asyncio.run(main())) >= 0


# Over real sockets.


def test_twenty_sessions_at_once_with_the_embedded_service(tmp_path: Path) -> None:
    async def main() -> ConcurrentResult:
        async with rtkit.Loopback(delay=0.05) as service:
            clip = open_clip(CALL, seconds=4)
            return await stream_many([clip] * 20, service=service, record=tmp_path)

    with nothing_remains():
        began = time.monotonic()
        result = asyncio.run(main())
    assert time.monotonic() - began >= 4
    assert not result.errors
    assert len({session.transcript for session in result.sessions}) == 1
    assert result.sessions[0].transcript
    assert (result.lateness >= 0).all()
    for session in result.sessions:
        assert session.complete
        reply = session.replies[-1][1]
        assert isinstance(reply, Termination)
        assert reply.bytes_received == session.bytes_sent
        assert len(session.chunks) == 40
    assert 0 < result.cpu_per_chunk < 0.1
    lines = (tmp_path / "0019.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["settings"]["service"]["name"] == "embedded"


def test_what_was_counted_nowhere_is_said_to_be() -> None:
    """No turn ends within the first two seconds but by Terminate, which counts for nothing."""
    result = simulate(many([open_clip(CALL, seconds=2)] * 2))
    assert "turn latency        none was counted\n" in result.summary()
    assert "nan" not in result.summary()


@pytest.mark.parametrize("one", [open_clip(CALL, seconds=2), 3])
def test_one_clip_is_no_list_of_clips(one: Any) -> None:
    with pytest.raises(TypeError, match=r"takes a list of clips.*\[clip\] \* 100"):
        simulate(stream_many(one))
