"""Finding the API key of a service."""

from __future__ import annotations

import os

from rtkit.boundary.secrets import Confidential

__all__ = ["find_key"]


def find_key(given: str | None, variable: str, vendor: str) -> str:
    """The key given, or the environment's.

    Raises
    ------
    ValueError
        If there is no key, or it is not valid.
    """
    if not isinstance(given, str | None):
        del given
        raise ValueError(f"{vendor}(key=...) takes the API key as a string")
    key = (given or os.environ.get(variable, "")).strip()
    del given  # tracebacks may show a function's variables
    if not key:
        raise ValueError(
            f"{vendor} needs an API key: set the environment variable {variable} before you start "
            f"Python, or pass {vendor}(key=...). Without a key, leave out the service: the "
            f"embedded one needs none."
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        del key
        raise ValueError(
            "The API key contains a space or another character that is not allowed. Copy it "
            "again, without the word Bearer before it."
        )
    return Confidential(key)
