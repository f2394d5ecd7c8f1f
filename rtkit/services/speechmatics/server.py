"""Speechmatics' real-time protocol (RT v2) from the service's end, without any I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from rtkit.services.asked import Asked
from rtkit.services.double import Double
from rtkit.services.messages import (
    Begin,
    Close,
    Configure,
    Finish,
    ForceEndpoint,
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
from rtkit.services.speechmatics.client import PATH

__all__ = ["Server"]

HOUR = 3600.0
REFUSALS: Mapping[str, tuple[int, str]] = {
    "no key": (4001, "not_authorised: No API key: give Authorization: Bearer KEY"),
    "key refused": (4001, "not_authorised: The API key was not recognized"),
    "token expired": (4001, "not_authorised: The temporary token has expired"),
    "too many sessions": (4005, "quota_exceeded: Concurrent Quota Exceeded"),
    "too fast": (1011, "buffer_error: {received} s of audio in {took} s"),
    "idle": (1008, "idle_timeout: No audio for {seconds} s"),
    "too long": (1008, "session_timeout: The session reached its maximum duration"),
    "too early": (1003, "protocol_error: Audio before StartRecognition"),
    "fault": (4013, "job_error: An internal error happened"),
    "bad audio": (1003, "data_error: not whole samples: {size}"),
    "invalid": (1003, "invalid_message: {text}"),
}
MARKS = ".,?!;:"
MAY_CHANGE = ("max_delay", "max_delay_mode", "enable_partials")  # in the middle of a session
NOT_DONE = ("diarization", "translation_config", "audio_events_config")


class Server(Double):
    """One session as the service sees it."""

    PATHS: ClassVar[tuple[str, ...]] = (PATH,)
    MAX_DURATION: ClassVar[float] = 48 * HOUR
    REFUSALS: ClassVar[Mapping[str, tuple[int, str]]] = REFUSALS

    def __init__(self, query: Mapping[str, str], path: str) -> None:
        self._asked: dict[str, Any] | None = None  # of the transcription, once it has begun
        self._audio: dict[str, Any] = {}
        self._came = 0  # chunks
        self._said = 0  # words of the open turn that were said for good
        self._until = 0.0  # where the last of them ends

    @classmethod
    def credential(cls, query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        return super().credential(query, headers) or query.get("jwt")

    # What the client says.

    def open(self) -> tuple[Said, ...]:
        return ()

    def read(self, frame: bytes | str) -> tuple[Said, ...]:
        if isinstance(frame, bytes):
            self._came += 1
            return (self.audio(frame),)
        kind, message = self.message(frame, "message")
        if kind == "StartRecognition" and self._asked is None:
            asked, audio = message.get("transcription_config"), message.get("audio_format")
            if not isinstance(asked, dict) or not isinstance(audio, dict):
                raise self.invalid("Give audio_format and transcription_config")
            _config(message).only(*NOT_DONE)
            self._asked, self._audio = asked, audio
            return (Configure(self._rules()),)
        if self._asked is None:
            raise Refusal(1003, f"protocol_error: {str(kind)[:60]} before StartRecognition")
        match kind:
            case "EndOfStream":
                # The official client names the last chunk that was confirmed, not that it sent.
                _config(message).whole("last_seq_no", 0, 0, self._came)
                return (Finish(),)
            case "ForceEndOfUtterance":
                return (ForceEndpoint(),)
            case "SetRecognitionConfig":
                changes = _config(message).part("transcription_config").given
                for name, value in changes.items():
                    if name not in MAY_CHANGE and value != self._asked.get(name):
                        raise _config_error(f"'{name[:60]}' cannot change in a session")
                self._asked |= changes
                return (Configure(self._rules()),)
        raise self.invalid(f"{str(kind)[:60]} is not supported by the embedded service")

    def _rules(self) -> Rules:
        audio, asked = _config(self._audio), _config(self._asked or {})
        if audio.choice("type", ("raw",)) is None:
            raise self.invalid(
                "Give audio_format.type; the embedded service accepts only raw audio"
            )
        encoding = audio.choice("encoding", ("pcm_s16le", "mulaw"))
        if encoding is None or audio.given.get("sample_rate") is None:
            raise self.invalid("Give audio_format.encoding and audio_format.sample_rate")
        if not asked.text("language"):
            raise self.invalid("Give transcription_config.language")
        self.mulaw = encoding == "mulaw"
        asked.number("max_delay", 4.0, 0.7, 4.0)
        asked.choice("max_delay_mode", ("flexible", "fixed"))
        asked.only(*NOT_DONE)
        utterance = asked.part("conversation_config")
        trigger = utterance.number("end_of_utterance_silence_trigger", 0.0, 0.0, 2.0) or math.inf
        return Rules(
            audio.whole("sample_rate", 16000, 4000, 192000),
            encoding,
            asked.text("model", asked.text("operating_point", "standard")),
            format_turns=True,
            min_silence=trigger,
            max_silence=trigger,
            inactivity=HOUR,
        )

    # What the service says.

    def write(self, reply: Reply) -> Iterable[Mapping[str, Any] | Close]:
        match reply:
            case Begin(id):
                yield {"message": "RecognitionStarted", "id": id, "language_pack_info": {}}
            case Receipt(chunks):
                yield {"message": "AudioAdded", "seq_no": chunks}
            case Turn(words=words) if words:
                yield from self._turn(reply)
            case Termination():
                yield {"message": "EndOfTranscript"}
                yield Close(1000)
            case ServiceError(code, text):
                name, _, reason = text.partition(": ")
                yield {"message": "Error", "type": name, "reason": reason}
                yield self.close(code, text, 1011)

    def _turn(self, turn: Turn) -> Iterator[Mapping[str, Any]]:
        final = [word for word in turn.words if word.final]
        new, self._said = final[self._said :], len(final)
        if new:
            yield self._transcript("AddTranscript", new)
            self._until = new[-1].end or 0.0
        if turn.end_of_turn:
            self._said = 0
            if turn.cause != "terminate":
                at = {"start_time": self._until, "end_time": self._until}
                yield {"message": "EndOfUtterance", "metadata": at}
        elif _config(self._asked or {}).truth("enable_partials"):
            yield self._transcript("AddPartialTranscript", turn.words[len(final) :])

    def _transcript(self, kind: str, words: Sequence[Word]) -> dict[str, Any]:
        text = " ".join(word.text for word in words)
        until = words[-1].end if words else self._until
        times = {"start_time": self._until, "end_time": until}
        return {
            "message": kind,
            "format": "2.1",
            "metadata": {"transcript": text and text + " ", **times},
            "results": [result for word in words for result in _results(word)],
        }


def _config(given: Mapping[str, Any]) -> Asked:
    return Asked(given, _config_error)


def _config_error(text: str) -> Refusal:
    return Refusal(1003, f"invalid_config: {text}")


def _results(word: Word) -> Iterator[dict[str, Any]]:
    """A word, and the mark behind it, if there is one."""
    bare = word.text.rstrip(MARKS) or word.text
    times = {"start_time": word.start, "end_time": word.end}
    best = {"content": bare, "confidence": word.confidence, "language": "en"}
    yield {"type": "word", **times, "alternatives": [best]}
    if mark := word.text[len(bare) :]:
        yield {
            "type": "punctuation",
            "start_time": word.end,
            "end_time": word.end,
            "attaches_to": "previous",
            "is_eos": mark[-1] in ".?!",
            "alternatives": [{"content": mark, "confidence": 1.0}],
        }
