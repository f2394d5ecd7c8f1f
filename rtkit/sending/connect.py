"""Connecting a session: to a service, or through an open connection."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rtkit.audio import Clip, resample
from rtkit.boundary.secrets import Told
from rtkit.boundary.text import counted
from rtkit.clock.alarm import sleep_until
from rtkit.sending.listen import Conversation
from rtkit.sending.options import without_secrets
from rtkit.sending.run import Run
from rtkit.sending.websocket import Failure, open_websocket
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import Connection, Dialect, Service, dialect_of

__all__ = ["Way", "endpoint_of", "fitted", "way_through", "way_to"]

PAUSES = (0.5, 1.0)  # seconds before the second and the third try to connect


@dataclass(frozen=True)
class Way:
    """How a session connects.

    Attributes
    ----------
    described : Told
        What the session records of it, but for what turns out to be secret.
    open : callable
        Begins a run's conversation, within a time limit in seconds.
    service : Service or None
        The one that is connected to.
    """

    described: Told
    open: Callable[[Run, float], Awaitable[Conversation]]
    service: Service | None = None

    @property
    def dialect(self) -> Dialect:
        """Which the other side speaks."""
        return dialect_of(self.described)


def fitted(
    clip: Clip, service: Service | None = None, connection: Connection | None = None
) -> Clip:
    """The clip as the other side takes it: resampled, where it takes some rates only."""
    described: Mapping[str, Any] = {}
    if connection is not None:
        described = way_through(connection).described
    elif service is not None:
        described = service.describe(clip.reference)
    limits = dialect_of(described).limits
    if not limits.resampled or limits.rates is None or clip.rate in limits.rates:
        return clip
    return resample(clip, limits.rates[0])


def way_to(service: Service | None, clip: Clip) -> Way:
    """To a service, the embedded one where none is named."""
    if service is None:
        from rtkit.loopback.process import embedded

        service = embedded()
    return Way(Told(service.describe(clip.reference)), partial(_connect, service, clip), service)


def way_through(connection: Connection) -> Way:
    """Through a connection that is open already."""
    describe = getattr(connection, "describe", None)
    described = {"name": "connection"} if describe is None else describe()
    return Way(Told(described), partial(_begin, connection))


async def endpoint_of(service: Service, clip: Clip, timeout: float) -> Endpoint:
    """Where the service is to be connected to for this clip, or a sentence why it does not tell."""
    try:
        async with asyncio.timeout(timeout):
            return await service.connect_info(clip.rate, clip.reference)
    except TimeoutError:
        raise Failure(
            f"The service did not say within {timeout:g} s where to connect. Try again, or "
            f"increase begin_timeout."
        ) from None
    except RuntimeError as error:  # the embedded service could not be started, or ended
        raise Failure(str(error)) from error


async def _connect(service: Service, clip: Clip, run: Run, timeout: float) -> Conversation:
    """Connect and begin; where that may help, try again, within `timeout` in all.

    Once the session has begun nothing is tried again: what comes back from a second session
    starts at 0, and would pass for the first one's.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    endpoint = await endpoint_of(service, clip, timeout)
    _record_oddities(endpoint, run)
    run.recorder.settings = without_secrets(run.recorder.settings, endpoint)
    for tries in itertools.count():
        try:
            return await _try(endpoint, run, deadline, timeout)
        except Failure as failure:
            if failure.wait is None:
                raise
            if tries == len(PAUSES):
                raise Failure(
                    f"{failure} Tried {counted(tries + 1, 'time')}.", closure=failure.closure
                ) from None
            # Clients that were cut off together must not come back together.
            pause = max(PAUSES[tries], failure.wait) * random.uniform(1.0, 1.25)
            if loop.time() + pause >= deadline:
                raise
            await run.leave()
            await sleep_until(loop.time() + pause)
    raise AssertionError


async def _try(endpoint: Endpoint, run: Run, deadline: float, timeout: float) -> Conversation:
    dialect = run.recorder.settings.dialect
    run.timeline.event("connecting")
    try:
        async with asyncio.timeout_at(deadline):
            connection = await open_websocket(endpoint, dialect)
    except TimeoutError:
        raise Failure(
            f"{endpoint.host} did not reply within {timeout:g} s. Check the network, or "
            f"increase begin_timeout."
        ) from None
    run.timeline.event("connected")
    left = max(0.0, deadline - asyncio.get_running_loop().time())
    return await _begin(connection, run, timeout, opening=endpoint.opening, left=left)


async def _begin(
    connection: Connection,
    run: Run,
    timeout: float,
    *,
    opening: tuple[str, ...] = (),
    left: float | None = None,
) -> Conversation:
    """Begin within what is `left` of the time, or all of it."""
    try:
        return await run.begin(
            connection, opening=opening, timeout=timeout if left is None else left
        )
    except TimeoutError:
        raise Failure(
            f"The service accepted the connection but sent no Begin within {timeout:g} s. "
            "Try again; if it happens again, check the status of the service."
        ) from None


def _record_oddities(endpoint: Endpoint, run: Run) -> None:
    """What is odd about the way that the client introduces itself."""
    dialect: Dialect = dialect_of(run.recorder.settings.service)
    if endpoint.bearer and not dialect.bearer:
        run.timeline.event("bearer")
