"""The way to the other side: a service that is connected to, or a connection that is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rtkit.audio import Clip
from rtkit.sending.run import Run
from rtkit.services.service import Connection, Limits, Service, dialect_of

__all__ = ["Way", "way_through", "way_to"]


@dataclass(frozen=True)
class Way:
    """How a session gets to the other side.

    Attributes
    ----------
    described : mapping
        What the session records of it.
    open : callable
        Opens it for a run, within so many seconds, and returns the connection.
    service : Service or None
        The one that is connected to.
    """

    described: Mapping[str, Any]
    open: Callable[[Run, float], Awaitable[Connection]]
    service: Service | None = None

    @property
    def limits(self) -> Limits:
        """What the service takes."""
        return dialect_of(self.described).limits


def way_to(service: Service | None, clip: Clip) -> Way:
    """To a service, the embedded one where none is named."""
    if service is None:
        from rtkit.loopback.process import embedded

        service = embedded()
    return Way(service.describe(clip.reference), partial(_connect, service, clip), service)


def way_through(connection: Connection) -> Way:
    """Through a connection that is open already."""
    describe = getattr(connection, "describe", None)
    described = {"name": "connection"} if describe is None else dict(describe())
    return Way(described, partial(_take, connection))


async def _connect(service: Service, clip: Clip, run: Run, timeout: float) -> Connection:
    return await run.open(service, clip, timeout)


async def _take(connection: Connection, run: Run, timeout: float) -> Connection:
    await run.begin(connection, timeout)
    return connection
