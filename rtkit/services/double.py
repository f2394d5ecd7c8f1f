"""What most vendors' doubles have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rtkit.services.messages import Close, Refusal
from rtkit.services.service import Tokens

__all__ = ["Double"]


class Double:
    """A `rtkit.services.service.Server` in part: a key in a header, and refusals by their causes.

    Chunks may be of any length.
    """

    REFUSALS: ClassVar[Mapping[str, tuple[int, str]]]
    """Code and words for each of `rtkit.services.messages.CAUSES`."""
    SCHEMES: ClassVar[tuple[str, ...]] = ("bearer",)
    """Which words may stand before the key."""

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

    def check(self, seconds: float) -> None:
        """Any length will do."""

    @staticmethod
    def close(code: int | None, text: str, otherwise: int) -> Close:
        """By a code of a websocket's: errors may have another, or none."""
        return Close(code if code is not None and code >= 1000 else otherwise, text)
