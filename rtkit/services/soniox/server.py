"""Soniox's real-time protocol from the service's end, without any I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from rtkit.services.asked import Asked
from rtkit.services.double import Double
from rtkit.services.messages import (
    Close,
    Configure,
    Finalized,
    Finish,
    ForceEndpoint,
    KeepAlive,
    Other,
    Reply,
    Rules,
    Said,
    ServiceError,
    Termination,
    Turn,
    Word,
)
from rtkit.services.soniox.client import END, FINISHED, PATH, SILENT

__all__ = ["Server"]

SURE = 0.5  # seconds of silence that end a turn after a sentence; the bound is the client's
PIECE = 4  # letters of a token
REFUSALS: Mapping[str, tuple[int, str]] = {
    "no key": (401, "Give the API key in a header, Authorization: Bearer KEY; no other is read."),
    "key refused": (401, "Incorrect API key provided."),
    "token expired": (401, "The temporary API key has expired."),
    "too many sessions": (429, "Rate limit has been exceeded."),
    "too fast": (400, "Audio is sent too fast: {received} s in {took} s."),
    "idle": (408, "Request timeout: no audio and no keepalive for {seconds} s."),
    "too long": (503, "Cannot continue request. Please restart the request."),
    "too early": (400, "Audio before the start request."),
    "fault": (500, "The server had an error processing your request."),
    "bad audio": (400, "Invalid request: not whole samples: {size}"),
    "invalid": (400, "Invalid request: {text}"),
}
NOT_DONE = (
    *("translation", "enable_speaker_diarization", "enable_language_identification"),
    *("endpoint_sensitivity", "endpoint_latency_adjustment_level"),
)


class Server(Double):
    """One session as the service sees it."""

    PATHS: ClassVar[tuple[str, ...]] = (PATH,)
    MAX_DURATION: ClassVar[float] = 300 * 60.0
    REFUSALS: ClassVar[Mapping[str, tuple[int, str]]] = REFUSALS

    def __init__(self, query: Mapping[str, str], path: str) -> None:
        self._configured = False
        self._said = 0  # words of the open turn that were said for good
        self._settled = 0.0  # up to where words are final

    # What the client says.

    def open(self) -> tuple[Said, ...]:
        return ()

    def read(self, frame: bytes | str) -> tuple[Said, ...]:
        if frame == "":
            return (Finish(),)
        if isinstance(frame, bytes):
            if not self._configured:
                raise self.refusal("too early")
            if not frame:  # unlike an empty text it says nothing
                return (Other("empty"),)
            return (self.audio(frame),)
        kind, message = self.message(frame)
        if not self._configured:
            rules = self._rules(Asked(message, self.invalid))
            self._configured = True
            return (Configure(rules),)
        if kind == "keepalive":
            return (KeepAlive(),)
        if kind == "finalize":
            return (ForceEndpoint(),)
        raise self.invalid(f"'{str(kind)[:60]}' is not a control request")

    def _rules(self, asked: Asked) -> Rules:
        model = asked.text("model")
        if not model:
            raise self.invalid("Missing model")
        if "api_key" in asked.given:
            raise self.invalid("Give the API key once: the header is enough, without api_key")
        encoding = asked.choice("audio_format", ("pcm_s16le", "mulaw"))
        if encoding is None or asked.given.get("sample_rate") is None:
            raise self.invalid(
                "Give audio_format (pcm_s16le or mulaw) and sample_rate: the embedded service "
                "reads no containers"
            )
        asked.whole("num_channels", 1, 1, 1)
        asked.only(*NOT_DONE)
        self.mulaw = encoding == "mulaw"
        most = asked.whole("max_endpoint_delay_ms", 2000, 500, 3000) / 1000
        ends = asked.truth("enable_endpoint_detection")
        return Rules(
            asked.whole("sample_rate", 16000, 4000, 192000),
            encoding,
            model,
            format_turns=True,
            min_silence=min(SURE, most) if ends else math.inf,
            max_silence=most if ends else math.inf,
            inactivity=SILENT,
        )

    # What the service says.

    def write(self, reply: Reply) -> Iterable[Mapping[str, Any] | Close]:
        match reply:
            case Turn(words=words) if words:
                yield self._turn(reply)
            case Finalized():
                yield self._result([_mark(FINISHED)], self._settled)
            case Termination(audio):
                yield {**self._result([], audio), "finished": True}
                yield Close(1000)
            case ServiceError(code, text):
                known = code if code is not None and 400 <= code < 600 else 500
                yield {"tokens": [], "error_code": known, "error_message": text}
                yield Close(1011 if known >= 500 else 1008, text)

    def _turn(self, turn: Turn) -> dict[str, Any]:
        first = turn.words[0] if turn.order == 0 else None  # no space stands before that
        new = turn.words[self._said :]
        tokens = [token for word in new for token in _tokens(word, "" if word is first else " ")]
        final = [word for word in turn.words if word.final]
        self._said = 0 if turn.end_of_turn else len(final)
        if final:
            self._settled = final[-1].end or self._settled
        if turn.end_of_turn and turn.cause == "silence":
            tokens.append(_mark(END))
        return self._result(tokens, turn.heard or 0.0)

    def _result(self, tokens: list[dict[str, Any]], heard: float) -> dict[str, Any]:
        return {
            "tokens": tokens,
            "final_audio_proc_ms": _ms(self._settled),
            "total_audio_proc_ms": _ms(heard),
        }


def _tokens(word: Word, space: str) -> Iterator[dict[str, Any]]:
    start, end, text = word.start or 0.0, word.end or 0.0, word.text
    parts = [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
    step = (end - start) / len(parts)
    for index, part in enumerate(parts):
        yield {
            "text": part if index else space + part,
            "start_ms": _ms(start + index * step),
            "end_ms": _ms(start + (index + 1) * step),
            "confidence": word.confidence,
            "is_final": word.final,
        }


def _mark(text: str) -> dict[str, Any]:
    return {"text": text, "is_final": True, "confidence": 1.0}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
