"""An alarm is never early and hardly late, and gives back what it took."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import numpy as np
import pytest
from conftest import MakeClip
from remains import linux, nothing_remains, timers

from rtkit.audio import Clip
from rtkit.clock import timer as timer_module
from rtkit.clock.alarm import Alarm
from rtkit.clock.virtual import VirtualLoop
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Energy
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.recording import StreamError
from rtkit.sending.stream import stream
from rtkit.session import Session

PATIENCE = 20.0  # seconds; no wait here takes a fiftieth of it


@pytest.fixture(params=["timerfd", "the loop's timers"], autouse=True)
def timer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test with what the platform has, and with what there is everywhere."""
    if request.param != "timerfd":
        monkeypatch.setattr(timer_module, "open_timerfd", lambda loop: None)
    return str(request.param)


async def lateness(alarm: Alarm, ahead: float) -> float:
    loop = asyncio.get_running_loop()
    when = loop.time() + ahead
    async with asyncio.timeout(PATIENCE):
        await alarm.until(when)
    return loop.time() - when


@pytest.mark.parametrize("learn", [0, 10])
def test_hundreds_of_short_waits_and_none_ends_early(learn: int) -> None:
    async def waits() -> list[float]:
        alarm, generator = Alarm(), random.Random(learn)
        try:
            await alarm.learn(learn)
            return [await lateness(alarm, generator.uniform(-0.0005, 0.003)) for _ in range(300)]
        finally:
            alarm.close()

    with nothing_remains():
        assert min(asyncio.run(waits())) >= 0


def test_no_wait_ends_early_when_wakes_get_punctual_after_late_ones() -> None:
    """What was learned of late wake-ups makes the next ones early; that is waited out."""

    async def waits() -> list[float]:
        loop, alarm = asyncio.get_running_loop(), Alarm()
        found = []
        try:
            for number in range(60):
                if number < 30:  # the loop is busy when the timer rings
                    loop.call_later(0.001, time.sleep, 0.0016)
                found.append(await lateness(alarm, 0.002))
        finally:
            alarm.close()
        return found

    assert min(asyncio.run(waits())) >= 0


@pytest.mark.parametrize("ahead", [-10.0, 0.0])
def test_an_instant_that_has_passed_still_lets_the_loop_turn(ahead: float) -> None:
    async def late() -> list[str]:
        heard: list[str] = []
        loop, alarm = asyncio.get_running_loop(), Alarm()
        try:
            loop.call_soon(heard.append, "another's turn")
            await alarm.until(loop.time() + ahead)
            return list(heard)
        finally:
            alarm.close()

    assert asyncio.run(late()) == ["another's turn"]


def test_a_cancelled_wait_is_clean_and_the_alarm_usable_afterwards() -> None:
    async def cancelled() -> list[float]:
        loop, alarm = asyncio.get_running_loop(), Alarm()
        found = []
        try:
            for ahead in (1000.0, 0.003, 0.0):  # long before it rings, about when it does, at once
                task = asyncio.create_task(alarm.until(loop.time() + ahead))
                await asyncio.sleep(0.003 if ahead else 0)
                task.cancel()
                await asyncio.wait({task})
                assert asyncio.all_tasks() == {asyncio.current_task()}
                scheduled: list[asyncio.TimerHandle] = getattr(loop, "_scheduled")  # noqa: B009
                assert [timer for timer in scheduled if not timer.cancelled()] == []
                found += [await lateness(alarm, 0.002) for _ in range(5)]
        finally:
            alarm.close()
        return found

    with nothing_remains():
        assert min(asyncio.run(cancelled())) >= 0


def test_a_ring_that_comes_after_its_wait_was_cancelled_teaches_nothing() -> None:
    """It wakes the next wait a thousand seconds early; the one after that is not as much later."""

    async def stale() -> float:
        loop, alarm = asyncio.get_running_loop(), Alarm()

        async def waits() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await alarm.until(loop.time() + 0.003)
            await alarm.until(loop.time() + 1000)

        try:
            task = asyncio.create_task(waits())
            await asyncio.sleep(0)
            time.sleep(0.005)  # noqa: ASYNC251 - it rings and is cancelled in the same turn
            task.cancel()
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait({task})
            return await lateness(alarm, 0.002)
        finally:
            alarm.close()

    assert asyncio.run(stale()) >= 0


def test_several_alarms_in_one_loop_do_not_wake_or_close_one_another() -> None:
    async def one(seed: int) -> list[float]:
        alarm, generator = Alarm(), random.Random(seed)
        try:
            return [await lateness(alarm, generator.uniform(0, 0.006)) for _ in range(20 + seed)]
        finally:
            alarm.close()

    async def several() -> list[list[float]]:
        return list(await asyncio.gather(*(one(seed) for seed in range(8))))

    with nothing_remains():
        found = asyncio.run(several())
    assert [len(late) for late in found] == [20 + seed for seed in range(8)]
    assert min(map(min, found)) >= 0


def test_an_alarm_that_is_closed_twice_closes_nothing_else() -> None:
    async def twice() -> None:
        first = Alarm()
        first.close()
        second = Alarm()  # the descriptor's number is taken again
        try:
            first.close()
            assert await lateness(second, 0.002) >= 0
        finally:
            second.close()

    with nothing_remains():
        asyncio.run(twice())


# In a session.


def run(clip: Clip, work: Callable[[bytes], object], **behavior: float) -> Session:
    async def session() -> Session:
        connection = InMemoryConnection(Energy, rate=clip.rate, behavior=Behavior(**behavior))  # type: ignore[arg-type]
        return await stream(clip, chunk=0.05, work=work, connection=connection)

    return asyncio.run(session())


@linux
@pytest.mark.parametrize("ending", ["complete", "failed", "an error", "cancelled"])
def test_every_ending_of_a_session_gives_the_timer_back(
    make_clip: MakeClip, ending: str, timer: str
) -> None:
    clip = make_clip(0.2)
    before, during = timers(), []

    def work(_: bytes) -> None:
        during.append(timers() - before)
        if ending == "an error":
            raise KeyError("lost")
        if ending == "cancelled":
            raise asyncio.CancelledError

    with nothing_remains():
        match ending:
            case "complete":
                assert run(clip, work, delay=0).complete
            case "failed":
                with pytest.raises(StreamError):
                    run(clip, work, delay=0, max_speed=0.01, backlog=0.06)
            case "an error":
                with pytest.raises(KeyError):
                    run(clip, work, delay=0)
            case "cancelled":
                with pytest.raises(asyncio.CancelledError):
                    run(clip, work, delay=0)
    assert set(during) == {1 if timer == "timerfd" else 0}


# In virtual time.


def virtually(waits: Callable[[Alarm], object], wake: Callable[[], float] = float) -> list[float]:
    """The instants at which these waits end."""
    found: list[float] = []

    async def run() -> None:
        alarm = Alarm()
        await alarm.learn()
        for when in waits(alarm):  # type: ignore[attr-defined]
            await alarm.until(when)
            found.append(asyncio.get_running_loop().time())
        alarm.close()

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(wake)) as runner:
        runner.run(run())
    return found


def test_in_virtual_time_every_instant_is_met_exactly() -> None:
    instants = [0.1 * i for i in range(1000)]
    assert virtually(lambda _: instants) == instants


def test_in_virtual_time_the_wake_is_added_only_to_waits_that_wait() -> None:
    asked = []

    def wake() -> float:
        asked.append(0.002)
        return 0.002

    # 1.002 is the present when it is asked for, 0.5 the past: nobody has to be woken for them.
    assert virtually(lambda _: [1.0, 1.002, 0.5, 2.0], wake) == [1.002, 1.002, 1.002, 2.002]
    assert len(asked) == 2


# How late.


@linux
def test_an_alarm_is_less_late_than_asyncio_sleep(timer: str) -> None:
    """In turn, so that a busy host hits both. Half a millisecond is what the selector rounds up."""
    if timer != "timerfd":
        pytest.skip("the loop's timers are what asyncio.sleep waits with")

    async def plain(ahead: float) -> float:
        loop = asyncio.get_running_loop()
        when = loop.time() + ahead
        await asyncio.sleep(ahead)
        return loop.time() - when

    async def in_turn() -> tuple[list[float], list[float]]:
        alarm, generator = Alarm(), random.Random(0)
        await alarm.learn()
        alarms, sleeps = [], []
        for _ in range(200):
            alarms.append(await lateness(alarm, generator.uniform(0.002, 0.006)))
            sleeps.append(await plain(generator.uniform(0.002, 0.006)))
        alarm.close()
        return alarms, sleeps

    alarms, sleeps = asyncio.run(in_turn())
    assert np.median(alarms) < np.median(sleeps)
