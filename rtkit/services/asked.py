"""Parsing what a client requests of an embedded service; invalid values are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rtkit.services.messages import Refusal

__all__ = ["Asked"]

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class Asked:
    """Parameters by name, as texts or as JSON has them; `refuse` words what cannot be.

    JSON's null is as good as nothing: some clients write it for what they leave out.

    Each method raises `Refusal` for a value that it cannot take.
    """

    given: Mapping[str, Any]
    refuse: Callable[[str], Refusal]

    def text(self, name: str, default: object = "") -> str:
        value = self.given.get(name)
        value = default if value is None else value
        try:
            return value if isinstance(value, str) else json.dumps(value)
        except RecursionError:  # it was read with a shorter stack
            raise self.refuse(f"'{name}' is nested too deeply") from None

    def part(self, name: str) -> Asked:
        """What stands there by names of its own; nothing where it is missing."""
        value = self.given.get(name) or {}
        if not isinstance(value, dict):
            raise self.refuse(f"'{name}' is not an object")
        return Asked(value, self.refuse)

    def choice(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str | None:
        if self.given.get(name) is None:
            return default
        value = self.text(name)
        if value not in choices:
            raise self.refuse(
                f"Invalid '{name}': '{value[:60]}' is not one of {', '.join(choices)}"
            )
        return value

    def truth(self, name: str, default: bool = False) -> bool:
        text = self.text(name, default).lower()
        if text not in TRUE + FALSE:
            raise self.refuse(f"Invalid '{name}': '{text[:60]}' is neither true nor false")
        return text in TRUE

    def number(self, name: str, default: float, lowest: float, highest: float) -> float:
        text = self.text(name, default)
        try:
            value = float(text)
        except ValueError:
            raise self.refuse(f"Invalid '{name}': '{text[:60]}' is not a number") from None
        if not lowest <= value <= highest:
            raise self.refuse(
                f"Invalid '{name}': {text[:60]} is not between {lowest:g} and {highest:g}"
            )
        return value

    def whole(self, name: str, default: float, lowest: float, highest: float) -> int:
        value = self.number(name, default, lowest, highest)
        if not value.is_integer():
            raise self.refuse(f"Invalid '{name}': {value:g} is not a whole number")
        return int(value)

    def only(self, *refused: str) -> None:
        """Refuse what the embedded service cannot do, rather than pass it over."""
        for name in refused:
            if self.text(name, "false").lower() not in (*FALSE, "null", "none", ""):
                raise self.refuse(f"The embedded service does not implement '{name}'; leave it out")
