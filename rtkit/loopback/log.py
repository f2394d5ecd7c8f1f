"""What the service tells whoever watches it: who came, how they were let down, how they left.

No key and no token is told: of what a client sent, only what was understood, and the service's own
words about the rest without what the client brought to be let in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

from rtkit.loopback.conversation import Conversation
from rtkit.services.endpoint import is_secret

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

__all__ = ["Log"]

LONGEST = 300  # characters of a line


class Log:
    """A line for each event; clients are numbered as they come.

    Parameters
    ----------
    tell : callable, optional
        Called with each line; without it nothing is told.
    key : str, optional
        The service's own key.
    """

    def __init__(
        self, tell: Callable[[str], object] | None = None, *, key: str | None = None
    ) -> None:
        self._tell = tell
        self._key = key
        self._numbers: WeakKeyDictionary[ServerConnection, int] = WeakKeyDictionary()
        self._count = 0

    def note(self, connection: ServerConnection, text: str) -> None:
        """Tell of a client, whatever it sent to get into the text."""
        if self._tell is None:
            return
        if connection not in self._numbers:
            self._count += 1
            self._numbers[connection] = self._count
        for secret in self._secrets(connection):  # as a word, for a made-up key may be a letter
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "[secret]", text)
        text = "".join(sign if sign.isprintable() else "?" for sign in text)[:LONGEST]
        self._tell(f"client {self._numbers[connection]} {text}")

    def opened(self, connection: ServerConnection, conversation: Conversation, faults: str) -> None:
        """Tell that a session begins, or why it does not."""
        if (refusal := conversation.refusal) is not None:
            self.note(connection, f"refused: {refusal.code} {refusal.text}")
            return
        asked = conversation.rules
        if asked is None:  # it has yet to say what it asks for
            self.note(connection, "opened" + (f"; faults to come: {faults}" if faults else ""))
            return
        told = {
            "sample_rate": asked.rate,
            "encoding": asked.encoding,
            "speech_model": asked.model,
            "format_turns": str(asked.format_turns).lower(),
            "min_turn_silence": f"{asked.min_silence * 1000:g}",
            "max_turn_silence": f"{asked.max_silence * 1000:g}",
        }
        if asked.inactivity is not None:
            told["inactivity_timeout"] = f"{asked.inactivity:g}"
        text = "opened: " + " ".join(f"{name}={value}" for name, value in told.items())
        self.note(connection, text + (f"; faults to come: {faults}" if faults else ""))

    def closed(self, connection: ServerConnection, conversation: Conversation) -> None:
        """Tell how a session that was opened ended."""
        protocol, refusal = connection.protocol, conversation.refusal
        heard = f"; {conversation.seconds:.1f} s of audio"
        if protocol.close_rcvd is None and protocol.close_sent is None:
            lost = protocol.close_code is not None
            self.note(
                connection,
                (
                    "lost: the connection broke without a close frame"
                    if lost
                    else "given up: it read nothing, or the service failed"
                )
                + heard,
            )
            return
        by_client = protocol.close_rcvd is not None and protocol.close_rcvd_then_sent
        # What the service sent: the client's echo need not say the same.
        frame = protocol.close_rcvd if by_client else protocol.close_sent
        assert frame is not None
        code, reason = frame.code, frame.reason
        if refusal is not None and not by_client and code == refusal.code:
            reason = refusal.text
        who = "the client" if by_client else "the service"
        self.note(connection, f"closed by {who}: {code} {reason or '(no reason)'}{heard}")

    def _secrets(self, connection: ServerConnection) -> set[str]:
        """What nobody may read, as far as it is known to be that."""
        found = {self._key or ""}
        if (request := connection.request) is not None:
            for header, credential in request.headers.raw_items():
                if is_secret(header) or header.lower() == "sec-websocket-protocol":
                    found |= {credential, credential.partition(" ")[2]}
            for name, value in parse_qsl(urlsplit(request.path).query):
                if is_secret(name):
                    found.add(value)
        return {secret.strip() for secret in found if secret.strip()}
