"""Helpers for reading services' JSON messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rtkit.boundary.text import clean, told
from rtkit.services.messages import Other, Reply, Stamp, Termination, Turn, Word, check

__all__ = ["Reader", "spoken_after"]


class Reader:
    """Reads what one session's service says, in order; each dialect has its own kind.

    It may keep a state, to fold appended finals, tokens or deltas into cumulative turns. `rate` is
    that of the audio as it is sent, in samples per second.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate

    def read(self, frame: str | bytes) -> tuple[Reply, ...]:
        """What a frame says; one that cannot be read becomes `Other` with its fault."""
        try:
            message = json.loads(frame)
            if _may_be_odd(frame):
                message = _clean(message)
            replies = tuple(self.message(message))
            mark = message.get("loopback")
            replies = replies if mark is None else tuple(self._marked(replies, mark))
            for reply in replies:
                check(reply)
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            return (Other("unreadable", f"{type(error).__name__}: {told(error)}"),)
        return replies

    def message(self, message: Any) -> Iterable[Reply]:
        """What a message says, as JSON has it; whatever cannot be read may raise."""
        raise NotImplementedError

    def _marked(self, replies: Iterable[Reply], mark: Mapping[str, Any]) -> Iterable[Reply]:
        """With what the embedded service adds to its messages, in any dialect."""
        for reply in replies:
            if isinstance(reply, Turn):
                stamp = Stamp(
                    float(mark["arrived"]),
                    float(mark["left"]),
                    int(mark["samples"]),
                    str(mark["cause"]),
                )
                ended = stamp.cause if reply.end_of_turn else None
                yield replace(reply, stamp=stamp, heard=stamp.samples / self.rate, cause=ended)
            elif isinstance(reply, Termination):
                yield replace(reply, bytes_received=int(mark["bytes"]))
            else:
                yield reply


def spoken_after(words: Iterable[Word], settled: Sequence[Word]) -> tuple[Word, ...]:
    """Those of some guessed words that begin where the settled ones end: these still stand."""
    if not settled or settled[-1].end is None:
        return tuple(words)
    until = settled[-1].end - 0.001  # a millisecond of rounding
    return tuple(word for word in words if word.start is not None and word.start >= until)


def _may_be_odd(frame: str | bytes) -> bool:
    """Whether there can be a text in it that is not fit to be shown; seldom, and soon said."""
    if isinstance(frame, bytes):
        return True
    return not frame.isascii() or "\\u" in frame or "\x7f" in frame


def _clean(message: Any) -> Any:
    if isinstance(message, str):
        return clean(message)
    if isinstance(message, list):
        return [_clean(one) for one in message]
    if isinstance(message, dict):
        return {clean(name): _clean(value) for name, value in message.items()}
    return message
