"""Messages out of a copy of a websocket's bytes."""

from __future__ import annotations

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from rtkit.tap.frames import Close, Messages, deflated


@pytest.mark.parametrize("of_client", [True, False])
@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize(
    "agreed",
    [
        "",
        "permessage-deflate",
        "permessage-deflate; client_no_context_takeover; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
    ],
)
def test_what_was_said_is_read_however_it_travels(of_client: bool, piece: int, agreed: str) -> None:
    said: list[str | bytes] = ["hello " * 50, b"\0\1" * 300, "hello " * 50, b""]
    writers = [
        PerMessageDeflate(False, one.remote_no_context_takeover, 15, one.remote_max_window_bits)
        for one in deflated(agreed, of_client=of_client)
    ]
    frames = [
        Frame(Opcode.TEXT, one.encode()) if isinstance(one, str) else Frame(Opcode.BINARY, one)
        for one in said
    ]
    frames[0] = Frame(Opcode.TEXT, b"hello " * 20, fin=False)
    frames[1:1] = [Frame(Opcode.PING, b"?"), Frame(Opcode.CONT, b"hello " * 30)]
    frames.append(Frame(Opcode.CLOSE, Close(1000, "bye").serialize()))
    data = b"".join(one.serialize(mask=of_client, extensions=writers) for one in frames)
    reader = Messages(of_client=of_client, extensions=deflated(agreed, of_client=of_client))
    found = [
        message
        for start in range(0, len(data), piece)
        for message in reader.feed(data[start : start + piece])
    ]
    assert found == [*said, Close(1000, "bye")]
