"""Who may come in: keys, temporary tokens, and how many sessions. No I/O.

A key travels as it is; ``Bearer`` before it is refused, as by the real service. A temporary token
may stand in the header, where some clients put it, or in the URL.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rtkit.services.assemblyai.parameters import Refusal

__all__ = ["Admission", "Visit"]

TOKEN = "embedded."  # what the service's own tokens start with
MINUTE = 60.0
LIMITS = {  # of a token's parameters, in seconds
    "expires_in_seconds": (1, 600),
    "max_session_duration_seconds": (60, 10800),
}


@dataclass(frozen=True, slots=True)
class Visit:
    """How long a session may take (None: as long as any), or why there is none."""

    max_duration: float | None = None
    refused: Refusal | None = None


class Admission:
    """Checks who comes, and counts.

    Parameters
    ----------
    key : str, optional
        The only key that opens a session; without it any does.
    max_sessions : int, optional
        How many may be open at once.
    sessions_per_minute : int, optional
        How many may be opened within a minute, as the real service limits them.

    Raises
    ------
    ValueError
        If the key is empty, or a number below 1.
    """

    def __init__(
        self,
        key: str | None = None,
        max_sessions: int | None = None,
        sessions_per_minute: int | None = None,
    ) -> None:
        if key is not None and not key.strip():
            raise ValueError("key='' is empty; leave it out and any key will do")
        limits = {"max_sessions": max_sessions, "sessions_per_minute": sessions_per_minute}
        for name, number in limits.items():
            if number is not None and number < 1:
                raise ValueError(f"{name}={number} must be 1 or more; leave it out for no limit")
        self._key = key
        self._max_sessions = max_sessions
        self._sessions_per_minute = sessions_per_minute
        self._secret = secrets.token_bytes(32)  # tokens are good for this service only
        self._open = 0
        self._opened: deque[float] = deque()  # within the last minute

    @contextmanager
    def visit(self, authorization: str | None, token: str | None, now: float) -> Iterator[Visit]:
        """A session of the client that brings these, from `now` to the end of the block."""
        try:
            max_duration = self._admit(authorization or token, now)
            self._count(now)
        except Refusal as refusal:
            yield Visit(refused=refusal)
            return
        try:
            yield Visit(max_duration)
        finally:
            self._open -= 1

    def answer(
        self, query: Mapping[str, str], authorization: str | None, now: float
    ) -> tuple[int, dict[str, Any]]:
        """What the token endpoint answers: a status, and JSON."""
        faults = [fault for name in LIMITS if (fault := _fault(query, name)) is not None]
        if not authorization:
            faults.append(_missing("header", "authorization"))
        if faults:
            return 422, {"detail": faults}
        assert authorization is not None
        # This endpoint, unlike the socket, takes the key after the word Bearer, too.
        if not self._knows(authorization.removeprefix("Bearer ")):
            return 401, {"error": "Invalid API key", "code": 401, "details": None}
        seconds = int(query["expires_in_seconds"])
        max_duration = int(query.get("max_session_duration_seconds", 10800))
        return 200, {
            "token": self._mint(now + seconds, max_duration),
            "expires_in_seconds": seconds,
        }

    def _admit(self, credential: str | None, now: float) -> float | None:
        """For how long the client may stay."""
        if not credential:
            raise Refusal(1008, "Unauthorized Connection: Missing Authorization header")
        if credential.startswith(TOKEN):
            expires, max_duration = self._read(credential)
            if now >= expires:
                raise Refusal(1008, "Unauthorized Connection: Signature has expired")
            return max_duration
        if credential.startswith("Bearer ") or not self._knows(credential):
            raise Refusal(1008, "Unauthorized Connection: Invalid API key")
        return None

    def _count(self, now: float) -> None:
        while self._opened and self._opened[0] <= now - MINUTE:
            self._opened.popleft()
        crowded = self._max_sessions is not None and self._open >= self._max_sessions
        hasty = (
            self._sessions_per_minute is not None and len(self._opened) >= self._sessions_per_minute
        )
        if crowded or hasty:
            raise Refusal(3009, "Unauthorized Connection: Too many concurrent sessions")
        self._open += 1
        if self._sessions_per_minute is not None:
            self._opened.append(now)

    def _knows(self, key: str) -> bool:
        return self._key is None or hmac.compare_digest(
            key.encode(errors="replace"), self._key.encode()
        )

    def _mint(self, expires: float, max_duration: int) -> str:
        said = base64.urlsafe_b64encode(json.dumps([expires, max_duration]).encode()).decode()
        return f"{TOKEN}{said}.{self._sign(said)}"

    def _read(self, token: str) -> tuple[float, float]:
        said, _, signature = token.removeprefix(TOKEN).partition(".")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._sign(said).encode()):
            raise Refusal(1008, "Unauthorized Connection: Invalid API key")
        expires, max_duration = json.loads(base64.urlsafe_b64decode(said))
        return float(expires), float(max_duration)

    def _sign(self, said: str) -> str:
        return hmac.new(self._secret, said.encode(errors="replace"), "sha256").hexdigest()


def _fault(query: Mapping[str, str], name: str) -> dict[str, Any] | None:
    """What is wrong with a parameter of the token endpoint, in the real one's form."""
    lowest, highest = LIMITS[name]
    text = query.get(name)
    if text is None:
        return _missing("query", name) if name == "expires_in_seconds" else None
    place = {"loc": ["query", name], "input": text}
    try:
        value = int(text)
    except ValueError:
        wrong = "Input should be a valid integer, unable to parse string as an integer"
        return {"type": "int_parsing", "msg": wrong, **place}
    if value < lowest:
        wrong = f"Input should be greater than or equal to {lowest}"
        return {"type": "greater_than_equal", "msg": wrong, "ctx": {"ge": lowest}, **place}
    if value > highest:
        wrong = f"Input should be less than or equal to {highest}"
        return {"type": "less_than_equal", "msg": wrong, "ctx": {"le": highest}, **place}
    return None


def _missing(where: str, name: str) -> dict[str, Any]:
    return {"type": "missing", "loc": [where, name], "msg": "Field required", "input": None}
