"""What the kernel tells of a connection: by sockets of its own, and in whole sessions."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import pytest
from conftest import MakeClip, spoken
from facts import CALL, unstamped
from remains import children

import rtkit
from rtkit.sending.kernel import NOTHING, Kernel
from rtkit.session import Chunk, Fact, Session

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def block(seconds: float) -> None:
    """Neither the loop nor anything else in this thread goes on."""
    time.sleep(seconds)


@contextmanager
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours, theirs:
            yield ours, theirs


async def transport_of(end: socket.socket) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=end)
    return transport


@linux
def test_how_long_data_has_been_there() -> None:
    async def look() -> tuple[float | None, float | None]:
        with line() as (ours, theirs):
            transport = await transport_of(ours)
            kernel = Kernel(transport)
            theirs.sendall(b"first")
            block(0.1)  # the loop does not listen
            old = kernel.waited()
            theirs.sendall(b"second")
            fresh = kernel.waited()
            transport.abort()
            return old, fresh

    old, fresh = asyncio.run(look())
    assert old is not None
    assert fresh is not None
    assert old >= 0.09
    assert fresh < old


@linux
def test_what_the_other_side_does_not_read_takes_up_its_room() -> None:
    async def look() -> list[int]:
        with line() as (ours, theirs):
            transport = await transport_of(ours)
            kernel, windows = Kernel(transport), []
            for _ in range(4):
                for _ in range(4):
                    transport.write(bytes(4000))
                    block(0.05)  # it may acknowledge as late as that
                windows.append(kernel.outgoing()[1])
            left = 16 * 4000
            while left:
                left -= len(theirs.recv(left))
            transport.write(b"!")
            block(0.05)
            windows.append(kernel.outgoing()[1])
            transport.abort()
            return [window or 0 for window in windows]

    windows = asyncio.run(look())
    assert windows[1] > windows[2] > windows[3] < windows[4]


@linux
def test_what_the_other_side_has_no_room_for_is_not_acknowledged() -> None:
    size = 20_000_000  # more than the kernel takes at once

    async def look() -> list[int | None]:
        with line() as (ours, theirs):
            transport = await transport_of(ours)
            kernel = Kernel(transport)
            found = [kernel.outgoing()[0]]
            transport.write(bytes(size))
            found.append(kernel.outgoing()[0])
            theirs.setblocking(False)
            left = size
            while left or kernel.outgoing()[0]:
                try:
                    left -= len(theirs.recv(1 << 20))
                except BlockingIOError:
                    await asyncio.sleep(0.001)
            found.append(kernel.outgoing()[0])
            transport.abort()
            return found

    first, full, last = asyncio.run(look())
    assert (first, last) == (0, 0)
    assert full is not None
    assert 0.5 * size < full <= size


@linux
def test_when_the_bytes_of_a_long_send_left() -> None:
    async def look() -> None:
        loop = asyncio.get_running_loop()
        with line() as (ours, _):
            transport = await transport_of(ours)
            kernel = Kernel(transport)
            sent = loop.time()
            transport.write(b"chunk")
            block(0.1)  # the process loses the processor when they have left
            returned = loop.time()
            left = kernel.left(sent, returned)
            assert left is not None
            assert sent <= left < returned - 0.08
            sent = loop.time()
            block(0.1)  # it loses it before
            transport.write(b"chunk")
            returned = loop.time()
            left = kernel.left(sent, returned)
            assert left is not None
            assert left > sent + 0.08
            transport.write(bytes(20_000_000))  # it will not all leave
            assert kernel.left(sent, loop.time()) is None
            transport.abort()

    asyncio.run(look())


def answers(kernel: Kernel) -> list[float | None]:
    return [
        kernel.waited(),
        *kernel.outgoing(),
        kernel.left(0.0, 1.0),
    ]


def test_where_the_kernel_does_not_tell_nothing_is_known() -> None:
    async def look() -> list[list[float | None]]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            transport = await transport_of(ours)
            pair = answers(Kernel(transport))
            transport.abort()
        with line() as (ours, theirs):
            transport = await transport_of(ours)
            kernel = Kernel(transport)
            transport.abort()
            await asyncio.sleep(0)
            return [pair, answers(kernel), answers(NOTHING)]

    assert asyncio.run(look()) == [[None] * 4] * 3


# Whole sessions.


def child(module: str) -> int:
    (process,) = [one for one, command in children().items() if module in command]
    return process


def problems(session: Session) -> set[str]:
    return {problem.name for problem in rtkit.validity(session).problems}


def words(seconds: float) -> Any:
    """One in each tenth of a second."""
    count = round(seconds * 10)
    return spoken(*((f"word{i}", i / 10 + 0.01, i / 10 + 0.09) for i in range(count)))


@linux
def test_a_sender_that_is_stopped_after_each_chunk_sees_every_result_late(
    make_clip: MakeClip,
) -> None:
    """As a hypervisor does it: no timer is due meanwhile, and nothing in the loop notices."""
    clip = make_clip(2.0, reference=words(2.0))

    async def stream(stop: float) -> Session:
        loop, sender = asyncio.get_running_loop(), 0

        def pause(fact: Fact) -> None:
            nonlocal sender
            if stop and isinstance(fact, Chunk) and fact.index < 19:
                sender = sender or child("rtkit.sending.process")
                os.kill(sender, signal.SIGSTOP)
                loop.call_later(stop, os.kill, sender, signal.SIGCONT)

        async with rtkit.Loopback(delay=0.02) as service:
            return await rtkit.stream(clip, service=service, isolation="process", on_event=pause)

    quiet, stopped = asyncio.run(stream(0.0)), asyncio.run(stream(0.06))
    waited = [
        [message.waited or 0.0 for message in one.messages if message.at > 0]
        for one in (quiet, stopped)
    ]
    assert median(waited[1]) > median(waited[0])
    assert "stall" in problems(stopped)


@linux
def test_a_service_that_stops_reading_is_told_with_and_without_its_stamps() -> None:
    clip = rtkit.open_clip(CALL, seconds=4)

    async def stream() -> Session:
        loop = asyncio.get_running_loop()
        others = set(children())  # of other tests
        async with rtkit.Loopback() as service:

            def stop(fact: Fact) -> None:
                if isinstance(fact, Chunk) and fact.index == 10:
                    os.kill(process, signal.SIGSTOP)
                    loop.call_later(1.5, os.kill, process, signal.SIGCONT)

            await service.connect_info(clip.rate, None)  # so that it runs
            (process,) = set(children()) - others
            return await rtkit.stream(clip, service=service, on_event=stop)

    session = asyncio.run(stream())
    assert all(chunk.unacknowledged is not None for chunk in session.chunks)
    assert all(chunk.window is not None for chunk in session.chunks)
    assert "backpressure" in problems(session)
    assert "backpressure" in problems(unstamped(session))
