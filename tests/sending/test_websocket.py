"""The way to a service: which of its addresses is taken, and what a refusal is explained by."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from doubles import speaking
from websockets.datastructures import Headers
from websockets.http11 import Response

from rtkit.boundary.secrets import StrikeOut
from rtkit.sending import websocket
from rtkit.sending.websocket import Failure, open_websocket
from rtkit.services.endpoint import Endpoint

SWALLOWS, REFUSES, HERE = "127.0.0.9", "127.0.0.8", "127.0.0.1"


def at(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """A name of several addresses, of which one swallows packets and one refuses connections."""
    resolve, connect = socket.getaddrinfo, asyncio.SelectorEventLoop.sock_connect

    def resolved(name: Any, port: Any, *args: Any, **how: Any) -> list[Any]:
        names = hosts if name == "several.example" else (name,)
        return [one for host in names for one in resolve(host, port, *args, **how)]

    async def connected(loop: Any, one: socket.socket, address: Any) -> None:
        if address[0] == SWALLOWS:
            await asyncio.sleep(3600)
        if address[0] == REFUSES:
            raise ConnectionRefusedError(111, "Connection refused")
        await connect(loop, one, address)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connected)
    monkeypatch.setattr(websocket, "getproxies", dict)


@pytest.mark.parametrize("first", [(SWALLOWS,), (REFUSES,), (SWALLOWS, REFUSES), ()])
def test_an_address_that_does_not_answer_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch, first: tuple[str, ...]
) -> None:
    at(monkeypatch, *first, HERE)

    async def session() -> str | bytes:
        async with asyncio.timeout(60), speaking("assemblyai", key=None) as host:
            port = host.partition(":")[2]
            way = await open_websocket(
                Endpoint(f"ws://several.example:{port}/v3/ws", {}), "assemblyai"
            )
            try:
                return await way.recv()
            finally:
                await way.close()

    assert "Missing Authorization" in str(asyncio.run(session()))


def test_where_all_addresses_fail_it_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, REFUSES, REFUSES)
    with pytest.raises(Failure, match=r"several\.example cannot be reached .*refused") as failure:
        asyncio.run(open_websocket(Endpoint("ws://several.example:1/", {}), "assemblyai"))
    assert failure.value.wait == 0.0  # it may be tried again


@pytest.mark.parametrize(
    ("dialect", "status", "headers", "body", "name"),
    [
        ("openai", 429, {}, '{"error": {"code": "insufficient_quota"}}', "no credit"),
        ("openai", 429, {}, "", "too many new sessions"),
        ("deepgram", 401, {"dg-error": "INVALID_AUTH: no"}, "Bad Request", "key refused"),
        ("deepgram", 429, {"dg-error": "net-0001"}, "", "too many new sessions"),  # it fits not
        ("deepgram", 400, {}, "Bad Request", "bad input"),
        ("soniox", 503, {}, "Cannot continue request.", "session too long"),
        ("assemblyai", 400, {"dg-error": "INVALID_AUTH: no"}, "", "bad input"),
    ],
)
def test_an_http_status_is_explained_by_what_comes_with_it(
    dialect: str, status: int, headers: dict[str, str], body: str, name: str
) -> None:
    response = Response(status, "No", Headers(headers), body.encode())
    failure = websocket._refused(response, "host", dialect, StrikeOut([]))
    assert failure.closure is not None
    assert failure.closure.name == name
