"""What most vendors' doubles have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from rtkit.boundary.text import counted
from rtkit.services.encodings import from_mulaw
from rtkit.services.messages import Audio, Close, Refusal
from rtkit.services.service import Tokens

__all__ = ["Double"]


class Double:
    """A `rtkit.services.service.Server` in part: a key in a header, and refusals by their causes.

    Chunks may be of any length. `mulaw` says how they are encoded.
    """

    SUBPROTOCOLS: ClassVar[tuple[str, ...]] = ()
    BACKLOG: ClassVar[float] = 300.0
    MAX_DURATION: ClassVar[float] = 10800.0
    REFUSALS: ClassVar[Mapping[str, tuple[int, str]]]
    """Code and words for each of `rtkit.services.messages.CAUSES`, for ``"bad audio"`` (size), and
    for what is ``"invalid"`` (text)."""
    SCHEMES: ClassVar[tuple[str, ...]] = ("bearer",)
    """Which words may stand before the key."""
    mulaw = False

    @classmethod
    def credential(cls, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        kind, _, credential = headers.get("authorization", "").partition(" ")
        return credential if kind.lower() in cls.SCHEMES else None

    @staticmethod
    def page(
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        tokens: Tokens,
        now: float,
    ) -> tuple[int, str | Mapping[str, Any]] | None:
        return None

    @classmethod
    def refusal(cls, cause: str, **facts: object) -> Refusal:
        code, text = cls.REFUSALS[cause]
        return Refusal(code, text.format(**facts))

    @classmethod
    def invalid(cls, text: str) -> Refusal:
        """For what the client asks, and cannot have."""
        return cls.refusal("invalid", text=text)

    def audio(self, frame: bytes) -> Audio:
        """A chunk; raises `Refusal` if that is no whole number of samples."""
        if not frame or (len(frame) % 2 and not self.mulaw):
            raise self.refusal("bad audio", size=counted(len(frame), "byte"))
        return Audio(from_mulaw(frame) if self.mulaw else frame, len(frame))

    def message(self, frame: bytes | str, kind: str = "type") -> tuple[Any, dict[str, Any]]:
        """A message, and its kind (or all of it), by that name; raises `Refusal`."""
        try:
            message = json.loads(frame)
            return message.get(kind, frame), message
        except (ValueError, AttributeError, RecursionError):
            raise self.invalid(f"{frame[:60]!s} is not a message") from None

    def check(self, seconds: float) -> None:
        """Any length will do."""

    @staticmethod
    def close(code: int | None, text: str, otherwise: int) -> Close:
        """By a code of a websocket's: errors may have another, or none."""
        return Close(code if code is not None and code >= 1000 else otherwise, text)
