"""Audio as base64 in JSON, no Begin, each word once for good, and an empty frame to say goodbye."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import Finalized, Other, Reply, ServiceError, Turn, Word
from rtkit.services.service import Dialect, Limits, Reader, Step

__all__ = ["DIALECT"]


def endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    hello = json.dumps({"hello": {"hertz": rate, **parameters}})
    query = urlencode({"lang": "parrot"})
    return Endpoint(f"{base}/listen?{query}", {"X-Seed-Key": key}, (hello,))


class Squawks(Reader):
    """Words that were settled are said once; what is guessed is said again in each message."""

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._order = 0
        self._settled: list[Word] = []

    def message(self, message: Any) -> Iterator[Reply]:
        if "bye" in message:
            yield Finalized()
        elif "oops" in message:
            yield ServiceError(None, f"{message['oops']}: {message['why']}")
        elif "settled" not in message:
            yield Other(next(iter(message)))
        else:
            self._settled += [_word(word, True) for word in message["settled"]]
            over = bool(message["over"])
            guessed = [_word(word, False) for word in message["guessed"]]
            yield Turn(
                order=self._order,
                transcript=" ".join(word.text for word in self._settled),
                words=(*self._settled, *guessed),
                end_of_turn=over,
                cause=message.get("because"),
                heard=message["upto"],
            )
            if over:
                self._order += 1
                self._settled = []


def _word(word: list[Any], settled: bool) -> Word:
    text, start, end = word
    return Word(text, start, end, final=settled)


DIALECT = Dialect(
    path="/listen",
    endpoint=endpoint,
    reader=Squawks,
    audio=lambda pcm: json.dumps({"pcm": base64.b64encode(pcm).decode()}),
    begins=False,
    keep_alive=(json.dumps({"still": "here"}), 5.0),
    shutdown=lambda chunks: (Step(json.dumps({"chunks": chunks})), Step("", Finalized)),
    limits=Limits(max_chunk=0.25, rates=(8000, 16000), otherwise="it drops the rest"),
)
