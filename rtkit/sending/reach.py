"""Connecting to a host that has several addresses."""

from __future__ import annotations

import asyncio
import socket
from asyncio.staggered import staggered_race
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from rtkit.clock.thread import in_thread

__all__ = ["reached"]

HEAD_START = 0.25  # seconds before another of the host's addresses is tried, too
S = TypeVar("S", bound=socket.socket)


async def reached(host: str, port: int, of: Callable[[int, int, int], S]) -> S:
    """A socket of the kind `of`, to the first of the host's addresses that accepts it.

    Each is given a little time before the next one is tried, too (RFC 8305): one that swallows
    packets must not hold up the rest. A loop resolves names on threads of its own, and whoever
    closes it waits for them, however long a resolver takes; for this one nobody waits.
    """
    loop = asyncio.get_running_loop()

    async def connected(family: int, kind: int, protocol: int, _: str, address: Any) -> S:
        one = of(family, kind, protocol)
        try:
            one.setblocking(False)
            await loop.sock_connect(one, address)
        except BaseException:
            one.close()
            raise
        return one

    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = dict.fromkeys(await asyncio.wrap_future(in_thread("rtkit-resolve", ask)))
    tries = [partial(connected, *where) for where in found]
    first: S | None
    first, _, failures = await staggered_race(tries, HEAD_START)
    if first is None:
        raise next(one for one in failures if one is not None)
    return first
