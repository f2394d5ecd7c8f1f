"""Admission: keys, temporary tokens, and limits on sessions. No I/O, no vendor."""

from __future__ import annotations

import hmac
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rtkit.boundary.values import check_numbers

__all__ = ["Admission", "Visit"]

TOKEN = "embedded."  # what the service's own tokens start with
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Visit:
    """How long a session may last (None: no special limit), or why it is refused."""

    max_duration: float | None = None
    refused: str | None = None


class Admission:
    """Checks and counts clients.

    Parameters
    ----------
    key : str, optional
        The only key that is accepted; by default, any key.
    max_sessions : int, optional
        The maximum number of concurrent sessions.
    sessions_per_minute : int, optional
        The maximum number of new sessions per minute, as real services limit them.

    Raises
    ------
    ValueError
        If the key is empty, or a number below 1.
    """

    KEPT = 1024  # tokens; of more the oldest are forgotten

    def __init__(
        self,
        key: str | None = None,
        max_sessions: int | None = None,
        sessions_per_minute: int | None = None,
    ) -> None:
        if key is not None and not key.strip():
            raise ValueError("key='' is empty; leave it out to accept any key")
        limits = {"max_sessions": max_sessions, "sessions_per_minute": sessions_per_minute}
        for name, number in limits.items():
            check_numbers(optional=True, unit="", **{name: number})
            if number is not None and number < 1:
                raise ValueError(f"{name}={number} must be 1 or more; leave it out for no limit")
        self._key = key
        self._max_sessions = max_sessions
        self._sessions_per_minute = sessions_per_minute
        self._tokens: dict[str, tuple[float, float]] = {}  # until when, and for how long
        self._open = 0
        self._opened: deque[float] = deque()  # within the last minute

    @contextmanager
    def visit(self, credential: str | None, now: float) -> Iterator[Visit]:
        """A session of the client that brings this, from `now` to the end of the block."""
        visit = self.look(credential, now)
        if visit.refused is not None:
            yield visit
            return
        self._open += 1
        if self._sessions_per_minute is not None:
            self._opened.append(now)
        try:
            yield visit
        finally:
            self._open -= 1

    def look(self, credential: str | None, now: float) -> Visit:
        """Whether a client that brings this would get a session now."""
        lasts = None
        if not credential:
            return Visit(refused="no key")
        if credential.startswith(TOKEN):
            if credential not in self._tokens:
                return Visit(refused="key refused")
            until, lasts = self._tokens[credential]
            if now >= until:
                return Visit(refused="token expired")
        elif not self.knows(credential):
            return Visit(refused="key refused")
        while self._opened and self._opened[0] <= now - MINUTE:
            self._opened.popleft()
        crowded = self._max_sessions is not None and self._open >= self._max_sessions
        rate = self._sessions_per_minute
        if crowded or (rate is not None and len(self._opened) >= rate):
            return Visit(refused="too many sessions")
        return Visit(lasts)

    def knows(self, key: str) -> bool:
        """Whether the key opens sessions."""
        return self._key is None or hmac.compare_digest(
            key.encode(errors="replace"), self._key.encode()
        )

    def mint(self, until: float, max_duration: float) -> str:
        """A token that opens sessions until it expires, each with a maximum duration in seconds."""
        token = TOKEN + secrets.token_urlsafe(32)
        self._tokens[token] = until, max_duration
        while len(self._tokens) > self.KEPT:
            del self._tokens[next(iter(self._tokens))]
        return token
