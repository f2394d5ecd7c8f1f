"""The same from the service's end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from rtkit.services.messages import (
    Audio,
    Close,
    Configure,
    Finish,
    KeepAlive,
    Other,
    Receipt,
    Refusal,
    Reply,
    Rules,
    Said,
    ServiceError,
    Termination,
    Turn,
    Word,
)
from rtkit.services.service import Tokens


class Server:
    PATHS: ClassVar[tuple[str, ...]] = ("/listen",)
    SUBPROTOCOLS: ClassVar[tuple[str, ...]] = ()
    BACKLOG: ClassVar[float] = 300.0
    MAX_DURATION: ClassVar[float] = 3600.0

    def __init__(self, query: Mapping[str, str], path: str = "") -> None:
        assert query["lang"] == "parrot"
        self._settled = 0  # words of the open turn that were said for good
        self._announced: int | None = None
        self._came = 0

    @staticmethod
    def credential(query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return headers.get("x-seed-key")

    @staticmethod
    def page(
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        tokens: Tokens,
        now: float,
    ) -> tuple[int, str | Mapping[str, Any]] | None:
        return (200, {"seeds": "many"}) if path == "/seeds" else None

    @staticmethod
    def refusal(cause: str, **facts: object) -> Refusal:
        return Refusal(401 if cause in ("no key", "key refused") else 4001, f"no cracker: {cause}")

    def open(self) -> tuple[Said, ...]:
        return ()

    def read(self, frame: bytes | str) -> tuple[Said, ...]:
        if not frame:
            assert self._announced == self._came, "every chunk was counted"
            return (Finish(),)
        message = json.loads(frame)
        if "hello" in message:
            return (Configure(Rules(int(message["hello"]["hertz"]), "base64", "polly")),)
        if "pcm" in message:
            self._came += 1
            pcm = base64.b64decode(message["pcm"])
            return (Audio(pcm, len(pcm)),)
        if "chunks" in message:
            self._announced = message["chunks"]
            return (Other("chunks"),)
        return (KeepAlive(),)

    def check(self, seconds: float) -> None:
        if seconds > 0.25:
            raise Refusal(4001, "no cracker for so much at once")

    def write(self, reply: Reply) -> Iterable[Mapping[str, Any] | str | Close]:
        match reply:
            case Turn():
                settled = [word for word in reply.words if word.final]
                guessed = [word for word in reply.words if not word.final]
                new, self._settled = settled[self._settled :], len(settled)
                if reply.end_of_turn:
                    self._settled = 0
                yield {
                    "settled": list(map(_said, new)),
                    "guessed": list(map(_said, guessed)),
                    "over": reply.end_of_turn,
                    "upto": reply.heard,
                    "because": reply.cause,
                }
            case Receipt(chunks):
                yield {"nod": chunks}
            case Termination():
                yield {"bye": True}
                yield Close(1000)
            case ServiceError(code, text):
                yield {"oops": "SQUAWK", "why": text}
                yield Close(code or 4001)


def _said(word: Word) -> list[Any]:
    return [word.text, word.start, word.end]
