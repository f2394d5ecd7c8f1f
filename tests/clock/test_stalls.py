"""A lookout tells of every stall, once, with its length; and leaves the loop as it was."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import threading
import time
from typing import Any

import pytest

from rtkit.clock.stalls import LEAST, Lookout
from rtkit.clock.virtual import VirtualLoop


async def seen_while_blocked(*seconds: float) -> list[tuple[float, float]]:
    """What a lookout tells of blocks that begin 1 s after each other."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    seen: list[tuple[float, float]] = []
    lookout = Lookout(lambda at, stalled: seen.append((at, stalled)))
    begin = loop.time()
    for index, length in enumerate(seconds):
        loop.call_at(begin + index + 1, loop.block, length)
    await asyncio.sleep(len(seconds) + 1)
    lookout.close()
    return seen


def virtually(coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def test_each_stall_is_told_with_its_end_and_its_length() -> None:
    seen = virtually(seen_while_blocked(0.5, 0.02, 0.9 * LEAST))
    assert seen == [pytest.approx((1.5, 0.5)), pytest.approx((2.02, 0.02))]


@pytest.mark.parametrize("hidden", [False, True], ids=["selector", "beat"])
def test_a_loop_that_is_really_blocked(hidden: bool) -> None:
    class Hidden(asyncio.SelectorEventLoop):
        """A loop that shows no selector, as uvloop does."""

        def __getattribute__(self, name: str) -> Any:
            if name == "_selector" and looking:
                raise AttributeError(name)
            return super().__getattribute__(name)

    looking = False

    async def block() -> list[float]:
        nonlocal looking
        seen: list[float] = []
        looking = True
        lookout = Lookout(lambda at, stalled: seen.append(stalled))
        looking = False
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(time.sleep, 0.3)
        await asyncio.sleep(0.2)  # two beats and more
        lookout.close()
        return seen

    with asyncio.Runner(loop_factory=Hidden if hidden else asyncio.SelectorEventLoop) as runner:
        seen = runner.run(block())
    # A beat comes every 50 ms and tells only by how much it was late.
    assert max(seen) >= (0.2 if hidden else 0.299)


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
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
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

    first, second = virtually(two())
    assert first == pytest.approx([0.1])
    assert second == pytest.approx([0.1, 0.2])
