"""The benchmarks' other side, as a service that rtkit connects to."""

from __future__ import annotations

from typing import Any

from rtkit.services.endpoint import Endpoint


class Receiver:
    """A websocket on a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect_info(self, rate: int, reference: object) -> Endpoint:
        return Endpoint(f"ws://127.0.0.1:{self._port}/", {})

    def describe(self, reference: object) -> dict[str, Any]:
        return {"name": "benchmark"}
