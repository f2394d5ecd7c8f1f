"""Websocket messages from a copy of the connection's bytes. No I/O."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.headers import parse_extension
from websockets.streams import StreamReader

__all__ = ["LONGEST", "Close", "Messages", "deflated"]

LONGEST = 1 << 24  # bytes of a message


def deflated(extensions: str, *, of_client: bool) -> list[PerMessageDeflate]:
    """How one side compresses, by what the service agreed to."""
    found = []
    for name, parameters in parse_extension(extensions) if extensions else ():
        if name == "permessage-deflate":
            agreed = dict(parameters)
            sides = ("client", "server") if of_client else ("server", "client")
            forgets = [f"{side}_no_context_takeover" in agreed for side in sides]
            bits = [int(agreed.get(f"{side}_max_window_bits") or 15) for side in sides]
            found.append(PerMessageDeflate(forgets[0], forgets[1], bits[0], bits[1]))
    return found


class Messages:
    """Whole messages of one side: text, bytes, and `Close`.

    Parameters
    ----------
    of_client : bool
        Whose frames are masked.
    extensions : sequence of PerMessageDeflate
        As `deflated` tells.
    """

    def __init__(self, *, of_client: bool, extensions: Sequence[PerMessageDeflate] = ()) -> None:
        self._of_client, self._extensions = of_client, extensions
        self._stream = StreamReader()
        self._found: list[str | bytes | Close] = []
        self._parts: list[bytes] = []
        self._text = False
        self._parser = self._parse()
        next(self._parser)

    def feed(self, data: bytes) -> list[str | bytes | Close]:
        """What these bytes complete; raises what websockets does where they are no frames."""
        self._stream.feed_data(data)
        next(self._parser)
        found, self._found = self._found, []
        return found

    def _parse(self) -> Generator[None, None, None]:
        while True:
            frame = yield from Frame.parse(
                self._stream.read_exact,
                mask=self._of_client,
                max_size=LONGEST,
                extensions=self._extensions,
            )
            if frame.opcode is Opcode.CLOSE:
                self._found.append(Close.parse(bytes(frame.data)))
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                if frame.opcode is not Opcode.CONT:
                    self._text, self._parts = frame.opcode is Opcode.TEXT, []
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    whole = b"".join(self._parts)
                    self._found.append(whole.decode("utf-8", "replace") if self._text else whole)
                    self._parts = []
