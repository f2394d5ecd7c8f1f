"""A peer that replies to each chunk at once, to separate rtkit's own error from the service's."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from websockets.server import ServerProtocol

__all__ = ["bare_peer"]

PATIENCE = 10.0  # seconds that it waits for anything


@contextlib.contextmanager
def bare_peer() -> Iterator[str]:
    """The address of a peer for one session, which ends with it.

    It speaks as much of AssemblyAI's protocol as a session needs, on blocking sockets in a thread
    of its own: no event loop and no queue stand between a chunk's arrival and its result, which
    bears the stamps of both.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        thread = threading.Thread(
            target=_serve, args=(listener,), name="rtkit-bare-peer", daemon=True
        )
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            socket.create_connection(listener.getsockname()).close()  # whoever was to come
            thread.join()


def _serve(listener: socket.socket) -> None:
    from websockets.server import ServerProtocol

    # Whoever came may leave at any instant.
    with contextlib.suppress(OSError), listener.accept()[0] as connection:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        protocol, samples = ServerProtocol(), 0
        while data := connection.recv(1 << 16):
            arrived = time.monotonic()
            protocol.receive_data(data)
            samples = _answer(protocol, arrived, samples)
            for written in protocol.data_to_send():
                connection.sendall(written)


def _answer(protocol: ServerProtocol, arrived: float, samples: int) -> int:
    """Say what there is to say to what has arrived; how many samples have come by now."""
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Request

    for event in protocol.events_received():
        if isinstance(event, Request):
            protocol.send_response(protocol.accept(event))
            _say(protocol, type="Begin", id="bare", expires_at=0)
        elif not isinstance(event, Frame):
            continue
        elif event.opcode is Opcode.BINARY:
            samples += len(event.data) // 2
            stamp = {"arrived": arrived, "samples": samples, "cause": "word"}
            _say(
                protocol,
                type="Turn",
                turn_order=0,
                turn_is_formatted=False,
                end_of_turn=False,
                transcript="",
                words=[],
                loopback={**stamp, "left": time.monotonic()},
            )
        elif event.opcode is Opcode.TEXT:  # Terminate
            _say(
                protocol,
                type="Termination",
                audio_duration_seconds=0,
                session_duration_seconds=0,
            )
            protocol.send_close(1000)
    return samples


def _say(protocol: ServerProtocol, **message: object) -> None:
    protocol.send_text(json.dumps(message).encode())
