"""Waiting never ends early; virtual time is exact; `rtkit.run` works everywhere."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from conftest import simulate, virtual_loop

from rtkit.clock.alarm import sleep_until
from rtkit.clock.blocking import run
from rtkit.clock.virtual import VirtualLoop


@pytest.mark.parametrize("ahead", [-1.0, 0.0, 0.0003, 0.0021, 0.02])
def test_a_wait_never_ends_early(ahead: float) -> None:
    async def wait() -> float:
        loop = asyncio.get_running_loop()
        when = loop.time() + ahead
        await sleep_until(when)
        return loop.time() - when

    assert asyncio.run(wait()) >= 0


def test_a_timer_that_fires_early_is_waited_out() -> None:
    """A loop with a coarse clock runs a timer up to its resolution too soon."""

    async def wait() -> float:
        await sleep_until(1.0)
        return virtual_loop().time()

    class Coarse(VirtualLoop):
        def jump(self) -> None:
            timer = self._scheduled[0].when()  # type: ignore[attr-defined]
            self._now = max(self._now, min(timer, self._now + 0.3))

        def __init__(self) -> None:
            super().__init__()
            self._clock_resolution = 0.25

    with asyncio.Runner(loop_factory=Coarse) as runner:
        assert runner.run(wait()) >= 1.0


def test_an_instant_that_has_passed_still_lets_the_loop_turn() -> None:
    async def late() -> list[str]:
        heard: list[str] = []
        virtual_loop().call_soon(heard.append, "another's turn")
        await sleep_until(-1.0)
        return list(heard)

    assert simulate(late()) == ["another's turn"]


def test_a_cancelled_wait_leaves_no_timer_behind() -> None:
    async def cancelled() -> float:
        task = asyncio.create_task(sleep_until(1000.0))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(1.0)
        return virtual_loop().time()

    assert simulate(cancelled()) == pytest.approx(2.0, abs=1e-9)


def test_virtual_time_jumps_to_the_instant_itself() -> None:
    async def sleeps() -> list[float]:
        instants = [0.1 * i for i in range(1, 1001)]
        for when in instants:
            await sleep_until(when)
            assert virtual_loop().time() == when
        return instants

    simulate(sleeps())


def test_three_hours_pass_in_moments() -> None:
    async def long() -> float:
        for _ in range(180):
            await asyncio.sleep(60)
        return virtual_loop().time()

    began = time.monotonic()
    assert simulate(long()) == pytest.approx(10800, abs=1e-6)
    assert time.monotonic() - began < 60


def test_virtual_time_stands_still_while_code_runs_and_passes_with_block() -> None:
    async def computes() -> list[float]:
        loop = virtual_loop()
        instants = [loop.time()]
        loop.call_later(0.2, lambda: instants.append(loop.time()))
        instants.append(loop.time())
        loop.block(0.5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return instants

    # The timer of 0.2 runs late, after the stall.
    assert simulate(computes()) == [0.0, 0.0, 0.5]


def test_virtual_timers_run_in_order() -> None:
    async def many() -> list[int]:
        order: list[int] = []

        async def one(i: int) -> None:
            await asyncio.sleep((7 * i) % 10)
            order.append((7 * i) % 10)

        await asyncio.gather(*(one(i) for i in range(10)))
        return order

    assert simulate(many()) == list(range(10))


async def answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_run_runs_a_coroutine_to_its_end() -> None:
    assert run(answer()) == 42


def test_run_passes_errors_on() -> None:
    async def fails() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        run(fails())


def test_run_works_inside_a_running_loop_too() -> None:
    """In an interpreter of its own: nesting patches asyncio for good."""
    script = """
import asyncio, rtkit

async def answer():
    await asyncio.sleep(0.01)
    return 42

async def cell():
    assert rtkit.run(answer()) == 42
    assert await answer() == 42
    return rtkit.run(answer())

assert asyncio.run(cell()) == 42
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_goes_wrong_inside_run_stands_alone() -> None:
    async def fail() -> None:
        raise ValueError("the only one")

    with pytest.raises(ValueError, match="the only one") as caught:
        run(fail())
    assert caught.value.__context__ is None
