"""Odd rates, chunks, work, stalls and bounds: each chunk leaves when arithmetic says it must."""

from __future__ import annotations

import asyncio
import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, virtual_loop

import rtkit
from rtkit.audio import Clip
from rtkit.experiments.concurrent_result import ConcurrentResult
from rtkit.experiments.many import stream_many
from rtkit.loopback.engines import Energy
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.sending.stream import stream
from rtkit.session import Session

EXACT = 1e-9
Stalls = tuple[tuple[float, float], ...]


def edges(samples: int, rate: int, chunk: str) -> list[int]:
    """Of a service that takes chunks of any duration."""
    return [*range(0, samples, math.ceil(Fraction(chunk) * rate)), samples]


def truth(
    due: list[float],
    pacing: str,
    *,
    work: float = 0.0,
    catch_up: float = math.inf,
    blocks: Stalls = (),
) -> list[float]:
    """When each chunk leaves, where nothing takes time but the work and the stalls."""
    sent: list[float] = []
    now = 0.0
    for index, when in enumerate(due):
        if index:
            step = when - due[index - 1]
            when = {
                "wall_clock": max(when, sent[-1] + step / catch_up),
                "fixed_sleep": now + step,
                "unpaced": now,
            }[pacing]
        when = max(when, now)
        for start, seconds in blocks:
            if start < when < start + seconds:
                when = start + seconds
        sent.append(when)
        now = when + work
    return sent


def session(clip: Clip, **how: Any) -> Session:
    async def alone() -> Session:
        connection = InMemoryConnection(Energy, rate=clip.rate, dialect="deepgram")
        return await stream(clip, connection=connection, **how)

    return simulate(alone())


@pytest.mark.parametrize("phase", ["end", "start"])
@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep", "unpaced"])
@pytest.mark.parametrize(
    ("seconds", "rate", "chunk", "work"),
    [
        pytest.param(0.5, 44100, "0.0073", 0.0, id="7.3 ms at 44.1 kHz"),
        pytest.param(0.5, 44100, "0.0073", 0.001, id="and work"),
        pytest.param(0.5, 44100, "0.0073", 0.02, id="and work longer than a chunk"),
        pytest.param(1.0, 11025, "0.0333", 0.005, id="33.3 ms at 11025 Hz"),
        pytest.param(1.01, 22050, "0.0625", 0.0625, id="work as long as a chunk"),
        pytest.param(2.5, 48000, "1", 0.3, id="chunks of a second"),
        pytest.param(1.0, 8000, "0.05", 0.08, id="work longer than a chunk"),
        pytest.param(0.03, 16000, "0.1", 0.01, id="a clip shorter than a chunk"),
        pytest.param(1 / 8000, 8000, "0.1", 0.01, id="a clip of one sample"),
        pytest.param(0.2001, 8000, "0.1", 0.0, id="a tail of one sample"),
        pytest.param(0.003, 37123, "0.000027", 0.0, id="about a sample a chunk"),
    ],
)
def test_chunks_of_any_length_and_work(
    make_clip: MakeClip, seconds: float, rate: int, chunk: str, work: float, pacing: str, phase: str
) -> None:
    clip = make_clip(seconds, rate=rate)
    found = session(clip, chunk=float(chunk), pacing=pacing, phase=phase, work=work)
    cut = edges(clip.samples, rate, chunk)
    due = [edge / rate for edge in (cut[1:] if phase == "end" else cut[:-1])]
    assert [(one.start, one.stop) for one in found.chunks] == list(pairwise(cut))
    assert found.due.tolist() == due
    np.testing.assert_allclose(found.sent, truth(due, pacing, work=work), atol=EXACT)
    assert found.complete
    assert found.bytes_sent == 2 * clip.samples + sum(one.padding for one in found.chunks)
    rtkit.diagnose(found)
    assert str(rtkit.summarize(found))


@pytest.mark.parametrize("catch_up", [None, 1.001, 1.5, 2.0, 1000.0])
@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param(((0.0, 0.35),), id="over the first chunks"),
        pytest.param(((0.95, 0.3),), id="over the last chunk"),
        pytest.param(((0.25, 3.0),), id="longer than the rest"),
        pytest.param(((0.15, 0.3), (0.47, 0.2)), id="again while it catches up"),
        pytest.param(((0.15, 0.3), (0.3, 0.01)), id="one that comes in another"),
        pytest.param(((0.199, 0.0009),), id="between two chunks"),
    ],
)
def test_stalls_and_how_fast_they_are_made_up_for(
    make_clip: MakeClip, blocks: Stalls, catch_up: float | None
) -> None:
    found = session(make_clip(1.0), catch_up=catch_up, blocks=blocks)
    due = [(index + 1) / 10 for index in range(10)]
    if blocks[-1] == (0.3, 0.01):  # it waits for the first one to end, and only then blocks
        blocks = ((0.15, 0.31),)
    expected = truth(due, "wall_clock", catch_up=catch_up or math.inf, blocks=blocks)
    np.testing.assert_allclose(found.sent, expected, atol=EXACT)
    assert found.complete


@pytest.mark.parametrize("pacing", ["fixed_sleep", "unpaced"])
@pytest.mark.parametrize("at", [0.0, 0.25, 0.95])
def test_stalls_of_other_pacings(make_clip: MakeClip, pacing: str, at: float) -> None:
    found = session(make_clip(1.0), pacing=pacing, blocks=((at, 0.33),), work=0.0)
    due = [(index + 1) / 10 for index in range(10)]
    np.testing.assert_allclose(found.sent, truth(due, pacing, blocks=((at, 0.33),)), atol=EXACT)


@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep", "unpaced"])
@pytest.mark.parametrize("chunk", [0, 4, 9])
def test_one_chunk_whose_work_blocks_the_loop(make_clip: MakeClip, pacing: str, chunk: int) -> None:
    done: list[bytes] = []

    def work(audio: bytes) -> None:
        if len(done) == chunk:
            virtual_loop().block(0.25)
        done.append(audio)

    found = session(make_clip(1.0), pacing=pacing, work=work)
    due = (np.arange(10) + 1) / 10
    late = np.zeros(10)
    if pacing == "wall_clock":
        late[chunk + 1 : chunk + 3] = [0.15, 0.05][: 9 - chunk]
    elif pacing == "fixed_sleep":
        late[chunk + 1 :] = 0.25
    else:
        late = 0.1 - due
        late[chunk + 1 :] += 0.25
    np.testing.assert_allclose(found.lateness, late, atol=EXACT)
    assert len(done) == 10


async def unequal(clips: list[Clip], **how: Any) -> ConcurrentResult:
    connections = [InMemoryConnection(Energy, rate=clip.rate, dialect="deepgram") for clip in clips]
    return await stream_many(clips, connections=connections, **how)


@pytest.mark.parametrize("phase", ["end", "start"])
@pytest.mark.parametrize("chunk", [0.0073, 0.1, 1.0])
def test_sessions_of_unequal_clips_at_once(make_clip: MakeClip, chunk: float, phase: str) -> None:
    lengths = [(0.03, 8000), (1.0, 44100), (0.26, 11025), (1.0, 8000), (1 / 8000, 8000)]
    clips = [make_clip(seconds, rate=rate) for seconds, rate in lengths]
    clips += [clips[1], clips[0]]  # read once for both
    found = simulate(unequal(clips, chunk=chunk, phase=phase))
    assert not found.errors
    for clip, one in zip(clips, found.sessions, strict=True):
        assert one.complete
        assert one.chunks[-1].stop == clip.samples
        np.testing.assert_allclose(one.lateness, 0, atol=EXACT)
    assert str(found)


@pytest.mark.parametrize("rate", [None, 37.0])
def test_eleven_sessions_each_in_a_phase_of_its_own(
    make_clip: MakeClip, rate: float | None
) -> None:
    clip = make_clip(1.0)
    found = simulate(unequal([clip] * 11, chunk=0.13, sessions_per_minute=rate))
    zeros = np.array([one.zero for one in found.sessions])
    phases = (zeros - zeros[0]) / 0.13 % 1
    expected = np.arange(11) * 0.6180339887498949 % 1
    assert np.abs((phases - expected + 0.5) % 1 - 0.5).max() < 1e-6
    for one in found.sessions:
        np.testing.assert_allclose(one.lateness, 0, atol=EXACT)


@pytest.mark.parametrize("gone", [0.0, 0.05, 0.31, 0.999])
def test_a_service_that_goes_in_the_middle_leaves_what_was_sent(
    make_clip: MakeClip, gone: float
) -> None:
    clip = make_clip(1.0)

    async def leaving() -> Session:
        connection = InMemoryConnection(Energy, rate=clip.rate)
        loop = virtual_loop()

        async def leave() -> None:
            await asyncio.sleep(gone)
            await connection.close()

        tasks: list[asyncio.Task[None]] = []

        def see(_: object) -> None:
            if not tasks:
                tasks.append(loop.create_task(leave()))

        with pytest.raises(rtkit.StreamError) as failure:
            await stream(clip, connection=connection, on_event=see)
        await asyncio.gather(*tasks)
        return failure.value.session

    found = simulate(leaving())
    assert found.ending is not None
    assert found.ending.how == "failed"
    assert len(found.chunks) <= math.floor(gone * 10) + 1
    np.testing.assert_allclose(found.lateness, 0, atol=EXACT)
    rtkit.diagnose(found)
