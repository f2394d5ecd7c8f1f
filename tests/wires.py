"""Plain connections of a test's own, on either side of a tap: their bytes are kept, and cut."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.utils import apply_mask

PATIENCE = 10.0  # seconds in which connections may still end
CONTROL = 8  # and above: opcodes of frames that are no part of a message


@dataclass
class Wire:
    """One connection: what came from its client, and from its service."""

    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter] = field(repr=False)
    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)

    @property
    def name(self) -> bytes:
        """What tells it from all others, on both sides of a tap."""
        (name,) = (
            line for line in self.up.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        return bytes(name)

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


@contextlib.asynccontextmanager
async def wires(port_for: Callable[[str], int]) -> AsyncIterator[tuple[str, list[Wire]]]:
    """A host that goes on to that port, by the path, and its connections so far."""
    made: list[Wire] = []
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            port = port_for(head.split(b" ")[1].decode().partition("?")[0])
            back, on = await asyncio.open_connection("127.0.0.1", port)
        except (OSError, EOFError):
            writer.transport.abort()
            return
        wire = Wire((writer, on), bytearray(head))
        made.append(wire)
        on.write(head.replace(own, b"127.0.0.1:%d" % port))
        await asyncio.gather(_pass_on(reader, on, wire.up), _pass_on(back, writer, wire.down))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    own = b"127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield own.decode(), made
        finally:
            if tasks:  # what is on its way still goes
                await asyncio.wait(tasks, timeout=PATIENCE)
            for wire in made:
                wire.cut()
            if tasks:
                await asyncio.wait(tasks)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    try:
        while data := await reader.read(1 << 16):
            kept += data
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


class SentFrame(NamedTuple):
    first: int  # fin, reserved bits, opcode
    payload: bytes


def frames(data: bytes | bytearray) -> Iterator[SentFrame]:
    """The frames in what came after the head, without their masks."""
    at = data.index(b"\r\n\r\n") + 4
    while at < len(data):
        first, length, masked = data[at], data[at + 1] & 127, data[at + 1] >> 7
        more = {126: 2, 127: 8}.get(length, 0)
        at += 2
        length = int.from_bytes(data[at : at + more]) if more else length
        at += more
        mask = bytes(data[at : at + 4 * masked])
        at += 4 * masked
        payload = bytes(data[at : at + length])
        at += length
        yield SentFrame(first, apply_mask(payload, mask) if masked else payload)


def texts(data: bytes | bytearray) -> list[str]:
    """The whole messages among them, decompressed."""
    inflate, found, parts = zlib.decompressobj(-15), [], b""
    compressed = False
    for first, payload in frames(data):
        if first & 15 >= CONTROL:
            continue
        compressed = bool(first & 64) if first & 15 else compressed
        parts += payload
        if first & 128:
            whole = inflate.decompress(parts + b"\0\0\xff\xff") if compressed else parts
            found.append(whole.decode())
            parts = b""
    return found
