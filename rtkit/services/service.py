"""What a session needs of a service, and of a connection to it."""

from __future__ import annotations

from typing import Any, Protocol

from rtkit.reference import Reference
from rtkit.services.endpoint import Endpoint

__all__ = ["Connection", "Service"]


class Connection(Protocol):
    """What a session speaks through: a websocket, or anything else with these three."""

    async def send(self, frame: bytes | str) -> None:
        """Send audio (bytes) or a message (str); raises `Closed` when that cannot be."""

    async def recv(self) -> str | bytes:
        """The next message; raises `Closed` when none will come."""

    async def close(self) -> None:
        """Close; a second time does nothing."""


class Service(Protocol):
    """What a session connects to: `rtkit.AssemblyAI`, `rtkit.Loopback`, or one's own."""

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint: ...

    def describe(self, reference: Reference | None) -> dict[str, Any]: ...
