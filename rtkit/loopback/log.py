"""The service's log: which clients connected, which faults they met, how they ended.

No key or token is logged: of what a client sent, only what was understood, and the service's own
messages without the client's credentials.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from rtkit.boundary.secrets import StrikeOut
from rtkit.boundary.text import told
from rtkit.loopback.conversation import Conversation
from rtkit.services.endpoint import PLAIN_HEADERS, sounds_secret
from rtkit.services.service import ASSEMBLYAI, Dialect, dialect_at, dialect_named

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

__all__ = ["Log"]


class Log:
    """A line for each event; clients are numbered as they come.

    Parameters
    ----------
    tell : callable, optional
        Called with each line; by default, nothing is logged.
    key : str, optional
        The service's own key.
    protocol : str
        The dialect that its clients speak.
    """

    def __init__(
        self,
        tell: Callable[[str], object] | None = None,
        *,
        key: str | None = None,
        protocol: str = ASSEMBLYAI,
    ) -> None:
        self._tell = tell
        self._key = key
        self._protocol = protocol
        self._numbers: WeakKeyDictionary[ServerConnection, int] = WeakKeyDictionary()
        self._count = 0

    def note(self, connection: ServerConnection, text: str) -> None:
        """Log a line about a client, safe from whatever the client sent."""
        if self._tell is None:
            return
        if connection not in self._numbers:
            self._count += 1
            self._numbers[connection] = self._count
        text = told(self._strike_out(connection, text))
        self._tell(f"client {self._numbers[connection]} {text}")

    def opened(self, connection: ServerConnection, conversation: Conversation, faults: str) -> None:
        """Log that a session begins, or why it does not."""
        if (refusal := conversation.refusal) is not None:
            self.note(connection, f"refused: {refusal.code} {refusal.text}")
            return
        asked = conversation.rules
        if asked is None:  # it has yet to say what it asks for
            self.note(connection, "opened" + (f"; faults requested: {faults}" if faults else ""))
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
        self.note(connection, text + (f"; faults requested: {faults}" if faults else ""))

    def closed(self, connection: ServerConnection, conversation: Conversation) -> None:
        """Log how a session ended."""
        dialect = self._dialect(connection)
        end = _farewell(dialect)
        # Audio against time, in which a wrong sample rate shows, and whether the end was told.
        heard = f"{conversation.seconds:.1f} s of audio in {conversation.took:.1f} s"
        over = conversation.finishing or (conversation.settling and not dialect.closes)
        came = f"{end} came" if over else f"no {end}"
        self.note(connection, f"{_end(connection, conversation)}; {heard}; {came}")

    def _dialect(self, connection: ServerConnection) -> Dialect:
        path = "" if connection.request is None else connection.request.path.partition("?")[0]
        return dialect_named(dialect_at(path) or self._protocol)

    def _strike_out(self, connection: ServerConnection, text: str) -> str:
        """A text without known secrets."""
        confided, credentials = [], [self._key or ""]
        if (request := connection.request) is not None:
            query = parse_qsl(request.path.partition("?")[2])
            public = PLAIN_HEADERS | {name.casefold() for name in self._dialect(connection).public}
            for name, value in (*request.headers.raw_items(), *query):
                if name.casefold() not in public:
                    confided.append(value)
                if sounds_secret(name) or name.casefold() == "sec-websocket-protocol":
                    credentials += [value, value.partition(" ")[2]]
        text = StrikeOut(confided)(text)
        for one in filter(None, map(str.strip, credentials)):  # as a word: it may be a letter
            text = re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", "[secret]", text)
        return text


def _end(connection: ServerConnection, conversation: Conversation) -> str:
    protocol, refusal = connection.protocol, conversation.refusal
    if protocol.close_rcvd is None and protocol.close_sent is None:
        if protocol.close_code is not None:
            return "lost: the connection broke without a close frame"
        return "abandoned: the client read nothing, or the service failed"
    by_client = protocol.close_rcvd is not None and protocol.close_rcvd_then_sent
    # What the service sent: the client's echo need not say the same.
    frame = protocol.close_rcvd if by_client else protocol.close_sent
    assert frame is not None
    said = f"{frame.code} {frame.reason or '(no reason)'}"
    if refusal is None:
        return f"closed by the {'client' if by_client else 'service'}: {said}"
    why = f"{refusal.code} {refusal.text}"
    if by_client:
        return f"closed by the client: {said}, after {why}"
    return f"closed by the service: {why if frame.code == refusal.code else said}"


def _farewell(dialect: Dialect) -> str:
    """What the dialect's clients call the message that ends a session."""
    *_, last = (step.frame for step in dialect.shutdown(0) if step.frame is not None)
    try:
        return str(json.loads(last)["type"])
    except (ValueError, TypeError, KeyError):
        return "end of audio"
