"""rtkit's messages in the panel's terms: fields instead of parameters."""

from __future__ import annotations

import re

from rtkit.analysis.naming import said
from rtkit.audio import AudioError
from rtkit.recording import StreamError
from rtkit.reference import SidecarError

__all__ = ["in_panel_words", "sentence_of"]

WORDS = (
    (r"pacing='(\w+)'", lambda found: f"the pacing {said(found[1])}"),
    (r"use isolation='process'", "send from a process of its own (sender, under More)"),
    (r"isolation='process'", "a sender in a process of its own (under More)"),
    (
        r"rtkit\.open_clip\(path, channel=(\d+)\)",
        lambda found: f"channel {int(found[1]) + 1}, under More",
    ),
    (r"open an excerpt: rtkit\.open_clip\([^)]*\)", "choose a shorter length (s), under More"),
    (
        r"Set (\w+), or pass \w+\(key=\.\.\.\)",
        r"Paste the right key into the field API key, under More, or set \1 before Jupyter starts",
    ),
    (r"rtkit\.diagnose\(session\) tells why; ", ""),
    (r" With catch_up=[^.]*\.\d* none would\.| With catch_up=\S+ there would be none\.", ""),
    (r"\bchunk=(\S+) s\b", lambda found: f"a chunk of {float(found[1]) * 1000:g} ms"),
)  # fmt: skip


def in_panel_words(sentence: str) -> str:
    for code, words in WORDS:
        sentence = re.sub(code, words, sentence)
    return sentence


def sentence_of(error: BaseException) -> str:
    """The message for an error; an unexpected one is named by its type."""
    foreseen = isinstance(
        error, StreamError | AudioError | SidecarError | ValueError | OSError | ImportError
    )
    return str(error) if foreseen else f"{type(error).__name__}: {error}"
