"""A lookout tells of every stall, once, with its length; and leaves the loop as it was."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import simulate, virtual_loop

from rtkit.clock.stalls import LEAST, Lookout
from rtkit.clock.virtual import VirtualLoop


async def seen_while_blocked(*seconds: float) -> list[tuple[float, float]]:
    """What a lookout tells of blocks that begin 1 s after each other."""
    loop = virtual_loop()
    seen: list[tuple[float, float]] = []
    lookout = Lookout(lambda at, stalled: seen.append((at, stalled)))
    begin = loop.time()
    for index, length in enumerate(seconds):
        loop.call_at(begin + index + 1, loop.block, length)
    await asyncio.sleep(len(seconds) + 1)
    lookout.close()
    return seen


class Hidden(asyncio.SelectorEventLoop):
    """A loop that shows no selector while somebody looks, as uvloop does."""

    looking = False

    def __getattribute__(self, name: str) -> Any:
        if name == "_selector" and Hidden.looking:
            raise AttributeError(name)
        return super().__getattribute__(name)


class HiddenVirtual(Hidden, VirtualLoop):
    """The same in virtual time."""


def beating(seen: Callable[[float, float], object]) -> Lookout:
    """A lookout on a hidden loop."""
    Hidden.looking = True
    try:
        return Lookout(seen)
    finally:
        Hidden.looking = False


def test_each_stall_is_told_with_its_end_and_its_length() -> None:
    seen = simulate(seen_while_blocked(0.5, 0.02, LEAST * 1.001, LEAST * 0.999))
    assert seen == [
        pytest.approx((1.5, 0.5)),
        pytest.approx((2.02, 0.02)),
        pytest.approx((3 + LEAST * 1.001, LEAST * 1.001)),
    ]


def test_ten_milliseconds_are_a_stall_and_are_told_as_soon_as_they_are_over() -> None:
    async def stalled(*, expect: bool) -> list[tuple[float, float]]:
        loop = virtual_loop()
        told: list[tuple[float, float]] = []
        lookout = Lookout(lambda at, seconds: told.append((loop.time(), seconds)))
        if expect:
            lookout.expect(0.0)
            await asyncio.sleep(0.01)
        else:
            loop.block(0.01)
        await asyncio.sleep(1)
        lookout.close()
        return told

    for expect in (True, False):
        assert simulate(stalled(expect=expect)) == [(0.01, 0.01)]


def test_a_beat_that_is_ten_milliseconds_late_is_a_stall() -> None:
    async def stalled(seconds: float) -> list[tuple[float, float]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HiddenVirtual)
        seen: list[tuple[float, float]] = []
        loop.block(-0.05)  # so that the first beat is due at 0, and what it is late is exact
        lookout = beating(lambda at, late: seen.append((at, late)))
        loop.block(-loop.time())
        loop.block(seconds)
        await asyncio.sleep(0.02)
        lookout.close()
        return seen

    for seconds, told in ((0.01, [(0.01, 0.01)]), (0.0099, [])):
        with asyncio.Runner(loop_factory=HiddenVirtual) as runner:
            assert runner.run(stalled(seconds)) == told


def test_what_is_expected_is_still_expected_after_an_earlier_wake_up() -> None:
    async def woken_before() -> list[tuple[float, float]]:
        seen: list[tuple[float, float]] = []
        lookout = Lookout(lambda at, stalled: seen.append((at, stalled)))
        lookout.expect(2.0)
        await asyncio.sleep(1.0)
        await asyncio.sleep(1.5)  # the loop's own timer; that of 2.0 never came
        await asyncio.sleep(0)
        lookout.close()
        return seen

    assert simulate(woken_before()) == [(2.5, 0.5)]


def test_idling_after_an_expected_instant_is_no_stall() -> None:
    async def woken_in_time() -> list[tuple[float, float]]:
        seen: list[tuple[float, float]] = []
        lookout = Lookout(lambda at, stalled: seen.append((at, stalled)))
        lookout.expect(1.0)
        await asyncio.sleep(1.0)
        await asyncio.sleep(2.0)
        await asyncio.sleep(0)
        lookout.close()
        return seen

    assert simulate(woken_in_time()) == []


def test_a_lookout_expects_the_newest_instant_only_once() -> None:
    async def twice() -> list[tuple[float, float]]:
        seen: list[tuple[float, float]] = []
        lookout = Lookout(lambda at, stalled: seen.append((at, stalled)))
        lookout.expect(1.0)
        await asyncio.sleep(1.3)
        lookout.expect(2.0)
        await asyncio.sleep(1.1)
        await asyncio.sleep(0)
        lookout.close()
        return seen

    assert simulate(twice()) == [pytest.approx((1.3, 0.3)), pytest.approx((2.4, 0.4))]


def test_a_loop_that_is_really_blocked() -> None:
    async def block() -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        lookout = Lookout(lambda at, stalled: seen.append(stalled))
        began = loop.time()
        await asyncio.sleep(0)
        loop.call_soon(time.sleep, 0.3)
        await asyncio.sleep(0.2)
        took = loop.time() - began
        lookout.close()
        return seen, took

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        seen, took = runner.run(block())
    assert 0.299 <= max(seen) <= sum(seen) <= took


@pytest.mark.parametrize(("begin", "told"), [(0.12, [0.27]), (0.149, [0.299]), (0.151, [0.251])])
def test_a_beat_tells_of_a_stall_by_how_much_it_came_late(begin: float, told: list[float]) -> None:
    async def block() -> list[tuple[float, float]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HiddenVirtual)
        seen: list[tuple[float, float]] = []
        lookout = beating(lambda at, stalled: seen.append((at, stalled)))
        loop.call_at(begin, loop.block, 0.3)
        await asyncio.sleep(0.8)
        lookout.close()
        loop.call_at(0.91, loop.block, 0.3)  # nobody looks any more
        await asyncio.sleep(0.6)
        timers = getattr(loop, "_scheduled")  # noqa: B009
        assert [timer for timer in timers if not timer.cancelled()] == []
        return seen

    with asyncio.Runner(loop_factory=HiddenVirtual) as runner:
        seen = runner.run(block())
    assert seen == [pytest.approx((begin + 0.3, late)) for late in told]


def test_a_beat_of_a_loop_that_is_really_blocked() -> None:
    async def block() -> tuple[list[float], float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        lookout = beating(lambda at, stalled: seen.append(stalled))
        began = loop.time()
        await asyncio.sleep(0)
        loop.call_soon(time.sleep, 0.3)
        await asyncio.sleep(0.2)  # two beats and more
        took = loop.time() - began
        lookout.close()
        return seen, took

    with asyncio.Runner(loop_factory=Hidden) as runner:
        seen, took = runner.run(block())
    # A beat comes every 50 ms and tells only by how much it was late.
    assert 0.2 <= max(seen) <= took


def test_a_timer_that_the_loop_came_late_to_is_a_stall() -> None:
    """As when the host stops, or another thread holds the interpreter."""

    async def late() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        select = loop._selector.select  # type: ignore[attr-defined]

        def oversleep(timeout: float | None = None) -> Any:
            time.sleep(0.2)
            return select(timeout)

        loop._selector.select = oversleep  # type: ignore[attr-defined]
        lookout = Lookout(lambda at, stalled: seen.append(stalled))
        await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        lookout.close()
        return seen

    assert max(asyncio.run(late())) >= 0.19


def test_a_thread_that_keeps_the_interpreter_past_what_is_expected_is_a_stall() -> None:
    async def held_up() -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        lookout = Lookout(lambda at, stalled: seen.append(stalled))
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            loop.add_reader(ours, lambda: None)  # what wakes the loop is no timer of its own
            lookout.expect(loop.time() + 0.1)

            def hold() -> None:
                time.sleep(0.05)
                ctypes.PyDLL(None).usleep(400_000)  # does not let go of the interpreter
                theirs.send(b"!")

            thread = threading.Thread(target=hold)
            thread.start()
            await asyncio.to_thread(thread.join)
            loop.remove_reader(ours)
        lookout.close()
        return seen

    assert max(asyncio.run(held_up())) >= 0.2


def test_lookouts_share_a_loop_and_leave_it_as_it_was() -> None:
    async def two() -> tuple[list[float], list[float]]:
        loop = virtual_loop()
        first: list[float] = []
        second: list[float] = []
        one = Lookout(lambda at, stalled: first.append(stalled))
        other = Lookout(lambda at, stalled: second.append(stalled))
        loop.call_at(1, loop.block, 0.1)
        await asyncio.sleep(2)
        one.close()
        loop.call_at(3, loop.block, 0.2)
        await asyncio.sleep(2)
        other.close()
        loop.call_at(5, loop.block, 0.3)
        await asyncio.sleep(2)
        assert "select" not in vars(loop._selector)  # type: ignore[attr-defined]
        return first, second

    first, second = simulate(two())
    assert first == pytest.approx([0.1])
    assert second == pytest.approx([0.1, 0.2])
